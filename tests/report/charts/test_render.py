"""Do pictures become files, of the right size, whole or not at all?"""

from __future__ import annotations

import json
import re
import time
import zlib
from pathlib import Path

import pytest

from tests.report.charts.drawn import result
from wsesim.errors import InputError
from wsesim.report.charts import breakdown, render, totals
from wsesim.report.charts.render import Picture, element, save, spec
from wsesim.report.charts.theme import THEMES, config

BEGINNINGS = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}
FAST_S = 0.01
"""A picture whose template is known, on a busy machine. [s]"""


@pytest.fixture(scope="module")
def picture() -> Picture:
    return breakdown.chart([result("cerebras_gpt_111m")])


def test_a_picture_is_drawn_as_svg_png_and_pdf(picture: Picture, tmp_path: Path) -> None:
    for kind, beginning in BEGINNINGS.items():
        path = tmp_path / f"picture.{kind}"
        save(picture, path, "paper")
        assert path.read_bytes().startswith(beginning)
    width, height = map(float, re.findall(rb"([\d.]+)pt", (tmp_path / "picture.svg").read_bytes())[:2])
    assert (width, 50 < height < 150) == (pytest.approx(3.3 * 72), True)
    pdf = (tmp_path / "picture.pdf").read_bytes()
    assert b"/FontFile" in pdf
    assert f"/MediaBox [0 0 {width:g}".encode() in pdf
    png = (tmp_path / "picture.png").read_bytes()
    assert int.from_bytes(png[16:20], "big") == pytest.approx(3.3 * 300, abs=2)
    assert zlib.crc32(png[-8:-4]) == int.from_bytes(png[-4:], "big")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.pdf", "picture.png", "picture.svg"]


@pytest.mark.parametrize("name", ["picture.gif", "picture", "no/such/folder/picture.svg"])
def test_what_cannot_be_written_is_one_message(picture: Picture, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        save(picture, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_decides_colours_only(picture: Picture, theme: str) -> None:
    drawn = spec(picture, theme, 400.0)  # type: ignore[arg-type]
    assert drawn["config"]["background"] == THEMES[theme].background
    assert drawn["layer"] == spec(picture, "light", 400.0)["layer"]
    assert drawn["config"]["axis"] == config(theme)["axis"]


def test_templates_are_shared_and_never_changed() -> None:
    one, other = (
        breakdown.chart([result("cerebras_gpt_111m", f"training.weight_sparsity={share}")]) for share in (0, 0.5)
    )
    before = json.dumps(one.template)
    assert one.template is other.template
    spec(one, "paper", "single")
    assert json.dumps(one.template) == before


def test_a_picture_with_a_known_template_takes_no_time() -> None:
    results = [result("cerebras_gpt_111m"), result("cerebras_gpt_111m_gpu")]
    for chart in (breakdown.chart, breakdown.utilization_chart, breakdown.memory_chart, totals.chart):
        spec(chart(results))
        tries = []
        for _ in range(5):
            started_s = time.perf_counter()
            spec(chart(results))
            tries.append(time.perf_counter() - started_s)
        assert min(tries) < FAST_S, chart


def test_text_of_a_run_cannot_leave_its_element() -> None:
    run = result("cerebras_gpt_111m", 'name="</script><b>&\\"<!--"')
    text = element(breakdown.chart([run]), '"x')
    assert text.count("</script>") == 1
    assert "<b>" not in text
    assert "<!--" not in text
    inside = re.search(r"<script[^>]*>(.*)</script>", text)
    assert inside is not None
    assert run.name in json.dumps(json.loads(inside[1]), ensure_ascii=False).replace('\\"', '"')


def test_resources_of_a_pdf_stand_in_order() -> None:
    """vl-convert writes them in another order each time; no byte moves outside of their lists."""
    pdf = b"<<\n    /XObject <<\n      /xo1 10 0 R\n      /xo0 8 0 R\n    >>\nstream\n/xo1 1 0 R\n"
    assert render._in_order(pdf) == pdf.replace(
        b"      /xo1 10 0 R\n      /xo0 8 0 R\n", b"      /xo0 8 0 R\n      /xo1 10 0 R\n"
    )

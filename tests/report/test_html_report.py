"""`wsesim report`: one HTML file that holds all it needs, and says the numbers of `wsesim run`."""

from __future__ import annotations

import contextlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import altair as alt
import pytest
import tomli_w

import wsesim
from tests.browser import errors, overflow_px, show_at, wait_for_pictures
from tests.front_door import Outcome, answer, call
from tests.report.pages import Page
from wsesim import load
from wsesim.report.charts import render
from wsesim.report.pages.report import PICTURES, Study, picture_of
from wsesim.report.pages.run import source_cell
from wsesim.units import show
from wsesim.view import Link

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WAFERS, GPUS = "cerebras_gpt_111m", "cerebras_gpt_111m_gpu"
SECTIONS = (
    *(
        "timeline",
        "breakdown",
        "utilization",
        "spread",
        "roofline",
        "memory",
        "scaling",
        "totals",
        "life",
        "learned",
        "validation",
        "assumptions",
        "notes",
        "made",
    ),
)
NASTY = """</script><script>window.hacked = 1</script><!--<img src=x onerror="window.hacked = 1">&amp;'"`]]>"""


def asked(folder: Path, *words: object) -> Outcome:
    """`wsesim report`, which writes into the folder."""
    with contextlib.chdir(folder):
        return call("report", *words, "--out", "report.html")


def made(folder: Path, *words: object) -> str:
    """A report that can be written."""
    outcome = asked(folder, *words)
    assert (outcome.code, outcome.err) == (0, "")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Reports of a wafer-scale run, of a GPU run, and of both."""
    folder = tmp_path_factory.mktemp("reports")
    return {
        "wafers": made(folder, WAFERS),
        "gpus": made(folder, GPUS),
        "both": made(folder, WAFERS, GPUS),
    }


@pytest.fixture(scope="module")
def pages(texts: dict[str, str]) -> dict[str, Page]:
    return {name: Page(text) for name, text in texts.items()}


@pytest.fixture(params=["wafers", "gpus", "both"])
def page(request: pytest.FixtureRequest, pages: dict[str, Page]) -> Page:
    return pages[request.param]


def test_the_answer_comes_first_and_sections_follow_in_order(page: Page) -> None:
    names = [one.attributes["id"] for one in page.all("section", "ws-section")]
    # a run that nothing has to be said about has no notes, and wafers have no plan
    expected = [one for one in SECTIONS if one not in ("notes", "spread", "roofline") or one in names]
    assert names[-len(expected) :] == expected
    places = [page.elements.index(one) for one in (page.all("dl", "ws-tiles")[0], page.all("section", "ws-section")[0])]
    assert places == sorted(places)


def test_it_can_be_read_without_seeing_it(page: Page) -> None:
    ids = page.ids()
    assert len(ids) == len(set(ids))
    for one in page.elements:
        assert one.attributes.get("aria-labelledby", ids[0]) in ids
    assert [one.attributes.get("lang") for one in page.all("html")] == ["en"]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert all(one.attributes["href"][1:] in ids for one in page.all("a") if one.attributes["href"].startswith("#"))
    for table in page.all("table"):
        assert table.children[0].tag == "caption"
        assert table.children[0].text.strip()
    assert all(one.attributes["scope"] in ("col", "row") for one in page.all("th"))
    levels = [int(one.tag[1]) for one in page.elements if re.fullmatch("h[1-6]", one.tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_picture_has_words_and_its_numbers(page: Page) -> None:
    figures = page.all("figure")
    assert len(figures) == len(page.all("div", "picture")) == len(page.specs())
    for one in figures:
        (picture,) = [element for element in page.all("div", "picture") if one in element.parents]
        assert len(picture.attributes["aria-label"]) > 20
        section = next(parent for parent in one.parents if parent.tag == "section")
        assert any(section in table.parents for table in page.all("table"))


def test_numbers_are_those_of_the_run(pages: dict[str, Page]) -> None:
    for name, page in ((WAFERS, pages["wafers"]), (GPUS, pages["gpus"])):
        told = wsesim.simulate(load(name)).to_dict()
        tiles = {one.children[0].text: one.children[1].text for one in page.all("div", "ws-tile")}
        assert f"{told['tokens_per_s']:,.0f} tokens/s" in tiles["throughput"]
        assert tiles["step time"].startswith(show(told["step_time_s"], "s"))
        assert tiles["time to train"].startswith(show(told["training"]["time_s"], "s"))
        assert tiles["energy"].startswith(f"{show(told['training']['energy_j'] / 3600.0, 'W')}h")
        assert tiles["predicted loss"].startswith(f"{told['training']['predicted_loss']:.3f}")
        accuracy = told["training"]["predicted_accuracy"]
        assert tiles["predicted accuracy"].startswith(f"{accuracy['average']:.3f}")
        assert all(f"{task}{value:.3f}" in page.by_id("learned").text for task, value in accuracy.items())
        bars = page.all("table", "ws-bars")[0]
        rows = {one.children[0].text.split()[0]: one.text for one in page.all("tr") if bars in one.parents}
        for part, value in told["breakdown_s"].items():
            assert show(value, "s") in rows[part]
            assert f"{100 * value / told['step_time_s']:.1f}%" in rows[part]
        assumed = page.by_id("assumptions").text
        for one in told["assumptions"]:
            assert one["key"] in assumed
            assert one["status"] in assumed
        assert all(note in page.by_id("notes").text for note in told["notes"])


def test_the_line_of_gpus_beside_says_what_it_rests_on(pages: dict[str, Page]) -> None:
    assumed = pages["wafers"].by_id("assumptions").text
    assert "Numbers of the line of DGX A100 80 GB that are not public" in assumed
    told = wsesim.simulate(load(GPUS)).to_dict()["assumptions"]
    used = {one["key"] for one in told if ".calibration." in one["key"]}
    assert used
    assert all(key in assumed for key in used)
    assert "Numbers of the line" not in pages["gpus"].by_id("assumptions").text


def test_a_source_leads_to_its_address() -> None:
    (link,) = source_cell("usc-2024")
    assert isinstance(link, Link)
    assert link.address.startswith("https://")
    assert source_cell("my own bench") == "my own bench"
    (nobody,) = source_cell("none")
    assert isinstance(nobody, Link)
    assert (nobody.address, nobody.key) == ("", "none")


def test_nothing_is_loaded_from_elsewhere(page: Page, texts: dict[str, str]) -> None:
    for one in page.elements:
        assert one.tag not in ("img", "iframe", "object", "embed", "base")
        assert "src" not in one.attributes
        assert one.tag != "link" or one.attributes["href"] == "data:,"
    (style,) = [one.text for one in page.all("style") if not any(parent.tag == "noscript" for parent in one.parents)]
    assert "url(" not in style
    assert "@import" not in style


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, texts: dict[str, str]) -> None:
    assert made(tmp_path, WAFERS) == texts["wafers"]
    assert made(tmp_path, WAFERS, GPUS) == texts["both"]


def test_runs_side_by_side_begin_with_a_sentence(pages: dict[str, Page]) -> None:
    (lead, *_) = pages["both"].all("p", "ws-bottleneck")
    assert "tokens/s" in lead.text
    assert "time to train" in lead.text
    table = pages["both"].by_id("comparison").text
    assert "Against Cerebras-GPT 111M" in table
    assert len(pages["both"].all("dl", "ws-tiles")) == 2


def test_names_from_files_are_text_and_nothing_else(tmp_path: Path, texts: dict[str, str]) -> None:
    run = tmp_path / "nasty.toml"
    run.write_text(f'extends = "{WAFERS}"\nname = {json.dumps(NASTY)}\n# {NASTY}\n', encoding="utf-8")
    page = Page(made(tmp_path, str(run)))
    ordinary = Page(texts["wafers"])
    assert len(page.all("script")) == len(ordinary.all("script"))
    assert not page.all("img")
    assert page.all("h1")[0].text == NASTY
    assert any(NASTY in spec["description"] for spec in page.specs())
    assert run.read_text(encoding="utf-8") in page.by_id("made").text


def test_sensitivity_is_added_on_demand(tmp_path: Path, pages: dict[str, Page]) -> None:
    """Two tornados of each run, with the numbers of `wsesim sensitivity` below them."""
    text = made(tmp_path, WAFERS, GPUS, "--sensitivity")
    found = call("sensitivity", WAFERS, "--json").json
    assert f"{found['constants'][0]['changed'][0]['change']:+.2%}" in text
    assert all(f'id="figure-sensitivity-{part}-{n}"' in text for part in ("uncertain", "constants") for n in (1, 2))
    assert f"wsesim report {WAFERS} {GPUS} --sensitivity --out report.html" in text
    assert not any("sensitivity" in page.ids() for page in pages.values())


def test_the_command_that_it_names_makes_it_again(tmp_path: Path) -> None:
    settings = ("--set", "cluster.num_systems=2", "--set", "training.global_batch_size=264")
    page = Page(made(tmp_path, WAFERS, *settings, "--gpu-cluster", "none"))
    command = page.by_id("made").children[2].text
    assert command == (
        f"wsesim report {WAFERS} --set cluster.num_systems=2 --set training.global_batch_size=264 "
        "--gpu-cluster none --out report.html"
    )
    assert "2 CS-2 systems" in page.all("dl", "ws-facts")[0].text
    assert "GPU" not in page.by_id("scaling").text


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["report", "--out", "x.html"], "neither a run nor --ledger"),
        (["report", WAFERS, "--ledger", "x", "--out", "x.html"], "both runs and --ledger"),
        (["report", WAFERS, "--out", "none/x.html"], "does not exist"),
        (["report", WAFERS, "--out", "."], "--out ."),
        (["report", WAFERS, "--out", "x.docx"], "x.docx"),
        (["report", WAFERS, "--out", "x.png", "--format", "svg"], "ends in .png"),
        (["report", WAFERS, "--out", "x.svg", "--picture", "breakdwn"], "did you mean breakdown"),
        (["report", WAFERS, "--out", "x.svg", "--picture", "zzz"], "timeline"),
        (["report", WAFERS, "--out", "x.html", "--picture", "memory"], "--picture memory"),
        (["report", WAFERS, "--out", "x.svg", "--sensitivity"], "--picture sensitivity"),
        (["report", "andromda_13b", "--out", "x.html"], "did you mean andromeda_13b"),
        (["report", WAFERS, "--out", "x.html", "--gpu-cluster", "andromeda"], "wafer-scale"),
        (["report", WAFERS, "--out", "x.html", "--gpu-cluster", "zzz"], "--gpu-cluster"),
        (["report", WAFERS, "--out", "x.html", "--x", "cluster.num_systems"], "--x belongs to a sweep"),
        (["report", "--ledger", "none.ledger", "--out", "x.html"], "there is no such ledger"),
        (["report", "--ledger", "none.csv", "--out", "x.html"], "there is no such table"),
        (["report", "--ledger", "none.csv", "--out", "x.html", "--set", "a=1"], "--set belongs to runs"),
    ],
)
def test_wrong_input_is_one_message_and_no_file(
    arguments: list[str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert found in outcome.err
    assert outcome.err.count("error:") == 1
    assert not list(tmp_path.iterdir())


def test_an_old_report_stays_where_a_new_one_fails(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("old", encoding="utf-8")
    assert asked(tmp_path, WAFERS, "--set", "cluster.num_systems=17").code == 1
    assert out.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of a sweep with three keys, beside its ledger; a third of its points has no answer."""
    out = tmp_path_factory.mktemp("sweep") / "points.csv"
    vary = {
        "cluster.num_systems": [1, 2, 17],
        "training.weight_sparsity": [0.0, 0.5],
        "training.optimizer": ["adamw", "sgd"],
    }
    wsesim.sweep(WAFERS, vary, out=out, workers=1)
    return out


def sweep_page(folder: Path, table: Path, *words: str) -> Page:
    return Page(made(folder, "--ledger", table, *words))


def test_keys_of_a_sweep_become_axes(tmp_path: Path, swept: Path) -> None:
    page = sweep_page(tmp_path, swept.with_name("points.csv.ledger"))
    assert page.all("h1")[0].text == "Sweep over num_systems and weight_sparsity and optimizer"
    assert "Over cluster.num_systems and training.weight_sparsity" in page.by_id("pictures").text
    assert "Other keys are held" in page.by_id("pictures").text
    assert "12 points, 8 with an answer" in page.all("dl", "ws-facts")[0].text
    assert "adamw, sgd" in page.all("dl", "ws-facts")[0].text
    assert "17 systems are more than the fabric of Andromeda takes" in page.by_id("without").text
    points = wsesim.sweep(WAFERS, {"cluster.num_systems": [2], "training.weight_sparsity": [0.5]}, workers=1)
    assert f"{points.rows[0]['tokens_per_s']:,.0f} tokens/s" in page.by_id("points").text
    chosen = sweep_page(tmp_path, swept, "--x", "training.optimizer", "--y", "mfu")
    assert len(chosen.specs()) == 1
    assert "training.optimizer" in chosen.specs()[0]["description"]


def test_the_report_of_a_ledger_says_what_answered_and_which_job(
    tmp_path: Path,
) -> None:
    run = tmp_path / "own.toml"
    given = tomli_w.dumps(
        {
            "name": "own",
            "model": {"name": "cerebras-gpt-111m"},
            "training": {"sequence_length": 2048, "global_batch_size": 120},
            "cluster": {"name": "cs2", "num_systems": 1},
        }
    )
    run.write_text(given, encoding="utf-8")
    call("sweep", run, "--vary", "cluster.num_systems=1,2", "--out", tmp_path / "own.csv", "--workers", 1)
    known = json.loads(answer("run", run, "--json").out)["simulator"]
    version, whole = f"wsesim {known['version']}", "120 x 2,048 tokens per step"
    text = sweep_page(tmp_path, tmp_path / "own.csv.ledger").all("dl", "ws-facts")[0].text
    assert f"{version}, calibration of the first point {known['calibration']}" in text
    assert whole in text
    run.write_text(given.replace("120", "240"), encoding="utf-8")
    text = sweep_page(tmp_path, tmp_path / "own.csv.ledger").all("dl", "ws-facts")[0].text
    assert version in text
    assert known["calibration"] not in text
    assert "tokens per step" not in text
    assert "answered by" not in sweep_page(tmp_path, tmp_path / "own.csv").all("dl", "ws-facts")[0].text


def test_a_table_and_its_ledger_say_the_same(tmp_path: Path, swept: Path) -> None:
    ledger, table = (sweep_page(tmp_path, swept.with_name(name)) for name in ("points.csv.ledger", "points.csv"))
    for part in ("pictures", "best", "points", "without"):
        assert ledger.by_id(part).text == table.by_id(part).text


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--x", "cluster.num_system"), "did you mean cluster.num_systems"),
        (("--x", "a", "--x", "b", "--x", "c"), "3 keys are named"),
        (("--y", "tokens_per_"), "did you mean tokens_per_s"),
        (("--y", "zzz"), "is no column of numbers"),
        (("--sweep", "zzz"), "a table holds one sweep"),
    ],
)
def test_what_no_sweep_has_is_named(tmp_path: Path, swept: Path, options: tuple[str, ...], found: str) -> None:
    outcome = asked(tmp_path, "--ledger", swept, *options)
    assert outcome.code == 2
    assert found in outcome.err


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("empty.csv", b"", "no table of a sweep"),
        ("header.csv", b"a,status,message\n", "no finished point"),
        ("other.csv", b"a,b\n1,2\n", "no table of a sweep"),
        ("ragged.csv", b"a,status,message\n1\n", "line 2 has 1 of 3 columns"),
        ("binary.csv", b"\xff\xfe\x00", "is not text"),
        ("binary.parquet", b"PAR1 and not", "cannot be read"),
        ("text.ledger", b"not a database at all", "no ledger of sweeps"),
        ("empty.ledger", b"", "no ledger of sweeps"),
        ("damaged.ledger", b"SQLite format 3\x00" + b"\xff" * 4000, "damaged"),
    ],
)
def test_files_that_hold_no_sweep_are_one_message(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = asked(tmp_path, "--ledger", name)
    assert outcome.code == 2
    assert found in outcome.err
    assert not (tmp_path / "report.html").exists()


def test_a_sweep_without_answers_is_no_report(tmp_path: Path) -> None:
    table = tmp_path / "none.csv"
    table.write_text("cluster.num_systems,status,message\n7,refused,does not divide\n", encoding="utf-8")
    outcome = asked(tmp_path, "--ledger", table)
    assert outcome.code == 1
    assert "does not divide" in outcome.err


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_one_picture_for_a_paper(tmp_path: Path, ending: str, begins: bytes) -> None:
    out = tmp_path / f"picture.{ending}"
    printed = json.loads(answer("report", WAFERS, "--out", out, "--picture", "totals", "--json").out)
    assert out.read_bytes().startswith(begins)
    assert printed == {"out": str(out), "format": ending, "size_bytes": out.stat().st_size}


def test_a_format_needs_no_ending(tmp_path: Path) -> None:
    assert "picture" in answer("report", WAFERS, "--out", tmp_path / "picture", "--format", "svg").out
    assert (tmp_path / "picture").read_bytes().startswith(b"<svg")


@pytest.mark.parametrize("name", [WAFERS, GPUS])
def test_every_picture_is_what_the_schema_of_vega_lite_allows(name: str) -> None:
    study = Study((wsesim.simulate(load(name)),), "none")
    for word in PICTURES:
        if (name, word) == (GPUS, "roofline"):
            continue  # of machines whose weights come over a port
        picture = picture_of(study, word)
        data = {key: list(rows[:1]) for key, rows in picture.datasets.items()}
        alt.Chart.from_dict({**picture.template, "datasets": data}, validate=True)
        assert picture.description


def test_the_script_of_the_pictures_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda snippet: made.append(snippet) or "script")
    render.bundle.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert render.bundle("one") == "script"
    render.bundle.cache_clear()
    assert render.bundle("one") == "script"
    assert made == ["one"]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert render.bundle("other") == "script"
    assert made == ["one", "other"]
    assert [path.suffix for path in (tmp_path / "wsesim").iterdir()] == [".js"]
    render.bundle.cache_clear()


def test_pictures_are_drawn_in_a_browser_without_a_network(
    browser: Chrome, tmp_path: Path, texts: dict[str, str]
) -> None:
    run = tmp_path / "nasty.toml"
    run.write_text(f'extends = "{WAFERS}"\nname = {json.dumps(NASTY)}\n', encoding="utf-8")
    pages = {"both.html": texts["both"], "nasty.html": made(tmp_path, str(run), "--gpu-cluster", "none")}
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        for width, is_dark in ((320, True), (1280, False)):
            show_at(browser, width, is_dark=is_dark)
            browser.get((tmp_path / name).as_uri())
            wait_for_pictures(browser)
            assert overflow_px(browser) == 0
            assert errors(browser) == []
            assert not browser.execute_script("return window.hacked")
            assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
            widths = browser.execute_script(
                "return [...document.querySelectorAll('.picture :is(svg, canvas)')].map((one) => one.clientWidth)"
            )
            assert len(widths) >= 4
            assert min(widths) > 200

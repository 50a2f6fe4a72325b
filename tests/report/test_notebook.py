"""Answers show themselves in notebooks: a fragment of HTML that stands for itself, and a line of text."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import wsesim
from tests.front_door import answer, call
from wsesim.study.scaling import scaling
from wsesim.view import ShowsItself

PORTFOLIO = Path(__file__).resolve().parents[2] / "docs/examples/portfolio.toml"
WAFER, GPU = "cerebras_gpt_111m", "cerebras_gpt_111m_gpu"
NASTY = "<script>alert(1)</script> & 'co'"
ALONE = {"meta", "br", "hr", "img", "rect"}
SHOWN: dict[str, tuple[Callable[[], ShowsItself], tuple[str, ...]]] = {
    "run": (lambda: wsesim.simulate(wsesim.load(WAFER)), ("time to train", "gemm", "products with weights")),
    "GPU run": (lambda: wsesim.simulate(wsesim.load(GPU)), ("kernels", "8 A100")),
    "comparison": (lambda: wsesim.compare(WAFER, GPU, same=["time"]), ("Against", "the same time", "tokens/s per kW")),
    "scaling": (
        lambda: scaling(wsesim.simulate(wsesim.load("andromeda_13b"))),
        ("Weak scaling: same batch", "285,8", "efficiency"),
    ),
    "sweep": (
        lambda: wsesim.sweep(WAFER, {"cluster.num_systems": [1, 2, 17]}, workers=1),
        ("3, 2 with an answer", "more than the fabric", "cluster.num_systems"),
    ),
    "lifetime": (
        lambda: wsesim.lifetime(wsesim.load("andromeda_13b"), replications=5),
        ("goodput", "checkpoint", "Young&#39;s formula"),
    ),
    "plan": (
        lambda: wsesim.plan(model="cerebras-gpt-111m", deadline="1 h", clusters=["andromeda"]),
        ("smallest", "1 CS-2 system (Andromeda)", "Pareto-optimal choices"),
    ),
    "plan that nothing meets": (
        lambda: wsesim.plan(model="cerebras-gpt-13b", deadline="1 h", clusters=["andromeda"]),
        ("Nothing that may be used meets it", "would do: deadline of"),
    ),
    "portfolio": (lambda: wsesim.portfolio(PORTFOLIO, "deadline"), ("all done", "6.7B", "12.0 days, met")),
}


class Tags(HTMLParser):
    """Checks that every tag is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens."""
        self.names.add(tag)
        if tag not in ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens and closes."""
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """Closes what was opened last."""
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", SHOWN)
def test_it_shows_itself(name: str) -> None:
    make, words = SHOWN[name]
    shown = make()
    html = shown._repr_html_()
    assert html.lstrip().startswith('<div class="wsesim">')
    assert not Tags(html).names & {"script", "link", "iframe", "html", "body"}
    for word in words:
        assert word in html
    line = repr(shown)
    assert line.startswith(f"<{type(shown).__name__} ")
    assert "\n" not in line
    assert len(line) < 160


def test_a_name_is_text_and_nothing_else() -> None:
    result = wsesim.simulate(wsesim.load(WAFER, [f"name={NASTY}"]))
    for shown in (result, wsesim.compare(result, GPU)):
        html = shown._repr_html_()
        assert "<script" not in html
        assert "&lt;script&gt;alert(1)" in html


def test_styles_stay_inside_the_fragment() -> None:
    """Every rule is nested in, or begins with, the class of the fragment."""
    html = wsesim.simulate(wsesim.load(WAFER))._repr_html_()
    style = html.split("<style>")[1].split("</style>")[0]
    depth, selector = 0, ""
    for sign in style:
        if sign == "{":
            if depth == 0:
                assert selector.split("*/")[-1].strip().startswith(".wsesim"), selector
            depth, selector = depth + 1, ""
        elif sign == "}":
            depth, selector = depth - 1, ""
        else:
            selector += sign
    assert depth == 0


def test_what_nobody_knows_to_show_is_said() -> None:
    with pytest.raises(TypeError, match="no notebook shows a ShowsItself"):
        ShowsItself()._repr_html_()


def test_a_comparison_as_data() -> None:
    compared = wsesim.compare(wsesim.load(WAFER), wsesim.simulate(wsesim.load(GPU)))
    frame = compared.to_pandas()
    assert list(frame["num_devices"]) == [1, 8]
    assert frame["tokens_per_s"][0] == compared.results[0].tokens_per_s
    assert frame["energy_j_low"][0] <= frame["energy_j"][0] <= frame["energy_j_high"][0]
    assert "memory" not in frame
    assert "same" not in compared.to_dict()


def test_plan_and_portfolio_are_those_of_the_command_line() -> None:
    words = ["--model", "cerebras-gpt-111m", "--deadline", "1 h", "--cluster", "andromeda"]
    found = wsesim.plan(model="cerebras-gpt-111m", deadline=3600, clusters=["andromeda"])
    assert answer("plan", *words, "--json").json == found.to_dict()
    shared = wsesim.portfolio(str(PORTFOLIO), "priority", num_systems=16, backfill=False)
    line = ["portfolio", PORTFOLIO, "--policy", "priority", "--systems", 16, "--no-backfill", "--json"]
    assert call(*line).json["jobs"] == shared.to_dict()["jobs"]

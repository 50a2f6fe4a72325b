"""What commands print fits the width of the terminal, in whole words and numbers, and without blanks at line ends."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import wsesim
from tests.front_door import on_terminal
from wsesim.config import catalogue
from wsesim.report.pages.run import SCREEN, sections
from wsesim.report.terminal import print_sections
from wsesim.units import show

MOST_LINES = 36
"""Of the first screen of a run. [-]"""
WIDTHS = (40, 60, 120, 200)
PORTFOLIO = Path(__file__).resolve().parents[2] / "docs/examples/portfolio.toml"
WHOLE_RUN = ("run", "andromeda_13b", "--scaling", "--measured", "--layers", "--links", "-v")
COMMANDS = (
    WHOLE_RUN,
    ("run", "gpt3_13b_256xa100", "--top", "5", "-v"),
    ("compare", "andromeda_13b", "gpt3_13b_256xa100", "sparse_6.7b_cs3"),
    ("plan", "--model", "cerebras-gpt-1.3b", "--deadline", "7 d", "--cluster", "andromeda"),
    ("lifetime", "andromeda_13b", "--replications", "5"),
    ("portfolio", PORTFOLIO, "--policy", "deadline"),
    ("validate", "micro-batch", "--rows"),
    ("validate", "sc21-table1", "--rows"),
    ("explain", "cs2"),
    ("list",),
)


def words(text: str) -> set[str]:
    """Words, which may be broken after a hyphen; without bars and their scale."""
    text = re.sub(r"one sign is \S+", "", text)
    text = re.sub(r" events,\s+in\s+[\d.]+\s+\w+", "", text)  # differs from time to time
    return {word for word in re.findall(r"[^\s-]+", text) if not re.fullmatch(r"[█-▏░┆]+", word)}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_it_fits_every_width(command: tuple[object, ...]) -> None:
    pages = {width: on_terminal(width, *command) for width in WIDTHS}
    for width, page in pages.items():
        lines = page.splitlines()
        assert all(line == line.rstrip() for line in lines)
        if width >= 60:
            assert max(map(len, lines)) <= width
            broken = words(pages[200]) - words(page)
            assert not {word for word in broken if "://" not in word and len(word) <= width - 4}, width


def test_the_terminal_has_the_order_of_the_report() -> None:
    page = on_terminal(80, *WHOLE_RUN)
    titles = [
        *("Weak scaling", "job", "machine", "throughput", "step time", "time to train", "energy", "cost", "bottleneck"),
        *("Where the time goes", "Busy during the step", "Memory", "What would help"),
        *("Scaling\n", "Time, energy and cost", "Measured near this run", "Not public"),
    ]
    places = [page.index(f"\n{title}") for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize("name", catalogue.names("runs"))
def test_a_run_has_one_screen(name: str) -> None:
    """Of every run, on a usual terminal and on a wide one; the answer first, and nothing cut off."""
    told = list(sections(wsesim.simulate(wsesim.load(name)), level=SCREEN))
    for width in (80, 100, 160):
        shown = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
        print_sections(shown, told, beside=True)
        lines = shown.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) <= MOST_LINES, (width, len(lines))
        assert max(map(len, lines)) <= width
        assert all(line == line.rstrip() for line in lines)
        assert [line.split("  ")[0] for line in lines[1:5] if not line.startswith(" ")][:2] == ["job", "machine"]
        assert any("`-v`" in line for line in lines)


def test_a_wide_terminal_has_two_columns() -> None:
    first, *others = on_terminal(160, "run", "andromeda_13b").splitlines()
    assert first.startswith("Cerebras-GPT 13B on Andromeda")
    assert first.endswith("Where the time goes")
    assert len(others) < 24 < len(on_terminal(120, "run", "andromeda_13b").splitlines())


def test_numbers_that_are_not_public_are_counted_and_listed() -> None:
    number = len(wsesim.simulate(wsesim.load("andromeda_13b")).assumptions)
    page = on_terminal(100, "run", "andromeda_13b")
    assert f"{number} numbers are not public: `--assumptions`" in page
    assert "cluster.pue" not in page
    assert "cluster.pue" in on_terminal(100, "run", "andromeda_13b", "--assumptions")


def test_scaling_comes_first_with_days_and_cost() -> None:
    page = on_terminal(100, "run", "andromeda_13b", "--scaling")
    assert page.index("Weak scaling") < page.index("throughput")
    (own,) = re.findall(r"^ +12 .*", page.split("Strong scaling")[0], re.M)
    job = wsesim.simulate(wsesim.load("andromeda_13b")).job
    assert f"{show(job.time_s, 's')}  {show(job.cost_usd.value, 'USD')}" in own  # type: ignore[union-attr]


def test_a_curve_of_a_small_fabric_shows_every_number() -> None:
    page = on_terminal(80, "run", "andromeda_13b", "--scaling")
    weak = page.split("Weak scaling")[1].split("Strong scaling")[0]
    assert re.findall(r"^ +(\d+) ", weak, re.M) == [str(number) for number in range(1, 17)]
    sixteen = ["cluster.num_systems=16", "training.global_batch_size=1440"]
    assert f"{wsesim.simulate(wsesim.load('andromeda_13b', sixteen)).tokens_per_s:,.0f}" in weak

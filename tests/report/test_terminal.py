"""What commands print fits the width of the terminal, in whole words and numbers, and without blanks at line ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import wsesim
from tests.front_door import on_terminal

WIDTHS = (40, 60, 120, 200)
PORTFOLIO = Path(__file__).resolve().parents[2] / "docs/examples/portfolio.toml"
WHOLE_RUN = ("run", "andromeda_13b", "--scaling", "--measured", "--layers", "--links")
COMMANDS = (
    WHOLE_RUN,
    ("run", "gpt3_13b_256xa100", "--top", "5"),
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
        *("throughput", "step time", "time to train", "Where the time goes", "Busy during the step", "Memory"),
        *("Scaling", "Time, energy and cost", "Measured near this run", "Not public"),
    ]
    places = [page.index(f"\n{title}") for title in titles]
    assert places == sorted(places)


def test_a_curve_of_a_small_fabric_shows_every_number() -> None:
    page = on_terminal(80, "run", "andromeda_13b", "--scaling")
    weak = page.split("Weak scaling")[1].split("Strong scaling")[0]
    assert re.findall(r"^ +(\d+) ", weak, re.M) == [str(number) for number in range(1, 17)]
    sixteen = ["cluster.num_systems=16", "training.global_batch_size=1440"]
    assert f"{wsesim.simulate(wsesim.load('andromeda_13b', sixteen)).tokens_per_s:,.0f}" in weak

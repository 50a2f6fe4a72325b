"""What commands print fits the width of the terminal, in whole words and numbers, and without blanks at line ends."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import wsesim
from wsesim import lifetime
from wsesim.report.pages import compare, explain, goals, listing, validation
from wsesim.report.pages import lifetime as lifetime_report
from wsesim.report.pages import portfolio as portfolio_report
from wsesim.report.pages.tables import More, print_result
from wsesim.simulation import best_plans
from wsesim.study.scaling import scaling

WIDTHS = (40, 60, 80, 120, 200)
PORTFOLIO = Path(__file__).resolve().parents[2] / "docs/examples/portfolio.toml"


def wafer_run() -> Callable[[Console], None]:
    result = wsesim.simulate(wsesim.load("andromeda_13b"))
    more = More(scaling=True, measured=True, layers=True, links=True)
    return lambda console: print_result(console, result, more)


def gpu_run() -> Callable[[Console], None]:
    plans = best_plans(wsesim.load("gpt3_13b_256xa100"), 5)
    return lambda console: print_result(console, plans[0], More(plans=plans, wanted_plans=5))


def comparison() -> Callable[[Console], None]:
    compared = wsesim.compare("andromeda_13b", "gpt3_13b_256xa100", "sparse_6.7b_cs3")
    return lambda console: compare.print_comparison(console, compared)


def plan() -> Callable[[Console], None]:
    answer = wsesim.plan(model="cerebras-gpt-1.3b", deadline="7 d", clusters=["andromeda", "aws_p4d"])
    return lambda console: goals.print_answer(console, answer)


def life() -> Callable[[Console], None]:
    found = lifetime(wsesim.load("andromeda_13b"), step_time_s=7.26, replications=5)
    return lambda console: lifetime_report.print_lifetime(console, found)


def shared_cluster() -> Callable[[Console], None]:
    found = wsesim.portfolio(PORTFOLIO, "deadline")
    return lambda console: portfolio_report.print_portfolio(console, found.portfolio, found.schedule)


def measurements() -> Callable[[Console], None]:
    wafers, gpus = validation.gather("micro-batch"), validation.gather("sc21-table1")

    def show(console: Console) -> None:
        validation.print_report(console, wafers, rows=True)
        validation.print_report(console, gpus, rows=True)

    return show


def explained() -> Callable[[Console], None]:
    rows = explain.gather("cs2")
    return lambda console: explain.print_rows(console, rows)


def listed() -> Callable[[Console], None]:
    return lambda console: listing.print_catalogue(console, None)


def printed(show: Callable[[Console], None], width: int) -> str:
    file = io.StringIO()
    show(Console(file=file, width=width, color_system=None, markup=False, emoji=False, highlight=False))
    return file.getvalue()


def words(text: str) -> set[str]:
    """Words, which may be broken after a hyphen; without bars and their scale."""
    text = re.sub(r"one sign is \S+", "", text)
    return {word for word in re.findall(r"[^\s-]+", text) if not re.fullmatch(r"[█-▏░┆]+", word)}


@pytest.mark.parametrize(
    "prepare", [wafer_run, gpu_run, comparison, plan, life, shared_cluster, measurements, explained, listed]
)
def test_it_fits_every_width(prepare: Callable[[], Callable[[Console], None]]) -> None:
    show = prepare()
    pages = {width: printed(show, width) for width in WIDTHS}
    for width, page in pages.items():
        lines = page.splitlines()
        assert all(line == line.rstrip() for line in lines)
        if width >= 60:
            assert max(map(len, lines)) <= width
            broken = words(pages[200]) - words(page)
            assert not {word for word in broken if "://" not in word}, width


def test_the_terminal_has_the_order_of_the_report() -> None:
    page = printed(wafer_run(), 80)
    titles = [
        *("throughput", "step time", "time to train", "Where the time goes", "Busy during the step", "Memory"),
        *("Scaling", "Time, energy and cost", "Measured near this run", "Not public"),
    ]
    places = [page.index(f"\n{title}") for title in titles]
    assert places == sorted(places)


def test_a_curve_shows_powers_of_two_and_the_run_itself() -> None:
    result = wsesim.simulate(wsesim.load("andromeda_13b"))
    page = printed(lambda console: print_result(console, result, More(scaling=True)), 80)
    weak = page.split("Weak scaling")[1].split("Strong scaling")[0]
    assert re.findall(r"^ +(\d+) ", weak, re.M) == ["1", "2", "4", "8", "12", "16"]
    point = next(one for one in scaling(result).curves[0].points if one.num_devices == 16)
    assert f"{point.tokens_per_s:,.0f}" in weak

"""`wsesim compare` and `wsesim sensitivity`: runs side by side; what each number does to a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsesim.commands.common import (
    Form,
    command,
    console,
    format_option,
    json_option,
    limit_option,
    limited,
    paying_option,
    print_figures,
    print_json,
    print_sections,
    run_argument,
    set_option,
    told_first,
)

# `wsesim compare`: runs side by side.


@command("compare")
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    metavar="RUN...",
    help="Run files or names of catalogue runs, wafer-scale or GPU; the others are compared with the first. "
    "Or two answers of `run --json`: what moved between them, and why.",
)
@click.option(
    "--with",
    "elsewhere",
    multiple=True,
    metavar="CLUSTER:COUNT",
    help="Put the job of the first run there, too: dgx_h100:128. Repeatable.",
)
@set_option
@paying_option
@json_option
@format_option
@click.option(
    "--same",
    multiple=True,
    metavar="time|cost|energy",
    help="Search how many devices of every other run take as long for the job of the first, cost or draw as much. Repeatable.",
)
@click.option("--same-time", is_flag=True, help="The same as --same time.")
@limit_option
def compare(
    runs: tuple[str, ...],
    elsewhere: tuple[str, ...],
    settings: tuple[str, ...],
    paying: str | None,
    json: bool,
    form: Form,
    same: tuple[str, ...],
    same_time: bool,
    limit: int | None,
) -> None:
    """Runs side by side, wafer-scale and GPU: throughput, time, energy, cost, memory, parallelism."""
    if len(runs) == 2 and all(one.lower().endswith(".json") and Path(one).is_file() for one in runs):
        _two_answers(*runs, as_json=json or form is Form.json)
        return
    limited(limit)
    from wsesim.study.side_by_side import compare as put_side_by_side

    way: Any = paying  # the reader of files says what it may be
    figures: Any = tuple(dict.fromkeys([*(["time"] if same_time else []), *same]))
    compared = put_side_by_side(*runs, same=figures, elsewhere=elsewhere, paying=way, settings=settings)
    if json or form is Form.json:
        print_json(compared.to_dict())
        return
    if form is Form.csv:
        print_figures(compared.to_dict()["runs"])
        return
    from wsesim.report.pages.compare import sections
    from wsesim.report.terminal import fits

    out = console()
    has_room = (lambda table: fits(out, table)) if form is Form.text else (lambda _: True)
    print_sections(sections(compared, has_room), form)


def _two_answers(before: str, after: str, *, as_json: bool) -> None:
    """Two answers that were kept: what moved between them, and why."""
    from wsesim.study.comparison import changes

    found = changes(before, after)
    if as_json:
        print_json(found.to_dict())
        return
    from wsesim.report.pages.compare import changed_sections

    print_sections(changed_sections(found))


# `wsesim sensitivity`: what each number that nobody published, and each constant of the machine, does to the step.


@command("sensitivity")
@run_argument
@set_option
@limit_option
@json_option
@click.option("--all", "every", is_flag=True, help="Show numbers that change nothing as well.")
def sensitivity(run: str, settings: tuple[str, ...], limit: int | None, json: bool, every: bool) -> None:
    """What each assumed or calibrated number at the ends of its range, and 10 % of each machine constant, does to the step."""
    from wsesim.config.loader import load_any
    from wsesim.report.terminal import bar
    from wsesim.study.sensitivity import sensitivity as find

    limited(limit)
    read = load_any(run, settings)
    with told_first(read), bar("numbers", None) as advance:
        found = find(read, advance)
    if json:
        print_json(found.to_dict())
        return
    from wsesim.report.pages.compare import sensitivity_sections

    print_sections(sensitivity_sections(found, every=every))

"""`wsesim compare` and `wsesim sensitivity`: runs side by side; what each number does to a step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wsesim.commands.common import (
    AsJson,
    Form,
    Format,
    Limit,
    PayingOption,
    RunArgument,
    Settings,
    console,
    limited,
    print_figures,
    print_json,
    print_sections,
    told_first,
)

# `wsesim compare`: runs side by side.


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run files or names of catalogue runs, wafer-scale or GPU; the others are compared with the first. "
            "Or two answers of `run --json`: what moved between them, and why.",
        ),
    ],
    elsewhere: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="CLUSTER:COUNT", help="Put the job of the first run there, too: dgx_h100:128. Repeatable."
        ),
    ] = None,
    paying: PayingOption = None,
    json: AsJson = False,
    form: Format = Form.text,
    same: Annotated[
        list[str] | None,
        typer.Option(
            "--same",
            metavar="time|cost|energy",
            help="Search how many devices of every other run take as long for the job of the first, cost or draw as much. "
            "Repeatable.",
        ),
    ] = None,
    same_time: Annotated[bool, typer.Option("--same-time", help="The same as --same time.")] = False,
    limit: Limit = None,
) -> None:
    """Runs side by side, wafer-scale and GPU: throughput, time, energy, cost, memory, parallelism."""
    if len(runs) == 2 and all(one.lower().endswith(".json") and Path(one).is_file() for one in runs):
        _two_answers(*runs, as_json=json or form is Form.json)
        return
    limited(limit)
    from wsesim.study.side_by_side import compare as put_side_by_side

    way: Any = paying  # the reader of files says what it may be
    figures: Any = tuple(dict.fromkeys([*(["time"] if same_time else []), *(same or ())]))
    compared = put_side_by_side(*runs, same=figures, elsewhere=elsewhere or (), paying=way)
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


def sensitivity(
    run: RunArgument,
    settings: Settings = None,
    limit: Limit = None,
    json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="Show numbers that change nothing as well.")] = False,
) -> None:
    """What each assumed or calibrated number at the ends of its range, and 10 % of each machine constant, does to the step."""
    from wsesim.config.loader import load_any
    from wsesim.report.terminal import bar
    from wsesim.study.sensitivity import sensitivity as find

    limited(limit)
    read = load_any(run, settings or ())
    with told_first(read), bar("numbers", None) as advance:
        found = find(read, advance)
    if json:
        print_json(found.to_dict())
        return
    from wsesim.report.pages.compare import sensitivity_sections

    print_sections(sensitivity_sections(found, every=every))

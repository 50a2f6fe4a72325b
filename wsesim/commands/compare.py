"""`wsesim compare`: runs side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, console, print_json


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run files or names of catalogue runs, wafer-scale or GPU; the others are compared with the first.",
        ),
    ],
    json: AsJson = False,
    same_time: Annotated[
        bool,
        typer.Option(
            "--same-time", help="Search how many GPUs of every other GPU run take as long to train as the first run."
        ),
    ] = False,
) -> None:
    """Runs side by side, wafer-scale and GPU: throughput, time, energy, cost, memory, parallelism."""
    from wsesim import comparison
    from wsesim.report import compare as report

    entries = report.gather(runs)
    found = report.searches(entries) if same_time else []
    if json:
        print_json(comparison.as_dict(entries) | ({"same_time": report.same_time_dicts(found)} if same_time else {}))
    else:
        report.print_comparison(console(), entries, found)

"""`wsesim sweep`: all combinations of some settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Limit, RunArgument, Settings, limited, print_json


def sweep(
    run: RunArgument,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="KEY=VALUES",
            help="Values of one key: 1,2,4 or 1..16 or 1..192*2 (doubling) or 0.5..0.9+0.1 (steps). Repeatable: all "
            "combinations are run.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Table of all points: .csv, or .parquet.")],
    settings: Settings = None,
    executor: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="local processes, dask (a local cluster), or dask://HOST:PORT of a scheduler."
        ),
    ] = "local",
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes; all cores when left out.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keeps finished points; FILE.ledger beside --out when left out.")
    ] = None,
    limit: Limit = None,
    json: AsJson = False,
) -> None:
    """All combinations of some settings, in parallel; what is finished is kept, and a repeated sweep goes on."""
    from wsesim.report.pages import sweep as report

    limited(limit)
    result = report.run_sweep(run, vary, settings or (), out, ledger, executor, workers)
    if json:
        print_json(report.summary_dict(result, out, ledger))
    else:
        report.print_summary(result, out)
    report.check(result, out)

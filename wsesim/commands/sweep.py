"""`wsesim sweep` and `wsesim ledger`: all combinations of some settings, and the ledger that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Limit, RunArgument, Settings, console, epilog, limited, print_json, summary

# `wsesim sweep`: all combinations of some settings.


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


# `wsesim ledger`: the sweeps that a ledger holds.


ledger_app = typer.Typer(help="Sweeps that a ledger holds: list, export, clean.", no_args_is_help=True)

LedgerArgument = Annotated[Path, typer.Argument(metavar="LEDGER", help="Ledger of sweeps, for example out.csv.ledger.")]
SweepName = Annotated[
    str | None, typer.Option("--sweep", metavar="NAME", help="As `wsesim ledger list` shows it, or its start.")
]


def ledger_list(ledger: LedgerArgument, json: AsJson = False) -> None:
    """The sweeps of a ledger, and how far each is."""
    from wsesim.report.pages import sweep as report

    if json:
        print_json(report.ledger_dict(ledger))
    else:
        report.print_ledger(console(), ledger)


def ledger_export(
    ledger: LedgerArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Table to write: .csv, or .parquet.")],
    sweep: SweepName = None,
    json: AsJson = False,
) -> None:
    """Write the finished points of a sweep, also of one that is still running; the last one when none is named."""
    from wsesim.report.pages import sweep as report

    rows = report.export(ledger, out, sweep)
    if json:
        print_json({"ledger": str(ledger), "out": str(out), "points": rows})
    else:
        typer.echo(f"{out}: {rows:,} points", err=True)


def ledger_clean(
    ledger: LedgerArgument,
    failures: Annotated[bool, typer.Option("--failures", help="Points without an answer, to run them again.")] = False,
    old_versions: Annotated[bool, typer.Option("--old-versions", help="What other versions of wsesim made.")] = False,
    sweep: SweepName = None,
    json: AsJson = False,
) -> None:
    """Remove points from a ledger, and give back their space."""
    from wsesim.report.pages import sweep as report

    removed = report.clean(ledger, failures=failures, old_versions=old_versions, sweep_name=sweep)
    if json:
        print_json({"ledger": str(ledger), "removed": removed})
    else:
        typer.echo(f"{ledger}: {removed:,} points removed", err=True)


_COMMANDS: dict[str, Callable[..., None]] = {"list": ledger_list, "export": ledger_export, "clean": ledger_clean}
"""In the order of the help."""
for _name, _command in _COMMANDS.items():
    ledger_app.command(name=_name, short_help=summary(_command), epilog=epilog(f"ledger {_name}"))(_command)

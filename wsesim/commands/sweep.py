"""`wsesim sweep` and `wsesim ledger`: all combinations of some settings, and the ledger that keeps them."""

from __future__ import annotations

from pathlib import Path

import click

from wsesim.commands.common import (
    A_PATH,
    command,
    console,
    json_option,
    limit_option,
    limited,
    print_json,
    run_argument,
    set_option,
)

# `wsesim sweep`: all combinations of some settings.


@command("sweep")
@run_argument
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="Values of one key: 1,2,4 or 1..16 or 1..192*2 (doubling) or 0.5..0.9+0.1 (steps). Repeatable: all combinations are run.",
)
@click.option("--out", type=A_PATH, required=True, metavar="FILE", help="Table of all points: .csv, or .parquet.")
@set_option
@click.option(
    "--executor",
    default="local",
    metavar="NAME",
    help="local processes, dask (a local cluster), or dask://HOST:PORT of a scheduler.",
)
@click.option("--workers", type=int, metavar="N", help="Processes; all cores when left out.")
@click.option(
    "--ledger", type=A_PATH, metavar="FILE", help="Keeps finished points; FILE.ledger beside --out when left out."
)
@limit_option
@json_option
def sweep(
    run: str,
    vary: tuple[str, ...],
    out: Path,
    settings: tuple[str, ...],
    executor: str,
    workers: int | None,
    ledger: Path | None,
    limit: int | None,
    json: bool,
) -> None:
    """All combinations of some settings, in parallel; what is finished is kept, and a repeated sweep goes on."""
    from wsesim.report.pages import sweep as report

    limited(limit)
    result = report.run_sweep(run, vary, settings, out, ledger, executor, workers)
    if json:
        print_json(report.summary_dict(result, out, ledger))
    else:
        report.print_summary(result, out, run, settings, ledger)
    report.check(result, out)


# `wsesim ledger`: the sweeps that a ledger holds.


ledger_argument = click.argument(
    "ledger", type=A_PATH, metavar="LEDGER", help="Ledger of sweeps, for example out.csv.ledger."
)
sweep_option = click.option("--sweep", metavar="NAME", help="As `wsesim ledger list` shows it, or its start.")


@command("ledger list")
@ledger_argument
@json_option
def ledger_list(ledger: Path, json: bool) -> None:
    """The sweeps of a ledger, and how far each is."""
    from wsesim.report.pages import sweep as report

    if json:
        print_json(report.ledger_dict(ledger))
    else:
        report.print_ledger(console(), ledger)


@command("ledger export")
@ledger_argument
@click.option("--out", type=A_PATH, required=True, metavar="FILE", help="Table to write: .csv, or .parquet.")
@sweep_option
@json_option
def ledger_export(ledger: Path, out: Path, sweep: str | None, json: bool) -> None:
    """Write the finished points of a sweep, also of one that is still running; the last one when none is named."""
    from wsesim.report.pages import sweep as report

    rows = report.export(ledger, out, sweep)
    if json:
        print_json({"ledger": str(ledger), "out": str(out), "points": rows})
    else:
        click.echo(f"{out}: {rows:,} points", err=True)


@command("ledger clean")
@ledger_argument
@click.option("--failures", is_flag=True, help="Points without an answer, to run them again.")
@click.option("--old-versions", is_flag=True, help="What other versions of wsesim made.")
@sweep_option
@json_option
def ledger_clean(ledger: Path, failures: bool, old_versions: bool, sweep: str | None, json: bool) -> None:
    """Remove points from a ledger, and give back their space."""
    from wsesim.report.pages import sweep as report

    removed = report.clean(ledger, failures=failures, old_versions=old_versions, sweep_name=sweep)
    if json:
        print_json({"ledger": str(ledger), "removed": removed})
    else:
        click.echo(f"{ledger}: {removed:,} points removed", err=True)


@click.group(no_args_is_help=True, commands={"list": ledger_list, "export": ledger_export, "clean": ledger_clean})
def ledger() -> None:
    """Sweeps that a ledger holds: list, export, clean."""

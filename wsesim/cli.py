"""The command line: parse, call, render. Heavy imports happen inside the command that needs them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from wsesim import __version__
from wsesim.errors import InputError, WsesimError

if TYPE_CHECKING:
    from rich.console import Console

    from wsesim.config.loader import GPURun

app = typer.Typer(
    name="wsesim",
    help="Simulate training on clusters of wafer-scale systems: throughput, scaling, time to train.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout and sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None,
)
PLAIN_WIDTH = 100
LONGEST_LINE = 2000
MOST_PLANS = 1000
"""Plans that `--top` compares at most; each is simulated. [-]"""


class EngineName(StrEnum):
    """What runs the schedule."""

    simpy = "simpy"
    recurrence = "recurrence"


RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Run file, or the name of a catalogue run (`wsesim list runs`).")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, for example cluster.num_systems=64. Repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in SI units instead of tables.")]


def _console() -> Console:
    """Standard output; plain text of a fixed width when it is not a terminal, and without styles under NO_COLOR."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Output(
        width=None if sys.stdout.isatty() else PLAIN_WIDTH,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,  # texts come from files
        emoji=False,
    )


def _print_json(data: object) -> None:
    import json

    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wsesim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate training on clusters of wafer-scale systems."""


@app.command()
def run(
    run: RunArgument,
    settings: Settings = None,
    json: AsJson = False,
    layers: Annotated[bool, typer.Option("--layers", help="Add the time of every layer and phase.")] = False,
    links: Annotated[bool, typer.Option("--links", help="Add the traffic of every link of the fabric.")] = False,
    engine: Annotated[
        EngineName,
        typer.Option(help="simpy, the reference, or recurrence: the same times to the last digit, without a trace."),
    ] = EngineName.simpy,
    top: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PLANS, metavar="N", help="GPU runs: add the N best plans, and why others lose."),
    ] = None,
) -> None:
    """Simulate one run: throughput, where the time goes, memory, scaling, time to train."""
    from wsesim.config.loader import GPURun, load_any

    loaded = load_any(run, settings or ())
    if isinstance(loaded, GPURun):
        _refuse_on_gpus(loaded.place, layers=layers, links=links, recurrence=engine is EngineName.recurrence)
        _run_on_gpus(loaded, json, top)
        return
    if top is not None:
        raise InputError(f"--top compares plans of GPU runs, and {loaded.place} is a wafer-scale run; leave it out")
    if layers and engine is EngineName.recurrence:
        raise InputError("--layers needs the trace that only --engine simpy keeps; drop one of the two")
    from wsesim.results import simulate

    result = simulate(loaded, engine=engine.value)
    if json:
        from wsesim.report.json import result_dict

        _print_json(result_dict(result, layers=layers, links=links))
        return
    from wsesim.metrics.links import link_traffic
    from wsesim.report import tables

    console = _console()
    tables.print_result(console, result)
    if layers:
        console.print(tables.layers(result))
    if links:
        console.print(tables.links(link_traffic(result.simulation)))


def _refuse_on_gpus(place: str, *, layers: bool, links: bool, recurrence: bool) -> None:
    """Options that ask for what only wafer-scale runs have."""
    given = {"--layers": layers, "--links": links, "--engine recurrence": recurrence}
    words = [word for word, is_given in given.items() if is_given]
    if words:
        raise InputError(
            f"{place} is a GPU run, and {' and '.join(words)} {'is' if len(words) == 1 else 'are'} for wafer-scale runs; "
            f"leave {'it' if len(words) == 1 else 'them'} out"
        )


def _run_on_gpus(loaded: GPURun, json: bool, top: int | None) -> None:
    """Simulate and print a GPU run; `top` plans of it."""
    if top is None:
        from wsesim.gpu_results import simulate_gpu_run

        results = [simulate_gpu_run(loaded)]
    else:
        from wsesim.gpu_ranking import best_plans

        results = best_plans(loaded, top)
    if json:
        from wsesim.report.json import result_dict

        _print_json(result_dict(results[0], plans=results if top else ()))
        return
    from wsesim.report.gpu_tables import print_gpu_result

    print_gpu_result(_console(), results, top or 0)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
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
        _print_json(comparison.as_dict(entries) | ({"same_time": report.same_time_dicts(found)} if same_time else {}))
    else:
        report.print_comparison(_console(), entries, found)


@app.command()
def validate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="SET",
            help="One set (see the output without it), cerebras or gpu for all of a kind, or a CSV file of your own.",
        ),
    ] = None,
    rows: Annotated[
        bool | None,
        typer.Option(
            "--rows/--no-rows", help="Print every row, or only the sets; GPU rows by default only of one set."
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="Predict with this calibration: a catalogue name or a .toml file. Without SET, of wafer-scale systems."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Published measurement, prediction and error; exit code 1 past the stated tolerance.

    Without SET every row is simulated, those of GPU clusters too: 10 to 30 seconds.
    """
    from wsesim.report import validation

    found = validation.gather(what, calibration)
    if json:
        _print_json(validation.as_dict(found))
    else:
        validation.print_report(_console(), found, rows=rows)
    validation.check(found)


@app.command()
def calibrate(
    measurements: Annotated[
        Path | None,
        typer.Argument(
            metavar="MEASUREMENTS",
            help="CSV table, or a log of the vendor's software with --run. Default: the shipped table.",
        ),
    ] = None,
    system: Annotated[str, typer.Option(help="System generation to fit: a catalogue name or a .toml file.")] = "cs2",
    run: Annotated[str | None, typer.Option(help="Run file that a log file was measured with.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the calibration here; a run uses it with cluster.system.calibration.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="Source to name in the file: a key of sources.toml, or your own words.")
    ] = "",
    gpu: Annotated[
        bool,
        typer.Option("--gpu", help="Fit the six constants of GPUs instead, to the measurements that ship with wsesim."),
    ] = False,
) -> None:
    """Fit what is not public to measurements: at most four numbers, and a factor per software release."""
    from wsesim.report import calibration

    if out is not None:
        calibration.check_out(out)
    if gpu:
        from wsesim.report import gpu_calibration

        gpu_calibration.refuse(
            {
                "MEASUREMENTS": measurements,
                "--run": run,
                "--source": source,
                "--system": "" if system == "cs2" else system,
            }
        )
        found, text = gpu_calibration.fit_and_text()
        if out is not None:
            calibration.write(out, text)
        gpu_calibration.print_fit(_console(), found, text, out)
        return
    fit = calibration.fit_file(measurements, system, run)
    text = calibration.as_text(fit, source or (str(measurements.name) if measurements else "usc-2024"), system)
    if out is not None:
        calibration.write(out, text)
    calibration.print_fit(_console(), fit, text, out)


@app.command()
def explain(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Catalogue entry: a system, GPU, cluster, model, calibration or run.")
    ],
    json: AsJson = False,
) -> None:
    """Every number of a catalogue entry: value, unit, status, source."""
    from wsesim.report import explain as report

    rows = report.gather(name)
    if json:
        _print_json(report.as_dicts(rows))
    else:
        report.print_rows(_console(), rows)


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="systems, gpus, clusters, models, runs or calibrations.")
    ] = None,
    json: AsJson = False,
) -> None:
    """What the catalogue holds."""
    from wsesim.report import listing

    if json:
        _print_json(listing.as_dict(kind))
    else:
        listing.print_catalogue(_console(), kind)


@app.command()
def plan(
    goal: Annotated[str | None, typer.Argument(metavar="[GOAL]", help="Goal file; or say it with the options.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the catalogue that is to be trained.")] = None,
    target_loss: Annotated[
        float | None, typer.Option(help="Loss to reach, by a scaling law, instead of a model.")
    ] = None,
    law: Annotated[str | None, typer.Option(help="chinchilla (default) or cerebras-gpt.")] = None,
    tokens: Annotated[str | None, typer.Option(help='Training tokens, or "chinchilla": 20 per parameter.')] = None,
    deadline: Annotated[str | None, typer.Option(help='Time to train at most, for example "30 d".')] = None,
    budget: Annotated[str | None, typer.Option(help="Cost at most, in USD.")] = None,
    power: Annotated[str | None, typer.Option(help='Power at most, for example "500 kW".')] = None,
    cluster: Annotated[
        list[str] | None, typer.Option(help="Cluster that may be used, wafer-scale or GPU. Repeatable.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Which clusters, and how large, meet a goal: the smallest, the cheapest, the fastest, and what binds."""
    from wsesim.planning import goals
    from wsesim.report import goals as report
    from wsesim.report.progress import bar

    named = {"model": model and {"name": model}, "target_loss": target_loss, "law": law}
    limits = {"deadline_s": deadline, "budget_usd": budget, "power_w": power}
    wanted = goals.goal_of(goal, named, limits, tokens, cluster or ())
    with bar("planning") as advance:
        result = goals.answer(wanted, goal or "options", advance)
    if json:
        _print_json(report.as_dict(result))
    else:
        report.print_answer(_console(), result)
    if not result.is_met:
        raise typer.Exit(1)


Replications = Annotated[
    int | None, typer.Option(min=1, max=100_000, metavar="N", help="Simulate the job so many times.")
]
Seed = Annotated[int | None, typer.Option(min=0, metavar="S", help="Of all random numbers: same seed, same failures.")]


@app.command()
def lifetime(
    run: RunArgument,
    settings: Settings = None,
    replications: Replications = None,
    seed: Seed = None,
    json: AsJson = False,
) -> None:
    """The whole job with compile, checkpoints, failures and restarts: calendar time, goodput, what each cause took."""
    from wsesim.config.loader import load_any
    from wsesim.planning.lifetime import lifetime as simulate_lifetime

    life = simulate_lifetime(load_any(run, settings or ()), replications=replications, seed=seed)
    if json:
        _print_json(life.to_dict())
        return
    from wsesim.report.lifetime import print_lifetime

    print_lifetime(_console(), life)


class PolicyName(StrEnum):
    """Who goes first."""

    first_come = "first-come"
    priority = "priority"
    deadline = "deadline"


@app.command()
def portfolio(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Portfolio file: a cluster and its jobs.")],
    policy: Annotated[PolicyName, typer.Option(help="Which job goes first.")] = PolicyName.first_come,
    systems: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, metavar="N", help="Systems, or GPUs, instead of the file's.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help='Search the fewest systems that are done by then: "45 days", or a date such as 2026-03-01.',
        ),
    ] = None,
    backfill: Annotated[
        bool, typer.Option("--backfill/--no-backfill", help="Let jobs go ahead of others that they do not delay.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Jobs that share a cluster: who runs when, deadlines, how many systems they need; exit code 1 past a deadline."""
    from wsesim.report import portfolio as report

    if by is not None and systems is not None:
        raise InputError("--by searches the number of systems, and --systems sets it; drop one of the two")
    read, found = report.gather(file, policy.value, systems, by, backfill=backfill)
    if json:
        _print_json(report.as_dict(read, found))
    else:
        report.print_portfolio(_console(), read, found)
    report.check(found)


@app.command()
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
        str, typer.Option(help="local processes, dask (a local cluster), or dask://HOST:PORT of a scheduler.")
    ] = "local",
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes; all cores when left out.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keeps finished points; FILE.ledger beside --out when left out.")
    ] = None,
) -> None:
    """All combinations of some settings, in parallel; what is finished is kept, and a repeated sweep goes on."""
    from wsesim.report import sweep as report

    result = report.run_sweep(run, vary, settings or (), out, ledger, executor, workers)
    report.print_summary(result, out)


ledger_app = typer.Typer(help="Sweeps that a ledger holds: list, export, clean.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
LedgerArgument = Annotated[Path, typer.Argument(metavar="LEDGER", help="Ledger of sweeps, for example out.csv.ledger.")]
SweepName = Annotated[
    str | None, typer.Option("--sweep", metavar="NAME", help="As `wsesim ledger list` shows it, or its start.")
]


@ledger_app.command(name="list")
def ledger_list(ledger: LedgerArgument, json: AsJson = False) -> None:
    """The sweeps of a ledger, and how far each is."""
    from wsesim.report import sweep as report

    if json:
        _print_json(report.ledger_dict(ledger))
    else:
        report.print_ledger(_console(), ledger)


@ledger_app.command(name="export")
def ledger_export(
    ledger: LedgerArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Table to write: .csv, or .parquet.")],
    sweep: SweepName = None,
) -> None:
    """Write the finished points of a sweep, also of one that is still running; the last one when none is named."""
    from wsesim.report import sweep as report

    rows = report.export(ledger, out, sweep)
    typer.echo(f"{out}: {rows:,} points", err=True)


@ledger_app.command(name="clean")
def ledger_clean(
    ledger: LedgerArgument,
    failures: Annotated[bool, typer.Option("--failures", help="Points without an answer, to run them again.")] = False,
    old_versions: Annotated[bool, typer.Option("--old-versions", help="What other versions of wsesim made.")] = False,
    sweep: SweepName = None,
) -> None:
    """Remove points from a ledger, and give back their space."""
    from wsesim.report import sweep as report

    removed = report.clean(ledger, failures=failures, old_versions=old_versions, sweep_name=sweep)
    typer.echo(f"{ledger}: {removed:,} points removed", err=True)


def _prepare_streams() -> None:
    """Let no character fail that the terminal cannot show, and no stream that was closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fail(message: str, exit_code: int) -> NoReturn:
    """One message on standard error; text from files can neither flood nor control the terminal."""
    lines = ("".join(sign if sign.isprintable() else "?" for sign in line) for line in message.split("\n"))
    cut = (line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "..." for line in lines)
    typer.echo("error: " + "\n".join(cut), err=True)
    sys.exit(exit_code)


def _ignore_output() -> None:
    """What is still in the buffers has nowhere to go."""
    with contextlib.suppress(OSError):  # standard output need not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point: every failure is one message on standard error and an exit code."""
    _prepare_streams()
    try:
        app()
    except WsesimError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _ignore_output()
        sys.exit(0)
    except OSError as error:
        _ignore_output()
        place = error.filename or "standard output"
        _fail(f"{place}: cannot be written ({error.strerror}); check the free space", InputError.exit_code)
    except MemoryError:
        _fail("out of memory; make the model, the cluster or the number of chunks smaller", InputError.exit_code)

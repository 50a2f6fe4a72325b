"""`wsesim run`, `trace`, `report` and `serve`: one run as an answer, a timeline, a page with pictures, an interactive page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsesim.commands.common import (
    A_PATH,
    Form,
    command,
    console,
    format_option,
    json_option,
    limit_option,
    limited,
    paying_option,
    paying_settings,
    print_figures,
    print_json,
    print_sections,
    run_argument,
    set_option,
    told_first,
)
from wsesim.errors import InputError

if TYPE_CHECKING:
    from wsesim.config.run import Run

# `wsesim run`: simulate one run.


MOST_PLANS = 1000
"""Plans that `--top` compares at most; each is simulated. [-]"""


ENGINES = ("simpy", "recurrence")
"""What runs the schedule."""


@command("run")
@run_argument
@set_option
@paying_option
@json_option
@format_option
@click.option("--layers", is_flag=True, help="Add the time of every layer and phase.")
@click.option("--links", is_flag=True, help="Add the traffic of every link of the fabric.")
@click.option(
    "--scaling",
    is_flag=True,
    help="First, other numbers of devices, from one to all that the cluster takes: rate, time and cost.",
)
@click.option("--assumptions", is_flag=True, help="Add every number in use that is not public, with its source.")
@click.option("--verbose", "-v", is_flag=True, help="All there is to say, instead of what one screen holds.")
@click.option(
    "--measured", is_flag=True, help="Add the nearest published measurements, and what is predicted for them."
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES, case_sensitive=False),
    help="simpy, the reference, or recurrence: the same times; left out, SimPy where it is quick.",
)
@limit_option
@click.option(
    "--top",
    type=click.IntRange(1, MOST_PLANS),
    metavar="N",
    help="GPU runs: add the N best plans, and why others lose.",
)
def run(
    run: str,
    settings: tuple[str, ...],
    paying: str | None,
    json: bool,
    form: Form,
    layers: bool,
    links: bool,
    scaling: bool,
    assumptions: bool,
    verbose: bool,
    measured: bool,
    engine: str | None,
    limit: int | None,
    top: int | None,
) -> None:
    """Simulate one run: throughput, where the time goes, memory, scaling, time to train."""
    from wsesim.config.loader import load_any
    from wsesim.machines.simulation import best_plans, simulate

    limited(limit)
    loaded = load_any(run, [*settings, *paying_settings(paying)])
    _refuse(loaded, {"layers": layers, "links": links, "top": top is not None}, engine or "")
    if layers and engine == "recurrence":
        raise InputError("--layers needs the trace that only --engine simpy keeps; drop one of the two")
    with told_first(loaded):
        plans = () if top is None else tuple(best_plans(loaded, top))
        result = plans[0] if plans else simulate(loaded, engine=engine or "")
    if json or form in (Form.json, Form.csv):
        from wsesim.report.json import result_dict

        data = result_dict(result, layers=layers, links=links, plans=plans, scaling=scaling, measured=measured)
        if json or form is Form.json:
            print_json(data)
        else:
            print_figures([data])
        return
    from wsesim.report.pages.run import DETAIL, SCREEN, More, sections

    more = More(plans, top or 0, scaling, measured, layers, links, assumptions)
    print_sections(sections(result, more, DETAIL if verbose else SCREEN), form, beside=True)


def _refuse(run: Run, asked: Mapping[str, bool], engine: str) -> None:
    """Options that ask for what the run's kind of machine does not have."""
    from wsesim.machines.machine import MACHINES, machine_of

    own = machine_of(run)
    mine = f"{run.place} is a {own.words.adjective} run"
    if asked["top"] and "top" not in own.offers:
        raise InputError(f"--top compares plans of GPU runs, and {mine}; leave it out")
    words = [f"--{option}" for option, is_asked in asked.items() if is_asked and option not in own.offers]
    words += [] if engine in ("", *own.engines) else [f"--engine {engine}"]
    if words:
        others = " and ".join(
            f"{one.words.adjective} runs"
            for one in MACHINES.values()
            if engine in ("", *one.engines) and "links" in one.offers
        )
        raise InputError(
            f"{mine}, and {' and '.join(words)} {'is' if len(words) == 1 else 'are'} for {others}; "
            f"leave {'it' if len(words) == 1 else 'them'} out"
        )


# `wsesim trace`: a step as a timeline for Perfetto and chrome://tracing.


MOST_STEPS = 100
"""That `--steps` shows. [-]"""


@command("trace")
@run_argument
@click.option("--out", type=A_PATH, required=True, metavar="FILE", help="Ends in .json, or in .gz for gzip.")
@click.option(
    "--steps", type=click.IntRange(1, MOST_STEPS), default=1, metavar="N", help="Steps in a row, in the steady state."
)
@click.option(
    "--layers", metavar="A..B", help="Only these blocks: 0..3 or 0,5 or embedding,0..3,head; all when left out."
)
@set_option
@limit_option
@json_option
def trace(
    run: str, out: Path, steps: int, layers: str | None, settings: tuple[str, ...], limit: int | None, json: bool
) -> None:
    """A step as a timeline for Perfetto (https://ui.perfetto.dev) and chrome://tracing."""
    from wsesim.config.loader import load_any
    from wsesim.machines.simulation import simulate
    from wsesim.report import chrome_trace
    from wsesim.report.files import check_out
    from wsesim.report.terminal import bar, prose
    from wsesim.study.timeline import layers_in, timeline_of
    from wsesim.units import show
    from wsesim.view import plural

    limited(limit)
    check_out(out, chrome_trace.ENDINGS)
    loaded = load_any(run, settings)
    chosen = None if layers is None else layers_in(layers, loaded.model.num_layers)
    with told_first(loaded), bar("simulating"):
        timeline = timeline_of(simulate(loaded), num_steps=steps, layers=chosen)
    with bar(f"writing {out.name}", chrome_trace.num_entries(timeline)) as advance:
        size_bytes = chrome_trace.write(timeline, out, advance)
    duration_s = timeline.steps[-1].end_s - timeline.steps[0].start_s
    numbers = {"events": len(timeline.events), "tracks": len(timeline.tracks), "steps": len(timeline.steps)}
    if json:
        sizes = {"size_bytes": size_bytes, "duration_s": duration_s}
        print_json({"out": str(out), **sizes, **numbers, "notes": list(timeline.notes)})
        return
    shown = console()
    shown.print(
        prose(
            f"{out}: {show(size_bytes, 'bytes')}, {plural(numbers['events'], 'event')} on "
            f"{plural(numbers['tracks'], 'track')}, {plural(numbers['steps'], 'step')} of {show(duration_s, 's')}; "
            "open it at https://ui.perfetto.dev"
        )
    )
    for note in timeline.notes:
        shown.print(prose(f"note: {note}"))


# `wsesim report`: a page with pictures, or one picture.


FORMATS = ("html", "svg", "png", "pdf")
"""What a report is written as."""


@command("report")
@click.option("--out", type=A_PATH, required=True, metavar="FILE", help="What to write; its ending says the format.")
@click.argument(
    "runs", nargs=-1, metavar="[RUN...]", help="Run files or names of catalogue runs; several stand side by side."
)
@set_option
@paying_option
@click.option(
    "--gpu-cluster", default="", metavar="NAME", help="GPU cluster beside the scaling of wafer-scale runs, or none."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS, case_sensitive=False),
    help="html, or one picture as svg, png or pdf; by --out.",
)
@click.option(
    "--picture",
    default="",
    metavar="NAME",
    help="breakdown, machine, scaling, efficiency, timeline, memory, utilization, totals, loss, families, roofline, life, "
    "validation, sensitivity or constants.",
)
@click.option("--sensitivity", is_flag=True, help="Add what single numbers do to the step; takes some seconds more.")
@click.option(
    "--ledger", type=A_PATH, metavar="FILE", help="Instead of runs: the ledger of a sweep, or the table that it wrote."
)
@click.option("--sweep", metavar="NAME", help="As `wsesim ledger list` shows it; the last one by default.")
@click.option("--x", "axes", multiple=True, metavar="KEY", help="Varied key that becomes an axis; two at most.")
@click.option("--y", "metric", default="", metavar="METRIC", help="Column of the sweep that is drawn.")
@limit_option
@json_option
def report(
    out: Path, settings: tuple[str, ...], paying: str | None, limit: int | None, json: bool, **asked: Any
) -> None:
    """A report as one HTML file that works offline, or one picture for a paper; of runs, or of a sweep."""
    from wsesim.report import write_report
    from wsesim.units import show

    limited(limit)
    wanted = write_report.Wanted(out=out, settings=(*settings, *paying_settings(paying)), **asked)
    size_bytes = write_report.of(wanted)
    if json:
        print_json({"out": str(out), "format": wanted.format, "size_bytes": size_bytes})
    else:
        where = "; open it in a browser" if wanted.format == write_report.HTML else ""
        click.echo(f"{out}: {show(size_bytes, 'bytes')}{where}")


# `wsesim serve`: the interactive page.


@command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen at; other than loopback, others can reach it.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, metavar="PORT", help="0 takes one that is free.")
@click.option("--open/--no-open", "is_to_be_opened", help="Open it in the browser.")
@limit_option
def serve(host: str, port: int, is_to_be_opened: bool, limit: int | None) -> None:
    """Start a local page: move the system count, and see speed, time, cost and the GPU comparison change."""
    from wsesim import pool
    from wsesim.machines import machine

    limited(limit)
    machine.page_limit.set(limit or machine.page_limit.get())
    pool.begin_server()
    from wsesim.page import server

    server.serve(host, port, is_to_be_opened=is_to_be_opened)

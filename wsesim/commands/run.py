"""`wsesim run`, `trace`, `report` and `serve`: one run as an answer, a timeline, a page with pictures, an interactive page."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    paying_settings,
    print_figures,
    print_json,
    print_sections,
    told_first,
)
from wsesim.errors import InputError

if TYPE_CHECKING:
    from wsesim.config.run import Run

# `wsesim run`: simulate one run.


MOST_PLANS = 1000
"""Plans that `--top` compares at most; each is simulated. [-]"""


class EngineName(StrEnum):
    """What runs the schedule."""

    simpy = "simpy"
    recurrence = "recurrence"


def run(
    run: RunArgument,
    settings: Settings = None,
    paying: PayingOption = None,
    json: AsJson = False,
    form: Format = Form.text,
    layers: Annotated[bool, typer.Option("--layers", help="Add the time of every layer and phase.")] = False,
    links: Annotated[bool, typer.Option("--links", help="Add the traffic of every link of the fabric.")] = False,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Add other numbers of devices, from one to all that the cluster takes.")
    ] = False,
    measured: Annotated[
        bool, typer.Option("--measured", help="Add the nearest published measurements, and what is predicted for them.")
    ] = False,
    engine: Annotated[
        EngineName | None,
        typer.Option(help="simpy, the reference, or recurrence: the same times; left out, SimPy where it is quick."),
    ] = None,
    limit: Limit = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PLANS, metavar="N", help="GPU runs: add the N best plans, and why others lose."),
    ] = None,
) -> None:
    """Simulate one run: throughput, where the time goes, memory, scaling, time to train."""
    from wsesim.config.loader import load_any
    from wsesim.machines.simulation import best_plans, simulate

    limited(limit)
    loaded = load_any(run, [*(settings or ()), *paying_settings(paying)])
    _refuse(loaded, {"layers": layers, "links": links, "top": top is not None}, engine.value if engine else "")
    if layers and engine is EngineName.recurrence:
        raise InputError("--layers needs the trace that only --engine simpy keeps; drop one of the two")
    with told_first(loaded):
        plans = () if top is None else tuple(best_plans(loaded, top))
        result = plans[0] if plans else simulate(loaded, engine=engine.value if engine else "")
    if json or form in (Form.json, Form.csv):
        from wsesim.report.json import result_dict

        data = result_dict(result, layers=layers, links=links, plans=plans, scaling=scaling, measured=measured)
        if json or form is Form.json:
            print_json(data)
        else:
            print_figures([data])
        return
    from wsesim.report.pages.run import More, sections

    more = More(plans=plans, wanted_plans=top or 0, scaling=scaling, measured=measured, layers=layers, links=links)
    print_sections(sections(result, more), form)


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


def trace(
    run: RunArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Ends in .json, or in .gz for gzip.")],
    steps: Annotated[
        int, typer.Option(min=1, max=MOST_STEPS, metavar="N", help="Steps in a row, in the steady state.")
    ] = 1,
    layers: Annotated[
        str | None,
        typer.Option(metavar="A..B", help="Only these blocks: 0..3 or 0,5 or embedding,0..3,head; all when left out."),
    ] = None,
    settings: Settings = None,
    limit: Limit = None,
    json: AsJson = False,
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
    loaded = load_any(run, settings or ())
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


class FormatName(StrEnum):
    """What is written."""

    html = "html"
    svg = "svg"
    png = "png"
    pdf = "pdf"


def report(
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write; its ending says the format.")],
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Run files or names of catalogue runs; several stand side by side."),
    ] = None,
    settings: Settings = None,
    paying: PayingOption = None,
    gpu_cluster: Annotated[
        str, typer.Option(metavar="NAME", help="GPU cluster beside the scaling of wafer-scale runs, or none.")
    ] = "",
    kind: Annotated[
        FormatName | None, typer.Option("--format", help="html, or one picture as svg, png or pdf; by --out.")
    ] = None,
    picture: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="breakdown, machine, scaling, efficiency, timeline, memory, utilization, totals, loss, validation, "
            "sensitivity or constants.",
        ),
    ] = "",
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Add what single numbers do to the step; takes some seconds more.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of runs: the ledger of a sweep, or the table that it wrote."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(metavar="NAME", help="As `wsesim ledger list` shows it; the last one by default.")
    ] = None,
    x: Annotated[
        list[str] | None, typer.Option("--x", metavar="KEY", help="Varied key that becomes an axis; two at most.")
    ] = None,
    y: Annotated[str, typer.Option("--y", metavar="METRIC", help="Column of the sweep that is drawn.")] = "",
    limit: Limit = None,
    json: AsJson = False,
) -> None:
    """A report as one HTML file that works offline, or one picture for a paper; of runs, or of a sweep."""
    from wsesim.report import write_report
    from wsesim.units import show

    limited(limit)
    wanted = write_report.Wanted(
        out=out,
        kind=kind and kind.value,
        picture=picture,
        runs=tuple(runs or ()),
        settings=(*(settings or ()), *paying_settings(paying)),
        gpu_cluster=gpu_cluster,
        ledger=ledger,
        sweep=sweep,
        axes=tuple(x or ()),
        metric=y,
        sensitivity=sensitivity,
    )
    size_bytes = write_report.of(wanted)
    if json:
        print_json({"out": str(out), "format": wanted.format, "size_bytes": size_bytes})
    else:
        where = "; open it in a browser" if wanted.format == write_report.HTML else ""
        typer.echo(f"{out}: {show(size_bytes, 'bytes')}{where}")


# `wsesim serve`: the interactive page.


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen at; other than loopback, others can reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes one that is free.")] = 8765,
    is_to_be_opened: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = False,
    limit: Limit = None,
) -> None:
    """Start a local page: move the system count, and see speed, time, cost and the GPU comparison change."""
    from wsesim.machines import machine
    from wsesim.page import workers

    limited(limit)
    machine.page_limit.set(limit or machine.page_limit.get())
    workers.begin()
    from wsesim.page import server

    server.serve(host, port, is_to_be_opened=is_to_be_opened)

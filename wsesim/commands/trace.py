"""`wsesim trace`: a step as a timeline for Perfetto and chrome://tracing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Limit, RunArgument, Settings, console, limited, print_json, told_first

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
    from wsesim.report import chrome_trace
    from wsesim.report.files import check_out
    from wsesim.report.progress import bar
    from wsesim.report.terminal import prose
    from wsesim.simulation import simulate
    from wsesim.timeline import timeline_of
    from wsesim.timeline.choice import layers_in
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

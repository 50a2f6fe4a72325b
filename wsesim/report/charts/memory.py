"""What is held where, over what would fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.machines.machine import machine_of
from wsesim.report.charts.heads import STEP_PX, band, heads
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import CATEGORY_COLOURS
from wsesim.units import show
from wsesim.view import Place

if TYPE_CHECKING:
    import altair as alt

    from wsesim.result import Result

COLOURS = {
    "model state": CATEGORY_COLOURS["gemm"],
    "weights": CATEGORY_COLOURS["weights"],
    "gradients": CATEGORY_COLOURS["gradients"],
    "optimizer": CATEGORY_COLOURS["optimizer"],
    "activations": CATEGORY_COLOURS["activations"],
    "buffers": CATEGORY_COLOURS["launch"],
}
"""What is held, in the colours of the breakdown where it has a name in both; the state is weights, gradients and moments."""


def chart(results: Sequence[Result]) -> Picture:
    """Draw what is held, as a share of what would fit."""
    bars: list[Row] = []
    over: list[Row] = []
    for name, result in zip(unique(one.name for one in results), results, strict=True):
        for place in machine_of(result.run).words.places(result):
            words = f"{name}: {place.name}" if len(results) > 1 else place.name
            bars += _bars(len(over), words, place)
            used = place.used_bytes
            share = used / place.capacity_bytes
            said = f"{show(used, 'bytes')} of {show(place.capacity_bytes, 'bytes')} ({share:.1%})"
            over.append({"row": len(over), "head": f"{said} · {words}"})
    present = [name for name in COLOURS if any(bar["what"] == name for bar in bars)]
    described = "Memory. " + "; ".join(str(row["head"]) for row in over)
    return Picture(_template(len(over)), {"bars": bars, "heads": over}, described, params={"present": present})


def _bars(row: int, words: str, place: Place) -> list[Row]:
    """Parts of what is held, one after another."""
    found: list[Row] = []
    start = 0.0
    for what, held_bytes in place.held_bytes.items():
        end = start + 100.0 * held_bytes / place.capacity_bytes
        found.append(
            {"row": row, "place": words, "what": what, "start": start, "end": end, "held": show(held_bytes, "bytes")}
        )
        start = end
    return found


@template
def _template(num_rows: int) -> alt.TopLevelMixin:
    import altair as alt

    present = alt.param(name="present", value=list(COLOURS))
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(title=None, values={"expr": present.name}),
    )
    bars = alt.Chart(alt.NamedData("bars"))
    held = bars.mark_bar().encode(
        x=alt.X("start:Q", title="used, share of the capacity [%]", scale=alt.Scale(domain=[0, 100])),
        x2="end:Q",
        y=band(),
        color=colour,
        tooltip=[
            alt.Tooltip("place:N", title="place"),
            alt.Tooltip("what:N", title="holds"),
            alt.Tooltip("held:N", title="size"),
        ],
    )
    room = alt.Chart(alt.NamedData("heads")).mark_bar(style="frame").encode(x=alt.datum(0), x2=alt.datum(100), y=band())
    return alt.layer(room, held, heads()).add_params(present).properties(height=num_rows * STEP_PX)

"""The machine, drawn from its configuration: what all share above, the devices below, and how busy each part is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.config.cluster import AnyCluster
from wsesim.plugins import MACHINES
from wsesim.report.charts.render import Picture, Row, template
from wsesim.report.charts.theme import CATEGORY_COLOURS, SERIES_COLOURS
from wsesim.view import Level

if TYPE_CHECKING:
    import altair as alt

MOST_BOXES = 16
"""Parts of a level that are drawn one by one; more are told in words. [-]"""
BOX_PX, LINE_PX, ROOM_PX, GAP_PX = 18, 17, 8, 26
"""Height of a box, of a line of text, of the room around them in a frame, and between frames. [px]"""
WIDEST = 0.12
"""Of a box, over the width of the drawing. [-]"""
IDLE_INK, IDLE_LINK_INK = 0.14, 0.4
"""Of a part, and of a link, that does nothing, or of which nothing is known: it is still seen. [-]"""


class Frame(NamedTuple):
    """A level in its place: the edges of its frame, below its boxes, and of each line of text. [px]"""

    top: float
    boxes: float
    bottom: float
    texts: tuple[tuple[str, float], ...]


def chart(cluster: AnyCluster, busy: Mapping[str, float] | None = None) -> Picture:
    """Draw a cluster of any kind.

    Parameters
    ----------
    busy
        Shares of a step in which each part works (`Result.utilization`); None draws the machine alone. [-]
    """
    levels = MACHINES[cluster.machine].words.levels(cluster, busy or {})
    frames = _frames(levels)
    boxes = [row for level, frame in zip(levels, frames, strict=True) for row in _boxes(level, frame)]
    links = [row for pair in zip(pairwise(levels), pairwise(frames), strict=True) for row in _links(*pair)]
    texts = [
        {"says": text, "y": y, "is_name": not place} for one in frames for place, (text, y) in enumerate(one.texts)
    ]
    edges = [{"y": one.top, "y2": one.bottom} for one in frames]
    datasets: dict[str, Sequence[Row]] = {"frames": edges, "links": links, "boxes": boxes, "texts": texts}
    drawn = [f"of {one.number:,} {MOST_BOXES} are drawn" for one in levels if one.number > MOST_BOXES]
    colours = ("the fuller its colour, the longer a part works in a step",) if busy else ()
    return Picture(_template(frames[-1].bottom), datasets, _description(cluster, levels), (*colours, *drawn))


def _words(level: Level) -> list[str]:
    """Lines of a level: its name and how busy it is, what one is, what it hangs on."""
    busy = "" if level.busy is None else f" · busy {level.busy:.0%}"
    used = "" if level.link_busy is None else f" · busy {level.link_busy:.0%}"
    unlike = [f"{len(level.unlike)} of them unlike the rest"] if level.unlike else []
    return [level.name + busy, *filter(None, (level.says, level.link and level.link + used)), *unlike]


def _frames(levels: Sequence[Level]) -> list[Frame]:
    """One below the other."""
    found: list[Frame] = []
    top = 0.0
    for level in levels:
        boxes = top + ROOM_PX + BOX_PX
        texts = tuple((text, boxes + LINE_PX * (place + 1)) for place, text in enumerate(_words(level)))
        found.append(Frame(top, boxes, texts[-1][1] + ROOM_PX, texts))
        top = found[-1].bottom + GAP_PX
    return found


def _middle(place: int, number: int) -> float:
    """Where the middle of a box is, over the width of the drawing. [-]"""
    return (place + 0.5) / number


def _drawn(level: Level) -> int:
    return min(level.number, MOST_BOXES)


def _ink(share: float | None, idle: float = IDLE_INK) -> float:
    """How full a colour is. [-]"""
    return idle if share is None else idle + (1.0 - idle) * min(1.0, share)


def _boxes(level: Level, frame: Frame) -> list[Row]:
    number, top = _drawn(level), frame.top + ROOM_PX
    half = min(WIDEST, 0.8 / number) / 2.0
    return [
        {
            "x": _middle(place, number) - half,
            "x2": _middle(place, number) + half,
            "y": top,
            "y2": frame.boxes,
            "ink": _ink(level.busy),
            "is_unlike": place in level.unlike,
            "says": f"{level.name}, number {place}{': ' + level.unlike[place] if place in level.unlike else ''}",
        }
        for place in range(number)
    ]


def _links(levels: tuple[Level, Level], frames: tuple[Frame, Frame]) -> list[Row]:
    """From the frame above to each box below; where many hang on many, each on its share of those above."""
    (above, below), (upper, lower) = levels, frames
    parents, children = _drawn(above), _drawn(below)
    return [
        {
            "x": _middle(0 if below.is_of_one else place * parents // children, parents),
            "x2": _middle(place, children),
            "y": upper.bottom,
            "y2": lower.top + ROOM_PX,
            "ink": _ink(below.link_busy, IDLE_LINK_INK),
            "says": below.link,
        }
        for place in range(children)
    ]


def _description(cluster: AnyCluster, levels: Sequence[Level]) -> str:
    """The drawing in words, from the top."""
    return f"{cluster.title}, from the top: " + "; ".join(", ".join(_words(one)) for one in levels)


@template
def _template(height_px: float) -> alt.TopLevelMixin:
    import altair as alt

    across = alt.Scale(domain=[0, 1], nice=False)
    down = alt.Scale(domain=[0, height_px], reverse=True, nice=False)
    x, x2 = alt.X("x:Q", axis=None, scale=across), alt.X2("x2:Q")
    y, y2 = alt.Y("y:Q", axis=None, scale=down), alt.Y2("y2:Q")
    ink = alt.Opacity("ink:Q", scale=None, legend=None)
    says = alt.Tooltip("says:N", title="this is")
    frames = (
        alt.Chart(alt.NamedData("frames"))
        .mark_rect(style="frame", cornerRadius=4, strokeOpacity=0.5)
        .encode(x=alt.XDatum(0, axis=None, scale=across), x2=alt.X2Datum(1), y=y, y2=y2)
    )
    links = (
        alt.Chart(alt.NamedData("links"))
        .mark_rule(color=CATEGORY_COLOURS["weights"], strokeWidth=2)
        .encode(x=x, x2=x2, y=y, y2=y2, opacity=ink, tooltip=says)
    )
    unlike = alt.when(alt.datum["is_unlike"]).then(alt.value(SERIES_COLOURS[1]))
    boxes = (
        alt.Chart(alt.NamedData("boxes"))
        .mark_rect(cornerRadius=2)
        .encode(
            x=x,
            x2=x2,
            y=y,
            y2=y2,
            fillOpacity=alt.FillOpacity("ink:Q", scale=None, legend=None),
            fill=unlike.otherwise(alt.value(CATEGORY_COLOURS["gemm"])),
            stroke=unlike.otherwise(alt.value(CATEGORY_COLOURS["gemm"])),
            tooltip=says,
        )
    )
    texts = alt.Chart(alt.NamedData("texts")).encode(x=alt.value(8), y=y, text="says:N")
    mark: dict[str, Any] = {"align": "left", "baseline": "bottom", "limit": {"expr": "width - 12"}}
    names = texts.mark_text(style="label", fontWeight="bold", **mark).transform_filter(alt.datum["is_name"])
    others = texts.mark_text(style="quiet", **mark).transform_filter(~alt.datum["is_name"])
    return alt.layer(frames, links, boxes, names, others).properties(height=height_px)

"""The step as a timeline: a row for each part of the machine, and above it all of it in small, to choose a stretch from.

Very many spans are drawn as few rectangles: neighbours that are shorter than some hundredths of the picture are drawn
together, and the picture says so. `wsesim trace` has every one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from wsesim.report.charts.render import Picture, Row, template
from wsesim.report.charts.theme import CATEGORY_COLOURS, Scale, band, heads, scale_of
from wsesim.study.timeline import Event, Timeline, Track
from wsesim.units import add_up, show

if TYPE_CHECKING:
    import altair as alt

MOST_RECTANGLES, MOST_IN_SMALL = 2500, 1000
"""Rectangles that a page draws without delay, in the picture and in the strip above it. [-]"""
FINEST, COARSEST = 8192, 256
"""Parts of the time shown: what is shorter than one of them is drawn together, from the finest on. [-]"""
MOST_TRACKS = 28
"""Rows that are drawn; of more, some are left out. [-]"""
STEP_PX, STRIP_PX, BESIDE_PX = 36, 54, 30.0
"""Height of a row, of the strip, and labels that stand out on both sides. [px]"""
PASSES = {"forward": "forward", "backward": "backward", "recompute": "backward"}
SHADES = {"backward": 1.0, "forward": 0.68, "other": 0.85, "wait": 0.3}
"""How strong a span is drawn. [-]"""
PALEST = 0.5
"""How strong a rectangle is drawn, over a span, that consists of gaps. [-]"""
OUTLINE_PX = 0.4
"""Without it the shortest transfers could not be seen; what stands side by side with others has none."""
SHOWN, MOVED = ("shownFrom", "shownTo"), ("movedFrom", "movedTo")
"""Parameters: ends of the stretch of time that is drawn, and where a reader moved them to."""


@dataclass(slots=True)
class Box:
    """A rectangle: one span, or neighbours that are too short to be told apart.

    Attributes
    ----------
    kind
        Category and shade of most of its time; neighbours of the same one are drawn together first.
    spent_s
        Time of its spans by category and shade, without gaps. [s]
    """

    first: Event
    last: Event
    kind: tuple[str, str]
    spent_s: dict[tuple[str, str], float]
    count: int
    num_bytes: float
    flop: float

    @property
    def start_s(self) -> float:
        """Of its first span. [s]"""
        return self.first.start_s

    @property
    def end_s(self) -> float:
        """Of its last span. [s]"""
        return self.last.end_s

    @property
    def busy(self) -> float:
        """Share of it in which there are spans. [-]"""
        length_s = self.end_s - self.start_s
        return min(1.0, add_up(self.spent_s.values()) / length_s) if length_s > 0 else 1.0

    def with_next(self, other: Box) -> Box:
        """Both as one."""
        spent_s = dict(self.spent_s)
        for key, value in other.spent_s.items():
            spent_s[key] = spent_s.get(key, 0.0) + value
        return Box(
            self.first,
            other.last,
            max(spent_s, key=spent_s.__getitem__) if len(spent_s) > 1 else self.kind,
            spent_s,
            self.count + other.count,
            self.num_bytes + other.num_bytes,
            self.flop + other.flop,
        )


def chart(timeline: Timeline) -> Picture:
    """Draw a timeline; dragging in the strip above chooses a stretch of time."""
    tracks = shown_tracks(timeline.tracks)
    keys = {track.key for track in tracks}
    start_s, end_s = timeline.steps[0].start_s, timeline.steps[-1].end_s
    events = [one for one in timeline.events if one.track in keys and one.end_s > start_s and one.start_s < end_s]
    boxes, finest_s = _few(boxes_of(events), end_s - start_s, MOST_RECTANGLES)
    small, _ = _few(boxes, end_s - start_s, MOST_IN_SMALL)
    scale = scale_of(end_s - start_s, "s")
    notes = (*_notes(timeline, tracks, len(events), boxes, finest_s), *timeline.notes)
    kinds = {category for box in boxes for category, _ in box.spent_s}
    present = tuple(name for name in CATEGORY_COLOURS if name in kinds)
    made = _template(len(tracks), present, (start_s / scale.size, end_s / scale.size), scale.title("time"))
    rows = {track.key: row for row, track in enumerate(tracks)}
    place = partial(_place, rows=rows, scale=scale, start_s=start_s, end_s=end_s)
    datasets: dict[str, list[Row]] = {
        "boxes": [piece | _words(box) for box in boxes for piece in place(box)],
        "small": [piece for box in small for piece in place(box)],
        "heads": [{"row": row, "head": track.name} for row, track in enumerate(tracks)],
        "window": [{}],
        "steps": [{"at": step.end_s / scale.size} for step in timeline.steps],
    }
    steps = f"{len(timeline.steps)} steps" if len(timeline.steps) > 1 else "a step"
    said = f"Timeline of {steps} of {timeline.name}, {show(end_s - start_s, 's')}: {len(tracks)} parts, {len(events):,} spans"
    return Picture(made, datasets, said, notes)


def shown_tracks(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """All tracks; of very many, first without details, then those of groups spread evenly from the first to the last."""
    if len(tracks) > MOST_TRACKS:
        tracks = [track for track in tracks if not track.is_detail]
    groups = [list(found) for _, found in groupby(tracks, key=lambda track: track.group)]
    if len(tracks) <= MOST_TRACKS:
        return tuple(tracks)
    number = max(2, MOST_TRACKS * len(groups) // len(tracks))
    places = sorted({round(place * (len(groups) - 1) / (number - 1)) for place in range(number)})
    return tuple(track for place in places for track in groups[place])[:MOST_TRACKS]


def shade_of(event: Event) -> str:
    """Pass of an event, or that it is a wait; decides how strong it is drawn."""
    if event.kind == "wait":
        return "wait"
    return PASSES.get(event.phase, "other")


def boxes_of(events: Iterable[Event]) -> list[Box]:
    """A rectangle for each event, track by track, in the order of time."""
    found = []
    for one in sorted(events, key=lambda event: (event.track, event.start_s)):
        kind = (one.category, shade_of(one))
        found.append(Box(one, one, kind, {kind: one.end_s - one.start_s}, 1, one.num_bytes, one.flop))
    return found


def _few(boxes: list[Box], length_s: float, most: int) -> tuple[list[Box], float]:
    """So few rectangles that also their pieces are no more than that, and how long those may be that stand for several. [s]"""
    wanted = most
    while True:
        found, finest_s = merged(boxes, length_s, wanted)
        if sum(len(box.spent_s) for box in found) <= most or wanted <= 1:
            return found, finest_s
        wanted //= 2


def merged(boxes: list[Box], length_s: float, most: int) -> tuple[list[Box], float]:
    """So few rectangles as are wanted, and how long those may be that stand for several; 0 where none does. [s]

    Neighbours of one kind are drawn together first; where that is not enough, all neighbours.
    """
    finest_s = 0.0
    for mixed in (False, True):
        parts = FINEST
        while len(boxes) > most and parts >= (1 if mixed else COARSEST):
            finest_s = max(finest_s, length_s / parts)
            boxes = _joined(boxes, length_s / parts, mixed=mixed)
            parts //= 2
    return boxes, finest_s


def _joined(boxes: Iterable[Box], longest_s: float, *, mixed: bool) -> list[Box]:
    """Neighbours on a track as one, as long as they are not longer together."""
    found: list[Box] = []
    for box in boxes:
        last = found[-1] if found else None
        if (
            last is not None
            and box.end_s - last.start_s < longest_s
            and box.first.track == last.first.track
            and (mixed or box.kind == last.kind)
        ):
            found[-1] = last.with_next(box)
        else:
            found.append(box)
    return found


def _place(box: Box, rows: Mapping[str, int], scale: Scale, start_s: float, end_s: float) -> list[dict[str, Any]]:
    """Where a rectangle is, cut at the ends of the steps shown, and how strong; one with gaps is paler.

    One that stands for spans of several kinds has a piece of each, as wide as its share of the time.
    """
    left_s, right_s = max(box.start_s, start_s), min(box.end_s, end_s)
    length_s, whole_s, found = right_s - left_s, add_up(box.spent_s.values()), []
    for (category, shade), spent_s in box.spent_s.items():
        until_s = left_s + length_s * (spent_s / whole_s if whole_s > 0 else 1.0 / len(box.spent_s))
        found.append(
            {
                "row": rows[box.first.track],
                "start": float(f"{left_s / scale.size:.8g}"),
                "end": float(f"{until_s / scale.size:.8g}"),
                "category": category,
                "strength": round(SHADES[shade] * (PALEST + (1.0 - PALEST) * box.busy), 3),
                "outline": OUTLINE_PX if box.first.kind == "transfer" else 0.0,
            }
        )
        left_s = until_s
    return found


def _words(box: Box) -> dict[str, Any]:
    """What a rectangle is."""
    first, details = box.first, []
    if box.num_bytes:
        details.append(f"moves {show(box.num_bytes, 'bytes')}")
    if box.flop:
        details.append(f"computes {show(box.flop, 'FLOP')}")
    if box.count > 1:
        details.append(f"{box.count:,} spans, {box.busy:.0%} of the time")
        spent = [
            f"{category} {spent_s / add_up(box.spent_s.values()):.0%}" for (category, _), spent_s in box.spent_s.items()
        ]
        details += [", ".join(spent)] if len(spent) > 1 else []
    elif first.parts_s:
        details.append(", ".join(f"{name} {show(spent_s, 's')}" for name, spent_s in first.parts_s.items()))
    if first.times > 1.0:
        details.append(f"stands for {first.times:.4g} alike")
    return {
        "name": first.name if box.count == 1 else f"{first.name} to {box.last.name}",
        "time": show(box.end_s - box.start_s, "s"),
        "more": "; ".join(details),
    }


def _notes(
    timeline: Timeline, tracks: Sequence[Track], num_events: int, boxes: Sequence[Box], finest_s: float
) -> list[str]:
    found = []
    if finest_s > 0.0:
        found.append(
            f"{num_events:,} spans are drawn as {len(boxes):,} rectangles: neighbours that are shorter than "
            f"{show(finest_s, 's')} together are one, with a piece for each kind as wide as its share, paler where there are gaps"
        )
    if len(tracks) < len(timeline.tracks):
        found.append(f"{len(tracks)} of {len(timeline.tracks)} parts are drawn")
    return found


@template
def _template(num_tracks: int, present: tuple[str, ...], extent: tuple[float, float], title: str) -> alt.TopLevelMixin:
    import altair as alt

    moved = [alt.param(name=name, value=False) for name in MOVED]
    ends = alt.Chart(alt.NamedData("steps")).mark_rule(style="ideal", clip=True).encode(x="at:Q")
    lower = alt.layer(_detail(present, title), ends, heads()).properties(height=num_tracks * STEP_PX)
    return (
        alt.vconcat(_strip(present, extent), lower, spacing=8)
        .add_params(*moved, *_shown(extent))
        .properties(usermeta={"beside_px": BESIDE_PX, "renderer": "canvas", "timeline": list(extent)})
    )


def _shown(extent: tuple[float, float]) -> list[alt.Parameter]:
    """The stretch that is shown: moved by hand, else chosen in the strip, else all."""
    import altair as alt

    return [
        alt.param(
            name=name, expr=f"isNumber({by_hand}) ? {by_hand} : brush.start ? brush.start[{end}] : {extent[end]!r}"
        )
        for end, (name, by_hand) in enumerate(zip(SHOWN, MOVED, strict=True))
    ]


def _rectangles(data: str, present: tuple[str, ...]) -> alt.Chart:
    """Rectangles of a dataset; those of transfers have an outline of their colour."""
    import altair as alt

    colours: dict[str, Any] = {
        "sort": list(present),
        "scale": alt.Scale(domain=list(present), range=[CATEGORY_COLOURS[name] for name in present]),
        "legend": alt.Legend(title=None),
    }
    found: alt.Chart = (
        alt.Chart(alt.NamedData(data))
        .mark_rect(clip=True)
        .encode(
            x2="end:Q",
            color=alt.Color("category:N", **colours),
            stroke=alt.Stroke("category:N", **colours),
            strokeWidth=alt.StrokeWidth("outline:Q", scale=None),
            opacity=alt.Opacity("strength:Q", scale=None),
        )
    )
    return found


def _strip(present: tuple[str, ...], extent: tuple[float, float]) -> alt.LayerChart | alt.FacetChart:
    """All of the time in small, and the window that is shown below it."""
    import altair as alt

    brush = alt.selection_interval(name="brush", encodings=["x"], mark=alt.BrushConfig(fillOpacity=0, strokeOpacity=0))
    everything = (
        _rectangles("small", present)
        .encode(
            x=alt.X("start:Q", title=None, scale=alt.Scale(domain=list(extent), nice=False), axis=None),
            y=alt.Y("row:O", axis=None),
        )
        .properties(height=STRIP_PX)
        .add_params(brush)
    )
    window = (
        alt.Chart(alt.NamedData("window"))
        .transform_calculate(start=SHOWN[0], end=SHOWN[1])
        .mark_rect(style="window")
        .encode(x="start:Q", x2="end:Q")
    )
    return alt.layer(everything, window)


def _detail(present: tuple[str, ...], title: str) -> alt.Chart:
    """What is in the window, a row for each part."""
    import altair as alt

    domain = [{"expr": name} for name in SHOWN]
    found: alt.Chart = _rectangles("boxes", present).encode(
        x=alt.X("start:Q", title=title, scale=alt.Scale(domain=domain, nice=False, zero=False)),
        y=band(),
        tooltip=[
            alt.Tooltip("name:N", title="what"),
            alt.Tooltip("category:N", title="category"),
            alt.Tooltip("time:N", title="time"),
            alt.Tooltip("more:N", title="details"),
        ],
    )
    return found

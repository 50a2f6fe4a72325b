"""A timeline straight from the spans of a step, for machines that say no more of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wsesim.engine.trace import Span
from wsesim.machines.timeline.limits import check_size
from wsesim.machines.timeline.records import Event, Stretch, Timeline, Track


def draw(
    name: str, trace: Sequence[Span], step_s: float, num_steps: int, layers: Collection[int] | None = None
) -> Timeline:
    """Steps that are all like the first one of a trace, a track for each part."""
    spans = [span for span in trace if span.step == 0 and (layers is None or span.layer in layers or span.layer < 0)]
    check_size(len(spans) * num_steps)
    parts = list(dict.fromkeys(span.part for span in spans))
    return Timeline(
        name=name,
        tracks=tuple(Track(part, part, part) for part in parts),
        events=tuple(_event(span, step, step_s) for step in range(num_steps) for span in spans),
        arrows=(),
        counters=(),
        steps=tuple(Stretch(step, step * step_s, (step + 1) * step_s) for step in range(num_steps)),
        decisive=tuple(parts[:1]),
        notes=(),
    )


def _event(span: Span, step: int, step_s: float) -> Event:
    later_s = step * step_s
    return Event(
        track=span.part,
        name=span.kind,
        category=span.kind,
        kind="wait" if span.kind.startswith("wait_") else "work",
        start_s=span.start_s + later_s,
        end_s=span.end_s + later_s,
        step=step,
        micro_batch=span.micro_batch,
        layer=span.layer,
        phase=span.phase,
        num_bytes=span.num_bytes,
    )

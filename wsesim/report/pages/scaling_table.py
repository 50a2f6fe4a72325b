"""How a run scales, in the terminal: a line for each number of devices, with a bar for its efficiency."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType

from wsesim.report.bars import ShareBar
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.report.columns import prose
from wsesim.report.pages.parts import plain_table, section
from wsesim.study.scaling import Curve, Point, Scaling
from wsesim.units import show

TITLES = {
    "weak": ("Weak scaling", "same batch per device as the run"),
    "strong": ("Strong scaling", "same global batch as the run"),
    "gpu": ("On GPUs", "the best plan for each number, by the closed form; efficiency against the first"),
}


def curves(found: Scaling) -> list[RenderableType]:
    """A table for each curve that has points."""
    shown: list[RenderableType] = [_table(one, found) for one in found.curves if one.points]
    return [*shown, *(prose(f"note: {text}", style="yellow") for text in found.notes)]


def _table(curve: Curve, found: Scaling) -> Group:
    table = plain_table(*(f"|{name}" for name in heads(found)), "")
    for one in some(curve.points, found.own.num_devices):
        table.add_row(*cells(one), ShareBar(one.efficiency, SERIES_COLOURS[2]))
    return section(title(curve), table)


def title(curve: Curve) -> str:
    """What a curve is, and what its points have in common."""
    return ": ".join(TITLES[curve.kind])


def heads(found: Scaling) -> tuple[str, ...]:
    """What a point is told by."""
    return (found.device, "batch", "step", "tokens/s", "efficiency")


def cells(one: Point) -> tuple[str, ...]:
    """A point, as its heads say."""
    return (
        f"{one.num_devices:,}",
        f"{one.global_batch_size:,}",
        show(one.step_time_s, "s"),
        f"{one.tokens_per_s:,.4g}" if one.tokens_per_s < 1e3 else f"{one.tokens_per_s:,.0f}",
        f"{one.efficiency:.1%}",
    )


def some(points: Sequence[Point], own: int) -> list[Point]:
    """Points at powers of two, the run's own, the first and the last; all where they are few.

    Examples
    --------
    >>> points = [Point(number, 90 * number, 1.0, 1.0, 1.0) for number in range(1, 17)]
    >>> [one.num_devices for one in some(points, 12)]
    [1, 2, 4, 8, 12, 16]
    """
    ends = (points[0].num_devices, points[-1].num_devices, own)
    return [one for one in points if one.num_devices in ends or math.log2(one.num_devices).is_integer()]

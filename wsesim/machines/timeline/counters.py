"""Numbers over time: how full a buffer is, how fast a link runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from wsesim.machines.timeline.records import Counter

Points = Sequence[tuple[float, float]]
Moved = tuple[float, float, float]
"""From when to when a link carried how much. [s], [s], [bytes]"""
Window = tuple[float, float, float]
"""Time that counts as 0, and from when to when to show. [s]"""


def fill(name: str, group: str, taken: Points, capacity: float, window: Window) -> Counter:
    """Room taken in a buffer. [bytes]"""
    return Counter(name, group, "bytes", capacity, _shown(taken, window))


def rate(name: str, group: str, moved: Iterable[Moved], capacity: float, window: Window) -> Counter:
    """Rate of a link that carries one thing after another. [bytes/s]"""
    points: list[tuple[float, float]] = []
    for start_s, end_s, num_bytes in moved:
        points += [(start_s, min(capacity, _rounded(num_bytes / (end_s - start_s)))), (end_s, 0.0)]
    return Counter(name, group, "bytes/s", capacity, _shown(points, window))


def _rounded(value: float) -> float:
    """Without the noise of times that are differences; equal rates are equal then."""
    return float(f"{value:.9g}")


def _shown(points: Points, window: Window) -> tuple[tuple[float, float], ...]:
    """What a viewer needs: changes inside the window, one for each moment, and what held before."""
    origin_s, low_s, high_s = window
    begin = bisect_right(points, low_s, key=lambda point: point[0])
    end = bisect_right(points, high_s, key=lambda point: point[0])
    found = [(low_s - origin_s, points[begin - 1][1] if begin else 0.0)]
    for at_s, value in points[begin:end]:
        if at_s - origin_s == found[-1][0]:
            found.pop()
        if not found or value != found[-1][1]:
            found.append((at_s - origin_s, value))
    return tuple(found)

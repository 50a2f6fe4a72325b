"""How long to work between two checkpoints: by formula, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from wsesim.study.life import JobTimeline, replicate

GRID = tuple(2.0 ** (place / 2.0) for place in range(-4, 5))
"""Checkpoint intervals that are tried for the simulated optimum, over Daly's. [-]"""
GRID_REPLICATIONS, GRID_REPLICATIONS_LEAST = 200, 4
GRID_FAILURES = 2_000
"""Replications of each of them, and failures of all its replications, about; they meet the same ones. [-]"""
NEGLIGIBLE = 0.001
"""Share of the time that may be lost between checkpoints that cost nothing. [-]"""
STANDARD_ERRORS = 2.0
"""An interval is as good as the best where it takes longer by no more than so many standard errors. [-]"""


def young_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Work between two checkpoints, to first order [1]_. [s]

    Examples
    --------
    >>> young_interval_s(50.0, 10_000.0)
    1000.0

    References
    ----------
    .. [1] Young, Communications of the ACM 17(9), 1974, doi:10.1145/361147.361115.
    """
    return math.sqrt(2.0 * checkpoint_s * mtbf_s)


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Work between two checkpoints, to higher order [1]_. [s]

    Examples
    --------
    >>> round(daly_interval_s(50.0, 10_000.0), 1)
    966.9

    References
    ----------
    .. [1] Daly, Future Generation Computer Systems 22(3), 2006, doi:10.1016/j.future.2004.11.016.
    """
    if checkpoint_s >= 2.0 * mtbf_s:
        return mtbf_s
    share = checkpoint_s / (2.0 * mtbf_s)
    return young_interval_s(checkpoint_s, mtbf_s) * (1.0 + math.sqrt(share) / 3.0 + share / 9.0) - checkpoint_s


def waits_s(timeline: JobTimeline) -> float:
    """For which the steps wait for a checkpoint, where the next one is far enough away. [s]"""
    return timeline.waits_s(math.inf)


def least_interval_s(timeline: JobTimeline) -> float:
    """Work between two checkpoints that follow one another without a gap; none where steps stop for them. [s]"""
    return timeline.checkpoint_s if timeline.ahead_steps else 0.0


def best_interval_s(timeline: JobTimeline) -> float:
    """Work between two checkpoints by Daly's formula, whose cost is the wait; saves do not overlap. [s]

    Where steps never wait, the formula asks for a checkpoint after every step; fewer do, as storage is not free.
    """
    mtbf_s = 1.0 / timeline.rate_per_s
    cost_s = waits_s(timeline)
    enough_s = daly_interval_s(cost_s, mtbf_s) if cost_s else 2.0 * NEGLIGIBLE * mtbf_s
    return max(least_interval_s(timeline), enough_s)


def steps_between(interval_s: float, timeline: JobTimeline) -> int | None:
    """An interval in whole steps; None where it is as long as the job. [-]"""
    if interval_s >= timeline.work_s:
        return None
    return max(1, round(interval_s / timeline.step_time_s))


def with_interval(timeline: JobTimeline, interval_s: float) -> JobTimeline:
    """The same job with another checkpoint interval."""
    return replace(timeline, checkpoint_steps=steps_between(interval_s, timeline))


@dataclass(frozen=True)
class Intervals:
    """Checkpoint intervals: in use, by formula, and simulated; infinite where nothing fails or no time is lost.

    Attributes
    ----------
    used_s, young_s, daly_s, simulated_s
        Work between two checkpoints. [s]
    curve
        Intervals that were simulated, and the mean calendar time of each. [s], [s]
    as_good_s
        Shortest and longest of them that chance does not tell from the best; None where none was simulated. [s]
    replications
        Of each of them. [-]
    """

    used_s: float
    young_s: float
    daly_s: float
    simulated_s: float
    curve: tuple[tuple[float, float], ...] = ()
    as_good_s: tuple[float, float] | None = None
    replications: int = 0


def simulated_optimum(timeline: JobTimeline, around_s: float, replications: int, seed: int) -> Intervals:
    """Simulate intervals around one; the best of them, by a parabola through it and its neighbours."""
    lives = {}
    for factor in GRID:
        line = with_interval(timeline, factor * around_s)
        lives[factor * around_s] = [one.calendar_s for one in replicate(line, replications, seed)]
    curve = [(interval_s, fmean(times)) for interval_s, times in lives.items()]
    times = [calendar_s for _, calendar_s in curve]
    best = times.index(min(times))
    found_s = curve[best][0]
    if 0 < best < len(curve) - 1:
        left, here, right = times[best - 1 : best + 2]
        bend = left - 2.0 * here + right
        shift = 0.5 * (left - right) / bend if bend > 0.0 else 0.0
        found_s *= math.sqrt(2.0) ** shift
    good = [interval_s for interval_s, some in lives.items() if _is_as_good(some, lives[curve[best][0]])]
    return Intervals(0.0, 0.0, around_s, found_s, tuple(curve), (min(good), max(good)), replications)


def _is_as_good(times_s: Sequence[float], best_s: Sequence[float]) -> bool:
    """Whether lives with the same failures take as long, as far as so few of them can tell."""
    if len(times_s) < 2:
        return True
    longer_s = [one - other for one, other in zip(times_s, best_s, strict=True)]
    return fmean(longer_s) <= STANDARD_ERRORS * stdev(longer_s) / math.sqrt(len(longer_s))

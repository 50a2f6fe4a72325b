"""When a step repeats itself: one search for every machine and every engine.

Steps are simulated until two in a row take as long. A step of many repetitions, micro-batches or rounds of a pipeline, is
simulated with few of them, and with more until they are alike; then one stands for those that are missing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from wsesim.engine.program import Window
from wsesim.units import add_up

FEWEST_MICRO_BATCHES = 4
"""A step with more micro-batches than this is simulated with fewer where they repeat. [-]"""
MOST_MICRO_BATCHES = 128
"""Micro-batches after which the search for a repetition gives up, and a mean stands for the rest. [-]"""
EQUAL_PERIODS = 2
"""Consecutive micro-batches that must take every worker equally long before the rest is skipped. [-]"""
FEWEST_STEPS = 3
"""Steps whose ends tell whether two durations agree: the first step is different. [-]"""
AGREEMENT = 1e-10
"""Two durations are the same if they differ by less than this, relative to the time they end at. [-]"""
ALIKE = 1e-9
"""Rounds are alike where no job is off by more than this share of a round. [-]"""

WORTH_SHARING = 8
"""Scenarios from which on arrays over them cost less than each alone in plain numbers. [-]"""


class Seen(NamedTuple):
    """What an engine came to for one scenario, as the class of machines sees it that finishes last. [s]

    Attributes
    ----------
    decisive_class
        Which class that is. [-]
    first_step_s
        When the first class of all ended its first step.
    step_ends_s, micro_batch_ends_s
        Of all steps, and of all their micro-batches.
    spent_s
        What each of the last micro-batches was spent on.
    """

    decisive_class: int
    first_step_s: float
    step_ends_s: Sequence[float]
    micro_batch_ends_s: Sequence[float]
    spent_s: Sequence[dict[str, float]]


class Engine(Protocol):
    """Runs a program for one scenario or several, step after step."""

    def run_step(self) -> None:
        """Run one more step."""

    def settled(self) -> Sequence[bool]:
        """For each scenario, whether the last two steps took every class of machines equally long."""

    def repeats(self, periods: int) -> Sequence[bool]:
        """For each scenario, whether the last micro-batches took all workers equally long, so that no buffer fills or drains.

        Looks at the last step but one, which every worker has ended.
        """

    def seen(self, speeds: Sequence[Sequence[float]]) -> Sequence[Seen]:
        """What it came to for each scenario; of classes that end equally late the slowest decides."""


@dataclass
class Scenario:
    """What is to be simulated.

    Attributes
    ----------
    key
        Scenarios of one key can be simulated together.
    num_micro_batches
        Of a step. [-]
    periods
        Micro-batches in a row that must be alike. [-]
    max_steps
        After which no repetition is waited for. [-]
    speeds
        Of each class of machines. [-]
    """

    key: Any
    num_micro_batches: int
    periods: int
    max_steps: int
    speeds: Sequence[float]


@dataclass(frozen=True)
class Steady:
    """A scenario in its steady state.

    Attributes
    ----------
    engine
        That ran it.
    windows
        Stretches of the simulated time that make up one step: the last simulated step, and one of its micro-batches for
        each that was not simulated.
    decisive_class
        The class of machines that finishes the step last, by which the windows are cut. [-]
    step_time_s, first_step_s
        One step in the steady state; and the first one. [s]
    spent_s
        What the decisive class spends one step on. [s]
    num_steps, num_micro_batches
        Steps that were simulated, and micro-batches of each. [-]
    is_steady
        Whether two consecutive steps agreed; otherwise the step time is a mean over half of them.
    """

    engine: Any
    windows: tuple[Window, ...]
    decisive_class: int
    step_time_s: float
    first_step_s: float
    spent_s: dict[str, float]
    num_steps: int
    num_micro_batches: int
    is_steady: bool


def agree(one_s: Any, other_s: Any, now_s: Any) -> Any:
    """Whether two durations are the same at a time; of arrays, place by place."""
    return abs(one_s - other_s) <= AGREEMENT * now_s


def last_two_agree(ends_s: Sequence[float]) -> bool:
    """Whether the last two of at least three steps took equally long."""
    return len(ends_s) >= FEWEST_STEPS and bool(agree(ends_s[-1] - ends_s[-2], ends_s[-2] - ends_s[-3], ends_s[-1]))


def all_alike(workers_ends_s: Sequence[Sequence[float]], now_s: float) -> bool:
    """Whether all workers took equally long for each of some micro-batches, from when they ended them."""
    periods = [later - earlier for ends_s in workers_ends_s for earlier, later in pairwise(ends_s)]
    return bool(agree(max(periods), min(periods), now_s))


def round_s(later_s: Sequence[float]) -> float | None:
    """Length of a round, from how much later each of its jobs comes in the next; None where they disagree. [s]"""
    mean_s = add_up(later_s) / len(later_s)
    return mean_s if max(later_s) - min(later_s) <= ALIKE * mean_s else None


def lengths(first: int, wanted: int, each: int = 1, most: int | None = None) -> Iterator[int]:
    """How many repetitions of a step to simulate: twice as many each time that they are not alike, at last all, or the most.

    Parameters
    ----------
    first, wanted
        To begin with, and all. [-]
    each
        They come in groups of so many, and what is left over; `first` and `most` count groups. [-]

    Examples
    --------
    >>> list(lengths(4, 100)), list(lengths(4, 1000, most=16)), list(lengths(2, 23, each=5))
    ([4, 8, 16, 32, 64, 100], [4, 8, 16], [13, 23])
    """
    groups = first
    while (number := groups * each + wanted % each) < wanted:
        yield number
        if most is not None and groups >= most:
            return
        groups = 2 * groups if most is None else min(2 * groups, most)
    yield wanted


def search(
    scenarios: Sequence[Scenario], engine_of: Callable[[Sequence[int], int], Engine], *, skip: bool = True
) -> list[Steady]:
    """Simulate scenarios until they repeat; those that can be together, are.

    Parameters
    ----------
    engine_of
        Makes an engine for some scenarios, by their places, whose steps have so many micro-batches.
    """
    found: dict[int, Steady] = {}
    counts = [_counts(one, skip=skip) for one in scenarios]
    groups: dict[tuple[Any, int], list[int]] = {}
    for place, one in enumerate(scenarios):
        groups.setdefault((one.key, next(counts[place])), []).append(place)
    while groups:
        (key, count), places = groups.popitem()
        apart = len(places) < WORTH_SHARING and len(scenarios[places[0]].speeds) == 1
        for some in [[place] for place in places] if apart else [places]:
            answers = settle(engine_of(some, count), [scenarios[place] for place in some], count)
            for place, answer in zip(some, answers, strict=True):
                if answer is None:
                    groups.setdefault((key, next(counts[place])), []).append(place)
                else:
                    found[place] = answer
    return [found[place] for place in range(len(scenarios))]


def _counts(one: Scenario, *, skip: bool) -> Iterator[int]:
    return lengths(
        FEWEST_MICRO_BATCHES if skip else one.num_micro_batches, one.num_micro_batches, most=MOST_MICRO_BATCHES
    )


def settle(engine: Engine, scenarios: Sequence[Scenario], count: int) -> list[Steady | None]:
    """Run steps of `count` micro-batches until they repeat; None for scenarios that need more micro-batches."""
    found: dict[int, Steady | None] = {}
    step = 0
    while len(found) < len(scenarios):
        engine.run_step()
        step += 1
        settled = engine.settled()
        ready = [
            place
            for place, one in enumerate(scenarios)
            if place not in found and (step == one.max_steps or settled[place])
        ]
        if not ready:
            continue
        seen = engine.seen([one.speeds for one in scenarios])
        for place in ready:
            one = scenarios[place]
            whole = count == one.num_micro_batches
            repeats = whole or (step >= FEWEST_STEPS and count > one.periods and engine.repeats(one.periods)[place])
            is_last = repeats or count >= MOST_MICRO_BATCHES
            found[place] = _steady(engine, one, seen[place], count, (settled[place], repeats)) if is_last else None
    return [found[place] for place in range(len(scenarios))]


def _steady(engine: Engine, one: Scenario, seen: Seen, count: int, agreed: tuple[bool, bool]) -> Steady:
    """The step, of which steps and micro-batches agreed or not."""
    settled, repeats = agreed
    num_steps, missing = len(seen.step_ends_s), one.num_micro_batches - count
    over = 1 if settled else max(1, num_steps // 2)
    ends_s = (0.0, *seen.step_ends_s)
    windows = [Window(ends_s[-1 - over], ends_s[-1], 1.0 / over)]
    parts = [(seen.spent_s[-over * count :], 1.0 / over)]
    if missing:
        period = 1 if repeats else MOST_MICRO_BATCHES // 2
        window = Window(seen.micro_batch_ends_s[-2 - period], seen.micro_batch_ends_s[-2], missing / period)
        windows.append(window)
        parts.append((seen.spent_s[-1 - period : -1], missing / period))
    spent_s: dict[str, float] = {}
    for micro_batches, weight in parts:
        for spent in micro_batches:
            for kind, time_s in spent.items():
                spent_s[kind] = spent_s.get(kind, 0.0) + time_s * weight
    return Steady(
        engine=engine,
        windows=tuple(windows),
        decisive_class=seen.decisive_class,
        step_time_s=add_up(window.duration_s for window in windows),
        first_step_s=seen.first_step_s,
        spent_s=spent_s,
        num_steps=num_steps,
        num_micro_batches=count,
        is_steady=settled and repeats,
    )


@contextmanager
def collector_paused() -> Iterator[None]:
    """Simulating makes many small containers and few cycles; to look for some would take up to a third of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

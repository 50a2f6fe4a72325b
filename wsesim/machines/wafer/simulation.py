"""Runs the schedule until it repeats itself, and says which stretches of time stand for the step.

Two engines give the same answer: SimPy's event loop, which remembers a trace, and the
max-plus recurrence, which evaluates many runs at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from wsesim.config.run import Run
from wsesim.engine.clock import Clock
from wsesim.engine.collector import collector_paused
from wsesim.engine.discrete_event import DiscreteEvents
from wsesim.engine.plain import PlainEvents
from wsesim.engine.program import Program
from wsesim.engine.trace import Span, Window
from wsesim.machines.wafer.checks import check
from wsesim.machines.wafer.plan import Plan, make_plan
from wsesim.machines.wafer.streaming import numbers_of, shape_of, stacked, write_program
from wsesim.units import add_up

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsesim.engine.recurrence import Recurrence

Engine = Literal["simpy", "recurrence"]

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


@dataclass(frozen=True)
class Simulation:
    """A schedule in its steady state.

    Attributes
    ----------
    trace
        All spans of all simulated steps, in the order in which they ended; empty from the recurrence.
    spent_s
        What the decisive class spent one step on, from the recurrence; None where a trace tells. [s]
    windows
        Stretches of the simulated time that make up one step: the last simulated step, and
        one of its micro-batches for each that was not simulated.
    decisive_class
        The class of systems that finishes the step last, by which the windows are cut. [-]
    step_time_s
        One optimizer step in the steady state. [s]
    first_step_s
        The first step, which waits for no update. [s]
    num_steps
        Steps that were simulated. [-]
    num_simulated_micro_batches
        Of each step. [-]
    is_steady
        Whether two consecutive steps agreed; otherwise the step time is a mean over half of them.
    num_events, wall_s
        SimPy events, and seconds that this took. [-], [s]
    """

    run: Run
    plan: Plan
    engine: Engine
    trace: tuple[Span, ...]
    spent_s: dict[str, float] | None
    windows: tuple[Window, ...]
    decisive_class: int
    step_time_s: float
    first_step_s: float
    num_steps: int
    num_simulated_micro_batches: int
    is_steady: bool
    num_events: int
    wall_s: float


def _agree(one_s: float, other_s: float, now_s: float) -> bool:
    return abs(one_s - other_s) <= AGREEMENT * now_s


def _equal_periods(run: Run) -> int:
    """Consecutive micro-batches that must agree: where many are prefetched, a pattern is as long as that. [-]"""
    prefetched = run.cluster.input.prefetch_micro_batches
    return EQUAL_PERIODS if prefetched <= EQUAL_PERIODS else prefetched + 1


def _micro_batches_repeat(schedule: DiscreteEvents | PlainEvents, count: int, steps: int, wanted: int) -> bool:
    """Whether the last micro-batches took all workers equally long, so that no buffer fills or drains.

    Looks at the last step but one, which every worker has ended.
    """
    if steps < FEWEST_STEPS or count <= wanted:
        return False
    end = (steps - 1) * count
    periods = [
        later - earlier
        for ends in schedule.worker_ends_s.values()
        for earlier, later in pairwise(ends[end - wanted - 1 : end])
    ]
    now_s = schedule.micro_batch_ends_s[0][end - 1]
    return _agree(max(periods), min(periods), now_s)


def _last_two_agree(ends: Sequence[float]) -> bool:
    return _agree(ends[-1] - ends[-2], ends[-2] - ends[-3], ends[-1])


def _steps_repeat(schedule: DiscreteEvents | PlainEvents) -> bool:
    """Whether the last two steps took every class of systems equally long."""
    ends = schedule.step_ends_s
    return len(ends[0]) >= FEWEST_STEPS and all(_last_two_agree(end) for end in ends)


def _run_steps(run: Run, plan: Plan, count: int, num_steps: int | None) -> tuple[Clock, DiscreteEvents, int]:
    """Simulate steps with `count` micro-batches each, until they repeat or `num_steps` are done."""
    clock = Clock()
    schedule = DiscreteEvents(clock, write_program(shape_of(plan)), numbers_of(plan), count)
    schedule.start()
    for step in range(num_steps or run.cluster.simulation.max_steps):
        clock.run_until(schedule.step_done[step])
        if num_steps is None and _steps_repeat(schedule):
            break
    return clock, schedule, step + 1


def _windows(
    step_ends: Sequence[float], micro_batch_ends: Sequence[float], missing: int, *, is_steady: bool, repeats: bool
) -> tuple[Window, ...]:
    """The step as one class of systems sees it, with `missing` micro-batches that were not simulated."""
    ends = (0.0, *step_ends)
    over = 1 if is_steady else max(1, len(step_ends) // 2)
    step = Window(ends[-1 - over], ends[-1], 1.0 / over)
    if not missing:
        return (step,)
    over = 1 if repeats else MOST_MICRO_BATCHES // 2
    return step, Window(micro_batch_ends[-2 - over], micro_batch_ends[-2], missing / over)


def _first_count(plan: Plan, *, skip: bool) -> int:
    """Micro-batches of a step to begin with. [-]"""
    return min(plan.num_micro_batches, FEWEST_MICRO_BATCHES) if skip else plan.num_micro_batches


def _more(count: int, plan: Plan) -> int:
    """Micro-batches to try next: all, if twice as many are not fewer. [-]"""
    return min(2 * count, MOST_MICRO_BATCHES, plan.num_micro_batches)


def run_schedule(
    run: Run,
    *,
    engine: Engine = "simpy",
    fold: bool = True,
    num_steps: int | None = None,
    skip_micro_batches: bool = True,
) -> Simulation:
    """Simulate a run.

    Parameters
    ----------
    run
        What to simulate.
    engine
        "simpy", the reference, or "recurrence".
    fold
        Simulate equal systems once; without it every system has its own processes.
    num_steps
        Simulate just so many steps instead of looking for the steady state (SimPy only).
    skip_micro_batches
        Simulate fewer micro-batches than the step has, once they repeat.

    Returns
    -------
    Simulation
        The trace, and the step in its steady state.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.machines.wafer.checks.check`.
    """
    if engine == "recurrence":
        return run_many([run], fold=fold, skip_micro_batches=skip_micro_batches)[0]
    with collector_paused():
        return _run_one(run, fold=fold, num_steps=num_steps, skip_micro_batches=skip_micro_batches)


def _run_one(run: Run, *, fold: bool, num_steps: int | None, skip_micro_batches: bool) -> Simulation:
    check(run)
    started_s = time.perf_counter()
    plan = make_plan(run, fold=fold)
    count = _first_count(plan, skip=skip_micro_batches)
    num_events = 0
    while True:
        clock, schedule, steps = _run_steps(run, plan, count, num_steps)
        num_events += clock.num_events
        repeats = count == plan.num_micro_batches or _micro_batches_repeat(schedule, count, steps, _equal_periods(run))
        if repeats or count == MOST_MICRO_BATCHES:
            break
        count = _more(count, plan)
    last = max(
        range(len(plan.classes)), key=lambda index: (schedule.step_ends_s[index][steps - 1], -plan.classes[index].speed)
    )
    steady = _steps_repeat(schedule)
    missing = plan.num_micro_batches - count
    ends = schedule.step_ends_s[last][:steps], schedule.micro_batch_ends_s[last][: steps * count]
    windows = _windows(*ends, missing, is_steady=steady, repeats=repeats)
    return Simulation(
        run=run,
        plan=plan,
        engine="simpy",
        trace=schedule.trace,
        spent_s=None,
        windows=windows,
        decisive_class=last,
        step_time_s=add_up(window.duration_s for window in windows),
        first_step_s=schedule.step_ends_s[0][0],
        num_steps=steps,
        num_simulated_micro_batches=count,
        is_steady=steady and repeats,
        num_events=num_events,
        wall_s=time.perf_counter() - started_s,
    )


def step_time_s(run: Run) -> float:
    """Step time of one run without a trace, equal to that of `run_schedule`; numpy need not be imported. [s]

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.machines.wafer.checks.check`.
    """
    check(run)
    plan = make_plan(run)
    if len(plan.classes) > 1:
        return run_schedule(run).step_time_s
    count = _first_count(plan, skip=True)
    while True:
        schedule = _plain_steps(run, plan, count)
        steps = len(schedule.step_ends_s[0])
        repeats = count == plan.num_micro_batches or _micro_batches_repeat(schedule, count, steps, _equal_periods(run))
        if repeats or count == MOST_MICRO_BATCHES:
            break
        count = _more(count, plan)
    ends, missing = (schedule.step_ends_s[0], schedule.micro_batch_ends_s[0]), plan.num_micro_batches - count
    windows = _windows(*ends, missing, is_steady=_steps_repeat(schedule), repeats=repeats)
    return add_up(window.duration_s for window in windows)


def _plain_steps(run: Run, plan: Plan, count: int) -> PlainEvents:
    """Steps with `count` micro-batches each, until they repeat."""
    schedule = PlainEvents(write_program(shape_of(plan)), numbers_of(plan), count)
    for _ in range(run.cluster.simulation.max_steps):
        schedule.run_step()
        if _steps_repeat(schedule):
            break
    return schedule


@dataclass(frozen=True)
class Recording:
    """A schedule that ran on behind its steady state, with more of what happened.

    Attributes
    ----------
    trace
        All spans of all steps.
    step_ends_s
        For each class of systems. [s]
    taken
        For each watched buffer and class, when the room taken in it changed, and to what. [s], [bytes]
    """

    trace: tuple[Span, ...]
    step_ends_s: list[list[float]]
    taken: dict[str, list[list[tuple[float, int]]]]


def record(simulation: Simulation, num_more_steps: int, buffers: Sequence[str]) -> Recording:
    """Simulate a run once more, on SimPy, for more steps; the first ones are equal to those of `simulation`.

    Parameters
    ----------
    simulation
        From either engine.
    num_more_steps
        Steps behind the last one of `simulation`. [-]
    buffers
        To watch.
    """
    plan, count, num_steps = simulation.plan, simulation.num_simulated_micro_batches, simulation.num_steps
    clock = Clock()
    schedule = DiscreteEvents(clock, write_program(shape_of(plan)), numbers_of(plan), count)
    watched = {buffer: schedule.watch(buffer) for buffer in buffers}
    with collector_paused():
        schedule.start()
        clock.run_until(schedule.step_done[num_steps + num_more_steps - 1])
    taken = {buffer: [room.taken for room in lanes] for buffer, lanes in watched.items()}
    return Recording(schedule.trace, schedule.step_ends_s, taken)


@dataclass
class _Scenario:
    """A run on its way through the recurrence."""

    place: int
    run: Run
    plan: Plan
    count: int


def run_many(runs: Sequence[Run], *, fold: bool = True, skip_micro_batches: bool = True) -> list[Simulation]:
    """Simulate many runs with the recurrence; runs whose models have the same shape share its cost.

    A run that does not settle within a few steps is handed to SimPy.

    Parameters
    ----------
    runs
        In any order.
    fold, skip_micro_batches
        As `run_schedule`.

    Returns
    -------
    list of Simulation
        In the order of `runs`.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.machines.wafer.checks.check`, for the first run that is refused.
    """
    with collector_paused():
        return _run_many(runs, fold=fold, skip_micro_batches=skip_micro_batches)


def step_times_s(runs: Sequence[Run]) -> list[float]:
    """Step times of many runs by the recurrence, equal to those of `run_many`, in three quarters of its time or less. [s]

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `run_many`.
    """
    with collector_paused():
        found = _run_many(runs, fold=True, skip_micro_batches=True, explain=False)
    return [one.step_time_s for one in found]


def _run_many(runs: Sequence[Run], *, fold: bool, skip_micro_batches: bool, explain: bool = True) -> list[Simulation]:
    started_s = time.perf_counter()
    groups: dict[tuple[int, int, int], list[_Scenario]] = {}
    programs: dict[int, Program] = {}
    for place, run in enumerate(runs):
        check(run)
        plan = make_plan(run, fold=fold)
        program = write_program(shape_of(plan))
        programs[id(program)] = program
        count = _first_count(plan, skip=skip_micro_batches)
        scenario = _Scenario(place, run, plan, count)
        groups.setdefault((id(program), len(plan.classes), count), []).append(scenario)
    done: dict[int, Simulation] = {}
    while groups:
        (key, classes, count), scenarios = groups.popitem()
        answers = _run_group(programs[key], scenarios, count, explain=explain)
        for one, simulation in zip(scenarios, answers, strict=True):
            if simulation is not None:
                done[one.place] = simulation
                continue
            one.count = _more(count, one.plan)
            groups.setdefault((key, classes, one.count), []).append(one)
    share_s = (time.perf_counter() - started_s) / max(1, len(runs))
    return [_timed(done[place], share_s) for place in range(len(runs))]


def _timed(simulation: Simulation, wall_s: float) -> Simulation:
    object.__setattr__(simulation, "wall_s", wall_s)  # made a moment ago, and seen by nobody yet
    return simulation


def _run_group(
    program: Program, scenarios: Sequence[_Scenario], count: int, *, explain: bool
) -> list[Simulation | None]:
    """Runs of one shape; None where the micro-batches do not repeat yet, and more must be simulated."""
    import numpy as np

    from wsesim.engine.recurrence import Recurrence

    numbers = numbers_of(stacked([one.plan for one in scenarios]))
    recurrence = Recurrence(program, numbers, len(scenarios), count, explains=explain)
    found: list[Simulation | None] = [None] * len(scenarios)
    waiting = np.ones(len(scenarios), dtype=bool)
    limit = min(one.run.cluster.simulation.max_steps for one in scenarios)
    for step in range(1, limit + 1):
        recurrence.run_step()
        if step < FEWEST_STEPS:
            continue
        ends = np.stack([made[-1].end_s for made in recurrence.steps[-3:]])
        settled = waiting & _agreement(ends)
        if not settled.any():
            continue
        reading = _Reading(recurrence, [one.plan for one in scenarios])
        for place in np.flatnonzero(settled).tolist():
            found[place] = _read(reading, scenarios[place], place, count)
        waiting &= ~settled
        if not waiting.any():
            break
    for place in np.flatnonzero(waiting).tolist():
        found[place] = run_schedule(scenarios[place].run)
    return found


def _agreement(ends: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the last two of three durations agree for all classes, for each scenario."""
    difference = abs((ends[2] - ends[1]) - (ends[1] - ends[0]))
    agreed: NDArray[np.bool_] = (difference <= AGREEMENT * ends[2]).all(axis=0)
    return agreed


def _share_of_missing(number: int, count: int, missing: int, *, repeats: bool) -> float:
    """Micro-batches that were not simulated for which one that was stands in. [-]"""
    over = 1 if repeats else MOST_MICRO_BATCHES // 2
    return missing / over if count - 1 - over <= number < count - 1 else 0.0


class _Reading:
    """What all scenarios of a recurrence came to after its last step, as plain numbers by scenario."""

    def __init__(self, recurrence: Recurrence, plans: Sequence[Plan]) -> None:
        import numpy as np

        self.recurrence, steps = recurrence, recurrence.steps
        speed = np.array([[kind.speed for kind in plan.classes] for plan in plans]).T
        first = np.broadcast_to(-np.arange(len(speed))[:, None], speed.shape)
        last = np.lexsort((first, -speed, steps[-1][-1].end_s), axis=0)[-1]  # of equally late ones the slowest
        scenarios = np.arange(recurrence.num_scenarios)

        def decisive(times: NDArray[np.float64]) -> list[float]:
            seen: list[float] = times[last, scenarios].tolist()
            return seen

        self.last: list[int] = last.tolist()
        self.first_step_s: list[float] = steps[0][-1].end_s[0].tolist()
        self.step_ends_s = list(zip(*[decisive(step[-1].end_s) for step in steps], strict=True))
        self.micro_batch_ends_s = list(zip(*[decisive(made.end_s) for made in steps[-1]], strict=True))
        self.spent_s = [{kind: decisive(times) for kind, times in made.spent_s.items()} for made in steps[-1]]
        self._repeats: dict[int, list[bool]] = {}

    def repeats(self, place: int, wanted: int) -> bool:
        """As `_micro_batches_repeat`, for one scenario."""
        if wanted not in self._repeats:
            self._repeats[wanted] = self._all_workers_agree(wanted)
        return self._repeats[wanted][place]

    def _all_workers_agree(self, wanted: int) -> list[bool]:
        import numpy as np

        made = self.recurrence.steps[-2]
        if len(made) <= wanted:
            return [False] * self.recurrence.num_scenarios
        longest = np.zeros(self.recurrence.num_scenarios)
        shortest = np.full(self.recurrence.num_scenarios, np.inf)
        for worker, works in self.recurrence.working.items():
            periods = np.diff(np.stack([one.worker_ends_s[worker] for one in made[-wanted - 1 :]]), axis=0)
            longest = np.maximum(longest, np.where(works, periods, 0.0).max(axis=(0, 1)))
            shortest = np.minimum(shortest, np.where(works, periods, np.inf).min(axis=(0, 1)))
        agreed: list[bool] = (longest - shortest <= AGREEMENT * made[-1].end_s[0]).tolist()
        return agreed


def _read(reading: _Reading, scenario: _Scenario, place: int, count: int) -> Simulation | None:
    """The answer for one scenario that has settled; None where its micro-batches do not repeat."""
    plan = scenario.plan
    missing = plan.num_micro_batches - count
    repeats = not missing or reading.repeats(place, _equal_periods(scenario.run))
    if not repeats and count < MOST_MICRO_BATCHES:
        return None
    step_ends, micro_batch_ends = reading.step_ends_s[place], reading.micro_batch_ends_s[place]
    windows = _windows(step_ends, micro_batch_ends, missing, is_steady=True, repeats=repeats)
    spent_s: dict[str, float] = {}
    for number, spent in enumerate(reading.spent_s):
        weight = 1.0 + _share_of_missing(number, count, missing, repeats=repeats) if missing else 1.0
        for kind, times in spent.items():
            spent_s[kind] = spent_s.get(kind, 0.0) + times[place] * weight
    return Simulation(
        run=scenario.run,
        plan=plan,
        engine="recurrence",
        trace=(),
        spent_s=spent_s,
        windows=windows,
        decisive_class=reading.last[place],
        step_time_s=add_up(window.duration_s for window in windows),
        first_step_s=reading.first_step_s[place],
        num_steps=len(step_ends),
        num_simulated_micro_batches=count,
        is_steady=repeats,
        num_events=0,
        wall_s=0.0,
    )

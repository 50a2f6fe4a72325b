"""Runs the schedule until it repeats itself, and says which stretches of time stand for the step."""

from __future__ import annotations

import time
from dataclasses import dataclass

from wsesim.config.loader import Run
from wsesim.engine.clock import Clock
from wsesim.engine.discrete_event import DiscreteEvents
from wsesim.engine.trace import Span, Window
from wsesim.schedules.checks import check
from wsesim.schedules.plan import Plan, make_plan
from wsesim.schedules.weight_streaming import SCHEDULES

FEWEST_MICRO_BATCHES = 3
"""A step with more micro-batches than this is simulated with fewer where they repeat. [-]"""

AGREEMENT = 1e-10
"""Two durations are the same if they differ by less than this, relative to the time they end at. [-]"""


@dataclass(frozen=True)
class Simulation:
    """A schedule in its steady state.

    Attributes
    ----------
    trace
        All spans of all simulated steps, in the order in which they ended.
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
        SimPy events and seconds that this took. [-], [s]
    """

    run: Run
    plan: Plan
    trace: tuple[Span, ...]
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


def _steps_repeat(schedule: DiscreteEvents) -> bool:
    """Whether the last two steps took every class of systems equally long."""
    ends = schedule.step_ends_s
    if len(ends[0]) < 3:
        return False
    return all(_agree(end[-1] - end[-2], end[-2] - end[-3], end[-1]) for end in ends)


def _micro_batches_repeat(schedule: DiscreteEvents, count: int) -> bool:
    """Whether the last two micro-batches of the last step took every class equally long."""
    return all(
        _agree(end[-1] - end[-2], end[-2] - end[-3], end[-1])
        for end in (ends[-count:] for ends in schedule.micro_batch_ends_s)
    )


def _run_steps(run: Run, plan: Plan, count: int, num_steps: int | None, mode: str) -> tuple[Clock, DiscreteEvents, int]:
    """Simulate steps with `count` micro-batches each, until they repeat or `num_steps` are done."""
    clock = Clock()
    shape_of, write_program, numbers_of = SCHEDULES[mode]
    schedule = DiscreteEvents(clock, write_program(shape_of(plan)), numbers_of(run.cluster, plan), count)
    schedule.start()
    limit = num_steps or run.cluster.simulation.max_steps
    for step in range(limit):
        clock.run_until(schedule.step_done[step])
        if num_steps is None and _steps_repeat(schedule):
            break
    return clock, schedule, step + 1


def _last_class(schedule: DiscreteEvents, num_steps: int) -> int:
    """The class of systems that finished the last step last."""
    return max(range(len(schedule.step_ends_s)), key=lambda index: schedule.step_ends_s[index][num_steps - 1])


def _windows(schedule: DiscreteEvents, plan: Plan, count: int, num_steps: int, last: int) -> tuple[Window, ...]:
    """The step as one class of systems sees it."""
    ends = [0.0, *schedule.step_ends_s[last][:num_steps]]
    over = 1 if _steps_repeat(schedule) else max(1, num_steps // 2)
    step = Window(ends[-1 - over], ends[-1], 1.0 / over)
    missing = plan.num_micro_batches - count
    if not missing:
        return (step,)
    micro = schedule.micro_batch_ends_s[last][: num_steps * count]
    return step, Window(micro[-3], micro[-2], missing)


def run_schedule(
    run: Run,
    *,
    fold: bool = True,
    num_steps: int | None = None,
    skip_micro_batches: bool = True,
    mode: str = "weight_streaming",
) -> Simulation:
    """Simulate a run.

    Parameters
    ----------
    run
        What to simulate.
    fold
        Simulate equal systems once; without it every system has its own processes.
    num_steps
        Simulate just so many steps instead of looking for the steady state.
    skip_micro_batches
        Simulate fewer micro-batches than the step has, once they repeat.
    mode
        Execution mode, a key of `wsesim.schedules.weight_streaming.SCHEDULES`.

    Returns
    -------
    Simulation
        The trace, and the step in its steady state.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.schedules.checks.check`.
    """
    check(run)
    started_s = time.perf_counter()
    plan = make_plan(run, fold=fold)
    count = plan.num_micro_batches
    if skip_micro_batches:
        count = min(count, FEWEST_MICRO_BATCHES)
    num_events = 0
    while True:
        clock, schedule, steps = _run_steps(run, plan, count, num_steps, mode)
        num_events += clock.num_events
        if count == plan.num_micro_batches or _micro_batches_repeat(schedule, count):
            break
        count = min(2 * count, plan.num_micro_batches)
    last = _last_class(schedule, steps)
    windows = _windows(schedule, plan, count, steps, last)
    return Simulation(
        run=run,
        plan=plan,
        trace=tuple(schedule.trace),
        windows=windows,
        decisive_class=last,
        step_time_s=sum(window.duration_s for window in windows),
        first_step_s=schedule.step_ends_s[0][0],
        num_steps=steps,
        num_simulated_micro_batches=count,
        is_steady=_steps_repeat(schedule),
        num_events=num_events,
        wall_s=time.perf_counter() - started_s,
    )

"""Runs the schedule until it repeats itself, by one of the engines, which give the same answer.

SimPy is the reference and remembers a trace where one is asked for; the recurrence evaluates one run or many, without.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsesim.config.run import Run
from wsesim.engine import repeat
from wsesim.engine.evaluate import Many, Plain
from wsesim.engine.program import Span, Window
from wsesim.machines.wafer.checks import check
from wsesim.machines.wafer.plan import Plan, make_plan
from wsesim.machines.wafer.streaming import num_jobs, numbers_of, shape_of, stacked, write_program
from wsesim.units import add_up

if TYPE_CHECKING:
    from wsesim.engine.simulate import DiscreteEvents


@dataclass(frozen=True)
class Simulation:
    """A schedule in its steady state.

    Attributes
    ----------
    trace
        All spans of all simulated steps, in the order in which they ended; empty where none was asked for.
    spent_s
        What the decisive class spent one step on. [s]
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
    engine: str
    trace: tuple[Span, ...]
    spent_s: dict[str, float]
    windows: tuple[Window, ...]
    decisive_class: int
    step_time_s: float
    first_step_s: float
    num_steps: int
    num_simulated_micro_batches: int
    is_steady: bool
    num_events: int
    wall_s: float


MOST_EVENTS = 60_000
"""Events of SimPy, about 4 us each, beyond which a run that leaves the choice goes to the recurrence. [-]"""


def usual_engine(run: Run) -> str:
    """SimPy, unless it would take long; checks the run first."""
    check(run)
    plan = make_plan(run)
    passes = min(plan.num_micro_batches, repeat.FEWEST_MICRO_BATCHES) * repeat.FEWEST_STEPS
    return "simpy" if num_jobs(shape_of(plan)) * len(plan.classes) * passes <= MOST_EVENTS else "recurrence"


def run_schedule(
    run: Run,
    *,
    engine: str = "simpy",
    fold: bool = True,
    skip_micro_batches: bool = True,
    merge_chunks: bool = True,
    keeps_trace: bool = True,
) -> Simulation:
    """Simulate a run: the step in its steady state, and its trace.

    Parameters
    ----------
    fold
        Simulate equal systems once; without it every system has its own processes.
    skip_micro_batches
        Simulate fewer micro-batches than the step has, once they repeat.
    merge_chunks
        Simulate chunks as one whose number changes nothing (SimPy only).
    keeps_trace
        Whether SimPy remembers every span, which takes most of its memory.
    """
    if engine == "recurrence":
        return run_many([run], fold=fold, skip_micro_batches=skip_micro_batches)[0]
    started_s = time.perf_counter()
    check(run)
    plan = make_plan(run, fold=fold, merge=merge_chunks)
    events: list[DiscreteEvents] = []

    def engine_of(_: Sequence[int], count: int) -> repeat.Engine:
        events.append(_events(plan, count, keeps_trace=keeps_trace))
        return events[-1]

    with repeat.collector_paused():
        (found,) = repeat.search([_scenario(run, plan)], engine_of, skip=skip_micro_batches)
        num_events = add_up(one.clock.num_events for one in events)
        return _simulation(run, plan, found, started_s, trace=events[-1].trace, num_events=num_events)


def _events(plan: Plan, count: int, *, keeps_trace: bool = True) -> DiscreteEvents:
    from wsesim.engine.simulate import Clock, DiscreteEvents

    return DiscreteEvents(Clock(), write_program(shape_of(plan)), numbers_of(plan), count, keeps_trace=keeps_trace)


def _scenario(run: Run, plan: Plan) -> repeat.Scenario:
    """A run as the search for its steady state sees it: where many micro-batches are prefetched, a pattern is as long as that."""
    prefetched = run.cluster.input.prefetch_micro_batches
    return repeat.Scenario(
        key=(shape_of(plan), len(plan.classes)),
        num_micro_batches=plan.num_micro_batches,
        periods=repeat.EQUAL_PERIODS if prefetched <= repeat.EQUAL_PERIODS else prefetched + 1,
        max_steps=run.cluster.simulation.max_steps,
        speeds=[kind.speed for kind in plan.classes],
    )


def _simulation(
    run: Run, plan: Plan, found: repeat.Steady, started_s: float, *, trace: tuple[Span, ...] = (), num_events: int = 0
) -> Simulation:
    return Simulation(
        run=run,
        plan=plan,
        engine=found.engine.name,
        trace=trace,
        spent_s=found.spent_s,
        windows=found.windows,
        decisive_class=found.decisive_class,
        step_time_s=found.step_time_s,
        first_step_s=found.first_step_s,
        num_steps=found.num_steps,
        num_simulated_micro_batches=found.num_micro_batches,
        is_steady=found.is_steady,
        num_events=num_events,
        wall_s=time.perf_counter() - started_s,
    )


def run_many(runs: Sequence[Run], *, fold: bool = True, skip_micro_batches: bool = True) -> list[Simulation]:
    """Simulate many runs with the recurrence; runs whose models have the same shape share its cost."""
    began_s = time.perf_counter()
    plans = _plans(runs, fold=fold)
    found = _evaluated(runs, plans, skip=skip_micro_batches, explains=True)
    share_s = (time.perf_counter() - began_s) / max(1, len(runs))
    started_s = time.perf_counter() - share_s
    return [_simulation(run, plan, one, started_s) for run, plan, one in zip(runs, plans, found, strict=True)]


def step_times_s(runs: Sequence[Run]) -> list[float]:
    """Step times of many runs by the recurrence, equal to those of `run_many`, in three quarters of its time or less. [s]"""
    return [one.step_time_s for one in _evaluated(runs, _plans(runs), skip=True, explains=False)]


def step_time_s(run: Run) -> float:
    """Step time of one run, equal to that of `run_schedule`; numpy is not imported for equal systems. [s]"""
    return step_times_s([run])[0]


def _plans(runs: Sequence[Run], *, fold: bool = True) -> list[Plan]:
    plans = []
    for run in runs:
        check(run)
        plans.append(make_plan(run, fold=fold))
    return plans


def _evaluated(runs: Sequence[Run], plans: Sequence[Plan], *, skip: bool, explains: bool) -> list[repeat.Steady]:
    def engine_of(places: Sequence[int], count: int) -> repeat.Engine:
        mine = [plans[place] for place in places]
        program = write_program(shape_of(mine[0]))
        if len(mine) == len(mine[0].classes) == 1:
            return Plain(program, numbers_of(mine[0]), count, explains=explains)
        return Many(program, numbers_of(stacked(mine)), len(mine), count, explains=explains)

    with repeat.collector_paused():
        return repeat.search([_scenario(*both) for both in zip(runs, plans, strict=True)], engine_of, skip=skip)


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
    waited
        And from when to when who sends into it waited for room. [s], [s]
    """

    trace: tuple[Span, ...]
    step_ends_s: list[list[float]]
    taken: dict[str, list[list[tuple[float, int]]]]
    waited: dict[str, list[list[tuple[float, float]]]]


def record(simulation: Simulation, num_more_steps: int, buffers: Sequence[str]) -> Recording:
    """Simulate a run once more, on SimPy, for more steps; the first ones are equal to those of `simulation`."""
    plan, count, num_steps = simulation.plan, simulation.num_simulated_micro_batches, simulation.num_steps
    schedule = _events(plan, count)
    watched = {buffer: schedule.watch(buffer) for buffer in buffers}
    with repeat.collector_paused():
        for _ in range(num_steps + num_more_steps):
            schedule.run_step()
    taken = {buffer: [room.taken for room in lanes] for buffer, lanes in watched.items()}
    waited = {buffer: [room.waited for room in lanes] for buffer, lanes in watched.items()}
    return Recording(schedule.trace, schedule.step_ends_s, taken, waited)

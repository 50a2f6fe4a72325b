"""One life of a job: steps, evaluations, checkpoints, failures, repairs and restarts, as processes on SimPy.

Between two failures nothing is random, hence the job advances from event to event and not from step to step. Failures
come at random with exponential gaps, measured in wear: time that the job holds its systems, times the rate at which
these fail. So two settings of a job can meet the same failures.

A checkpoint is written beside the steps as far as these may run ahead of it; then they wait until it is complete. It holds
the weights of the step at which it began, so what ran beside it is lost when a failure comes before it is complete, and what
came after its beginning is lost in any case.

Not modelled: failures while the job waits, several parts that fail for one reason, systems that are slow before they
fail, checkpoints that are lost.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import simpy

from wsesim.engine.simulate import Clock
from wsesim.errors import AnswerIsNo
from wsesim.units import show

CAUSES = {
    "compile": "the program is compiled",
    "queue": "the job waits for its systems",
    "start_up": "systems and servers start",
    "staging": "data and initial weights are put in place",
    "compute": "steps that count, at full strength",
    "fewer": "what the same steps take longer on fewer systems",
    "evaluation": "evaluations",
    "checkpoint": "steps that wait for a checkpoint",
    "lost": "work since the last checkpoint, done again",
    "restart": "failure noticed, job started again, checkpoint read",
    "repair": "the job waits for a repaired system",
}
"""What the calendar time of a job is spent on."""

MOST_FAILURES = 20_000
"""A replication with more failures than this makes no progress worth waiting for. [-]"""


class Draws(Protocol):
    """Where chance comes from; `random.Random` is one."""

    def expovariate(self, lambd: float, /) -> float:
        """Exponentially distributed. [-]"""

    def random(self) -> float:
        """Uniform from 0 to 1. [-]"""


@dataclass(frozen=True)
class JobTimeline:
    """A job as the simulation sees it.

    Attributes
    ----------
    steps, step_time_s
        Optimizer steps, and one at full strength. [-], [s]
    units
        CS systems, or GPU nodes. [-]
    unit_rate_per_s
        Failures of one of them. [1/s]
    fabric_rate_per_s
        Failures that stop the job but take no unit with them. [1/s]
    checkpoint_steps
        Steps between checkpoints; None checkpoints at the end only. [-]
    checkpoint_s
        Time in which one is written. [s]
    ahead_steps
        Steps that may run while it is written. [-]
    restart_s
        Reading the checkpoint included. [s]
    spares
        Units that stand by; none where the job waits. [-]
    """

    steps: int
    step_time_s: float
    units: int = 1
    unit_rate_per_s: float = 0.0
    fabric_rate_per_s: float = 0.0
    compile_s: float = 0.0
    queue_s: float = 0.0
    start_up_s: float = 0.0
    staging_s: float = 0.0
    evaluation_steps: int | None = None
    evaluation_s: float = 0.0
    checkpoint_steps: int | None = None
    checkpoint_s: float = 0.0
    ahead_steps: int = 0
    restart_s: float = 0.0
    repair_s: float = 0.0
    spares: int = 0
    on_failure: Literal["spare", "shrink", "wait"] = "spare"

    @property
    def rate_per_s(self) -> float:
        """Failures of the job at full strength. [1/s]"""
        return self.units * self.unit_rate_per_s + self.fabric_rate_per_s

    @property
    def work_s(self) -> float:
        """Steps alone, without anything else. [s]"""
        return self.steps * self.step_time_s

    def waits_s(self, steps_after: float, slowness: float = 1.0) -> float:
        """For which the steps wait for a checkpoint, if so many come before the next one. [s]"""
        return max(0.0, self.checkpoint_s - min(self.ahead_steps, steps_after) * self.step_time_s * slowness)

    def waits_between_s(self, start: int, step: int, slowness: float = 1.0) -> float:
        """Waits for the checkpoints after one step and before another. [s]"""
        every = self.checkpoint_steps
        if not every or (number := (step - 1) // every - start // every) < 1:
            return 0.0
        last = (start // every + number) * every
        return (number - 1) * self.waits_s(every, slowness) + self.waits_s(step - last, slowness)

    def begins_s(self, start: int, step: int, slowness: float = 1.0) -> float:
        """From one step to the end of another and its evaluation, where its checkpoint begins. [s]"""
        compute_s = (step - start) * self.step_time_s * slowness
        evaluation_s = self.evaluations(start, step) * self.evaluation_s
        return compute_s + evaluation_s + self.waits_between_s(start, step, slowness)

    def time_to_s(self, start: int, step: int, slowness: float = 1.0) -> float:
        """From one step to the end of another, its evaluation included, and its checkpoint, which is complete then. [s]"""
        return self.begins_s(start, step, slowness) + (self.checkpoint_s if self.is_saved(start, step) else 0.0)

    def is_saved(self, start: int, step: int) -> bool:
        """Whether a checkpoint begins at the end of a step. [-]"""
        return step > start and self.checkpoints(start, step) > self.checkpoints(start, step - 1)

    def evaluations(self, start: int, step: int) -> int:
        """Evaluations after `start`, up to the end of `step`. [-]"""
        every = self.evaluation_steps
        return step // every - start // every if every else 0

    def checkpoints(self, start: int, step: int) -> int:
        """Checkpoints after `start`, up to the end of `step`; the last step has one in any case. [-]"""
        every = self.checkpoint_steps
        regular = step // every - start // every if every else 0
        is_extra = step == self.steps and step > start and not (every and step % every == 0)
        return regular + is_extra

    def saved_after(self, start: int, elapsed_s: float, slowness: float) -> int:
        """Step of the last checkpoint that is complete so long after a start from `start`. [-]"""
        every = self.checkpoint_steps
        if not every:
            return start
        first, last = start // every, (self.steps - 1) // every
        evaluation_s = self.evaluation_s * every / self.evaluation_steps if self.evaluation_steps else 0.0
        cycle_s = every * self.step_time_s * slowness + self.waits_s(every, slowness) + evaluation_s
        number = max(first, min(last, first + int(elapsed_s / cycle_s)))  # nearly; evaluations need not fall evenly
        while number < last and self.time_to_s(start, (number + 1) * every, slowness) <= elapsed_s:
            number += 1
        while number > first and self.time_to_s(start, number * every, slowness) > elapsed_s:
            number -= 1
        return max(start, number * every)

    def saves_from(self, start: int, elapsed_s: float, slowness: float) -> int:
        """Step of the first checkpoint that is complete not before so long after a start. [-]"""
        every = self.checkpoint_steps
        if not every:
            return self.steps
        return min(self.steps, (self.saved_after(start, elapsed_s, slowness) // every + 1) * every)


@dataclass(frozen=True)
class Replication:
    """One simulated life of the job.

    Attributes
    ----------
    calendar_s
        From its submission to its end. [s]
    spent_s
        The same by cause, as in `CAUSES`. [s]
    failures
        Of units ("unit") and of what connects and feeds them ("fabric"). [-]
    num_events
        SimPy events. [-]
    """

    calendar_s: float
    spent_s: dict[str, float]
    failures: dict[str, int]
    num_events: int


class _Job:
    """The processes of one replication."""

    def __init__(self, timeline: JobTimeline, draws: Draws) -> None:
        self.timeline, self.draws, self.clock = timeline, draws, Clock()
        self.ready = simpy.Container(self.clock, init=timeline.spares)
        self.repaired_at_s: deque[float] = deque()
        self.active, self.saved = timeline.units, 0
        self.spent_s = dict.fromkeys(CAUSES, 0.0)
        self.failures = {"unit": 0, "fabric": 0}
        self.wear_left = draws.expovariate(1.0)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """From submission to the last checkpoint."""
        line = self.timeline
        for cause in ("compile", "queue"):
            duration_s = getattr(line, f"{cause}_s")
            yield self.clock.timeout(duration_s)
            self.spent_s[cause] += duration_s
        is_up = (yield from self._hold("start_up", line.start_up_s)) and (
            yield from self._hold("staging", line.staging_s)
        )
        while self.saved < line.steps:
            if is_up:
                goal = self._goal()
                is_up = (yield from self._work(goal)) and goal == line.steps
            else:
                yield from self._replace()
                is_up = yield from self._hold("restart", line.restart_s)

    def _until_failure_s(self) -> float:
        rate_per_s = self.active * self.timeline.unit_rate_per_s + self.timeline.fabric_rate_per_s
        return self.wear_left / rate_per_s if rate_per_s > 0.0 else math.inf

    def _wear(self, duration_s: float) -> None:
        line = self.timeline
        self.wear_left -= duration_s * (self.active * line.unit_rate_per_s + line.fabric_rate_per_s)

    def _hold(self, cause: str, duration_s: float) -> Generator[simpy.Event, Any, bool]:
        """Something that has to be done in one piece; whether it was."""
        failure_s = self._until_failure_s()
        spent_s = min(duration_s, failure_s)
        yield self.clock.timeout(spent_s)
        self.spent_s[cause] += spent_s
        if failure_s <= duration_s:
            self._fail()
            return False
        self._wear(duration_s)
        return True

    def _work(self, goal: int) -> Generator[simpy.Event, Any, bool]:
        """Steps, evaluations and checkpoints up to a checkpoint; whether it was reached."""
        line, start = self.timeline, self.saved
        slowness = line.units / self.active
        duration_s, failure_s = line.time_to_s(start, goal, slowness), self._until_failure_s()
        if failure_s > duration_s:
            yield self.clock.timeout(duration_s)
            self._save(goal, slowness, line.checkpoint_s if line.is_saved(start, goal) else 0.0)
            self._wear(duration_s)
            return True
        yield self.clock.timeout(failure_s)
        saved = line.saved_after(start, failure_s, slowness)
        next_steps = min(line.checkpoint_steps or line.steps, line.steps - saved)
        wait_s = line.waits_s(next_steps, slowness) if saved > start else 0.0
        self._save(saved, slowness, wait_s)
        self.spent_s["lost"] += failure_s - line.begins_s(start, saved, slowness) - wait_s
        self._fail()
        return False

    def _save(self, step: int, slowness: float, wait_s: float) -> None:
        """Count what was done up to a step that is saved, and the wait for its checkpoint."""
        line, start, spent_s = self.timeline, self.saved, self.spent_s
        compute_s = (step - start) * line.step_time_s
        spent_s["compute"] += compute_s
        spent_s["fewer"] += compute_s * (slowness - 1.0)
        spent_s["evaluation"] += line.evaluations(start, step) * line.evaluation_s
        spent_s["checkpoint"] += line.waits_between_s(start, step, slowness) + wait_s
        self.saved = step

    def _goal(self) -> int:
        """The last step; on fewer systems, the first checkpoint after one of them is repaired."""
        line = self.timeline
        if self.active == line.units:
            return line.steps
        elapsed_s = 0.0 if self.ready.level else max(0.0, self.repaired_at_s[0] - self.clock.now)
        return line.saves_from(self.saved, elapsed_s, line.units / self.active)

    def _fail(self) -> None:
        line = self.timeline
        unit_rate_per_s = self.active * line.unit_rate_per_s
        is_unit = self.draws.random() * (unit_rate_per_s + line.fabric_rate_per_s) < unit_rate_per_s
        self.failures["unit" if is_unit else "fabric"] += 1
        self.wear_left = self.draws.expovariate(1.0)
        if is_unit:
            self.active -= 1
            self.repaired_at_s.append(self.clock.now + line.repair_s)
            self.clock.process(self._repair())
        if sum(self.failures.values()) > MOST_FAILURES:
            raise AnswerIsNo(
                f"the job fails every {show(1.0 / line.rate_per_s, 's')}, and did not get through in {MOST_FAILURES:,} restarts "
                f"(steps alone take {show(line.work_s, 's')}, a checkpoint {show(line.checkpoint_s, 's')}, a restart "
                f"{show(line.restart_s, 's')}); shorten job.checkpoint_interval_s or job.restart_s, raise "
                "job.checkpoint_bytes_per_s, use fewer systems, or check the mtbf_s keys"
            )

    def _repair(self) -> Generator[simpy.Event, Any, None]:
        yield self.clock.timeout(self.timeline.repair_s)
        self.repaired_at_s.popleft()
        yield self.ready.put(1)

    def _replace(self) -> Generator[simpy.Event, Any, None]:
        """Take units that are ready; wait for those without which the job cannot go on."""
        line, start_s = self.timeline, self.clock.now
        needed = 1 if line.on_failure == "shrink" else line.units
        while self.active < line.units and (self.ready.level or self.active < needed):
            yield self.ready.get(1)
            self.active += 1
        self.spent_s["repair"] += self.clock.now - start_s


def simulate_life(timeline: JobTimeline, draws: Draws) -> Replication:
    """One replication.

    Examples
    --------
    >>> simulate_life(JobTimeline(steps=10, step_time_s=2.0, start_up_s=5.0), random.Random(0)).calendar_s
    25.0
    """
    one = _Job(timeline, draws)
    one.clock.run_until(one.clock.start("job", one.run()))
    return Replication(one.clock.now, one.spent_s, one.failures, one.clock.num_events)


def replicate(
    timeline: JobTimeline, replications: int, seed: int, progress: Callable[[], object] = lambda: None
) -> list[Replication]:
    """Replications with failures of their own; the same seed gives the same ones.

    Examples
    --------
    >>> line = JobTimeline(steps=100, step_time_s=1.0, unit_rate_per_s=0.01, checkpoint_steps=10)
    >>> replicate(line, 3, seed=1) == replicate(line, 3, seed=1)
    True
    """
    found = []
    for number in range(replications):
        found.append(simulate_life(timeline, random.Random(f"{seed}/{number}")))
        progress()
    return found

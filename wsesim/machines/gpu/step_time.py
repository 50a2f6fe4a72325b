"""The step time that a simulation of a GPU plan comes to, without its trace, and a time that it cannot fall below.

By these the search finds which of many plans is the fastest. The jobs are those of the simulation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from wsesim.engine import repeat
from wsesim.engine.evaluate import ends_from_rest, from_rest
from wsesim.engine.program import Key, Program
from wsesim.machines.gpu.pipeline import PipelineShape, capacities_of, num_jobs, write_program
from wsesim.machines.gpu.program import durations_s, shape_of
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans
from wsesim.machines.gpu.times import Times
from wsesim.machines.machine import Work
from wsesim.units import add_up

ROUNDS = 5
"""Rounds that are simulated at first: two to fill, two to compare, one to drain. [-]"""
JOB_S, JOB_BYTES = 35e-6, 2000.0
"""To write a job of a pipeline down, to simulate and to record it, on an ordinary machine. [s], [bytes]"""
KINDS = ("forward", "backward", "send", "gather")
"""Jobs that come in every round."""


def lengths(run: GPURun, plan: Plans) -> Iterator[int]:
    """Micro-batches to simulate: more each time that no two rounds were alike, at last all. [-]

    In a round every stage passes a group of micro-batches, as many as there are stages unless interleaved stages have larger
    ones. A full pipeline comes to repeat itself, round by round; then one round stands for those that are missing.

    Raises
    ------
    ConfigError
        More jobs than the limit, before they are written.
    """
    for number in _lengths(run, plan):
        work(run, plan, number).check(
            run.place,
            "lower training.global_batch_size, raise training.micro_batch_size, or use fewer stages and chunks",
        )
        yield number


def _lengths(run: GPURun, plan: Plans) -> Iterator[int]:
    wanted = int(plan.num_micro_batches[0])
    first = wanted if run.parallelism.pipeline_schedule == "gpipe" else ROUNDS
    return repeat.lengths(first, wanted, each=int(plan.group[0]))


def work(run: GPURun, plan: Plans, num_micro_batches: int | None = None) -> Work:
    """What a step of a plan takes, counted without writing its program; with so many micro-batches, or those tried first."""
    passes = next(_lengths(run, plan)) if num_micro_batches is None else num_micro_batches
    number = num_jobs(shape_of(run, plan, passes))
    return Work(number, number * JOB_S, number * JOB_BYTES)


def pieces_of(kind: str, chunk: int, shape: PipelineShape) -> int:
    """Jobs of one kind that a micro-batch has in one chunk. [-]"""
    return 1 if kind == "send" or not shape.gathers_parameters else shape.pieces[chunk]


def compared_round(phase: str, pieces: int, shape: PipelineShape) -> range:
    """Which of a stage's jobs of one kind, in order, make the round whose length is taken; the next one is compared with it.

    The last round drains, and makes gradients complete; forward passes, with their sends and gathers, are ahead of
    backward passes by up to two rounds.
    """
    size, last = shape.group * pieces, shape.num_micro_batches // shape.group - 1
    behind = 2 if phase == "forward" else 3
    return range((last - behind) * size, (last - behind + 1) * size)


class Outline(NamedTuple):
    """What of a program decides its step time.

    Attributes
    ----------
    edges
        For each job, those that it follows, counted back. [-]
    durations
        Name of the time of each job; None takes none.
    rounds
        Names of durations, and pairs of jobs of two rounds that do the same.
    """

    edges: list[tuple[int, ...]]
    durations: list[Key | None]
    rounds: list[tuple[Key, list[tuple[int, int]]]]


class Candidate:
    """One plan of a run, and how long each of its jobs takes alone.

    Attributes
    ----------
    durations
        [s]
    """

    def __init__(self, run: GPURun, plan: Plans, times: Times) -> None:
        self.run, self.plan = run, plan
        self.num_micro_batches, self.num_stages = int(plan.num_micro_batches[0]), int(plan.pipeline[0])
        self.group = int(plan.group[0])
        self.shape = shape_of(run, plan, self.num_micro_batches)
        self.durations = durations_s(run, plan, times, self.shape)

    def step_time_s(self) -> float:
        """Time of one step, as `wsesim.machines.gpu.simulation` finds it up to rounding. [s]"""
        wanted, durations = self.num_micro_batches, self.durations
        for number in lengths(self.run, self.plan):
            outline = outline_of(shape_of(self.run, self.plan, number))
            times_s = [0.0 if name is None else durations[name] for name in outline.durations]
            ends = ends_from_rest(outline.edges, times_s)
            if number == wanted:
                break
            lasting = [pairs for name, pairs in outline.rounds if durations[name] > 0.0]
            length_s = repeat.round_s([ends[later] - ends[earlier] for pairs in lasting for earlier, later in pairs])
            if length_s is not None:
                return ends[-1] + (wanted - number) // self.group * length_s
        return ends[-1]

    def at_least_s(self) -> float:
        """A time that no step of the plan falls below: that of its busiest stage, from its first input on. [s]

        Before it works, a micro-batch comes down to it through the stages before, and behind its last pass the gradients
        go back up through them. Then the first stage updates its parameters.
        """
        number, stages, shape = self.num_micro_batches, self.num_stages, self.shape
        last = "last_" if shape.short_last else ""
        send_s = min(self.durations[f"{which}send_s", 0] for which in ("", last)) if stages > 1 else 0.0
        blocked_s = send_s if shape.blocking_sends else 0.0
        way_s, longest_s = 0.0, 0.0
        for stage in range(stages):
            chunks = range(stage, len(shape.pieces), stages)
            passes_s = (number - 1) * self._passes_s(chunks, "") + self._passes_s(chunks, last)
            num_sends = number * (2 * len(chunks) - (stage == 0) - (stage == stages - 1)) - (stage > 0)
            longest_s = max(longest_s, way_s + passes_s + num_sends * blocked_s)
            way_s += self._passes_s([stage], last) + 2.0 * send_s
        gather_s = self.durations["parameter_gather_s", 0] if shape.updated_gather else 0.0
        return longest_s + self.durations["update_s", 0] + gather_s

    def _passes_s(self, chunks: Iterable[int], which: str) -> float:
        """A micro-batch forward and backward through some chunks; the last one where `which` says so. [s]"""
        both = ("forward_s", "backward_s")
        return add_up(self.durations[f"{which}{name}", chunk] for chunk in chunks for name in both)


def step_time_s(run: GPURun, plan: Plans, times: Times) -> float:
    """Time of one step of one plan, as `wsesim.machines.gpu.simulation` finds it up to rounding. [s]"""
    return Candidate(run, plan, times).step_time_s()


@lru_cache(maxsize=16)
def outline_of(shape: PipelineShape) -> Outline:
    """Looked up once for all plans with the same jobs."""
    program = write_program(shape)
    durations = [job.duration for job in program.jobs]
    return Outline(from_rest(program, capacities_of(shape)), durations, _rounds(program, shape))


def _rounds(program: Program, shape: PipelineShape) -> list[tuple[Key, list[tuple[int, int]]]]:
    """Jobs of the round that is compared, each with the one that does the same in the next, kind by kind."""
    jobs: dict[tuple[str, str, str, int], list[int]] = {}
    for job in program.jobs:
        if job.kind in KINDS and job.phase:
            jobs.setdefault((job.worker.name, job.kind, job.phase, job.layer), []).append(job.place)
    found = []
    for (_, kind, phase, chunk), indices in jobs.items():
        places = compared_round(phase, pieces_of(kind, chunk, shape), shape)
        name = program.jobs[indices[0]].duration
        if name is not None and places.start >= 0 and places.stop + len(places) <= len(indices):
            found.append((name, [(indices[place], indices[place + len(places)]) for place in places]))
    return found

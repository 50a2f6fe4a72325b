"""Pipeline parallelism on GPUs: who waits for whom, and how long the jobs of a plan take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from wsesim.config.training import is_training
from wsesim.engine.program import Job, Key, Need, Numbers, Program, Room, Worker
from wsesim.errors import SimulationStuck
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plan, blocks_of_chunks, kinds_of_chunks, row_of
from wsesim.machines.gpu.times import Times, end_reduce_s, hides_sends, times_of_kinds, times_of_plan
from wsesim.units import add_up

# Pipeline parallelism on GPUs: who waits for whom.
#
# The layers of a model are cut into stages, and a batch into micro-batches. A stage passes a
# micro-batch forward when the activations of the stage before have arrived, and backward when the
# gradients of the stage behind have. GPipe [1]_ passes all micro-batches forward, then all backward
# in reverse order. 1F1B (PipeDream-Flush, as in Megatron-LM [2]_) passes forward only as many as
# there are stages behind, then one forward and one backward in turn, so that a stage keeps the
# activations of few micro-batches. Interleaved 1F1B [2]_ gives each stage several chunks of layers, and
# micro-batches go round the stages once for each chunk, a group of as many as there are stages (or
# more [3]_) at a time. Nothing sums up a bubble: stages wait for one another.
#
# One GPU stands for all that do the same: its data-parallel copies and tensor-parallel peers are in
# the durations. A chunk's gradient is reduced bucket by bucket (here: piece by piece) while the last
# micro-batch still goes backward, or when all is done. Parameters that are shared out (ZeRO-3, FSDP)
# are gathered ahead of each piece in each pass, and each micro-batch's gradient is reduced, behind
# the next gather, as both use the same links. Where gradients alone are shared out (ZeRO-2), no GPU has
# room for all of a whole one either: each micro-batch's is reduced, or where stages are interleaved, that
# of a group of micro-batches that pass a chunk one after another; the next but one needs the room. Then the
# stages that share a tied embedding add up its gradient, all agree on the norm, and each updates its
# parameters and gathers what others updated (ZeRO-1 and 2). A step begins when all of it is done.
#
# An evaluation has the forward passes alone, in the same order; no stage runs ahead of the one behind by more than a few of them,
# so that few activations wait. Then the host does what it does in each step.
#
# Everything of one step is one micro-batch of the engine.
#
# Not modelled: reductions and sends that share a link; parameters that stay gathered from a
# forward to the next backward pass; gathers after the update that go on behind the next forward pass.
#
# References
# ----------
# .. [1] Huang et al., GPipe, NeurIPS 2019, arXiv:1811.06965.
# .. [2] Narayanan et al., SC21, arXiv:2104.04473.
# .. [3] Megatron-Core, microbatch_group_size_per_vp_stage in megatron/core/pipeline_parallel/schedules.py.


Array = Any
Schedule = Literal["1f1b", "gpipe"]
Way = Literal["forward", "backward"]

STEP = Worker("step")
PIPELINE, DATA_PARALLEL = "pipeline", "data_parallel"

PIECES_AHEAD = 2
"""Pieces whose parameters are gathered at a time: the one in use, and the next (FSDP's rate limiter). [-]"""


RUNS_AHEAD = 3
"""Passes of an evaluation that a stage begins at most before the next stage has ended the first: it works, sends, computes. [-]"""


CHUNKS_KEPT = 2
"""Chunks of an interleaved stage whose gradients are whole at a time, where they are shared out. [-]"""


class PipelineShape(NamedTuple):
    """What decides which jobs there are, but not how long they take.

    Attributes
    ----------
    num_chunks
        Model chunks of each stage; more than 1 is interleaved 1F1B. [-]
    pieces
        For each chunk of the pipeline, ``chunk * num_stages + stage``: groups of layers whose gradients are
        reduced, and whose parameters are gathered, together. Shape ``(num_chunks * num_stages,)``. [-]
    overlaps_reduction
        Gradients are reduced while the backward pass goes on.
    gathers_parameters
        Parameters are gathered for each pass of each piece (ZeRO-3).
    reduces
        There are copies of the model with which to add up gradients.
    has_norm
        Updates wait for the gradients of all stages.
    ties_embedding
        The first and the last stage add up the gradient of the embedding.
    updated_gather
        Each copy updates a share of the parameters, and gathers the rest (ZeRO-1 and 2).
    blocking_sends
        A stage computes nothing while it sends.
    group_size
        Micro-batches that pass one chunk of an interleaved stage before its next chunk; 0 is `num_stages`. [-]
    short_last
        The last micro-batch has fewer sequences than the others.
    late_gathers
        In a backward pass the parameters of a piece are gathered when the piece before is worked out, not beside it.
    shares_gradients
        A GPU keeps its share of the gradients alone, and that of each micro-batch, or of each group of an interleaved
        stage, is reduced (ZeRO-2).
    forward_only
        An evaluation: no backward passes, gradients or updates; the host's work of a step remains.
    """

    num_stages: int
    num_chunks: int
    num_micro_batches: int
    schedule: Schedule
    pieces: tuple[int, ...]
    overlaps_reduction: bool = False
    gathers_parameters: bool = False
    reduces: bool = False
    has_norm: bool = False
    ties_embedding: bool = False
    updated_gather: bool = False
    blocking_sends: bool = False
    group_size: int = 0
    short_last: bool = False
    late_gathers: bool = False
    shares_gradients: bool = False
    forward_only: bool = False

    @property
    def group(self) -> int:
        """Micro-batches of a group. [-]"""
        return self.group_size or self.num_stages


def num_jobs(shape: PipelineShape) -> int:
    """Jobs of the program of a step, counted without writing it. [-]"""
    passes, pieces, chunks = shape.num_micro_batches, add_up(shape.pieces), len(shape.pieces)
    sends = passes * (chunks - 1) if shape.num_stages > 1 else 0
    if shape.forward_only:
        behind = passes * shape.num_chunks * (shape.num_stages - 1)
        return sends + behind + passes * (2 * pieces if shape.gathers_parameters else chunks) + shape.num_stages + 1
    found = 2 * sends
    reduced = shape.reduces and (shape.gathers_parameters or shape.overlaps_reduction)
    cut = passes if shape.gathers_parameters else int(reduced)
    found += 2 * passes * pieces * 2 if shape.gathers_parameters else passes * chunks + (passes - cut) * chunks
    found += cut * pieces * (0 if shape.gathers_parameters else 1)
    if shape.reduces:
        found += (cut or 1) * pieces * (1 if shape.overlaps_reduction or not reduced else 2)
    if shape.shares_gradients:
        ended = passes - 1 if shape.num_chunks == 1 else (passes - 1) // shape.group
        found += ended * chunks * (2 if shape.overlaps_reduction else 3)
    found += int(shape.ties_embedding and shape.num_stages > 1)
    met = 1 + int(shape.reduces or (shape.ties_embedding and shape.num_stages > 1))
    return found + (2 * met if shape.has_norm else 0) + shape.num_stages * (3 if shape.updated_gather else 1) + 1


class Task(NamedTuple):
    """One micro-batch passes one chunk; `chunk` counts over the whole pipeline."""

    direction: Way
    chunk: int
    micro_batch: int


def warm_up(
    num_stages: Array, num_chunks: Array, num_micro_batches: Array, schedule: str, stage: Array, group: Array = 0
) -> Array:
    """Forward passes of a stage through a chunk before its forward and backward passes take turns. [-]

    Takes arrays over plans, too, as does `layer_equivalents`. A `group` of 0 has as many micro-batches as there are stages.
    """
    total, behind = num_chunks * num_micro_batches, num_stages - 1 - stage
    if schedule == "gpipe":
        return total
    each = np.where(np.equal(group, 0), num_stages, group)
    ahead = np.where(num_chunks == 1, behind, 2 * behind + (num_chunks - 1) * each)
    return np.minimum(ahead, total)


def layer_equivalents(
    num_stages: Array, num_chunks: Array, num_micro_batches: Array, schedule: str, stage: Array, group: Array = 0
) -> Array:
    """Micro-batches for which a stage holds the activations of all its layers, at most. [-]

    Examples
    --------
    >>> float(layer_equivalents(4, 1, 16, "1f1b", stage=0)), float(layer_equivalents(4, 1, 16, "gpipe", stage=0))
    (4.0, 16.0)

    The first stage of an interleaved pipeline holds ``p (1 + (p - 1) / (p v))``:

    >>> float(layer_equivalents(4, 2, 16, "1f1b", stage=0))
    5.5
    """
    ahead = warm_up(num_stages, num_chunks, num_micro_batches, schedule, stage, group)
    return np.minimum(ahead + 1, num_chunks * num_micro_batches) / num_chunks


def tasks_of(shape: PipelineShape, stage: int) -> list[Task]:
    """What a stage does, in order."""
    num_stages, num_chunks, num_micro_batches, schedule = shape[:4]
    ahead = int(warm_up(num_stages, num_chunks, num_micro_batches, schedule, stage, shape.group))
    forward: list[Task] = []
    backward: list[Task] = []
    for lap, micro_batch in _in_groups(num_chunks, num_micro_batches, shape.group):
        forward.append(Task("forward", lap * num_stages + stage, micro_batch))
        returning = micro_batch if schedule == "1f1b" else num_micro_batches - 1 - micro_batch
        backward.append(Task("backward", (num_chunks - 1 - lap) * num_stages + stage, returning))
    if shape.forward_only:
        return forward
    turns = [task for pair in zip(forward[ahead:], backward, strict=False) for task in pair]
    return [*forward[:ahead], *turns, *backward[len(forward) - ahead :]]


def _in_groups(num_chunks: int, num_micro_batches: int, group: int) -> Iterator[tuple[int, int]]:
    """Lap and micro-batch of each pass: a group goes through one chunk after another, then the next group does."""
    for first in range(0, num_micro_batches, group):
        for lap in range(num_chunks):
            for micro_batch in range(first, min(first + group, num_micro_batches)):
                yield lap, micro_batch


class Pipeline:
    """Writes the jobs of a step into a program.

    Attributes
    ----------
    delivered
        For each task whose input has been sent, the job that delivers it; None where it is on the GPU.
    passed
        For each stage, the jobs that ended its passes, in order.
    last_backward, last_reduction
        For each stage, the job that ended its backward passes, and its reductions.
    rooms_again
        For each stage, jobs that free the room of a whole gradient, where only a share of it is kept.
    """

    def __init__(self, shape: PipelineShape) -> None:
        stages = range(shape.num_stages)
        self.shape = shape
        self.program = Program(decisive=STEP)
        self.stages = [Worker(f"stage.{stage}", notes_waits=True) for stage in stages]
        self.reducers = [Worker(f"reduce.{stage}") for stage in stages]
        self.gatherers = [Worker(f"gather.{stage}") for stage in stages]
        if shape.gathers_parameters:
            self.reducers = self.gatherers  # both use the same links
        self.held_back: dict[int, tuple[Task, int]] = {}
        self.links = {
            direction: [Worker(f"{direction}_link.{stage}") for stage in stages]
            for direction in ("forward", "backward")
        }
        self.rooms = [Room(buffer, DATA_PARALLEL) for buffer in map(_gathered, stages)]
        self.first_jobs: dict[str, int] = {}
        self.delivered: dict[Task, int | None] = {}
        self.passed: list[list[int]] = [[] for _ in stages]
        self.last_backward: dict[int, int] = {}
        self.last_reduction: dict[int, int] = {}
        self.rooms_again: dict[int, list[int]] = {stage: [] for stage in stages}

    def write(self) -> Program:
        """The whole program."""
        self.passes()
        for stage in list(self.held_back):
            self.reduce_held_back(stage)
        if self.shape.reduces and not (self.shape.overlaps_reduction or self.shape.gathers_parameters):
            for stage in range(self.shape.num_stages):
                self.reduce_all(stage)
        if self.shape.ties_embedding and self.shape.num_stages > 1:
            self.reduce_embedding()
        self.close([self.update(stage, needs) for stage, needs in enumerate(self.gradients())])
        return self.program

    def do(
        self,
        worker: Worker,
        kind: str,
        task: Task | None = None,
        *,
        duration: Key | None = None,
        needs: Sequence[Need] = (),
        room: Room | None = None,
        frees: Room | None = None,
    ) -> int:
        """Write one job; its index."""
        index = len(self.program.jobs)
        phase, layer = ("", -1) if task is None else task[:2]
        job = Job(index, worker, kind, layer, phase, duration, needs=tuple(needs), room=room, frees=frees)
        self.program.jobs.append(job)
        self.first_jobs.setdefault(worker.name, index)
        return index

    def passes(self) -> None:
        """All stages take their tasks in their own orders, each as soon as its input can be there."""
        left = [deque(tasks_of(self.shape, stage)) for stage in range(self.shape.num_stages)]
        while any(left):
            num_jobs = len(self.program.jobs)
            for tasks in left:
                while tasks and self.can_follow(tasks[0]):
                    self.compute(tasks.popleft())
            if len(self.program.jobs) == num_jobs:
                raise SimulationStuck(f"stages wait for one another: {self.shape}")

    def can_follow(self, task: Task) -> bool:
        """Whether the job that delivers a task's input is written, and the one that makes room for what comes out."""
        if task not in self.delivered and task.chunk != self.source(task.direction):
            return False
        ahead = self.runs_ahead(task.chunk % self.shape.num_stages)
        return ahead is None or ahead < len(self.passed[task.chunk % self.shape.num_stages + 1])

    def runs_ahead(self, stage: int) -> int | None:
        """In an evaluation, the place of the next stage's pass that has to end before the next one of this stage may begin."""
        place = (
            len(self.passed[stage]) - RUNS_AHEAD + self.shape.blocking_sends
        )  # who waits for its send sends nothing meanwhile
        limited = self.shape.forward_only and stage < self.shape.num_stages - 1 and place >= 0
        return place if limited else None

    def source(self, direction: Way) -> int:
        """The chunk at which a pass begins."""
        return 0 if direction == "forward" else len(self.shape.pieces) - 1

    def compute(self, task: Task) -> None:
        """A stage computes a task, as a whole or piece by piece, and sends what comes out."""
        shape, stage = self.shape, task.chunk % self.shape.num_stages
        reduces = self.reduces_after(task)
        is_cut = shape.gathers_parameters or reduces
        name = f"{task.direction}_piece_s" if is_cut else f"{task.direction}_s"
        duration = (self.of_last(name, task.micro_batch), task.chunk)
        source = self.delivered.pop(task, None)
        needs = [] if source is None else [Need(source, PIPELINE)]
        if task.direction == "backward" and shape.shares_gradients:
            needs += self.room_for(stage, task)
        if (ahead := self.runs_ahead(stage)) is not None:
            needs.append(Need(self.passed[stage + 1][ahead], PIPELINE))
        job = -1
        for _ in range(shape.pieces[task.chunk] if is_cut else 1):
            if shape.gathers_parameters:
                needs.append(self.gather(stage, task, job))
                self.reduce_held_back(stage)
            frees = self.rooms[stage] if shape.gathers_parameters else None
            job = self.do(self.stages[stage], task.direction, task, duration=duration, needs=needs, frees=frees)
            needs = []
            if reduces and shape.gathers_parameters and shape.overlaps_reduction:
                self.held_back[stage] = (task, job)
            elif reduces:
                self.reduce(stage, task, job)
        if task.direction == "backward":
            self.last_backward[stage] = job
            if shape.shares_gradients and self.ends_group(task.micro_batch) and not reduces:
                self.reduce_group(stage, task, job)
        if shape.forward_only and stage > 0:
            # needs nothing, so that waits that led here are not told to the stage before, and back, and so on
            self.passed[stage].append(self.do(self.stages[stage], "met"))
        else:
            self.passed[stage].append(job)
        self.send(stage, task, job)

    def of_last(self, name: str, micro_batch: int) -> str:
        """Name of a duration, another one where the last micro-batch is shorter."""
        shape = self.shape
        return f"last_{name}" if shape.short_last and micro_batch == shape.num_micro_batches - 1 else name

    def reduces_after(self, task: Task) -> bool:
        """Whether gradients are reduced as soon as a task has made them: all, or what is complete."""
        shape = self.shape
        if task.direction == "forward" or not shape.reduces:
            return False
        return shape.gathers_parameters or (shape.overlaps_reduction and task.micro_batch == self.last_micro_batch)

    @property
    def last_micro_batch(self) -> int:
        """The micro-batch that goes backward last. [-]"""
        return self.shape.num_micro_batches - 1 if self.shape.schedule == "1f1b" else 0

    def gather(self, stage: int, task: Task, before: int) -> Need:
        """The parameters of a piece are gathered, not too far ahead of their use; `before` is the piece before, or -1."""
        worker, room = self.gatherers[stage], self.rooms[stage]
        waits = self.shape.late_gathers and task.direction == "backward" and before >= 0
        needs = [Need(before, PIPELINE)] if waits else []
        job = self.do(worker, "gather", task, duration=("gather_s", task.chunk), needs=needs, room=room)
        return Need(job, DATA_PARALLEL)

    def reduce_held_back(self, stage: int) -> None:
        """A gradient is reduced behind the next gather, which the stage waits for sooner."""
        if stage in self.held_back:
            self.reduce(stage, *self.held_back.pop(stage))

    def ends_group(self, micro_batch: int) -> bool:
        """Whether a chunk's next backward pass is of a later group, but for the step's last one. [-]"""
        shape = self.shape
        return micro_batch != self.last_micro_batch and (shape.num_chunks == 1 or (micro_batch + 1) % shape.group == 0)

    def room_for(self, stage: int, task: Task) -> list[Need]:
        """A whole gradient of a chunk has room when that of the group before, or of interleaved stages the one before, is gone."""
        ends, begins = self.rooms_again[stage], self.shape.num_chunks == 1 or task.micro_batch % self.shape.group == 0
        kept = 1 if self.shape.num_chunks == 1 else CHUNKS_KEPT
        return [Need(ends[-kept], DATA_PARALLEL)] if begins and len(ends) >= kept else []

    def reduce_group(self, stage: int, task: Task, made: int) -> None:
        """Gradients of the micro-batches that a chunk has passed since the last time, as a whole.

        The second job needs nothing, so that waits that led here are not told to the next pass.
        """
        self.reduce(stage, task, made, "reduce_chunk_s")
        self.rooms_again[stage].append(self.do(self.reducers[stage], "met"))

    def reduce(self, stage: int, task: Task, made: int, lasts: str = "reduce_s") -> None:
        """The gradient of a piece is reduced while the stage goes on, or waits where nothing overlaps."""
        needs = [Need(made, PIPELINE)]
        job = self.do(self.reducers[stage], "reduce", task, duration=(lasts, task.chunk), needs=needs)
        self.last_reduction[stage] = job
        if not self.shape.overlaps_reduction:
            self.do(self.stages[stage], "resume", task, needs=[Need(job, DATA_PARALLEL)])

    def reduce_all(self, stage: int) -> None:
        """All gradients of a stage are reduced, one after another, when all are there."""
        needs = [Need(self.last_backward[stage], PIPELINE)]
        for chunk in range(stage, len(self.shape.pieces), self.shape.num_stages)[::-1]:
            task = Task("backward", chunk, -1)
            for _ in range(self.shape.pieces[chunk]):
                job = self.do(self.reducers[stage], "reduce", task, duration=("reduce_s", chunk), needs=needs)
                self.last_reduction[stage], needs = job, []

    def send(self, stage: int, task: Task, made: int) -> None:
        """Activations go to the next chunk, gradients to the one before."""
        direction, chunk, micro_batch = task
        if chunk == self.source("backward" if direction == "forward" else "forward"):
            return
        target = Task(direction, chunk + 1 if direction == "forward" else chunk - 1, micro_batch)
        if self.shape.num_stages == 1:
            self.delivered[target] = None
            return
        blocks = self.shape.blocking_sends
        link = self.stages[stage] if blocks else self.links[direction][stage]
        needs = [] if blocks else [Need(made, PIPELINE)]
        duration = (self.of_last("send_s", micro_batch), 0)
        self.delivered[target] = self.do(link, "send", task, duration=duration, needs=needs)

    def reduce_embedding(self) -> None:
        """The first and the last stage add up the gradient of the table that both use."""
        worker, ends = self.reducers[0], (0, self.shape.num_stages - 1)
        needs = [need for need in map(self.gradient, ends) if self.program.jobs[need.job].worker is not worker]
        job = self.do(worker, "reduce", duration=("embedding_reduce_s", 0), needs=needs)
        self.last_reduction |= dict.fromkeys(ends, job)

    def gradient(self, stage: int) -> Need:
        """The job that completes the gradient of a stage."""
        if stage in self.last_reduction:
            return Need(self.last_reduction[stage], DATA_PARALLEL)
        return Need(self.last_backward[stage], PIPELINE)

    def gradients(self) -> list[list[Need]]:
        """For each stage, what its update waits for: its own gradient, or with a norm those of all."""
        stages = range(self.shape.num_stages)
        if not self.shape.has_norm:
            return [[self.gradient(stage)] if stage in self.last_reduction else [] for stage in stages]
        needs = [Need(self.meet([Need(self.last_backward[stage], PIPELINE) for stage in stages]), PIPELINE)]
        if self.last_reduction:
            reductions = dict.fromkeys(map(self.gradient, self.last_reduction))
            needs.append(Need(self.meet(list(reductions)), DATA_PARALLEL))
        return [needs] * len(stages)

    def meet(self, needs: Sequence[Need]) -> int:
        """Stages wait for one another.

        The second job needs nothing, so that the many waits that led here are not told to every stage.
        """
        self.do(STEP, "meet", needs=needs)
        return self.do(STEP, "met")

    def update(self, stage: int, needs: Sequence[Need]) -> int:
        """A stage updates its parameters, and gathers those that its copies have updated; in an evaluation the host works alone."""
        kind = "host" if self.shape.forward_only else "update"
        job = self.do(self.stages[stage], kind, duration=("update_s", stage), needs=needs)
        if not self.shape.updated_gather:
            return job
        updated, duration = [Need(job, DATA_PARALLEL)], ("parameter_gather_s", stage)
        gathered = self.do(self.gatherers[stage], "gather", duration=duration, needs=updated)
        return self.do(self.stages[stage], "resume", needs=[Need(gathered, DATA_PARALLEL)])

    def close(self, last_jobs: Sequence[int]) -> None:
        """A step ends when all stages are ready, and no worker begins the next before."""
        jobs = self.program.jobs
        self.do(STEP, "end", needs=[Need(job, "step") for job in last_jobs])
        closing = Job(len(jobs), STEP, "end", -1, "")
        self.program.closing.append(closing)
        for index in self.first_jobs.values():
            if jobs[index].worker is not STEP:
                needs = (*jobs[index].needs, Need(closing.place, "step", of_previous_step=True))
                jobs[index] = jobs[index]._replace(needs=needs)


@lru_cache(maxsize=16)
def write_program(shape: PipelineShape) -> Program:
    """The program of one step; the same object for the same shape.

    Raises
    ------
    ValueError
        A shape that no plan may have: the search proposes none, and the checks refuse what a file says.
    """
    if len(shape.pieces) != shape.num_stages * shape.num_chunks or min(shape.pieces) < 1:
        raise ValueError(
            f"{shape.pieces} pieces are not those of {shape.num_stages} stages x {shape.num_chunks} chunks"
        )
    if shape.num_chunks > 1 and (shape.schedule != "1f1b" or shape.num_micro_batches < shape.num_stages):
        raise ValueError(f"{shape.num_micro_batches} micro-batches cannot be interleaved: {shape}")
    return Pipeline(shape).write()


def capacities_of(shape: PipelineShape) -> dict[str, int]:
    """Room for gathered pieces, for `Numbers.capacities`. [-]"""
    return dict.fromkeys(map(_gathered, range(shape.num_stages)), PIECES_AHEAD) if shape.gathers_parameters else {}


def _gathered(stage: int) -> str:
    """Buffer of a stage that holds gathered parameters."""
    return f"gathered.{stage}"


# Which program the plan of a GPU run has, and how long its jobs take.


def shape_of(run: GPURun, plan: Plan, num_micro_batches: int) -> PipelineShape:
    """Which jobs a plan has."""
    zero, ranks, spec = plan.zero_stage, plan.data * plan.context, run.parallelism
    trains = is_training(run.training)
    return PipelineShape(
        num_stages=plan.pipeline,
        num_chunks=plan.chunks,
        num_micro_batches=num_micro_batches,
        schedule=schedule_of(run),
        pieces=tuple(max(1, blocks) for blocks in blocks_of_chunks(run, plan)),
        overlaps_reduction=trains and spec.overlap_gradient_reduction,
        gathers_parameters=zero == 3 and ranks > 1,
        reduces=trains and ranks > 1,
        has_norm=trains and run.training.max_gradient_norm > 0,
        ties_embedding=trains and run.model.tie_embeddings and plan.pipeline > 1,
        updated_gather=trains and zero in (1, 2) and ranks > 1,
        blocking_sends=not bool(hides_sends(spec, plan.chunks)),
        late_gathers=run.cluster.software.fsdp_prefetch == "late",
        group_size=plan.group,
        shares_gradients=trains and zero == 2 and ranks > 1,
        forward_only=not trains,
        short_last=plan.last_micro_batch_size < plan.micro_batch_size,
    )


def schedule_of(run: GPURun) -> Schedule:
    """In which order a stage takes micro-batches; forward passes alone have one."""
    return run.parallelism.pipeline_schedule if is_training(run.training) else "1f1b"


def durations_s(run: GPURun, plan: Plan, times: Times, shape: PipelineShape) -> dict[Key, float]:
    """How long each job takes alone. [s]"""
    found = _durations_s(run, plan, times, shape)
    if shape.short_last:
        shorter = plan._replace(micro_batch_size=plan.last_micro_batch_size)
        last = _durations_s(run, shorter, times_of_plan(run, shorter), shape)
        found |= {(f"last_{name}", place): last[name, place] for name, place in last if name.startswith(OF_A_PASS)}
    return found


OF_A_PASS = ("forward", "backward", "send")
"""Beginnings of the names of durations that depend on the size of a micro-batch."""


def _durations_s(run: GPURun, plan: Plan, times: Times, shape: PipelineShape) -> dict[Key, float]:
    each = [_of_a_block(row_of(kind)) for kind in times_of_kinds(run, plan.table, times)]
    blocks, own = blocks_of_chunks(run, plan), kinds_of_chunks(run, plan)
    found: dict[Key, float] = {("send_s", 0): times.send_s, ("embedding_reduce_s", 0): times.embedding_reduce_s}
    for chunk, number in enumerate(blocks):
        is_first, is_last = chunk == 0, chunk == len(blocks) - 1
        forward_s, backward_s, moved_s, gather_s = (
            add_up(part * count for part, count in zip(column, own[chunk], strict=True))
            for column in zip(*each, strict=True)
        )
        ahead_s = forward_s + is_first * times.embedding_s + is_last * times.head_forward_s
        back_s = backward_s + is_first * times.embedding_s + is_last * times.head_backward_s
        found |= {("forward_s", chunk): ahead_s, ("backward_s", chunk): back_s}
        pieces = shape.pieces[chunk]
        found |= {("forward_piece_s", chunk): ahead_s / pieces, ("backward_piece_s", chunk): back_s / pieces}
        reduce_s = moved_s + end_reduce_s(run, plan, is_first=is_first, is_last=is_last)
        found |= {("reduce_s", chunk): reduce_s / pieces, ("reduce_chunk_s", chunk): reduce_s}
        found["gather_s", chunk] = gather_s / max(1, number)
    for stage in range(shape.num_stages):
        found |= {
            ("update_s", stage): times.update_s + times.host_s,
            ("parameter_gather_s", stage): times.parameter_gather_s,
        }
    return found


def _of_a_block(times: Times) -> tuple[float, float, float, float]:
    """Its passes forward and backward, and its gradients' reduction and its parameters' gathering. [s]"""
    back_s = times.backward.total_s + times.recompute.total_s + times.accumulate_s
    return times.forward.total_s, back_s, times.reduce_s, times.gather_s


def numbers_of(run: GPURun, plan: Plan, times: Times, shape: PipelineShape) -> Numbers:
    """What the program of a plan takes."""
    found = durations_s(run, plan, times, shape)
    return Numbers({key: [value] for key, value in found.items()}, {}, {}, {}, capacities_of(shape))

"""Which program the plan of a GPU run has, and how long its jobs take."""

from __future__ import annotations

import numpy as np

from wsesim.engine.program import Key, Numbers
from wsesim.machines.gpu.pipeline import PipelineShape, capacities_of
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans, blocks_of_chunks, kinds_of_chunks
from wsesim.machines.gpu.times import Pass, Times, end_reduce_s, hides_sends, times_of, times_of_kinds
from wsesim.units import add_up


def shape_of(run: GPURun, plan: Plans, num_micro_batches: int) -> PipelineShape:
    """Which jobs a plan has."""
    zero, ranks, spec = int(plan.zero_stage[0]), int(plan.data[0] * plan.context[0]), run.parallelism
    return PipelineShape(
        num_stages=int(plan.pipeline[0]),
        num_chunks=int(plan.chunks[0]),
        num_micro_batches=num_micro_batches,
        schedule=spec.pipeline_schedule,
        pieces=tuple(max(1, blocks) for blocks in blocks_of_chunks(run, plan)),
        overlaps_reduction=spec.overlap_gradient_reduction,
        gathers_parameters=zero == 3 and ranks > 1,
        reduces=ranks > 1,
        has_norm=run.training.max_gradient_norm > 0,
        ties_embedding=run.model.tie_embeddings and int(plan.pipeline[0]) > 1,
        updated_gather=zero in (1, 2) and ranks > 1,
        blocking_sends=not bool(hides_sends(spec, int(plan.chunks[0]))),
        late_gathers=run.cluster.software.fsdp_prefetch == "late",
        group_size=int(plan.group[0]),
        shares_gradients=zero == 2 and ranks > 1,
        short_last=bool(plan.last_micro_batch_size[0] < plan.micro_batch_size[0]),
    )


def durations_s(run: GPURun, plan: Plans, times: Times, shape: PipelineShape) -> dict[Key, float]:
    """How long each job takes alone. [s]"""
    found = _durations_s(run, plan, times, shape)
    if shape.short_last:
        shorter = plan._replace(micro_batch_size=plan.last_micro_batch_size)
        last = _durations_s(run, shorter, times_of(run, shorter), shape)
        found |= {(f"last_{name}", place): last[name, place] for name, place in last if name.startswith(OF_A_PASS)}
    return found


OF_A_PASS = ("forward", "backward", "send")
"""Beginnings of the names of durations that depend on the size of a micro-batch."""


def _durations_s(run: GPURun, plan: Plans, times: Times, shape: PipelineShape) -> dict[Key, float]:
    one = {name: float(np.ravel(value)[0]) for name, value in times._asdict().items() if not isinstance(value, Pass)}
    each, own = [_of_a_block(kind) for kind in times_of_kinds(run, plan, times)], kinds_of_chunks(run, plan)
    blocks = blocks_of_chunks(run, plan)
    found: dict[Key, float] = {("send_s", 0): one["send_s"], ("embedding_reduce_s", 0): one["embedding_reduce_s"]}
    for chunk, number in enumerate(blocks):
        is_first, is_last = chunk == 0, chunk == len(blocks) - 1
        forward_s, backward_s, moved_s, gather_s = (
            add_up(part * count for part, count in zip(column, own[chunk], strict=True))
            for column in zip(*each, strict=True)
        )
        ahead_s = forward_s + is_first * one["embedding_s"] + is_last * one["head_forward_s"]
        back_s = backward_s + is_first * one["embedding_s"] + is_last * one["head_backward_s"]
        found |= {("forward_s", chunk): ahead_s, ("backward_s", chunk): back_s}
        pieces = shape.pieces[chunk]
        found |= {("forward_piece_s", chunk): ahead_s / pieces, ("backward_piece_s", chunk): back_s / pieces}
        reduce_s = moved_s + end_reduce_s(run, plan, is_first=is_first, is_last=is_last)
        found |= {("reduce_s", chunk): reduce_s / pieces, ("reduce_chunk_s", chunk): reduce_s}
        found["gather_s", chunk] = gather_s / max(1, number)
    for stage in range(shape.num_stages):
        found |= {
            ("update_s", stage): one["update_s"] + one["host_s"],
            ("parameter_gather_s", stage): one["parameter_gather_s"],
        }
    return found


def _of_a_block(times: Times) -> tuple[float, float, float, float]:
    """Its passes forward and backward, and its gradients' reduction and its parameters' gathering. [s]"""
    back_s = times.backward.total_s + times.recompute.total_s + times.accumulate_s
    values = (times.forward.total_s, back_s, times.reduce_s, times.gather_s)
    forward_s, backward_s, reduce_s, gather_s = (float(np.ravel(value)[0]) for value in values)
    return forward_s, backward_s, reduce_s, gather_s


def numbers_of(run: GPURun, plan: Plans, times: Times, shape: PipelineShape) -> Numbers:
    """What the program of a plan takes."""
    found = durations_s(run, plan, times, shape)
    return Numbers({key: [value] for key, value in found.items()}, {}, {}, {}, capacities_of(shape))

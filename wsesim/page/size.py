"""Whether a question is small enough for a page, before anything is worked out."""

from __future__ import annotations

from wsesim.config.run import GPURun, Run
from wsesim.errors import DoesNotFit, InputError
from wsesim.page import limits
from wsesim.workload.transformer import layers


def check_settings(lines: list[str]) -> None:
    """Refuse more text than anybody types."""
    if len(lines) > limits.MOST_SETTINGS:
        raise InputError(
            f"other keys: {len(lines)} lines are more than {limits.MOST_SETTINGS}; write a run file, and use `wsesim run`"
        )
    for line in lines:
        if len(line) > limits.LONGEST_SETTING:
            raise InputError(
                f"other keys: {line[:40]}... has {len(line)} characters, more than {limits.LONGEST_SETTING}; write it into a run "
                "file, and run it with `wsesim run`"
            )


def check_work(run: Run | GPURun) -> None:
    """Refuse what would take longer than anybody waits in front of a page; called after the run was read."""
    if isinstance(run, GPURun):
        if run.cluster.num_gpus > limits.MOST_GPUS:
            raise DoesNotFit(
                f"{run.place}: cluster.num_gpus is {run.cluster.num_gpus:,}, and this page searches plans for up to "
                f"{limits.MOST_GPUS:,}; download the run file, and run it with `wsesim run`"
            )
        return
    work = _jobs(run)
    if work > limits.MOST_WORK:
        raise DoesNotFit(
            f"{run.place}: a step of {work:.3g} jobs is more than the {limits.MOST_WORK:,} that this page simulates; lower "
            "model.num_layers or cluster.simulation.chunks_per_layer, or download the run file and run it with `wsesim run`"
        )


def _jobs(run: Run) -> float:
    """Pieces of weights in one pass, for each class of systems that exceptions can make. [-]"""
    wafer, weight_bytes = run.cluster.system.wafer, run.cluster.memoryx.wire_bytes_per_weight
    room = min(wafer.weight_buffer_bytes, wafer.gradient_buffer_bytes)
    at_least = run.cluster.simulation.chunks_per_layer
    chain = layers(run.model, run.training.sequence_length)
    pieces = sum(max(at_least, one.streamed_parameters * weight_bytes / room) for one in chain)
    return pieces * (1 + len(run.cluster.exceptions))

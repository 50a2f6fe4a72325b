"""What the page refuses or cuts off, so that no input hangs or exhausts the server."""

from __future__ import annotations

from wsesim.config.loader import GPURun, Run
from wsesim.errors import DoesNotFit, InputError
from wsesim.workload.transformer import layers

LONGEST_QUERY = 8000
"""Bytes of an address. [bytes]"""
MOST_SETTINGS = 50
"""Lines of other keys. [-]"""
LONGEST_SETTING = 300
"""Characters of one of them. [-]"""
MOST_CANDIDATES = 12
"""Clusters of a goal. [-]"""
MOST_WORK = 20_000
"""Jobs of one micro-batch, over all classes of systems, each about 0.3 ms of work; a run with more takes
seconds, which the command line has, and a page has not. [-]"""
MOST_GPUS = 100_000
"""GPUs among which the page searches a plan. [-]"""

RUN_S, GPU_S, PLAN_S, FILE_S = 10.0, 20.0, 90.0, 90.0
"""Time after which an answer, a GPU comparison, a plan, and a file to download are cut off. [s]"""
MOST_MEMORY_BYTES = 3 * 2**30
"""Memory of one worker process, where the system can limit it. [bytes]"""
MOST_WAITING = 48
"""Requests that wait for a worker. [-]"""
LONGEST_WAIT_S = 20.0
"""After which it is turned away. [s]"""
RETRY_S = 2
"""After which a request that was turned away may come again. [s]"""


def check_settings(lines: list[str]) -> None:
    """Refuse more text than anybody types."""
    if len(lines) > MOST_SETTINGS:
        raise InputError(
            f"other keys: {len(lines)} lines are more than {MOST_SETTINGS}; write a run file, and use `wsesim run`"
        )
    for line in lines:
        if len(line) > LONGEST_SETTING:
            raise InputError(
                f"other keys: {line[:40]}... has {len(line)} characters, more than {LONGEST_SETTING}; write it into a run "
                "file, and run it with `wsesim run`"
            )


def check_work(run: Run | GPURun) -> None:
    """Refuse what would take longer than anybody waits in front of a page; called after the run was read."""
    if isinstance(run, GPURun):
        if run.cluster.num_gpus > MOST_GPUS:
            raise DoesNotFit(
                f"{run.place}: cluster.num_gpus is {run.cluster.num_gpus:,}, and this page searches plans for up to "
                f"{MOST_GPUS:,}; download the run file, and run it with `wsesim run`"
            )
        return
    work = _jobs(run)
    if work > MOST_WORK:
        raise DoesNotFit(
            f"{run.place}: a step of {work:.3g} jobs is more than the {MOST_WORK:,} that this page simulates; lower "
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

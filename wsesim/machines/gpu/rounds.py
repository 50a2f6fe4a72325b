"""How much of a long step is simulated: so many rounds that two of them are alike.

In a round every stage passes a group of micro-batches, as many as there are stages unless interleaved stages have larger ones.
A full pipeline comes to repeat itself, round by
round; then one round stands for those that are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wsesim.machines.gpu.pipeline import PipelineShape
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans
from wsesim.units import add_up

ROUNDS = 5
"""Rounds that are simulated at first: two to fill, two to compare, one to drain. [-]"""
ALIKE = 1e-9
"""Rounds are alike where no job is off by more than this share of a round. [-]"""
KINDS = ("forward", "backward", "send", "gather")
"""Jobs that come in every round."""


def lengths(run: GPURun, plan: Plans) -> Iterator[int]:
    """Micro-batches to simulate: more each time that no two rounds were alike, at last all. [-]"""
    wanted, each = int(plan.num_micro_batches[0]), int(plan.group[0])
    rounds = wanted if run.parallelism.pipeline_schedule == "gpipe" else ROUNDS
    while (number := rounds * each + wanted % each) < wanted:
        yield number
        rounds *= 2
    yield wanted


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


def round_s(later_s: Sequence[float]) -> float | None:
    """Length of a round, from how much later each of its jobs comes in the next; None where they disagree. [s]"""
    mean_s = add_up(later_s) / len(later_s)
    return mean_s if max(later_s) - min(later_s) <= ALIKE * mean_s else None

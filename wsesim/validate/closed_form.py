"""Step times of measured rows as a closed form over arrays: what fits and left-out fits are made with.

The same passes as the simulation, with the same numbers from the same plans, but as a sum: a pass takes its work or its stream and
the latency that is not hidden, and nothing waits for anything else. Within 1 % of the simulation on the published rates (a test
holds it), in microseconds instead of milliseconds for each row, so that hundreds of fits take a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsesim.config.run import Run
from wsesim.machines.wafer import wafer
from wsesim.machines.wafer.plan import Plan, is_training, make_plan
from wsesim.machines.wafer.system import CalibrationSpec

Array = NDArray[np.float64]


class Form(NamedTuple):
    """What of the mechanism was chosen among a few values, not fitted.

    Attributes
    ----------
    head_block, score_block
        Features in which heads are laid out, and what softmax and mask of a score cost in them. [-]
    overlap_exponent
        How latency and work add. [-]
    elementwise
        Whether products with weights take longer as the working set of a block is larger.
    """

    head_block: int
    score_block: int
    overlap_exponent: float
    elementwise: bool

    @classmethod
    def of(cls, calibration: CalibrationSpec) -> Form:
        """That of a calibration."""
        return cls(calibration.head_block, calibration.score_block, calibration.overlap_exponent, elementwise=True)


class Logs(NamedTuple):
    """Logarithms of the fitted numbers; a leading axis is over fits.

    Attributes
    ----------
    gemm, attention, latency
        Of the efficiencies and of the latency of a pass, shape ``(num_fits,)``. [-], [-], [s]
    rates
        Of the releases, shape ``(num_fits, num_releases)``. [-]
    """

    gemm: Array
    attention: Array
    latency: Array
    rates: Array


class _Pass(NamedTuple):
    """Passes of one row that take equally long."""

    gemm_s: float
    elementwise: float
    score_s: float
    widths: tuple[int, int]
    stream_s: float
    way_s: float


def _passes(run: Run, plan: Plan) -> Counter[_Pass]:
    """Each kind of pass with its work at the peak, and how often a micro-batch makes it."""
    system, precision = run.cluster.system, run.training.precision
    peak = wafer.peak_flop_per_s(system.wafer, precision) * plan.release_rate
    at_peak = system.calibration.gemm_efficiency * plan.release_rate
    found: Counter[_Pass] = Counter()
    for visit in plan.visits:
        sweep, layer = plan.kinds[visit.kind], plan.layers[visit.layer]
        is_block = layer.kind == "block"
        elementwise = wafer.working_set_over_gpt(layer, run.model.hidden_size) if is_block else 1.0
        way_s = plan.transport.slowest_latency_s + (plan.transport.tensor_latency_s if sweep.takes_weights else 0.0)
        one = _Pass(
            gemm_s=sweep.gemm_s * at_peak / elementwise,
            elementwise=elementwise,
            score_s=2.0 * layer.scores_per_sequence * plan.sequences_per_pass * plan.release_rate / peak,
            widths=layer.head_widths,
            stream_s=sweep.num_bytes / sweep.rate_bytes_per_s,
            way_s=way_s,
        )
        found[one] += 1
    return found


class Table:
    """Runs of measured rows as arrays, shape ``(num_rows, num_passes)``, and their releases.

    Parameters
    ----------
    runs
        With any calibration, of which only the layout on the wafer counts.
    releases
        Of each row, by which factor its rate is scaled.
    """

    def __init__(self, runs: Sequence[Run], releases: Sequence[str]) -> None:
        plans = [make_plan(run) for run in runs]
        passes = [_passes(run, plan) for run, plan in zip(runs, plans, strict=True)]
        shape = (len(runs), max(map(len, passes)))
        self.names = tuple(dict.fromkeys(releases))
        self.release = np.array([self.names.index(name) for name in releases])
        self.gemm_s, self.elementwise, self.score_s = np.zeros(shape), np.ones(shape), np.zeros(shape)
        self.widths = np.zeros((*shape, 2))
        self.stream_s, self.way_s, self.times = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for row, (found, plan) in enumerate(zip(passes, plans, strict=True)):
            for place, (one, count) in enumerate(found.items()):
                self.gemm_s[row, place], self.elementwise[row, place] = one.gemm_s, one.elementwise
                self.score_s[row, place], self.widths[row, place] = one.score_s, one.widths
                self.stream_s[row, place], self.way_s[row, place] = one.stream_s, one.way_s
                self.times[row, place] = count * plan.num_micro_batches
        drops = [run.model.attention_dropout > 0.0 and is_training(run.training) for run in runs]
        self.elementwise_scores = np.where(drops, 2.0, 1.0)[:, None]
        trains = np.array([is_training(run.training) for run in runs])
        self.speed = np.array([min(kind.speed for kind in plan.classes) for plan in plans])[:, None]
        first = np.array([plan.update_s[plan.update_kinds[0]] for plan in plans])
        self.update_s = np.where(trains, first, 0.0)

    def attention_s(self, head_block: Array, score_block: Array) -> Array:
        """Work on scores at the peak, for each form. [s]"""
        block = head_block[:, None, None, None]
        heads = (np.ceil(self.widths / block) * block).sum(axis=-1)
        work_s: Array = self.score_s * (heads + 2.0 * score_block[:, None, None] * self.elementwise_scores)
        return work_s

    def compiled(self, forms: Sequence[Form]) -> Compiled:
        """What does not change while numbers are fitted, for each of several forms."""
        columns = [np.array(values, dtype=np.float64) for values in zip(*forms, strict=True)]
        head_block, score_block, exponent, elementwise = columns
        factor = np.where(elementwise[:, None, None] > 0.0, self.elementwise, 1.0)
        return Compiled(self, self.gemm_s * factor, self.attention_s(head_block, score_block), exponent[:, None, None])


class Compiled(NamedTuple):
    """A table under several forms, one for each fit: arrays of shape ``(num_fits, num_rows, num_passes)``."""

    table: Table
    gemm_s: Array
    attention_s: Array
    exponent: Array

    def times_s(self, logs: Logs) -> Array:
        """Step times, shape ``(num_fits, num_rows)``. [s]"""
        table = self.table

        def each(values: Array) -> Array:
            return np.exp(values)[:, None, None]

        rate = np.exp(logs.rates)[:, table.release, None] * table.speed
        work_s = (self.gemm_s / each(logs.gemm) + self.attention_s / each(logs.attention)) / rate
        longer_s = np.maximum(work_s, table.stream_s)
        latency_s = np.where(work_s > 0.0, each(logs.latency) / rate, 0.0)
        passes_s = (longer_s**self.exponent + latency_s**self.exponent) ** (1.0 / self.exponent)
        steps_s: Array = ((passes_s + table.way_s) * table.times).sum(axis=-1) + table.update_s
        return steps_s

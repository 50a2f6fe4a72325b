"""What a micro-batch consists of, in order: which weights pass, and how long the wafer works on each.

A `Plan` is plain data. It says what is done, and how long each device alone takes; who
waits for whom is in `wsesim.schedules.weight_streaming`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from wsesim.config.loader import Run, release_key
from wsesim.config.system import CalibrationSpec
from wsesim.config.training import TrainingSpec
from wsesim.hardware import memoryx, wafer
from wsesim.hardware.swarmx import SystemClass, system_classes
from wsesim.hardware.wafer import Lanes
from wsesim.workload.transformer import Layer, layers, parameter_count

Phase = Literal["forward", "backward", "recompute"]
BACKWARD_OVER_FORWARD = 2.0
"""FLOP of the backward pass over those of the forward pass: gradients of inputs and of weights. [-]"""


@dataclass(frozen=True)
class Sweep:
    """One layer's weights pass over the wafer once.

    Attributes
    ----------
    layer
        Index in forward order. [-]
    tensors
        Layers whose parameters pass: its own, and the embedding's for a tied head. [-]
    chunk_bytes, num_chunks
        Pieces in which weights, and in the backward pass gradients, travel. [bytes], [-]
    gemm_s, attention_s, sequencing_s
        Work of a wafer of regular speed; GEMM time is spread evenly over the chunks. [s]
    rate_bytes_per_s
        At which MemoryX can send these weights. [bytes/s]
    saved_bytes
        Activations that leave over the port after the sweep. [bytes]
    fetched_bytes
        Activations that must be back before it. [bytes]
    """

    layer: int
    phase: Phase
    tensors: tuple[int, ...]
    chunk_bytes: int
    num_chunks: int
    gemm_s: float
    attention_s: float
    sequencing_s: float
    rate_bytes_per_s: float
    saved_bytes: int = 0
    fetched_bytes: int = 0

    @property
    def num_in(self) -> int:
        """Transfers over the port in. [-]"""
        return self.num_chunks + (1 if self.fetched_bytes else 0)

    @property
    def num_out(self) -> int:
        """Transfers over the port out. [-]"""
        return (self.num_chunks if self.phase == "backward" else 0) + (1 if self.saved_bytes else 0)

    @property
    def num_bytes(self) -> int:
        """All chunks. [bytes]"""
        return self.chunk_bytes * self.num_chunks

    @property
    def compute_s(self) -> float:
        """All work of the wafer. [s]"""
        return self.gemm_s + self.attention_s + self.sequencing_s


@dataclass(frozen=True)
class Plan:
    """Everything the schedule needs to know.

    Attributes
    ----------
    sweeps
        One micro-batch, in order.
    layers
        The model, in forward order.
    update_s
        Optimizer time of each layer's parameters. [s]
    waits_for_norm
        Whether the optimizer waits for the last gradient.
    micro_batch_size, num_micro_batches
        Sequences per system and pass, and passes per step. [-]
    input_bytes
        One micro-batch of one system. [bytes]
    """

    sweeps: tuple[Sweep, ...]
    layers: tuple[Layer, ...]
    update_s: tuple[float, ...]
    waits_for_norm: bool
    micro_batch_size: int
    num_micro_batches: int
    input_bytes: int
    input_workers: int
    lanes: Lanes
    classes: tuple[SystemClass, ...]
    software_release: str
    release_rate: float


@dataclass(frozen=True)
class PortOrder:
    """The order in which transfers pass one system's port: the order of the program.

    In: the input of a micro-batch, then for each sweep the activations it needs and its
    weights. Out: for each sweep the activations that it saves, or its gradients.

    Attributes
    ----------
    first_in, first_out
        Ticket of each sweep's first transfer within a micro-batch. [-]
    num_in, num_out
        Transfers of one micro-batch. [-]
    """

    first_in: tuple[int, ...]
    first_out: tuple[int, ...]
    num_in: int
    num_out: int


def port_order(sweeps: tuple[Sweep, ...]) -> PortOrder:
    """Tickets for the transfers of one micro-batch."""
    first_in = tuple(accumulate((sweep.num_in for sweep in sweeps), initial=1))
    first_out = tuple(accumulate((sweep.num_out for sweep in sweeps), initial=0))
    return PortOrder(first_in[:-1], first_out[:-1], first_in[-1], first_out[-1])


def last_contributions(sweeps: tuple[Sweep, ...]) -> dict[int, int]:
    """For each layer's parameters, the layer whose backward sweep is the last to add to their gradient."""
    last: dict[int, int] = {}
    for sweep in sweeps:
        if sweep.phase == "backward":
            last |= dict.fromkeys(sweep.tensors, sweep.layer)
    return last


def pick_release(calibration: CalibrationSpec, wanted: str | None) -> tuple[str, float]:
    """Calibrated release for a wanted one, and its rate. [-]

    The newest one when none is wanted; the newest that is not newer than the wanted one,
    or the oldest where all are newer.
    """
    known = sorted(calibration.releases, key=release_key)
    if wanted is None:
        return known[-1], calibration.releases[known[-1]]
    older = [release for release in known if release_key(release) <= release_key(wanted)]
    chosen = older[-1] if older else known[0]
    return chosen, calibration.releases[chosen]


def kept_per_working_set(training: TrainingSpec, chain: tuple[Layer, ...]) -> float:
    """Activations of other layers that stay on the wafer, over one layer's working set. [-]"""
    blocks = [layer for layer in chain if layer.kind == "block"]
    working_set = max(layer.working_set_bytes_per_token for layer in blocks)
    if training.activations == "resident":
        return sum(layer.working_set_bytes_per_token for layer in blocks) / working_set - 1.0
    if training.activations == "recompute":
        segment = segment_length(len(blocks))
        kept = math.ceil(len(blocks) / segment) + segment
        return kept * blocks[0].output_bytes_per_token / working_set
    return 0.0


def segment_length(num_blocks: int) -> int:
    """Blocks between two inputs that are kept for recomputation: the square root, which keeps least. [-]"""
    return max(1, round(math.sqrt(num_blocks)))


def lanes_of(run: Run) -> Lanes:
    """How the run's sequences lie on one wafer.

    Raises
    ------
    DoesNotFit
        Not even one sequence fits.
    """
    chain = layers(run.model, run.training.sequence_length)
    widest = max(layer.working_set_bytes_per_token for layer in chain)
    kept = kept_per_working_set(run.training, chain)
    return wafer.lay_out(run.cluster.system, widest, run.training.sequence_length, kept)


def stored_share(training: TrainingSpec, wire_bytes: float, index_bytes: float) -> float:
    """Bytes of sparse weights on the wire over those of dense ones; never more than dense. [-]

    Examples
    --------
    >>> from wsesim.config.training import TrainingSpec
    >>> sparse = TrainingSpec(sequence_length=1, global_batch_size=1, weight_sparsity=0.75)
    >>> stored_share(sparse, wire_bytes=2, index_bytes=1)  # a quarter of the weights, half as much again each
    0.375
    """
    if training.weight_sparsity == 0:
        return 1.0
    return min(1.0, (1.0 - training.weight_sparsity) * (1.0 + index_bytes / wire_bytes))


def _sweep(
    run: Run, lanes: Lanes, micro: int, chain: tuple[Layer, ...], index: int, phase: Phase, rate: float, in_flash: bool
) -> Sweep:
    """One layer in one phase, for a micro-batch of `micro` sequences."""
    layer, training, cluster, system = chain[index], run.training, run.cluster, run.cluster.system
    passes = (BACKWARD_OVER_FORWARD if phase == "backward" else 1.0) * micro / (lanes.utilization(micro) * rate)
    wire = cluster.memoryx.wire_bytes_per_weight * (2.0 if training.precision == "float32" else 1.0)
    share = stored_share(training, wire, cluster.memoryx.index_bytes_per_weight)
    size = layer.streamed_parameters * wire * share
    room = min(system.wafer.weight_buffer_bytes, system.wafer.gradient_buffer_bytes)
    chunks = max(cluster.simulation.chunks_per_layer, math.ceil(size / room * 1.000001))
    tokens = micro * training.sequence_length
    moves = training.activations == "offload"
    is_used_at_once = chain[index + 1 : index + 2] and chain[index + 1].kind == "head"
    leaves = moves and layer.kind == "block" and not is_used_at_once
    out = int(layer.output_bytes_per_token * tokens) if leaves else 0
    shared = next((i for i, other in enumerate(chain) if other.name == layer.shares_weights_with), None)
    return Sweep(
        layer=index,
        phase=phase,
        tensors=(index,) if shared is None else (index, shared),
        chunk_bytes=max(1, math.ceil(size / chunks)),
        num_chunks=chunks,
        gemm_s=wafer.gemm_time_s(
            system, layer.gemm_flop_per_sequence * passes * (1.0 - training.weight_sparsity), training.precision
        ),
        attention_s=wafer.attention_time_s(system, layer.attention_flop_per_sequence * passes, training.precision),
        sequencing_s=wafer.sequencing_time_s(system.calibration, layer.num_weight_matrices) / rate,
        rate_bytes_per_s=memoryx.egress_rate_bytes_per_s(cluster.memoryx, in_flash=in_flash),
        saved_bytes=out if phase == "forward" else 0,
        fetched_bytes=out if phase == "backward" else 0,
    )


def _order(training: TrainingSpec, chain: tuple[Layer, ...]) -> list[tuple[int, Phase]]:
    """Layers and phases of one micro-batch."""
    last = len(chain) - 1
    forward: list[tuple[int, Phase]] = [(index, "forward") for index in range(last + 1)]
    if training.activations != "recompute":
        return forward + [(index, "backward") for index in range(last, -1, -1)]
    order = [*forward, (last, "backward")]
    segment = segment_length(last - 1)
    for end in range(last - 1, 0, -segment):
        start = max(1, end - segment + 1)
        order += [(index, "recompute") for index in range(start, end)]
        order += [(index, "backward") for index in range(end, start - 1, -1)]
    return [*order, (0, "backward")]


def micro_batch(training: TrainingSpec, num_systems: int, lanes: Lanes) -> tuple[int, int]:
    """Micro-batch size and number of micro-batches. [-]

    "auto" takes the largest divisor of the batch per system that fits.
    """
    per_system = training.global_batch_size // num_systems
    if training.micro_batch_size != "auto":
        return training.micro_batch_size, per_system // training.micro_batch_size
    number = next(
        count
        for count in range(math.ceil(per_system / lanes.max_micro_batch_size), per_system + 1)
        if per_system % count == 0
    )
    return per_system // number, number


def make_plan(run: Run, *, fold: bool = True) -> Plan:
    """Put a run's micro-batch together.

    Parameters
    ----------
    run
        Checked by `wsesim.schedules.checks.check`.
    fold
        Simulate equal systems once.
    """
    training, cluster = run.training, run.cluster
    chain = layers(run.model, training.sequence_length)
    lanes = lanes_of(run)
    size, number = micro_batch(training, cluster.num_systems, lanes)
    release, rate = pick_release(cluster.system.calibration, cluster.software_release)
    parameters = parameter_count(run.model, training.sequence_length)
    first_in_flash = len(chain) * (1.0 - memoryx.share_in_flash(cluster.memoryx, parameters, training.optimizer))
    in_flash = [index + 1 > first_in_flash + 1e-9 for index in range(len(chain))]
    sweeps = []
    for index, phase in _order(training, chain):
        sweeps.append(_sweep(run, lanes, size, chain, index, phase, rate, in_flash[index]))
    kept = 1.0 - training.weight_sparsity
    return Plan(
        sweeps=tuple(sweeps),
        layers=chain,
        update_s=tuple(
            memoryx.update_time_s(cluster.memoryx, layer.parameters * kept, training.optimizer, in_flash=flash)
            for layer, flash in zip(chain, in_flash, strict=True)
        ),
        waits_for_norm=training.max_gradient_norm > 0,
        micro_batch_size=size,
        num_micro_batches=number,
        input_bytes=int(size * training.sequence_length * cluster.input.bytes_per_token),
        input_workers=cluster.input.num_workers_per_system,
        lanes=lanes,
        classes=system_classes(cluster, fold=fold),
        software_release=release,
        release_rate=rate,
    )

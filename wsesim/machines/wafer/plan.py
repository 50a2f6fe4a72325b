"""What a micro-batch consists of, in order: which weights pass, and how long the wafer works on each.

A `Plan` is plain data. It says what is done, and how long each device alone takes; who
waits for whom is in `wsesim.machines.wafer.streaming`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from wsesim.config.model import ModelSpec
from wsesim.config.release import release_key
from wsesim.config.run import Run
from wsesim.config.training import TrainingSpec
from wsesim.machines.wafer import memoryx, wafer
from wsesim.machines.wafer.spec import ClusterSpec
from wsesim.machines.wafer.swarmx import SystemClass, fabric_rate_bytes_per_s, system_classes
from wsesim.machines.wafer.system import CalibrationSpec
from wsesim.machines.wafer.wafer import Lanes
from wsesim.units import add_up
from wsesim.workload.transformer import Layer, block_kinds, layer_counts, layers, parameter_count

Phase = Literal["forward", "backward", "recompute"]
NO_FLASH = (False,)
CHUNKS_IN_BUFFER = 2
"""A buffer holds at least so many chunks, so that one can arrive while another is used. [-]"""
BACKWARD_OVER_FORWARD = 2.0
"""FLOP of the backward pass over those of the forward pass: gradients of inputs and of weights. [-]"""


class Sweep(NamedTuple):
    """One layer's weights pass over the wafer once; the same for all layers of a kind.

    Attributes
    ----------
    streams_table
        Whether the embedding's table passes too (the head of a tied model).
    chunk_bytes, num_chunks
        Pieces in which weights, and in the backward pass gradients, travel. [bytes], [-]
    gemm_s, attention_s, sequencing_s
        Work of a wafer of regular speed; GEMM time is spread evenly over the chunks. [s]
    rate_bytes_per_s
        At which MemoryX and the tree can send these weights. [bytes/s]
    saved_bytes
        Activations that leave over the port after the sweep. [bytes]
    fetched_bytes
        Activations that must be back before it. [bytes]
    executed_flop_per_sequence
        What the wafer executes for one sequence. [FLOP]
    """

    phase: Phase
    streams_table: bool
    chunk_bytes: int
    num_chunks: int
    gemm_s: float
    attention_s: float
    sequencing_s: float
    rate_bytes_per_s: float
    saved_bytes: int = 0
    fetched_bytes: int = 0
    executed_flop_per_sequence: float = 0.0

    @property
    def num_bytes(self) -> int:
        """All chunks. [bytes]"""
        return self.chunk_bytes * self.num_chunks

    @property
    def compute_s(self) -> float:
        """All work of the wafer. [s]"""
        return self.gemm_s + self.attention_s + self.sequencing_s


class Visit(NamedTuple):
    """A layer's turn in a micro-batch, and which of the plan's kinds of sweep it is."""

    layer: int
    kind: int


class Transport(NamedTuple):
    """How the cluster moves what a plan streams.

    Attributes
    ----------
    down_bytes_per_s, up_bytes_per_s
        Of the tree, and of the tree into MemoryX. [bytes/s]
    tensor_latency_s, slowest_latency_s
        Of MemoryX, and of the way to the system that hears last. [s]
    weight_room_bytes, gradient_room_bytes, prefetched_micro_batches
        Buffers of a system. [bytes], [-]
    """

    down_bytes_per_s: float
    up_bytes_per_s: float
    tensor_latency_s: float
    slowest_latency_s: float
    weight_room_bytes: int
    gradient_room_bytes: int
    prefetched_micro_batches: int


def transport_of(cluster: ClusterSpec, classes: tuple[SystemClass, ...]) -> Transport:
    """How a cluster moves what is streamed."""
    wafer, fabric = cluster.system.wafer, fabric_rate_bytes_per_s(cluster, classes)
    return Transport(
        down_bytes_per_s=fabric,
        up_bytes_per_s=min(cluster.memoryx.ingress_bytes_per_s, fabric),
        tensor_latency_s=cluster.memoryx.tensor_latency_s,
        slowest_latency_s=max([kind.latency_s for kind in classes]),
        weight_room_bytes=int(wafer.weight_buffer_bytes),
        gradient_room_bytes=int(wafer.gradient_buffer_bytes),
        prefetched_micro_batches=cluster.input.prefetch_micro_batches,
    )


class Plan(NamedTuple):
    """Everything the schedule needs to know.

    Attributes
    ----------
    visits
        One micro-batch: layers in order, each with its kind of sweep.
    kinds
        The different sweeps; equal layers share one.
    layers
        The model, in forward order.
    update_kinds, update_s
        For each layer, which of the different update times is its own; and these. [-], [s]
    waits_for_norm
        Whether the optimizer waits for the last gradient.
    micro_batch_size, num_micro_batches
        Sequences per system and pass, and passes per step. [-]
    input_bytes
        One micro-batch of one system. [bytes]
    """

    visits: tuple[Visit, ...]
    kinds: tuple[Sweep, ...]
    layers: tuple[Layer, ...]
    update_kinds: tuple[int, ...]
    update_s: tuple[float, ...]
    waits_for_norm: bool
    micro_batch_size: int
    num_micro_batches: int
    input_bytes: int
    input_workers: int
    lanes: Lanes
    classes: tuple[SystemClass, ...]
    transport: Transport
    software_release: str
    release_rate: float

    def sweeps(self) -> Iterator[Sweep]:
        """The sweeps of one micro-batch, in order."""
        return (self.kinds[visit.kind] for visit in self.visits)


def pick_release(calibration: CalibrationSpec, wanted: str | None) -> tuple[str, float]:
    """Calibrated release for a wanted one, and its rate. [-]

    The newest one when none is wanted; the newest that is not newer than the wanted one,
    or the oldest where all are newer.
    """
    chosen = _pick(tuple(calibration.releases), wanted)
    return chosen, calibration.releases[chosen]


@lru_cache(maxsize=64)
def _pick(releases: tuple[str, ...], wanted: str | None) -> str:
    known = sorted(releases, key=release_key)
    if wanted is None:
        return known[-1]
    older = [release for release in known if release_key(release) <= release_key(wanted)]
    return older[-1] if older else known[0]


def kept_per_working_set(training: TrainingSpec, chain: tuple[Layer, ...]) -> float:
    """Activations of other layers that stay on the wafer, over one layer's working set. [-]"""
    blocks = chain[1:-1]
    num_blocks, widest = len(blocks), max(blocks, key=lambda block: block.working_set_bytes_per_token)
    if training.activations == "resident":
        return add_up(block.working_set_bytes_per_token for block in blocks) / widest.working_set_bytes_per_token - 1.0
    if training.activations == "recompute":
        segment = segment_length(num_blocks)
        kept = math.ceil(num_blocks / segment) + segment
        return kept * widest.output_bytes_per_token / widest.working_set_bytes_per_token
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
    widest = max(layer.working_set_bytes_per_token for layer in _different(run))
    kept = kept_per_working_set(run.training, chain)
    widest *= activation_bytes_factor(run.training)
    return wafer.lay_out(run.cluster.system, widest, run.training.sequence_length, kept)


def _different(run: Run) -> tuple[Layer, ...]:
    """The first layer of each kind."""
    return tuple(layer for layer, _ in layer_counts(run.model, run.training.sequence_length))


def activation_bytes_factor(training: TrainingSpec) -> float:
    """Bytes of an activation over those at 16 bit. [-]"""
    return 2.0 if training.precision == "float32" else 1.0


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


class _Sweeps:
    """Makes the sweeps of one run, for micro-batches of `micro` sequences on wafers of a release's `rate`."""

    def __init__(self, run: Run, lanes: Lanes, micro: int, rate: float, down_bytes_per_s: float) -> None:
        training, cluster, system = run.training, run.cluster, run.cluster.system
        self.gemm_flop_per_s = wafer.gemm_rate_flop_per_s(system, training.precision)
        self.attention_flop_per_s = wafer.attention_rate_flop_per_s(system, training.precision)
        self.calibration, self.rate = system.calibration, rate
        self.rates_bytes_per_s = [
            min(memoryx.egress_rate_bytes_per_s(cluster.memoryx, in_flash=in_flash), down_bytes_per_s)
            for in_flash in (False, True)
        ]
        self.micro_per_rate = micro / (lanes.utilization(micro) * rate)
        self.kept = 1.0 - training.weight_sparsity
        wire = cluster.memoryx.wire_bytes_per_weight * (2.0 if training.precision == "float32" else 1.0)
        self.bytes_per_parameter = wire * stored_share(training, wire, cluster.memoryx.index_bytes_per_weight)
        self.room = min(system.wafer.weight_buffer_bytes, system.wafer.gradient_buffer_bytes)
        self.fewest_chunks = cluster.simulation.chunks_per_layer
        tokens = micro * training.sequence_length * activation_bytes_factor(training)
        self.moved_tokens = tokens if training.activations == "offload" else 0.0

    def sweep(self, layer: Layer, phase: Phase, *, feeds_head: bool, in_flash: bool) -> Sweep:
        """One layer in one phase; what the head reads at once does not leave the wafer before."""
        over_forward = BACKWARD_OVER_FORWARD if phase == "backward" else 1.0
        passes = over_forward * self.micro_per_rate
        size = layer.streamed_parameters * self.bytes_per_parameter
        chunks = max(self.fewest_chunks, math.ceil(CHUNKS_IN_BUFFER * size / self.room * 1.000001))
        leaves = layer.kind == "block" and not feeds_head
        out = int(layer.output_bytes_per_token * self.moved_tokens) if leaves else 0
        gemm_flop = layer.gemm_flop_per_sequence * self.kept
        attention_flop = layer.attention_flop_per_sequence
        return Sweep(
            phase=phase,
            streams_table=bool(layer.shares_weights_with),
            chunk_bytes=max(1, math.ceil(size / chunks)),
            num_chunks=chunks,
            gemm_s=gemm_flop * passes / self.gemm_flop_per_s,
            attention_s=attention_flop * passes / self.attention_flop_per_s,
            sequencing_s=wafer.sequencing_time_s(self.calibration, layer.num_weight_matrices) / self.rate,
            rate_bytes_per_s=self.rates_bytes_per_s[in_flash],
            saved_bytes=out if phase == "forward" else 0,
            fetched_bytes=out if phase == "backward" else 0,
            executed_flop_per_sequence=(gemm_flop + attention_flop) * over_forward,
        )


@lru_cache(maxsize=64)
def _visits_of(
    kinds: tuple[str, ...], in_flash: tuple[bool, ...], recompute: bool
) -> tuple[tuple[Visit, ...], tuple[tuple[int, Phase], ...]]:
    """The order of a micro-batch, and for each kind of sweep the first layer and phase that has it."""
    numbers: dict[tuple[str, bool, Phase, bool], int] = {}
    firsts: list[tuple[int, Phase]] = []
    visits = []
    for index, phase in _order(len(kinds) - 1, recompute=recompute):
        key = (kinds[index], index == len(kinds) - 2, phase, in_flash[index])
        if key not in numbers:
            numbers[key] = len(firsts)
            firsts.append((index, phase))
        visits.append(Visit(index, numbers[key]))
    return tuple(visits), tuple(firsts)


@lru_cache(maxsize=64)
def _layer_kinds(model: ModelSpec) -> tuple[str, ...]:
    """Kinds of all layers, in forward order."""
    return ("embedding", *[f"block.{kind}" for kind in block_kinds(model)], "head")


@lru_cache(maxsize=64)
def _update_kinds(layers: tuple[str, ...], in_flash: tuple[bool, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each layer, which of the different updates is its own; and an example of each."""
    firsts: dict[tuple[str, bool], int] = {}
    both = zip(layers, in_flash, strict=True)
    kinds = tuple(firsts.setdefault(pair, len(firsts)) for pair in both)
    return kinds, tuple(kinds.index(kind) for kind in range(len(firsts)))


def _order(last: int, *, recompute: bool) -> list[tuple[int, Phase]]:
    """Layers, of which `last` is the head, and phases of one micro-batch."""
    forward: list[tuple[int, Phase]] = [(index, "forward") for index in range(last + 1)]
    if not recompute:
        return forward + [(index, "backward") for index in range(last, -1, -1)]
    order = [*forward, (last, "backward")]
    segment = segment_length(last - 1)
    for end in range(last - 1, 0, -segment):
        start = max(1, end - segment + 1)
        order += [(index, "recompute") for index in range(start, end)]
        order += [(index, "backward") for index in range(end, start - 1, -1)]
    return [*order, (0, "backward")]


def micro_batch(run: Run, lanes: Lanes) -> tuple[int, int]:
    """Micro-batch size and number of micro-batches. [-]

    "auto" takes, of the divisors of the batch per system that fit, the one that computes
    fastest: large ones sequence fewer passes, multiples of the lanes leave no lane idle. Of
    equally fast ones it takes the largest.
    """
    per_system = run.training.global_batch_size // run.cluster.num_systems
    wanted = run.training.micro_batch_size
    if wanted != "auto":
        return wanted, per_system // wanted
    round_s, pass_s = _round_and_pass_s(run, lanes)

    slots = lanes.slots
    _, size = min(
        (per_system // size * (-(-size // slots) * round_s + pass_s), -size)
        for size in divisors(per_system, lanes.max_micro_batch_size)
    )
    return -size, per_system // -size


def _round_and_pass_s(run: Run, lanes: Lanes) -> tuple[float, float]:
    """Compute of one sequence on every slot, and the fixed time of a micro-batch, forward and backward. [s]"""
    system, precision = run.cluster.system, run.training.precision
    counts = layer_counts(run.model, run.training.sequence_length)
    gemm_flop = add_up(count * layer.gemm_flop_per_sequence for layer, count in counts)
    attention_flop = add_up(count * layer.attention_flop_per_sequence for layer, count in counts)
    gemm_s = gemm_flop * (1.0 - run.training.weight_sparsity) / wafer.gemm_rate_flop_per_s(system, precision)
    alone_s = gemm_s + attention_flop / wafer.attention_rate_flop_per_s(system, precision)
    matrices = add_up(count * layer.num_weight_matrices for layer, count in counts)
    round_s = (1.0 + BACKWARD_OVER_FORWARD) * alone_s * lanes.width / lanes.lanes_per_sequence
    return round_s, 2.0 * wafer.sequencing_time_s(system.calibration, matrices)


@lru_cache(maxsize=1024)
def divisors(number: int, limit: int) -> tuple[int, ...]:
    """Divisors of a number that are not above a limit. [-]

    Examples
    --------
    >>> divisors(130, 121)
    (1, 2, 5, 10, 13, 26, 65)
    """
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return tuple(sorted({divisor for one in small for divisor in (one, number // one) if divisor <= limit}))


def _visits(
    made: _Sweeps, model: ModelSpec, chain: tuple[Layer, ...], in_flash: tuple[bool, ...], *, recompute: bool
) -> tuple[tuple[Visit, ...], tuple[Sweep, ...]]:
    """The order of a micro-batch; layers that are alike share one sweep."""
    visits, firsts = _visits_of(_layer_kinds(model), in_flash, recompute)
    last_block = len(chain) - 2
    return visits, tuple(
        made.sweep(chain[index], phase, feeds_head=index == last_block, in_flash=in_flash[index])
        for index, phase in firsts
    )


def _updates(
    run: Run, chain: tuple[Layer, ...], in_flash: tuple[bool, ...]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Optimizer times; layers that are alike share one."""
    kept, optimizer, spec = 1.0 - run.training.weight_sparsity, run.training.optimizer, run.cluster.memoryx
    kinds, examples = _update_kinds(_layer_kinds(run.model), in_flash)
    return kinds, tuple(
        memoryx.update_time_s(spec, chain[index].parameters * kept, optimizer, in_flash=in_flash[index])
        for index in examples
    )


def make_plan(run: Run, *, fold: bool = True) -> Plan:
    """Put a run's micro-batch together.

    Parameters
    ----------
    run
        Checked by `wsesim.machines.wafer.checks.check`.
    fold
        Simulate equal systems once.
    """
    training, cluster = run.training, run.cluster
    chain = layers(run.model, training.sequence_length)
    lanes = lanes_of(run)
    size, number = micro_batch(run, lanes)
    release, rate = pick_release(cluster.system.calibration, cluster.software_release)
    parameters = parameter_count(run.model, training.sequence_length)
    in_dram = len(chain) * (1.0 - memoryx.share_in_flash(cluster.memoryx, parameters, training.optimizer))
    in_flash = (
        tuple(index + 1 > in_dram + 1e-9 for index in range(len(chain)))
        if in_dram < len(chain)
        else NO_FLASH * len(chain)
    )
    classes = system_classes(cluster, fold=fold)
    transport = transport_of(cluster, classes)
    sweeps = _Sweeps(run, lanes, size, rate, transport.down_bytes_per_s)
    visits, kinds = _visits(sweeps, run.model, chain, in_flash, recompute=training.activations == "recompute")
    update_kinds, update_s = _updates(run, chain, in_flash)
    return Plan(
        visits=visits,
        kinds=kinds,
        layers=chain,
        update_kinds=update_kinds,
        update_s=update_s,
        waits_for_norm=training.max_gradient_norm > 0,
        micro_batch_size=size,
        num_micro_batches=number,
        input_bytes=int(size * training.sequence_length * cluster.input.bytes_per_token),
        input_workers=cluster.input.num_workers_per_system,
        lanes=lanes,
        classes=classes,
        transport=transport,
        software_release=release,
        release_rate=rate,
    )

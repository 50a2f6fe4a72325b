"""What a micro-batch consists of, in order: which weights pass, and how long the wafer works on each.

A `Plan` is plain data. It says what is done, and how long each device alone takes; who
waits for whom is in `wsesim.machines.wafer.streaming`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from wsesim.config.cluster import release_key
from wsesim.config.model import ModelSpec
from wsesim.config.run import Run
from wsesim.config.training import TrainingSpec, is_training
from wsesim.machines.wafer import memoryx, wafer
from wsesim.machines.wafer.spec import CalibrationSpec, ClusterSpec, MemoryXSpec
from wsesim.machines.wafer.swarmx import SystemClass, fabric_rate_bytes_per_s, system_classes
from wsesim.machines.wafer.wafer import Lanes
from wsesim.units import add_up
from wsesim.workload.transformer import Layer, block_kinds, layer_counts, layers, parameter_count

Phase = Literal["forward", "backward", "gradient", "recompute"]
"""Of a layer: forward, gradients of its input, gradients of its weights, forward again."""
NO_FLASH = (False,)
CHUNKS_IN_BUFFER = 3
"""A buffer holds at least so many chunks: one arrives while another is used, and one is on its way. [-]"""


class Pass(NamedTuple):
    """One layer passes over the wafer once, with its weights on their way in, or their gradients on their way out.

    Attributes
    ----------
    streams_table
        Whether the embedding's table passes too (the head of a tied model).
    chunk_bytes, num_chunks
        Pieces in which the weights, or in a gradient pass the gradients, travel. [bytes], [-]
    num_apart
        Chunks before those that are simulated as one, all but the last; 0 where each is simulated. [-]
    gemm_s, attention_s
        Work of a wafer of regular speed; GEMM time is spread evenly over the chunks. [s]
    latency_s
        Latency of the pass as far as its work, or its stream where that is longer, does not hide it. [s]
    rate_bytes_per_s
        At which MemoryX and the tree can send these weights, or take these gradients. [bytes/s]
    saved_bytes
        Activations that leave over the port after the pass. [bytes]
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
    latency_s: float
    rate_bytes_per_s: float
    saved_bytes: int = 0
    fetched_bytes: int = 0
    executed_flop_per_sequence: float = 0.0
    num_apart: int = 0

    @property
    def num_together(self) -> int:
        """Chunks that are simulated as one. [-]"""
        return self.num_chunks - self.num_apart - 1

    @property
    def num_bytes(self) -> int:
        """All chunks. [bytes]"""
        return self.chunk_bytes * self.num_chunks

    @property
    def compute_s(self) -> float:
        """All work of the wafer. [s]"""
        return self.gemm_s + self.attention_s + self.latency_s

    @property
    def takes_weights(self) -> bool:
        """Whether weights come in; in a gradient pass gradients go out."""
        return self.phase != "gradient"


class Visit(NamedTuple):
    """A layer's turn in a micro-batch, and which of the plan's kinds of pass it is."""

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
        One micro-batch: layers in order, each with its kind of pass.
    kinds
        The different passes; equal layers share one.
    layers
        The model, in forward order.
    update_kinds, update_s
        For each layer, which of the different update times is its own; and these. [-], [s]
    waits_for_norm
        Whether the optimizer waits for the last gradient.
    micro_batch_size, num_micro_batches
        Sequences per system and pass, and passes per step. [-]
    sequences_per_pass
        On average; less than `micro_batch_size` where a system's batch does not divide. [-]
    input_bytes
        One micro-batch of one system. [bytes]
    """

    visits: tuple[Visit, ...]
    kinds: tuple[Pass, ...]
    layers: tuple[Layer, ...]
    update_kinds: tuple[int, ...]
    update_s: tuple[float, ...]
    waits_for_norm: bool
    micro_batch_size: int
    num_micro_batches: int
    sequences_per_pass: float
    input_bytes: int
    input_workers: int
    lanes: Lanes
    classes: tuple[SystemClass, ...]
    transport: Transport
    software_release: str
    release_rate: float

    def passes(self) -> Iterator[Pass]:
        """The passes of one micro-batch, in order."""
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
    if not is_training(training):
        return 0.0
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
    different = (layer for layer, _ in layer_counts(run.model, run.training.sequence_length))
    widest = max(different, key=lambda layer: layer.working_set_bytes_per_token)
    working_set = wafer.working_set_over_gpt(widest, run.model.hidden_size) * activation_bytes_factor(run.training)
    working_set *= 1.0 + kept_per_working_set(run.training, chain)
    return wafer.lay_out(run.cluster.system, run.model.hidden_size, working_set, run.training.sequence_length)


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


def wire_bytes(training: TrainingSpec, spec: MemoryXSpec) -> tuple[float, float]:
    """A parameter's weight and gradient on the wire, sparsity and index included. [bytes]"""
    weight = spec.wire_bytes_per_weight * (2.0 if training.precision == "float32" else 1.0)
    gradient = max(weight, spec.wire_bytes_per_gradient)
    index = spec.index_bytes_per_weight
    return weight * stored_share(training, weight, index), gradient * stored_share(training, gradient, index)


class _Passes:
    """Makes the passes of one run, of `sequences` each, on wafers of a release's `rate`."""

    def __init__(
        self, run: Run, sequences: float, rate: float, transport: Transport, classes: tuple[SystemClass, ...]
    ) -> None:
        training, cluster, system = run.training, run.cluster, run.cluster.system
        self.gemm_flop_per_s = wafer.gemm_rate_flop_per_s(system, training.precision)
        self.attention_flop_per_s = wafer.attention_rate_flop_per_s(system, training.precision)
        self.calibration, self.rate, self.hidden_size = system.calibration, rate, run.model.hidden_size
        self.drops_scores = run.model.attention_dropout > 0.0 and is_training(training)
        self.rates_bytes_per_s = [
            min(memoryx.egress_rate_bytes_per_s(cluster.memoryx, in_flash=in_flash), transport.down_bytes_per_s)
            for in_flash in (False, True)
        ]
        self.up_bytes_per_s = transport.up_bytes_per_s
        self.sequences_per_rate = sequences / rate
        self.kept = 1.0 - training.weight_sparsity
        self.weight_bytes, self.gradient_bytes = wire_bytes(training, cluster.memoryx)
        self.room = min(system.wafer.weight_buffer_bytes, system.wafer.gradient_buffer_bytes)
        self.fewest_chunks = cluster.simulation.chunks_per_layer
        self.room_bytes = system.wafer.weight_buffer_bytes
        self.delivery_s = max([kind.latency_s for kind in classes]) + transport.tensor_latency_s
        self.slowest = min([kind.speed for kind in classes])
        self.are_alike = len({kind._replace(members=()) for kind in classes}) == 1  # folded or one by one
        tokens = sequences * training.sequence_length * activation_bytes_factor(training)
        self.moved_tokens = tokens if training.activations == "offload" and is_training(training) else 0.0

    def of_layer(self, layer: Layer, phase: Phase, *, feeds_head: bool, in_flash: bool) -> Pass:
        """One layer in one phase; what the head reads at once does not leave the wafer before."""
        is_gradient = phase == "gradient"
        size = layer.streamed_parameters * (self.gradient_bytes if is_gradient else self.weight_bytes)
        rate_bytes_per_s = self.up_bytes_per_s if is_gradient else self.rates_bytes_per_s[in_flash]
        chunks = max(self.fewest_chunks, math.ceil(CHUNKS_IN_BUFFER * size / self.room * 1.000001))
        leaves = layer.kind == "block" and not feeds_head
        out = int(layer.output_bytes_per_token * self.moved_tokens) if leaves else 0
        gemm_flop = layer.gemm_flop_per_sequence * self.kept
        gemm_s, attention_s = self._work_s(layer, gemm_flop)
        chunk_bytes = max(1, math.ceil(size / chunks))
        room = CHUNKS_IN_BUFFER
        if attention_s > 0.0 and not is_gradient:
            room = int(self.room_bytes // chunk_bytes)  # fills up while the scores are computed
        times_s = chunk_bytes / rate_bytes_per_s, gemm_s / chunks / self.slowest
        return Pass(
            phase=phase,
            streams_table=bool(layer.shares_weights_with),
            chunk_bytes=chunk_bytes,
            num_chunks=chunks,
            gemm_s=gemm_s,
            attention_s=attention_s,
            latency_s=self._latency_s(gemm_s + attention_s, size / rate_bytes_per_s),
            rate_bytes_per_s=rate_bytes_per_s,
            saved_bytes=out if phase == "forward" else 0,
            fetched_bytes=out if phase == "backward" else 0,
            executed_flop_per_sequence=gemm_flop + layer.attention_flop_per_sequence,
            num_apart=self._num_apart(chunks, room, times_s, is_gradient=is_gradient),
        )

    def _num_apart(self, chunks: int, room: int, times_s: tuple[float, float], *, is_gradient: bool) -> int:
        """Chunks to simulate before the others; 0 where the number of chunks changes the answer.

        Chunks come in the rhythm of the longer of stream and work, one like the other, unless the buffer holds less than what
        is on its way. A stream that has stopped for a full buffer, and is the longer, is late by what did not fit. Gradients have
        nobody to wait for but the last.
        """
        stream_s, work_s = times_s
        longest_s = max(times_s)
        apart = room if stream_s > work_s else CHUNKS_IN_BUFFER
        on_its_way_s = 0.0 if is_gradient else self.delivery_s + (min(times_s) if self.are_alike else longest_s)
        if chunks <= max(self.fewest_chunks, apart + 2) or on_its_way_s > (CHUNKS_IN_BUFFER - 1) * longest_s:
            return 0
        return apart

    def _work_s(self, layer: Layer, gemm_flop: float) -> tuple[float, float]:
        """Products with weights, and of activations, of one pass. [s]"""
        if layer.kind != "block":
            return gemm_flop * self.sequences_per_rate / self.gemm_flop_per_s, 0.0
        elementwise = wafer.working_set_over_gpt(layer, self.hidden_size)
        attention_flop = wafer.laid_out_attention_flop(layer, self.calibration, drops_scores=self.drops_scores)
        return (
            gemm_flop * elementwise * self.sequences_per_rate / self.gemm_flop_per_s,
            attention_flop * self.sequences_per_rate / self.attention_flop_per_s,
        )

    def _latency_s(self, work_s: float, stream_s: float) -> float:
        """What a pass takes beside its work or stream; a lookup, which computes nothing, has no mesh to fill. [s]"""
        if work_s <= 0.0:
            return 0.0
        latency_s = self.calibration.pass_latency_s / self.rate
        return wafer.exposed_latency_s(max(work_s, stream_s), latency_s, self.calibration.overlap_exponent)


@lru_cache(maxsize=64)
def _visits_of(
    kinds: tuple[str, ...], in_flash: tuple[bool, ...], order: tuple[tuple[int, Phase], ...]
) -> tuple[tuple[Visit, ...], tuple[tuple[int, Phase], ...]]:
    """The order of a micro-batch, and for each kind of pass the first layer and phase that has it."""
    numbers: dict[tuple[str, bool, Phase, bool], int] = {}
    firsts: list[tuple[int, Phase]] = []
    visits = []
    for index, phase in order:
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


@lru_cache(maxsize=64)
def _order(last: int, *, trains: bool, recompute: bool) -> tuple[tuple[int, Phase], ...]:
    """Layers, of which `last` is the head, and phases of one micro-batch; nobody asks for the gradient of the embedding's input."""
    forward: list[tuple[int, Phase]] = [(index, "forward") for index in range(last + 1)]
    if not trains:
        return tuple(forward)
    order = [*forward, *_back(last)]
    segment = segment_length(last - 1) if recompute else last
    for end in range(last - 1, 0, -segment):
        start = max(1, end - segment + 1)
        order += [(index, "recompute") for index in range(start, end)] if recompute else []
        order += [one for index in range(end, start - 1, -1) for one in _back(index)]
    return (*order, (0, "gradient"))


def _back(layer: int) -> list[tuple[int, Phase]]:
    """Two passes: what goes on to the layer before, then what its own weights learn."""
    return [(layer, "backward"), (layer, "gradient")]


def micro_batch(run: Run, lanes: Lanes) -> tuple[int, int]:
    """Micro-batch size and number of micro-batches. [-]

    "auto" takes the fewest passes that may be, or up to twice as many where the batch of a system divides into those: logs of
    the vendor's software try divisors. What divides into none is dealt out as evenly as it goes, and the size is that of the
    fullest pass.
    """
    per_system = math.ceil(run.training.global_batch_size / run.cluster.num_systems)
    wanted = run.training.micro_batch_size
    if wanted != "auto":
        size = min(wanted, per_system)
        passes = math.ceil(size / lanes.most_of_a_pass)
        return math.ceil(size / passes), math.ceil(per_system / size) * passes
    fewest = math.ceil(per_system / lanes.most_of_a_pass)
    number = next((some for some in range(fewest, 2 * fewest + 1) if per_system % some == 0), fewest)
    return math.ceil(per_system / number), number


def _visits(
    passes: _Passes, run: Run, chain: tuple[Layer, ...], in_flash: tuple[bool, ...]
) -> tuple[tuple[Visit, ...], tuple[Pass, ...]]:
    """The order of a micro-batch; layers that are alike share one pass."""
    recompute = run.training.activations == "recompute"
    order = _order(len(chain) - 1, trains=is_training(run.training), recompute=recompute)
    visits, firsts = _visits_of(_layer_kinds(run.model), in_flash, order)
    last_block = len(chain) - 2
    return visits, tuple(
        passes.of_layer(chain[index], phase, feeds_head=index == last_block, in_flash=in_flash[index])
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


def make_plan(run: Run, *, fold: bool = True, merge: bool = True) -> Plan:
    """Put a run's micro-batch together.

    Parameters
    ----------
    run
        Checked by `wsesim.machines.wafer.checks.check`.
    fold, merge
        Simulate equal systems once, and chunks as one whose number changes nothing.
    """
    training, cluster = run.training, run.cluster
    chain = layers(run.model, training.sequence_length)
    lanes = lanes_of(run)
    size, number = micro_batch(run, lanes)
    release, rate = pick_release(cluster.system.calibration, cluster.software_release)
    parameters = parameter_count(run.model, training.sequence_length)
    in_dram = len(chain) * (1.0 - memoryx.share_in_flash(cluster.memoryx, parameters, memoryx.kept_for(training)))
    in_flash = (
        tuple(index + 1 > in_dram + 1e-9 for index in range(len(chain)))
        if in_dram < len(chain)
        else NO_FLASH * len(chain)
    )
    classes = system_classes(cluster, fold=fold)
    transport = transport_of(cluster, classes)
    each = math.ceil(training.global_batch_size / cluster.num_systems) / number
    passes = _Passes(run, each, rate, transport, classes)
    visits, kinds = _visits(passes, run, chain, in_flash)
    update_kinds, update_s = _updates(run, chain, in_flash)
    return Plan(
        visits=visits,
        kinds=kinds if merge else tuple([kind._replace(num_apart=0) for kind in kinds]),
        layers=chain,
        update_kinds=update_kinds,
        update_s=update_s,
        waits_for_norm=training.max_gradient_norm > 0,
        micro_batch_size=size,
        num_micro_batches=number,
        sequences_per_pass=each,
        input_bytes=int(each * training.sequence_length * cluster.input.bytes_per_token),
        input_workers=cluster.input.num_workers_per_system,
        lanes=lanes,
        classes=classes,
        transport=transport,
        software_release=release,
        release_rate=rate,
    )

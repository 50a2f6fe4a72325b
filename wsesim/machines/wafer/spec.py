"""A cluster: CS systems with their wafers and ports, MemoryX, SwarmX, input workers, prices, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import Field, model_validator

from wsesim.config.catalogue import value_shown
from wsesim.config.cluster import Files, PaidCluster
from wsesim.config.layering import Layered
from wsesim.config.run import Run
from wsesim.config.spec import NotNegative, Positive, Share, Spec
from wsesim.config.training import ON_GPUS_ONLY, JobSpec, ReliabilitySpec

# One CS system: a wafer behind a full-duplex port, with bounded buffers.
#
# Weights, gradients, input and saved activations share the port in program order. Weights wait
# in a bounded buffer, so that prefetch is limited and back-pressure reaches MemoryX.


LAYERS_IN_FLIGHT = 2
"""Layers whose activations may be on their way out, and on their way back. [-]"""

# One CS system: the wafer, its port, what it draws and costs, and its calibration.


class WaferSpec(Spec):
    """The wafer and the system's port.

    Attributes
    ----------
    num_cores
        Cores of the wafer. [-]
    clock_hz
        Clock of the cores. [Hz]
    fmac_per_core_per_cycle
        Fused multiply-adds of one core in one cycle at 16 bit. [-]
    float32_rate_factor
        Rate at 32 bit over the rate at 16 bit. [-]
    sram_bytes
        Memory of the wafer. [bytes]
    fabric_width
        Cores that software can use along the short side. [-]
    fabric_height
        Cores that software can use along the long side. [-]
    weight_buffer_bytes
        Bounded buffer for weights that have arrived and are not yet used. [bytes]
    gradient_buffer_bytes
        Bounded buffer for gradients that have not yet left. [bytes]
    max_micro_batch_tokens
        Most tokens of one pass, whatever the memory says. [-]
    io_bytes_per_s
        Port, each direction. [bytes/s]
    """

    num_cores: Annotated[int, Field(gt=0, le=10**12)]
    clock_hz: Positive
    fmac_per_core_per_cycle: Positive
    float32_rate_factor: Share
    sram_bytes: Positive
    fabric_width: Annotated[int, Field(gt=0, le=10**6)]
    fabric_height: Annotated[int, Field(ge=40, le=10**6)]
    weight_buffer_bytes: Positive
    gradient_buffer_bytes: Positive
    max_micro_batch_tokens: Annotated[int, Field(gt=0, le=10**15)]
    io_bytes_per_s: Positive

    @property
    def peak_dense_16bit_flop_per_s(self) -> float:
        """Cores x FMAC x 2 x clock. [FLOP/s]"""
        return self.num_cores * self.fmac_per_core_per_cycle * 2.0 * self.clock_hz


class CalibrationSpec(Spec):
    """The numbers that are not public, fitted by ``wsesim calibrate``.

    Attributes
    ----------
    gemm_efficiency
        Share of the peak that products with streamed weights reach. [-]
    attention_efficiency
        Share of the peak that products of activations reach, of heads that fill their blocks. [-]
    pass_latency_s
        Latency of one layer in one pass: start of the stream, fill of the mesh, reduction. [s]
    overlap_exponent
        How latency and work of a pass add: 1 one after the other, a large number at once. [-]
    head_block
        Features in which heads are laid out, in whole blocks. [-]
    score_block
        What softmax and mask of a score cost in features of a head; dropout of scores as much again. [-]
    values_per_core
        Values that a core holds of a GPT block, features times tokens. [-]
    values_per_token
        Features' worth of accumulators and partial sums that a core holds for each token beside. [-]
    token_block
        Tokens in which a core's share is laid out. [-]
    releases
        Rate of each software release over that of the release the numbers above belong to, oldest first. [-]
    measured
        Models of which rows of one's own fixed a release, by release: answers of them have a narrower range.
    """

    gemm_efficiency: Share
    attention_efficiency: Share
    pass_latency_s: NotNegative
    overlap_exponent: Annotated[float, Field(ge=1, le=100)]
    head_block: Annotated[int, Field(gt=0, le=100_000)]
    score_block: Annotated[int, Field(ge=0, le=100_000)]
    values_per_core: Positive
    values_per_token: NotNegative
    token_block: Annotated[int, Field(gt=0, le=100_000)]
    releases: Annotated[dict[str, Annotated[Positive, Field(strict=True)]], Field(min_length=1)]
    measured: Annotated[dict[str, tuple[str, ...]], Field(default_factory=dict)]


class SystemSpec(Spec):
    """One file of ``cluster_configs/systems``.

    Attributes
    ----------
    name
        Name of the system.
    wafer
        The wafer and the port.
    power_w
        Electric power of one system. [W]
    purchase_price_usd
        Price of one system. [USD]
    contemporary
        Cluster of the catalogue, of another kind and of the same years, that is shown beside its scaling.
    calibration
        Name of a catalogue calibration, a .toml file, or the table itself.
    """

    name: str
    wafer: WaferSpec
    power_w: Positive
    purchase_price_usd: Positive | None = None
    contemporary: str | None = None
    calibration: CalibrationSpec


# A cluster: systems, MemoryX, SwarmX, input workers, prices, and what differs from system to system.


class MemoryXSpec(Spec):
    """Weight storage and optimizer.

    Attributes
    ----------
    dram_bytes
        Capacity of the fast tier. [bytes]
    flash_bytes
        Capacity of the slow tier; 0 is a unit without flash. [bytes]
    flash_bytes_per_s
        Rate at which tensors that lie in flash are streamed and updated. [bytes/s]
    egress_bytes_per_s
        Weights out. [bytes/s]
    ingress_bytes_per_s
        Gradients in. [bytes/s]
    tensor_latency_s
        Of the weight servers, from the request to the first byte; added to the way of every
        chunk, while the next ones follow. [s]
    optimizer_bytes_per_s
        Memory traffic of the optimizer update. [bytes/s]
    wire_bytes_per_weight
        A weight on the wire at 16-bit precisions. [bytes]
    wire_bytes_per_gradient
        A gradient on the wire. [bytes]
    index_bytes_per_weight
        Added to each non-zero weight when weights are sparse. [bytes]
    """

    dram_bytes: Positive
    flash_bytes: NotNegative
    flash_bytes_per_s: Positive
    egress_bytes_per_s: Positive
    ingress_bytes_per_s: Positive
    tensor_latency_s: NotNegative
    optimizer_bytes_per_s: Positive
    wire_bytes_per_weight: Positive
    wire_bytes_per_gradient: Positive
    index_bytes_per_weight: NotNegative


class SwarmXSpec(Spec):
    """The broadcast-reduce tree.

    Attributes
    ----------
    fan_out
        Children of one node. [-]
    link_bytes_per_s
        One link, each direction. [bytes/s]
    hop_latency_s
        One hop, down or up. [s]
    """

    fan_out: Annotated[int, Field(ge=2, le=1024)]
    link_bytes_per_s: Positive
    hop_latency_s: NotNegative


class InputSpec(Spec):
    """Input workers.

    Attributes
    ----------
    num_workers_per_system
        Input workers for each system. [-]
    worker_samples_per_s
        Sequences that one worker prepares; left out, the input never starves. [1/s]
    supply_samples_per_s
        Sequences that all input workers of a system were seen to supply; a run beyond it gets a note. [1/s]
    supply_is_bound
        Whether that limits the run, too.
    prefetch_micro_batches
        Micro-batches that may wait ready for one system. [-]
    bytes_per_token
        What one token takes on the way to the wafer: ids, labels and mask. [bytes]
    """

    num_workers_per_system: Annotated[int, Field(gt=0, le=10_000)] = 1
    worker_samples_per_s: Positive | None = None
    supply_samples_per_s: Positive | None = None
    supply_is_bound: bool = False
    prefetch_micro_batches: Annotated[int, Field(gt=0, le=1000)] = 2
    bytes_per_token: Positive = 12.0

    @property
    def rate_per_worker(self) -> float | None:
        """Sequences of one worker, where something bounds them. [1/s]"""
        if self.worker_samples_per_s is None and self.supply_is_bound and self.supply_samples_per_s is not None:
            return self.supply_samples_per_s / self.num_workers_per_system
        return self.worker_samples_per_s


class ExceptionSpec(Spec):
    """Systems or links that differ from the rest.

    Attributes
    ----------
    systems
        Systems by number, from 0. [-]
    nodes
        SwarmX nodes by name, ``swarmx.LEVEL.NUMBER``, as `wsesim run --links` shows them: the link
        from the node above down to this one differs, and only the two `link_` keys apply.
    speed
        Compute speed over that of the others. [-]
    io_bytes_per_s
        Their port. [bytes/s]
    link_bytes_per_s
        The SwarmX link that they hang on. [bytes/s]
    link_latency_s
        Added to the way from and to MemoryX. [s]
    worker_samples_per_s
        Their input workers. [1/s]
    """

    systems: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = ()
    nodes: tuple[str, ...] = ()
    speed: Positive | None = None
    io_bytes_per_s: Positive | None = None
    link_bytes_per_s: Positive | None = None
    link_latency_s: NotNegative | None = None
    worker_samples_per_s: Positive | None = None

    @model_validator(mode="after")
    def _names_something(self) -> ExceptionSpec:
        if not self.systems and not self.nodes:
            raise ValueError('[systems] is missing; name systems = [3], or nodes = ["swarmx.1.0"]')
        alone = [key for key in ("speed", "io_bytes_per_s", "worker_samples_per_s") if getattr(self, key) is not None]
        if self.nodes and alone:
            raise ValueError(f"[{alone[0]}] belongs to systems, not to nodes; put it into an exception of its own")
        for key in ("systems", "nodes"):
            named = getattr(self, key)
            if len(set(named)) < len(named):
                twice = next(one for one, number in Counter(named).items() if number > 1)
                raise ValueError(f"[{key}] names {twice} twice; drop one")
        if not self.changes:
            raise ValueError("[systems] differ in nothing; add what differs, for example speed = 0.8")
        return self

    @property
    def changes(self) -> frozenset[str]:
        """Keys that differ from the rest."""
        keys = self.__class__.model_fields.keys() - {"systems", "nodes"}
        return frozenset(key for key in keys if getattr(self, key) is not None)


class SimulationSpec(Spec):
    """How finely time is cut.

    Attributes
    ----------
    chunks_per_layer
        Pieces in which a layer's weights and gradients travel. [-]
    max_steps
        Steps after which the search for a steady state gives up. [-]
    """

    chunks_per_layer: Annotated[int, Field(gt=0, le=256)] = 4
    max_steps: Annotated[int, Field(ge=3, le=1000)] = 30


class ClusterSpec(PaidCluster):
    """One file of ``cluster_configs/clusters``, with the run file's overrides.

    Attributes
    ----------
    name
        Name of the cluster; in a run, of a catalogue entry (`wsesim list clusters`).
    system
        Name of a catalogue system, a .toml file, or a table of the keys that differ.
    num_systems
        CS systems that the job uses. [-]
    max_systems
        CS systems that the fabric takes. [-]
    comes_in
        CS systems that are bought or rented together: plans, and searches for as much time or money, take multiples of it. [-]
    software_release
        Picks the rate factor of the calibration; the newest calibrated one when left out. A text in quotes, "2.1".
    memoryx
        Weight storage and optimizer.
    swarmx
        The broadcast-reduce tree.
    input
        Input workers.
    simulation
        How finely time is cut.
    exceptions
        Systems or links that differ from the rest.
    overhead_power_w
        MemoryX, SwarmX, hosts and cooling, for each system; 0 counts the systems alone. [W]
    price_usd_per_system_hour
        What an hour of one system costs to rent. [USD/h]
    reliability
        How often its parts fail.
    job
        Defaults of the ``[job]`` table of runs on it.
    """

    machine = "wafer"
    count, limit = "num_systems", "max_systems"
    power = ("system.power_w", "overhead_power_w")
    price, bought = "price_usd_per_system_hour", "system.purchase_price_usd"

    name: str
    system: SystemSpec
    num_systems: Annotated[int, Field(gt=0, le=10**9)]
    max_systems: Annotated[int, Field(gt=0, le=100_000)]
    comes_in: Annotated[int, Field(gt=0, le=100_000)] = 1
    software_release: str | None = None
    memoryx: MemoryXSpec
    swarmx: SwarmXSpec
    input: InputSpec = Field(default_factory=InputSpec)
    simulation: SimulationSpec = Field(default_factory=SimulationSpec)
    exceptions: tuple[ExceptionSpec, ...] = ()
    overhead_power_w: NotNegative = 0.0
    price_usd_per_system_hour: Positive | None = None
    reliability: ReliabilitySpec = Field(default_factory=ReliabilitySpec)
    job: JobSpec = Field(default_factory=JobSpec)

    @property
    def device(self) -> str:
        """Generation of the systems."""
        return self.system.name

    def on_devices(self, number: int) -> ClusterSpec:
        """The same cluster with a job on another number of identical systems."""
        return self.model_copy(update={"num_systems": number, "exceptions": ()})

    @model_validator(mode="after")
    def _exceptions_exist(self) -> ClusterSpec:
        for place, exception in enumerate(self.exceptions):
            beyond = [system for system in exception.systems if system >= self.num_systems]
            if beyond:
                raise ValueError(
                    f"[exceptions.{place}.systems] names system {beyond[0]}, but num_systems = {self.num_systems} "
                    f"numbers them 0 to {self.num_systems - 1}; drop it or raise num_systems"
                )
        return self

    @model_validator(mode="after")
    def _exceptions_agree(self) -> ClusterSpec:
        said: set[tuple[str, object]] = set()
        for place, exception in enumerate(self.exceptions):
            now = {(key, one) for one in (*exception.systems, *exception.nodes) for key in exception.changes}
            again = sorted(now & said, key=str)
            if again:
                key, one = again[0]
                raise ValueError(
                    f"[exceptions.{place}.{key}] is set for {one}, for which an exception before it sets {key}, too; keep one"
                )
            said |= now
        return self


WaferRun: TypeAlias = Run[ClusterSpec, None]
"""A run on wafer-scale systems."""


def _no_spread(table: Layered, tables: Mapping[str, Layered], place: str) -> list[str]:
    """What is set in a run file but belongs to GPU clusters."""
    training = tables["training"]
    narrow = training.plain.get("precision")
    if narrow in ON_GPUS_ONLY:
        finding = f"is {narrow!r}, which only GPUs compute with; use 'cbfloat16', or leave it out"
        return [f"{training.place_of('precision', place)}: training.precision {finding}"]
    if "parallelism" not in table.plain:
        return []
    where, name = table.place_of("parallelism", place), value_shown(tables["cluster"].plain.get("name"))
    finding = f"is for GPU clusters; {name} is wafer-scale, hence data parallel only"
    return [f"{where}: parallelism {finding}; remove the table, or name a GPU cluster"]


FILES = Files(
    cluster=ClusterSpec,
    part=SystemSpec,
    key="system",
    folder="systems",
    whole=frozenset({"system", "memoryx", "swarmx"}),
    schemas={
        "cluster": ("a cluster of wafer-scale systems", ClusterSpec),
        "system": ("one wafer-scale system", SystemSpec),
        "calibration": ("fitted numbers of a wafer-scale system", CalibrationSpec),
    },
    software=("software_release",),
    strange={"precision": ON_GPUS_ONLY},
    contradicts=_no_spread,
    usual="cs2",
)

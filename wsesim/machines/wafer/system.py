"""One CS system: the wafer, its port, what it draws and costs, and its calibration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wsesim.config.spec import NotNegative, Positive, Share, Spec


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

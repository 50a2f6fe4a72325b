"""The wafer: how many sequences it holds, and how long it computes.

The compiler lays sequences out in *lanes*, strips of the long side of the fabric. A lane spreads the features of a layer over its
strip and tokens over the short side; it tries several numbers of lanes and takes the one that holds most. Lanes belong to memory,
not to time: measured rates are smooth where a time of whole rounds would jump. The rule gives the micro-batches that the vendor
recommends [1]_, and the lanes that a run log names [2]_.

A pass of a layer takes what the products take, or what streams past meanwhile, and a latency that the work hides in part. Heads are
laid out in blocks, and the softmax and mask of a score cost one block more.

Not modelled: placement inside a lane, clock throttling.

.. [1] ``vendor-micro-batch-table`` in cluster_configs/sources.toml.
.. [2] ``alcf-training-series-2024`` in cluster_configs/sources.toml: LLaMA-7B, micro-batch 99, 9 lanes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.spec import CalibrationSpec, SystemSpec, WaferSpec
from wsesim.units import add_up, show
from wsesim.workload.transformer import Layer

MOST_LANES = 40
"""Numbers of lanes that are tried. [-]"""
GPT_ELEMENTS_PER_FEATURE = 16
"""Working set of a GPT block over its width (`block_working_set_elements_per_token`): others are counted in it. [-]"""


def peak_flop_per_s(wafer: WaferSpec, precision: str) -> float:
    """Dense peak at a precision. [FLOP/s]"""
    factor = wafer.float32_rate_factor if precision == "float32" else 1.0
    return wafer.peak_dense_16bit_flop_per_s * factor


def gemm_rate_flop_per_s(system: SystemSpec, precision: str = "cbfloat16") -> float:
    """Products with streamed weights. [FLOP/s]"""
    return peak_flop_per_s(system.wafer, precision) * system.calibration.gemm_efficiency


def attention_rate_flop_per_s(system: SystemSpec, precision: str = "cbfloat16") -> float:
    """Products of activations, of heads that fill their blocks. [FLOP/s]"""
    return peak_flop_per_s(system.wafer, precision) * system.calibration.attention_efficiency


def laid_out_attention_flop(layer: Layer, calibration: CalibrationSpec, *, drops_scores: bool) -> float:
    """Attention of one sequence as the wafer lays it out, forward: heads in whole blocks, and element-wise work on scores. [FLOP]

    Parameters
    ----------
    calibration
        Width of a block of a head, and what softmax and mask of a score cost in features.
    drops_scores
        Whether scores are dropped in training, which costs as much as softmax and mask.
    """
    block = calibration.head_block
    heads = add_up(math.ceil(width / block) * block for width in layer.head_widths)
    elementwise = 2.0 * calibration.score_block * (2.0 if drops_scores else 1.0)
    return 2.0 * layer.scores_per_sequence * (heads + elementwise)


def pass_time_s(work_s: float, latency_s: float, exponent: float) -> float:
    """A pass of a layer: its work, or its stream where that is longer, and the latency that it does not hide. [s]

    With an exponent of 1 nothing overlaps, with a large one the longer of the two is left.

    Examples
    --------
    >>> pass_time_s(3.0, 1.0, 1.0), round(pass_time_s(3.0, 1.0, 1.2), 3), round(pass_time_s(3.0, 1.0, 100.0), 3)
    (4.0, 3.655, 3.0)
    """
    if latency_s <= 0.0:
        return work_s
    share = latency_s / work_s if work_s > 0.0 else math.inf
    if share > 1.0:
        return float(latency_s * (1.0 + share**-exponent) ** (1.0 / exponent))
    return float(work_s * (1.0 + share**exponent) ** (1.0 / exponent))


def exposed_latency_s(work_s: float, latency_s: float, exponent: float) -> float:
    """Of the latency of a pass, what its work does not hide. [s]"""
    return max(0.0, pass_time_s(work_s, latency_s, exponent) - work_s)


class Lanes(NamedTuple):
    """How sequences of one model lie on the wafer.

    Attributes
    ----------
    num_lanes
        Strips of the long side. [-]
    features_per_core, tokens_per_core
        Of the widest layer. [-]
    sequences_per_lane
        At most, by memory. [-]
    max_micro_batch_size
        Largest micro-batch that fits. [-]
    limited_by
        What stops a larger one: ``"sram"`` of a core, or ``"sequence"``, where no lane holds a whole one and it is run alone;
        ``"tokens"``, where a pass takes less than fits.
    most_of_a_pass
        Sequences of a pass at most; a micro-batch of more is run in several. [-]
    """

    num_lanes: int
    features_per_core: int
    tokens_per_core: int
    sequences_per_lane: int
    max_micro_batch_size: int
    limited_by: str
    most_of_a_pass: int


def working_set_over_gpt(layer: Layer, hidden_size: int) -> float:
    """Working set of a block over that of a GPT block of the same width. [-]

    Examples
    --------
    >>> from wsesim.config.loader import load_model
    >>> from wsesim.workload.transformer import layers
    >>> round(working_set_over_gpt(layers(load_model("llama-7b"), 2048)[1], 4096), 2)
    1.17
    """
    return layer.working_set_bytes_per_token / (2.0 * GPT_ELEMENTS_PER_FEATURE * hidden_size)


def lay_out(system: SystemSpec, hidden_size: int, working_set: float, sequence_length: int) -> Lanes:
    """Lanes for a model.

    Parameters
    ----------
    working_set
        What a token keeps on the wafer over the working set of a GPT block of this width: of the widest layer, and of others
        whose activations stay. [-]

    Raises
    ------
    DoesNotFit
        One sequence is too long for a pass, or for the whole SRAM.
    """
    wafer = system.wafer
    by_tokens = wafer.max_micro_batch_tokens // sequence_length
    if by_tokens < 1:
        raise DoesNotFit(
            f"a sequence of {sequence_length:,} tokens is longer than a pass over a {system.name} wafer may be, "
            f"{wafer.max_micro_batch_tokens:,} tokens; shorten training.sequence_length to at most that"
        )
    best = _best(_Core.of(system), hidden_size, working_set, sequence_length)
    if best.max_micro_batch_size < 1:
        return _alone(system, hidden_size, working_set, sequence_length)
    if best.max_micro_batch_size > by_tokens:
        return best._replace(limited_by="tokens", most_of_a_pass=by_tokens)
    return best


class _Core(NamedTuple):
    """What of a system decides how a model lies on it."""

    fabric_width: int
    fabric_height: int
    values: float
    values_per_token: float
    token_block: int

    @classmethod
    def of(cls, system: SystemSpec) -> _Core:
        """Of a system."""
        wafer, fitted = system.wafer, system.calibration
        return cls(
            wafer.fabric_width,
            wafer.fabric_height,
            fitted.values_per_core,
            fitted.values_per_token,
            fitted.token_block,
        )


@lru_cache(maxsize=1024)
def _best(core: _Core, hidden_size: int, working_set: float, sequence_length: int) -> Lanes:
    """The number of lanes that holds most; of several the fewest."""
    found = (_with(number, core, hidden_size, working_set, sequence_length) for number in range(1, MOST_LANES + 1))
    return max(found, key=lambda lanes: (lanes.max_micro_batch_size, -lanes.num_lanes))


def _with(number: int, core: _Core, hidden_size: int, working_set: float, sequence_length: int) -> Lanes:
    """So many lanes."""
    features = math.ceil(hidden_size / (core.fabric_height // number))
    held = core.values / working_set / (features + core.values_per_token)
    tokens = int(held / core.token_block) * core.token_block
    sequences = tokens * core.fabric_width // sequence_length
    return Lanes(number, features, tokens, sequences, number * sequences, "sram", number * sequences)


def _alone(system: SystemSpec, hidden_size: int, working_set: float, sequence_length: int) -> Lanes:
    """One sequence on the whole wafer, which no lane holds, though the SRAM does."""
    needed = working_set * 2.0 * GPT_ELEMENTS_PER_FEATURE * hidden_size * sequence_length
    if needed > system.wafer.sram_bytes:
        longest = int(system.wafer.sram_bytes / (needed / sequence_length))
        raise DoesNotFit(
            f"one sequence of {sequence_length:,} tokens needs {show(needed, 'bytes')} of working set, the SRAM of a "
            f"{system.name} wafer is {show(system.wafer.sram_bytes, 'bytes')}; shorten training.sequence_length to at most "
            f'{longest:,}, make the model narrower, or use activations = "offload"'
        )
    features = math.ceil(hidden_size / system.wafer.fabric_height)
    tokens = math.ceil(sequence_length / system.wafer.fabric_width)
    return Lanes(1, features, tokens, 0, 1, "sequence", 1)

"""The wafer: how many sequences it holds, and how long it computes.

Sequences lie on the wafer in *lanes*, strips that are as wide as one token's working set.
A narrow model has many lanes, a wide one few; a part of a lane is not used. A micro-batch
is spread over the lanes, and the lane with the most sequences decides the time. A run log
of the vendor's software names the lanes [1]_; the recommended micro-batches [2]_ are whole
multiples of the number of lanes for most models.

Not modelled: placement inside a lane, clock throttling, yield beyond the stated core count.

.. [1] ``alcf-training-series-2024`` in cluster_configs/sources.toml: LLaMA-7B, micro-batch 99, 9 lanes.
.. [2] ``vendor-micro-batch-table`` in cluster_configs/sources.toml.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.system import CalibrationSpec, SystemSpec, WaferSpec
from wsesim.units import show


def peak_flop_per_s(wafer: WaferSpec, precision: str) -> float:
    """Dense peak at a precision. [FLOP/s]"""
    factor = wafer.float32_rate_factor if precision == "float32" else 1.0
    return wafer.peak_dense_16bit_flop_per_s * factor


def gemm_rate_flop_per_s(system: SystemSpec, precision: str = "cbfloat16") -> float:
    """Products with weights on full lanes. [FLOP/s]"""
    return peak_flop_per_s(system.wafer, precision) * system.calibration.gemm_efficiency


def attention_rate_flop_per_s(system: SystemSpec, precision: str = "cbfloat16") -> float:
    """Products of activations on full lanes. [FLOP/s]"""
    return peak_flop_per_s(system.wafer, precision) * system.calibration.attention_efficiency


def sequencing_time_s(calibration: CalibrationSpec, num_weight_matrices: int) -> float:
    """Fixed time of one layer in one pass, whatever its size. [s]"""
    return num_weight_matrices * calibration.weight_matrix_overhead_s


class Lanes(NamedTuple):
    """How sequences of one model lie on the wafer.

    Attributes
    ----------
    width
        Lanes that the wafer would hold if a part of a lane could be used. [-]
    num_lanes
        Whole lanes. [-]
    lanes_per_sequence
        More than one where a sequence is too long for one lane. [-]
    sequences_per_lane
        At most, by memory; 0 where a sequence takes several lanes. [-]
    max_micro_batch_size
        Largest micro-batch. [-]
    limited_by
        ``"sram"`` or ``"tokens"``: what stops a larger one.
    """

    width: float
    num_lanes: int
    lanes_per_sequence: int
    sequences_per_lane: int
    max_micro_batch_size: int
    limited_by: str

    @property
    def slots(self) -> int:
        """Sequences that compute at the same time. [-]"""
        return self.num_lanes // self.lanes_per_sequence

    def utilization(self, micro_batch_size: int) -> float:
        """Share of the wafer that works on a micro-batch. [-]

        Examples
        --------
        >>> Lanes(11.6, 11, 1, 11, 121, "sram").utilization(121)  # 11 of 11.6 lanes, all equally long
        0.9482758620689655
        """
        rounds = math.ceil(micro_batch_size / self.slots)
        return micro_batch_size * self.lanes_per_sequence / (rounds * self.width)


def tokens_per_lane(system: SystemSpec, kept_per_working_set: float = 0.0) -> int:
    """Tokens whose working set one lane holds. [-]

    `kept_per_working_set` is what has to stay on the wafer beside the running layer, over
    the working set of one layer.
    """
    room = system.wafer.sram_bytes * system.wafer.sram_activation_share
    return int(room / (system.calibration.lane_bytes_per_token * (1.0 + kept_per_working_set)))


def lay_out(
    system: SystemSpec, working_set_bytes_per_token: float, sequence_length: int, kept_per_working_set: float = 0.0
) -> Lanes:
    """Lanes for a model.

    Parameters
    ----------
    system
        The CS system.
    working_set_bytes_per_token
        Of the widest layer. [bytes]
    sequence_length
        Tokens per sequence. [-]
    kept_per_working_set
        Activations of other layers that stay on the wafer, over one layer's working set. [-]

    Raises
    ------
    DoesNotFit
        One token, or one sequence, is too large for the whole wafer.
    """
    width = system.calibration.lane_bytes_per_token / working_set_bytes_per_token
    if width < 1.0:
        raise DoesNotFit(
            f"one layer's working set is {show(working_set_bytes_per_token, 'bytes')} per token, a {system.name} wafer "
            f"lays out at most {show(system.calibration.lane_bytes_per_token, 'bytes')} side by side; "
            f"make the model narrower, to {width:.0%} of its width"
        )
    num_lanes = int(width)
    depth = tokens_per_lane(system, kept_per_working_set)
    per_lane = depth // sequence_length
    lanes_per_sequence = 1 if per_lane else math.ceil(sequence_length / max(depth, 1))
    by_memory = num_lanes * per_lane if per_lane else num_lanes // lanes_per_sequence
    by_tokens = system.wafer.max_micro_batch_tokens // sequence_length
    if min(by_memory, by_tokens) < 1:
        longest = min(depth * num_lanes, system.wafer.max_micro_batch_tokens)
        raise DoesNotFit(
            f"a sequence of {sequence_length:,} tokens does not fit on a {system.name} wafer, which holds "
            f"{longest:,} tokens of this model; shorten training.sequence_length to at most {longest:,}"
            + ("" if kept_per_working_set == 0 else ', or use activations = "offload"')
        )
    limited_by = "sram" if by_memory <= by_tokens else "tokens"
    return Lanes(width, num_lanes, lanes_per_sequence, per_lane, min(by_memory, by_tokens), limited_by)

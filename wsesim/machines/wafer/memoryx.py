"""MemoryX: stores parameters, gradients and optimizer state, streams weights, runs the optimizer.

Not modelled: single weight servers and their load balance; the checkpoint path.
"""

from __future__ import annotations

from wsesim.config.training import TrainingSpec
from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.spec import MemoryXSpec
from wsesim.units import show

NO_OPTIMIZER = "no optimizer"
STATE_BYTES_PER_PARAMETER = {"adamw": 20.0, "adam": 20.0, "lion": 14.0, "sgd": 14.0}
"""Stored per parameter: 4 weight + 4 gradient + 4 per moment + 2 wire copy, 18 for Adam; the vendor
states about 20 (4 TB for 200e9 parameters, ``cerebras-2021-weight-streaming``). [bytes]"""
WEIGHT_BYTES_PER_PARAMETER = 6.0
"""Stored per parameter in an evaluation: the weight and its wire copy. [bytes]"""

UPDATE_BYTES_PER_PARAMETER = {"adamw": 30.0, "adam": 30.0, "lion": 22.0, "sgd": 22.0}
"""Read and written by one update: weight, gradient and moments in, weight, moments and wire copy out. [bytes]"""


def kept_for(training: TrainingSpec) -> str:
    """The optimizer whose state is kept: none in an evaluation."""
    return training.optimizer if training.mode == "train" else NO_OPTIMIZER


def state_bytes(num_parameters: int, optimizer: str) -> float:
    """Parameters, gradients and optimizer state. [bytes]"""
    return num_parameters * STATE_BYTES_PER_PARAMETER.get(optimizer, WEIGHT_BYTES_PER_PARAMETER)


def check_capacity(spec: MemoryXSpec, num_parameters: int, optimizer: str) -> None:
    """Refuse a model that MemoryX cannot hold."""
    needed, held = state_bytes(num_parameters, optimizer), spec.dram_bytes + spec.flash_bytes
    if needed > held:
        raise DoesNotFit(
            f"the model needs {show(needed, 'bytes')} in MemoryX ({needed / num_parameters:.0f} bytes for "
            f"each of {num_parameters:,} parameters with {optimizer}), which holds {show(held, 'bytes')}; "
            f"set cluster.memoryx.flash_bytes to at least {show(needed - spec.dram_bytes, 'bytes')}, "
            "or choose a cluster with more"
        )


def share_in_flash(spec: MemoryXSpec, num_parameters: int, optimizer: str) -> float:
    """Share of the model state that DRAM does not hold; the last layers lie in flash. [-]"""
    needed = state_bytes(num_parameters, optimizer)
    return max(0.0, 1.0 - spec.dram_bytes / needed)


def update_time_s(spec: MemoryXSpec, num_parameters: float, optimizer: str, *, in_flash: bool = False) -> float:
    """Optimizer update of one tensor, bound by memory traffic. [s]

    Examples
    --------
    >>> from wsesim.config.loader import load_cluster
    >>> spec = load_cluster("cs2")[0].memoryx
    >>> round(update_time_s(spec, 1e9, "adamw"), 6)  # 30 GB at 4 TB/s
    0.0075
    """
    rate = min(spec.optimizer_bytes_per_s, spec.flash_bytes_per_s) if in_flash else spec.optimizer_bytes_per_s
    return num_parameters * UPDATE_BYTES_PER_PARAMETER[optimizer] / rate


def egress_rate_bytes_per_s(spec: MemoryXSpec, *, in_flash: bool = False) -> float:
    """Rate at which a tensor's weights leave. [bytes/s]"""
    return min(spec.egress_bytes_per_s, spec.flash_bytes_per_s) if in_flash else spec.egress_bytes_per_s

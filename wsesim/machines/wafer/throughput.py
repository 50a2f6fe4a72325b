"""Samples, tokens and FLOP per second, MFU and HFU.

MFU counts model FLOP: what one forward and backward pass needs, with attention over the
full square unless a name says ``causal``. HFU counts what was executed: recomputation adds,
skipped zero weights subtract. Both are shares of the dense 16-bit peak of all systems.
"""

from __future__ import annotations

from wsesim.machines.wafer.plan import is_training
from wsesim.machines.wafer.simulation import Simulation
from wsesim.machines.wafer.wafer import peak_flop_per_s
from wsesim.units import add_up
from wsesim.workload.transformer import model_flop_per_sequence

FORWARD_SHARE = 1.0 / 3.0
"""Of the FLOP of a training step, those of the forward pass. [-]"""


def samples_per_s(simulation: Simulation) -> float:
    """Sequences per second over all systems. [1/s]"""
    return simulation.run.training.global_batch_size / simulation.step_time_s


def model_flop_per_s(simulation: Simulation, *, causal: bool = False) -> float:
    """Model FLOP per second over all systems. [FLOP/s]"""
    run = simulation.run
    per_sequence = model_flop_per_sequence(run.model, run.training.sequence_length, causal=causal)
    per_sequence *= 1.0 if is_training(run.training) else FORWARD_SHARE
    return per_sequence * samples_per_s(simulation)


def peak_of_cluster_flop_per_s(simulation: Simulation) -> float:
    """Dense peak of all systems at the run's precision. [FLOP/s]"""
    cluster = simulation.run.cluster
    return int(cluster.num_systems) * peak_flop_per_s(cluster.system.wafer, simulation.run.training.precision)


def mfu(simulation: Simulation, *, causal: bool = False) -> float:
    """Model FLOP utilization. [-]"""
    return model_flop_per_s(simulation, causal=causal) / peak_of_cluster_flop_per_s(simulation)


def executed_flop_per_step(simulation: Simulation) -> float:
    """FLOP that the wafers execute in one step. [FLOP]"""
    per_sequence = add_up(sweep.executed_flop_per_sequence for sweep in simulation.plan.sweeps())
    return per_sequence * simulation.run.training.global_batch_size


def hfu(simulation: Simulation) -> float:
    """Hardware FLOP utilization. [-]"""
    return executed_flop_per_step(simulation) / simulation.step_time_s / peak_of_cluster_flop_per_s(simulation)

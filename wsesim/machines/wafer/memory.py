"""What is held where."""

from __future__ import annotations

from wsesim.machines.wafer import memoryx
from wsesim.machines.wafer.plan import activation_bytes_factor, kept_per_working_set
from wsesim.machines.wafer.simulation import Simulation
from wsesim.units import add_up
from wsesim.workload.transformer import parameter_count


def kept_bytes_per_token(simulation: Simulation) -> float:
    """Activations of other layers that the backward pass will need, wherever they are kept. [bytes]"""
    run, plan = simulation.run, simulation.plan
    factor = activation_bytes_factor(run.training)
    working_set = max(layer.working_set_bytes_per_token for layer in plan.layers) * factor
    if run.training.activations == "offload":
        tokens = plan.sequences_per_pass * run.training.sequence_length
        return add_up(sweep.saved_bytes for sweep in plan.sweeps()) / tokens
    return kept_per_working_set(run.training, plan.layers) * working_set


def memory(simulation: Simulation) -> dict[str, float]:
    """Bytes held and available in MemoryX and on one wafer, and the micro-batch they allow."""
    run, plan = simulation.run, simulation.plan
    wafer, spec = run.cluster.system.wafer, run.cluster.memoryx
    parameters = parameter_count(run.model, run.training.sequence_length)
    factor = activation_bytes_factor(run.training)
    working_set = max(layer.working_set_bytes_per_token for layer in plan.layers) * factor
    tokens = plan.micro_batch_size * run.training.sequence_length
    kept = memoryx.kept_for(run.training)
    return {
        "memoryx_bytes": memoryx.state_bytes(parameters, kept),
        "memoryx_capacity_bytes": spec.dram_bytes + spec.flash_bytes,
        "memoryx_flash_share": memoryx.share_in_flash(spec, parameters, kept),
        "wafer_working_set_bytes": working_set * tokens,
        "wafer_activation_capacity_bytes": wafer.sram_bytes,
        "wafer_sram_bytes": wafer.sram_bytes,
        "weight_buffer_bytes": wafer.weight_buffer_bytes,
        "largest_layer_weight_bytes": float(max(sweep.num_bytes for sweep in plan.kinds)),
        "saved_activation_bytes": kept_bytes_per_token(simulation) * tokens,
        "max_micro_batch_size": plan.lanes.max_micro_batch_size,
        "num_lanes": plan.lanes.num_lanes,
        "sequences_per_lane": plan.lanes.sequences_per_lane,
        "features_per_core": plan.lanes.features_per_core,
        "tokens_per_core": plan.lanes.tokens_per_core,
    }

"""A run as JSON: the contract of ``wsesim run --json``, with layers, links and plans on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsesim.machines.wafer.links import link_traffic
from wsesim.machines.wafer.result import Result
from wsesim.machines.wafer.utilization import bytes_per_step, layer_times_s

if TYPE_CHECKING:
    from wsesim.machines.gpu.result import GPUResult


def result_dict(
    result: Result | GPUResult,
    *,
    layers: bool = False,
    links: bool = False,
    plans: Sequence[GPUResult] = (),
    scaling: bool = False,
    measured: bool = False,
) -> dict[str, Any]:
    """SI units, times in seconds."""
    data = result.to_dict()
    if scaling:
        from wsesim.study.scaling import scaling as scale

        data["scaling"] = scale(result).to_dict()
    if measured:
        from wsesim.validate.near import near

        data["measured"] = [asdict(one) | {"error": one.error} for one in near(result.run)]
    if not isinstance(result, Result):
        return data | ({"plans": plan_dicts(plans)} if plans else {})
    data["bytes_per_step"] = bytes_per_step(result.simulation)
    if layers:
        chain = result.simulation.plan.layers
        data["layers"] = [
            {"layer": chain[index].name, "phase": phase, "times_s": spent}
            for (index, phase), spent in layer_times_s(result.simulation).items()
        ]
    if links:
        data["links"] = [asdict(row) for row in link_traffic(result.simulation)]
    return data


def plan_dicts(results: Sequence[GPUResult]) -> list[dict[str, Any]]:
    """The best plans of a GPU run, fastest first, with what the others lose on."""
    from wsesim.machines.gpu.ranking import differences_s

    return [
        {
            "step_time_s": one.step_time_s,
            "breakdown_s": one.breakdown_s,
            "difference_s": differences_s(results[0], one),
            "memory": one.memory,
            "micro_batch_size": one.micro_batch_size,
            "num_micro_batches": one.num_micro_batches,
            "parallelism": one.plan,
            "kinds_of_parallelism": list(one.kinds_of_parallelism),
            "num_settings": one.num_settings,
        }
        for one in results
    ]

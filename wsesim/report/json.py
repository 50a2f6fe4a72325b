"""A run as JSON: the contract of ``wsesim run --json``, with layers, links and plans on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from wsesim.machines.machine import machine_of
from wsesim.results.result import Result


def result_dict(
    result: Result,
    *,
    layers: bool = False,
    links: bool = False,
    plans: Sequence[Result] = (),
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
    machine = machine_of(result.run)
    if plans:
        data["plans"] = plan_dicts(plans)
    if layers:
        data["layers"] = machine.layer_rows(result)
    if links:
        data["links"] = machine.link_rows(result)
    return data


def plan_dicts(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The best plans of a run, fastest first, with what the others lose on."""
    from wsesim.machines.gpu.search import differences_s

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

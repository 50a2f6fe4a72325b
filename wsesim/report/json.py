"""A run as JSON: the contract of ``wsesim run --json``, with layers and links on demand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from wsesim.metrics.links import link_traffic
from wsesim.metrics.utilization import bytes_per_step, layer_times_s
from wsesim.results import Result


def result_dict(result: Result, *, layers: bool = False, links: bool = False) -> dict[str, Any]:
    """SI units, times in seconds."""
    data = result.to_dict()
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

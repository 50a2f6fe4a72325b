"""wsesim: a discrete-event simulator of wafer-scale training clusters.

>>> import wsesim
>>> run = wsesim.load("andromeda_13b", ["cluster.num_systems=8"])
>>> wsesim.simulate(run).num_devices
8
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "Comparison",
    "GPURun",
    "Lifetime",
    "Result",
    "Run",
    "SharedCluster",
    "SweepResult",
    "bottleneck",
    "compare",
    "from_table",
    "lifetime",
    "load",
    "plan",
    "portfolio",
    "scaling_efficiency",
    "sensitivity",
    "simulate",
    "simulate_many",
    "sweep",
]
_HOMES = {
    "GPURun": ("wsesim.config.run", "Run"),
    "Run": ("wsesim.config.run", "Run"),
    "from_table": ("wsesim.config.loader", "any_from_table"),
    "load": ("wsesim.config.loader", "load_any"),
    "Lifetime": ("wsesim.study.lifetime", "Lifetime"),
    "lifetime": ("wsesim.study.lifetime", "lifetime"),
    "Comparison": ("wsesim.study.side_by_side", "Comparison"),
    "compare": ("wsesim.study.side_by_side", "compare"),
    "plan": ("wsesim.study.plan", "plan"),
    "SharedCluster": ("wsesim.study.portfolio", "SharedCluster"),
    "portfolio": ("wsesim.study.portfolio", "portfolio"),
    "Result": ("wsesim.results.result", "Result"),
    "bottleneck": ("wsesim.results.result", "bottleneck"),
    "scaling_efficiency": ("wsesim.results.result", "scaling_efficiency"),
    "sensitivity": ("wsesim.study.sensitivity", "sensitivity"),
    "simulate": ("wsesim.machines.simulation", "simulate"),
    "simulate_many": ("wsesim.machines.simulation", "simulate_many"),
    "__version__": ("wsesim.version", "__version__"),
    "SweepResult": ("wsesim.study.sweep", "SweepResult"),
    "sweep": ("wsesim.study.sweep", "sweep"),
}


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import wsesim` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wsesim' has no attribute {name!r}")
    from importlib import import_module

    module, own_name = _HOMES[name]
    return getattr(import_module(module), own_name)

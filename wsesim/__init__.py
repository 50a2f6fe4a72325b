"""wsesim: a discrete-event simulator of wafer-scale training clusters.

>>> import wsesim
>>> run = wsesim.load("andromeda_13b", ["cluster.num_systems=8", "training.global_batch_size=720"])
>>> wsesim.simulate(run).num_devices
8
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsesim.config.loader import any_from_table as from_table
    from wsesim.config.loader import load_any as load
    from wsesim.config.run import GPURun, Run
    from wsesim.machines.wafer.result import Result, simulate, simulate_many
    from wsesim.study.lifetime import Lifetime, lifetime
    from wsesim.study.plan import plan
    from wsesim.study.shared_cluster import SharedCluster, portfolio
    from wsesim.study.side_by_side import Comparison, compare
    from wsesim.study.sweep import SweepResult, sweep

__all__ = [
    "Comparison",
    "GPURun",
    "Lifetime",
    "Result",
    "Run",
    "SharedCluster",
    "SweepResult",
    "compare",
    "from_table",
    "lifetime",
    "load",
    "plan",
    "portfolio",
    "simulate",
    "simulate_many",
    "sweep",
]
__version__ = "0.1.0"

_HOMES = {
    "GPURun": ("wsesim.config.loader", "GPURun"),
    "Run": ("wsesim.config.loader", "Run"),
    "from_table": ("wsesim.config.loader", "any_from_table"),
    "load": ("wsesim.config.loader", "load_any"),
    "Lifetime": ("wsesim.study.lifetime", "Lifetime"),
    "lifetime": ("wsesim.study.lifetime", "lifetime"),
    "Comparison": ("wsesim.study.side_by_side", "Comparison"),
    "compare": ("wsesim.study.side_by_side", "compare"),
    "plan": ("wsesim.study.plan", "plan"),
    "SharedCluster": ("wsesim.study.shared_cluster", "SharedCluster"),
    "portfolio": ("wsesim.study.shared_cluster", "portfolio"),
    "Result": ("wsesim.machines.wafer.result", "Result"),
    "simulate": ("wsesim.machines.wafer.result", "simulate"),
    "simulate_many": ("wsesim.machines.wafer.result", "simulate_many"),
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

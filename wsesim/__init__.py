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
    from wsesim.planning.lifetime import Lifetime, lifetime
    from wsesim.planning.plan import plan
    from wsesim.planning.shared_cluster import SharedCluster, portfolio
    from wsesim.planning.side_by_side import Comparison, compare
    from wsesim.planning.sweep import SweepResult, sweep
    from wsesim.results import Result, simulate, simulate_many

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
    "Lifetime": ("wsesim.planning.lifetime", "Lifetime"),
    "lifetime": ("wsesim.planning.lifetime", "lifetime"),
    "Comparison": ("wsesim.planning.side_by_side", "Comparison"),
    "compare": ("wsesim.planning.side_by_side", "compare"),
    "plan": ("wsesim.planning.plan", "plan"),
    "SharedCluster": ("wsesim.planning.shared_cluster", "SharedCluster"),
    "portfolio": ("wsesim.planning.shared_cluster", "portfolio"),
    "Result": ("wsesim.results", "Result"),
    "simulate": ("wsesim.results", "simulate"),
    "simulate_many": ("wsesim.results", "simulate_many"),
    "SweepResult": ("wsesim.planning.sweep", "SweepResult"),
    "sweep": ("wsesim.planning.sweep", "sweep"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import wsesim` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wsesim' has no attribute {name!r}")
    from importlib import import_module

    module, own_name = _HOMES[name]
    return getattr(import_module(module), own_name)

"""wsesim: a discrete-event simulator of wafer-scale training clusters.

>>> import wsesim
>>> run = wsesim.load("andromeda_13b", ["cluster.num_systems=8", "training.global_batch_size=720"])
>>> wsesim.simulate(run).num_devices
8
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsesim.config.loader import Run, from_table, load
    from wsesim.results import Result, simulate, simulate_many

__all__ = ["Result", "Run", "from_table", "load", "simulate", "simulate_many"]
__version__ = "0.1.0"

_HOMES = {
    "Run": "wsesim.config.loader",
    "from_table": "wsesim.config.loader",
    "load": "wsesim.config.loader",
    "Result": "wsesim.results",
    "simulate": "wsesim.results",
    "simulate_many": "wsesim.results",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import wsesim` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wsesim' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

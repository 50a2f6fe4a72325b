"""Parts that plug in: named by text, imported when they are first asked for.

So a module may work with all machines without importing any of them, and a package of somebody else adds one by an
entry point of the same group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any


def imported(address: str) -> Any:
    """What an address names, written as an entry point is: module, colon, name."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


class Plugins(Mapping[str, Any]):
    """Plug-ins by name: our own first, then those of installed packages.

    Reading our own needs no look at installed packages, which takes longer than a short run. `known` are those that
    were read so far, and ours.
    """

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        self.group, self.own = group, dict(own)
        self._read: dict[str, Any] = {}

    @cached_property
    def _theirs(self) -> dict[str, Any]:
        from importlib.metadata import entry_points

        return {one.name: one.load for one in entry_points(group=self.group) if one.name not in self.own}

    def __getitem__(self, name: str) -> Any:
        if name not in self._read:
            self._read[name] = imported(self.own[name]) if name in self.own else self._theirs[name]()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self._theirs

    def __len__(self) -> int:
        return len(self.own) + len(self._theirs)

    @property
    def known(self) -> list[Any]:
        """Our own, and what was read of others; does not look for more."""
        return [self[name] for name in dict.fromkeys((*self.own, *self._read))]

    def load_others(self) -> None:
        """Read those of installed packages, so that they are `known`."""
        for name in self._theirs:
            self[name]


MACHINES = Plugins(
    "wsesim.machines",
    {
        "wafer": "wsesim.machines.wafer.machine:WAFER",
        "gpu": "wsesim.machines.gpu.machine:GPU_MACHINE",
    },
)
"""Kinds of machines (`wsesim.machines.machine.Machine`), by the name that their cluster's spec gives."""

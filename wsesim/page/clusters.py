"""Clusters of the catalogue, as the form offers them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from wsesim import plugins
from wsesim.config import catalogue
from wsesim.config.entries import load_any_cluster
from wsesim.machines.machine import MACHINES


@dataclass(frozen=True)
class Offer:
    """One cluster.

    Attributes
    ----------
    most
        Devices that it has. [-]
    is_baseline
        Whether others are compared with it.
    all_of_it
        All of them, in words.
    devices, count
        What is counted, and the key of their number.
    """

    name: str
    title: str
    device: str
    most: int
    is_baseline: bool
    all_of_it: str
    devices: str
    count: str

    @property
    def label(self) -> str:
        """What the form says of it."""
        return f"{self.title}: {self.all_of_it}"


USUAL_COUNT = "num_systems"
"""Key of the number of devices of a cluster that the catalogue does not know."""


def count_of(cluster: str) -> str:
    """The key of a cluster's number of devices."""
    known = clusters().get(cluster)
    return known.count if known else USUAL_COUNT


@cache
def clusters() -> dict[str, Offer]:
    """All clusters by their name in the catalogue."""
    plugins.MACHINES.load_others()
    return {name: _offer(name) for name in catalogue.names("clusters")}


def _offer(name: str) -> Offer:
    spec, _ = load_any_cluster(name)
    machine = MACHINES[spec.machine]
    words, most = machine.words, spec.max_devices
    every = words.count(spec, most)
    return Offer(name, spec.title, spec.device, most, machine.is_baseline, every, words.devices, spec.count)

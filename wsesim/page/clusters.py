"""Clusters of the catalogue, as the form offers them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from wsesim.config import catalogue
from wsesim.config.cluster import ClusterSpec
from wsesim.config.entries import load_any_cluster


@dataclass(frozen=True)
class Offer:
    """One cluster.

    Attributes
    ----------
    most
        Systems or GPUs that it takes. [-]
    """

    name: str
    title: str
    device: str
    most: int
    is_wafer_scale: bool

    @property
    def label(self) -> str:
        """What the form says of it."""
        return f"{self.title}: {self.most:,} x {self.device}"


@cache
def clusters() -> dict[str, Offer]:
    """All clusters by their name in the catalogue."""
    return {name: _offer(name) for name in catalogue.names("clusters")}


def _offer(name: str) -> Offer:
    spec, _ = load_any_cluster(name)
    if isinstance(spec, ClusterSpec):
        return Offer(name, spec.name, spec.system.name, spec.max_systems, True)
    return Offer(name, spec.name, spec.gpu.name, spec.max_gpus, False)

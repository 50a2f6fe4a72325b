"""Entries of the catalogue: systems, GPUs, clusters, models, calibrations and laws, each as its spec."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from wsesim.config import catalogue
from wsesim.config.cluster import ClusterSpec
from wsesim.config.gpu import GPUCalibrationSpec, GPUClusterSpec, GPUSpec
from wsesim.config.law import LawSpec
from wsesim.config.layering import NAMED, Layered, layered, resolve
from wsesim.config.loader import build, load_any
from wsesim.config.model import ModelSpec
from wsesim.config.naming import cluster_table, machine_table
from wsesim.config.provenance import Origin
from wsesim.config.spec import Spec
from wsesim.config.system import CalibrationSpec, SystemSpec
from wsesim.errors import ConfigError

SpecT = TypeVar("SpecT", bound=Spec)


@lru_cache(maxsize=256)
def load_model(name: str) -> ModelSpec:
    """A model of the catalogue."""
    return _entry("models", name, ModelSpec)


@lru_cache(maxsize=16)
def load_law(name: str) -> LawSpec:
    """A law of the catalogue."""
    return _entry("laws", name, LawSpec)


def load_system(name: str, folder: Path | None = None, where: str = "") -> tuple[SystemSpec, dict[str, Origin]]:
    """A system of the catalogue or of a file, and its numbers' origins."""
    return _machine("system", SystemSpec, name, folder, where)


def load_gpu(name: str, folder: Path | None = None, where: str = "") -> tuple[GPUSpec, dict[str, Origin]]:
    """A GPU of the catalogue or of a file, and its numbers' origins."""
    return _machine("gpu", GPUSpec, name, folder, where)


def _machine(
    key: str, spec: type[SpecT], name: str, folder: Path | None, where: str
) -> tuple[SpecT, dict[str, Origin]]:
    path = resolve(NAMED[key], name, folder or Path(), where)
    table = machine_table(layered(NAMED[key], path), path.parent)
    return build(spec, table, key, catalogue.shown(path)), table.origins


def load_calibration(word: str) -> CalibrationSpec:
    """A system's calibration, of the catalogue or of a file."""
    return _calibration(word, CalibrationSpec)


def load_gpu_calibration(word: str) -> GPUCalibrationSpec:
    """A GPU's calibration, of the catalogue or of a file."""
    return _calibration(word, GPUCalibrationSpec)


def _calibration(word: str, spec: type[SpecT]) -> SpecT:
    path = resolve("calibrations", word, Path(), "--calibration")
    return build(spec, layered("calibrations", path), "calibration", catalogue.shown(path))


def load_any_cluster(name: str) -> tuple[ClusterSpec | GPUClusterSpec, dict[str, Origin]]:
    """A cluster of the catalogue, and its numbers' origins.

    Examples
    --------
    >>> load_any_cluster("selene")[0].gpus_per_node
    8
    """
    table = cluster_table(Layered({"name": name}), Path(), "cluster")
    place = f"cluster_configs/clusters/{name}.toml"
    if "gpu" in table.plain:
        return build(GPUClusterSpec, table, "cluster", place), table.origins
    return build(ClusterSpec, table, "cluster", place), table.origins


def load_cluster(name: str) -> tuple[ClusterSpec, dict[str, Origin]]:
    """A wafer-scale cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if isinstance(cluster, GPUClusterSpec):
        raise ConfigError(f"cluster {name!r} is a GPU cluster, where a wafer-scale one is needed; name for example cs2")
    return cluster, origins


def load_gpu_cluster(name: str) -> tuple[GPUClusterSpec, dict[str, Origin]]:
    """A GPU cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if isinstance(cluster, ClusterSpec):
        raise ConfigError(f"cluster {name!r} is wafer-scale, where one of GPUs is needed; name for example selene")
    return cluster, origins


def _entry(kind: str, name: str, spec: type[SpecT]) -> SpecT:
    path = catalogue.find(kind, name)
    return build(spec, layered(kind, path), kind, catalogue.shown(path))


def origins_of(kind: str, name: str) -> dict[str, Origin]:
    """Every number of a catalogue entry, for `wsesim explain`."""
    readers: dict[str, Callable[[], dict[str, Origin]]] = {
        "systems": lambda: load_system(name)[1],
        "gpus": lambda: load_gpu(name)[1],
        "clusters": lambda: load_any_cluster(name)[1],
        "models": lambda: layered("models", catalogue.find("models", name)).origins,
        "calibrations": lambda: layered("calibrations", catalogue.find("calibrations", name)).origins,
        "laws": lambda: layered("laws", catalogue.find("laws", name)).origins,
        "runs": lambda: load_any(name).origins,
    }
    return readers[kind]()

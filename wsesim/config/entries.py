"""Entries of the catalogue: systems, GPUs, clusters, models, calibrations and laws, each as its spec."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from wsesim.config import catalogue
from wsesim.config.cluster import AnyCluster, files_of
from wsesim.config.law import LawSpec
from wsesim.config.layering import NAMED, Layered, layered, resolve
from wsesim.config.loader import build, load_any
from wsesim.config.model import ModelSpec
from wsesim.config.naming import cluster_table, machine_table
from wsesim.config.provenance import Origin
from wsesim.config.spec import Spec
from wsesim.errors import ConfigError
from wsesim.plugins import MACHINES

SpecT = TypeVar("SpecT", bound=Spec)


@lru_cache(maxsize=256)
def load_model(name: str) -> ModelSpec:
    """A model of the catalogue."""
    return _entry("models", name, ModelSpec)


@lru_cache(maxsize=16)
def load_law(name: str) -> LawSpec:
    """A law of the catalogue."""
    return _entry("laws", name, LawSpec)


def load_part(key: str, name: str, folder: Path | None = None, where: str = "") -> tuple[Any, dict[str, Origin]]:
    """What clusters are built of, by the key that names it: an entry of the catalogue or a file, and its numbers' origins."""
    path = resolve(NAMED[key], name, folder or Path(), where)
    table = machine_table(layered(NAMED[key], path), path.parent)
    spec = next(one.files.part for one in MACHINES.known if one.files.key == key)
    return build(spec, table, key, catalogue.shown(path)), table.origins


def load_system(name: str, folder: Path | None = None, where: str = "") -> tuple[Any, dict[str, Origin]]:
    """A CS system of the catalogue or of a file, and its numbers' origins."""
    return load_part("system", name, folder, where)


def load_gpu(name: str, folder: Path | None = None, where: str = "") -> tuple[Any, dict[str, Origin]]:
    """A GPU of the catalogue or of a file, and its numbers' origins."""
    return load_part("gpu", name, folder, where)


def load_calibration(word: str, key: str = "system") -> Any:
    """A calibration of what clusters are built of, of the catalogue or of a file."""
    path = resolve("calibrations", word, Path(), "--calibration")
    part = next(one.files.part for one in MACHINES.known if one.files.key == key)
    spec = part.model_fields["calibration"].annotation
    return build(spec, layered("calibrations", path), "calibration", catalogue.shown(path))


def load_gpu_calibration(word: str) -> Any:
    """A GPU's calibration, of the catalogue or of a file."""
    return load_calibration(word, "gpu")


@lru_cache(maxsize=64)
def load_software(word: str) -> Any:
    """What training software of GPUs does: of the catalogue, or of a file."""
    path = resolve("software", word, Path(), "cluster.software_profile")
    files = next(one.files for one in MACHINES.known if one.files.key == "gpu")
    spec = files.cluster.model_fields["software"].annotation
    return build(spec, layered("software", path), "software", catalogue.shown(path))


def load_any_cluster(name: str) -> tuple[AnyCluster, dict[str, Origin]]:
    """A cluster of the catalogue, and its numbers' origins.

    Examples
    --------
    >>> load_any_cluster("selene")[0].max_devices
    4480
    """
    table = cluster_table(Layered({"name": name}), Path(), "cluster")
    files = files_of(table.plain)
    place = f"cluster_configs/clusters/{name}.toml"
    if files is None:
        raise ConfigError(
            f"{place}: names neither {' nor '.join(one.files.key for one in MACHINES.known)}; add one of them"
        )
    return build(files.cluster, table, "cluster", place), table.origins


def load_cluster(name: str) -> tuple[Any, dict[str, Origin]]:
    """A wafer-scale cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if cluster.machine != "wafer":
        raise ConfigError(f"cluster {name!r} is a GPU cluster, where a wafer-scale one is needed; name for example cs2")
    return cluster, origins


def load_gpu_cluster(name: str) -> tuple[Any, dict[str, Origin]]:
    """A GPU cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if cluster.machine != "gpu":
        raise ConfigError(f"cluster {name!r} is wafer-scale, where one of GPUs is needed; name for example selene")
    return cluster, origins


def _entry(kind: str, name: str, spec: type[SpecT]) -> SpecT:
    path = catalogue.find(kind, name)
    return build(spec, layered(kind, path), kind, catalogue.shown(path))


def origins_of(kind: str, name: str) -> dict[str, Origin]:
    """Every number of a catalogue entry, for `wsesim explain`."""
    parts = {one.files.folder: one.files.key for one in MACHINES.known}
    if kind in parts:
        return load_part(parts[kind], name)[1]
    if kind in ("models", "calibrations", "laws", "software"):
        return layered(kind, catalogue.find(kind, name)).origins
    return load_any_cluster(name)[1] if kind == "clusters" else load_any(name).origins

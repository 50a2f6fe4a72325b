"""Finds the files of ``cluster_configs/``: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wsesim.config import reading
from wsesim.errors import UnknownNameError, did_you_mean
from wsesim.plugins import MACHINES

KINDS = ("systems", "gpus", "clusters", "models", "runs", "calibrations", "laws", "software")
_LONGEST_VALUE = 60


@cache
def root() -> Path:
    """Folder that holds the catalogue."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "cluster_configs"
    return inside if inside.is_dir() else package.parent / "cluster_configs"


@cache
def published() -> Path:
    """Folder that holds the published measurements."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "published"
    return inside if inside.is_dir() else package.parent / "benchmarks" / "published"


def kinds() -> tuple[str, ...]:
    """Kinds of entries, with what the kinds of machines that were read so far are built of."""
    return tuple(dict.fromkeys((*KINDS, *(one.files.folder for one in MACHINES.known))))


@cache
def _files(root: Path, kind: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted((root / kind).glob("*.toml"))}


def _entries(kind: str) -> dict[str, Path]:
    """Files by name; ours go before those of machines that bring a catalogue of their own."""
    return _merged(kind, tuple(filter(None, (one.files.catalogue for one in MACHINES.known))))


@cache
def _merged(kind: str, others: tuple[Path, ...]) -> dict[str, Path]:
    found = {name: path for folder in reversed(others) for name, path in _files(folder, kind).items()}
    return dict(sorted((found | _files(root(), kind)).items()))


def names(kind: str) -> tuple[str, ...]:
    """Names of all entries of one kind, sorted."""
    return tuple(_entries(kind))


def shown(path: Path) -> str:
    """A path as messages name it: catalogue files by their place in the catalogue, others as seen from here."""
    try:
        return "cluster_configs/" + path.resolve().relative_to(root()).as_posix()
    except (ValueError, OSError, RuntimeError):  # the last of links that go in a circle
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def value_shown(value: Any) -> str:
    """A value of a file as messages quote it: short, and as TOML writes it.

    Examples
    --------
    >>> value_shown(True), value_shown([1, 2])
    ('true', '[1, 2]')
    """
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python refuses to write integers of more than 4300 digits
        return "a value of absurd size"
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def exists(path: Path) -> bool:
    """Whether there is such a file; False, too, for what can be no path at all."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def find(kind: str, name: str, place: str = "") -> Path:
    """File of one catalogue entry; `place` is the key that names it, for messages.

    Raises
    ------
    UnknownNameError
        With the nearest known name.
    """
    if name in _files(root(), kind):
        return root() / kind / f"{name}.toml"
    MACHINES.load_others()
    if name in _entries(kind):
        return _entries(kind)[name]
    hint = did_you_mean(name, names(kind)) or f"; `wsesim list {kind}` shows what there is"
    where = f"{place}: " if place else ""
    raise UnknownNameError(f"{where}{kind.removesuffix('s')} {value_shown(name)} is not in the catalogue{hint}")


def read_text(path: Path, largest_bytes: int = reading.LARGEST_BYTES, errors: str = "strict") -> str:
    """Text of a file; as `reading.text`."""
    return reading.text(path, shown(path), largest_bytes, errors)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested dicts; as `reading.toml`."""
    return reading.toml(read_text(path), shown(path))


@dataclass(frozen=True)
class Source:
    """One entry of ``sources.toml``."""

    key: str
    title: str
    date: str
    url: str
    status: str


@cache
def sources() -> dict[str, Source]:
    """All sources by key."""
    return {
        key: Source(key, entry["title"], str(entry["date"]), entry["url"], entry["status"])
        for key, entry in read_toml(root() / "sources.toml").items()
    }

"""Finds the files of ``cluster_configs/``: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wsesim.errors import ConfigError, UnknownNameError, did_you_mean

KINDS = ("systems", "clusters", "models", "runs", "calibrations")
_LARGEST_FILE_BYTES = 10_000_000


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


def names(kind: str) -> list[str]:
    """Names of all entries of one kind, sorted."""
    return sorted(path.stem for path in (root() / kind).glob("*.toml"))


def shown(path: Path) -> str:
    """A path as messages name it: catalogue files by their place in the catalogue."""
    try:
        return "cluster_configs/" + path.resolve().relative_to(root()).as_posix()
    except ValueError:
        return str(path)


def find(kind: str, name: str) -> Path:
    """File of one catalogue entry.

    Raises
    ------
    UnknownNameError
        With the nearest known name.
    """
    if name in names(kind):
        return root() / kind / f"{name}.toml"
    hint = did_you_mean(name, names(kind)) or f"; `wsesim list {kind}` shows what there is"
    raise UnknownNameError(f"{kind.removesuffix('s')} {name!r} is not in the catalogue{hint}")


def read_text(path: Path, largest_bytes: int = _LARGEST_FILE_BYTES) -> str:
    """Text of a small file.

    Raises
    ------
    ConfigError
        Missing, a folder, not readable, not text, or absurdly large.
    """
    place = shown(path)
    try:
        if path.is_dir():
            raise ConfigError(f"{place}: is a folder; name a file in it")
        if path.stat().st_size > largest_bytes:
            raise ConfigError(f"{place}: is larger than {largest_bytes // 1_000_000} MB; is it the right file?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{place}: there is no such file; check the path, or see `wsesim list`") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{place}: is not a text file; a TOML, JSON or YAML file was expected") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{place}: cannot be read ({reason}); check the path and its permissions") from None


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested dicts.

    Raises
    ------
    ConfigError
        The file cannot be read, or is not TOML; the message has the line.
    """
    try:
        return tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{shown(path)}: is not valid TOML: {error}; correct that line") from None


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

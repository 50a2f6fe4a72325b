"""Finds the files of ``cluster_configs/``: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wsesim.errors import ConfigError, UnknownNameError, did_you_mean

KINDS = ("systems", "gpus", "clusters", "models", "runs", "calibrations")
_LARGEST_FILE_BYTES = 1_000_000
_LONGEST_VALUE = 60
_DOTTED = re.compile(r"""(?<![\w"'.-])(?:[\w"'-]++\s*+\.\s*+){50}""")
"""A key of more than fifty parts, which the TOML reader takes quadratic time for."""


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


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of all entries of one kind, sorted."""
    return tuple(sorted(path.stem for path in (root() / kind).glob("*.toml")))


def shown(path: Path) -> str:
    """A path as messages name it: catalogue files by their place in the catalogue, others as seen from here."""
    try:
        return "cluster_configs/" + path.resolve().relative_to(root()).as_posix()
    except (ValueError, OSError):
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
    if name in names(kind):
        return root() / kind / f"{name}.toml"
    hint = did_you_mean(name, names(kind)) or f"; `wsesim list {kind}` shows what there is"
    where = f"{place}: " if place else ""
    raise UnknownNameError(f"{where}{kind.removesuffix('s')} {value_shown(name)} is not in the catalogue{hint}")


def read_text(path: Path, largest_bytes: int = _LARGEST_FILE_BYTES, errors: str = "strict") -> str:
    """Text of a small file, with or without a byte order mark.

    Raises
    ------
    ConfigError
        Missing, a folder, not readable, not text, or absurdly large.
    """
    place = shown(path)
    try:
        if path.is_dir():
            raise ConfigError(f"{place}: is a folder; name a file in it")
        with path.open("rb") as file:
            content = file.read(largest_bytes + 1)
        if len(content) > largest_bytes:
            raise ConfigError(f"{place}: is larger than {largest_bytes // 1_000_000} MB; is it the right file?")
        return content.decode("utf-8-sig", errors).replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise ConfigError(f"{place}: there is no such file; check the path, or see `wsesim list`") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{place}: is not text in UTF-8; is it the right file? If so, save it as UTF-8") from None
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
    text = read_text(path)
    if _DOTTED.search(text):
        raise ConfigError(f"{shown(path)}: has a key of more than 50 parts; is it the right file?")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{shown(path)}: is nested too deeply; is it the right file?") from None
    except ValueError as error:  # tomllib lets Python's own errors through: days that do not exist, 5000 digits
        reason = "a number has thousands of digits" if "digits" in str(error) else error
        raise ConfigError(f"{shown(path)}: is not valid TOML: {reason}; correct that line") from None


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

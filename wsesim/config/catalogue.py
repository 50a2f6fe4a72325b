"""Finds the files of ``cluster_configs/`` and reads what users give, within limits of size, depth and kind."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.errors import ConfigError, UnknownNameError, did_you_mean
from wsesim.plugins import MACHINES

if TYPE_CHECKING:
    import yaml

# Reads what users give, within limits: every reader of a file calls `content`, and every parser here looks before it
# parses.
#
# Only regular files are read: a pipe would be waited for, a device has no end. Sizes are far above any file that
# people write, and low enough that the slowest parser is done within seconds; depth is below what Python's own stack
# takes.
#
# Not limited here: ledgers, of which SQLite reads pages as they are needed (`wsesim.study.ledger` asks `check_kind`).


LARGEST_BYTES = 1_000_000
"""Of a file that describes something. [bytes]"""
LARGEST_YAML_BYTES = 200_000
MOST_YAML_NODES = 20_000
"""PyYAML takes 0.1 ms for a node; a params file has some hundred. [bytes], [-]"""
DEEPEST = 50
"""Levels of tables and lists in a file. [-]"""
MOST_VALUES = 500_000
"""Values in a file, those of YAML's aliases counted wherever they are written. [-]"""

_KINDS = {
    stat.S_IFDIR: "is a folder; name a file in it",
    stat.S_IFIFO: "is a pipe, which has no end that could be waited for; save it as a file",
    stat.S_IFSOCK: "is a socket; name a file",
    stat.S_IFCHR: "is a device; name a file",
    stat.S_IFBLK: "is a device; name a file",
}
_WAIT_FOR_NOTHING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""A pipe is opened without a writer, and then refused; a terminal does not become ours."""


def check_kind(mode: int, place: str) -> None:
    """Refuse everything but regular files.

    Raises
    ------
    ConfigError
        A folder, a pipe, a socket or a device.
    """
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{place}: {_KINDS.get(stat.S_IFMT(mode), 'is no regular file; name a file')}")


def content(path: Path, place: str, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """The bytes of a regular file; more than the largest are refused, and not read.

    Raises
    ------
    ConfigError
        Missing, no regular file, not readable, or absurdly large.
    """
    try:
        check_kind(path.stat().st_mode, place)  # to open a device can do something
        with os.fdopen(os.open(path, os.O_RDONLY | _WAIT_FOR_NOTHING), "rb") as file:
            check_kind(os.fstat(file.fileno()).st_mode, place)  # another one may have taken its place meanwhile
            found = file.read(largest_bytes + 1)
    except FileNotFoundError:
        raise ConfigError(f"{place}: there is no such file; check the path, or see `wsesim list`") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{place}: cannot be read ({reason}); check the path and its permissions") from None
    if len(found) > largest_bytes:
        raise ConfigError(f"{place}: is larger than {largest_bytes / 1e6:g} MB; is it the right file?")
    return found


def text(path: Path, place: str, largest_bytes: int = LARGEST_BYTES, errors: str = "strict") -> str:
    """The text of a file, with or without a byte order mark; lines end as on Unix."""
    try:
        return content(path, place, largest_bytes).decode("utf-8-sig", errors).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{place}: is not text in UTF-8; is it the right file? If so, save it as UTF-8") from None


def check_value(value: Any, place: str) -> None:
    """Refuse what was parsed but is nested so deeply, or holds so much, that it cannot be meant.

    Raises
    ------
    ConfigError
        More than `DEEPEST` levels or `MOST_VALUES` values.
    """
    level, depth, count = [value], 0, 0
    while level:
        count += len(level)
        if depth > DEEPEST:
            raise ConfigError(f"{place}: is nested too deeply, in more than {DEEPEST} levels; is it the right file?")
        if count > MOST_VALUES:
            raise ConfigError(f"{place}: holds more than {MOST_VALUES:,} values; is it the right file?")
        level = [one for holder in level if isinstance(holder, dict | list) for one in _held(holder)]
        depth += 1


def _held(holder: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    return holder.values() if isinstance(holder, dict) else holder


# TOML

_TEXT_OR_COMMENT = re.compile(
    r'''"""(?:\\.|(?!""")[^\\])*+(?:""")?|\'\'\'(?:(?!\'\'\').)*+(?:\'\'\')?|"(?:\\.|[^"\\\n])*+"?|'[^'\n]*+'?|\#[^\n]*+''',
    re.DOTALL,
)
_DOTTED = re.compile(r"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){50}")
"""A key of more than fifty parts, which the TOML reader takes quadratic time for."""


def toml(written: str, place: str) -> dict[str, Any]:
    """A text in TOML as nested dicts.

    Raises
    ------
    ConfigError
        It is not TOML, and the message has the line; or it is nested too deeply.
    """
    if _DOTTED.search(_TEXT_OR_COMMENT.sub("x", written)):
        raise ConfigError(f"{place}: has a key of more than 50 parts; is it the right file?")
    try:
        found = tomllib.loads(written)
    except RecursionError:
        raise ConfigError(f"{place}: is nested too deeply; is it the right file?") from None
    except ValueError as error:  # tomllib lets Python's own errors through: days that do not exist, 5000 digits
        reason = "a number has thousands of digits" if "digits" in str(error) else error
        if written.lstrip().startswith("{"):
            raise ConfigError(
                f"{place}: is JSON, and this has to be TOML; a model file becomes a run with `wsesim import FILE`"
            ) from None
        raise ConfigError(f"{place}: is not valid TOML: {reason}; correct that line") from None
    check_value(found, place)
    return found


# JSON


def json_value(written: str, place: str) -> Any:
    """A text in JSON.

    Raises
    ------
    ConfigError
        It is not JSON, or it is nested too deeply.
    """
    try:
        found = json.loads(written.removeprefix("\ufeff"))
    except RecursionError:
        raise ConfigError(f"{place}: is not valid JSON: it is nested too deeply; correct that line") from None
    except ValueError as error:
        raise ConfigError(f"{place}: is not valid JSON: {error}; correct that line") from None
    check_value(found, place)
    return found


# YAML


def yaml_value(path: Path, place: str) -> Any:
    """A YAML file as plain values.

    Numbers in base 60, such as ``1:30``, are texts, as in YAML 1.2: nobody means them, and PyYAML takes quadratic time.

    Raises
    ------
    ConfigError
        It cannot be read, is not YAML, is nested too deeply, or its aliases stand for too much.
    """
    import yaml

    try:
        return _document(text(path, place, LARGEST_YAML_BYTES), place)
    except RecursionError:
        raise ConfigError(f"{place}: is nested too deeply; is it the right file?") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        # tags such as !!int on the wrong text make PyYAML raise whatever Python raises
        reason = " ".join(str(error).split())
        raise ConfigError(f"{place}: is not valid YAML: {reason}; correct that line") from None


def _document(written: str, place: str) -> Any:
    """`yaml.safe_load`, with a look at the nodes before values are made of them."""
    import yaml

    class Limited(yaml.SafeLoader):
        depth = count = 0

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            self.depth, self.count = self.depth + 1, self.count + 1
            if self.depth > DEEPEST:
                raise RecursionError
            if self.count > MOST_YAML_NODES:
                raise ConfigError(f"{place}: holds more than {MOST_YAML_NODES:,} values; is it the right file?")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    loader = Limited(written)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_nodes(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Nodes of a document with every alias written out; a few lines of aliases can stand for billions."""
    import yaml

    known = sizes.get(id(node))
    if known == 0:
        raise yaml.YAMLError("an anchor holds itself")
    if known is not None:
        return known
    sizes[id(node)] = 0
    if isinstance(node, yaml.ScalarNode) and ":" in node.value and node.tag.endswith((":int", ":float")):
        node.tag = "tag:yaml.org,2002:str"
    total = 1 + sum(_check_nodes(child, sizes) for child in _children(node))
    if total > MOST_VALUES:
        raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES:,} values")
    sizes[id(node)] = total
    return total


def _children(node: yaml.Node) -> list[yaml.Node]:
    value = node.value
    if not isinstance(value, list):
        return []
    return [child for pair in value for child in (pair if isinstance(pair, tuple) else (pair,))]


# CSV


def csv_lines(written: str, place: str, *, strict: bool = False) -> list[list[str]]:
    """The cells of a table, line by line; `strict` refuses quotes that are not closed."""
    try:
        return list(csv.reader(io.StringIO(written, newline=""), strict=strict))
    except csv.Error as error:
        raise ConfigError(f"{place}: is not a CSV table: {error}; is it the right file?") from None


# Finds the files of ``cluster_configs/``: beside the package in a checkout, inside it in a wheel.


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


def _near(name: str, known: Iterable[str]) -> str:
    """A hint to the name of the same letters and digits, or to one that is near."""
    listed = [*known]
    bare = {re.sub(r"[-_. ]", "", one.lower()): one for one in listed}
    same = bare.get(re.sub(r"[-_. ]", "", name.lower()))
    return f"; did you mean {same}?" if same else did_you_mean(name.lower(), listed)


def find(kind: str, name: str, place: str = "") -> Path:
    """File of one catalogue entry; `place` is the key that names it, for messages."""
    if name in _files(root(), kind):
        return root() / kind / f"{name}.toml"
    MACHINES.load_others()
    if name in _entries(kind):
        return _entries(kind)[name]
    same = [one for one in names(kind) if one.lower() == name.lower()]
    if len(same) == 1:
        return find(kind, same[0], place)
    hint = _near(name, names(kind)) or f"; `wsesim list {kind}` shows what there is"
    where = f"{place}: " if place else ""
    raise UnknownNameError(f"{where}{kind.removesuffix('s')} {value_shown(name)} is not in the catalogue{hint}")


def read_text(path: Path, largest_bytes: int = LARGEST_BYTES, errors: str = "strict") -> str:
    """Text of a file; as `reading.text`."""
    return text(path, shown(path), largest_bytes, errors)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested dicts; as `reading.toml`."""
    return toml(read_text(path), shown(path))


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

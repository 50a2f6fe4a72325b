"""Tables of several files, laid over each other: names, `extends` and file names are followed, origins kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.problems import place_of
from wsesim.config.provenance import Origin, unwrap
from wsesim.config.training import BATCH_KEYS
from wsesim.errors import ConfigError
from wsesim.plugins import MACHINES

Table = dict[str, Any]
DEEPEST_EXTENDS = 10


class _Named(Mapping[str, str]):
    """As `NAMED`, with what kinds of machines were read so far."""

    def _all(self) -> dict[str, str]:
        return {one.files.key: one.files.folder for one in MACHINES.known} | {"calibration": "calibrations"}

    def __getitem__(self, key: str) -> str:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


NAMED = _Named()
"""Keys whose value is a name of the catalogue, and the kind it is a name of."""
_EXCLUSIVE = (("tokens", "steps"), BATCH_KEYS)
"""Keys that take each other's place: a file that sets one overrides the others in the files below it."""
_INSTEAD = {key: frozenset(group) - {key} for group in _EXCLUSIVE for key in group}


@dataclass(frozen=True)
class Layered:
    """A table put together from several files.

    Attributes
    ----------
    plain
        Values without their origins.
    origins
        Where each number comes from, by dotted key.
    places
        File or option that each key was read from, by dotted key; for messages.
    """

    plain: Table
    origins: dict[str, Origin] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def over(self, base: Layered) -> Layered:
        """Lay this table over another; nested tables merge, everything else replaces."""
        merged = merge(_without_replaced(base.plain, self.plain), self.plain)
        kept = leaves(merged) - leaves(self.plain)
        return Layered(
            merged,
            {key: origin for key, origin in base.origins.items() if key in kept} | self.origins,
            {key: place for key, place in base.places.items() if key in kept} | self.places,
        )

    def without(self, key: str) -> Layered:
        """The same table without one key."""
        return replace(self, plain={name: value for name, value in self.plain.items() if name != key})

    def only(self, keys: Collection[str]) -> Layered:
        """The same table without all other keys."""
        return replace(self, plain={name: value for name, value in self.plain.items() if name in keys})

    def place_of(self, key: str, otherwise: str) -> str:
        """File or option that a key was read from."""
        return place_of(key, self.places, otherwise)


def merge(base: Table, top: Table) -> Table:
    """One table over another: nested tables merge, everything else replaces."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        if key in NAMED and isinstance(old, str) and isinstance(value, dict):
            old = {"extends": old}  # keys of the entry that is named, not another one
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _without_replaced(base: Table, top: Table) -> Table:
    """A table without what the one above it says in other words."""
    kept = {key: value for key, value in base.items() if key in top or _INSTEAD.get(key, frozenset()).isdisjoint(top)}
    for key, value in kept.items():
        above = top.get(key)
        if isinstance(value, dict) and isinstance(above, dict):
            is_replaced = key == "activation_recompute" or (key == "model" and _is_another_model(value, above))
            kept[key] = {} if is_replaced else _without_replaced(value, above)
    return kept


def _is_another_model(base: Table, top: Table) -> bool:
    """Whether a model is named anew, so that what stands below is of another one; a name of one's own is but a label."""
    name = top.get("name")
    if "path" in top:
        return bool(top["path"] != base.get("path"))
    is_entry = isinstance(name, str) and (name.endswith(".toml") or name in catalogue.names("models"))
    return is_entry and ("path" in base or name != base.get("name"))


def leaves(table: Table, prefix: str = "") -> set[str]:
    """Dotted keys of everything that is no table."""
    found: set[str] = set()
    for key, value in table.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}"}
    return found


def layer(raw: Table, place: str, defaults: dict[str, str] | None = None) -> Layered:
    """One table as it was read, with the origins of its numbers."""
    plain, origins = unwrap(raw, place, defaults)
    return Layered(plain, origins, dict.fromkeys(leaves(plain), place))


def _anchored(table: Table, folder: Path, parent: str = "") -> Table:
    """A table whose file names are good from everywhere: a file names others as seen from its own folder."""
    anchored: Table = {}
    for key, value in table.items():
        names_file = key in NAMED or key == "extends" or (key in ("name", "path") and parent in ("model", "cluster"))
        if isinstance(value, dict):
            anchored[key] = _anchored(value, folder, key)
        elif names_file and isinstance(value, str) and Path(value).suffix and catalogue.exists(folder / value):
            anchored[key] = str((folder / value).resolve())
        else:
            anchored[key] = value
    return anchored


def read(path: Path) -> Layered:
    """A file as it stands; those of the catalogue are read once."""
    if not path.is_relative_to(catalogue.root()):
        return _read(path)
    kept = _read_once(path)
    return Layered(deepcopy(kept.plain), dict(kept.origins), dict(kept.places))


@cache
def _read_once(path: Path) -> Layered:
    return _read(path)


def _read(path: Path) -> Layered:
    own = layer(catalogue.read_toml(path), catalogue.shown(path))
    return replace(own, plain=_anchored(own.plain, path.parent))


def resolve(kind: str, word: str, folder: Path, where: str) -> Path:
    """A word in a file: a path if it ends in .toml, else a catalogue name. `where` names the key, for messages."""
    if not word.endswith(".toml"):
        return catalogue.find(kind, word, where)
    return existing(word, folder, where)


def existing(word: str, folder: Path, where: str) -> Path:
    """A file that another one names, as seen from that one's folder or from the working directory."""
    near = folder / word
    path = near if catalogue.exists(near) else Path(word)
    if where and not catalogue.exists(path):
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}, but there is no such file; check the path")
    return path


Finder = Callable[[str, Path, str], Path]
"""Takes a word, the folder of the file that it stands in, and the place of its key for messages; gives the file it names."""


def layered(kind: str, path: Path) -> Layered:
    """A file laid over what it `extends`."""
    return extending(path, partial(resolve, kind))


def extending(path: Path, find: Finder, depth: int = 0) -> Layered:
    """A file laid over those that it extends one after another."""
    if depth > DEEPEST_EXTENDS:
        raise ConfigError(
            f"{catalogue.shown(path)}: extends goes in a circle, or more than {DEEPEST_EXTENDS} files deep; break it"
        )
    own = read(path)
    below = extended(path, own, find)
    return own if below is None else own.without("extends").over(extending(below, find, depth + 1))


def extended(path: Path, own: Layered, find: Finder) -> Path | None:
    """The file that another one lies over, if any."""
    word = own.plain.get("extends")
    if word is None:
        return None
    where = f"{catalogue.shown(path)}: extends"
    if not isinstance(word, str) or not word:
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}; name one file or catalogue entry")
    return find(word, path.parent, where)


def nested(table: Layered, key: str, kind: str, folder: Path, prefix: str) -> Layered:
    """Replace a name under `key` by the table it stands for; `prefix` is the table's own key, for messages."""
    value = table.plain.get(key)
    if isinstance(value, dict) and isinstance(value.get("extends"), str):
        rest = {name: item for name, item in value.items() if name != "extends"}
        places = table.places | {key: table.places.get(f"{key}.extends", table.places.get(key, ""))}
        named = nested(Layered(table.plain | {key: value["extends"]}, table.origins, places), key, kind, folder, prefix)
        return Layered({key: rest}, table.origins, table.places).over(named)
    if not isinstance(value, str):
        return table
    place = table.place_of(key, "")
    path = resolve(kind, value, folder, f"{place}: {prefix}{key}" if place else f"{prefix}{key}")
    return put(table, key, layered(kind, path), keep=True)


def sub(table: Layered, key: str) -> Layered:
    """The table under `key`, with origins and places relative to it."""
    cut, start = len(key) + 1, f"{key}."
    return Layered(
        table.plain[key],
        {name[cut:]: origin for name, origin in table.origins.items() if name.startswith(start)},
        {name[cut:]: place for name, place in table.places.items() if name.startswith(start)},
    )


def put(table: Layered, key: str, inner: Layered, *, keep: bool = False) -> Layered:
    """The table with another one under `key`; with `keep`, origins that were known under it stay."""
    start = f"{key}."
    return Layered(
        table.plain | {key: inner.plain},
        {name: origin for name, origin in table.origins.items() if keep or not name.startswith(start)}
        | {f"{key}.{name}": origin for name, origin in inner.origins.items()},
        {name: place for name, place in table.places.items() if name != key and (keep or not name.startswith(start))}
        | {f"{key}.{name}": place for name, place in inner.places.items()},
    )

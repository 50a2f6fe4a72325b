"""Many runs that differ in a few settings, built without reading their files again.

Files are followed once for each combination of names. What is left are numbers and words at known keys:
they are put into the table that was found, and only the specs around them are checked again. The run is
the one that `wsesim.config.loader.load_any` builds from the same settings.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from wsesim.config.layering import Layered, Table, layer, layered_run
from wsesim.config.loader import Parts, parts_of
from wsesim.config.run import Run, Setting, parse_setting
from wsesim.config.spec import Origin, Spec, numeric_fields, of_other_kinds, options_of, unwrap
from wsesim.errors import ConfigError, InputError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.units import read_quantity

_MASK = (1 << 128) - 1
_DECIDES = {("training", "precision"), ("training", "weight_sparsity"), ("training", "activations")}
"""Keys whose values are compared with the kind of the cluster, where that says what a training has."""
_NO_DEFAULT = {"training.tokens", "training.steps"}
"""Keys that say something even where they repeat the default: one of them must not stand beside the other."""
_SCALARS = (int, float, bool, type(None))


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    """The spec of a field that is a table."""
    found = [one for one in options_of(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    return found[0] if found and get_origin(field.annotation) is not tuple else None


def _field(spec: type[BaseModel], path: Sequence[str]) -> FieldInfo | None:
    """The field at the end of a path, if there is one."""
    for part in path[:-1]:
        above = spec.model_fields.get(part)
        inner = _inner(above) if above is not None else None
        if inner is None:
            return None
        spec = inner
    return spec.model_fields.get(path[-1])


def _specs_of(part: str) -> list[type[Spec]]:
    return list(dict.fromkeys(one.files.tables[part] for one in MACHINES.known if part in one.files.tables))


def _is_leaf(parts: Sequence[str]) -> bool:
    """Whether a key holds a number or a word out of a few, and no name that leads to a file or a table."""
    elsewhere = {below for one in MACHINES.known for below in one.files.from_cluster.values()}
    if len(parts) < 2 or (parts[0] == "cluster" and parts[1] in elsewhere):
        return False  # such a table of a cluster lies below another part of the run
    fields = [_field(spec, parts[1:]) for spec in _specs_of(parts[0])]
    options = [option for field in fields if field is not None for option in options_of(field.annotation)]
    return bool(options) and all(option in _SCALARS or isinstance(option, str) for option in options)


def _names(spec: type[BaseModel], prefix: str) -> Iterator[str]:
    """Every dotted key below a spec."""
    for name, field in spec.model_fields.items():
        yield f"{prefix}{name}"
        inner = _inner(field)
        if inner is not None:
            yield from _names(inner, f"{prefix}{name}.")


def _is_known(parts: Sequence[str], kind: str) -> bool:
    specs = MACHINES[kind].files.tables
    if parts[0] == "name" or list(parts) == ["model", "path"]:
        return True
    if parts[0] not in specs:
        return False
    spec: type[BaseModel] = specs[parts[0]]
    for place, part in enumerate(parts[1:]):
        field = spec.model_fields.get(part)
        if field is None:
            return part == "extends"
        inner = _inner(field)
        if inner is None:  # what is below a mapping, such as the releases of a calibration, is free
            rest = len(parts) - place - 2
            return rest == 0 or (rest == 1 and get_origin(field.annotation) is dict)
        spec = inner
    return True


def check_key(key: str, kinds: Iterable[str]) -> None:
    """Refuse a key that no run on these kinds of machines has, and name the nearest.

    Examples
    --------
    >>> check_key("cluster.num_system", ["wafer"])
    Traceback (most recent call last):
    wsesim.errors.ConfigError: --vary cluster.num_system: is not a known key; did you mean cluster.num_systems?
    """
    parts, kinds = parse_setting(f"{key}=0")[0], sorted(set(kinds))
    if any(_is_known(parts, kind) for kind in kinds):
        return
    known = dict.fromkeys(
        name
        for kind in kinds
        for part, spec in MACHINES[kind].files.tables.items()
        for name in _names(spec, f"{part}.")
    )
    last = of_other_kinds(parts[-1]) or {parts[-1]}
    same_end = [name for name in known if name.rsplit(".", 1)[-1] in last]
    hint = f"; did you mean {same_end[0]}?" if same_end else did_you_mean(key, known)
    hint = hint or "; `wsesim explain NAME` shows the keys of a system or cluster, docs/configuration.md all of them"
    raise ConfigError(f"--vary {key}: is not a known key{hint}")


def _canonical(value: Any) -> str:
    """A value as text; equal numbers give equal texts."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_canonical(value[key])}' for key in sorted(value))}}}"
    return json.dumps(value, default=str)


@lru_cache(maxsize=100_000)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "big")


def _leaf_hash(spec: type[BaseModel] | None, key: str, value: Any) -> int:
    """Share of one key in the key of a run; nothing where it repeats the default."""
    name = key.rsplit(".", 1)[-1]
    field = spec.model_fields.get(name) if spec is not None else None
    if field is not None and spec is not None:
        if isinstance(value, str) and name in numeric_fields(spec) and value not in numeric_fields(spec)[name]:
            with contextlib.suppress(ValueError):
                value = read_quantity(name, value)
        if key not in _NO_DEFAULT and not field.is_required() and _canonical(field.default) == _canonical(value):
            return 0
    return _hash(f"{key}={_canonical(value)}")


_scalar_hash = lru_cache(maxsize=100_000, typed=True)(_leaf_hash)


def _table_hash(spec: type[BaseModel] | None, table: Table, prefix: str) -> int:
    """Sum over all keys of a table, so that one of them can be exchanged."""
    total = 0
    for name, value in table.items():
        field = spec.model_fields.get(name) if spec is not None else None
        inner = _inner(field) if field is not None else None
        if isinstance(value, dict) and (inner is not None or field is None):
            total += _table_hash(inner, value, f"{prefix}{name}.")
        else:
            total += _leaf_hash(spec, f"{prefix}{name}", value)
    return total


@dataclass(frozen=True)
class _Leaf:
    """A varied key that can be exchanged."""

    place: int
    part: str
    path: tuple[str, ...]
    spec: type[BaseModel] | None

    @property
    def key(self) -> str:
        return ".".join((self.part, *self.path))


def _put(table: Table, path: Sequence[str], value: Any) -> Table:
    """A copy of a table with another value at the end of a path."""
    first, *rest = path
    return table | {first: _put(table[first], rest, value) if rest else value}


def _changed(spec: Spec, changes: Table) -> Spec:
    """A spec with other values, checked again as far as it changes."""
    given = {name: getattr(spec, name) for name in spec.model_fields_set}
    for name, value in changes.items():
        given[name] = _changed(given[name], value) if isinstance(value, dict) else value
    return type(spec).model_validate(given)


class _Template:
    """Runs that name the same files."""

    def __init__(self, parts: Parts, leaves: Sequence[_Leaf]) -> None:
        self.parts = parts
        self.origins = parts.origins()
        self.leaves = [replace(leaf, spec=self._owner(leaf)) for leaf in leaves]
        cluster: Any = parts.specs["cluster"]
        self.kind: str = cluster.machine
        decides = bool(MACHINES[self.kind].files.training) and any(
            (leaf.part, *leaf.path) in _DECIDES for leaf in leaves
        )
        self.is_shared = not decides and all(map(self._is_there, leaves))
        self._built: dict[str, Any] | None = None
        self._rest = self._hash_of_the_rest()

    def _owner(self, leaf: _Leaf) -> type[BaseModel] | None:
        """The spec that has the key, for runs of this kind."""
        spec: type[BaseModel] | None = self.parts.specs.get(leaf.part)
        for name in leaf.path[:-1]:
            field = spec.model_fields.get(name) if spec is not None else None
            spec = _inner(field) if field is not None else None
        return spec

    def _is_there(self, leaf: _Leaf) -> bool:
        table: Any = self.parts.tables[leaf.part].plain if leaf.part in self.parts.tables else None
        for name in leaf.path:
            if not isinstance(table, dict) or name not in table:
                return False
            table = table[name]
        return not isinstance(table, dict)

    def _hash_of_the_rest(self) -> int:
        is_imported = str(self.parts.model.get("path", "")).endswith(".json")
        total = _hash(f"{self.kind}:{is_imported}:{self.parts.problems}")
        for part, table in self.parts.tables.items():
            total += _table_hash(self.parts.specs[part], table.plain, f"{part}.")
        for leaf in self.leaves if self.is_shared else ():
            value: Any = self.parts.tables[leaf.part].plain
            for name in leaf.path:
                value = value[name]
            total -= _leaf_hash(leaf.spec, leaf.key, value)
        return total

    def key(self, values: Sequence[Any]) -> str:
        """Digest of everything that the run with these values is made of."""
        total = self._rest
        if self.is_shared:
            for leaf in self.leaves:
                total += _scalar_hash(leaf.spec, leaf.key, values[leaf.place])
        return f"{total & _MASK:032x}"

    def run(self, values: Sequence[Any]) -> Run:
        """The run with these values."""
        if not self.is_shared:
            return self.parts.run(self.parts.built(self.parts.tables))
        if self._built is None or self.parts.problems:
            built = self.parts.built(self._tables(values))
            self._built = built
        else:
            built = dict(self._built)
            try:
                for part, changes in self._changes(values).items():
                    built[part] = _changed(built[part], changes)
            except ValidationError:
                self.parts.built(self._tables(values))  # raises, with all problems in one message
                raise
        return self.parts.run(built, self._origins(values))

    def _changes(self, values: Sequence[Any]) -> dict[str, Table]:
        changes: dict[str, Table] = {}
        for leaf in self.leaves:
            inner = changes.setdefault(leaf.part, {})
            for name in leaf.path[:-1]:
                inner = inner.setdefault(name, {})
            inner[leaf.path[-1]] = values[leaf.place]
        return changes

    def _tables(self, values: Sequence[Any]) -> dict[str, Layered]:
        tables = dict(self.parts.tables)
        for leaf in self.leaves:
            old = tables[leaf.part]
            tables[leaf.part] = replace(old, plain=_put(old.plain, leaf.path, values[leaf.place]))
        return tables

    def _origins(self, values: Sequence[Any]) -> dict[str, Origin]:
        origins = dict(self.origins)
        for leaf in self.leaves:
            if leaf.key in origins:
                origins[leaf.key] = replace(origins[leaf.key], value=values[leaf.place])
        return origins


class Variations:
    """A run whose settings vary.

    Parameters
    ----------
    raw, folder, place
        Table of the run file, its folder, and how messages name it.
    settings
        Overrides that all runs share, as ``"cluster.num_systems=64"``.
    keys
        Dotted keys that vary, each over values as `parse_setting` reads them.

    Examples
    --------
    >>> runs = Variations.of("andromeda_13b", ["cluster.name=cs2"], ["cluster.num_systems"])
    >>> runs.run([8]).cluster.num_systems
    8
    >>> runs.key([8]) == runs.key([8.0]), runs.key([8]) == runs.key([4])
    (True, False)
    """

    def __init__(
        self, raw: Layered, folder: Path, place: str, settings: Sequence[str] = (), keys: Sequence[str] = ()
    ) -> None:
        self.raw, self.folder, self.place, self.settings, self.keys = raw, folder, place, tuple(settings), tuple(keys)
        self._fixed = [parse_setting(text) for text in settings]
        self._paths = [parse_setting(f"{key}=0")[0] for key in keys]
        self._are_leaves = [_is_leaf(path) for path in self._paths]
        self._templates: dict[tuple[Any, ...], _Template | InputError] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Variations, (self.raw, self.folder, self.place, self.settings, self.keys)

    @classmethod
    def of(cls, word: str | Path | Table, settings: Sequence[str] = (), keys: Sequence[str] = ()) -> Variations:
        """Variations of a run file, a catalogue run, or nested dicts as a run file would hold them."""
        if isinstance(word, dict):
            return cls(layer(word, "run"), Path(), "run", settings, keys)
        return cls(*layered_run(word), settings, keys)

    def run(self, values: Sequence[Any]) -> Run:
        """The run with these values of `keys`, as `load_any` builds it.

        Raises
        ------
        wsesim.errors.InputError
            As `load_any`.
        """
        return self._template(values).run(values)

    def key(self, values: Sequence[Any]) -> str:
        """Digest of what the run is made of: equal for equal content, whatever files or settings it comes from."""
        return self.about(values)[0]

    def about(self, values: Sequence[Any]) -> tuple[str, str | None, int]:
        """Key of a run, name of its kind of machine, and a number that runs which name the same files have in common.

        The kind is None where the files already contradict each other.
        """
        try:
            found = self._template(values)
        except InputError as error:
            return f"{_hash(f'refused:{error}'):032x}", None, 0
        return found.key(values), found.kind, id(found.parts) if found.is_shared else 0

    def shape(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Equal for runs that name the same files."""
        return tuple(
            type(value) in (int, float) or bool(unwrap({path[-1]: value}, "", {})[1])
            if is_leaf and isinstance(value, int | float | str)
            else f"{type(value).__name__}:{value!r}"
            for path, is_leaf, value in zip(self._paths, self._are_leaves, values, strict=True)
        )

    def _template(self, values: Sequence[Any]) -> _Template:
        shape = self.shape(values)
        found = self._templates.get(shape)
        if found is None:
            try:
                found = self._new_template(values, shape)
            except InputError as error:
                found = error.with_traceback(None)
            if isinstance(found, InputError) or found.is_shared:
                self._templates[shape] = found
        if isinstance(found, InputError):
            raise type(found)(str(found))
        return found

    def _new_template(self, values: Sequence[Any], shape: tuple[Any, ...]) -> _Template:
        varied: list[Setting] = list(zip(self._paths, values, strict=True))
        leaves = [
            _Leaf(place, path[0], tuple(path[1:]), None)
            for place, (path, kind) in enumerate(zip(self._paths, shape, strict=True))
            if isinstance(kind, bool)
        ]
        return _Template(parts_of(self.raw, self.folder, self.place, [*self._fixed, *varied]), leaves)

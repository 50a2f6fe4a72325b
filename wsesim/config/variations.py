"""Many runs that differ in a few settings.

Each is the run that `wsesim.config.loader.load_any` builds from the same settings: names and files are followed to `Parts`,
and these are built. What is here besides is for speed alone: a sweep of 10,000 points would spend 15 s on reading the same
files. Parts are followed once for all numbers at the same keys, and of a run that was built only the specs around these are
checked again, in a fifteenth of the time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from wsesim.config.layering import Layered, Table, layer, layered_run
from wsesim.config.loader import Parts, parts_of
from wsesim.config.run import Run, Setting, parse_setting, settings_table
from wsesim.config.spec import Spec, numeric_fields, of_other_kinds, spec_at, table_of
from wsesim.errors import ConfigError, InputError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.units import read_quantity

MOST_KEPT = 256
"""Combinations of names and words whose files stay followed. [-]"""
_NO_DEFAULT = {"training.tokens", "training.steps"}
"""Keys that say something even where they repeat the default: one of them must not stand beside the other."""

# What a key of a setting may be.


def _keys_of(spec: type[BaseModel], prefix: str) -> Iterator[str]:
    """Every dotted key below a spec."""
    for name, field in spec.model_fields.items():
        yield f"{prefix}{name}"
        inner = table_of(field)
        if inner is not None:
            yield from _keys_of(inner, f"{prefix}{name}.")


def _is_known(parts: Sequence[str], known: Iterable[str], specs: dict[str, type[Spec]]) -> bool:
    """Whether a key is there; any is below a mapping, such as the releases of a calibration, and `extends` below a table."""
    key, above = ".".join(parts), ".".join(parts[:-1])
    if key in ("name", "model.path") or key in known:
        return True
    if above in specs:
        return parts[-1] == "extends"
    field = spec_at(specs[parts[0]], parts[1:-1]).model_fields.get(parts[-2]) if above in known else None
    return field is not None and (
        get_origin(field.annotation) is dict or (parts[-1] == "extends" and table_of(field) is not None)
    )


def check_key(key: str, kinds: Iterable[str]) -> None:
    """Refuse a key that no run on these kinds of machines has, and name the nearest.

    Examples
    --------
    >>> check_key("cluster.num_system", ["wafer"])
    Traceback (most recent call last):
    wsesim.errors.ConfigError: --vary cluster.num_system: is not a known key; did you mean cluster.num_systems?
    """
    parts, known = parse_setting(f"{key}=0")[0], dict[str, None]()
    for kind in sorted(set(kinds)):
        specs = MACHINES[kind].files.tables
        own = dict.fromkeys(name for part, spec in specs.items() for name in (part, *_keys_of(spec, f"{part}.")))
        if _is_known(parts, own, specs):
            return
        known |= {name: None for name in own if name not in specs}
    last = of_other_kinds(parts[-1]) or {parts[-1]}
    same_end = [name for name in known if name.rsplit(".", 1)[-1] in last]
    hint = f"; did you mean {same_end[0]}?" if same_end else did_you_mean(key, known)
    hint = hint or "; `wsesim explain NAME` shows the keys of a system or cluster, docs/configuration.md all of them"
    raise ConfigError(f"--vary {key}: is not a known key{hint}")


def _holds_number(parts: Sequence[str]) -> bool:
    """Whether a key is of a number that says nothing of other tables."""
    tables = [one.files.tables for one in MACHINES.known]
    elsewhere = {below for one in MACHINES.known for below in one.files.from_cluster.values()}
    if len(parts) < 2 or (parts[0] == "cluster" and parts[1] in elsewhere):
        return False  # such a table of a cluster lies below another part of the run
    owners = [spec_at(specs[parts[0]], parts[1:]) for specs in tables if parts[0] in specs]
    return any(parts[-1] in numeric_fields(owner) for owner in owners)


# The key of a run in a ledger: a digest of what its tables say, equal for equal content.


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


def _share(spec: type[BaseModel] | None, key: str, value: Any) -> int:
    """Share of one key in the key of a run; nothing where it repeats the default."""
    name = key.rsplit(".", 1)[-1]
    field = spec.model_fields.get(name) if spec is not None else None
    if field is not None and spec is not None:
        numeric = numeric_fields(spec)
        if isinstance(value, str) and name in numeric and value not in numeric[name]:
            with contextlib.suppress(ValueError):
                value = read_quantity(name, value)
        if key not in _NO_DEFAULT and not field.is_required() and _canonical(field.default) == _canonical(value):
            return 0
    return _hash(f"{key}={_canonical(value)}")


_share_of_number = lru_cache(maxsize=100_000, typed=True)(_share)


def _shares(spec: type[BaseModel] | None, table: Table, prefix: str) -> Iterator[tuple[str, int]]:
    """Share of every key of a table. They add up, so that numbers may be exchanged."""
    for name, value in table.items():
        field = spec.model_fields.get(name) if spec is not None else None
        inner = table_of(field) if field is not None else None
        if isinstance(value, dict) and (inner is not None or field is None):
            yield from _shares(inner, value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _share(spec, f"{prefix}{name}", value)


# Runs whose numbers differ.


def _changed(spec: Spec, changes: Table) -> Spec:
    """A spec with other numbers, checked again as far as it changes."""
    given = {name: getattr(spec, name) for name in spec.model_fields_set}
    for name, value in changes.items():
        given[name] = _changed(given[name], value) if isinstance(value, dict) else value
    return type(spec).model_validate(given)


class _Followed:
    """Runs of the same parts but for numbers, by their places among the values; of those that were built, specs stay."""

    def __init__(self, parts: Parts, numbers: dict[int, list[str]]) -> None:
        self.parts, self.origins = parts, parts.origins()
        self.is_shared = all(map(parts.takes_another, numbers.values()))
        self.numbers = numbers if self.is_shared else {}
        self._specs: dict[str, Any] | None = None
        self._keys = {place: ".".join(path) for place, path in self.numbers.items()}
        self._owners = {place: spec_at(parts.specs[part], path) for place, (part, *path) in self.numbers.items()}
        shares = (
            one for part, spec in parts.specs.items() for one in _shares(spec, parts.tables[part].plain, f"{part}.")
        )
        is_imported = str(parts.model.get("path", "")).endswith(".json")
        self._rest = _hash(f"{parts.kind}:{is_imported}:{parts.problems}")
        self._rest += sum(share for key, share in shares if key not in self._keys.values())

    def key(self, values: Sequence[Any]) -> str:
        """Digest of everything that the run with these values is made of."""
        own = sum(_share_of_number(self._owners[place], key, values[place]) for place, key in self._keys.items())
        return f"{(self._rest + own) % (1 << 128):032x}"

    def run(self, values: Sequence[Any]) -> Run:
        """The run with these values."""
        changes = settings_table((path, values[place]) for place, path in self.numbers.items())
        if self._specs is None or self.parts.problems:
            parts = self.parts.with_numbers(changes)
            self._specs = parts.built()
            return parts.run(self._specs)
        try:
            changed = {part: _changed(self._specs[part], inner) for part, inner in changes.items()}
        except ValidationError:
            return self.parts.with_numbers(changes).run()  # raises, with all problems in one message
        origins = dict(self.origins)
        for place, key in self._keys.items():
            origins[key] = replace(origins[key], value=values[place])
        return self.parts.run(self._specs | changed, origins)


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
        self._hold_numbers = [_holds_number(path) for path in self._paths]
        self._kept: dict[tuple[str | None, ...], _Followed | InputError] = {}

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
        return self._followed(values).run(values)

    def key(self, values: Sequence[Any]) -> str:
        """Digest of what the run is made of: equal for equal content, whatever files or settings it comes from."""
        return self.about(values)[0]

    def about(self, values: Sequence[Any]) -> tuple[str, str | None, int]:
        """Key of a run, name of its kind of machine, and a number that runs which name the same files have in common.

        The kind is None where the files already contradict each other.
        """
        try:
            found = self._followed(values)
        except InputError as error:
            return f"{_hash(f'refused:{error}'):032x}", None, 0
        return found.key(values), found.parts.kind, id(found.parts) if found.is_shared else 0

    def _followed(self, values: Sequence[Any]) -> _Followed:
        """Parts of the run with these values: those of another one, where only numbers differ."""
        are_numbers = [
            holds_number and type(value) in (int, float)
            for value, holds_number in zip(values, self._hold_numbers, strict=True)
        ]
        words = tuple(None if is_number else repr(value) for value, is_number in zip(values, are_numbers, strict=True))
        found = self._kept.get(words)
        if found is None:
            settings: list[Setting] = [*self._fixed, *zip(self._paths, values, strict=True)]
            numbers = {place: self._paths[place] for place, is_number in enumerate(are_numbers) if is_number}
            try:
                found = _Followed(parts_of(self.raw, self.folder, self.place, settings), numbers)
            except InputError as error:
                found = error.with_traceback(None)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            if isinstance(found, InputError) or found.is_shared:
                self._kept[words] = found
        if isinstance(found, InputError):
            raise type(found)(str(found))
        return found

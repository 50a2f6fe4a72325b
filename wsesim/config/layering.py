"""Tables of several files, laid over each other: names, `extends` and file names are followed, origins kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.config import catalogue
from wsesim.config.spec import Origin, place_of, unwrap
from wsesim.config.training import BATCH_KEYS
from wsesim.errors import ConfigError
from wsesim.plugins import MACHINES

if TYPE_CHECKING:
    from wsesim.config.importers.section import Imported

# Tables of several files, laid over each other: names, `extends` and file names are followed, origins kept.


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

    def with_numbers(self, changes: Table) -> Layered:
        """The same table with numbers in place of those that it has, and of their origins."""
        plain = merge(self.plain, changes)
        origins = {
            key: replace(one, value=_at(plain, key)) for key, one in self.origins.items() if key in leaves(changes)
        }
        return replace(self, plain=plain, origins=self.origins | origins)

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


def _at(table: Table, key: str) -> Any:
    """The value of a dotted key."""
    return reduce(lambda inner, name: inner[name], key.split("."), table)


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


# Tables of a run over what they name: entries of the catalogue, .toml files, and models of other tools.


_SHAPE = frozenset({"num_layers", "hidden_size", "num_attention_heads", "vocab_size"})
"""A table with one of these describes a model of its own where the catalogue does not know its name."""


def machine_table(table: Layered, folder: Path, prefix: str = "") -> Layered:
    """A system or GPU file with its calibration in place."""
    return nested(table, "calibration", "calibrations", folder, prefix)


def _with_machine(base: Layered, own: Layered, folder: Path, key: str) -> Layered:
    """A cluster table whose `system` or `gpu` is a whole table; a name in `own` picks another one."""
    named = own.plain.get(key)
    if isinstance(named, str):
        places = {key: own.place_of(key, "")}
        base = Layered(base.plain | {key: named}, base.origins, base.places | places)
    base = nested(base, key, NAMED[key], folder, "cluster.")
    if not isinstance(base.plain.get(key), dict):
        return base
    return put(base, key, machine_table(sub(base, key), folder, f"cluster.{key}."))


def _own_machine(own: Layered, folder: Path, key: str) -> Layered:
    """What a run file says of its `system` or `gpu` itself; a mere name went into the table below."""
    machine = own.plain.get(key)
    if isinstance(machine, str):
        return own.without(key)
    if isinstance(machine, dict) and ("extends" in machine or isinstance(machine.get("calibration"), str)):
        filled = nested(own, key, NAMED[key], folder, "cluster.")
        return put(filled, key, machine_table(sub(filled, key), folder, f"cluster.{key}."))
    return own


def cluster_table(own: Layered, folder: Path, place: str) -> Layered:
    """The ``[cluster]`` table laid over the catalogue entry it names."""
    name = own.plain.get("name")
    base = Layered({})
    known = catalogue.names("clusters")
    where = f"{own.place_of('name', place)}: cluster.name"
    if name is None:
        raise ConfigError(f"{place}: cluster.name is missing; name one of {', '.join(known)}")
    if not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write one of {', '.join(known)} in quotes")
    if name not in known:
        MACHINES.load_others()
    if name in known or not any(one.files.whole <= own.plain.keys() for one in MACHINES.known):
        base = layered("clusters", resolve("clusters", name, folder, where))
        own = own.without("name")
    keys = [one.files.key for one in MACHINES.known]
    for key in keys:
        base = _with_machine(base, own, folder, key)
        own = _own_machine(own, folder, key)
    if "software_profile" in own.plain:
        base = base.without("software")
    table = own.over(base)
    named = [key for key in keys if key in table.plain]
    if len(named) > 1:
        first, second = named[:2]
        raise ConfigError(
            f"{table.place_of(second, place)}: cluster.{second} stands beside cluster.{first}, and a cluster is built of one "
            "of them; drop the other, or name a cluster of the kind that you want"
        )
    complete = next((one.files.complete for one in MACHINES.known if one.files.key in named), None)
    return table if complete is None else complete(table, folder, place)


def import_model(path: Path, where: str, given: Iterable[str] = ()) -> Imported:
    """What a foreign file says; `given` are fields of the model that it is not asked for."""
    from wsesim.config.importers.huggingface import read_huggingface
    from wsesim.config.importers.megatron import SUFFIXES, read_megatron
    from wsesim.config.importers.modelzoo import read_modelzoo

    if path.suffix == ".json":
        return read_huggingface(path, given)
    if path.suffix in (".yaml", ".yml"):
        return read_modelzoo(path, given)
    if path.suffix in SUFFIXES:
        return read_megatron(path, given)
    raise ConfigError(
        f"{where} is {catalogue.shown(path)!r}, which ends in {path.suffix}; give a Hugging Face config.json, a Model Zoo "
        "params.yaml, or arguments of Megatron-LM in a .txt or .sh"
    )


IN_FOLDERS = ("config.json", "params.json", "params.yaml")


def model_file(path: Path, where: str) -> Path:
    """The model's file in a folder, as people download them; any other path as it is."""
    if not path.is_dir():
        return path
    found = next((path / name for name in IN_FOLDERS if (path / name).is_file()), None)
    if found is None:
        raise ConfigError(
            f"{where} is a folder without {', '.join(IN_FOLDERS[:-1])} or {IN_FOLDERS[-1]}; name a file in it"
        )
    return found


class Along(NamedTuple):
    """What came with a model beside its own fields.

    Attributes
    ----------
    training, cluster
        Fields of these tables.
    notes
        How it was understood.
    longest_sequence
        Tokens that the model takes, where nothing says how many it is trained with. [-]
    parallelism
        Of a GPU run.
    """

    training: Layered
    cluster: Table
    notes: tuple[str, ...] = ()
    longest_sequence: int | None = None
    parallelism: Layered = Layered({})


def _imported(own: Layered, word: Any, folder: Path, where: str) -> tuple[Layered, Along]:
    if not isinstance(word, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}; write the path of a file")
    path = model_file(existing(word, folder, where), where)
    imported = import_model(path, where, own.plain)
    read = {"status": "user", "source": path.name}
    base = layer({**imported.model, **read}, catalogue.shown(path))
    given = layer({**imported.training, **read}, catalogue.shown(path))
    plan = layer({**imported.parallelism, **read} if imported.parallelism else {}, catalogue.shown(path))
    along = Along(given, imported.cluster, imported.notes, imported.longest_sequence, plan)
    return own.without("path").over(base), along


_DEFAULTS = {
    "position_embedding": "learned positions",
    "normalization": "layer norm",
    "tie_embeddings": "tied embeddings",
    "gated_mlp": "an MLP of two matrices",
    "intermediate_size": "4 times as wide as the model",
}


def _inline(own: Layered, place: str) -> tuple[Layered, Along]:
    """A model whose shape stands in the run file: a name is not needed, and what it leaves out is as GPT-2 has it."""
    if "name" not in own.plain and not _SHAPE.isdisjoint(own.plain):
        own = replace(own, plain={"name": Path(place).stem or "model"} | own.plain)
    left_out = [words for key, words in _DEFAULTS.items() if key not in own.plain]
    is_shape = own.plain.keys() >= _SHAPE and own.plain.get("causal", True) is True
    notes = (
        (f"[model] does not say, and was taken as in GPT-2: {', '.join(left_out)}",) if left_out and is_shape else ()
    )
    return own, Along(Layered({}), {}, notes)


def names_model(name: str, table: Table) -> bool:
    """Whether the name in a ``[model]`` table is that of something to be read, not what a shape of its own is called.

    Examples
    --------
    >>> names_model("gpt2", {}), names_model("mine", {"num_layers": 4, "hidden_size": 64})
    (True, False)
    """
    return name in catalogue.names("models") or name.endswith(".toml") or _SHAPE.isdisjoint(table)


def model_table(own: Layered, folder: Path, place: str) -> tuple[Layered, Along]:
    """The ``[model]`` table laid over what it names, and what came with it."""
    if "path" in own.plain:
        return _imported(own, own.plain["path"], folder, f"{own.place_of('path', place)}: model.path")
    name = own.plain.get("name")
    where = f"{own.place_of('name', place)}: model.name"
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write a name in quotes")
    if name is not None and names_model(name, own.plain):
        base = layered("models", resolve("models", name, folder, where))
        return own.without("name").over(base), Along(Layered({}), {})
    return _inline(own, place)


# Where a run file lies, and the run files that it extends.


def run_path(word: str | Path, where: str = "") -> Path:
    """The file that a command line names: a path, or the name of a catalogue run."""
    path = Path(word)
    if catalogue.exists(path):
        return path
    parts = path.parts
    if "cluster_configs" in parts:
        inside = catalogue.root().joinpath(*parts[parts.index("cluster_configs") + 1 :])
        return next((one for one in (inside, inside.with_name(f"{inside.name}.toml")) if catalogue.exists(one)), path)
    if len(parts) == 1 and path.suffix != ".toml":
        return catalogue.find("runs", path.name, where)
    return path


def layered_run(word: str | Path) -> tuple[Layered, Path, str]:
    """Table of a run file over the runs it extends, its folder, and how messages name it."""
    path = run_path(word)
    return extending(path, _below), path.parent, catalogue.shown(path)


def _below(word: str, folder: Path, where: str) -> Path:
    """The run that a run file lies over: a path as seen from its folder, or whatever a command line may name."""
    near = folder / word
    return near if catalogue.exists(near) else existing(str(run_path(word, where)), Path(), where)


def run_files(word: str | Path) -> list[Path]:
    """A run file, and those that it extends one after another; of a run that can be read."""
    found = [run_path(word)]
    while (below := extended(found[-1], read(found[-1]), _below)) is not None:
        found.append(below)
    return found

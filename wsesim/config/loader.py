"""Files -> one frozen `Run`: follows names, `extends` and overrides, and keeps every number's origin."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.cluster import ClusterSpec
from wsesim.config.model import ModelSpec
from wsesim.config.problems import describe, place_of
from wsesim.config.provenance import Origin, unwrap
from wsesim.config.spec import Spec
from wsesim.config.system import CalibrationSpec, SystemSpec
from wsesim.config.training import TrainingSpec
from wsesim.errors import ConfigError, did_you_mean

SpecT = TypeVar("SpecT", bound=Spec)
Table = dict[str, Any]
_DEEPEST_EXTENDS = 10
_DEEPEST_KEY = 20
_LONGEST_NAME = 200
_INSTEAD = {"tokens": "steps", "steps": "tokens"}
"""Keys that take each other's place: a file that sets one overrides the other in the files below it."""


@dataclass(frozen=True)
class Run:
    """What every command takes: a model, how it is trained, and on what."""

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: ClusterSpec
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""

    def on(self, num_systems: int, global_batch_size: int | None = None) -> Run:
        """The same run on another number of identical systems, and with another batch."""
        cluster = self.cluster.model_copy(update={"num_systems": num_systems, "exceptions": ()})
        batch = global_batch_size or self.training.global_batch_size
        training = self.training.model_copy(update={"global_batch_size": batch})
        return replace(self, cluster=cluster, training=training)


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
        merged = _merge(_without_replaced(base.plain, self.plain), self.plain)
        kept = _leaves(merged) - _leaves(self.plain)
        return Layered(
            merged,
            {key: origin for key, origin in base.origins.items() if key in kept} | self.origins,
            {key: place for key, place in base.places.items() if key in kept} | self.places,
        )

    def without(self, key: str) -> Layered:
        """The same table without one key."""
        return replace(self, plain={name: value for name, value in self.plain.items() if name != key})

    def place_of(self, key: str, otherwise: str) -> str:
        """File or option that a key was read from."""
        return place_of(key, self.places, otherwise)


def _merge(base: Table, top: Table) -> Table:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        if key in ("system", "calibration") and isinstance(old, str) and isinstance(value, dict):
            old = {"extends": old}  # keys of the entry that is named, not another one
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _without_replaced(base: Table, top: Table) -> Table:
    """A table without what the one above it says in other words."""
    kept = {key: value for key, value in base.items() if key in top or _INSTEAD.get(key) not in top}
    for key, value in kept.items():
        above = top.get(key)
        if isinstance(value, dict) and isinstance(above, dict):
            kept[key] = _without_replaced(value, above)
    return kept


def _leaves(table: Table, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}"}
    return found


def _layer(raw: Table, place: str, defaults: dict[str, str] | None = None) -> Layered:
    plain, origins = unwrap(raw, place, defaults)
    return Layered(plain, origins, dict.fromkeys(_leaves(plain), place))


def _anchored(table: Table, folder: Path, parent: str = "") -> Table:
    """A table whose file names are good from everywhere: a file names others as seen from its own folder."""
    anchored: Table = {}
    for key, value in table.items():
        names_file = key in ("system", "calibration", "extends") or (
            key in ("name", "path") and parent in ("model", "cluster")
        )
        if isinstance(value, dict):
            anchored[key] = _anchored(value, folder, key)
        elif names_file and isinstance(value, str) and Path(value).suffix and catalogue.exists(folder / value):
            anchored[key] = str((folder / value).resolve())
        else:
            anchored[key] = value
    return anchored


def _read(path: Path) -> Layered:
    own = _layer(catalogue.read_toml(path), catalogue.shown(path))
    return replace(own, plain=_anchored(own.plain, path.parent))


def _resolve(kind: str, word: str, folder: Path, where: str) -> Path:
    """A word in a file: a path if it ends in .toml, else a catalogue name. `where` names the key, for messages."""
    if not word.endswith(".toml"):
        return catalogue.find(kind, word, where)
    return _existing(word, folder, where)


def _existing(word: str, folder: Path, where: str) -> Path:
    """A file that another one names, as seen from that one's folder or from the working directory."""
    near = folder / word
    path = near if catalogue.exists(near) else Path(word)
    if where and not catalogue.exists(path):
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}, but there is no such file; check the path")
    return path


def _layered(kind: str, path: Path, depth: int = 0) -> Layered:
    """A file laid over what it `extends`."""
    if depth > _DEEPEST_EXTENDS:
        raise ConfigError(
            f"{catalogue.shown(path)}: extends goes in a circle, or more than {_DEEPEST_EXTENDS} files deep; break it"
        )
    own = _read(path)
    below = own.plain.pop("extends", None)
    if below is None:
        return own
    if not isinstance(below, str):
        raise ConfigError(
            f"{catalogue.shown(path)}: extends is {catalogue.value_shown(below)}; name one file or catalogue entry"
        )
    return own.over(_layered(kind, _resolve(kind, below, path.parent, f"{catalogue.shown(path)}: extends"), depth + 1))


def _nested(table: Layered, key: str, kind: str, folder: Path, prefix: str) -> Layered:
    """Replace a name under `key` by the table it stands for; `prefix` is the table's own key, for messages."""
    value = table.plain.get(key)
    if isinstance(value, dict) and isinstance(value.get("extends"), str):
        rest = {name: item for name, item in value.items() if name != "extends"}
        places = table.places | {key: table.places.get(f"{key}.extends", table.places.get(key, ""))}
        named = _nested(
            Layered(table.plain | {key: value["extends"]}, table.origins, places), key, kind, folder, prefix
        )
        return Layered({key: rest}, table.origins, table.places).over(named)
    if not isinstance(value, str):
        return table
    place = table.place_of(key, "")
    path = _resolve(kind, value, folder, f"{place}: {prefix}{key}" if place else f"{prefix}{key}")
    return _put(table, key, _layered(kind, path), keep=True)


def _system_table(table: Layered, folder: Path, prefix: str = "") -> Layered:
    """A system file with its calibration in place."""
    return _nested(table, "calibration", "calibrations", folder, prefix)


def _sub(table: Layered, key: str) -> Layered:
    """The table under `key`, with origins and places relative to it."""
    cut, start = len(key) + 1, f"{key}."
    return Layered(
        table.plain[key],
        {name[cut:]: origin for name, origin in table.origins.items() if name.startswith(start)},
        {name[cut:]: place for name, place in table.places.items() if name.startswith(start)},
    )


def _put(table: Layered, key: str, inner: Layered, *, keep: bool = False) -> Layered:
    """The table with another one under `key`; with `keep`, origins that were known under it stay."""
    start = f"{key}."
    return Layered(
        table.plain | {key: inner.plain},
        {name: origin for name, origin in table.origins.items() if keep or not name.startswith(start)}
        | {f"{key}.{name}": origin for name, origin in inner.origins.items()},
        {name: place for name, place in table.places.items() if name != key and (keep or not name.startswith(start))}
        | {f"{key}.{name}": place for name, place in inner.places.items()},
    )


def _with_system(base: Layered, own: Layered, folder: Path) -> Layered:
    """A cluster table whose `system` is a whole table; a name in `own` picks another one."""
    named = own.plain.get("system")
    if isinstance(named, str):
        places = {"system": own.place_of("system", "")}
        base = Layered(base.plain | {"system": named}, base.origins, base.places | places)
    base = _nested(base, "system", "systems", folder, "cluster.")
    if not isinstance(base.plain.get("system"), dict):
        return base
    return _put(base, "system", _system_table(_sub(base, "system"), folder, "cluster.system."))


def _cluster_table(own: Layered, folder: Path, place: str) -> Layered:
    """The ``[cluster]`` table laid over the catalogue entry it names."""
    name = own.plain.get("name")
    base = Layered({})
    known = catalogue.names("clusters")
    where = f"{own.place_of('name', place)}: cluster.name"
    if name is None:
        raise ConfigError(f"{place}: cluster.name is missing; name one of {', '.join(known)}")
    if not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write one of {', '.join(known)} in quotes")
    if name in known or not {"system", "memoryx", "swarmx"} <= own.plain.keys():
        base = _layered("clusters", _resolve("clusters", name, folder, where))
        own = own.without("name")
    base = _with_system(base, own, folder)
    system = own.plain.get("system")
    if isinstance(system, str):
        own = own.without("system")
    elif isinstance(system, dict) and ("extends" in system or isinstance(system.get("calibration"), str)):
        filled = _nested(own, "system", "systems", folder, "cluster.")
        own = _put(filled, "system", _system_table(_sub(filled, "system"), folder, "cluster.system."))
    return own.over(base)


def _import_model(path: Path, where: str) -> tuple[Table, Table]:
    """Model and training fields of a foreign file."""
    from wsesim.config.huggingface import read_huggingface
    from wsesim.config.modelzoo import read_modelzoo

    if path.suffix == ".json":
        return read_huggingface(path), {}
    if path.suffix in (".yaml", ".yml"):
        return read_modelzoo(path)
    raise ConfigError(
        f"{where} is {catalogue.shown(path)!r}, which ends in {path.suffix or 'nothing'}; "
        "give a Hugging Face config.json or a Model Zoo params.yaml"
    )


def _imported(own: Layered, word: Any, folder: Path, where: str) -> tuple[Layered, Layered]:
    if not isinstance(word, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}; write the path of a file")
    path = _existing(word, folder, where)
    model, training = _import_model(path, where)
    read = {"status": "user", "source": path.name}
    base = _layer({"name": path.parent.name + "/" + path.name, **model, **read}, catalogue.shown(path))
    given = _layer({**training, **read}, catalogue.shown(path))
    return own.without("path").over(base), given


def _model_table(own: Layered, folder: Path, place: str) -> tuple[Layered, Layered]:
    """The ``[model]`` table laid over what it names, and training fields that came with it."""
    nothing = Layered({})
    if "path" in own.plain:
        return _imported(own, own.plain["path"], folder, f"{own.place_of('path', place)}: model.path")
    name = own.plain.get("name")
    where = f"{own.place_of('name', place)}: model.name"
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write a name in quotes")
    has_shape = not _SHAPE.isdisjoint(own.plain)
    if name is not None and (name in catalogue.names("models") or name.endswith(".toml") or not has_shape):
        base = _layered("models", _resolve("models", name, folder, where))
        return own.without("name").over(base), nothing
    return own, nothing


_SHAPE = frozenset({"num_layers", "hidden_size", "num_attention_heads", "vocab_size"})
"""A table with one of these describes a model of its own where the catalogue does not know its name."""


def _build(spec: type[SpecT], table: Layered, key: str, place: str) -> SpecT:
    try:
        return spec.model_validate(table.plain)
    except ValidationError as error:
        raise ConfigError(describe(error, spec, key, place, table.places)) from None


def parse_setting(text: str) -> tuple[list[str], Any]:
    """Read ``"cluster.num_systems=64"``; the value is TOML where it can be, else a string.

    Examples
    --------
    >>> parse_setting("cluster.num_systems=64")
    (['cluster', 'num_systems'], 64)
    >>> parse_setting("cluster.memoryx.egress_bytes_per_s=2.4 Tb/s")
    (['cluster', 'memoryx', 'egress_bytes_per_s'], '2.4 Tb/s')
    >>> parse_setting('cluster.system.calibration.releases."2.4"=0.9')
    (['cluster', 'system', 'calibration', 'releases', '2.4'], 0.9)
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    parts = [(quoted or plain).strip().strip("\"'") for quoted, plain in _KEY_PART.findall(key)]
    if not equals or not parts or not all(parts) or len(parts) > _DEEPEST_KEY:
        shown = catalogue.value_shown(text)[1:-1]
        raise ConfigError(f"--set {shown}: is not KEY=VALUE; write for example --set cluster.num_systems=64")
    try:
        read = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return parts, value
    is_text = parts[-1] in ("name", "software_release") and not isinstance(read["value"], list | dict | str)
    return parts, value if is_text or len(read) > 1 else read["value"]


_KEY_PART = re.compile(r"""(?:^|\.)(?:\s*("[^"]*"|'[^']*')\s*(?=\.|$)|([^.]*))""")
"""One part of a dotted key; quotes hold dots together, as in TOML."""


def _settings(texts: Iterable[str]) -> Layered:
    """All ``--set`` options as one table; names come first, so that overrides of what they name stay."""
    table: Table = {}
    for parts, value in sorted(map(parse_setting, texts), key=lambda setting: len(setting[0])):
        nested: Any = value
        for part in reversed(parts):
            nested = {part: nested}
        table = _merge(table, nested)
    return _layer(table, "--set", {})


_RUN_KEYS = ("name", "model", "training", "cluster")


def _check_tables(table: Layered, otherwise: str) -> None:
    plain = table.plain
    for key in plain:
        place = table.place_of(key, otherwise)
        if key == "parallelism":
            raise ConfigError(
                f"{place}: parallelism is for GPU clusters, which this version does not simulate; "
                "a wafer-scale cluster is data parallel only, remove the table"
            )
        if key not in _RUN_KEYS:
            hint = did_you_mean(key, _RUN_KEYS) or f"; a run has {', '.join(_RUN_KEYS)}"
            raise ConfigError(f"{place}: {key} is not a known key{hint}")
    for key in ("model", "training", "cluster"):
        if not isinstance(plain.get(key, {}), dict):
            place, value = table.place_of(key, otherwise), catalogue.value_shown(plain[key])
            raise ConfigError(f"{place}: {key} is {value}; write it as a table, [{key}]")
    for key in ("model", "cluster"):
        if key not in plain:
            raise ConfigError(f"{otherwise}: the table [{key}] is missing; add it with at least a name")
    name = plain.get("name", "a name")
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        place, value = table.place_of("name", otherwise), catalogue.value_shown(name)
        raise ConfigError(f"{place}: name is {value}; write a text of 1 to {_LONGEST_NAME} printable characters")


def _as_user(origins: dict[str, Origin], place: str) -> dict[str, Origin]:
    return {
        key: origin if origin.status else replace(origin, status="user", source=origin.source or origin.place or place)
        for key, origin in origins.items()
    }


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


def load(word: str | Path, settings: Iterable[str] = ()) -> Run:
    """Read a run file.

    Parameters
    ----------
    word
        Path of a run file, or the name of a catalogue run.
    settings
        Overrides such as ``"cluster.num_systems=64"``.

    Returns
    -------
    Run
        Frozen; every number's origin lies beside it.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.

    Examples
    --------
    >>> load("andromeda_13b").cluster.num_systems
    12
    """
    path = run_path(word)
    return _assemble(_layered_run(path), path.parent, catalogue.shown(path), settings)


def _layered_run(path: Path, depth: int = 0) -> Layered:
    """A run file laid over the runs it extends."""
    if depth > _DEEPEST_EXTENDS:
        raise ConfigError(
            f"{catalogue.shown(path)}: extends goes in a circle, or more than {_DEEPEST_EXTENDS} files deep; break it"
        )
    own = _read(path)
    below = own.plain.pop("extends", None)
    if below is None:
        return own
    where = f"{catalogue.shown(path)}: extends"
    if not isinstance(below, str) or not below:
        raise ConfigError(f"{where} is {catalogue.value_shown(below)}; name one run")
    near = path.parent / below
    found = near if catalogue.exists(near) else _existing(str(run_path(below, where)), Path(), where)
    return own.over(_layered_run(found, depth + 1))


def _with_masked_positions(model: ModelSpec, training: TrainingSpec, own: Table) -> ModelSpec:
    """An imported encoder predicts its share of the sequence that is trained on, unless the file says otherwise."""
    if not str(own.get("path", "")).endswith(".json") or "masked_positions" in own or not model.masked_positions:
        return model
    from wsesim.config.huggingface import MASKED_SHARE

    return model.model_copy(update={"masked_positions": max(1, round(MASKED_SHARE * training.sequence_length))})


def from_table(raw: Table, folder: Path | None = None, place: str = "run", settings: Iterable[str] = ()) -> Run:
    """Build a run from nested dicts, as a run file would hold them."""
    return _assemble(_layer(raw, place), folder or Path(), place, settings)


def _assemble(raw: Layered, folder: Path, place: str, settings: Iterable[str]) -> Run:
    """Build a run from the table of its file, with all problems of the file in one message."""
    table = _settings(settings).over(raw)
    _check_tables(table, place)
    table.plain.setdefault("training", {})
    table = replace(table, origins=_as_user(table.origins, place))
    model_table, given = _model_table(_sub(table, "model"), folder, place)
    own_cluster = _sub(table, "cluster")
    num_systems = given.plain.pop("num_systems", None)
    if num_systems is not None:
        own_cluster.plain.setdefault("num_systems", num_systems)
    tables = {
        "model": model_table,
        "training": _sub(table, "training").over(given),
        "cluster": _cluster_table(own_cluster, folder, place),
    }
    model, training, cluster = _build_all(tables, place)
    model = _with_masked_positions(model, training, table.plain["model"])
    origins = {f"{key}.{name}": origin for key, part in tables.items() for name, origin in part.origins.items()}
    name = table.plain.get("name", f"{model.name} on {cluster.name}")
    return Run(name, model, training, cluster, origins, place)


def _build_all(tables: dict[str, Layered], place: str) -> tuple[ModelSpec, TrainingSpec, ClusterSpec]:
    """The three parts of a run; the problems of all of them come together."""
    specs: dict[str, type[Spec]] = {"model": ModelSpec, "training": TrainingSpec, "cluster": ClusterSpec}
    built: dict[str, Any] = {}
    problems: list[str] = []
    for key, spec in specs.items():
        try:
            built[key] = _build(spec, tables[key], key, place)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return built["model"], built["training"], built["cluster"]


@lru_cache(maxsize=256)
def load_model(name: str) -> ModelSpec:
    """A model of the catalogue."""
    return _entry("models", name, ModelSpec)


def load_system(name: str, folder: Path | None = None, where: str = "") -> tuple[SystemSpec, dict[str, Origin]]:
    """A system of the catalogue or of a file, and its numbers' origins."""
    path = _resolve("systems", name, folder or Path(), where)
    table = _system_table(_layered("systems", path), path.parent)
    return _build(SystemSpec, table, "system", catalogue.shown(path)), table.origins


def load_calibration(word: str) -> CalibrationSpec:
    """A calibration of the catalogue or of a file."""
    path = _resolve("calibrations", word, Path(), "--calibration")
    return _build(CalibrationSpec, _layered("calibrations", path), "calibration", catalogue.shown(path))


def load_cluster(name: str) -> tuple[ClusterSpec, dict[str, Origin]]:
    """A cluster of the catalogue, and its numbers' origins."""
    table = _cluster_table(Layered({"name": name}), Path(), "cluster")
    return _build(ClusterSpec, table, "cluster", f"cluster_configs/clusters/{name}.toml"), table.origins


def _entry(kind: str, name: str, spec: type[SpecT]) -> SpecT:
    path = catalogue.find(kind, name)
    return _build(spec, _layered(kind, path), kind, catalogue.shown(path))


def origins_of(kind: str, name: str) -> dict[str, Origin]:
    """Every number of a catalogue entry, for `wsesim explain`."""
    readers: dict[str, Callable[[], dict[str, Origin]]] = {
        "systems": lambda: load_system(name)[1],
        "clusters": lambda: load_cluster(name)[1],
        "models": lambda: _layered("models", catalogue.find("models", name)).origins,
        "calibrations": lambda: _layered("calibrations", catalogue.find("calibrations", name)).origins,
        "runs": lambda: load(name).origins,
    }
    return readers[kind]()


@lru_cache(maxsize=256)
def release_key(release: str, where: str = "cluster.software_release") -> tuple[int, ...]:
    """A software release as numbers that can be compared; "R2.0.3" and "2.0.3" are the same.

    Raises
    ------
    ConfigError
        Not a release.
    """
    match = re.fullmatch(r"[rR]?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})", release.strip())
    if match is None:
        raise ConfigError(f'{where} is {catalogue.value_shown(release)}; write a release such as "2.1"')
    return tuple(int(part) for part in match[1].split("."))

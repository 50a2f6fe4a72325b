"""Files -> one frozen `Run`: follows names, `extends` and overrides, and keeps every number's origin."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.cluster import ClusterSpec
from wsesim.config.model import ModelSpec
from wsesim.config.problems import describe
from wsesim.config.provenance import Origin, unwrap
from wsesim.config.spec import Spec
from wsesim.config.system import SystemSpec
from wsesim.config.training import TrainingSpec
from wsesim.errors import ConfigError, did_you_mean

SpecT = TypeVar("SpecT", bound=Spec)
Table = dict[str, Any]
_DEEPEST_EXTENDS = 10


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
    """A table put together from several files: plain values, and where each number comes from."""

    plain: Table
    origins: dict[str, Origin]

    def over(self, base: Layered) -> Layered:
        """Lay this table over another; nested tables merge, everything else replaces."""
        merged = _merge(base.plain, self.plain)
        kept = {key: origin for key, origin in base.origins.items() if key not in _leaves(self.plain)}
        return Layered(merged, kept | self.origins)


def _merge(base: Table, top: Table) -> Table:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _leaves(table: Table, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


def _read(path: Path) -> Layered:
    return Layered(*unwrap(catalogue.read_toml(path), catalogue.shown(path)))


def _resolve(kind: str, word: str, folder: Path) -> Path:
    """A word in a file: a path if it ends in .toml, else a catalogue name."""
    if not word.endswith(".toml"):
        return catalogue.find(kind, word)
    near = folder / word
    return near if near.exists() else Path(word)


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
        raise ConfigError(f"{catalogue.shown(path)}: extends is {below!r}; name one file or catalogue entry")
    return own.over(_layered(kind, _resolve(kind, below, path.parent), depth + 1))


def _nested(table: Layered, key: str, kind: str, folder: Path) -> Layered:
    """Replace a name under `key` by the table it stands for."""
    value = table.plain.get(key)
    if isinstance(value, dict) and isinstance(value.get("extends"), str):
        rest = {name: item for name, item in value.items() if name != "extends"}
        named = _nested(Layered(table.plain | {key: value["extends"]}, table.origins), key, kind, folder)
        return Layered({key: rest}, table.origins).over(named)
    if not isinstance(value, str):
        return table
    inner = _layered(kind, _resolve(kind, value, folder))
    origins = {f"{key}.{name}": origin for name, origin in inner.origins.items()}
    return Layered(table.plain | {key: inner.plain}, table.origins | origins)


def _system_table(table: Layered, folder: Path) -> Layered:
    """A system file with its calibration in place."""
    return _nested(table, "calibration", "calibrations", folder)


def _sub(table: Layered, key: str) -> Layered:
    """The table under `key`, with origins relative to it."""
    cut = len(key) + 1
    origins = {name[cut:]: origin for name, origin in table.origins.items() if name.startswith(f"{key}.")}
    return Layered(table.plain[key], origins)


def _put(table: Layered, key: str, inner: Layered) -> Layered:
    origins = {name: origin for name, origin in table.origins.items() if not name.startswith(f"{key}.")}
    origins |= {f"{key}.{name}": origin for name, origin in inner.origins.items()}
    return Layered(table.plain | {key: inner.plain}, origins)


def _with_system(base: Layered, own: Table, folder: Path) -> Layered:
    """A cluster table whose `system` is a whole table; a name in `own` picks another one."""
    named = own.get("system")
    if isinstance(named, str):
        base = Layered(base.plain | {"system": named}, base.origins)
    base = _nested(base, "system", "systems", folder)
    if not isinstance(base.plain.get("system"), dict):
        return base
    return _put(base, "system", _system_table(_sub(base, "system"), folder))


def _cluster_table(own: Layered, folder: Path, place: str) -> Layered:
    """The ``[cluster]`` table laid over the catalogue entry it names."""
    name = own.plain.get("name")
    base = Layered({}, {})
    if isinstance(name, str) and (name in catalogue.names("clusters") or "memoryx" not in own.plain):
        base = _layered("clusters", _resolve("clusters", name, folder))
        own = Layered({key: value for key, value in own.plain.items() if key != "name"}, own.origins)
    elif name is None:
        raise ConfigError(f"{place}: cluster.name is missing; name one of {', '.join(catalogue.names('clusters'))}")
    base = _with_system(base, own.plain, folder)
    system = own.plain.get("system")
    if isinstance(system, str):
        own = Layered({key: value for key, value in own.plain.items() if key != "system"}, own.origins)
    elif isinstance(system, dict) and ("extends" in system or isinstance(system.get("calibration"), str)):
        filled = _nested(own, "system", "systems", folder)
        own = _put(filled, "system", _system_table(_sub(filled, "system"), folder))
    return own.over(base)


def _import_model(path: Path) -> tuple[Table, Table]:
    """Model and training fields of a foreign file."""
    from wsesim.config.huggingface import read_huggingface
    from wsesim.config.modelzoo import read_modelzoo

    if path.suffix == ".json":
        return read_huggingface(path), {}
    if path.suffix in (".yaml", ".yml"):
        return read_modelzoo(path)
    raise ConfigError(
        f"{path}: model.path ends in {path.suffix or 'nothing'}; give a Hugging Face config.json or a Model Zoo params.yaml"
    )


def _imported(own: Layered, word: Any, folder: Path, place: str) -> tuple[Layered, Layered]:
    if not isinstance(word, str):
        raise ConfigError(f"{place}: model.path is {word!r}; write the path of a file")
    near = folder / word
    path = near if near.exists() else Path(word)
    model, training = _import_model(path)
    rest = Layered({key: value for key, value in own.plain.items() if key != "path"}, own.origins)
    base = Layered(
        *unwrap({"name": path.parent.name + "/" + path.name, **model, "status": "user", "source": path.name}, str(path))
    )
    given = Layered(*unwrap({**training, "status": "user", "source": path.name}, str(path)))
    return rest.over(base), given


def _model_table(own: Layered, folder: Path, place: str) -> tuple[Layered, Layered]:
    """The ``[model]`` table laid over what it names, and training fields that came with it."""
    nothing = Layered({}, {})
    if "path" in own.plain:
        return _imported(own, own.plain["path"], folder, place)
    name = own.plain.get("name")
    if isinstance(name, str) and (name in catalogue.names("models") or len(own.plain) == 1):
        base = _layered("models", _resolve("models", name, folder))
        rest = Layered({key: value for key, value in own.plain.items() if key != "name"}, own.origins)
        return rest.over(base), nothing
    return own, nothing


def _build(spec: type[SpecT], table: Layered, key: str, place: str) -> SpecT:
    try:
        return spec.model_validate(table.plain)
    except ValidationError as error:
        raise ConfigError(describe(error, spec, key, place, table.origins)) from None


def parse_setting(text: str) -> tuple[list[str], Any]:
    """Read ``"cluster.num_systems=64"``; the value is TOML where it can be, else a string.

    Examples
    --------
    >>> parse_setting("cluster.num_systems=64")
    (['cluster', 'num_systems'], 64)
    >>> parse_setting("cluster.memoryx.egress_bytes_per_s=2.4 Tb/s")
    (['cluster', 'memoryx', 'egress_bytes_per_s'], '2.4 Tb/s')
    """
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ConfigError(f"--set {text}: is not KEY=VALUE; write for example --set cluster.num_systems=64")
    try:
        return parts, tomllib.loads(f"value = {value.strip()}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return parts, value.strip()


def _with_settings(table: Table, settings: Iterable[str]) -> Table:
    changed = table
    for text in settings:
        parts, value = parse_setting(text)
        nested: Any = value
        for part in reversed(parts):
            nested = {part: nested}
        changed = _merge(changed, nested)
    return changed


_RUN_KEYS = ("name", "model", "training", "cluster")


def _check_tables(plain: Table, place: str) -> None:
    for key in plain:
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
            raise ConfigError(f"{place}: {key} is {plain[key]!r}; write it as a table, [{key}]")
    for key in ("model", "cluster"):
        if key not in plain:
            raise ConfigError(f"{place}: the table [{key}] is missing; add it with at least a name")


def _as_user(origins: dict[str, Origin], place: str) -> dict[str, Origin]:
    return {
        key: origin if origin.status else replace(origin, status="user", source=origin.source or place)
        for key, origin in origins.items()
    }


def run_path(word: str | Path) -> Path:
    """The file that a command line names: a path, or the name of a catalogue run."""
    path = Path(word)
    if path.suffix == ".toml" and path.exists():
        return path
    if path.suffix == "" and not path.exists():
        return catalogue.find("runs", path.name)
    parts = path.parts
    if "cluster_configs" in parts and not path.exists():
        inside = catalogue.root().joinpath(*parts[parts.index("cluster_configs") + 1 :])
        return inside if inside.exists() else path
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
    return from_table(_layered_raw(path), path.parent, catalogue.shown(path), settings)


def _layered_raw(path: Path, depth: int = 0) -> Table:
    """A run file as a raw table, laid over the runs it extends."""
    if depth > _DEEPEST_EXTENDS:
        raise ConfigError(
            f"{catalogue.shown(path)}: extends goes in a circle, or more than {_DEEPEST_EXTENDS} files deep; break it"
        )
    raw = catalogue.read_toml(path)
    below = raw.pop("extends", None)
    if below is None:
        return raw
    if not isinstance(below, str):
        raise ConfigError(f"{catalogue.shown(path)}: extends is {below!r}; name one run")
    near = path.parent / below
    return _merge(_layered_raw(near if near.exists() else run_path(below), depth + 1), raw)


def _with_masked_positions(model: ModelSpec, training: TrainingSpec, own: Table) -> ModelSpec:
    """An imported encoder predicts its share of the sequence that is trained on, unless the file says otherwise."""
    if not str(own.get("path", "")).endswith(".json") or "masked_positions" in own or not model.masked_positions:
        return model
    from wsesim.config.huggingface import MASKED_SHARE

    return model.model_copy(update={"masked_positions": max(1, round(MASKED_SHARE * training.sequence_length))})


def from_table(raw: Table, folder: Path | None = None, place: str = "run", settings: Iterable[str] = ()) -> Run:
    """Build a run from nested dicts, as a run file would hold them."""
    folder = folder or Path()
    plain, origins = unwrap(_with_settings(raw, settings), place)
    _check_tables(plain, place)
    table = Layered(plain, _as_user(origins, place))
    plain.setdefault("training", {})
    model_table, given = _model_table(_sub(table, "model"), folder, place)
    num_systems = given.plain.pop("num_systems", None)
    model = _build(ModelSpec, model_table, "model", place)
    training_table = _sub(table, "training").over(given)
    training = _build(TrainingSpec, training_table, "training", place)
    model = _with_masked_positions(model, training, plain["model"])
    own_cluster = _sub(table, "cluster")
    if num_systems is not None:
        own_cluster.plain.setdefault("num_systems", num_systems)
    cluster_table = _cluster_table(own_cluster, folder, place)
    cluster = _build(ClusterSpec, cluster_table, "cluster", place)
    all_origins = {
        f"{key}.{name}": origin
        for key, part in (("model", model_table), ("training", training_table), ("cluster", cluster_table))
        for name, origin in part.origins.items()
    }
    name = plain.get("name", f"{model.name} on {cluster.num_systems} x {cluster.system.name}")
    if not isinstance(name, str):
        raise ConfigError(f"{place}: name is {name!r}; write a string")
    return Run(name, model, training, cluster, all_origins, place)


def load_model(name: str) -> ModelSpec:
    """A model of the catalogue."""
    return _entry("models", name, ModelSpec)


def load_system(name: str, folder: Path | None = None) -> tuple[SystemSpec, dict[str, Origin]]:
    """A system of the catalogue or of a file, and its numbers' origins."""
    path = _resolve("systems", name, folder or Path())
    table = _system_table(_layered("systems", path), path.parent)
    return _build(SystemSpec, table, "system", catalogue.shown(path)), table.origins


def load_cluster(name: str) -> tuple[ClusterSpec, dict[str, Origin]]:
    """A cluster of the catalogue, and its numbers' origins."""
    table = _cluster_table(Layered({"name": name}, {}), Path(), "cluster")
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


def release_key(release: str) -> tuple[int, ...]:
    """A software release as numbers that can be compared; "R2.0.3" and "2.0.3" are the same.

    Raises
    ------
    ConfigError
        Not a release.
    """
    match = re.fullmatch(r"[rR]?(\d+(?:\.\d+)*)", release.strip())
    if match is None:
        raise ConfigError(f'cluster.software_release is {release!r}; write a release such as "2.1"')
    return tuple(int(part) for part in match[1].split("."))

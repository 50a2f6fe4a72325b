"""Files -> one frozen `Run` or `GPURun`: follows names and overrides, and keeps every number's origin."""

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
from wsesim.config.gpu import GPUCalibrationSpec, GPUClusterSpec, GPUSpec
from wsesim.config.job import JobSpec
from wsesim.config.layering import (
    DEEPEST_EXTENDS,
    NAMED,
    Layered,
    Table,
    existing,
    layer,
    layered,
    merge,
    nested,
    put,
    read,
    resolve,
    sub,
)
from wsesim.config.model import ModelSpec
from wsesim.config.parallelism import ParallelismSpec
from wsesim.config.problems import describe
from wsesim.config.provenance import Origin
from wsesim.config.spec import Spec
from wsesim.config.system import CalibrationSpec, SystemSpec
from wsesim.config.training import TrainingSpec
from wsesim.errors import ConfigError, did_you_mean

SpecT = TypeVar("SpecT", bound=Spec)
_DEEPEST_KEY = 20
_LONGEST_NAME = 200
_MACHINES = ("system", "gpu")
"""Keys of a cluster that name what it is built of, and so its kind."""
_WHOLE = ({"system", "memoryx", "swarmx"}, {"gpu", "gpus_per_node"})
"""A cluster table with all keys of one of these describes a cluster of its own where the catalogue does not know its name."""


@dataclass(frozen=True)
class Run:
    """A model, how it is trained, and on which wafer-scale cluster."""

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: ClusterSpec
    job: JobSpec = field(default_factory=JobSpec)
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""

    def on(self, num_systems: int, global_batch_size: int | None = None) -> Run:
        """The same run on another number of identical systems, and with another batch."""
        cluster = self.cluster.model_copy(update={"num_systems": num_systems, "exceptions": ()})
        batch = global_batch_size or self.training.global_batch_size
        training = self.training.model_copy(update={"global_batch_size": batch})
        return replace(self, cluster=cluster, training=training)


SEARCHED = (
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "virtual_pipeline_size"),
    *("sequence_parallel", "zero_stage", "shard_group_size", "activation_recompute"),
)
"""Keys of ``[parallelism]`` that an automatic plan chooses."""


@dataclass(frozen=True)
class GPURun:
    """A model, how it is trained, on which GPUs, and how it is spread over them."""

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: GPUClusterSpec
    parallelism: ParallelismSpec
    job: JobSpec = field(default_factory=JobSpec)
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""

    def on_gpus(self, num_gpus: int) -> GPURun:
        """The same run on another number of GPUs, with as many copies of the model as they hold."""
        spread = self.parallelism.model_copy(update={"data_parallel_size": "auto"})
        return replace(self, cluster=self.cluster.model_copy(update={"num_gpus": num_gpus}), parallelism=spread)

    def with_auto_plan(self) -> GPURun:
        """The same run with every parallel size, the micro-batch and recomputation left open."""
        spread = self.parallelism.model_copy(update=dict.fromkeys(SEARCHED, "auto"))
        training = self.training.model_copy(update={"micro_batch_size": "auto"})
        return replace(self, training=training, parallelism=spread)


def _machine_table(table: Layered, folder: Path, prefix: str = "") -> Layered:
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
    return put(base, key, _machine_table(sub(base, key), folder, f"cluster.{key}."))


def _own_machine(own: Layered, folder: Path, key: str) -> Layered:
    """What a run file says of its `system` or `gpu` itself; a mere name went into the table below."""
    machine = own.plain.get(key)
    if isinstance(machine, str):
        return own.without(key)
    if isinstance(machine, dict) and ("extends" in machine or isinstance(machine.get("calibration"), str)):
        filled = nested(own, key, NAMED[key], folder, "cluster.")
        return put(filled, key, _machine_table(sub(filled, key), folder, f"cluster.{key}."))
    return own


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
    if name in known or not any(keys <= own.plain.keys() for keys in _WHOLE):
        base = layered("clusters", resolve("clusters", name, folder, where))
        own = own.without("name")
    for key in _MACHINES:
        base = _with_machine(base, own, folder, key)
        own = _own_machine(own, folder, key)
    table = own.over(base)
    if table.plain.keys() >= set(_MACHINES):
        raise ConfigError(
            f"{table.place_of('gpu', place)}: cluster.gpu stands beside cluster.system, and a cluster is built of one "
            "of them; drop the other, or name a cluster of the kind that you want"
        )
    return table


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
    path = existing(word, folder, where)
    model, training = _import_model(path, where)
    read = {"status": "user", "source": path.name}
    base = layer({"name": path.parent.name + "/" + path.name, **model, **read}, catalogue.shown(path))
    given = layer({**training, **read}, catalogue.shown(path))
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
        base = layered("models", resolve("models", name, folder, where))
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
    number = None if parts[-1] in ("name", "software_release") else _PLAIN_NUMBER.fullmatch(value)
    if number is not None:  # as TOML reads it, thirty times as fast: a sweep has thousands
        return parts, float(value) if number[1] else int(value)
    try:
        read = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return parts, value
    is_text = parts[-1] in ("name", "software_release") and not isinstance(read["value"], list | dict | str)
    return parts, value if is_text or len(read) > 1 else read["value"]


_PLAIN_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
"""An integer or a float without underscores, infinities and other bases."""


_KEY_PART = re.compile(r"""(?:^|\.)(?:\s*("[^"]*"|'[^']*')\s*(?=\.|$)|([^.]*))""")
"""One part of a dotted key; quotes hold dots together, as in TOML."""


Setting = tuple[list[str], Any]
"""Parts of a dotted key, and its value."""


def _settings(parsed: Iterable[Setting]) -> Layered:
    """All ``--set`` options as one table; names come first, so that overrides of what they name stay."""
    table: Table = {}
    for parts, value in sorted(parsed, key=lambda setting: len(setting[0])):
        inner: Any = value
        for part in reversed(parts):
            inner = {part: inner}
        table = merge(table, inner)
    return layer(table, "--set", {})


_RUN_KEYS = ("name", "model", "training", "cluster", "parallelism", "job")


def _check_tables(table: Layered, otherwise: str) -> None:
    plain = table.plain
    for key in plain:
        place = table.place_of(key, otherwise)
        if key not in _RUN_KEYS:
            hint = did_you_mean(key, _RUN_KEYS) or f"; a run has {', '.join(_RUN_KEYS)}"
            raise ConfigError(f"{place}: {key} is not a known key{hint}")
    for key in _RUN_KEYS[1:]:
        value = plain.get(key, {})
        if not isinstance(value, dict) and (key, value) != ("parallelism", "auto"):
            word = ', or as the word "auto"' if key == "parallelism" else ""
            place, shown = table.place_of(key, otherwise), catalogue.value_shown(value)
            raise ConfigError(f"{place}: {key} is {shown}; write it as a table, [{key}]{word}")
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


def layered_run(word: str | Path) -> tuple[Layered, Path, str]:
    """Table of a run file over the runs it extends, its folder, and how messages name it."""
    path = run_path(word)
    return _layered_run(path), path.parent, catalogue.shown(path)


def load_any(word: str | Path, settings: Iterable[str] = ()) -> Run | GPURun:
    """Read a run file.

    Parameters
    ----------
    word
        Path of a run file, or the name of a catalogue run.
    settings
        Overrides such as ``"cluster.num_systems=64"`` or ``"cluster.num_gpus=64"``.

    Returns
    -------
    Run or GPURun
        As its cluster is; frozen, and every number's origin lies beside it.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.

    Examples
    --------
    >>> load_any("andromeda_13b").cluster.num_systems
    12
    >>> load_any("gpt_1t_3072xa100").parallelism.pipeline_parallel_size
    64
    """
    return _assemble(*layered_run(word), settings)


def load(word: str | Path, settings: Iterable[str] = ()) -> Run:
    """Read the run file of a wafer-scale cluster; as `load_any`, but GPU runs are refused.

    Examples
    --------
    >>> load("andromeda_13b", ["cluster.num_systems=8"]).cluster.num_systems
    8
    """
    return _wafer_scale(load_any(word, settings))


def _wafer_scale(run: Run | GPURun) -> Run:
    if isinstance(run, GPURun):
        raise ConfigError(
            f"{run.place}: cluster {run.cluster.name!r} is a GPU cluster, where a wafer-scale one is needed; "
            "name one of those, for example cs2"
        )
    return run


def _layered_run(path: Path, depth: int = 0) -> Layered:
    """A run file laid over the runs it extends."""
    if depth > DEEPEST_EXTENDS:
        raise ConfigError(
            f"{catalogue.shown(path)}: extends goes in a circle, or more than {DEEPEST_EXTENDS} files deep; break it"
        )
    own = read(path)
    below = _extended(path, own.plain.pop("extends", None))
    return own if below is None else own.over(_layered_run(below, depth + 1))


def _extended(path: Path, word: Any) -> Path | None:
    """The run file that another one lies over."""
    if word is None:
        return None
    where = f"{catalogue.shown(path)}: extends"
    if not isinstance(word, str) or not word:
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}; name one run")
    near = path.parent / word
    return near if catalogue.exists(near) else existing(str(run_path(word, where)), Path(), where)


def run_files(word: str | Path) -> list[Path]:
    """A run file, and those that it extends one after another; of a run that can be read."""
    found = [run_path(word)]
    while (below := _extended(found[-1], read(found[-1]).plain.get("extends"))) is not None:
        found.append(below)
    return found


def _with_masked_positions(model: ModelSpec, training: TrainingSpec, own: Table) -> ModelSpec:
    """An imported encoder predicts its share of the sequence that is trained on, unless the file says otherwise."""
    if not str(own.get("path", "")).endswith(".json") or "masked_positions" in own or not model.masked_positions:
        return model
    from wsesim.config.huggingface import MASKED_SHARE

    return model.model_copy(update={"masked_positions": max(1, round(MASKED_SHARE * training.sequence_length))})


def any_from_table(
    raw: Table, folder: Path | None = None, place: str = "run", settings: Iterable[str] = ()
) -> Run | GPURun:
    """Build a run from nested dicts, as a run file would hold them."""
    return _assemble(layer(raw, place), folder or Path(), place, settings)


def from_table(raw: Table, folder: Path | None = None, place: str = "run", settings: Iterable[str] = ()) -> Run:
    """Build the run of a wafer-scale cluster; as `any_from_table`, but GPU runs are refused."""
    return _wafer_scale(any_from_table(raw, folder, place, settings))


def _assemble(raw: Layered, folder: Path, place: str, settings: Iterable[str]) -> Run | GPURun:
    """Build a run from the table of its file, with all problems of the file in one message."""
    parts = parts_of(raw, folder, place, map(parse_setting, settings))
    return parts.run(parts.built(parts.tables))


@dataclass(frozen=True)
class Parts:
    """What a run is made of before anything is checked: tables that were laid over all that they name.

    Attributes
    ----------
    tables, specs
        Table of each part, and what it has to describe.
    problems
        Parts that contradict each other.
    model
        The ``[model]`` table as the run file and the options have it.
    name
        The run's own, or None.
    """

    tables: dict[str, Layered]
    specs: dict[str, type[Spec]]
    problems: list[str]
    model: Table
    name: str | None
    place: str

    def built(self, tables: dict[str, Layered]) -> dict[str, Any]:
        """The specs of these tables, with all problems in one message."""
        return _build_all(tables, self.specs, self.place, self.problems)

    def run(self, built: dict[str, Any], origins: dict[str, Origin] | None = None) -> Run | GPURun:
        """The run whose specs these are."""
        model = _with_masked_positions(built["model"], built["training"], self.model)
        name = f"{model.name} on {built['cluster'].name}" if self.name is None else self.name
        kind = GPURun if "parallelism" in built else Run
        own = self.origins() if origins is None else origins
        return kind(name, **(built | {"model": model}), origins=own, place=self.place)

    def origins(self) -> dict[str, Origin]:
        """Where each number comes from."""
        return {f"{key}.{name}": origin for key, part in self.tables.items() for name, origin in part.origins.items()}


def parts_of(raw: Layered, folder: Path, place: str, settings: Iterable[Setting]) -> Parts:
    """Follow the names in the table of a run file."""
    table = _settings(settings).over(raw)
    _check_tables(table, place)
    table.plain.setdefault("training", {})
    table = replace(table, origins=_as_user(table.origins, place))
    model_table, given = _model_table(sub(table, "model"), folder, place)
    num_systems = given.plain.pop("num_systems", None)
    cluster_table = _cluster_table(sub(table, "cluster"), folder, place)
    on_gpus = "gpu" in cluster_table.plain
    if num_systems is not None and not on_gpus and "num_systems" not in table.plain["cluster"]:
        cluster_table = Layered({"num_systems": num_systems}).over(cluster_table)
    tables = {"model": model_table, "training": sub(table, "training").over(given), "cluster": cluster_table}
    problems = _kind_problems(table, tables, place)
    if on_gpus:
        tables["training"].plain.setdefault("precision", "bfloat16")
        is_table = isinstance(table.plain.get("parallelism"), dict)
        own = sub(table, "parallelism") if is_table else Layered(dict.fromkeys(_TRIVIAL, "auto"))
        tables["parallelism"] = own.over(_part(cluster_table, "software"))
    tables["job"] = _part(table, "job").over(_part(cluster_table, "job"))
    specs = _GPU_PARTS if on_gpus else _WAFER_PARTS
    return Parts(tables, specs, problems, table.plain["model"], table.plain.get("name"), place)


_WAFER_PARTS: dict[str, type[Spec]] = {
    "model": ModelSpec,
    "training": TrainingSpec,
    "cluster": ClusterSpec,
    "job": JobSpec,
}
_GPU_PARTS: dict[str, type[Spec]] = {
    "model": ModelSpec,
    "training": TrainingSpec,
    "cluster": GPUClusterSpec,
    "parallelism": ParallelismSpec,
    "job": JobSpec,
}


_TRIVIAL = ("context_parallel_size", "expert_parallel_size", "virtual_pipeline_size")
"""Kinds of parallelism that a table which is silent of them does without, but ``parallelism = "auto"`` tries."""


def _part(table: Layered, key: str) -> Layered:
    """A table inside another one, or an empty one; ``[cluster.software]`` lies below ``[parallelism]``, for one."""
    return sub(table, key) if isinstance(table.plain.get(key), dict) else Layered({})


def _kind_problems(table: Layered, tables: dict[str, Layered], place: str) -> list[str]:
    """What is set in a run file but belongs to clusters of the other kind."""
    cluster, training = tables["cluster"].plain, tables["training"]
    if "gpu" not in cluster:
        if "parallelism" not in table.plain:
            return []
        where, name = table.place_of("parallelism", place), catalogue.value_shown(cluster.get("name"))
        finding = f"is for GPU clusters; {name} is wafer-scale, hence data parallel only"
        return [f"{where}: parallelism {finding}; remove the table, or name a GPU cluster"]
    wrong = {
        "precision": "is 'cbfloat16', which only wafer-scale systems compute with; use 'bfloat16', or leave it out",
        "activations": "is for wafer-scale clusters; on GPUs set parallelism.activation_recompute instead",
        "weight_sparsity": "is for wafer-scale clusters, GPUs gain nothing from it; set it to 0, or leave it out",
    }
    sparsity = training.plain.get("weight_sparsity", 0)
    found = {
        "precision": training.plain.get("precision") == "cbfloat16",
        "activations": "activations" in training.plain,
        "weight_sparsity": sparsity not in (0, "0", "0 %"),
    }
    return [f"{training.place_of(key, place)}: training.{key} {wrong[key]}" for key in wrong if found[key]]


def _build_all(
    tables: dict[str, Layered], specs: dict[str, type[Spec]], place: str, problems: list[str]
) -> dict[str, Any]:
    """The parts of a run; the problems of all of them come together."""
    built: dict[str, Any] = {}
    problems = list(problems)
    for key, spec in specs.items():
        try:
            built[key] = _build(spec, tables[key], key, place)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return built


@lru_cache(maxsize=256)
def load_model(name: str) -> ModelSpec:
    """A model of the catalogue."""
    return _entry("models", name, ModelSpec)


def load_system(name: str, folder: Path | None = None, where: str = "") -> tuple[SystemSpec, dict[str, Origin]]:
    """A system of the catalogue or of a file, and its numbers' origins."""
    return _machine("system", SystemSpec, name, folder, where)


def load_gpu(name: str, folder: Path | None = None, where: str = "") -> tuple[GPUSpec, dict[str, Origin]]:
    """A GPU of the catalogue or of a file, and its numbers' origins."""
    return _machine("gpu", GPUSpec, name, folder, where)


def _machine(
    key: str, spec: type[SpecT], name: str, folder: Path | None, where: str
) -> tuple[SpecT, dict[str, Origin]]:
    path = resolve(NAMED[key], name, folder or Path(), where)
    table = _machine_table(layered(NAMED[key], path), path.parent)
    return _build(spec, table, key, catalogue.shown(path)), table.origins


def load_calibration(word: str) -> CalibrationSpec:
    """A system's calibration, of the catalogue or of a file."""
    return _calibration(word, CalibrationSpec)


def load_gpu_calibration(word: str) -> GPUCalibrationSpec:
    """A GPU's calibration, of the catalogue or of a file."""
    return _calibration(word, GPUCalibrationSpec)


def _calibration(word: str, spec: type[SpecT]) -> SpecT:
    path = resolve("calibrations", word, Path(), "--calibration")
    return _build(spec, layered("calibrations", path), "calibration", catalogue.shown(path))


def load_any_cluster(name: str) -> tuple[ClusterSpec | GPUClusterSpec, dict[str, Origin]]:
    """A cluster of the catalogue, and its numbers' origins.

    Examples
    --------
    >>> load_any_cluster("selene")[0].gpus_per_node
    8
    """
    table = _cluster_table(Layered({"name": name}), Path(), "cluster")
    place = f"cluster_configs/clusters/{name}.toml"
    if "gpu" in table.plain:
        return _build(GPUClusterSpec, table, "cluster", place), table.origins
    return _build(ClusterSpec, table, "cluster", place), table.origins


def load_cluster(name: str) -> tuple[ClusterSpec, dict[str, Origin]]:
    """A wafer-scale cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if isinstance(cluster, GPUClusterSpec):
        raise ConfigError(f"cluster {name!r} is a GPU cluster, where a wafer-scale one is needed; name for example cs2")
    return cluster, origins


def load_gpu_cluster(name: str) -> tuple[GPUClusterSpec, dict[str, Origin]]:
    """A GPU cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if isinstance(cluster, ClusterSpec):
        raise ConfigError(f"cluster {name!r} is wafer-scale, where one of GPUs is needed; name for example selene")
    return cluster, origins


def _entry(kind: str, name: str, spec: type[SpecT]) -> SpecT:
    path = catalogue.find(kind, name)
    return _build(spec, layered(kind, path), kind, catalogue.shown(path))


def origins_of(kind: str, name: str) -> dict[str, Origin]:
    """Every number of a catalogue entry, for `wsesim explain`."""
    readers: dict[str, Callable[[], dict[str, Origin]]] = {
        "systems": lambda: load_system(name)[1],
        "gpus": lambda: load_gpu(name)[1],
        "clusters": lambda: load_any_cluster(name)[1],
        "models": lambda: layered("models", catalogue.find("models", name)).origins,
        "calibrations": lambda: layered("calibrations", catalogue.find("calibrations", name)).origins,
        "runs": lambda: load_any(name).origins,
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

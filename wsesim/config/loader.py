"""Files -> one frozen `Run`, and entries of the catalogue as their specs, with every number's origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.cluster import AnyCluster, Files, files_of
from wsesim.config.layering import (
    NAMED,
    Along,
    Layered,
    Table,
    cluster_table,
    layer,
    layered,
    layered_run,
    machine_table,
    model_table,
    resolve,
    sub,
)
from wsesim.config.model import LawSpec, ModelSpec
from wsesim.config.run import Run, Setting, parse_setting, settings_table
from wsesim.config.spec import Origin, Spec, describe
from wsesim.config.training import TrainingSpec, batch_problem
from wsesim.errors import ConfigError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.units import means_tokens

# Entries of the catalogue: systems, GPUs, clusters, models, calibrations and laws, each as its spec.


SpecT = TypeVar("SpecT", bound=Spec)


@lru_cache(maxsize=256)
def load_model(name: str) -> ModelSpec:
    """A model of the catalogue."""
    return _entry("models", name, ModelSpec)


@lru_cache(maxsize=16)
def load_law(name: str) -> LawSpec:
    """A law of the catalogue."""
    return _entry("laws", name, LawSpec)


def load_part(key: str, name: str, folder: Path | None = None, where: str = "") -> tuple[Any, dict[str, Origin]]:
    """What clusters are built of, by the key that names it: an entry of the catalogue or a file, and its numbers' origins."""
    path = resolve(NAMED[key], name, folder or Path(), where)
    table = machine_table(layered(NAMED[key], path), path.parent)
    spec = next(one.files.part for one in MACHINES.known if one.files.key == key)
    return build(spec, table, key, catalogue.shown(path)), table.origins


def load_system(name: str, folder: Path | None = None, where: str = "") -> tuple[Any, dict[str, Origin]]:
    """A CS system of the catalogue or of a file, and its numbers' origins."""
    return load_part("system", name, folder, where)


def load_gpu(name: str, folder: Path | None = None, where: str = "") -> tuple[Any, dict[str, Origin]]:
    """A GPU of the catalogue or of a file, and its numbers' origins."""
    return load_part("gpu", name, folder, where)


def load_calibration(word: str, key: str = "system") -> Any:
    """A calibration of what clusters are built of, of the catalogue or of a file."""
    path = resolve("calibrations", word, Path(), "--calibration")
    part = next(one.files.part for one in MACHINES.known if one.files.key == key)
    spec = part.model_fields["calibration"].annotation
    return build(spec, layered("calibrations", path), "calibration", catalogue.shown(path))


def load_gpu_calibration(word: str) -> Any:
    """A GPU's calibration, of the catalogue or of a file."""
    return load_calibration(word, "gpu")


@lru_cache(maxsize=64)
def load_software(word: str) -> Any:
    """What training software of GPUs does: of the catalogue, or of a file."""
    path = resolve("software", word, Path(), "cluster.software_profile")
    files = next(one.files for one in MACHINES.known if one.files.key == "gpu")
    spec = files.cluster.model_fields["software"].annotation
    return build(spec, layered("software", path), "software", catalogue.shown(path))


def load_any_cluster(name: str) -> tuple[AnyCluster, dict[str, Origin]]:
    """A cluster of the catalogue, and its numbers' origins.

    Examples
    --------
    >>> load_any_cluster("selene")[0].max_devices
    4480
    """
    table = cluster_table(Layered({"name": name}), Path(), "cluster")
    files = files_of(table.plain)
    place = f"cluster_configs/clusters/{name}.toml"
    if files is None:
        raise ConfigError(
            f"{place}: names neither {' nor '.join(one.files.key for one in MACHINES.known)}; add one of them"
        )
    return build(files.cluster, table, "cluster", place), table.origins


def load_cluster(name: str) -> tuple[Any, dict[str, Origin]]:
    """A wafer-scale cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if cluster.machine != "wafer":
        raise ConfigError(f"cluster {name!r} is a GPU cluster, where a wafer-scale one is needed; name for example cs2")
    return cluster, origins


def load_gpu_cluster(name: str) -> tuple[Any, dict[str, Origin]]:
    """A GPU cluster of the catalogue, and its numbers' origins."""
    cluster, origins = load_any_cluster(name)
    if cluster.machine != "gpu":
        raise ConfigError(f"cluster {name!r} is wafer-scale, where one of GPUs is needed; name for example selene")
    return cluster, origins


def _entry(kind: str, name: str, spec: type[SpecT]) -> SpecT:
    path = catalogue.find(kind, name)
    return build(spec, layered(kind, path), kind, catalogue.shown(path))


def origins_of(kind: str, name: str) -> dict[str, Origin]:
    """Every number of a catalogue entry, for `wsesim explain`."""
    parts = {one.files.folder: one.files.key for one in MACHINES.known}
    if kind in parts:
        return load_part(parts[kind], name)[1]
    if kind in ("models", "calibrations", "laws", "software"):
        return layered(kind, catalogue.find(kind, name)).origins
    return load_any_cluster(name)[1] if kind == "clusters" else load_any(name).origins


# Files -> one frozen `Run`, with every number's origin.


_LONGEST_NAME = 200


def build(spec: type[SpecT], table: Layered, key: str, place: str) -> SpecT:
    """A table as its spec; `key` and `place` are for messages."""
    try:
        return spec.model_validate(table.plain)
    except ValidationError as error:
        raise ConfigError(describe(error, spec, key, place, table.places)) from None


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


def load_any(word: str | Path | Table, settings: Iterable[str] = ()) -> Run:
    """Read a run file.

    Parameters
    ----------
    word
        Path of a run file, the name of a catalogue run, or the tables of a run file as nested dicts.
    settings
        Overrides such as ``"cluster.num_systems=64"`` or ``"cluster.num_gpus=64"``.

    Returns
    -------
    Run
        Of the kind of machine that its cluster is; frozen, and every number's origin lies beside it.

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
    settings = (settings,) if isinstance(settings, str) else settings
    if isinstance(word, dict):
        return any_from_table(word, place="the dict", settings=settings)
    if not isinstance(word, str | Path):
        raise ConfigError(
            f"load() takes the path of a run file, a name of the catalogue or a dict, but got {catalogue.value_shown(word)}; "
            'write for example wsesim.load("andromeda_13b")'
        )
    return _assemble(*layered_run(word), settings)


def as_run(run: Any, function: str) -> Run:
    """A run as it is, or what `load_any` makes of a name, a path or nested dicts."""
    if isinstance(run, Run):
        return run
    if isinstance(run, str | Path | dict):
        return load_any(run)
    raise ConfigError(
        f"{function}() takes a run, the path of a run file, a name of the catalogue or a dict, but got {type(run).__name__}; "
        f'write for example wsesim.{function}("andromeda_13b")'
    )


def load(word: str | Path, settings: Iterable[str] = ()) -> Run:
    """Read the run file of a wafer-scale cluster; as `load_any`, but GPU runs are refused.

    Examples
    --------
    >>> load("andromeda_13b", ["cluster.num_systems=8"]).cluster.num_systems
    8
    """
    return _wafer_scale(load_any(word, settings))


def _wafer_scale(run: Run) -> Run:
    if run.machine != "wafer":
        raise ConfigError(
            f"{run.place}: cluster {run.cluster.name!r} is a GPU cluster, where a wafer-scale one is needed; "
            "name one of those, for example cs2"
        )
    return run


def _with_masked_positions(model: ModelSpec, training: TrainingSpec, own: Table) -> ModelSpec:
    """An imported encoder predicts its share of the sequence that is trained on, unless the file says otherwise."""
    if not str(own.get("path", "")).endswith(".json") or "masked_positions" in own or not model.masked_positions:
        return model
    from wsesim.config.importers.families import MASKED_SHARE

    return model.model_copy(update={"masked_positions": max(1, round(MASKED_SHARE * training.sequence_length))})


def any_from_table(raw: Table, folder: Path | None = None, place: str = "run", settings: Iterable[str] = ()) -> Run:
    """Build a run from nested dicts, as a run file would hold them."""
    return _assemble(layer(raw, place), folder or Path(), place, settings)


def files_at(cluster: Table, folder: Path | None = None, place: str = "run") -> Files:
    """Files of the kind of machine that a ``[cluster]`` table names.

    Examples
    --------
    >>> files_at({"name": "cs2"}).software, files_at({"name": "dgx_h100"}).takes("weight_sparsity", 0.5)
    (('software_release',), False)
    """
    return files_of(cluster_table(layer(cluster, place), folder or Path(), place).plain)


def from_table(raw: Table, folder: Path | None = None, place: str = "run", settings: Iterable[str] = ()) -> Run:
    """Build the run of a wafer-scale cluster; as `any_from_table`, but GPU runs are refused."""
    return _wafer_scale(any_from_table(raw, folder, place, settings))


def _assemble(raw: Layered, folder: Path, place: str, settings: Iterable[str]) -> Run:
    """Build a run from the table of its file, with all problems of the file in one message."""
    return parts_of(raw, folder, place, map(parse_setting, settings)).run()


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
    notes
        How files of other tools were understood.
    software
        What the run itself says of the software, in keys of its cluster.
    """

    tables: dict[str, Layered]
    specs: dict[str, type[Spec]]
    problems: list[str]
    model: Table
    name: str | None
    place: str
    notes: tuple[str, ...] = ()
    software: Table = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Name of the kind of machine."""
        cluster: Any = self.specs["cluster"]
        return str(cluster.machine)

    def takes_another(self, path: Sequence[str]) -> bool:
        """Whether another number at a key would only stand in its place: it is there, and nothing else hangs on it."""
        part, *inside = path
        table: Any = self.tables[part].plain if part in self.tables else None
        for name in inside:
            table = table.get(name) if isinstance(table, dict) else None
        decides = part == "training" and inside[0] in MACHINES[self.kind].files.strange
        return isinstance(table, int | float) and not decides

    def with_numbers(self, changes: Table) -> Parts:
        """The same parts with numbers in place of those that they have."""
        tables = {part: self.tables[part].with_numbers(inner) for part, inner in changes.items()}
        return replace(self, tables=self.tables | tables)

    def built(self) -> dict[str, Any]:
        """The specs of the tables, with all problems in one message."""
        return _build_all(self.tables, self.specs, self.place, self.problems)

    def run(self, built: dict[str, Any] | None = None, origins: dict[str, Origin] | None = None) -> Run:
        """The run whose parts these are; of specs and origins that are known already, where they are given."""
        built = self.built() if built is None else built
        model = _with_masked_positions(built["model"], built["training"], self.model)
        name = f"{model.name} on {built['cluster'].name}" if self.name is None else self.name
        own = self.origins() if origins is None else origins
        read = built | {"model": model}
        return Run(name, **read, origins=own, place=self.place, notes=self.notes, software=self.software).with_batch()

    def origins(self) -> dict[str, Origin]:
        """Where each number comes from."""
        return {f"{key}.{name}": origin for key, part in self.tables.items() for name, origin in part.origins.items()}


def parts_of(raw: Layered, folder: Path, place: str, settings: Iterable[Setting]) -> Parts:
    """Follow the names in the table of a run file."""
    table = _with_run_file(layer(settings_table(settings), "--set", {}).over(raw), place)
    _check_tables(table, place)
    table.plain.setdefault("training", {})
    table, in_tokens = _batch_in_tokens(replace(table, origins=_as_user(table.origins, place)), place)
    model, along = model_table(sub(table, "model"), folder, place)
    cluster = cluster_table(sub(table, "cluster"), folder, place)
    files = files_of(cluster.plain)
    own_keys = {files.cluster.count, *files.from_cluster.values()}
    taken = own_keys if files.spread is not None else files.cluster.model_fields.keys()
    of_its_kind = {key: value for key, value in along.cluster.items() if key in taken}
    cluster = Layered(_unsaid(of_its_kind, table.plain["cluster"])).over(cluster)
    left_out = _micro_batch_left_out(table, along, cluster.plain, files)
    left_out += _precision_left_out(table, along.training.plain, files) if _is_from_others(along, files) else ()
    tables = {"model": model, "training": sub(table, "training").over(along.training), "cluster": cluster}
    problems = files.contradicts(table, tables, place) + _length_problem(tables["training"], along, place)
    problems += _batch_problems(tables["training"], place)
    for key, value in files.training.items():
        tables["training"].plain.setdefault(key, value)
    if files.spread is not None:
        is_table = isinstance(table.plain.get("parallelism"), dict)
        own = sub(table, "parallelism") if is_table else Layered(dict.fromkeys(_TRIVIAL, "auto"))
        if is_table or "parallelism" not in table.plain:
            own = (own if is_table else Layered({})).over(along.parallelism) if along.parallelism.plain else own
        tables["parallelism"] = own
    tables["job"] = _part(table, "job")
    for key, below in files.from_cluster.items():
        tables[key] = tables[key].over(_part(cluster, below).only(files.tables[key].model_fields))
    notes = (*along.notes, *_length_note(table, along), *left_out, *in_tokens)
    own_cluster, name = table.plain["cluster"], table.plain.get("name")
    said = {key: own_cluster[key] for key in files.software if key in own_cluster}
    return Parts(tables, files.tables, problems, table.plain["model"], name, place, notes, said)


def _with_run_file(table: Layered, place: str) -> Layered:
    """``[run] path = "args.txt"`` is a model's path whose batch and plan are taken as well."""
    run = table.plain.get("run")
    if run is None:
        return table
    path = run.get("path") if isinstance(run, dict) else None
    if not isinstance(path, str) or len(run) != 1:
        raise ConfigError(f'{table.place_of("run", place)}: run takes one key, for example path = "args.txt"')
    model = table.plain.get("model", {})
    plain = {key: value for key, value in table.plain.items() if key != "run"}
    places = {"model.path": table.place_of("run.path", place)}
    own = {"path": path} | model if isinstance(model, dict) else model
    return replace(table, plain=plain | {"model": own}, places=places | table.places)


def _batch_in_tokens(table: Layered, place: str) -> tuple[Layered, tuple[str, ...]]:
    """A ``global_batch_size`` of ``"4M tokens"`` is read as ``global_batch_tokens``, and a note says so."""
    training = table.plain["training"]
    value = training.get("global_batch_size") if isinstance(training, dict) else None
    if not isinstance(value, str) or not means_tokens(value):
        return table, ()
    moved = {key: one for key, one in training.items() if key != "global_batch_size"} | {"global_batch_tokens": value}
    where = table.place_of("training.global_batch_size", place)
    places = table.places | {"training.global_batch_tokens": where}
    note = f"{where}: global_batch_size = {value!r} counts tokens, and was read as global_batch_tokens"
    return replace(table, plain=table.plain | {"training": moved}, places=places), (note,)


TYPICAL_LENGTH = 8192
"""Tokens of a sequence that a message offers for models which take far longer ones. [-]"""


def _length_problem(training: Layered, along: Along, place: str) -> list[str]:
    """A model that takes very long sequences does not say how long those of its training are."""
    longest = along.longest_sequence
    if longest is None or "sequence_length" in training.plain:
        return []
    training.plain["sequence_length"] = TYPICAL_LENGTH  # so that nothing else complains
    finding = f"is missing, and the model takes up to {longest:,} tokens"
    return [f"{place}: training.sequence_length {finding}; add it, for example sequence_length = {TYPICAL_LENGTH}"]


def _batch_problems(training: Layered, place: str) -> list[str]:
    """A batch that is not said, or said twice."""
    problem = batch_problem(training.plain)
    return [] if problem is None else [f"{training.place_of(problem[0], place)}: training.{problem[0]} {problem[1]}"]


def _is_from_others(along: Along, files: Files) -> bool:
    """Whether a foreign file says how a model is spread, and these machines leave no choice."""
    return files.spread is None and bool(along.parallelism.plain)


def _micro_batch_left_out(table: Layered, along: Along, cluster: Table, files: Files) -> tuple[str, ...]:
    """The micro-batch of a foreign file belongs to its batch, and to its kind of machine; another one may not divide by it."""
    own, given = table.plain.get("training", {}), along.training.plain
    micro, batch = given.get("micro_batch_size"), own.get("global_batch_size")
    sharing = cluster.get(files.cluster.count, 1) if files.spread is None else 1
    if type(own.get("batch_size_per_system")) is int:
        batch, sharing = own["batch_size_per_system"], 1
    if type(micro) is not int or "micro_batch_size" in own:
        return ()
    if _is_from_others(along, files):
        del given["micro_batch_size"]
        return ()
    if type(batch) is not int or type(sharing) is not int or sharing < 1 or batch // sharing % micro == 0:
        return ()
    del given["micro_batch_size"]
    return (f"the micro-batch of the file, {micro}, does not divide the batch of this run, and was left out",)


def _precision_left_out(table: Layered, given: Table, files: Files) -> tuple[str, ...]:
    """Products in 8 or 4 bit belong to GPUs, as the batch's parts do."""
    precision = given.get("precision")
    if precision is None or files.takes("precision", precision) or "precision" in table.plain.get("training", {}):
        return ()
    del given["precision"]
    return (f"the precision of the file, {precision}, is one of GPUs, and was left out",)


def _length_note(table: Layered, along: Along) -> tuple[str, ...]:
    longest, own = along.longest_sequence, table.plain.get("training", {})
    if longest is None or "sequence_length" in own or "sequence_length" not in along.training.plain:
        return ()
    return (f"no training.sequence_length, so the longest that the model takes was taken: {longest:,} tokens",)


def _unsaid(found: Table, own: Table) -> Table:
    """What a foreign file says and a run file does not."""
    rest: Table = {}
    for key, value in found.items():
        above = own.get(key)
        if isinstance(value, dict) and isinstance(above, dict | None):
            rest[key] = _unsaid(value, above or {})
        elif key not in own:
            rest[key] = value
    return {key: value for key, value in rest.items() if value != {}}


_TRIVIAL = ("context_parallel_size", "expert_parallel_size", "virtual_pipeline_size")
"""Kinds of parallelism that a table which is silent of them does without, but ``parallelism = "auto"`` tries."""


def _part(table: Layered, key: str) -> Layered:
    """A table inside another one, or an empty one; ``[cluster.software]`` lies below ``[parallelism]``, for one."""
    return sub(table, key) if isinstance(table.plain.get(key), dict) else Layered({})


def _build_all(
    tables: dict[str, Layered], specs: dict[str, type[Spec]], place: str, problems: list[str]
) -> dict[str, Any]:
    """The parts of a run; the problems of all of them come together."""
    built: dict[str, Any] = {}
    problems = list(problems)
    for key, spec in specs.items():
        try:
            built[key] = build(spec, tables[key], key, place)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return built

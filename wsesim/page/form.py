"""What the controls of the page offer, and beside which control a message belongs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

from wsesim.config import catalogue
from wsesim.config.layering import Table, layered_run
from wsesim.config.loader import load_any, load_model
from wsesim.config.model import ModelSpec
from wsesim.config.training import Precision, TrainingSpec
from wsesim.page.run_file import FIELDS, GPU_FIELDS, Offer, clusters, count_of
from wsesim.page.state import NO_GPUS, OF_ALL, PER_SYSTEM, GoalState, JobsState, RunState
from wsesim.plugins import MACHINES

# Runs of the catalogue as states of the page, to start from.


WAFERS = {"cluster": "cs3", "systems": "16"}
"""Beside runs of GPUs whose model no wafer-scale run of the catalogue has."""
OWN_GPU_KEYS = ("training.micro_batch_size", "cluster.")
"""Starts of keys that GPUs do not share with wafers."""


@dataclass(frozen=True)
class Ready:
    """One run of the catalogue."""

    name: str
    title: str
    is_own: bool


@cache
def ready_runs() -> tuple[Ready, ...]:
    """All runs of the catalogue by their names."""
    tables = {name: _table(name) for name in catalogue.names("runs")}
    return tuple(Ready(name, table["name"], _is_own(table)) for name, table in tables.items())


@cache
def ready_state(name: str) -> RunState:
    """The controls of a run of the catalogue, with a cluster of the other kind beside it.

    Examples
    --------
    >>> ready_state("andromeda_13b").release
    '2.1'
    """
    catalogue.find("runs", name, "the page's address")
    table = _table(name)
    batch = table["training"].get("global_batch_size")
    if _is_own(table):
        shown, share, rest = _own_controls(name, table), table["training"].get("batch_size_per_system"), 0
        if batch is not None:
            share, rest = divmod(batch, int(shown["systems"]))
        counted = {"batch": str(batch), "batch_of": OF_ALL} if rest else {"batch": str(share), "batch_of": PER_SYSTEM}
        return RunState(**shown | counted | _beside(table) | {"settings": _settings(table)})
    own = {"batch": str(batch), "batch_of": OF_ALL, "settings": _gpu_settings(table)}
    return RunState(**WAFERS | _beside(table) | _controls(table, GPU_FIELDS) | own)


def _table(name: str) -> Table:
    return layered_run(name)[0].plain


def _is_own(table: Table) -> bool:
    return not clusters()[table["cluster"]["name"]].is_baseline


def _beside(table: Table) -> dict[str, str]:
    """The devices of the first run of the other kind that trains the same model, if there is one."""
    for one in ready_runs():
        other = _table(one.name)
        if one.is_own != _is_own(table) and other["model"]["name"] == table["model"]["name"]:
            found = _own_controls(one.name, other) if one.is_own else _controls(other, GPU_FIELDS)
            return {name: text for name, text in found.items() if name in _DEVICES}
    return {}


_DEVICES = ("cluster", "systems", "gpus", "num_gpus", "profile")


def _controls(table: Table, fields: dict[str, str]) -> dict[str, str]:
    """What the controls show; without tokens the run has steps, among the other keys."""
    found = {fields[key]: _typed(value) for key, value in _leaves(table) if key in fields}
    left_out = {"tokens": "" if "steps" in table["training"] else RunState.tokens, "release": "", "paying": ""}
    return left_out | found


def _own_controls(name: str, table: Table) -> dict[str, str]:
    """The same of a run that is no baseline, with its devices also where its file leaves them to the cluster."""
    return _controls(table, FIELDS) | {"systems": str(load_any(name).num_devices)}


def _settings(table: Table) -> str:
    """Every other key of a wafer-scale run, a line each."""
    fields = FIELDS | {f"cluster.{count_of(table['cluster']['name'])}": "systems"}
    return "\n".join(f"{key}={_typed(value)}" for key, value in _others(table, fields))


def _gpu_settings(table: Table) -> str:
    """Every other key of a run of GPUs; the batch, too, where it is none that the page would take."""
    lines = [
        f"{'gpus.' if key.startswith(OWN_GPU_KEYS) else ''}{key}={_typed(value)}"
        for key, value in _others(table, GPU_FIELDS)
    ]
    batch = table["training"]["global_batch_size"]
    if batch % table["cluster"][count_of(table["cluster"]["name"])]:
        lines.append(f"gpus.training.global_batch_size={batch}")
    return "\n".join(lines)


def _others(table: Table, fields: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Keys without a control that say anything but what is usual."""
    for key, value in _leaves(table):
        usual = TrainingSpec.model_fields.get(key.removeprefix("training."))
        if key not in fields and key not in ("name", "parallelism") and (usual is None or usual.default != value):
            yield key, value


def _leaves(table: Table, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _typed(value: Any) -> str:
    """A value as somebody would type it behind ``KEY=``.

    Examples
    --------
    >>> _typed(300e9), _typed(True), _typed([{"systems": [3], "speed": 0.8}])
    ('3e11', 'true', '[{systems = [3], speed = 0.8}]')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(_typed_inside, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_typed_inside(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        short = f"{value:g}".replace("e+", "e")
        return short if float(short) == value else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed_inside(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else _typed(value)


# What the controls of the page offer.


LABELS = {
    "model": "Model",
    "cluster": "Cluster",
    "systems": "Number of devices",
    "release": "Software release",
    "batch": "Batch",
    "batch_of": "Batch counted",
    "sequence_length": "Sequence",
    "tokens": "Training tokens",
    "precision": "Precision",
    "weight_sparsity": "Weight sparsity",
    "gpus": "GPU cluster",
    "num_gpus": "Number of GPUs",
    "profile": "Software profile",
    "paying": "Devices are",
    "settings": "Every other key",
}
"""What the controls of a run are called, where nothing is known of its cluster."""


def labels(state: RunState) -> dict[str, str]:
    """What the controls of a run are called."""
    known = clusters().get(state.cluster)
    words = " or ".join(one.words.adjective for one in MACHINES.known if not one.is_baseline)
    found = LABELS | {"cluster": f"{words[:1].upper()}{words[1:]} cluster"}
    return found | ({"systems": f"Number of {known.devices}"} if known else {})


@dataclass(frozen=True)
class Choice:
    """One line of a list; of a model, with the sequence that is usual for it."""

    value: str
    label: str
    sequence: int | None = None


@dataclass(frozen=True)
class Controls:
    """What can be chosen.

    Attributes
    ----------
    own, gpus
        Clusters that a run may be on, and those that it is compared with.
    most, labels
        Devices of the chosen cluster, and what the controls are called. [-]
    """

    models: tuple[Choice, ...]
    own: tuple[Choice, ...]
    gpus: tuple[Choice, ...]
    precisions: tuple[Choice, ...]
    releases: tuple[Choice, ...] = ()
    profiles: tuple[Choice, ...] = ()
    most: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)


def controls(state: RunState, most: int | None = None) -> Controls:
    """The lists of the form of a run; what the address names and the catalogue does not hold stays to be seen."""
    own = _offers(False, (state.cluster,))
    none = Choice(NO_GPUS, "no comparison")
    known = clusters().get(state.cluster)
    return Controls(
        models=_with(_models(), (state.model,)),
        own=own,
        gpus=(none, *_offers(True, () if state.gpus == NO_GPUS else (state.gpus,))),
        precisions=_with([Choice(word, word) for word in get_args(Precision)], (state.precision,)),
        releases=_software(known, state.release, "the newest"),
        profiles=_software(clusters().get(state.gpus), state.profile, "as the cluster says"),
        most=most or (known.most if known else 1),
        labels=labels(state),
    )


def goal_controls(state: GoalState) -> Controls:
    """The lists of the form of a goal."""
    return Controls(
        models=_with(_models(), (state.model,)),
        own=_offers(False, ()),
        releases=_all_software(False, state.release, "the newest"),
        profiles=_all_software(True, state.profile, "as each cluster says"),
        gpus=_offers(True, tuple(name for name in state.candidates if name not in clusters())),
        precisions=(),
    )


def jobs_controls(state: JobsState) -> Controls:
    """The lists of the form of jobs that share a cluster."""
    both = (*_offers(False, ()), *_offers(True, ()))
    chosen = [] if any(one.value == state.cluster for one in both) else [state.cluster]
    return Controls(models=(), own=_with(list(both), chosen), gpus=(), precisions=())


PLAIN_SEQUENCE, LONGEST_SEQUENCE = 2048, 8192
"""Of a model that does not say how many positions it has, and the longest: longer contexts are taught at the end. [-]"""


@cache
def _models() -> tuple[Choice, ...]:
    return tuple(Choice(name, name, usual_sequence(load_model(name))) for name in catalogue.names("models"))


def usual_sequence(model: ModelSpec) -> int:
    """Tokens of the sequences that a model is usually trained on: its positions without reserved ones, but not its longest context.

    Examples
    --------
    >>> usual_sequence(load_model("llama-2-7b")), usual_sequence(load_model("opt-13b")), usual_sequence(load_model("bert-base"))
    (4096, 2048, 512)
    """
    positions = model.max_position_embeddings or PLAIN_SEQUENCE
    return min(LONGEST_SEQUENCE, 1 << int(math.log2(positions)))


def _software(known: Offer | None, chosen: str, usual: str) -> tuple[Choice, ...]:
    """Releases or profiles of a cluster, first what is taken where none is chosen; what was typed stays."""
    offered = dict(known.software) if known else {}
    first = f"{usual}: {next(iter(offered))}" if offered else usual
    kept = {} if chosen in offered or not chosen else {chosen: chosen}
    return (Choice("", first), *(Choice(name, text) for name, text in (offered | kept).items()))


def _all_software(is_baseline: bool, chosen: str, usual: str) -> tuple[Choice, ...]:
    """Those of all clusters of a kind."""
    offers = [one for one in clusters().values() if one.is_baseline == is_baseline]
    names = sorted(
        {name for one in offers for name in one.software} | ({chosen} if chosen else set()), reverse=not is_baseline
    )
    return (Choice("", usual), *(Choice(name, name) for name in names))


def _offers(is_baseline: bool, chosen: Iterable[str]) -> tuple[Choice, ...]:
    offered = [one for one in clusters().values() if one.is_baseline == is_baseline]
    return _with([Choice(one.name, one.label) for one in offered], chosen)


def _with(offered: Sequence[Choice], chosen: Iterable[str]) -> tuple[Choice, ...]:
    """What is offered, and what was chosen though it is not."""
    known = {one.value for one in offered}
    return (*offered, *(Choice(value, f"{value[:60]} (unknown)") for value in chosen if value not in known))


# Beside which control a message belongs.


_PLACE = re.compile(r"^(?P<file>[a-z]+\.toml): (?P<key>[A-Za-z_][\w.]*)")
_BEFORE_KEY = re.compile(r"^[a-z]+\.toml: (?:[a-z_]+\.(?=[a-z_]))*")
"""The file of a line, and the tables that its key stands in."""
_TABLES = ("training", "cluster", "job", "parallelism")
"""Keys of a run file that a message names alone where they are no tables."""
OTHER_KEYS = "settings"
OF_OTHER_KEYS = ("other keys:", "--set ")


def beside(message: str, fields: Mapping[str, str], otherwise: str = "") -> dict[str, str]:
    """Lines of a message by the control that they are about, without the file and the table of the key.

    Parameters
    ----------
    message
        One problem a line, each with its file and key.
    fields
        Controls by key.
    otherwise
        Control of keys that have none of their own; empty where there is none.

    Examples
    --------
    >>> beside("run.toml: cluster.num_systems is 'x'; write a whole number", {"cluster.num_systems": "systems"})
    {'systems': "num_systems is 'x'; write a whole number"}
    """
    found: dict[str, list[str]] = {}
    for line in message.splitlines():
        match = _PLACE.match(line)
        key = match["key"].rstrip(".") if match else ""
        is_other = line.startswith(OF_OTHER_KEYS)
        control = OTHER_KEYS if is_other else _control(key, fields, otherwise) or _named(line, fields)
        if control:
            found.setdefault(control, []).append(line if control == OTHER_KEYS else _BEFORE_KEY.sub("", line))
    return {control: "\n".join(lines) for control, lines in found.items()}


def by_label(message: str, fields: Mapping[str, str], names: Mapping[str, str]) -> str:
    """A message that speaks of controls as they are called, in place of keys of a file.

    Examples
    --------
    >>> said = "run.toml: cluster.num_systems is 0; set num_systems to 4"
    >>> by_label(said, {"cluster.num_systems": "systems"}, {"systems": "Number"})
    'Number is 0; set Number to 4'
    """
    found = _FILE.sub("", message)
    for key in sorted(fields, key=len, reverse=True):
        label, last = names.get(fields[key], key), key.rpartition(".")[2]
        for word in (key, last) if "_" in last else (key,):
            found = re.sub(rf"(?<![\w.=`]){re.escape(word)}(?![\w.]*\w)", lambda _, label=label: label, found)  # type: ignore[misc]
    return found


_FILE = re.compile(r"^[a-z]+\.toml: ", re.MULTILINE)


# What a message proposes, as other settings of the controls; whether they can be simulated is for others to find out.


@dataclass(frozen=True)
class Repair:
    """Controls set otherwise, as a message proposes.

    Attributes
    ----------
    changes
        Controls and what they are set to.
    """

    label: str
    changes: Mapping[str, str]


_VALUE = r"'[^']+'|\"[^\"]+\"|\d[\d,]*(?:\.\d+)?"
_MEANT = re.compile(r"did you mean (\S+)\?")
_SET = re.compile(rf"([a-z_]+(?:\.[a-z_]+)+) (?:to|=) (?:at most |at least )?({_VALUE})( [kMGTP]?B\b(?:/s)?)?")
_USE = re.compile(rf"(?:use|up to|at most|at least)(?: a batch of| at most| at least)? ({_VALUE})(?: or ({_VALUE}))?")
BATCH_OF = {"training.global_batch_size": OF_ALL, "training.batch_size_per_system": PER_SYSTEM}


def repairs(message: str, state: RunState, fields: Mapping[str, str]) -> list[Repair]:
    """What the lines of a message propose.

    Examples
    --------
    >>> said = "12 are more than it takes, 8; set cluster.num_systems to at most 8"
    >>> [dict(one.changes) for one in repairs(said, RunState(), FIELDS)]
    [{'systems': '8'}]
    """
    names = labels(state)
    proposed = [one for line in message.splitlines() for one in _proposed(line, state, fields, names)]
    unique = {tuple(sorted(one.changes.items())): one for one in proposed}
    return sorted(unique.values(), key=lambda one: OTHER_KEYS in one.changes)  # controls first


def _proposed(line: str, state: RunState, fields: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Repair]:
    place = _PLACE.match(line)
    key = place["key"].rstrip(".") if place else ""
    if meant := _MEANT.search(line):
        yield from _meant(key, meant[1], state, fields, names)
    for one in _SET.finditer(line):
        yield _set(one[1], _plain(one[2]) + (one[3] or ""), state, fields, names)
    subject = key if key in fields else next((one for one in fields if one in line), "")
    for use in _USE.finditer(line) if subject else ():
        yield from (_set(subject, _plain(value), state, fields, names) for value in use.groups() if value)


def _plain(value: str) -> str:
    return value.strip("'\"") if value[0] in "'\"" else value.replace(",", "")


def _set(key: str, value: str, state: RunState, fields: Mapping[str, str], names: Mapping[str, str]) -> Repair:
    """A key put to a value: by its control, or as a line of other keys."""
    if key in fields:
        control = fields[key]
        batch_of = {"batch_of": BATCH_OF[key]} if key in BATCH_OF else {}
        shown = f"{int(value):,}" if value.isdecimal() else value
        return Repair(f"{names.get(control, control)}: use {shown}", {control: value} | batch_of)
    others = [one for one in state.settings.splitlines() if one.partition("=")[0].strip() != key]
    return Repair(f"Add {key} = {value}", {OTHER_KEYS: "\n".join([*others, f"{key}={value}"])})


def _meant(
    key: str, word: str, state: RunState, fields: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[Repair]:
    """Another name for a value, or for the last part of a key among the other ones."""
    if key in fields:
        yield Repair(f"{names.get(fields[key], key)}: use {word}", {fields[key]: word})
    wrong = key.rpartition(".")[2]
    if wrong and key not in fields and wrong in state.settings:
        yield Repair(f"{wrong}: write {word}", {OTHER_KEYS: state.settings.replace(wrong, word)})


def _named(line: str, fields: Mapping[str, str]) -> str:
    """The control of the key that a line names first, as in "set cluster.num_systems to at most 16"."""
    found = [(place, fields[key]) for key in fields if (place := line.find(key)) >= 0]
    return min(found)[1] if found else ""


def _control(key: str, fields: Mapping[str, str], otherwise: str) -> str:
    for length in range(key.count(".") + 1, 0, -1):
        start = ".".join(key.split(".")[:length])
        if start in fields:
            return fields[start]
    return otherwise if "." in key or key in _TABLES else ""

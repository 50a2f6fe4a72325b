"""State -> the table of a run file, a goal file or a portfolio file, which the page answers, and lets one take away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wsesim import plugins
from wsesim.config import catalogue
from wsesim.config.goal import GoalSpec
from wsesim.config.layering import NAMED, Table, leaves, merge, names_model
from wsesim.config.loader import any_from_table, load_any_cluster
from wsesim.config.run import Run, parse_setting, settings_table
from wsesim.config.spec import unwrap
from wsesim.config.training import BATCH_KEYS
from wsesim.errors import ConfigError, InputError, did_you_mean
from wsesim.machines.machine import devices, machine_of
from wsesim.page.limits import MOST_CANDIDATES, MOST_JOBS, MOST_SIZES, check_settings
from wsesim.page.state import NO_GPUS, OF_ALL, GoalState, JobsState, RunState
from wsesim.plugins import MACHINES
from wsesim.study.goals import base_of
from wsesim.study.plan import accuracies, goal_from_table
from wsesim.study.portfolio import Portfolio, from_table

# Clusters of the catalogue, as the form offers them.


@dataclass(frozen=True)
class Offer:
    """One cluster.

    Attributes
    ----------
    most
        Devices that it has. [-]
    is_baseline
        Whether others are compared with it.
    all_of_it
        All of them, in words.
    devices, word, count
        What is counted, in full and for one, and the key of their number.
    software
        Releases or profiles that can be asked for, first what is taken where none is.
    """

    name: str
    title: str
    device: str
    most: int
    is_baseline: bool
    all_of_it: str
    devices: str
    word: str
    count: str
    software: Mapping[str, str]

    @property
    def label(self) -> str:
        """What the form says of it."""
        return f"{self.title}: {self.all_of_it}"


USUAL_COUNT = "num_systems"
"""Key of the number of devices of a cluster that the catalogue does not know."""


def count_of(cluster: str) -> str:
    """The key of a cluster's number of devices."""
    known = clusters().get(cluster)
    return known.count if known else USUAL_COUNT


def devices_of(state: RunState) -> str:
    """Devices and their cluster, "12 CS-2 systems (Andromeda)"; as typed where that is no number or no cluster."""
    known = clusters().get(state.cluster)
    if known is None or not state.systems.isdecimal():
        return f"{state.systems} of {state.cluster}"
    return f"{devices(int(state.systems), known.device, known.word)} ({known.title})"


@cache
def clusters() -> dict[str, Offer]:
    """All clusters by their name in the catalogue."""
    plugins.MACHINES.load_others()
    return {name: _offer(name) for name in catalogue.names("clusters")}


def _offer(name: str) -> Offer:
    spec, _ = load_any_cluster(name)
    machine = MACHINES[spec.machine]
    words, most = machine.words, spec.max_devices
    every = words.count(spec, most)
    counted = (words.devices, words.short, spec.count)
    software = machine.software_choices(spec)
    return Offer(name, spec.title, spec.device, most, machine.is_baseline, every, *counted, software)


# State -> the table of a run file, which the page simulates, shows problems of, and lets one take away.
#
# A form must not read files: every name in it has to be one of the catalogue.


RUN_FILE, GPU_FILE = "run.toml", "gpus.toml"
"""Names of the files that are taken away; messages name them, as `wsesim run` does."""
_BATCHES = {f"training.{key}" for key in BATCH_KEYS}
FIELDS = {
    "model.name": "model",
    "cluster.name": "cluster",
    "cluster.num_systems": "systems",
    "cluster.software_release": "release",
    "cluster.paying": "paying",
    **dict.fromkeys(sorted(_BATCHES), "batch"),
    "training.sequence_length": "sequence_length",
    "training.tokens": "tokens",
    "training.precision": "precision",
    "training.weight_sparsity": "weight_sparsity",
}
"""Keys of a run file that have a control of their own, and its name."""
GPU_COUNT = "num_gpus"
GPU_FIELDS = FIELDS | {
    "cluster.name": "gpus",
    f"cluster.{GPU_COUNT}": "num_gpus",
    "cluster.software_profile": "profile",
}
ONLY_ON_WAFERS = ("weight_sparsity", "activations", "micro_batch_size")
"""Keys of ``[training]`` that the same job on GPUs does without."""


def run_of(state: RunState) -> Run:
    """The run of a state."""
    return _of_kind(any_from_table(wafer_table(state), place=RUN_FILE), is_baseline=False, cluster=state.cluster)


def gpu_run_of(state: RunState) -> Run:
    """The same job on the GPUs that it is compared with."""
    return _of_kind(any_from_table(gpu_table(state), place=GPU_FILE), is_baseline=True, cluster=state.gpus)


def _of_kind(run: Run, *, is_baseline: bool, cluster: str) -> Run:
    """The run, if its cluster is of a kind that its control offers."""
    own = machine_of(run)
    if own.is_baseline == is_baseline:
        return run
    wanted = next(one for one in MACHINES.values() if one.is_baseline == is_baseline).words
    needed = f"one of {wanted.devices}" if is_baseline else f"a {wanted.adjective} one"
    raise ConfigError(
        f"{run.place}: cluster.name is {cluster!r}, a {own.words.adjective} cluster, where {needed} is needed; name one of "
        f"those, for example {wanted.example}"
    )


def wafer_table(state: RunState) -> Table:
    """The run file of a state; the controls' keys, then every other one."""
    others, of_gpus = _others(state)
    if of_gpus and state.gpus == NO_GPUS:
        raise ConfigError(
            f"other keys: gpus.{min(leaves(of_gpus))} is for GPUs, and none are compared; choose a GPU cluster, or drop it"
        )
    if "parallelism" in others and state.gpus != NO_GPUS:
        others.pop("parallelism")  # of the comparison's GPUs
    batch, systems = _value("batch", state.batch), _value("systems", state.systems)
    table: Table = {
        "model": {"name": state.model},
        "training": _training(state) | {BATCH_KEYS[state.batch_of != OF_ALL]: batch},
        "cluster": {"name": state.cluster, count_of(state.cluster): systems, **_of_cluster(state, "release", "paying")},
    }
    return _checked(merge(table, others), RUN_FILE)


def gpu_table(state: RunState) -> Table:
    """The run file of the GPUs: the same model, tokens and batch, then the other keys that are for GPUs."""
    others, of_gpus = _others(state)
    texts = (("batch", state.batch), ("systems", state.systems), ("num_gpus", state.num_gpus))
    batch, systems, gpus = (_value(key, text) for key, text in texts)
    wanted = batch if state.batch_of == OF_ALL else _of_all(batch, systems)
    table: Table = {
        "model": {"name": state.model},
        "training": _training(state) | {"global_batch_size": wanted, "batch_policy": "nearest"},
        "cluster": {"name": state.gpus, GPU_COUNT: gpus, **_of_cluster(state, "profile", "paying")},
    }
    table = merge(table, {key: value for key, value in others.items() if key != "cluster"})
    if isinstance(table["training"], dict):
        table["training"] = _on_gpus(table["training"])
        if set(BATCH_KEYS[1:]) & of_gpus.get("training", {}).keys():
            del table["training"][BATCH_KEYS[0]]  # its own key says it another way
    return _checked(merge(table, of_gpus), GPU_FILE)


def _on_gpus(training: Table) -> Table:
    """A ``[training]`` table of wafers as GPUs take it."""
    kept = {key: value for key, value in training.items() if key not in ONLY_ON_WAFERS}
    return kept | {"precision": "bfloat16"} if kept["precision"] == "cbfloat16" else kept


def _training(state: RunState) -> Table:
    """The ``[training]`` keys that have a control; without tokens it is the other keys that say how long."""
    keys = [key for key in FIELDS if key.startswith("training.") and key not in _BATCHES]
    texts = {key.removeprefix("training."): getattr(state, FIELDS[key]) for key in keys}
    return {key: _value(key, text) for key, text in texts.items() if text or key != "tokens"}


def _of_cluster(state: RunState, *controls: str) -> Table:
    """Keys of ``[cluster]`` whose controls may be empty."""
    keys = {control: key.removeprefix("cluster.") for key, control in GPU_FIELDS.items() if key.startswith("cluster.")}
    return {keys[one]: getattr(state, one) for one in controls if getattr(state, one)}


def _value(key: str, text: str) -> Any:
    """What a control holds, read as `--set` reads it."""
    return parse_setting(f"{key}={text}")[1]


def _is_count(value: Any) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and value > 0


def _of_all(batch: Any, systems: Any) -> Any:
    """Sequences of all systems where each has so many; what is no number the reader complains about."""
    return int(batch) * int(systems) if _is_count(batch) and _is_count(systems) else batch


def _others(state: RunState) -> tuple[Table, Table]:
    """The lines of other keys as a table, and those of the GPUs alone."""
    lines = state.settings.splitlines()
    check_settings(lines)
    table = settings_table(map(parse_setting, lines))
    of_gpus = table.pop("gpus", {})
    if not isinstance(of_gpus, dict):
        raise ConfigError("other keys: gpus is no key; write for example gpus.cluster.price_usd_per_gpu_hour=2")
    own = GPU_FIELDS.keys() | {f"cluster.{count_of(state.cluster)}"}
    taken = sorted([*leaves(table) & own, *leaves(of_gpus) & GPU_FIELDS.keys() - _BATCHES])
    if taken:
        raise ConfigError(f"other keys: {taken[0]} has a control of its own; set it there, and drop it here")
    return table, of_gpus


def _checked(table: Table, place: str) -> Table:
    """The table, if it names nothing but entries of the catalogue; nothing is read to find out."""
    plain, _ = unwrap(table, place)  # a name may stand in a table with its source
    for parent, key, value in _names(plain):
        if (parent, key) == (("model",), "name") and isinstance(value, str) and not names_model(value, plain["model"]):
            continue  # what a model of its own is called
        kind = _kind(parent, key)
        where = f"{place}: {'.'.join((*parent, key))}"
        if kind is None or not isinstance(value, str):
            raise ConfigError(
                f"{where} would read a file, which this page does not; write a run file, and use `wsesim run`"
            )
        catalogue.find(kind, value, where)
    return table


def _kind(parent: tuple[str, ...], key: str) -> str | None:
    """Of what kind a named entry has to be; None where a key could name files only."""
    if key == "name":
        return f"{parent[-1]}s"
    if key == "extends":
        return NAMED.get(parent[-1]) if parent else None
    return NAMED.get(key)


def _names(table: Table, parent: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Keys whose value names something to be read, wherever they stand: the tables they stand in, the key, the value."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _names(value, (*parent, key))
        elif key in ("extends", "path") or key in NAMED or (key == "name" and parent in (("model",), ("cluster",))):
            yield parent, key, value


# A goal's state -> the table of a goal file; candidates are clusters of the catalogue, for a form must not read files.


GOAL_FILE = "goal.toml"
"""Name of the file that is taken away; messages name it, as `wsesim plan` does."""
LIMITS = {"deadline": "deadline_s", "budget": "budget_usd", "power": "power_w"}
TRAINING = {"tokens": "tokens", "sequence_length": "sequence_length", "batch": "global_batch_size"}
SAID = {"start": "start", "release": "software_release", "profile": "software_profile", "paying": "paying"}
GOAL_FIELDS = {
    "goal.model": "model",
    "goal.target_loss": "target_loss",
    "goal.target_accuracy": "target_accuracy",
    "goal.law": "law",
    "goal.candidates": "candidates",
    **{f"goal.{key}": name for name, key in SAID.items()},
    **{f"goal.limits.{key}": name for name, key in LIMITS.items()},
    **{f"training.{key}": name for name, key in TRAINING.items()},
}
"""Keys of a goal file that have a control of their own, and its name."""


def goal_of(state: GoalState) -> GoalSpec:
    """The goal of a state, whose training is one that its first cluster can be asked for."""
    goal = goal_from_table(goal_table(state), GOAL_FILE)
    base_of(goal, goal.candidates[0], goal.model or {"name": GoalState.model}, None, GOAL_FILE, Path())
    return goal


def goal_table(state: GoalState) -> Table:
    """The goal file of a state; what is empty is left out."""
    if len(state.candidates) > MOST_CANDIDATES:
        raise InputError(
            f"{GOAL_FILE}: goal.candidates has {len(state.candidates)} clusters, and this page tries {MOST_CANDIDATES}; "
            "drop some, or write a goal file and use `wsesim plan`"
        )
    for place, name in enumerate(state.candidates):
        catalogue.find("clusters", name, f"{GOAL_FILE}: goal.candidates.{place}.cluster")
    if not state.candidates:
        raise ConfigError(f"{GOAL_FILE}: goal.candidates is empty; choose one cluster or more that may be used")
    table: Table = {"name": _name(state)}
    has_recipe = bool(state.target_loss or state.target_accuracy)
    if state.target_loss:
        table |= {"target_loss": _goal_value("target_loss", state.target_loss), "law": state.law}
    if state.target_accuracy:
        table |= {"target_accuracy": _accuracies(state.target_accuracy), "law": state.law}
    if not has_recipe:
        catalogue.find("models", state.model, f"{GOAL_FILE}: goal.model")
        table["model"] = {"name": state.model}
    training = {key: _goal_value(key, getattr(state, name)) for name, key in TRAINING.items() if getattr(state, name)}
    if has_recipe:
        training.pop("tokens", None)  # the law gives them
    limits = {key: _goal_value(key, getattr(state, name)) for name, key in LIMITS.items() if getattr(state, name)}
    table |= {key: getattr(state, name) for name, key in SAID.items() if getattr(state, name)}
    return table | {
        "training": training,
        "limits": limits,
        "candidates": [{"cluster": name} for name in state.candidates],
    }


def _name(state: GoalState) -> str:
    if state.target_accuracy:
        return f"Train to an accuracy of {state.target_accuracy}"[:100]
    return f"Train to a loss of {state.target_loss}"[:100] if state.target_loss else f"Train {state.model}"


def _accuracies(text: str) -> dict[str, float]:
    try:
        return accuracies(text.split(","))
    except ConfigError as error:
        finding = str(error).partition(": ")[2]
        raise ConfigError(f"{GOAL_FILE}: goal.target_accuracy: {finding}") from None


def _goal_value(key: str, text: str) -> Any:
    """What a control holds, read as `--set` reads it."""
    return parse_setting(f"{key}={text}")[1]


# Jobs that share a cluster -> the table of a portfolio file; their runs are those of the catalogue.


JOBS_FILE = "portfolio.toml"
JOB_KEYS = ("name", "run", "tokens", "systems", "duration_s", "priority", "earliest_start", "deadline")
"""Keys of a job on the page, which reads no files and no models of one's own."""
JOBS_FIELDS = {
    "cluster.name": "cluster",
    "cluster.num_systems": "devices",
    "cluster.num_gpus": "devices",
    "cluster.paying": "paying",
    "start": "start",
    "by": "by",
    "jobs": "jobs",
}
"""Keys of a portfolio file that have a control of their own, and its name."""


def portfolio_of(state: JobsState) -> Portfolio:
    """The portfolio of a state, each of its jobs simulated."""
    return from_table(jobs_table(state), place=JOBS_FILE)


def jobs_table(state: JobsState) -> Table:
    """The portfolio file of a state; what is empty is left out."""
    catalogue.find("clusters", state.cluster, f"{JOBS_FILE}: cluster.name")
    lines = state.jobs.splitlines()
    if not 0 < len(lines) <= MOST_JOBS:
        raise InputError(f"{JOBS_FILE}: jobs has {len(lines)} lines; write 1 to {MOST_JOBS}, or use `wsesim portfolio`")
    cluster: Table = {"name": state.cluster}
    cluster |= {count_of(state.cluster): _goal_value("devices", state.devices)} if state.devices else {}
    cluster |= {"paying": state.paying} if state.paying else {}
    jobs = [_job(line, f"{JOBS_FILE}: jobs.{number}") for number, line in enumerate(lines, start=1)]
    table: Table = {"name": "Jobs that share a cluster", "cluster": cluster, "jobs": jobs}
    return table | ({"start": state.start} if state.start else {})


def _job(line: str, place: str) -> Table:
    """A job as its line has it; a run of the catalogue stands for its name where it has none."""
    read = catalogue.toml(f"job = {{ {line} }}", place)
    job = read["job"]
    if len(read) > 1 or not isinstance(job, dict):
        raise ConfigError(f'{place} is no job; write for example run = "andromeda_13b", systems = [8, 12]')
    for key in job:
        if key not in JOB_KEYS:
            hint = did_you_mean(key, JOB_KEYS) or f"; a job on this page has {', '.join(JOB_KEYS)}"
            raise ConfigError(f"{place}.{key} is not a known key{hint}")
    if "run" in job:
        catalogue.find("runs", job["run"], f"{place}.run")
    sizes = job.get("systems", [])
    if isinstance(sizes, list) and len(sizes) > MOST_SIZES:
        raise InputError(f"{place}.systems has {len(sizes)} numbers, and this page tries {MOST_SIZES}; drop some")
    return {"name": str(job.get("run", place.rpartition(".")[2]))} | job

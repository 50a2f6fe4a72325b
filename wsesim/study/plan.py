"""`wsesim.plan`: goals as people write them, and which clusters, how large, meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.cluster import count_keys
from wsesim.config.goal import GoalSpec
from wsesim.config.layering import Table, merge
from wsesim.config.loader import files_at, load_any
from wsesim.config.run import parse_setting, settings_table
from wsesim.config.spec import describe
from wsesim.config.training import BATCH_KEYS, JOB_KEYS
from wsesim.errors import ConfigError
from wsesim.results.job import wanted_tokens
from wsesim.study.goals import Answer, answer
from wsesim.study.portfolio import as_date, seconds_after
from wsesim.units import parse_quantity

# Goals as people write them: files, and options of `wsesim plan`.


SET = ("model", "training", "cluster")
"""Tables of a run whose keys a plan can set."""


def goal_from_table(raw: dict[str, Any], place: str) -> GoalSpec:
    """A goal, checked."""
    raw = _in_seconds(raw, place)
    try:
        return GoalSpec.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(describe(error, GoalSpec, "goal", place, {})) from None


def _in_seconds(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """A goal whose deadline is no date any longer."""
    start, limits = as_date(raw.get("start")), raw.get("limits")
    if start is not None:
        raw = raw | {"start": start.date() if isinstance(start, datetime) else start}
    if not isinstance(limits, dict) or as_date(limits.get("deadline_s")) is None:
        return raw
    where = f"{place}: goal.limits.deadline_s"
    after_s = seconds_after(limits["deadline_s"], raw.get("start") if start else None, where, "goal")
    return raw | {"limits": limits | {"deadline_s": after_s}}


def trained(word: str) -> dict[str, Any]:
    """What a word says is trained, as tables of a goal: a model of the catalogue, a file of it, or a run with its training.

    A run brings its model, batch, tokens, optimizer and software; a model file its model, as ``[model] path`` does.
    """
    path = Path(word)
    is_run = word in catalogue.names("runs")
    if word in catalogue.names("models") or not (is_run or catalogue.exists(path)):
        is_file = path.suffix in (".json", ".yaml", ".yml", ".txt")
        return {"model": {"path" if is_file else "name": word}}
    if path.suffix == ".toml" and not {"model", "extends", "run"} & catalogue.read_toml(path).keys():
        return {"model": {"name": str(path.absolute())}}
    if not is_run and (path.suffix not in (".toml", "") or path.is_dir()):
        return {"model": {"path": str(path.absolute())}}
    run = load_any(word)
    keys = ("sequence_length", "global_batch_size", *JOB_KEYS)
    training = {key: getattr(run.training, key) for key in keys} | {"tokens": wanted_tokens(run)}
    said: Table = {key: run.software[key] for key in ("software_release", "software_profile") if key in run.software}
    return said | {"name": run.name, "model": run.model.model_dump(exclude_defaults=True), "training": training}


def goal_of(
    word: str | None,
    named: dict[str, Any],
    limits: dict[str, Any],
    tokens: str | None,
    clusters: Iterable[str],
    settings: Iterable[str] = (),
) -> GoalSpec:
    """A goal from a file, with what options say laid over it; or from options alone."""
    raw = {} if word is None else catalogue.read_toml(Path(word))
    changed = _tables(settings)
    said = {key: value for key, value in named.items() if value is not None}
    what = trained(said.pop("model")) if "model" in said else {}
    own = raw.get("training", {})
    if isinstance(own, dict):
        own = _over(own, said.pop("training", {}))
        own = _over(own, changed["training"])
    if isinstance(own, dict) and what.get("training"):
        own = _over(what["training"], own)
    raw = {**raw, **what, **said} | ({"training": own} if own else {})
    given = {key: value for key, value in limits.items() if value is not None}
    raw["limits"] = {**raw.get("limits", {}), **given} if isinstance(raw.get("limits", {}), dict) else raw["limits"]
    training = raw.get("training", {})
    if tokens is not None and isinstance(training, dict):
        raw["training"] = {**training, "tokens": _number_or_word(tokens)}
    if chosen := [candidate_of(name) for name in clusters]:
        raw["candidates"] = chosen
    if isinstance(raw.get("model"), dict):
        raw["model"] = merge(raw["model"], changed["model"])
    elif changed["model"]:
        raise ConfigError("--set: a law finds this model; drop its keys, or name a model")
    if isinstance(raw.get("candidates"), list):
        raw["candidates"] = _with_keys(raw["candidates"], changed["cluster"])
    if "candidates" not in raw:
        known = ", ".join(catalogue.names("clusters")[:6])
        raise ConfigError(f"plan: no cluster is named; add --cluster NAME, for example one of {known}, or a goal file")
    return goal_from_table(raw, "options" if word is None else catalogue.shown(Path(word)))


def _tables(settings: Iterable[str]) -> dict[str, Table]:
    """Settings by the table of a run that they are of; a plan has three of them."""
    read = [parse_setting(one) for one in settings]
    for parts, _ in read:
        key = ".".join(parts)
        if parts[0] not in SET or len(parts) < 2:
            raise ConfigError(
                f"--set {key}: a plan has keys of {', '.join(SET)}; write for example training.optimizer=sgd"
            )
        if parts[0] == "cluster" and parts[1] in ("name", *count_keys()):
            raise ConfigError(
                f"--set {key}: clusters and their sizes are candidates; write for example --cluster dgx_h100:64,128"
            )
    empty: dict[str, Table] = {key: {} for key in SET}
    return empty | settings_table(read)


def _over(below: Table, own: Table) -> Table:
    """A ``[training]`` table over another one; a batch, and a length of the training, are said in one way."""
    kept = dict(below)
    for ways in (BATCH_KEYS, ("tokens", "steps")):
        if any(key in own for key in ways):
            kept = {key: value for key, value in kept.items() if key not in ways}
    return kept | own


def _with_keys(candidates: list[Any], keys: Table) -> list[Any]:
    """Clusters that may be used, with settings of those keys that each of them has."""
    found, used = [], set[str]()
    for one in candidates:
        if keys and isinstance(one, dict) and isinstance(name := one.get("cluster"), str):
            known = files_at({"name": name}, place="--set").cluster.model_fields
            own = {key: value for key, value in keys.items() if key in known}
            one, used = merge(one, own), used | own.keys()
        found.append(one)
    if unused := keys.keys() - used:
        raise ConfigError(
            f"--set cluster.{min(unused)}: none of the clusters has such a key; see docs/configuration.md"
        )
    return found


def accuracies(words: Iterable[str]) -> dict[str, float]:
    """Accuracies as options of `wsesim plan` say them.

    Examples
    --------
    >>> accuracies(["hellaswag=0.5", "average=52 %"])
    {'hellaswag': 0.5, 'average': 0.52}
    """
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        try:
            found[name.strip()] = parse_quantity(value, "-")
        except ValueError:
            sign = ""
        if not sign:
            raise ConfigError(
                f"--target-accuracy {catalogue.value_shown(word)}: is no task with a share; write for example hellaswag=0.5"
            )
    return found


def candidate_of(word: str) -> dict[str, Any]:
    """A cluster of an option, with the numbers of its devices that are tried: andromeda, dgx_h100:64,128.

    Examples
    --------
    >>> candidate_of("dgx_h100:64,128"), candidate_of("cs3")
    ({'cluster': 'dgx_h100', 'num_devices': [64, 128]}, {'cluster': 'cs3'})
    """
    name, colon, counts = word.rpartition(":")
    numbers = [one.strip().replace("_", "") for one in counts.split(",")]
    if not colon or not all(one.isdecimal() for one in numbers):
        return {"cluster": _from_here(word)}
    return {"cluster": _from_here(name), "num_devices": [int(one) for one in numbers]}


def _from_here(name: str) -> str:
    """A cluster of an option: files are meant from the working directory, not from the goal file's folder."""
    return str(Path(name).absolute()) if name.endswith(".toml") else name


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


# `wsesim.plan`: which clusters, and how large, meet a goal.


def plan(
    goal: str | Path | None = None,
    *,
    model: str | None = None,
    target_loss: float | None = None,
    target_accuracy: Mapping[str, float] | None = None,
    law: str | None = None,
    tokens: str | float | None = None,
    sequence_length: int | None = None,
    deadline: str | float | None = None,
    budget: str | float | None = None,
    power: str | float | None = None,
    start: str | date | None = None,
    software_release: str | None = None,
    software_profile: str | None = None,
    paying: str | None = None,
    clusters: Iterable[str] = (),
    settings: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Try every cluster that may be used, of every size.

    Parameters
    ----------
    goal
        Goal file; what is said beside it counts more.
    model, target_loss, target_accuracy, law
        What is to be trained: a model of the catalogue, a model file of Hugging Face or Model Zoo, a run with its batch and
        tokens; or a loss or zero-shot accuracies by a scaling law.
    tokens
        Training tokens, or "chinchilla": 20 per parameter. [-]
    sequence_length
        Tokens of a sequence; 2,048, or what the model's file says, where left out. [-]
    deadline, budget, power
        Limits: numbers, or texts with units such as "7 weeks" or "$100k"; a deadline may be a date. [s], [USD], [W]
    start
        Date from which a deadline that is a date counts.
    software_release, software_profile
        Of wafer-scale candidates, of GPUs.
    paying
        "rented" or "owned": how the devices are paid for.
    clusters
        That may be used, wafer-scale or GPU; "dgx_h100:64,128" tries these numbers alone.
    settings
        Keys of the model, the training, and of all clusters that have them: "training.precision=float32", "cluster.pue=1.1".
    progress
        Told what is tried.

    Returns
    -------
    Answer
        The smallest, cheapest and fastest that meet it, what binds, and what nothing beats.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.DoesNotFit
        A loss that no model reaches.

    Examples
    --------
    >>> found = plan(model="cerebras-gpt-111m", deadline="1 h", clusters=["andromeda"])
    >>> found.is_met, found.smallest[0].num_devices
    (True, 1)
    """
    accuracy = None if target_accuracy is None else dict(target_accuracy)
    named: dict[str, Any] = {"model": model, "target_loss": target_loss, "target_accuracy": accuracy, "law": law}
    named |= {
        "start": start,
        "paying": paying,
        "software_release": software_release,
        "software_profile": software_profile,
    }
    limits = {"deadline_s": deadline, "budget_usd": budget, "power_w": power}
    place = "options" if goal is None else str(goal)
    if sequence_length is not None:
        named["training"] = {"sequence_length": sequence_length}
    word, count = None if goal is None else str(goal), None if tokens is None else str(tokens)
    wanted = goal_of(word, named, limits, count, clusters, settings)
    return answer(wanted, place, progress, None if goal is None else Path(goal).parent)

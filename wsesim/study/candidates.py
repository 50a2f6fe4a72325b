"""Runs of a cluster that may be used: which sizes are tried, with which batch, how long a step takes, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.entries import load_model
from wsesim.config.goal import CandidateSpec, GoalSpec
from wsesim.config.loader import any_from_table
from wsesim.config.run import Run
from wsesim.config.training import BATCH_KEYS
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.machine import machine_of
from wsesim.study.scaling_laws import Recipe, batch_tokens
from wsesim.workload.transformer import parameter_count

SEQUENCE_LENGTH = 2048
"""Where the goal does not say. [-]"""


def base_of(
    goal: GoalSpec, candidate: CandidateSpec, model: dict[str, Any], recipe: Recipe | None, place: str, folder: Path
) -> Run:
    """The run of a candidate, of which only the size and the batch vary."""
    training = {"batch_policy": "nearest"} | _usual_length(model) | goal.training
    if recipe is not None:
        training["tokens"] = recipe.tokens
    leaves_batch_open = not any(key in training for key in BATCH_KEYS)
    if leaves_batch_open and "path" in model:
        leaves_batch_open = not _brings_batch({"model": model, "training": training}, candidate, folder, place)
    training |= {"global_batch_size": 1} if leaves_batch_open else {}
    paying = {} if goal.paying is None else {"paying": goal.paying}
    cluster = {"name": candidate.cluster} | paying | candidate.keys
    table = {"name": goal.name, "model": model, "training": training, "cluster": cluster}
    run = any_from_table(table, folder, place)
    said = {key: getattr(goal, key, None) for key in machine_of(run).files.software if key not in candidate.keys}
    software = {key: value for key, value in said.items() if value is not None}
    if software:
        run = any_from_table(table | {"cluster": cluster | software}, folder, place)
    if not leaves_batch_open:
        return run
    size = parameter_count(run.model, run.training.sequence_length)
    batch = max(1, round(batch_tokens(size) / run.training.sequence_length))
    return replace(run, training=run.training.with_batch(batch), asked=None)


def _usual_length(model: dict[str, Any]) -> dict[str, Any]:
    """Sequences of 2,048 tokens, or of as many as a model with fewer positions takes; files of other tools say it themselves."""
    if "path" in model:
        return {}
    name, positions = model.get("name"), model.get("max_position_embeddings")
    if positions is None and name in catalogue.names("models"):
        positions = load_model(str(name)).max_position_embeddings
    is_fewer = isinstance(positions, int) and 0 < positions < SEQUENCE_LENGTH
    return {"sequence_length": positions if is_fewer else SEQUENCE_LENGTH}


def _brings_batch(table: dict[str, Any], candidate: CandidateSpec, folder: Path, place: str) -> bool:
    """Whether a file of another tool says the batch, too."""
    try:
        any_from_table(table | {"cluster": {"name": candidate.cluster}}, folder, place)
    except ConfigError:
        return False
    return True


def sizes(base: Run, candidate: CandidateSpec) -> list[int]:
    """Numbers of devices to try, as they are bought and rented: of GPUs whole nodes. [-]"""
    if candidate.num_devices != "auto":
        return sorted(set(candidate.num_devices))
    machine = machine_of(base)
    unit = machine.comes_in(base)
    return _thinned([unit * units for units in range(1, base.max_devices // unit + 1)], machine.most_tried)


def _thinned(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly in the logarithm, with the doublings of the first one and the last one."""
    if len(numbers) <= most:
        return list(numbers)
    first, last = numbers[0], numbers[-1]
    wanted = {first * 2**power for power in range(int(math.log2(last / first)) + 1)} | {last}
    for place in range(1, most - len(wanted) + 1):
        ideal = first * (last / first) ** (place / (most - len(wanted) + 1))
        wanted.add(max(1, round(ideal / first)) * first)
    return sorted(wanted & set(numbers))


def size_between(base: Run, below: int, above: int) -> int | None:
    """A size half-way between two; None where there is none. [-]

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> gpus = load_any("gpt3_13b_256xa100")
    >>> size_between(gpus, 64, 128), size_between(gpus, 64, 72)
    (96, None)
    """
    step = machine_of(base).comes_in(base)
    between = (below + above) // 2 // step * step
    between = between if between > below else between + step
    return between if below < between < above else None


def step_times(runs: Sequence[Run]) -> tuple[list[tuple[Run, float]], list[tuple[Run, str]]]:
    """Step times of the runs that can be, the fast way, and why the others cannot. [s]"""
    found: list[tuple[Run, float]] = []
    refused: list[tuple[Run, str]] = []
    for run, time_s in zip(runs, machine_of(runs[0]).step_times_s(runs), strict=True):
        if isinstance(time_s, str):
            refused.append((run, time_s))
        else:
            found.append((run, time_s))
    return found, refused


def why_not(run: Run) -> str:
    """Why a run cannot be, with a remedy."""
    try:
        machine_of(run).time_only(run)
    except (ConfigError, DoesNotFit) as error:
        return str(error)
    return ""

"""Runs of the catalogue as states of the page, to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from wsesim.config import catalogue
from wsesim.config.layering import Table
from wsesim.config.run_files import layered_run
from wsesim.config.training import TrainingSpec
from wsesim.page.clusters import clusters, count_of
from wsesim.page.run_file import FIELDS, GPU_FIELDS
from wsesim.page.state import OF_ALL, PER_SYSTEM, RunState

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

    Raises
    ------
    wsesim.errors.ConfigError
        The catalogue has no such run.

    Examples
    --------
    >>> ready_state("andromeda_13b").release
    '2.1'
    """
    catalogue.find("runs", name, "the page's address")
    table = _table(name)
    batch = table["training"].get("global_batch_size")
    if _is_own(table):
        share, rest = table["training"].get("batch_size_per_system"), 0
        if batch is not None:
            share, rest = divmod(batch, table["cluster"]["num_systems"])
        counted = {"batch": str(batch), "batch_of": OF_ALL} if rest else {"batch": str(share), "batch_of": PER_SYSTEM}
        return RunState(**_controls(table, FIELDS) | counted | _beside(table) | {"settings": _settings(table)})
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
            fields = FIELDS if one.is_own else GPU_FIELDS
            return {name: text for name, text in _controls(other, fields).items() if name in _DEVICES}
    return {}


_DEVICES = ("cluster", "systems", "gpus", "num_gpus")


def _controls(table: Table, fields: dict[str, str]) -> dict[str, str]:
    """What the controls show; without tokens the run has steps, among the other keys."""
    found = {fields[key]: _typed(value) for key, value in _leaves(table) if key in fields}
    left_out = {"tokens": "" if "steps" in table["training"] else RunState.tokens, "release": "", "paying": ""}
    return left_out | found


def _settings(table: Table) -> str:
    """Every other key of a wafer-scale run, a line each."""
    return "\n".join(f"{key}={_typed(value)}" for key, value in _others(table, FIELDS))


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

"""Evaluates points of a sweep, in whatever process it is called."""

from __future__ import annotations

import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from wsesim.config.run import Run
from wsesim.config.variations import Variations
from wsesim.errors import InputError, WsesimError, fault, is_debugging
from wsesim.loss import AVERAGE, TASKS
from wsesim.machines.machine import machine_of
from wsesim.result import Result
from wsesim.simulation import simulate_many
from wsesim.version import __version__

STATUSES = {
    "ok": "simulated",
    "refused": "wrong input, or more than the machine holds; the message says which",
    "failed": "an error of the simulator or of the machine it ran on",
}
NUMBERS = ("step_time_s", "samples_per_s", "tokens_per_s", "model_flop_per_s", "mfu", "hfu")
SIZES = ("micro_batch_size", "num_micro_batches")
OF_THE_JOB = ("steps", "tokens", "time_s", "energy_j", "cost_usd", "predicted_loss", "predicted_accuracy")
TASK_COLUMNS = {f"predicted_accuracy_{task}": task for task in TASKS}
"""Columns of zero-shot accuracy, and their tasks."""
RANGED = ("step_time_s", "samples_per_s", "time_s", "energy_j", "cost_usd")
BOUNDS = tuple(f"{name}_{end}" for name in RANGED for end in ("low", "high"))
"""Ends of the ranges in which nine answers of ten lie."""
_OF_THE_STEP = (*NUMBERS, "scaling_efficiency", "bottleneck", *SIZES)
ANSWERS = ("kind", "num_devices", *_OF_THE_STEP, *OF_THE_JOB, *TASK_COLUMNS, *BOUNDS, "parallelism")
"""Columns of a row, before those of the breakdown."""
LOOK_FOR_PARENT_S = 0.5


class Outcome(NamedTuple):
    """What became of a point; `answers` is empty unless its status is "ok".

    `encoded` is the answers as the ledger keeps them, so that this is done where the point was evaluated.
    """

    status: str
    message: str
    answers: dict[str, Any]
    encoded: str = ""


def answers_of(result: Result, alone: Result | None = None) -> dict[str, Any]:
    """The flat row of a result, which itself needs no other simulation; `alone` is one device with its share."""
    job = result.job
    row: dict[str, Any] = {"kind": result.kind, "num_devices": result.num_devices}
    row |= {name: getattr(result, name) for name in (*NUMBERS, *SIZES)}
    row |= {
        "steps": job.steps,
        "tokens": job.tokens,
        "time_s": job.time_s,
        "energy_j": job.energy_j.value,
        "cost_usd": None if job.cost_usd is None else job.cost_usd.value,
        "predicted_loss": job.pile_loss,
        "predicted_accuracy": None if job.quality is None else job.quality.accuracy[AVERAGE],
    }
    row |= {key: None if job.quality is None else job.quality.accuracy[task] for key, task in TASK_COLUMNS.items()}
    interval = result.interval
    ends = [end for name in RANGED for end in (interval[name] or (None, None))]
    row |= dict(zip(BOUNDS, ends, strict=True))
    spent_s = result.breakdown_s
    row["bottleneck"] = max(spent_s, key=lambda name: spent_s[name]) if spent_s else None
    if alone is not None:
        row["scaling_efficiency"] = result.samples_per_s / (result.num_devices * alone.samples_per_s)
    row |= {f"use_{part}": share for part, share in result.utilization.items()}
    if result.plan:
        row["parallelism"] = json.dumps(result.plan)
    return row | {f"breakdown_{name}_s": spent for name, spent in spent_s.items()}


def _without_answer(error: Exception) -> Outcome:
    if isinstance(error, WsesimError):
        return Outcome("refused", str(error), {})
    if isinstance(error, MemoryError):
        return Outcome("failed", "out of memory; make the model, the cluster or the number of chunks smaller", {})
    if is_debugging():
        raise error
    return Outcome("failed", str(fault("wsesim sweep", error)), {})


def _together(runs: Sequence[Run]) -> list[Outcome]:
    """Runs that share their cost; where one of them is refused, the others start again without it."""
    try:
        singles = [None if run.num_devices == 1 else machine_of(run).alone(run) for run in runs]
        found = simulate_many([*runs, *(one for one in singles if one is not None)])
        of_one = iter(found[len(runs) :])
        alone = [None if one is None else next(of_one) for one in singles]
        return [Outcome("ok", "", answers_of(*pair)) for pair in zip(found, alone, strict=False)]
    except Exception as error:
        if len(runs) == 1:
            return [_without_answer(error)]
    refused: dict[int, Outcome] = {}
    for place, run in enumerate(runs):
        try:
            machine_of(run).check(run)
        except Exception as error:
            refused[place] = _without_answer(error)
    if not refused:
        return [one for run in runs for one in _together([run])]
    rest = [run for place, run in enumerate(runs) if place not in refused]
    others = iter(_together(rest) if rest else ())
    return [refused[place] if place in refused else next(others) for place in range(len(runs))]


@lru_cache(maxsize=4)
def _read(runs: bytes) -> Variations:
    found: Variations = pickle.loads(runs)
    return found


def evaluate(runs: bytes, version: str, points: Sequence[Sequence[Any]]) -> list[Outcome]:
    """Simulate points of a sweep.

    Parameters
    ----------
    runs
        A pickled `Variations`.
    version
        Of wsesim where the sweep was started.
    points
        Values of its keys.

    Returns
    -------
    list of Outcome
        In the order of `points`.

    Raises
    ------
    wsesim.errors.InputError
        This process has another version.
    """
    if version != __version__:
        raise InputError(
            f"a worker has wsesim {__version__}, and the sweep {version}; install the same version everywhere"
        )
    variations = _read(runs)
    found: dict[int, Outcome] = {}
    able: dict[int, Run] = {}
    for place, values in enumerate(points):
        try:
            run = variations.run(values)
        except Exception as error:
            found[place] = _without_answer(error)
            continue
        able[place] = run
    for name in dict.fromkeys(run.machine for run in able.values()):
        mine = {place: run for place, run in able.items() if run.machine == name}
        found |= zip(mine, _together(list(mine.values())), strict=True)
    return [found[place]._replace(encoded=json.dumps(found[place].answers)) for place in range(len(points))]


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_FOR_PARENT_S)
    os._exit(1)


def start_worker(parent: int) -> None:
    """Of a local process: it leaves interrupts to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()

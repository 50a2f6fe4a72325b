"""Where points of a sweep are evaluated, in this process, local ones or a Dask cluster, and how."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from wsesim.config.run import Run
from wsesim.config.variations import Variations
from wsesim.errors import InputError, WsesimError, fault, is_debugging, need
from wsesim.machines.machine import machine_of
from wsesim.machines.simulation import simulate_many
from wsesim.results.loss import AVERAGE, TASKS
from wsesim.results.result import Result
from wsesim.version import __version__

# Where points of a sweep are evaluated: in this process, in local ones, or on a Dask cluster.


CONNECT_S = 10.0
"""To a Dask scheduler. [s]"""


class Here(Executor):
    """Evaluates in this process, one call after the other."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call at once; the future is done when this returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def num_cores() -> int:
    """Cores that this process may use. [-]"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_executor(word: str, workers: int | None) -> None:
    """Refuse an executor that there is not, before anything is run."""
    if word != "local" and word != "dask" and not word.startswith("dask://"):
        raise InputError(f"--executor {word}: is not known; use local, dask, or dask://HOST:PORT of a scheduler")
    if word.startswith("dask"):
        need("distributed", "dask", f"--executor {word}")
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: there must be at least 1")
    if workers is not None and word.startswith("dask://"):
        raise InputError(f"--workers {workers}: the cluster at {word} has its own workers; leave it out")


@contextmanager
def dask_executor(word: str, workers: int | None) -> Iterator[tuple[Executor, int]]:
    """A Dask cluster: the one at an address, or a local one of as many processes."""
    from distributed import Client, LocalCluster

    if word == "dask":
        with (
            LocalCluster(n_workers=workers or num_cores(), threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor(pure=False), workers or num_cores()
        return
    address = word.replace("dask://", "tcp://", 1)
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--executor {word}: no scheduler answers there ({error}); start one with `dask scheduler`"
        ) from None
    with client:
        yield client.get_executor(pure=False), max(1, sum(client.nthreads().values()))


# Evaluates points of a sweep, in whatever process it is called.


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
    return Outcome("failed", str(fault("wsesim sweep", error, __version__)), {})


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

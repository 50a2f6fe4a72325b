"""Where points of a sweep are evaluated: in this process, in local ones, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from wsesim.errors import InputError, need
from wsesim.study.workers import start_worker

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


def local_pool(workers: int) -> ProcessPoolExecutor:
    """Processes of this machine, already started.

    They are copies of this one where the system can, for what is imported need not be imported again.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(os.getpid(),))
    submit_quietly(pool, int)  # copies are made at the first call: before a progress bar has a thread
    return pool


def stop(pool: Executor, *, at_once: bool) -> None:
    """Let local processes go; at once where what they still do is of no use."""
    for process in list((getattr(pool, "_processes", None) or {}).values()) if at_once else ():
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def submit_quietly(executor: Executor, *call: Any) -> Future[Any]:
    """Submit; Python warns of copies of a process with threads, of which ours do nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        return executor.submit(*call)


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

"""A few processes that do the work, each of which can be stopped without the others noticing.

`concurrent.futures.ProcessPoolExecutor` breaks as a whole when one of its processes is stopped; here a job that
takes too long, or too much memory, costs one process, which is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from wsesim.errors import Fault, WsesimError, fault, is_debugging
from wsesim.machines import machine
from wsesim.page.limits import GIVE_UP_S, LONGEST_WAIT_S, MOST_MEMORY_BYTES, MOST_WAITING
from wsesim.version import __version__

GRACE_S = 5.0
"""A process whose parent is gone ends itself so long after its job's time is up. [s]"""
START_S = 30.0
"""A process that has not started by then never will. [s]"""

PATIENCE_S = 0.5
"""For the exit code of a process whose pipe is closed. [s]"""

Job = Callable[..., Any]
Tell = Callable[[str], None]
_told_to: list[Connection] = []
"""In a process that works: the pipe to the server."""


def tell(text: str) -> None:
    """Tell the server how far a job is; nobody hears it where none works for a server."""
    for pipe in _told_to:
        pipe.send((None, text))


def _not_heard(_: str) -> None:
    return


@cache
def _context() -> Any:
    """How processes are started: as copies of a small server that has imported what they need, where there are such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wsesim.page.work", "altair"])
    return context


def begin() -> None:
    """Let that server start to import while this process still does."""
    if _context().get_start_method() == "forkserver":

        def start() -> None:
            _be_deaf()
            forkserver.ensure_running()

        threading.Thread(target=start, daemon=True).start()


def end() -> None:
    """End the server that starts processes, which may still import; what it has started ends by itself."""
    pid = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if pid is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class TooBusy(WsesimError):
    """All workers work, and enough requests wait."""


class TookTooLong(WsesimError):
    """A job was stopped."""


class WorkerDied(WsesimError):
    """A job needs more memory than it may take."""


class WorkerKilled(WsesimError):
    """A process ended in the middle of a job, or does not start; the job may do the next time."""


def _limit_memory() -> None:
    """Let a job fail before the machine does, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))


def _work(pipe: Connection, most_jobs: tuple[int, int]) -> None:
    """Do one job after the other, until the pipe is closed."""
    machine.limit.set(most_jobs[0])  # a copy of the server of processes knows nothing of `--limit`
    machine.page_limit.set(most_jobs[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when to stop
    _limit_memory()
    _told_to[:] = [pipe]
    with contextlib.suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            job, arguments, limit_s = pipe.recv()
            pipe.send(None)
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, limit_s + GRACE_S)
            pipe.send(_outcome(job, arguments))
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0.0)


def _outcome(job: Job, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """What a job returns, or the error that it raises."""
    try:
        return True, job(*arguments)
    except MemoryError:
        return False, WorkerDied(_memory_words())
    except Exception as error:
        return False, error if isinstance(error, WsesimError | Fault) else _unforeseen(error)


def _unforeseen(error: Exception) -> Exception:
    """What the server is told: where the traceback is kept, or the traceback itself."""
    if is_debugging():
        return RuntimeError("\n" + "".join(traceback.format_exception(error)))
    return fault("wsesim serve", error, __version__)


def _memory_words() -> str:
    return (
        f"this needs more than the {MOST_MEMORY_BYTES // 2**30} GiB of memory that one answer may take; "
        "make the model, the cluster or the number of chunks smaller"
    )


def _end_words(exit_code: int | None) -> str:
    """How a process ended in the middle of a job."""
    try:
        name = signal.Signals(-(exit_code or 0)).name
    except ValueError:
        name = "" if exit_code is None else f"exit code {exit_code}"
    if name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"):
        how = f"was killed ({name}), by hand or by a system that is short of memory"
    else:
        how = f"crashed ({name})" if name else "ended"
    return f"the process that worked on this {how}; try again"


class Worker:
    """One process and the pipe to it; it is started when it is first needed."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.most_jobs = machine.limit.get(), machine.page_limit.get()
        """As told here; the thread that starts the process has a context of its own."""
        self.process: Any = None
        self.pipe: Connection | None = None
        self.is_over = False
        """No other process is to be started."""

    def start(self) -> None:
        """Start, and wait until the process is there."""
        if self.is_over:
            raise _ends()
        try:
            ours, theirs = self.context.Pipe()
            self.process = self.context.Process(target=_work, args=(theirs, self.most_jobs), daemon=True)
            self.process.start()
        except OSError as error:
            raise WorkerKilled(f"no worker process can be started ({error.strerror or error}); try again") from None
        theirs.close()
        self.pipe = ours
        if not ours.poll(START_S):
            self.stop()
            raise WorkerKilled("a worker process does not start; is the machine out of memory or processes?")
        ours.recv()

    def call(self, job: Job, arguments: tuple[Any, ...], limit_s: float, heard: Tell = _not_heard) -> Any:
        """Do a job in the process; replace the process if it takes too long."""
        try:
            pipe, end_s = self._given(job, arguments, limit_s), time.monotonic() + limit_s
            is_done = None
            while is_done is None:
                if not pipe.poll(max(0.0, end_s - time.monotonic())):
                    self.stop()
                    raise TookTooLong(
                        f"not done within {limit_s:g} s, the most that this page spends on one answer; make the model, the "
                        "cluster or the number of choices smaller, or run it with `wsesim` on the command line"
                    )
                is_done, found = pipe.recv()
                if is_done is None:
                    heard(found)
        except (EOFError, OSError):
            process = self.process
            self.stop(PATIENCE_S)
            raise WorkerKilled(_end_words(process.exitcode)) from None
        if is_done:
            return found
        raise found

    def _given(self, job: Job, arguments: tuple[Any, ...], limit_s: float) -> Any:
        """The pipe to the process that has taken a job: this one, or another if it died while it had nothing to do."""
        if self.pipe is not None and self.process.is_alive():
            try:
                return self._taken(self.pipe, (job, arguments, limit_s))
            except (EOFError, OSError):
                self.stop()
        self.start()
        return self._taken(self.pipe, (job, arguments, limit_s))

    def _taken(self, pipe: Any, order: tuple[Job, tuple[Any, ...], float]) -> Any:
        """The pipe, once the process has said that it has the job."""
        pipe.send(order)
        if pipe.poll(START_S):
            pipe.recv()
        return pipe

    def kill(self) -> None:
        """End the process, whatever it does; whoever waits for it notices."""
        with contextlib.suppress(OSError):
            if self.process is not None and self.process.pid is not None:
                self.process.kill()

    def stop(self, patience_s: float = 0.0) -> None:
        """End the process, which may end by itself meanwhile, and clear up after it."""
        with contextlib.suppress(AssertionError, ValueError):  # it was never started
            self.process.join(patience_s)
            self.kill()
            self.process.join()
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None


def _be_deaf() -> None:
    """Processes that are started from this thread do not hear Ctrl-C, not even before they could ignore it."""
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # its start would open this thread's ears again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _in_thread(call: Callable[[], Any]) -> asyncio.Future[Any]:
    """What a call returns, from a thread for which nothing waits when the program ends."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def tell(found: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(found)
        else:
            outcome.set_exception(error)

    def work() -> None:
        found, failed = None, None
        try:
            _be_deaf()
            found = call()
        except BaseException as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(tell, found, failed)

    threading.Thread(target=work, daemon=True).start()
    return outcome


class Workers:
    """Workers, and the line of those who wait for one.

    Parameters
    ----------
    number
        Processes. [-]
    most_waiting
        Jobs that may wait; one more is turned away. [-]
    """

    def __init__(self, number: int, most_waiting: int = MOST_WAITING) -> None:
        context = _context()
        self._all = [Worker(context) for _ in range(number)]
        self._idle = list(self._all)
        self._turns = asyncio.Semaphore(number)
        self._most_waiting, self._waiting = most_waiting, 0
        self._calls: set[asyncio.Future[Any]] = set()
        self.is_stopped = False

    @property
    def num_waiting(self) -> int:
        """Jobs that wait for a worker. [-]"""
        return self._waiting

    async def run(self, limit_s: float, job: Job, *arguments: Any, heard: Tell = _not_heard) -> Any:
        """Do a job in one of the processes, when it is its turn; `heard` is told how far it is, in a thread.

        Raises
        ------
        TooBusy, TookTooLong, WorkerDied, WorkerKilled
            The job was not done.
        Exception
            What it raised.
        """
        await self._turn()
        if self.is_stopped:
            raise _ends()
        worker = self._idle.pop()
        call = _in_thread(lambda: worker.call(job, arguments, limit_s, heard))
        self._calls.add(call)
        call.add_done_callback(lambda done: self._free(worker, done))  # also where nobody waits for it any longer
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:  # nobody waits any longer
            asyncio.get_running_loop().call_later(GIVE_UP_S, _end_if_it_still_works, worker, call)
            raise

    async def _turn(self) -> None:
        """Wait for a worker that is free."""
        if not self._turns.locked():
            await self._turns.acquire()
            return
        if self._waiting >= self._most_waiting:
            raise TooBusy(f"{self._waiting} requests wait already; try again in a moment")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._turns.acquire(), LONGEST_WAIT_S)
        except TimeoutError:
            raise TooBusy(f"no worker was free within {LONGEST_WAIT_S:g} s; try again in a moment") from None
        finally:
            self._waiting -= 1

    def _free(self, worker: Worker, done: asyncio.Future[Any]) -> None:
        if not done.cancelled():
            done.exception()  # asyncio complains of errors that nobody looked at
        self._calls.discard(done)
        self._idle.append(worker)
        self._turns.release()

    def stop(self) -> None:
        """End all processes at once, and tell whoever waits for them."""
        self.is_stopped = True
        for worker in self._all:
            worker.is_over = True
            worker.kill()
        for call in self._calls:
            with contextlib.suppress(RuntimeError):  # the loop was closed before
                call.get_loop().call_soon_threadsafe(_give_up, call)


def _end_if_it_still_works(worker: Worker, call: asyncio.Future[Any]) -> None:
    if not call.done():
        worker.kill()


def _give_up(call: asyncio.Future[Any]) -> None:
    if not call.done():
        call.set_exception(_ends())


def _ends() -> TooBusy:
    return TooBusy("the server ends")

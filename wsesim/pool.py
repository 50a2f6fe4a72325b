"""A few processes that do calls, each of which can be ended without the others noticing.

`concurrent.futures.ProcessPoolExecutor` breaks as a whole when one of its processes ends. Here that costs the call
which the process did, and so does a call that takes too long; the process is replaced.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from wsesim.errors import WsesimError, is_debugging

START_S = 30.0
"""A process that has not taken its call by then never will. [s]"""
PATIENCE_S = 0.5
"""For the exit code of a process whose pipe is closed. [s]"""
IMPORTED = ["wsesim.page.work", "altair"]
"""By the server of processes: what the page's work needs."""

Tell = Callable[[str], None]
_told_to: list[Connection] = []
"""In a process that works: the pipe to whoever started it."""
_starting = threading.RLock()
"""Processes are started one after the other: a copy would keep the pipe of another open, whose end then nobody notices."""


class TookTooLong(WsesimError):
    """A call was stopped."""


class WorkerKilled(WsesimError):
    """A process ended in the middle of a call; the call may be done the next time."""


class NotStarted(WsesimError):
    """There is no process that could do a call."""


def tell(text: str) -> None:
    """Tell whoever waits how far a call is; nobody hears it where this is no process of a pool."""
    for pipe in _told_to:
        pipe.send((None, text))


def _nothing(*_: Any) -> None:
    return


@dataclass
class Call:
    """What a process is to do within `limit_s` [s] from its start; `heard` is told how far it is, in a thread."""

    work: Callable[[], Any]
    limit_s: float | None = None
    heard: Tell = _nothing
    worker: Worker | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def given_to(self, worker: Worker | None) -> None:
        """Who does it now, if anybody."""
        with self.lock:
            self.worker = worker

    def give_up(self) -> None:
        """End the process that does it, if one does, and none that meanwhile does something else."""
        with self.lock:
            if self.worker is not None:
                self.worker.kill()


def _work(pipe: Connection, ready: Callable[[], None]) -> None:
    """Do one call after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _told_to[:] = [pipe]
    ready()
    with contextlib.suppress(EOFError, OSError):
        while True:
            work = pipe.recv_bytes()
            pipe.send(None)
            pipe.send_bytes(_outcome(work))


def _leave_with_parent() -> None:
    """Pipes tell an idle process that its parent is gone; one that works would go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _outcome(work: bytes) -> bytes:
    """Pickled: whether a call returned, and what, or the error that it raised."""
    try:
        return pickle.dumps((True, pickle.loads(work)()))
    except Exception as error:
        if is_debugging():
            error.add_note("".join(traceback.format_exception(error)))  # it is not sent with the error
        with contextlib.suppress(Exception):
            found = pickle.dumps((False, error))
            pickle.loads(found)  # some can be written, and not read
            return found
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


@cache
def served() -> Any:
    """How processes are started as copies of a small server that has imported what they need, where there are such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def begin_server() -> None:
    """Let that server start to import while this process still does."""
    if served().get_start_method() == "forkserver":
        with _deaf(served()):
            forkserver.ensure_running()


def end_server() -> None:
    """End it, even while it imports; what it has started ends by itself."""
    pid = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if pid is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _deaf(context: Any) -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C, not even before they could ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    if context.get_start_method() != "fork":
        resource_tracker.ensure_running()  # its start would open this thread's ears again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_words(exit_code: int | None) -> str:
    """How a process ended in the middle of a call."""
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
    """One process and the pipe to it."""

    def __init__(self, context: Any, ready: Callable[[], None]) -> None:
        self.context, self.ready = context, ready
        self.process: Any = None
        self.pipe: Any = None
        self.is_over = False
        """No other process is to be started."""

    def start(self) -> None:
        """Start the process, which may take a while to be there."""
        try:
            with _starting, _deaf(self.context), warnings.catch_warnings():
                if self.is_over:  # perhaps while another was being started
                    raise NotStarted("the processes have been ended")
                # Python warns of copies of a process with threads, of which ours do nothing there
                warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
                ours, theirs = self.context.Pipe()
                process = self.context.Process(target=_work, args=(theirs, self.ready), daemon=True)
                process.start()
                theirs.close()
        except (EOFError, OSError) as error:
            words = getattr(error, "strerror", None) or error
            raise NotStarted(f"no worker process can be started ({words}); try again") from None
        self.process, self.pipe = process, ours
        if self.is_over:
            self.kill()

    def do(self, call: Call) -> Any:
        """Do a call in the process, which is replaced if it takes too long."""
        pipe, start_s = self._given(call.work), time.monotonic()
        try:
            is_done = None
            while is_done is None:
                left_s = None if call.limit_s is None else max(0.0, start_s + call.limit_s - time.monotonic())
                if not pipe.poll(left_s):
                    raise TookTooLong(f"not done within {call.limit_s:g} s")
                is_done, found = pipe.recv()
                if is_done is None:
                    call.heard(found)
        except (EOFError, OSError):
            raise WorkerKilled(_end_words(self._ended())) from None
        except BaseException:
            self.stop()  # what it still says is not for the next call
            raise
        if is_done:
            return found
        raise found

    def _given(self, work: Callable[[], Any]) -> Connection:
        """The pipe to the process that has taken the work: this one, or another if it died while it had nothing to do."""
        if self.pipe is None or not self._takes(work):
            self.stop()
            self.start()
            if not self._takes(work):
                code = self._ended()
                if code is not None and code < 0:
                    raise WorkerKilled(_end_words(code))
                how = "does not start" if code is None else f"ends when it is started (exit code {code})"
                raise NotStarted(f"a worker process {how}; is the machine out of memory or processes?")
        pipe: Connection = self.pipe
        return pipe

    def _takes(self, work: Callable[[], Any]) -> bool:
        """Whether the process says that it has the work."""
        with contextlib.suppress(EOFError, OSError):
            self.pipe.send(work)
            if self.pipe.poll(START_S):
                self.pipe.recv()
                return True
        return False

    def _ended(self) -> int | None:
        """The exit code of a process that has ended, or None where it has not and therefore was."""
        self.process.join(PATIENCE_S)
        code: int | None = self.process.exitcode
        self.stop()
        return code

    def kill(self) -> None:
        """End the process, whatever it does; whoever waits for it notices."""
        if self.process is not None:
            self.process.kill()

    def stop(self) -> None:
        """End the process, and clear up after it."""
        if self.pipe is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.pipe = None


class Pool(Executor):
    """Processes, each of which does one call at a time; left as a context, they end at once.

    Parameters
    ----------
    number
        Processes. [-]
    ready
        Called in each of them first.
    context
        How they are started, when they are first needed. Left out, they are copies of this process where the system can, for
        what is imported need not be imported again; these are made at once, before there are threads.
    """

    def __init__(self, number: int, ready: Callable[[], None] = _nothing, context: Any = None) -> None:
        context = context or multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._all = [Worker(context, ready) for _ in range(number)]
        self._idle = list(self._all)
        self._threads = ThreadPoolExecutor(number)
        self.is_over = False
        if context.get_start_method() == "fork":
            try:
                for worker in self._all:
                    worker.start()
            except BaseException:
                self.shutdown()
                raise

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a process call a function, as long as that takes; `WorkerKilled` where the process ended meanwhile."""
        return self.begin(Call(partial(fn, *args, **kwargs)))

    def begin(self, call: Call) -> Future[Any]:
        """Have a process do a call; the future raises `TookTooLong`, `WorkerKilled` or `NotStarted` where it was not done."""
        return self._threads.submit(self._do, call)

    def _do(self, call: Call) -> Any:
        worker = self._idle.pop()  # there are as many threads as workers
        call.given_to(worker)
        try:
            return worker.do(call)
        finally:
            call.given_to(None)
            self._idle.append(worker)

    def end(self) -> None:
        """End all processes at once, whatever they do; takes no lock, so that a handler of signals may."""
        self.is_over = True
        for worker in self._all:
            worker.is_over = True
            worker.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End all processes at once, and forget calls that wait."""
        self.end()
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            for worker in self._all:
                worker.stop()

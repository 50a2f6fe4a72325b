"""Answers of the page: remembered, or made once in a worker process within its time."""

from __future__ import annotations

import asyncio
import pickle
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wsesim.errors import InputError, WsesimError
from wsesim.machines.machine import limits as machine_limits
from wsesim.page import limits, work
from wsesim.page.form import OTHER_KEYS, Repair, beside, by_label, labels
from wsesim.page.run_file import FIELDS, GPU_FIELDS
from wsesim.page.state import NO_GPUS, OF_ALL, GoalState, JobsState, RunState, WrongAddress, changed
from wsesim.page.work import Main
from wsesim.pool import Call, NotStarted, Pool, Tell, TookTooLong, WorkerKilled, served
from wsesim.study.comparison import Entry

# Processes that work for the page, and the line of those who wait for one.


class TooBusy(WsesimError):
    """All workers work, and enough requests wait."""


NOT_NOW = (TooBusy, WorkerKilled, NotStarted)
"""Of these a question is not to blame: it may come again."""


class Workers:
    """A pool of processes, and the line of those who wait for one.

    Parameters
    ----------
    number
        Processes. [-]
    most_waiting
        Jobs that may wait; one more is turned away. [-]
    """

    def __init__(self, number: int, most_waiting: int = limits.MOST_WAITING) -> None:
        self._pool = Pool(number, partial(work.limit, machine_limits()), served())
        self._turns = asyncio.Semaphore(number)
        self._most_waiting = most_waiting
        self.num_waiting = 0

    async def run(self, limit_s: float, job: Callable[..., Any], *arguments: Any, heard: Tell = lambda _: None) -> Any:
        """Do a job in one of the processes, when it is its turn; `heard` is told how far it is, in a thread.

        Raises
        ------
        TooBusy, TookTooLong, WorkerKilled, NotStarted
            The job was not done.
        Exception
            What it raised.
        """
        await self._turn()
        call = Call(partial(work.done, job, *arguments), limit_s, heard)
        coming = asyncio.wrap_future(self._pool.begin(call))
        coming.add_done_callback(self._free)  # also where nobody waits for it any longer
        try:
            return await asyncio.shield(coming)
        except TookTooLong as error:
            raise TookTooLong(
                f"{error}, the most that this page spends on one answer; make the model, the cluster or the number of "
                "choices smaller, or run it with `wsesim` on the command line"
            ) from None
        except (WorkerKilled, NotStarted) as error:
            raise (TooBusy("the server ends") if self._pool.is_over else error) from None
        except asyncio.CancelledError:  # nobody waits any longer
            asyncio.get_running_loop().call_later(limits.GIVE_UP_S, call.give_up)
            raise

    async def _turn(self) -> None:
        """Wait for a worker that is free."""
        if not self._turns.locked():
            await self._turns.acquire()
            return
        if self.num_waiting >= self._most_waiting:
            raise TooBusy(f"{self.num_waiting} requests wait already; try again in a moment")
        self.num_waiting += 1
        try:
            await asyncio.wait_for(self._turns.acquire(), limits.LONGEST_WAIT_S)
        except TimeoutError:
            raise TooBusy(f"no worker was free within {limits.LONGEST_WAIT_S:g} s; try again in a moment") from None
        finally:
            self.num_waiting -= 1

    def _free(self, done: asyncio.Future[Any]) -> None:
        if not done.cancelled():
            done.exception()  # asyncio complains of errors that nobody looked at
        self._turns.release()

    def stop(self) -> None:
        """End all processes at once; whoever waits for them notices."""
        self._pool.end()


# What was answered lately, up to a number of bytes; and one answer for all who ask the same at the same time.


MOST_BYTES = 32_000_000
"""Of all remembered answers. [bytes]"""


@dataclass
class _Coming:
    """An answer on its way, and how many wait for it."""

    task: asyncio.Task[Any]
    num_waiting: int = 0


class Answers:
    """Remembers what was used last.

    Parameters
    ----------
    most_bytes
        Of all answers together. [bytes]
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._coming: dict[Hashable, _Coming] = {}
        self.num_bytes = 0

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a question: remembered, on its way, or made now.

        It is given up when nobody waits for it any longer.
        """
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key][0]
        coming = self._coming.get(key)
        if coming is None:
            coming = self._coming[key] = _Coming(asyncio.ensure_future(self._make(key, make)))
            coming.task.add_done_callback(lambda _, own=coming: self._forget(key, own))  # type: ignore[misc]
        coming.num_waiting += 1
        try:
            return await asyncio.shield(coming.task)
        finally:
            coming.num_waiting -= 1
            if not coming.num_waiting and not coming.task.done():
                coming.task.cancel()
                self._forget(key, coming)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        answer = await make()
        self._remember(key, answer)
        return answer

    def _forget(self, key: Hashable, coming: _Coming) -> None:
        if self._coming.get(key) is coming:
            del self._coming[key]

    def _remember(self, key: Hashable, answer: Any) -> None:
        size = len(pickle.dumps(answer))
        if size > self._most_bytes:
            return
        self._known[key] = answer, size
        self.num_bytes += size
        while self.num_bytes > self._most_bytes:
            _, (_, freed) = self._known.popitem(last=False)
            self.num_bytes -= freed


# Answers of the page: remembered, or made in a worker process within its time.


HURRY_S = 0.05
"""A comparison that comes later than the answer by more than this is asked for again. [s]"""

LINGER_S = 0.5
"""It is gone on with for so long until somebody does. [s]"""


AT_ONCE = (work.run_file, work.gpu_file, work.goal_file, work.jobs_file, work.run_json)
LONG = (work.report, work.plan_json, work.portfolio_json, work.sensitivity_json)
"""Jobs that are done as soon as runs, and those that could take every worker for minutes."""


def status_of(error: WsesimError) -> int:
    """HTTP status of an error: try again, wrong input, or the answer is no."""
    if isinstance(error, NOT_NOW):
        return 503
    return 400 if isinstance(error, InputError) else 422


Repairs = Sequence[tuple[Repair, RunState]]


@dataclass(frozen=True)
class Compared:
    """The comparison with GPUs.

    Attributes
    ----------
    html, whole_job
        The table, and time and cost over the number of devices with its line; empty where none is wanted, or not there yet.
    is_coming
        It is being worked on.
    message
        Why there is none.
    problems
        The message by control.
    repairs
        What would help, with what the run is then.
    """

    html: str = ""
    whole_job: str = ""
    is_coming: bool = False
    message: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    repairs: Repairs = ()


def _alone(state: RunState) -> RunState:
    """The same whatever GPUs it is compared with."""
    usual = RunState()
    return state if state.gpus == NO_GPUS else changed(state, {"gpus": usual.gpus, "num_gpus": usual.num_gpus})


class Service:
    """What answers runs and goals.

    Parameters
    ----------
    num_workers
        Processes of each kind: those that answer runs, those that search plans of GPUs and draw, and those that plan
        goals and write reports, for whose end nobody else waits. [-]
    """

    def __init__(self, num_workers: int) -> None:
        self.quick, self.slow, self.long = (Workers(num_workers) for _ in range(3))
        self.answers = Answers()
        self.told: dict[GoalState, str] = {}

    async def start(self) -> None:
        """Start a process of each kind before it is needed."""
        quick = self.quick.run(limits.GPU_S, work.get_ready)
        await asyncio.gather(quick, self.slow.run(limits.GPU_S, work.get_ready_for_gpus))

    def stop(self) -> None:
        """End all processes, whatever they do."""
        for workers in (self.quick, self.slow, self.long):
            workers.stop()

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a worker. [-]"""
        return sum(workers.num_waiting for workers in (self.quick, self.slow, self.long))

    async def main(self, state: RunState, pinned: RunState | None = None) -> Main:
        """The answer of the wafer-scale run, for which the GPUs make no difference, against a baseline."""
        asked = _alone(state), pinned and _alone(pinned)
        found: Main = await self.answers.get(("run", *asked), lambda: self.quick.run(limits.RUN_S, work.main, *asked))
        return found

    async def part(self, name: str, state: RunState, pinned: RunState | None = None) -> str:
        """A part of it that was opened."""
        asked = name, _alone(state), pinned and _alone(pinned)
        found: str = await self.answers.get(("part", *asked), lambda: self.slow.run(limits.GPU_S, work.part, *asked))
        return found

    async def gpus(self, state: RunState) -> Entry:
        """The same job on GPUs, for which the number of systems makes no difference where the batch is one of all."""
        own = changed(state, {"cluster": "", "systems": ""}) if state.batch_of == OF_ALL else state
        found: Entry = await self.answers.get(("gpus", own), lambda: self.slow.run(limits.GPU_S, work.gpus, own))
        return found

    async def answered(
        self, state: RunState, pinned: RunState | None = None, *, is_patient: bool
    ) -> tuple[Main, Compared]:
        """The answer of the wafer-scale run, and the comparison, which are worked on at the same time."""
        both = asyncio.ensure_future(self.compared(state, pinned, is_patient=is_patient))
        try:
            return await self.main(state, pinned), await both
        finally:
            both.cancel()

    async def compared(self, state: RunState, pinned: RunState | None = None, *, is_patient: bool) -> Compared:
        """Both side by side; where nobody waits for it, only if it is there soon after the answer of the run."""
        if state.gpus == NO_GPUS:
            return Compared()
        coming = asyncio.ensure_future(self.gpus(state))
        try:
            main = await self.main(state, pinned)
            await asyncio.wait({coming}, timeout=None if is_patient else HURRY_S)
            if not coming.done():
                asyncio.get_running_loop().call_later(LINGER_S, coming.cancel)
                return Compared(is_coming=True)
            others = coming.result()
            made = await self.answers.get(
                ("compared", state, pinned),
                lambda: self.quick.run(limits.RUN_S, work.comparison, main.entry, others, state, pinned),
            )
            return Compared(*made)
        except WsesimError as error:
            coming.cancel()
            told, by_control = told_by_control(error, state, GPU_FIELDS)
            helps = await self.repairs(error, state, of_gpus=True)
            return Compared(message=told, problems=by_control, repairs=helps)
        except asyncio.CancelledError:
            coming.cancel()
            raise

    async def repairs(self, error: WsesimError, state: RunState, *, of_gpus: bool = False) -> Repairs:
        """What the message of a refused run proposes, where it helps; nothing where that cannot be found out."""
        if isinstance(error, (WrongAddress, *NOT_NOW)):
            return ()
        asked = _alone(state) if not of_gpus else state, str(error), of_gpus
        try:
            found: Repairs = await self.answers.get(
                ("repairs", *asked), lambda: self.quick.run(limits.RUN_S, work.repaired, *asked)
            )
        except WsesimError:
            return ()
        kept = {"gpus": state.gpus, "num_gpus": state.num_gpus}  # the run is the same whatever it is compared with
        return found if of_gpus else [(one, changed(candidate, kept)) for one, candidate in found]

    async def plan(self, state: GoalState) -> str:
        """What meets a goal."""

        def heard(text: str) -> None:
            self.told[state] = text

        def make() -> Awaitable[Any]:
            return self.long.run(limits.PLAN_S, work.plan, state, heard=heard)

        try:
            found: str = await self.answers.get(("plan", state), make)
        finally:
            self.told.pop(state, None)
        return found

    async def plan_if_soon(self, state: GoalState) -> str:
        """The same, or nothing where it is not there at once; it is gone on with until somebody asks for it.

        Raises
        ------
        WsesimError
            The goal is refused, which is known at once.
        """
        await self.make(work.goal_file, state)
        coming = asyncio.ensure_future(self.plan(state))
        await asyncio.wait({coming}, timeout=HURRY_S)
        if coming.done():
            return coming.result()
        asyncio.get_running_loop().call_later(LINGER_S, coming.cancel)
        return ""

    def how_far(self, state: GoalState) -> str:
        """How far a plan is."""
        return self.told.get(state, "")

    async def portfolio(self, state: JobsState) -> str:
        """Who of many jobs runs when."""
        job = work.portfolio
        found: str = await self.answers.get(("jobs", state), lambda: self.long.run(limits.PLAN_S, job, state))
        return found

    async def sensitivity(self, state: RunState) -> str:
        """What single numbers do to the step of the wafer-scale run, beside the plans, so that no answer waits for it."""
        own = _alone(state)
        found: str = await self.answers.get(
            ("sensitivity", own), lambda: self.long.run(limits.SENSITIVITY_S, work.sensitivity, own)
        )
        return found

    async def pictures(self) -> str:
        """The script that draws pictures."""
        found: str = await self.answers.get("pictures", lambda: self.make(work.pictures))
        return found

    async def make(self, job: Any, *arguments: Any) -> Any:
        """A file, a picture or JSON, which is not remembered."""
        if job in AT_ONCE:
            return await self.quick.run(limits.RUN_S, job, *arguments)
        workers = self.long if job in LONG else self.slow
        return await workers.run(limits.FILE_S, job, *arguments)


def told_by_control(
    error: WsesimError, state: RunState, fields: Mapping[str, str] = FIELDS
) -> tuple[str, dict[str, str]]:
    """The message of a refused run in the words of the controls, as a whole and by control."""
    names, text = labels(state), str(error)
    by_control = {control: by_label(line, fields, names) for control, line in beside(text, fields, OTHER_KEYS).items()}
    return by_label(text, fields, names), by_control

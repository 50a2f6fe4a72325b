"""No input hangs or exhausts the page: jobs are cut off, turned away, given up, and forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from wsesim.errors import AnswerIsNo, DoesNotFit, Fault, InputError
from wsesim.machines.gpu.machine import MOST_SEARCHED
from wsesim.machines.wafer.checks import check
from wsesim.page import limits, work
from wsesim.page.limits import check_work
from wsesim.page.run_file import gpu_run_of, run_of
from wsesim.page.server import application
from wsesim.page.service import Answers, Service, TooBusy, Workers, status_of
from wsesim.page.state import RunState
from wsesim.pool import TookTooLong, WorkerKilled

LONG = "cluster.simulation.chunks_per_layer=250\nmodel.num_layers=70"
"""Some seconds of simulation."""


def with_workers(use: Any, number: int = 1, most_waiting: int = 4) -> Any:
    """Run a coroutine with workers of its own."""

    async def whole() -> Any:
        workers = Workers(number, most_waiting)
        try:
            return await use(workers)
        finally:
            workers.stop()

    return asyncio.run(whole())


def test_a_job_that_takes_too_long_is_stopped_and_the_next_one_is_done() -> None:
    async def use(workers: Workers) -> int:
        before = await workers.run(20.0, os.getpid)
        with pytest.raises(TookTooLong, match=r"not done within 0\.3 s"):
            await workers.run(0.3, time.sleep, 60)
        after = await workers.run(20.0, os.getpid)
        assert before != after
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)
        return int(after)

    assert with_workers(use) > 0


def test_a_process_that_dies_is_replaced() -> None:
    async def use(workers: Workers) -> int:
        with pytest.raises(WorkerKilled, match=r"ended|crashed \(exit code 3\)"):
            await workers.run(20.0, os._exit, 3)
        return int(await workers.run(20.0, abs, -4))

    assert with_workers(use) == 4


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_process_that_is_killed_in_the_middle_of_a_job_is_named_as_such(name: str) -> None:
    async def use(workers: Workers) -> str:
        with pytest.raises(WorkerKilled) as caught:
            await workers.run(20.0, signal.raise_signal, getattr(signal, name))
        assert status_of(caught.value) == 503
        return str(caught.value)

    words = with_workers(use)
    assert f"({name})" in words
    assert words.endswith("; try again")
    assert "GiB" not in words


def test_a_job_for_which_nobody_waits_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsesim.page.limits.GIVE_UP_S", 0.2)

    async def use(workers: Workers) -> float:
        await workers.run(20.0, abs, -4)
        abandoned = asyncio.ensure_future(workers.run(60.0, time.sleep, 60))
        await asyncio.sleep(0.2)
        abandoned.cancel()
        started_s = time.perf_counter()
        assert await workers.run(20.0, abs, -4) == 4
        return time.perf_counter() - started_s

    assert with_workers(use) < 15.0


ADDRESSES = [
    *("/?systems=3", "/comparison", "/plan?answer=yes", "/run.toml", "/gpus.toml", "/goal.toml", "/report.html"),
    *("/portfolio?answer=yes", "/portfolio.toml", "/api/portfolio"),
    *("/scaling.svg", "/api/run", "/api/gpus", "/api/plan", "/pictures.js", "/sensitivity", "/api/sensitivity"),
]


def asked(service: Any, address: str, headers: dict[str, str], *, is_gone: bool = False) -> tuple[int, str]:
    """Status and body of an answer, for a browser that may have gone."""
    path, _, query = address.partition("?")
    told: list[Any] = []
    came = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(came, None) or ({"type": "http.disconnect"} if is_gone else await asyncio.sleep(60))

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("localhost", 1),
        "headers": [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()],
    }
    asyncio.run(asyncio.wait_for(application(service)(scope, receive, send), 30))
    return told[0]["status"], b"".join(one.get("body", b"") for one in told[1:]).decode()


class Endless:
    """A service that never answers, and remembers which of its work was given up."""

    num_waiting = 0

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.given_up: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def work(*_: Any, **__: Any) -> None:
            self.begun.append(name)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.given_up.append(name)
                raise

        return work


@pytest.mark.parametrize("address", ADDRESSES)
def test_work_for_a_browser_that_has_gone_is_given_up(address: str) -> None:
    service = Endless()
    status, _ = asked(service, address, {}, is_gone=True)
    assert status == 499
    assert service.begun
    assert service.given_up == service.begun


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("address", [*ADDRESSES, '/?x="><script>', "/runs/andromeda_13b", "/plan"])
def test_a_link_of_another_site_does_no_work(address: str, site: str) -> None:
    service = Endless()
    status, body = asked(service, address, {"sec-fetch-site": site, "sec-fetch-mode": "navigate"})
    assert (status, service.begun) == (200, [])
    assert "<script" not in body
    assert f'<a href="{address}">' in body or "<" in address
    assert asked(service, address, {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"})[0] == 403
    assert service.begun == []


def test_a_process_that_was_killed_while_it_had_nothing_to_do_is_replaced() -> None:
    async def use(workers: Workers) -> int:
        os.kill(await workers.run(20.0, os.getpid), signal.SIGKILL)
        return int(await workers.run(20.0, abs, -4))

    assert with_workers(use) == 4


def test_plans_leave_workers_to_all_else() -> None:
    async def use() -> str:
        service = Service(num_workers=1)
        hogs = [asyncio.ensure_future(service.long.run(60.0, time.sleep, 60)) for _ in range(2)]
        try:
            found: str = await service.make(work.run_file, RunState())
            return found
        finally:
            for hog in hogs:
                hog.cancel()
            service.stop()

    assert "num_systems = 12" in asyncio.run(use())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_job_that_takes_too_much_memory_is_refused() -> None:
    async def use(workers: Workers) -> int:
        with pytest.raises(AnswerIsNo, match="GiB of memory"):
            await workers.run(20.0, bytearray, limits.MOST_MEMORY_BYTES + 2**28)
        return int(await workers.run(20.0, abs, -4))

    assert with_workers(use) == 4


def test_errors_of_the_program_come_without_a_trace() -> None:
    async def use(workers: Workers) -> str:
        with pytest.raises(Fault) as error:
            await workers.run(20.0, int, "x")
        return str(error.value)

    assert with_workers(use).startswith("wsesim serve: ValueError, which is a fault of wsesim")


def test_who_waits_too_long_in_a_line_is_turned_away() -> None:
    async def use(workers: Workers) -> list[Any]:
        jobs: list[Coroutine[Any, Any, Any]] = [workers.run(20.0, time.sleep, 0.3) for _ in range(7)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    turned_away = [one for one in with_workers(use, 1, 4) if isinstance(one, TooBusy)]
    assert len(turned_away) == 7 - 1 - 4


def test_who_no_longer_waits_leaves_the_line() -> None:
    async def use(workers: Workers) -> float:
        await workers.run(20.0, abs, 1)
        started_s = time.perf_counter()
        first = asyncio.ensure_future(workers.run(20.0, time.sleep, 0.3))
        gone = [asyncio.ensure_future(workers.run(20.0, time.sleep, 5)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for one in gone:
            one.cancel()
        await asyncio.gather(first, workers.run(20.0, abs, 1))
        return time.perf_counter() - started_s

    assert with_workers(use) < 4.0


def test_one_answer_for_all_who_ask_at_the_same_time() -> None:
    made: list[int] = []

    async def make() -> str:
        made.append(1)
        await asyncio.sleep(0.01)
        return "x"

    async def use() -> list[str]:
        answers = Answers()
        found = await asyncio.gather(*(answers.get("key", make) for _ in range(5)))
        return [*found, await answers.get("key", make)]

    assert asyncio.run(use()) == ["x"] * 6
    assert len(made) == 1


def test_errors_are_not_remembered_and_memory_is_bounded() -> None:
    async def fail() -> str:
        raise DoesNotFit("no")

    async def use() -> int:
        answers = Answers(most_bytes=10_000)
        for _ in range(2):
            with pytest.raises(DoesNotFit):
                await answers.get("key", fail)
        for number in range(100):
            await answers.get(number, lambda: asyncio.sleep(0, "x" * 1000))
        return answers.num_bytes

    assert asyncio.run(use()) <= 10_000


@pytest.mark.parametrize(
    "settings",
    [
        "cluster.simulation.chunks_per_layer=256\nmodel.num_layers=300",
        "cluster.system.wafer.weight_buffer_bytes=2 kB\ncluster.system.wafer.gradient_buffer_bytes=2 kB\nmodel.num_layers=1",
        "cluster.exceptions=[" + ", ".join(f"{{systems=[{one}], speed=0.{one}1}}" for one in range(1, 9)) + "]\n"
        "cluster.simulation.chunks_per_layer=99",
    ],
)
def test_runs_that_would_take_long_are_refused_before_they_run(settings: str) -> None:
    started_s = time.perf_counter()
    run = run_of(RunState(settings=settings))
    with pytest.raises((DoesNotFit, InputError)):  # noqa: PT012
        check(run)
        check_work(run)
    assert time.perf_counter() - started_s < 2.0


def test_more_gpus_than_a_page_searches_are_refused() -> None:
    run = gpu_run_of(RunState(num_gpus="16384"))
    check_work(run)
    with pytest.raises(DoesNotFit, match="searches plans for up to"):
        check_work(run.on(MOST_SEARCHED + 8))


def test_what_takes_too_long_is_cut_off_and_the_page_goes_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/?gpus=none&model=cerebras-gpt-111m&cluster=cs2&batch=8")
    monkeypatch.setattr(limits, "RUN_S", 0.5)
    started_s = time.perf_counter()
    answer = client.get(f"/?{urlencode({'settings': LONG, 'gpus': 'none'})}")
    assert time.perf_counter() - started_s < 5.0
    assert answer.status_code == 422
    assert "not done within 0.5 s" in answer.text
    monkeypatch.undo()
    assert client.get("/?gpus=none&model=cerebras-gpt-111m&cluster=cs2&batch=9").status_code == 200

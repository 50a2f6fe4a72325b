"""`wsesim serve` as a process: it says where it is, ends when it is told to, and says why it cannot start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import uvicorn

from wsesim.page import limits, server

SERVE = (sys.executable, "-m", "wsesim", "serve")
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@contextmanager
def serving(*options: str, preexec_fn: Any = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server at a free port, and its address."""
    process = subprocess.Popen(
        [*SERVE, "--port", "0", *options],
        preexec_fn=preexec_fn,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"http://\S+", said)
        assert address is not None, said
        yield process, address[0]
    finally:
        process.kill()
        process.communicate()


def wait_until_it_answers(address: str) -> bytes:
    for _ in range(100):
        try:
            with urlopen(f"{address}health") as answer:
                found: bytes = answer.read()
                return found
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


@POSIX
@pytest.mark.parametrize("is_working", [False, True])
def test_ctrl_c_ends_it_at_once(is_working: bool) -> None:
    with serving() as (process, address):
        assert b'"ok"' in wait_until_it_answers(address)
        if is_working:
            with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1].rstrip("/")))) as asked:
                asked.sendall(b"GET /plan?answer=yes HTTP/1.1\r\nhost: localhost\r\n\r\n")
                time.sleep(1.0)
        started_s = time.perf_counter()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=20)
        assert time.perf_counter() - started_s < 5.0
        assert process.returncode in (0, 130)
        assert said == "", said


def test_a_port_in_use_is_one_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*SERVE, "--port", str(port)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: --port {port}: something listens there already; choose another, or 0 for one that is free\n"
    )


@pytest.mark.parametrize(
    ("host", "said"), [("999.1.1.1", "error: --host 999.1.1.1: cannot be listened at"), ("", "error: --host is empty")]
)
def test_a_host_that_is_none_is_one_message(host: str, said: str) -> None:
    done = subprocess.run([*SERVE, "--host", host], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(said)


@POSIX
def test_others_can_reach_it_only_with_a_warning() -> None:
    with serving("--host", "0.0.0.0") as (process, address):
        assert address.startswith("http://127.0.0.1:"), "one that can be opened"
        wait_until_it_answers(address)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert said.startswith("warning: 0.0.0.0 can be reached from other machines")


async def _empty(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def listening() -> Iterator[int]:
    """The port of a server in this process that answers at once."""
    with server.bound("127.0.0.1", 0) as found:
        config = uvicorn.Config(_empty, http=server._Protocol, lifespan="off", log_level="error", timeout_keep_alive=1)
        serves = uvicorn.Server(config)
        thread = threading.Thread(target=serves.run, kwargs={"sockets": [found]})
        thread.start()
        try:
            yield found.getsockname()[1]
        finally:
            serves.should_exit = True
            thread.join()


WHOLE = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET /",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n",
        WHOLE[:-2] + b"content-length: 9\r\n\r\n1",
        WHOLE + b"GET /",
    ],
)
def test_a_half_sent_request_ends(half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_S", 0.3)
    with listening() as port, socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(half)
        told = b""
        while part := slow.recv(1000):  # until it is closed at the other end
            told += part
        assert b"200 OK" in told or b"\r\n\r\n" not in half


def test_a_request_that_comes_in_pieces_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_S", 20.0)
    with listening() as port, socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        for byte in WHOLE:
            slow.sendall(bytes([byte]))
        assert b"200 OK" in slow.recv(1000)


def test_connections_that_are_too_many_are_refused_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._Protocol, "most_connections", 4)
    with listening() as port, ExitStack() as held:
        many = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(8)]
        refused = [one.recv(1000) for one in many[4:]]
        assert all(answer.startswith(b"HTTP/1.1 503") for answer in refused)
        many[0].sendall(WHOLE)
        assert b"200 OK" in many[0].recv(1000)
        held.close()
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as late:
            late.sendall(WHOLE)
            assert b"200 OK" in late.recv(1000)


@POSIX
def test_with_few_file_descriptors_the_server_rests_and_answers_again() -> None:
    """As many connections as there are descriptors: the server is not busy with them, and says nothing of them."""
    resource = pytest.importorskip("resource")

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))

    with serving(preexec_fn=few) as (process, address):
        wait_until_it_answers(address)
        time.sleep(2.0)  # workers start
        port = int(address.rsplit(":", 1)[1].rstrip("/"))
        before_s = cpu_s(process.pid)
        with ExitStack() as held:
            for _ in range(200):
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            time.sleep(2.0)
            assert cpu_s(process.pid) - before_s < 1.5
        assert b'"ok"' in wait_until_it_answers(address)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert said == "", said


def cpu_s(pid: int) -> float:
    """Time that a process has computed. [s]"""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

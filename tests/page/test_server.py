"""`wsesim serve` as a process: it says where it is, ends when it is told to, and says why it cannot start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

SERVE = (sys.executable, "-m", "wsesim", "serve")
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server at a free port, and its address."""
    process = subprocess.Popen(
        [*SERVE, "--port", "0", *options],
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

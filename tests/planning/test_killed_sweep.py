"""Whatever dies, and whenever: finished rows stay, nothing runs twice, and the result is that of the undisturbed sweep."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

import wsesim
from wsesim.pool import Call, NotStarted, Pool, TookTooLong, WorkerKilled, tell
from wsesim.study.ledger import Ledger

ARGUMENTS = [
    *("sweep", "cerebras_gpt_111m", "--workers", "2", "--vary", "model.num_layers=1..30"),
    *("--vary", "cluster.num_systems=1..3", "--vary", "training.weight_sparsity=0.0..0.8+0.1"),
]
POINTS = 30 * 3 * 9
KILLS_AT_ROWS, KILLS_AT_START = 4, 2


def start(folder: Path, out: str, *more: str) -> subprocess.Popen[str]:
    """A sweep that hears interrupts also where these tests run in the background, which leaves them ignored."""
    program = (
        "import signal as s; s.signal(s.SIGINT, s.default_int_handler); from wsesim.commands.cli import main; main()"
    )
    command = [sys.executable, "-c", program, *ARGUMENTS, "--out", out, *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def num_rows(ledger: Path) -> int:
    """Rows that another process has finished so far; 0 while the ledger is being made."""
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5.0) as database:
            return int(database.execute("SELECT count(*) FROM rows").fetchone()[0])
    except sqlite3.Error:
        return 0


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and kills as Linux does")
def test_a_sweep_that_is_killed_again_and_again(tmp_path: Path) -> None:
    chance, ledger, orphans, kills = random.Random(7), tmp_path / "killed.csv.ledger", [], 0
    for attempt in range(30):
        process = start(tmp_path, "killed.csv")
        before = num_rows(ledger)
        if attempt < KILLS_AT_START:
            time.sleep(chance.uniform(0.2, 1.0))
        else:
            while kills < KILLS_AT_START + KILLS_AT_ROWS and process.poll() is None and num_rows(ledger) == before:
                time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 0.03))
        if kills == KILLS_AT_START + KILLS_AT_ROWS or process.poll() is not None:
            break
        orphans += children(process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        assert num_rows(ledger) >= before
    _, words = process.communicate()
    assert process.returncode == 0, words
    assert kills > KILLS_AT_START, "the sweep was over before it could be killed"
    undisturbed = start(tmp_path, "undisturbed.csv")
    assert undisturbed.communicate()[1] is not None
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()
    with Ledger(ledger) as book:
        assert list(book.evaluations().values()) == [1] * POINTS
    assert not any(map(is_running, orphans)), "workers outlive the sweep"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and kills as Linux does")
def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "a.csv")
    while process.poll() is None and num_rows(tmp_path / "a.csv.ledger") == 0:
        time.sleep(0.002)
    for pid in children(process)[:1]:
        os.kill(pid, signal.SIGKILL)
    _, words = process.communicate()
    assert process.returncode == 0, words
    assert f"{POINTS:,} points, {POINTS:,} with an answer" in words
    with Ledger(tmp_path / "a.csv.ledger") as book:
        assert list(book.evaluations().values()) == [1] * POINTS


@pytest.mark.skipif(sys.platform == "win32", reason="kills as Linux does")
def test_a_sweep_whose_workers_are_all_killed_again_and_again_has_the_rows_of_an_undisturbed_one() -> None:
    vary = {"model.num_layers": "1..6", "training.weight_sparsity": "0.0..0.9+0.1"}
    killed: set[int] = set()

    def kill(_finished: int, _points: int, _words: str) -> None:
        for worker in multiprocessing.active_children() if len(killed) < 4 else ():
            killed.add(int(worker.pid or 0))
            worker.kill()

    found = wsesim.sweep("cerebras_gpt_111m", vary, workers=2, progress=kill)
    assert len(killed) > 2, "no replacement was killed"
    assert found.rows == wsesim.sweep("cerebras_gpt_111m", vary, workers=1).rows


def test_a_pool_replaces_a_process_that_ends_whether_it_works_or_not() -> None:
    with Pool(1) as pool:
        os.kill(pool.submit(os.getpid).result(), signal.SIGTERM)
        assert pool.submit(abs, -4).result() == 4
        with pytest.raises(WorkerKilled, match="exit code 3"):
            pool.submit(os._exit, 3).result()
        assert pool.submit(abs, -4).result() == 4
        with pytest.raises(TookTooLong, match=r"not done within 0\.1 s"):
            pool.begin(Call(partial(time.sleep, 60), 0.1)).result()
        long, waits = pool.submit(time.sleep, 60), pool.submit(abs, -4)
        while not long.running():
            time.sleep(0.002)
    assert isinstance(long.exception(), WorkerKilled | NotStarted)
    assert waits.cancelled()
    assert not multiprocessing.active_children()


class TellsNobody(Exception):
    """An error that can be written, and not read again."""

    def __init__(self, *, _needed: int) -> None:
        super().__init__("in words")


def tells_nobody() -> None:
    raise TellsNobody(_needed=1)


def deaf(_text: str) -> None:
    raise KeyError("heard")


def test_what_cannot_be_sent_is_an_error_of_its_call_alone() -> None:
    with Pool(1) as pool:
        first = pool.submit(os.getpid).result()
        with pytest.raises(RuntimeError, match="TellsNobody: in words"):
            pool.submit(tells_nobody).result()
        with pytest.raises((TypeError, AttributeError), match="pickle"):
            pool.submit(threading.Lock).result()
        with pytest.raises((TypeError, AttributeError), match="pickle"):
            pool.submit(lambda: 1).result()
        assert pool.submit(os.getpid).result() == first
        with pytest.raises(KeyError, match="heard"):
            pool.begin(Call(partial(tell, "half"), heard=deaf)).result()
        assert pool.submit(abs, -4).result() == 4, "not what the call before it returned"


def test_a_call_that_is_given_up_ends_no_other() -> None:
    with Pool(1) as pool:
        done = Call(partial(abs, -4))
        assert pool.begin(done).result() == 4
        other = pool.submit(time.sleep, 0.1)
        done.give_up()
        assert other.result() is None


def test_two_processes_work_on_one_ledger(tmp_path: Path) -> None:
    both = [start(tmp_path, out, "--ledger", "both.ledger") for out in ("a.csv", "b.csv")]
    words = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], words
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with Ledger(tmp_path / "both.ledger") as book:
        assert list(book.evaluations().values()) == [1] * POINTS


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    process = start(tmp_path, "a.csv", "--vary", "cluster.memoryx.egress_bytes_per_s=1e11..1e12+1e11")
    while process.poll() is None and num_rows(tmp_path / "a.csv.ledger") == 0:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, words = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "repeat the command to go on" in words
    assert "Traceback" not in words


DASK = """
import os, signal, sys
from pathlib import Path
from distributed import Client, LocalCluster
import wsesim

def pid():
    return os.getpid()

if __name__ == "__main__":
    vary = {"model.num_layers": "1..30", "cluster.num_systems": "1..3", "training.weight_sparsity": "0.0..0.8+0.1"}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        killed = []
        def progress(finished, points, words):
            if finished > 100 and not killed:
                killed.append(sorted(client.run(pid).values())[0])
                os.kill(killed[0], signal.SIGKILL)
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        result = wsesim.sweep("cerebras_gpt_111m", vary, out="dask.csv", executor=address, progress=progress)
        assert killed and len(result) == 810 and result.count("ok") == 810, result
"""


def test_a_dask_worker_that_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    script = tmp_path / "on_dask.py"
    script.write_text(DASK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert start(tmp_path, "here.csv").communicate() is not None
    assert (tmp_path / "dask.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    with Ledger(tmp_path / "dask.csv.ledger") as book:
        assert list(book.evaluations().values()) == [1] * POINTS

"""A ledger that cannot be used is one message, and stays as it is."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from wsesim.errors import InputError
from wsesim.study.ledger import Ledger
from wsesim.study.workers import Outcome

ROW = Outcome("ok", "", {"step_time_s": 1.5})


def filled(path: Path, count: int = 3) -> Path:
    with Ledger(path) as ledger:
        keys = [f"k{place}" for place in range(count)]
        ledger.note_sweep("s1", "tiny", {"name": list(keys)}, (), [(key, [key]) for key in keys])
        ledger.record(dict.fromkeys(keys, ROW))
    return path


def test_rows_come_back(tmp_path: Path) -> None:
    with Ledger(filled(tmp_path / "a.ledger"), must_exist=True) as ledger:
        assert ledger.finished(["k0", "k9"]) == {"k0"}
        assert ledger.outcomes(["k0"]) == {"k0": ROW}
        assert ledger.evaluations() == {"k0": 1, "k1": 1, "k2": 1}
        (entry,) = ledger.entries()
        assert (entry.num_points, entry.num_finished, entry.num_ok) == (3, 3, 3)
        assert ledger.points("s1") == [("k0", ["k0"]), ("k1", ["k1"]), ("k2", ["k2"])]


def test_a_commit_is_on_the_disk(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a.ledger") as ledger:
        ask = ledger._db.execute
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ask("PRAGMA synchronous").fetchone() == (2,)


def test_two_processes_share_the_points(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "a.ledger"), Ledger(tmp_path / "a.ledger")
    assert one.claim(["a", "b"]) == ({"a", "b"}, set())
    assert other.claim(["b", "c"]) == ({"c"}, {"b"})
    one.record({"b": ROW})
    assert other.claim(["b"]) == (set(), set())
    one.close()
    assert other.claim(["a"]) == ({"a"}, set())
    other.close()


def test_claims_of_the_dead_are_void(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.ledger", 1)
    code = f"import os; from wsesim.study.ledger import *; Ledger(Path({str(path)!r})).claim(['a']); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with Ledger(path) as ledger:
        assert ledger.claim(["a"]) == ({"a"}, set())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_text("step,time\n1,2\n"), "is no ledger"),
        (lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100)), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "damaged"),
        (lambda path: change(path, "PRAGMA user_version = 7"), "another version of wsesim"),
        (lambda path: change(path, "PRAGMA application_id = 7"), "is no ledger"),
        (lambda path: change(path, "DROP TABLE claims"), "damaged"),
    ],
    ids=["csv", "garbage", "cut", "other version", "other database", "missing table"],
)
def test_what_is_no_ledger_stays_intact(tmp_path: Path, spoil: object, words: str) -> None:
    path = filled(tmp_path / "a.ledger", 200)
    spoil(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(InputError, match=words) as caught, Ledger(path) as ledger:
        ledger.claim(["new"])
    assert str(caught.value).startswith(str(path))
    assert path.read_bytes() == before


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


def test_places_that_cannot_be(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "a.ledger", "does not exist")):
        with pytest.raises(InputError, match=words):
            Ledger(path)
    with pytest.raises(InputError, match="there is no such ledger"):
        Ledger(tmp_path / "a.ledger", must_exist=True)


def test_clean(tmp_path: Path) -> None:
    with Ledger(filled(tmp_path / "a.ledger")) as ledger:
        ledger.record({"bad": Outcome("refused", "too large", {})})
        assert ledger.clean(failures=True) == 1
        assert ledger.clean(old_versions=True) == 0
        ledger._db.execute("UPDATE rows SET version = '0.0.1' WHERE key = 'k0'")
        assert ledger.clean(old_versions=True) == 1
        with pytest.raises(InputError, match="no sweeps start"):
            ledger.clean(sweep="zzz")
        assert ledger.clean(sweep="s1") == 2
        assert ledger.entries() == []


def test_several_may_make_the_same_ledger_at_once(tmp_path: Path) -> None:
    """Each sees a new file, or a whole one; never one that another is in the middle of making."""

    def make(place: Path, together: Barrier) -> None:
        together.wait()
        Ledger(place).close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(25):
            together = Barrier(4)
            for made in [pool.submit(make, tmp_path / f"{number}.ledger", together) for _ in range(4)]:
                made.result()

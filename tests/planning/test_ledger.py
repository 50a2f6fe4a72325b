"""A ledger that cannot be used is one message, and stays as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Barrier

import pytest

from wsesim import __version__
from wsesim.errors import InputError
from wsesim.study.ledger import BESIDE, Ledger
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


ROWS = {f"k{place}": Outcome("ok", 'it\'s "fine"', {"step_time_s": 21.8 + place}) for place in range(12)}


def shared(path: Path) -> Path:
    """A ledger of two sweeps with twelve rows."""
    with Ledger(path) as ledger:
        for name in ("s1", "s2"):
            ledger.note_sweep(name, "tiny", {"a.b": list(range(12))}, (), points())
        ledger.record(ROWS)
    return path


def points() -> list[tuple[str, list[int]]]:
    return [(f"k{place}", [place]) for place in range(12)]


@pytest.mark.parametrize(
    ("old", "new"),
    [("21.8", "91.8"), ('"step_time_s"', "'step_time_s'"), ("ok", "no"), (f"k0{__version__}", f"k\x80{__version__}")],
)
def test_a_damaged_row_is_named_and_simulated_again(tmp_path: Path, old: str, new: str) -> None:
    path = shared(tmp_path / "a.ledger")
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(spoilt(content, old, new))
    with Ledger(path, read_only=True) as ledger:
        ledger.look_through()
        assert ledger.damaged
        assert ledger.outcomes(ROWS).items() <= ROWS.items()
    with Ledger(path) as ledger:
        missing = ROWS.keys() - ledger.finished(ROWS)
        assert missing
        assert ledger.claim(sorted(missing)) == (missing, set())
        ledger.record({key: ROWS[key] for key in missing})
        assert ledger.outcomes(ROWS) == ROWS
    with Ledger(path, read_only=True) as ledger:
        ledger.look_through()
        assert ledger.damaged == []


def spoilt(content: bytes, old: str, new: str) -> bytes:
    """The last place of a text replaced by another one of its length."""
    before, _, after = content.rpartition(old.encode("latin-1"))
    return before + new.encode("latin-1") + after


def test_a_damaged_row_is_named_by_its_point(tmp_path: Path) -> None:
    path = shared(tmp_path / "a.ledger")
    path.write_bytes(spoilt(path.read_bytes(), "26.8", "96.8"))
    with Ledger(path, read_only=True) as ledger:
        assert ledger.outcomes(ROWS) == {key: row for key, row in ROWS.items() if key != "k5"}
        assert ledger.damaged == [
            f"{path}: the row of a.b = 5 is damaged; it does not count, and its sweep simulates it again"
        ]


def test_no_flipped_bit_is_believed(tmp_path: Path) -> None:
    """Anywhere in the file: refused as a whole, or what is damaged is left out; and a sweep mends it."""
    content = shared(tmp_path / "a.ledger").read_bytes()
    path, random = tmp_path / "b.ledger", Random(0)
    refused = mended = 0
    for place in random.sample([place for place, byte in enumerate(content) if byte], 80):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :])
        try:
            with Ledger(path, read_only=True) as ledger:
                assert ledger.outcomes(ROWS).items() <= ROWS.items()
                for entry in ledger.entries():
                    assert entry.vary == {"a.b": list(range(12))}
                    assert all(found in points() for found in ledger.points(entry.sweep))
            with Ledger(path) as ledger:
                ledger.record({key: ROWS[key] for key in ROWS.keys() - ledger.finished(ROWS)})
                ledger.note_sweep("s1", "tiny", {"a.b": list(range(12))}, (), points())
            with Ledger(path, read_only=True) as ledger:
                assert ledger.outcomes(ROWS) == ROWS
                assert ledger.points("s1") == points()
            mended += 1
        except InputError:
            refused += 1
        for end in BESIDE:
            Path(f"{path}{end}").unlink(missing_ok=True)
    assert refused > 10
    assert mended > 10


def test_other_tables_are_no_ledger(tmp_path: Path) -> None:
    """A view could make a question to it last for ever."""
    path = shared(tmp_path / "a.ledger")
    change(path, "CREATE VIEW more AS SELECT * FROM rows")
    with pytest.raises(InputError, match="damaged"):
        Ledger(path, read_only=True)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Not as root, who may write anywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(0)


@pytest.mark.parametrize("is_open_elsewhere", [False, True])
def test_a_ledger_in_a_read_only_folder_can_be_read(is_open_elsewhere: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), shared(Path(name) / "a.ledger")
        writer = Ledger(path)
        if is_open_elsewhere:
            writer.record({"more": ROW})
            for end in ("", "-wal", "-shm"):
                shutil.copy(f"{path}{end}", f"{folder}/b.ledger{end}")
            path = folder / "b.ledger"
        writer.close()
        for one in folder.iterdir():
            one.chmod(0o444)
        folder.chmod(0o555)
        try:
            with as_nobody(), Ledger(path, read_only=True) as ledger:
                assert ledger.outcomes(ROWS) == ROWS
                assert len(ledger.entries()) == 2
                assert ledger.num_rows() == len(ROWS) + is_open_elsewhere
                assert "wsesim-" not in str(list(folder.iterdir()))
            with as_nobody(), pytest.raises(InputError, match="cannot be"), Ledger(path) as ledger:
                ledger.claim(["new"])
        finally:
            folder.chmod(0o755)


def test_a_locked_ledger_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared(tmp_path / "a.ledger")
    monkeypatch.setattr("wsesim.study.ledger.WAIT_S", 0.05)
    with Ledger(path) as ledger, ledger._writing(), Ledger(path) as other, pytest.raises(InputError, match="is locked"):
        other.claim(["new"])


def test_an_older_ledger_is_refused(tmp_path: Path) -> None:
    path = shared(tmp_path / "a.ledger")
    change(path, "PRAGMA user_version = 1")
    with pytest.raises(InputError, match=r"another version of wsesim \(layout 1, this one has 2\)"):
        Ledger(path, read_only=True)

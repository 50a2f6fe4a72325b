"""The ledger of sweeps: a SQLite file that holds every finished point, whatever happens to the process.

Rows are found by the content of the configuration and the version of wsesim, not by the sweep that made
them: a sweep finds what any other one in the same ledger has finished. A commit is on the disk before
it is reported (write-ahead log, ``synchronous = FULL``). Several processes may work on one ledger: points are
claimed before they are run, and claims of processes that died are void.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from wsesim import __version__
from wsesim.config.reading import check_kind
from wsesim.errors import InputError
from wsesim.study.workers import Outcome

APPLICATION_ID = 0x77736531
LAYOUT = 1
BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite keeps beside a ledger."""
"""Of the tables below; another number is another layout."""
WAIT_S = 60.0
"""For a lock that another process holds. [s]"""
LEASE_S = 600.0
"""After so long without a sign, a process on another machine counts as dead. [s]"""
AT_ONCE = 500
"""Keys in one question to the database. [-]"""
_TABLES = """
CREATE TABLE rows (
    key TEXT PRIMARY KEY, version TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL, answers TEXT NOT NULL,
    evaluations INTEGER NOT NULL DEFAULT 1, finished_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE sweeps (
    id TEXT PRIMARY KEY, run TEXT NOT NULL, keys TEXT NOT NULL, vary TEXT NOT NULL, settings TEXT NOT NULL,
    version TEXT NOT NULL, used_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE points (
    sweep TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, point TEXT NOT NULL,
    PRIMARY KEY (sweep, place)) WITHOUT ROWID;
CREATE INDEX points_by_key ON points (key);
CREATE TABLE owners (
    owner TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, seen_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """One sweep of a ledger."""

    sweep: str
    run: str
    keys: tuple[str, ...]
    vary: dict[str, list[Any]]
    settings: tuple[str, ...]
    version: str
    used_s: float
    num_points: int
    num_finished: int
    num_ok: int


def _started(pid: int) -> str:
    """When a process started, so that another one with its number is not mistaken for it; "" where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_alive(pid: int, started: str = "") -> bool:
    """Whether a process of this machine still runs; True where that cannot be found out."""
    if os.name == "nt":  # the question below would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not started or _started(pid) in (started, "")


class Ledger:
    """A ledger that is open.

    Parameters
    ----------
    path
        Its file, made where there is none; None keeps rows in memory only.
    must_exist
        Refuse to make one.
    """

    def __init__(self, path: Path | None, *, must_exist: bool = False) -> None:
        self.path = path
        self.owner = uuid4().hex
        if path is not None:
            self._check_file(path, must_exist=must_exist)
        with self._in_words():
            name = ":memory:" if path is None else str(path)
            self._db = sqlite3.connect(name, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _check_file(self, path: Path, *, must_exist: bool) -> None:
        try:
            for one in (path, *(Path(f"{path}{end}") for end in BESIDE)):
                with suppress(FileNotFoundError):
                    check_kind(one.stat().st_mode, str(one))
            if path.exists():
                with path.open("rb") as file:
                    if file.read(16) not in (b"", b"SQLite format 3\x00"):
                        raise self._is_no_ledger()
            elif must_exist:
                raise InputError(f"{path}: there is no such ledger; a sweep keeps its own beside --out, as FILE.ledger")
            elif not path.parent.is_dir():
                raise InputError(f"{path}: the folder {path.parent} does not exist; make it, or name another --ledger")
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None

    def _is_no_ledger(self) -> InputError:
        return InputError(f"{self.path}: is no ledger of sweeps; move it away, or name another file with --ledger")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Errors of the database as one message."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if any(
                sign in text for sign in ("not a database", "malformed", "corrupt", "no such table", "no such column")
            ):
                words = f"is damaged ({text}); nothing was changed; restore it, or move it away and sweep again"
            elif any(
                sign in text for sign in ("full", "disk I/O", "unable to open", "readonly", "read-only", "too big")
            ):
                words = (
                    f"cannot be written ({text}); finished rows are kept; check free space and permissions, and go on"
                )
            elif "locked" in text:
                words = f"is locked by another process for more than {WAIT_S:.0f} s; wait for it, or end it"
            else:
                words = f"cannot be used ({text}); name another file with --ledger"
            raise InputError(f"{self.path}: {words}") from None

    def _open(self) -> None:
        db = self._db
        db.execute("BEGIN")  # one view of the file, which another process may be making
        (name,) = db.execute("PRAGMA application_id").fetchone()
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        is_new = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        db.execute("COMMIT")
        if not is_new and name != APPLICATION_ID:
            raise self._is_no_ledger()
        if not is_new and layout != LAYOUT:
            raise InputError(
                f"{self.path}: was written by another version of wsesim (layout {layout}, this one has {LAYOUT}); "
                "use that version, or name another file with --ledger"
            )
        if not is_new and db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("malformed")
        self._switch_to_wal()
        db.execute("PRAGMA synchronous = FULL")
        if is_new:
            self._make_tables()

    def _switch_to_wal(self) -> None:
        """SQLite does not wait for a lock here, so we do."""
        until_s = time.monotonic() + WAIT_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until_s:
                    raise
                time.sleep(0.01)

    def _make_tables(self) -> None:
        with self._writing():
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {LAYOUT}")

    def close(self) -> None:
        """Give up all claims, and close the file."""
        try:
            with self._in_words(), self._writing():
                self._db.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
                self._db.execute("DELETE FROM owners WHERE owner = ?", (self.owner,))
        except InputError:
            pass  # claims of a process that has ended are void
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _among(self, question: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        keys = list(keys)
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            yield from self._db.execute(question.format(",".join("?" * len(some))), some)

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Those keys that have a row."""
        with self._in_words():
            return {key for (key,) in self._among("SELECT key FROM rows WHERE key IN ({})", keys)}

    def outcomes(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """Rows of those keys that have one."""
        question = "SELECT key, status, message, answers FROM rows WHERE key IN ({})"
        with self._in_words():
            return {
                key: Outcome(status, message, json.loads(answers))
                for key, status, message, answers in self._among(question, keys)
            }

    def note_sweep(
        self,
        sweep: str,
        run: str,
        vary: Mapping[str, Sequence[Any]],
        settings: Sequence[str],
        points: Sequence[tuple[str, Sequence[Any]]],
    ) -> None:
        """Remember what a sweep consists of, so that it can be listed and exported."""
        about = (sweep, run, json.dumps(list(vary)), json.dumps(vary, default=str), json.dumps(list(settings)))
        with self._in_words(), self._writing():
            self._db.execute("INSERT OR REPLACE INTO sweeps VALUES (?,?,?,?,?,?,?)", (*about, __version__, time.time()))
            count = self._db.execute("SELECT count(*) FROM points WHERE sweep = ?", (sweep,)).fetchone()[0]
            if count != len(points):
                rows = (
                    (sweep, place, key, json.dumps(values, default=str)) for place, (key, values) in enumerate(points)
                )
                self._db.executemany("INSERT OR REPLACE INTO points VALUES (?,?,?,?)", rows)

    def claim(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        """Claim points; those that are ours now, and those that others work on. The rest has a row."""
        with self._in_words(), self._writing():
            me = (self.owner, socket.gethostname(), os.getpid(), _started(os.getpid()), time.time())
            self._db.execute("INSERT OR REPLACE INTO owners VALUES (?,?,?,?,?)", me)
            for owner, host, pid, started, seen_s in self._db.execute("SELECT * FROM owners").fetchall():
                if owner != self.owner and self._is_gone(host, pid, started, seen_s):
                    self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))
                    self._db.execute("DELETE FROM owners WHERE owner = ?", (owner,))
            done = {key for (key,) in self._among("SELECT key FROM rows WHERE key IN ({})", keys)}
            claimed = dict(self._among("SELECT key, owner FROM claims WHERE key IN ({})", keys))
            others = {key for key, owner in claimed.items() if owner != self.owner} - done
            ours = set(keys) - done - others
            self._db.executemany("INSERT OR REPLACE INTO claims VALUES (?,?)", ((key, self.owner) for key in ours))
        return ours, others

    @staticmethod
    def _is_gone(host: str, pid: int, started: str, seen_s: float) -> bool:
        if host == socket.gethostname() and os.name != "nt":
            return not is_alive(pid, started)
        return time.time() - seen_s > LEASE_S

    def record(self, outcomes: Mapping[str, Outcome]) -> None:
        """Keep finished rows: on the disk when this returns."""
        now_s = time.time()
        rows = [
            (key, __version__, one.status, one.message, one.encoded or json.dumps(one.answers), now_s)
            for key, one in outcomes.items()
        ]
        with self._in_words(), self._writing():
            self._db.executemany(
                "INSERT INTO rows (key, version, status, message, answers, finished_s) VALUES (?,?,?,?,?,?) "
                "ON CONFLICT (key) DO UPDATE SET evaluations = evaluations + 1",
                rows,
            )
            self._db.executemany("DELETE FROM claims WHERE key = ?", [(key,) for key in outcomes])
            self._db.execute("UPDATE owners SET seen_s = ? WHERE owner = ?", (now_s, self.owner))

    def entries(self) -> list[Entry]:
        """All sweeps, the one that was used last at the end."""
        question = """
            SELECT id, run, keys, vary, settings, sweeps.version, used_s, count(points.key), count(rows.key),
                   coalesce(sum(rows.status = 'ok'), 0)
            FROM sweeps LEFT JOIN points ON points.sweep = id LEFT JOIN rows ON rows.key = points.key
            GROUP BY id ORDER BY used_s"""
        with self._in_words():
            found = self._db.execute(question).fetchall()
        return [
            Entry(sweep, run, tuple(json.loads(keys)), json.loads(vary), tuple(json.loads(settings)), *rest)
            for sweep, run, keys, vary, settings, *rest in found
        ]

    def entry(self, sweep: str | None = None) -> Entry:
        """One sweep by the start of its name; the one that was used last by default."""
        entries = self.entries()
        found = [one for one in entries if sweep is None or one.sweep.startswith(sweep)]
        if not entries:
            raise InputError(f"{self.path}: holds no sweep; run `wsesim sweep` with --ledger {self.path}")
        if not found or (sweep is not None and len(found) > 1):
            known = ", ".join(one.sweep for one in entries)
            raise InputError(f"{self.path}: {len(found) or 'no'} sweeps start with {sweep!r}; it holds {known}")
        return found[-1]

    def points(self, sweep: str) -> list[tuple[str, list[Any]]]:
        """Keys and values of a sweep's points, in order."""
        with self._in_words():
            found = self._db.execute("SELECT key, point FROM points WHERE sweep = ? ORDER BY place", (sweep,))
            return [(key, json.loads(point)) for key, point in found]

    def evaluations(self) -> dict[str, int]:
        """How many times each row was worked out; more than once only where two processes could not know of each other."""
        with self._in_words():
            return dict(self._db.execute("SELECT key, evaluations FROM rows"))

    def num_rows(self) -> int:
        """Rows of all sweeps. [-]"""
        with self._in_words():
            return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    def clean(self, *, failures: bool = False, old_versions: bool = False, sweep: str | None = None) -> int:
        """Remove rows, and give back their space; how many there were. [-]"""
        before = self.num_rows()
        name = self.entry(sweep).sweep if sweep is not None else None
        with self._in_words():
            with self._writing():
                if name is not None:
                    self._db.execute("DELETE FROM points WHERE sweep = ?", (name,))
                    self._db.execute("DELETE FROM sweeps WHERE id = ?", (name,))
                    self._db.execute("DELETE FROM rows WHERE key NOT IN (SELECT key FROM points)")
                if failures:
                    self._db.execute("DELETE FROM rows WHERE status <> 'ok'")
                if old_versions:
                    self._db.execute("DELETE FROM rows WHERE version <> ?", (__version__,))
                    old = "SELECT id FROM sweeps WHERE version <> ?"
                    self._db.execute(f"DELETE FROM points WHERE sweep IN ({old})", (__version__,))
                    self._db.execute("DELETE FROM sweeps WHERE version <> ?", (__version__,))
            self._db.execute("VACUUM")
        return before - self.num_rows()

"""The ledger of sweeps: a SQLite file that holds every finished point, whatever happens to the process.

Rows are found by the content of the configuration and the version of wsesim, not by the sweep that made
them: a sweep finds what any other one in the same ledger has finished. A commit is on the disk before
it is reported (write-ahead log, ``synchronous = FULL``). Several processes may work on one ledger: points are
claimed before they are run, and claims of processes that died are void. Every row carries a checksum; one that
does not agree with its row is named, and the row counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from wsesim.config.catalogue import check_kind
from wsesim.errors import InputError
from wsesim.study.workers import Outcome
from wsesim.version import __version__

APPLICATION_ID = 0x77736531
LAYOUT = 2
"""Of the tables below; another number is another layout."""
BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite keeps beside a ledger."""
LONGEST_CELL_BYTES = 100_000_000
"""Text of one cell: what varies in a sweep of millions of points. [bytes]"""
MOST_NAMED = 20
"""Damaged rows that are named one by one. [-]"""
WAIT_S = 60.0
"""For a lock that another process holds. [s]"""
LEASE_S = 600.0
"""After so long without a sign, a process on another machine counts as dead. [s]"""
AT_ONCE = 500
"""Keys in one question to the database. [-]"""
_TABLES = """
CREATE TABLE rows (
    key TEXT PRIMARY KEY, version TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL, answers TEXT NOT NULL,
    finished_s REAL NOT NULL, checksum TEXT NOT NULL, evaluations INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
CREATE TABLE sweeps (
    id TEXT PRIMARY KEY, run TEXT NOT NULL, keys TEXT NOT NULL, vary TEXT NOT NULL, settings TEXT NOT NULL,
    version TEXT NOT NULL, checksum TEXT NOT NULL, used_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE points (
    sweep TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, point TEXT NOT NULL, checksum TEXT NOT NULL,
    PRIMARY KEY (sweep, place)) WITHOUT ROWID;
CREATE INDEX points_by_key ON points (key);
CREATE TABLE owners (
    owner TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, seen_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
"""

_OF_ROWS = "key, version, status, message, answers, finished_s, checksum"


def _checksum(*cells: Any) -> str:
    """What a row has to agree with, kind of each cell included."""
    told = "\n".join(map(repr, cells)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(told, digest_size=8).hexdigest()


def _is_intact(row: Sequence[Any]) -> bool:
    """Whether a row is as it was written; its last cell is the checksum of those before it."""
    return bool(row[-1] == _checksum(*row[:-1]))


def _text(raw: bytes) -> str:
    """Text of a cell; what is no UTF-8 any longer is for the checksum to find."""
    return raw.decode("utf-8", "surrogateescape")


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


def _statements() -> set[str]:
    """Of all tables, as SQLite keeps them."""
    return {statement.strip() for statement in _TABLES.split(";\n") if statement.strip()}


class Ledger:
    """A ledger that is open.

    Parameters
    ----------
    path
        Its file, made where there is none; None keeps rows in memory only.
    must_exist
        Refuse to make one.
    read_only
        Change nothing, wherever it lies; it must exist.

    Attributes
    ----------
    damaged
        A message for every row that does not agree with its checksum, as they are met.
    """

    def __init__(self, path: Path | None, *, must_exist: bool = False, read_only: bool = False) -> None:
        self.path = path
        self.owner = uuid4().hex
        self.read_only = read_only
        self._damaged: dict[str, str] = {}
        self._copy: Path | None = None
        if path is not None:
            self._check_file(path, must_exist=must_exist or read_only)
        with self._in_words():
            if path is not None and read_only:
                self._open_to_read(path)
            else:
                self._connect(":memory:" if path is None else str(path))

    def _connect(self, name: str) -> None:
        self._db = sqlite3.connect(
            name, timeout=WAIT_S, isolation_level=None, check_same_thread=False, uri=name.startswith("file:")
        )
        self._db.text_factory = _text
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_CELL_BYTES)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open_to_read(self, path: Path) -> None:
        """Open a file that is not changed; a copy of it where SQLite cannot put its own files beside it."""
        try:
            self._connect(f"{path.absolute().as_uri()}?mode=rw")
        except sqlite3.OperationalError as error:
            if not any(sign in str(error) for sign in ("unable to open", "readonly", "read-only")):
                raise
            self._copy = Path(tempfile.mkdtemp(prefix="wsesim-"))
            for end in ("", "-wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{end}", self._copy / f"ledger{end}")
            try:
                self._connect(str(self._copy / "ledger"))
            except BaseException:
                shutil.rmtree(self._copy, ignore_errors=True)
                raise

    @property
    def damaged(self) -> list[str]:
        """What was found to be damaged, in words."""
        found = list(self._damaged.values())
        more = [f"{self.path}: and {len(found) - MOST_NAMED:,} more"] if len(found) > MOST_NAMED else []
        return found[:MOST_NAMED] + more

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
        except (ValueError, TypeError, RecursionError):  # a text that has its checksum, and is none of ours
            raise InputError(f"{self.path}: is damaged; nothing was changed; move it away, and sweep again") from None

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
        if not is_new and {text for (text,) in db.execute("SELECT sql FROM sqlite_master") if text} != _statements():
            raise sqlite3.DatabaseError("other tables, malformed")
        db.execute("CREATE TEMP TABLE damaged (key TEXT PRIMARY KEY)")
        if self.read_only:
            if is_new:
                raise self._is_no_ledger()
            return
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
            with self._in_words(), self._writing() if not self.read_only else nullcontext():
                for table in () if self.read_only else ("claims", "owners"):
                    self._db.execute(f"DELETE FROM {table} WHERE owner = ?", (self.owner,))
        except InputError:
            pass  # claims of a process that has ended are void
        self._db.close()
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)

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
            yield from self._db.execute(question.format(",".join("?" * len(some))), some).fetchall()

    def _intact(self, keys: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
        """Key, status, message and answers of those rows that are as they were written; the others are noted."""
        for row in self._among(f"SELECT {_OF_ROWS} FROM rows WHERE key IN ({{}})", keys):
            if _is_intact(row):
                yield row[0], row[2], row[3], row[4]
            else:
                self._note_damaged(str(row[0]), f"the row of {self._name(str(row[0]))}")

    def _note_damaged(self, key: str, what: str) -> None:
        key, what = (text.encode("utf-8", "backslashreplace").decode() for text in (key, what))
        self._damaged.setdefault(
            what, f"{self.path}: {what} is damaged; it does not count, and its sweep simulates it again"
        )
        self._db.execute("INSERT OR IGNORE INTO damaged VALUES (?)", (key,))

    def _name(self, key: str) -> str:
        """What a row is about, in the words of a sweep that has it."""
        question = """
            SELECT keys, point FROM points JOIN sweeps ON sweeps.id = sweep WHERE key = ? ORDER BY used_s DESC LIMIT 1"""
        try:
            found = self._db.execute(question, (key,)).fetchone()
            said = zip(json.loads(found[0]), json.loads(found[1]), strict=True)
            return ", ".join(f"{name} = {value}" for name, value in said)
        except (TypeError, ValueError, RecursionError):
            return repr(key)

    def _drop_damaged(self) -> None:
        """Rows that are damaged make room for those that are simulated again; in a transaction.

        All are written anew, since a damaged key stands where no search finds it, nor what lies behind it.
        """
        if self._db.execute("SELECT 1 FROM damaged").fetchone():
            kept = self._db.execute(f"SELECT {_OF_ROWS}, evaluations FROM rows").fetchall()
            self._db.execute("DELETE FROM rows")
            intact = [row for row in kept if _is_intact(row[:-1])]
            self._db.executemany(
                f"INSERT OR REPLACE INTO rows ({_OF_ROWS}, evaluations) VALUES (?,?,?,?,?,?,?,?)", intact
            )
            self._db.execute("DELETE FROM damaged")

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Those keys that have a row; where some have none, all rows are looked through for damage."""
        keys = set(keys)
        found = {key for key, *_ in self._intact(keys)}
        with self._in_words():
            if found != keys:
                self.look_through()
            with self._writing() if self._damaged else nullcontext():
                self._drop_damaged()
            return {key for key, *_ in self._intact(keys)} if self._damaged else found

    def outcomes(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """Rows of those keys that have one."""
        with self._in_words():
            return {
                key: Outcome(status, message, json.loads(text)) for key, status, message, text in self._intact(keys)
            }

    def look_through(self) -> None:
        """Find every damaged row."""
        with self._in_words():
            for row in self._db.execute(f"SELECT {_OF_ROWS} FROM rows").fetchall():
                if not _is_intact(row):
                    self._note_damaged(str(row[0]), f"the row of {self._name(str(row[0]))}")

    def note_sweep(
        self,
        sweep: str,
        run: str,
        vary: Mapping[str, Sequence[Any]],
        settings: Sequence[str],
        points: Sequence[tuple[str, Sequence[Any]]],
    ) -> None:
        """Remember what a sweep consists of, so that it can be listed and exported."""
        about = (
            sweep,
            run,
            json.dumps(list(vary)),
            json.dumps(vary, default=str),
            json.dumps(list(settings)),
            __version__,
        )
        rows = [(sweep, place, key, json.dumps(values, default=str)) for place, (key, values) in enumerate(points)]
        expected = [(*row, _checksum(*row)) for row in rows]
        with self._in_words(), self._writing():
            last = (*about, _checksum(*about), time.time())
            self._db.execute("INSERT OR REPLACE INTO sweeps VALUES (?,?,?,?,?,?,?,?)", last)
            if self._db.execute("SELECT * FROM points WHERE sweep = ? ORDER BY place", (sweep,)).fetchall() != expected:
                self._db.execute("DELETE FROM points WHERE sweep = ?", (sweep,))
                try:
                    self._db.executemany("INSERT INTO points VALUES (?,?,?,?,?)", expected)
                except sqlite3.IntegrityError:  # a damaged one stands where no search finds it
                    kept = [
                        row for row in self._db.execute("SELECT * FROM points") if row[0] != sweep and _is_intact(row)
                    ]
                    self._db.execute("DELETE FROM points")
                    self._db.executemany("INSERT OR REPLACE INTO points VALUES (?,?,?,?,?)", kept + expected)

    def claim(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        """Claim points; those that are ours now, and those that others work on. The rest has a row."""
        with self._in_words(), self._writing():
            me = (self.owner, socket.gethostname(), os.getpid(), _started(os.getpid()), time.time())
            self._db.execute("INSERT OR REPLACE INTO owners VALUES (?,?,?,?,?)", me)
            for owner, host, pid, started, seen_s in self._db.execute("SELECT * FROM owners").fetchall():
                if owner != self.owner and self._is_gone(host, pid, started, seen_s):
                    self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))
                    self._db.execute("DELETE FROM owners WHERE owner = ?", (owner,))
            done = {key for key, *_ in self._intact(keys)}
            self._drop_damaged()
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
        cells = [
            (key, __version__, one.status, one.message, one.encoded or json.dumps(one.answers), now_s)
            for key, one in outcomes.items()
        ]
        rows = [(*row, _checksum(*row)) for row in cells]
        with self._in_words(), self._writing():
            self._db.executemany(
                f"INSERT INTO rows ({_OF_ROWS}) VALUES (?,?,?,?,?,?,?) "
                "ON CONFLICT (key) DO UPDATE SET evaluations = evaluations + 1",
                rows,
            )
            self._db.executemany("DELETE FROM claims WHERE key = ?", [(key,) for key in outcomes])
            self._db.execute("UPDATE owners SET seen_s = ? WHERE owner = ?", (now_s, self.owner))

    def entries(self) -> list[Entry]:
        """All sweeps, the one that was used last at the end."""
        question = """
            SELECT id, run, keys, vary, settings, sweeps.version, sweeps.checksum, used_s, count(points.key), count(rows.key),
                   coalesce(sum(rows.status = 'ok'), 0)
            FROM sweeps LEFT JOIN points ON points.sweep = id
                        LEFT JOIN rows ON rows.key = points.key AND rows.key NOT IN (SELECT key FROM damaged)
            GROUP BY id ORDER BY used_s"""
        with self._in_words():
            found = self._db.execute(question).fetchall()
            for row in found:
                if not _is_intact(row[:7]):
                    self._note_damaged("", f"the sweep {row[0]!r}")
            return [
                Entry(
                    sweep, run, tuple(json.loads(keys)), json.loads(vary), tuple(json.loads(settings)), version, *rest
                )
                for sweep, run, keys, vary, settings, version, checksum, *rest in found
                if _is_intact((sweep, run, keys, vary, settings, version, checksum))
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
            found = self._db.execute("SELECT * FROM points WHERE sweep = ? ORDER BY place", (sweep,)).fetchall()
            for row in found:
                if not _is_intact(row):
                    self._note_damaged("", f"point {row[1]} of the sweep {sweep!r}")
            return [(row[2], json.loads(row[3])) for row in found if _is_intact(row)]

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
        self.look_through()
        before = self.num_rows()
        name = self.entry(sweep).sweep if sweep is not None else None
        with self._in_words():
            with self._writing():
                if name is not None:
                    self._db.execute("DELETE FROM points WHERE sweep = ?", (name,))
                    self._db.execute("DELETE FROM sweeps WHERE id = ?", (name,))
                    self._db.execute("DELETE FROM rows WHERE key NOT IN (SELECT key FROM points)")
                self._drop_damaged()
                if failures:
                    self._db.execute("DELETE FROM rows WHERE status <> 'ok'")
                if old_versions:
                    self._db.execute("DELETE FROM rows WHERE version <> ?", (__version__,))
                    old = "SELECT id FROM sweeps WHERE version <> ?"
                    self._db.execute(f"DELETE FROM points WHERE sweep IN ({old})", (__version__,))
                    self._db.execute("DELETE FROM sweeps WHERE version <> ?", (__version__,))
            self._db.execute("VACUUM")
        return before - self.num_rows()

"""The cross product of some settings, run as fast as the machine can and never twice; and its finished points."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.config import catalogue
from wsesim.config.catalogue import content, csv_lines, text
from wsesim.config.run import Run
from wsesim.config.variations import Variations, check_key
from wsesim.errors import InputError, WsesimError, is_debugging, need
from wsesim.machines.machine import MACHINES, limits
from wsesim.pool import Pool, WorkerKilled
from wsesim.study import table
from wsesim.study.ledger import Entry, Ledger
from wsesim.study.table import SUFFIXES, Row, values_of
from wsesim.study.workers import Here, Outcome, check_executor, dask_executor, evaluate, num_cores
from wsesim.version import __version__
from wsesim.view import ShowsItself

if TYPE_CHECKING:
    import pandas

# The cross product of some settings, run as fast as the machine can, and never twice.
#
# Points are cut into batches, for runs on wafers share the cost of the recurrence. A batch is claimed in the ledger,
# evaluated somewhere, and its rows are on the disk before anybody is told.


AT_ONCE = (25, 500)
"""Points in one batch, least and most, where the files already contradict each other. [-]"""
BATCHES_PER_WORKER = 4
"""A batch is at most this part of what is left for a worker, so that workers end at about the same time. [-]"""
IN_FLIGHT = 2
"""Batches that a worker has, the one it evaluates included. [-]"""
WRITE_EVERY_S = 5.0
"""So often what is finished is written out. [s]"""
WRITE_AFTER = 20.0
"""Nor sooner than so many times as long as the last time took, so that a large table does not hold up the rest. [-]"""
LOOK_AGAIN_S = 0.5
"""At points that another process works on. [s]"""
MOST_ATTEMPTS = 3
"""For a point whose worker dies. [-]"""
DECIDES_ON_SHAPE = ("model.", "cluster.simulation.", "training.global_batch_size", "training.micro_batch_size")
"""Keys by which runs differ in their jobs or micro-batches, as by their devices, not only in how long these take."""
Point = tuple[Any, ...]
Progress = Callable[[int, int, str], None]
"""Told how many points are finished, how many there are, and what is going on."""


@dataclass(frozen=True, repr=False)
class SweepResult(ShowsItself):
    """All points of a sweep, in the order of the cross product; the last key varies fastest.

    Attributes
    ----------
    keys
        What varied.
    rows
        One dict for each point: its values, status, answers in SI units, message.
    num_evaluated
        Points that were worked out now; the others were in the ledger. [-]
    damaged
        A message for each row of the ledger that was not as it had been written, and therefore did not count.
    first
        The run of the first point, whose job is told; None where files contradict each other, or where points were read and their
        files are gone or say something else by now.
    version
        Of the wsesim that answered; empty where a table does not tell.
    """

    keys: tuple[str, ...]
    rows: list[dict[str, Any]] = field(repr=False)
    num_evaluated: int = 0
    damaged: tuple[str, ...] = ()
    first: Run | None = field(default=None, repr=False)
    version: str = __version__

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"<SweepResult of {', '.join(self.keys)}: {len(self):,} points, {self.count('ok'):,} with an answer>"

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return table.columns_of(self.rows, self.keys)

    def count(self, status: str) -> int:
        """Points of a status. [-]"""
        return sum(row["status"] == status for row in self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV file."""
        table.write(Path(path), self.rows, self.keys, ".csv")

    def to_parquet(self, path: str | Path) -> None:
        """Write a Parquet file; needs the extra ``wsesim[parquet]``."""
        table.write(Path(path), self.rows, self.keys, ".parquet")

    def to_pandas(self) -> pandas.DataFrame:
        """All rows as a data frame; needs the extra ``wsesim[pandas]``."""
        need("pandas", "pandas", "to_pandas()")
        import pandas

        return pandas.DataFrame(self.rows, columns=self.columns)


@dataclass
class _Batch:
    """Points that are evaluated together."""

    points: dict[str, Point]
    attempts: int = 0


@dataclass(frozen=True)
class _Points:
    """Every point of a sweep with its key in the ledger; `about` has the kind of its cluster, and which files it names."""

    variations: Variations
    keys: tuple[str, ...]
    points: list[tuple[str, Point]]
    about: dict[str, tuple[str | None, int]]


def _points(variations: Variations, values: Mapping[str, Sequence[Any]]) -> _Points:
    """The cross product; refuses keys that none of its runs has."""
    points: list[tuple[str, Point]] = []
    about: dict[str, tuple[str | None, int]] = {}
    for point in product(*values.values()):
        digest, kind, files = variations.about(point)
        key = f"{__version__}-{digest}"
        points.append((key, point))
        about[key] = kind, files
    kinds = {kind for kind, _ in about.values() if kind is not None}
    for name in values:
        check_key(name, kinds or MACHINES)
    return _Points(variations, tuple(values), points, about)


class _Job:
    """A sweep on its way."""

    def __init__(self, found: _Points, ledger: Ledger) -> None:
        self.variations, self.keys, self.points, self.about = found.variations, found.keys, found.points, found.about
        kinds = {machine for machine, *_ in self.about.values() if machine is not None}
        starts = (*DECIDES_ON_SHAPE, *(f"cluster.{MACHINES[kind].files.cluster.count}" for kind in kinds))
        self.decisive = [place for place, key in enumerate(self.keys) if key.startswith(starts)]
        self.ledger = ledger
        self.pending = dict(self.points)
        self.num_points = len(self.pending)
        self.num_evaluated = 0
        self.outcomes: dict[str, Outcome] = {}
        for key in ledger.finished(self.pending):
            del self.pending[key]

    @property
    def num_finished(self) -> int:
        """Points that are in the ledger; equal ones count once. [-]"""
        return self.num_points - len(self.pending)

    def _shape_first(self, item: tuple[str, Point]) -> tuple[Any, ...]:
        """Points whose models are alike stand together: they share the cost of the recurrence."""
        return (self.about[item[0]][1], *(repr(item[1][place]) for place in self.decisive))

    def batches(self, workers: int) -> deque[_Batch]:
        """All that is to be done, what takes longest first; the last batches are the smallest."""
        groups: dict[tuple[int, int], list[tuple[str, Point]]] = {}
        for item in sorted(self.pending.items(), key=self._shape_first):
            machine = self.about[item[0]][0]
            groups.setdefault(AT_ONCE if machine is None else MACHINES[machine].at_once, []).append(item)
        found: deque[_Batch] = deque()
        for (fewest, most), items in sorted(groups.items()):
            start = 0
            while start < len(items):
                size = math.ceil((len(items) - start) / (workers * BATCHES_PER_WORKER))
                size = min(max(size, fewest), most)
                found.append(_Batch(dict(items[start : start + size])))
                start += size
        return found

    def keep(self, outcomes: Mapping[str, Outcome]) -> None:
        """Finished rows go to the ledger, and only then count as finished."""
        self.ledger.record(outcomes)
        self.outcomes |= outcomes
        self.num_evaluated += len(outcomes)
        self.forget(outcomes)

    def forget(self, keys: Iterator[str] | Mapping[str, Any] | set[str]) -> None:
        """Points that are in the ledger."""
        for key in keys:
            self.pending.pop(key, None)

    def rows(self) -> list[dict[str, Any]]:
        """Finished rows, in order."""
        unread = dict.fromkeys(key for key, _ in self.points if key not in self.outcomes)
        self.outcomes |= self.ledger.outcomes(unread)
        return _rows_among(self.outcomes, self.keys, self.points)


def rows_of(ledger: Ledger, keys: Sequence[str], points: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
    """Those rows of a sweep that are in the ledger, in order."""
    return _rows_among(ledger.outcomes(dict.fromkeys(key for key, _ in points)), keys, points)


def _rows_among(
    outcomes: Mapping[str, Outcome], keys: Sequence[str], points: Sequence[tuple[str, Sequence[Any]]]
) -> list[dict[str, Any]]:
    """Finished rows of a sweep, in order."""
    found = []
    for key, point in points:
        if key in outcomes:
            status, message, answers, _ = outcomes[key]
            found.append(dict(zip(keys, point, strict=True)) | {"status": status} | answers | {"message": message})
    return found


class _Loop:
    """Keeps workers busy until nothing is left to do."""

    def __init__(
        self, job: _Job, waiting: deque[_Batch], executor: Executor, workers: int, tell: Callable[[str], None]
    ) -> None:
        self.job, self.executor, self.workers, self.tell = job, executor, workers, tell
        self.runs = pickle.dumps(job.variations)
        self.waiting = waiting
        self.elsewhere: dict[str, Point] = {}
        self.running: dict[Future[list[Outcome]], _Batch] = {}

    def run(self) -> None:
        """Until all points are in the ledger."""
        while self.waiting or self.running or self.elsewhere:
            self.fill()
            if self.running:
                done, _ = wait(self.running, timeout=WRITE_EVERY_S, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future, self.running.pop(future))
            elif self.elsewhere and not self.waiting:
                self._look_elsewhere()
            self.tell(f"; {len(self.elsewhere)} elsewhere" if self.elsewhere else "")

    def fill(self) -> None:
        """Give all workers something to do."""
        limit = 1 if isinstance(self.executor, Here) else IN_FLIGHT * self.workers
        while self.waiting and len(self.running) < limit:
            self._start(self.waiting.popleft())

    def _start(self, batch: _Batch) -> None:
        ours, others = self.job.ledger.claim(list(batch.points))
        self.elsewhere |= {key: batch.points[key] for key in others}
        self.job.forget(batch.points.keys() - ours - others)
        mine = _Batch({key: point for key, point in batch.points.items() if key in ours}, batch.attempts)
        if mine.points:
            try:
                future = self.executor.submit(evaluate, self.runs, __version__, list(mine.points.values()))
            except BrokenExecutor as error:
                future = Future()
                future.set_exception(error)
            self.running[future] = mine

    def _finish(self, future: Future[list[Outcome]], batch: _Batch) -> None:
        try:
            outcomes = future.result()
        except (BrokenExecutor, CancelledError, WorkerKilled) as error:
            self._worker_died(error, batch)
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # of Dask, which is not imported here
                if not isinstance(error, ImportError | AttributeError | OSError) or is_debugging():
                    raise
                raise InputError(
                    f"a worker cannot evaluate anything ({type(error).__name__}: {error}); is the same version of wsesim "
                    "installed where it runs? Finished rows are kept"
                ) from error
            self._worker_died(error, batch)
        else:
            self.job.keep(dict(zip(batch.points, outcomes, strict=True)))

    def _worker_died(self, error: BaseException, batch: _Batch) -> None:
        """Try again, in halves; a point that takes its worker down again and again is a row."""
        if getattr(self.executor, "_broken", False):
            raise InputError(
                f"the executor is broken ({error}); finished rows are kept: repeat the sweep with a new one"
            )
        if len(batch.points) == 1 and batch.attempts >= MOST_ATTEMPTS:
            words = f"the process that ran it died ({type(error).__name__}), {MOST_ATTEMPTS} times; out of memory?"
            self.job.keep(dict.fromkeys(batch.points, Outcome("failed", words, {})))
            return
        items = list(batch.points.items())
        middle = (len(items) + 1) // 2
        for half in (items[:middle], items[middle:]):
            if half:
                self.waiting.append(_Batch(dict(half), batch.attempts + 1))

    def _look_elsewhere(self) -> None:
        """Points of another process: they are finished, or it has died, or we wait."""
        ours, others = self.job.ledger.claim(list(self.elsewhere))
        self.job.forget(self.elsewhere.keys() - ours - others)
        if ours:
            self.waiting.append(_Batch({key: self.elsewhere[key] for key in ours}))
        self.elsewhere = {key: self.elsewhere[key] for key in others}
        if self.elsewhere and not self.waiting:
            time.sleep(LOOK_AGAIN_S)


@contextmanager
def _executor(word: str | Executor, workers: int | None, num_batches: int) -> Iterator[tuple[Executor, int]]:
    """What evaluates, and how many calls it takes at a time."""
    if isinstance(word, Executor):
        yield word, workers or num_cores()
    elif word.startswith("dask"):
        with dask_executor(word, workers) as found:
            yield found
    elif min(workers or num_cores(), num_batches) <= 1:
        yield Here(), 1
    else:
        with Pool(workers or num_cores(), limits()) as pool:
            yield pool, workers or num_cores()


def _as_variations(run: str | Path | dict[str, Any] | Run, settings: Sequence[str], keys: Sequence[str]) -> Variations:
    """The run that varies, whatever form it has."""
    if not isinstance(run, Run):
        return Variations.of(run, settings, keys)
    parts = ["model", "training", "cluster", *([] if run.parallelism is None else ["parallelism"])]
    told: dict[str, Any] = {part: getattr(run, part).model_dump(exclude_unset=True) for part in parts}
    described = {"name": run.name} | told
    found = Variations.of(described, settings, keys)
    again = Variations.of(described).run([])
    if any(getattr(again, part) != getattr(run, part) for part in parts):
        raise InputError(
            f"{run.name}: was changed in a way that no run file can say; give the path or the name of a run, and settings"
        )
    return found


def _identity(values: Mapping[str, Sequence[Any]], points: Sequence[tuple[str, Point]]) -> str:
    """Name of a sweep: what varies, over which configurations."""
    told = json.dumps([list(values.items()), [key for key, _ in points]], default=str)
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def sweep(
    run: str | Path | dict[str, Any] | Run,
    vary: Mapping[str, Any],
    *,
    settings: Sequence[str] = (),
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    executor: str | Executor = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Simulate every combination of some settings.

    Parameters
    ----------
    run
        Path of a run file, name of a catalogue run, nested dicts as a run file would hold them, or a run.
    vary
        Values of each key: a sequence, or a text as in ``--vary``, such as ``"1..192*2"``.
    settings
        Overrides that all points share, as ``"cluster.num_systems=64"``.
    out
        CSV or Parquet file; written every few seconds and at the end.
    ledger
        File that keeps finished points; beside `out` by default, in memory where there is no `out`.
    executor
        "local", "dask", "dask://HOST:PORT", or any `concurrent.futures.Executor`.
    workers
        Processes; all cores by default. Outside Linux they import the program that calls this, which then needs
        the usual ``if __name__ == "__main__":``. [-]
    progress
        Called after every batch.

    Returns
    -------
    SweepResult
        All points in order; what does not fit is a row with the reason.

    Raises
    ------
    wsesim.errors.InputError
        Unknown keys, values that cannot be read, files that cannot be written.

    Examples
    --------
    >>> found = sweep("cerebras_gpt_111m", {"cluster.num_systems": "1..4*2"}, workers=1)
    >>> [row["status"] for row in found]
    ['ok', 'ok', 'ok']
    """
    values = values_of(vary)
    out = Path(out) if out is not None else None
    if out is not None:
        table.check_out(out)
    if isinstance(executor, str):
        check_executor(executor, workers)
    variations = _as_variations(run, settings, list(values))
    for key in values:
        check_key(key, MACHINES)
    if ledger is None and out is not None:
        ledger = ledger_beside(out)
    points = _points(variations, values)
    with Ledger(Path(ledger) if ledger is not None else None) as book:
        job = _Job(points, book)
        word = run.name if isinstance(run, Run) else "table" if isinstance(run, dict) else str(run)
        name = _identity(values, job.points)
        _run(job, executor, workers, out, progress, lambda: book.note_sweep(name, word, values, settings, job.points))
        rows = job.rows()
        if out is not None:
            table.write(out, rows, job.keys)
        damaged = tuple(book.damaged)
    return SweepResult(job.keys, rows, job.num_evaluated, damaged, _first(points))


def _first(points: _Points) -> Run | None:
    """The run of the first point, if it can be read."""
    try:
        return points.variations.run(points.points[0][1])
    except WsesimError:
        return None


def ledger_beside(out: Path) -> Path:
    """Where the ledger of a sweep lies by default."""
    return out.with_name(f"{out.name}.ledger")


def _run(
    job: _Job,
    executor: str | Executor,
    workers: int | None,
    out: Path | None,
    progress: Progress | None,
    note: Callable[[], None],
) -> None:
    """Evaluate what is not in the ledger yet; `note` keeps there what the sweep is, while workers already work."""
    written_s, took_s = time.monotonic(), 0.0

    def tell(words: str) -> None:
        nonlocal written_s, took_s
        if progress is not None:
            progress(job.num_finished, job.num_points, words)
        now_s = time.monotonic()
        if out is not None and now_s - written_s > max(WRITE_EVERY_S, WRITE_AFTER * took_s):
            table.write(out, job.rows(), job.keys)
            written_s = time.monotonic()
            took_s = written_s - now_s

    if not job.pending:
        note()
        tell("")
        return
    expected = workers or num_cores()
    batches = job.batches(expected)
    with _executor(executor, workers, len(batches)) as (found, calls):
        loop = _Loop(job, batches if calls == expected else job.batches(calls), found, calls, tell)
        loop.fill()
        note()
        tell("")
        loop.run()


# Finished points of a sweep, from its ledger or from the table that it wrote.


STATUS, MESSAGE = "status", "message"
"""Columns that every table of a sweep has; what varies stands before the first."""
LARGEST_TABLE_BYTES = 1_000_000_000
MOST_CELLS = 100_000_000
"""Cells of a Parquet file, which can stand for far more than it has bytes. [bytes], [-]"""


def read_points(path: Path, sweep: str | None = None) -> SweepResult:
    """Read a ledger, or a table by its ending.

    Parameters
    ----------
    path
        A ledger, or a .csv or .parquet file.
    sweep
        Of a ledger: the start of a sweep's name; the one that was used last when left out.

    Returns
    -------
    SweepResult
        Finished points in order, also those without an answer.

    Raises
    ------
    InputError
        No such file, damaged, something else, or without any finished point.
    """
    if path.suffix.lower() not in SUFFIXES:
        found = _of_ledger(path, sweep)
    elif sweep is not None:
        raise InputError(f"--sweep {sweep}: a table holds one sweep, and {path} is one; leave --sweep out")
    else:
        keys, rows = _of_table(path)
        found = SweepResult(tuple(keys), rows, version="")
    if not found.rows:
        raise InputError(f"{path}: holds no finished point; let the sweep run, or name another one")
    return found


def _of_ledger(path: Path, sweep: str | None) -> SweepResult:
    with Ledger(path, read_only=True) as ledger:
        entry = ledger.entry(sweep)
        points = ledger.points(entry.sweep)
        rows = rows_of(ledger, entry.keys, points)
        return SweepResult(
            entry.keys, rows, damaged=tuple(ledger.damaged), first=_as_it_was(entry, points), version=entry.version
        )


def _as_it_was(entry: Entry, points: Sequence[tuple[str, Sequence[Any]]]) -> Run | None:
    """The run of the first point, where its files still say what was simulated: the ledger has the digest of all keys."""
    for key, values in points[:1]:
        try:
            variations = Variations.of(entry.run, entry.settings, entry.keys)
            return variations.run(values) if key == f"{entry.version}-{variations.key(values)}" else None
        except WsesimError:
            return None
    return None


def _of_table(path: Path) -> tuple[Sequence[str], list[Row]]:
    if not catalogue.exists(path):
        raise InputError(f"{path}: there is no such table; `wsesim sweep --out {path}` writes one")
    try:
        columns, rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); is it a table that `wsesim sweep` wrote?") from None
    if STATUS not in columns or MESSAGE not in columns or columns.index(STATUS) == 0:
        raise InputError(
            f"{path}: is no table of a sweep, whose columns are what varies, then {STATUS}, answers and {MESSAGE}; "
            "name the file that `wsesim sweep --out` wrote"
        )
    return columns[: columns.index(STATUS)], rows


def _read_csv(path: Path) -> tuple[list[str], list[Row]]:
    columns, *lines = csv_lines(text(path, str(path), LARGEST_TABLE_BYTES), str(path), strict=True) or [[]]
    return columns, [_row(columns, line, number) for number, line in enumerate(lines, start=2)]


def _row(columns: Sequence[str], cells: Sequence[str], line: int) -> Row:
    if len(cells) != len(columns):
        raise ValueError(f"line {line} has {len(cells)} of {len(columns)} columns")
    return {name: text if name == MESSAGE else _value(text) for name, text in zip(columns, cells, strict=True)}


def _value(text: str) -> Any:
    """A cell as it was before it was written."""
    if not text:
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        number = float(text)
        return text if not math.isfinite(number) else number if _IS_FRACTION.search(text) else int(text)
    except ValueError:
        return text


_IS_FRACTION = re.compile(r"[.eE]")


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    need("pyarrow", "parquet", f"{path}")
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(content(path, str(path), LARGEST_TABLE_BYTES)))
        if file.metadata.num_rows * max(1, file.metadata.num_columns) > MOST_CELLS:
            raise ValueError(f"it has more than {MOST_CELLS:,} cells")
        table = file.read()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(str(error)) from None
    return list(table.column_names), table.to_pylist()

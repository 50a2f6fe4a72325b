"""Sweeps and their ledgers in the terminal."""

from __future__ import annotations

import datetime
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from wsesim.errors import SIGN_OF_A_FAULT, AnswerIsNo, Fault, InputError
from wsesim.job import job_definition, job_words
from wsesim.report.pages.sweep_study import FIRST, metric_of, shown
from wsesim.report.progress import Advance, bar
from wsesim.report.terminal import table
from wsesim.study.ledger import Entry, Ledger
from wsesim.study.sweep import SweepResult, ledger_beside, rows_of, sweep
from wsesim.study.table import check_out, write
from wsesim.study.values import parse_vary
from wsesim.view import Fact, Facts, Section, Table

MOST_REASONS = 3
LONGEST_REASON = 300
MOST_ROWS = 20
"""Points of a sweep that a notebook shows. [-]"""


def run_sweep(
    run: str,
    vary: Sequence[str],
    settings: Sequence[str],
    out: Path,
    ledger: Path | None,
    executor: str,
    workers: int | None,
) -> SweepResult:
    """Sweep with a bar, and words on standard error where it is interrupted."""
    values = parse_vary(vary)
    total, seen = math.prod(map(len, values.values())), 0
    advance: Advance | None = None
    try:
        with ExitStack() as stack:

            def tell(finished: int, _points: int, words: str) -> None:
                nonlocal seen, advance
                if advance is None:  # not before workers have started as copies of a process without threads
                    advance = stack.enter_context(bar("sweep", total))
                advance(f"sweep{words}", finished - seen)
                seen = finished

            return sweep(
                run,
                values,
                settings=settings,
                out=out,
                ledger=ledger,
                executor=executor,
                workers=workers,
                progress=tell,
            )
    except KeyboardInterrupt:
        kept = f"; {seen:,} points are in {ledger or ledger_beside(out)}" if seen else " before any point was finished"
        print(f"interrupted{kept}, repeat the command to go on", file=sys.stderr)
        raise


def reasons(outcomes: Sequence[str]) -> list[str]:
    """The most frequent messages, and how often."""
    counted = Counter(outcomes).most_common()
    told = [f"{count:,} x {text[:LONGEST_REASON].splitlines()[0]}" for text, count in counted[:MOST_REASONS]]
    return told + ([f"and {len(counted) - MOST_REASONS:,} other messages"] if len(counted) > MOST_REASONS else [])


def section(result: SweepResult) -> Section:
    """The first points, and what became of all."""
    told = [Fact("points", f"{len(result):,}, {result.count('ok'):,} with an answer")]
    told += [Fact("job of the first", text) for text in job_of_first(result)]
    told += [Fact("without", text) for text in reasons(_messages(result))]
    keys = [key for key in FIRST if any(row.get(key) is not None for row in result)]
    rows = tuple(
        (*(str(row[key]) for key in result.keys), *(shown(key, row.get(key)) for key in keys))
        for row in result.rows[:MOST_ROWS]
    )
    caption = f"The first {len(rows)} points; to_pandas() has all" if len(rows) < len(result) else "All points"
    heads = (*result.keys, *(f"|{metric_of(key).words}" for key in keys))
    return Section("sweep", parts=(Facts(tuple(told)), Table(caption, heads, rows)))


def job_of_first(result: SweepResult) -> list[str]:
    """The job of the first point in a line, if it is known; the others have other values of what varies."""
    return [] if result.first is None else [job_words(result.first)]


def _messages(result: SweepResult) -> list[str]:
    """Of the points without an answer."""
    return [row["message"] for row in result if row["status"] != "ok"]


def summary_dict(result: SweepResult, out: Path, ledger: Path | None) -> dict[str, Any]:
    """What became of the points, for programs; the points themselves are in `out`."""
    counted = Counter(_messages(result)).most_common()
    return {
        "out": str(out),
        "ledger": str(ledger or ledger_beside(out)),
        "job": None if result.first is None else job_definition(result.first).to_dict(),
        "points": len(result),
        "evaluated": result.num_evaluated,
        "ok": result.count("ok"),
        "damaged": list(result.damaged),
        "messages": [{"message": message, "points": number} for message, number in counted],
    }


def print_summary(result: SweepResult, out: Path) -> None:
    """What became of the points, on standard error."""
    ok, points, without = result.count("ok"), len(result), _messages(result)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stderr.isatty())
    known = points - result.num_evaluated
    was = f" ({known:,} were in the ledger or repeat others)" if known > 0 else ""
    console.print(f"{out}: {points:,} points{was}, {ok:,} with an answer, {len(without):,} without")
    for line in job_of_first(result):
        console.print(f"  job of the first point: {line}")
    for line in reasons(without):
        console.print(f"  {line}")
    warn_of(result.damaged)


def check(result: SweepResult, out: Path) -> None:
    """Refuse a sweep without any answer.

    Raises
    ------
    Fault
        Points met an error that nobody foresaw; the others are in the table all the same.
    AnswerIsNo
        None of its points could be simulated.
    """
    faults = [text for text in _messages(result) if SIGN_OF_A_FAULT in text]
    if faults:
        raise Fault(f"{len(faults):,} of {len(result):,} points have no answer; the first of them: {faults[0]}")
    if not result.count("ok"):
        raise AnswerIsNo(f"none of the {len(result):,} points could be simulated; the column message of {out} says why")


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "sweep": entry.sweep,
        "run": entry.run,
        "vary": entry.vary,
        "settings": list(entry.settings),
        "version": entry.version,
        "used": datetime.datetime.fromtimestamp(entry.used_s, datetime.UTC).isoformat(timespec="seconds"),
        "points": entry.num_points,
        "finished": entry.num_finished,
        "ok": entry.num_ok,
    }


def ledger_dict(path: Path) -> dict[str, Any]:
    """What a ledger holds."""
    with Ledger(path, read_only=True) as ledger:
        ledger.look_through()
        found = {"sweeps": [_shown(entry) for entry in ledger.entries()], "rows": ledger.num_rows()}
        return found | {"damaged": ledger.damaged}


def print_ledger(console: Console, path: Path) -> None:
    """One line for each sweep."""
    found = ledger_dict(path)
    console.print(table(ledger_table(found["sweeps"])))
    console.print(f"{found['rows']:,} rows in {path}")
    warn_of(found["damaged"])


def ledger_table(sweeps: Iterable[Mapping[str, Any]]) -> Table:
    """Sweeps of a ledger, and how far each is."""
    rows = tuple(
        (
            one["sweep"],
            one["run"],
            "\n".join(f"{key} ({len(values):,})" for key, values in one["vary"].items()),
            f"{one['finished']:,} of {one['points']:,}",
            f"{one['ok']:,}",
            one["version"],
            one["used"][:16].replace("T", " "),
        )
        for one in sweeps
    )
    return Table("Sweeps", ("sweep", "run", "varies", "|finished", "|ok", "version", "used"), rows)


def warn_of(damaged: Iterable[str]) -> None:
    """Name damaged rows of a ledger, on standard error."""
    for message in damaged:
        print(f"warning: {message}", file=sys.stderr)


def export(path: Path, out: Path, sweep_name: str | None) -> int:
    """Write the finished rows of a sweep, also of one that is running; how many. [-]"""
    check_out(out)
    with Ledger(path, read_only=True) as ledger:
        entry = ledger.entry(sweep_name)
        rows = rows_of(ledger, entry.keys, ledger.points(entry.sweep))
        damaged = ledger.damaged
    write(out, rows, entry.keys)
    warn_of(damaged)
    return len(rows)


def clean(path: Path, *, failures: bool, old_versions: bool, sweep_name: str | None) -> int:
    """Remove rows; how many there were. [-]"""
    if not (failures or old_versions or sweep_name):
        raise InputError(
            "say what to remove: --failures, --old-versions, or --sweep NAME (`wsesim ledger list` names them)"
        )
    with Ledger(path, must_exist=True) as ledger:
        return ledger.clean(failures=failures, old_versions=old_versions, sweep=sweep_name)

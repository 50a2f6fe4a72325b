"""Sweeps and their ledgers in the terminal, and what a report says of a sweep."""

from __future__ import annotations

import datetime
import math
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from wsesim.errors import SIGN_OF_A_FAULT, AnswerIsNo, Fault, InputError, did_you_mean
from wsesim.report.terminal import Advance, bar, table
from wsesim.results.job import job_definition, job_words
from wsesim.study.ledger import Entry, Ledger
from wsesim.study.sweep import SweepResult, ledger_beside, rows_of, sweep
from wsesim.study.table import Row, check_out, parse_vary, write
from wsesim.units import show, unit_of_field
from wsesim.view import Fact, Facts, Section, Table

# What a report says of a sweep: which keys become axes, which points are best, and what had no answer.


MOST_AXES = 2


class Metric(NamedTuple):
    """A column of a sweep that people ask for.

    Attributes
    ----------
    is_more_better
        None where neither more nor less is wanted.
    """

    key: str
    words: str
    is_more_better: bool | None


METRICS = {
    one.key: one
    for one in (
        Metric("tokens_per_s", "throughput", True),
        Metric("step_time_s", "step time", None),
        Metric("time_s", "time to train", False),
        Metric("cost_usd", "cost", False),
        Metric("energy_j", "energy", False),
        Metric("predicted_loss", "predicted loss", False),
        Metric("predicted_accuracy", "predicted accuracy", True),
        Metric("mfu", "MFU", True),
        Metric("hfu", "HFU", None),
        Metric("samples_per_s", "samples per second", None),
        Metric("model_flop_per_s", "model FLOP per second", None),
    )
}
"""In the order of the terminal; any other column of numbers can be drawn, too."""
SPARSITY = "training.weight_sparsity"
FIRST = ("tokens_per_s", "time_s", "cost_usd", "energy_j", "mfu")
"""What a report draws where nothing else is asked for."""


def metric_of(key: str) -> Metric:
    """A column in words."""
    return METRICS.get(key) or Metric(key, key.replace("_", " "), None)


def shown(key: str, value: Any) -> str:
    """A value of a column for people.

    Examples
    --------
    >>> shown("time_s", 844000.0), shown("mfu", 0.279), shown("tokens_per_s", 304603.2)
    ('9.77 days', '27.9%', '304,603 tokens/s')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key in ("mfu", "hfu"):
        return f"{value:.1%}"
    if key == "tokens_per_s":
        return f"{value:,.0f} tokens/s" if value >= 1000 else f"{value:.4g} tokens/s"
    if key.startswith(("predicted_loss", "predicted_accuracy")):
        return f"{value:.3f}"
    if key == "samples_per_s":
        return f"{value:,.4g} samples/s"
    if key == "energy_j":
        return f"{show(value / 3600.0, 'W')}h"
    return show(value, unit_of_field(key))


@dataclass(frozen=True)
class SweepStudy:
    """Points of a sweep, and how they are to be drawn.

    Attributes
    ----------
    name
        Of what they come from.
    asked_axes, asked_metric
        By the command line; empty where it is silent.
    """

    name: str
    points: SweepResult
    asked_axes: tuple[str, ...] = ()
    asked_metric: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.answered:
            reason = next(iter(self.points))["message"]
            raise AnswerIsNo(f"{self.name}: none of the {len(self.points):,} points has an answer; the first: {reason}")
        for key in self.asked_axes:
            if key not in self.points.keys:
                hint = did_you_mean(key, self.points.keys)
                known = f"it varies {', '.join(self.points.keys)}"
                raise InputError(f"--x {key}: does not vary in {self.name}{hint or f'; {known}'}")
        if self.asked_metric and self.asked_metric not in self.columns:
            hint = did_you_mean(self.asked_metric, self.columns)
            known = f"it has {', '.join(self.columns)}"
            raise InputError(f"--y {self.asked_metric}: is no column of numbers in {self.name}{hint or f'; {known}'}")

    @cached_property
    def answered(self) -> list[Row]:
        """Points with an answer."""
        return [row for row in self.points if row["status"] == "ok"]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Answers that are numbers."""
        known = [name for name in self.points.columns if name not in (*self.points.keys, "status", "message")]
        return tuple(name for name in known if any(_is_number(row.get(name)) for row in self.answered))

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """Keys with more than one value."""
        return tuple(key for key in self.points.keys if len({repr(row[key]) for row in self.points}) > 1)

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """One or two keys that become axes: what was asked for, else the first that vary."""
        return self.asked_axes or self.varied[:MOST_AXES] or self.points.keys[:1]

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """What is drawn."""
        if self.asked_metric:
            return (metric_of(self.asked_metric),)
        first = ("hfu" if key == "mfu" and self.is_sparse else key for key in FIRST)
        return tuple(metric_of(key) for key in first if key in self.columns) or (metric_of(self.columns[0]),)

    @cached_property
    def is_sparse(self) -> bool:
        """Whether some points have sparse weights."""
        return any((row.get(SPARSITY) or 0) > 0 for row in self.answered)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the best points do not say."""
        if not self.is_sparse:
            return ()
        unlike = "points with sparse weights are no like for like: no rate was measured with them, and the predicted loss and"
        return (f"{unlike} accuracy are those of dense weights; MFU counts FLOP that zero weights save, HFU does not",)

    @cached_property
    def wishes(self) -> tuple[Metric, ...]:
        """Metrics of which some point has more, or less, than others, and is better for it."""
        known = [one for one in METRICS.values() if one.is_more_better is not None and one.key in self.columns]
        known = [one for one in known if one.key != "mfu" or not self.is_sparse]
        return tuple(one for one in known if len({row.get(one.key) for row in self.answered}) > 1)

    @cached_property
    def held(self) -> dict[str, Any]:
        """Keys that vary but are no axes, and the values at which the points are drawn: those of the best point."""
        best = self.best(self.metrics[0])
        return {key: best[key] for key in self.varied if key not in self.axes}

    @cached_property
    def drawn(self) -> list[Row]:
        """Points in the picture, also those without an answer."""
        return [row for row in self.points if all(row[key] == value for key, value in self.held.items())]

    def best(self, metric: Metric) -> Row:
        """The point with the most, or the least, of a metric; the first of equal ones."""
        rows = [row for row in self.answered if _is_number(row.get(metric.key))]
        choose = min if metric.is_more_better is False else max
        return choose(rows, key=lambda row: row[metric.key])

    def reasons(self) -> list[tuple[str, int]]:
        """Why points have no answer, and how many."""
        return Counter(row["message"] for row in self.points if row["status"] != "ok").most_common()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, where no other ends alike.

    Examples
    --------
    >>> short_names(["cluster.num_systems", "model.name", "cluster.name"])
    {'cluster.num_systems': 'num_systems', 'model.name': 'model.name', 'cluster.name': 'cluster.name'}
    """
    ends = Counter(key.rsplit(".", 1)[-1] for key in keys)
    return {key: end if ends[end := key.rsplit(".", 1)[-1]] == 1 else key for key in keys}


def settings_words(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Settings of a point in one line.

    Examples
    --------
    >>> settings_words({"cluster.num_systems": 12}, ["cluster.num_systems"])
    'num_systems 12'
    """
    return ", ".join(f"{name} {value_words(key, row[key])}" for key, name in short_names(keys).items())


def value_words(key: str, value: Any) -> str:
    """A value of a key for people."""
    return show(value, unit_of_field(key)) if _is_number(value) else str(value)


# Sweeps and their ledgers in the terminal.


NUMBER = re.compile(r"\d[\d,.]*")
"""In a message."""
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
    """The most frequent causes, how often, and the first message of each.

    Examples
    --------
    >>> reasons(["a.toml: 17 systems, and 16 are the most", "a.toml: 18 systems, and 16 are the most", "b: no"])
    ['2 x a.toml: 17 systems, and 16 are the most (and 1 like it)', '1 x b: no']
    """
    by_cause: dict[str, list[str]] = {}
    for text in outcomes:
        by_cause.setdefault(cause(text), []).append(text)
    ranked = sorted(by_cause.values(), key=lambda texts: -len(texts))
    told = []
    for texts in ranked[:MOST_REASONS]:
        like = len(set(texts)) - 1
        first = texts[0][:LONGEST_REASON].splitlines()[0]
        told.append(f"{len(texts):,} x {first}" + (f" (and {like:,} like it)" if like else ""))
    return told + ([f"and {len(ranked) - MOST_REASONS:,} other causes"] if len(ranked) > MOST_REASONS else [])


def cause(message: str) -> str:
    """A message without its numbers: those of points that fail for one cause are alike.

    Examples
    --------
    >>> cause("17 systems, 16 are the most") == cause("1,800 systems, 16 are the most")
    True
    """
    return NUMBER.sub("#", message)


def best_words(result: SweepResult) -> list[str]:
    """The point that is fastest, and the command that runs it; nothing where no point has an answer."""
    rows = [row for row in result if row["status"] == "ok" and _is_number(row.get("tokens_per_s"))]
    if not rows:
        return []
    best = max(rows, key=lambda row: row["tokens_per_s"])
    keys = [key for key in ("tokens_per_s", "step_time_s", "time_s", "cost_usd") if best.get(key) is not None]
    figures = ", ".join(shown(key, best[key]) for key in keys)
    return [f"fastest: {settings_words(best, result.keys)}: {figures}"]


def next_words(result: SweepResult, run: str, settings: Sequence[str], out: Path, ledger: Path | None) -> list[str]:
    """What to do with the fastest point, and with all of them."""
    rows = [row for row in result if row["status"] == "ok" and _is_number(row.get("tokens_per_s"))]
    if not rows:
        return []
    best = max(rows, key=lambda row: row["tokens_per_s"])
    sets = [*settings, *(f"{key}={best[key]}" for key in result.keys)]
    command = ["wsesim", "run", run, *(word for one in sets for word in ("--set", one))]
    report = ["wsesim", "report", "--ledger", str(ledger or ledger_beside(out)), "--out", str(out.with_suffix(".html"))]
    return [f"next: {shlex.join(command)}", f"all as pictures: {shlex.join(report)}"]


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


def print_summary(
    result: SweepResult, out: Path, run: str = "", settings: Sequence[str] = (), ledger: Path | None = None
) -> None:
    """What became of the points, which is fastest, and what to do next, on standard error."""
    ok, points, without = result.count("ok"), len(result), _messages(result)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stderr.isatty())
    known = points - result.num_evaluated
    was = f" ({known:,} were in the ledger or repeat others)" if known > 0 else ""
    console.print(f"{out}: {points:,} points{was}, {ok:,} with an answer, {len(without):,} without")
    for line in job_of_first(result):
        console.print(f"  job of the first point: {line}")
    for line in reasons(without):
        console.print(f"  {line}")
    for line in (*best_words(result), *(next_words(result, run, settings, out, ledger) if run else ())):
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

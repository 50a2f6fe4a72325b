"""What a report says of a sweep: which keys become axes, which points are best, and what had no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from wsesim.errors import AnswerIsNo, InputError, did_you_mean
from wsesim.study.sweep import SweepResult
from wsesim.study.table import Row
from wsesim.units import show, unit_of_field

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

"""`wsesim.compare`: runs side by side, wafer-scale and GPU, and how many devices take as long, cost or draw as much."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from wsesim.config.cluster import Files, Paying
from wsesim.config.loader import any_from_table, files_at, load_any
from wsesim.config.run import Run
from wsesim.config.training import JOB_KEYS
from wsesim.errors import ConfigError, DoesNotFit, InputError, need
from wsesim.machines.machine import machine_of
from wsesim.machines.simulation import simulate, step_time
from wsesim.results.job import Job, Range, job, wanted_tokens
from wsesim.results.result import Result
from wsesim.study.comparison import Entry, as_dict, entry
from wsesim.view import ShowsItself, plural

if TYPE_CHECKING:
    import pandas

ANY_MODEL = "cerebras-gpt-111m"
"""Stands for the model of the first run while a cluster is read."""
MOST_DEVICES = 10**9
MOST_STEPS = 12
"""Numbers of devices beside the estimate that are simulated at most. [-]"""
Figure = Literal["time", "cost", "energy"]
"""What another machine may take as much of."""


@dataclass(frozen=True, repr=False)
class Comparison(ShowsItself):
    """What `wsesim compare` prints.

    Attributes
    ----------
    entries
        The runs; the others are compared with the first.
    same
        For each run but the first, how many of its devices take as long, cost or draw as much; empty where it was not asked for.
    """

    entries: tuple[Entry, ...]
    same: tuple[Same, ...] = ()

    @property
    def results(self) -> tuple[Result, ...]:
        """Answers of the runs."""
        return tuple(one.result for one in self.entries)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(one.name for one in self.entries)}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim compare --json``: SI units, but per kW."""
        return as_dict(self.entries) | ({"same": [one.to_dict() for one in self.same]} if self.same else {})

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each run, with its figures and their bounds; needs the extra ``wsesim[pandas]``."""
        need("pandas", "pandas", "to_pandas()")
        import pandas

        return pandas.DataFrame([dict(_flat(one)) for one in self.to_dict()["runs"]])


def compare(
    *runs: str | Path | Run | Result,
    same: Sequence[Figure] = (),
    elsewhere: Sequence[str] = (),
    paying: Paying | None = None,
    settings: Sequence[str] = (),
) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    runs
        Run files, names of catalogue runs, runs, or answers of `wsesim.simulate`; two or more. All are read before
        the first is simulated.
    same
        Any of "time", "cost" and "energy": search how many devices of every other run take as much for the job of the first.
    elsewhere
        Clusters with a number of their devices, "dgx_h100:128", that the job of the first run is put on, too.
    paying
        "rented" or "owned": how the devices of all runs are paid for.
    settings
        Keys and values, "cluster.pue=1.1", for every run whose machine has the key; the job of the first one is set before it is
        put elsewhere, with the clusters' keys but those of size.

    Returns
    -------
    Comparison
        SI units, but per kW.

    Raises
    ------
    wsesim.errors.InputError
        Fewer than two runs, or no price where costs are searched for.
    wsesim.errors.DoesNotFit
        As `wsesim.simulate`.

    Examples
    --------
    >>> found = compare("cerebras_gpt_111m", "cerebras_gpt_111m_gpu")
    >>> [one.num_devices for one in found.results]
    [1, 8]
    >>> found.to_dict()["runs"][1]["ratios"]["tokens_per_s"] > 1.0
    True
    """
    if len(runs) + len(elsewhere) < 2 or not runs:
        named = runs[0] if runs else "RUN"
        raise InputError(
            f"compare needs two runs or more, and {len(runs)} is named; add another, "
            f"for example: wsesim compare {named} gpt3_13b_256xa100 (`wsesim list runs` shows all)"
        )
    for figure in same:
        if figure not in get_args(Figure):
            raise InputError(f"--same {figure}: is none of {', '.join(get_args(Figure))}; choose one of these")
    settings = [*settings, *([] if paying is None else [f"cluster.paying={paying}"])]
    read = [_set(one, settings) if isinstance(one, str | Path) else one for one in runs]
    first = read[0] if isinstance(read[0], Run) else read[0].run
    read += [moved(first, where, settings) for where in elsewhere]
    unused = [one for one in settings if not any(_has(run, one) for run in read)]
    if unused:
        raise InputError(
            f"--set {unused[0]}: none of the runs has such a key; see `wsesim schema`, or docs/configuration.md"
        )
    entries = tuple(entry(simulate(one) if isinstance(one, Run) else one) for one in read)
    return Comparison(entries, searches(entries, same))


def _has(one: Run | Result, setting: str) -> bool:
    return bool(machine_of(one if isinstance(one, Run) else one.run).files.knows(setting))


def _set(word: str | Path, settings: Sequence[str]) -> Run:
    """A run with those settings whose keys its machine has."""
    run = load_any(word)
    known = [one for one in settings if _has(run, one)]
    return load_any(word, known) if known else run


def _elsewhere(settings: Sequence[str], files: Files) -> list[str]:
    """Settings that a job takes along: those of clusters where the other machine has them, but what its place says."""
    of_clusters = [one for one in settings if one.strip().startswith("cluster.") and files.knows(one)]
    return [one for one in of_clusters if re.split(r"[.=]", one)[1].strip() not in ("name", files.cluster.count)]


def _flat(run: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers and words of a run; both ends of a range have columns of their own."""
    for key, value in run.items():
        if key.endswith("_range"):
            yield from zip(
                (f"{key.removesuffix('_range')}_low", f"{key.removesuffix('_range')}_high"), value, strict=True
            )
        elif not isinstance(value, dict | list):
            yield key, value


def moved(run: Run, where: str, settings: Sequence[str] = ()) -> Run:
    """The job of a run on so many devices of another cluster: its model, tokens, and the nearest batch that divides well.

    Software that the run itself names goes along to machines of its kind, and so do sparse weights; GPUs compute them all.

    Parameters
    ----------
    where
        ``CLUSTER:COUNT``; nodes and systems are counted by their devices: GPUs, CS systems.

    Examples
    --------
    >>> run = moved(load_any("andromeda_13b"), "dgx_h100:128")
    >>> run.num_devices, run.training.global_batch_size, run.model.name
    (128, 1024, 'Cerebras-GPT 13B')
    """
    name, _, count = where.rpartition(":")
    if not name or not count.isdecimal() or not 0 < int(count) < MOST_DEVICES:
        raise InputError(
            f"--with {where}: write a cluster and how many of its devices, for example --with dgx_h100:128"
        )
    training, files = run.training, files_at({"name": name}, place=f"--with {where}")
    said = {key: value for key, value in run.software.items() if key in files.software}
    keys = {"sequence_length": training.sequence_length, "global_batch_size": training.global_batch_size}
    table = {
        "model": {"name": ANY_MODEL},
        "training": keys | {"batch_policy": "nearest", "tokens": wanted_tokens(run)},
        "cluster": {"name": name} | said,
    }
    found = any_from_table(table, place=f"--with {where}", settings=_elsewhere(settings, files))
    counted = plural(int(count), machine_of(found).words.device)
    title = f"{run.model.name} on {counted} of {found.cluster.title}"
    same = {key: getattr(training, key) for key in JOB_KEYS if files.takes(key, getattr(training, key))}
    own = found.training.model_copy(update=same | {"global_batch_size": training.global_batch_size})
    cluster = found.cluster.on_devices(int(count))
    return replace(found, name=title, model=run.model, training=own, cluster=cluster, asked=None).with_batch()


def same_job(run: Run, first: Run) -> Run:
    """A run's machine with the job of the first run: model, tokens, sequences, and the nearest batch that divides well."""
    own, theirs = run.training, first.training
    takes, keys = machine_of(run).files.takes, [key for key in JOB_KEYS if key != "precision"]
    same = {key: getattr(theirs, key) for key in ("sequence_length", *keys) if takes(key, getattr(theirs, key))}
    others = {"batch_policy": "nearest", "tokens": wanted_tokens(first), "steps": None}
    training = own.with_batch(theirs.global_batch_size).model_copy(update=same | others)
    return replace(run, model=first.model, training=training, asked=None)


@dataclass(frozen=True)
class Same:
    """How many devices take as much of something as the first run.

    Attributes
    ----------
    figure
        "time", "cost" or "energy".
    run
        Its machine with the job of the first run.
    wanted
        What the first run takes. [s], [USD] or [J]
    makes, misses
        The number of devices that is next to it and keeps it, and its neighbour that does not; None where there is none. Of
        time the smallest number that is fast enough, of the others the largest that takes no more.
    num_tried
        Numbers of devices that were looked at. [-]
    """

    figure: Figure
    run: Run
    wanted: float
    makes: Result | None
    misses: Result | None
    num_tried: int

    @property
    def num_devices(self) -> float | None:
        """Between both, where it would be exactly as much; None where one of them is missing. [-]"""
        if self.makes is None or self.misses is None:
            return None
        bend = (lambda value: 1.0 / value) if self.figure == "time" else float  # speed grows with the number
        here, there = (bend(amount(one, self.figure)) for one in (self.makes, self.misses))
        share = (bend(self.wanted) - there) / (here - there)
        return self.misses.num_devices + share * (self.makes.num_devices - self.misses.num_devices)

    def to_dict(self) -> dict[str, Any]:
        """One search as JSON."""
        return {
            "name": self.run.name,
            "figure": self.figure,
            "wanted": self.wanted,
            "is_reached": self.makes is not None,
            "num_devices": None if self.makes is None else self.makes.num_devices,
            "interpolated_num_devices": self.num_devices,
            "makes": self._found(self.makes),
            "misses": self._found(self.misses),
            "num_tried": self.num_tried,
        }

    def _found(self, one: Result | None) -> dict[str, Any] | None:
        if one is None:
            return None
        cost = one.job.cost_usd
        return {
            "num_devices": one.num_devices,
            "job": one.definition.to_dict(),
            "step_time_s": one.step_time_s,
            "time_to_train_s": one.job.time_s,
            "energy_j": one.job.energy_j.value,
            "cost_usd": None if cost is None else cost.value,
            "over": amount(one, self.figure) / self.wanted - 1.0,
            "parallelism": one.plan,
        }


def amount(one: Result, figure: Figure) -> float:
    """What a job takes of time, money or energy. [s], [USD] or [J]"""
    if figure == "time":
        return one.job.time_s
    value = one.job.cost_usd if figure == "cost" else one.job.energy_j
    if value is None:
        keys = f"cluster.{one.run.cluster.price} or cluster.{one.run.cluster.bought}"
        raise InputError(f"--same cost: the cluster of {one.name} has no price; set {keys}, or choose --paying")
    return value.value


class Search:
    """Numbers of devices of one machine: what a job takes on each, by estimates to come near, by simulation to decide."""

    def __init__(self, run: Run, figure: Figure, wanted: float) -> None:
        self.run, self.figure, self.wanted = run, figure, wanted
        self.unit: int = machine_of(run).comes_in(run)
        self.most: int = run.max_devices // self.unit
        self.estimates: dict[int, float] = {}
        self.results: dict[int, Result | None] = {}

    def on(self, units: int) -> Run:
        """The run on so many nodes or systems."""
        return self.run.on(units * self.unit).with_batch()

    def seems(self, units: int) -> bool:
        """Whether so many keep what is wanted, by the estimate."""
        return self.estimate(units) <= self.wanted

    def estimate(self, units: int) -> float:
        """What so many take, by the fast way; infinite where they cannot. [s], [USD] or [J]"""
        if units not in self.estimates:
            run = self.on(units)
            (step_s,) = machine_of(run).step_times_s([run])
            found = None if isinstance(step_s, str) else self._of(job(run, step_s))
            self.estimates[units] = math.inf if found is None else found.value
        return self.estimates[units]

    def _of(self, found: Job) -> Range | None:
        return {"time": found.time_range_s, "energy": found.energy_j, "cost": found.cost_usd}[self.figure]

    def keeps(self, units: int) -> bool:
        """Whether they do, by the simulation."""
        found = self.result(units)
        return found is not None and amount(found, self.figure) <= self.wanted

    def result(self, units: int) -> Result | None:
        """The answer on so many; None where there is no such number, or the model does not fit."""
        if units not in self.results:
            self.results[units] = None
            if 1 <= units <= self.most:
                with suppress(ConfigError, DoesNotFit):
                    self.results[units] = step_time(self.on(units))
        return self.results[units]

    def bracket(self) -> int:
        """Near the smallest number that is fast enough, or the largest that takes no more: doublings, then halves."""
        doubled = sorted({*(1 << power for power in range(self.most.bit_length())), self.most})
        kept = [units for units in doubled if self.seems(units)]
        if not kept:
            return min(doubled, key=self.estimate)
        good = kept[0] if self.figure == "time" else kept[-1]
        place = doubled.index(good) + (-1 if self.figure == "time" else 1)
        if not 0 <= place < len(doubled):
            return good
        bad = doubled[place]
        while abs(good - bad) > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self.seems(middle) else (good, middle)
        return good

    def found(self) -> Same:
        """The pair of neighbours between which the answer lies, from the bracket on by simulation."""
        step, place = (-1 if self.figure == "time" else 1), self.bracket()
        for _ in range(MOST_STEPS):
            if self.keeps(place):
                if not self.keeps(place + step):
                    break
                place += step
            elif 1 <= place - step <= self.most:
                place -= step
            else:
                break
        makes, beyond = (place, place + step) if self.keeps(place) else (0, place)
        return Same(self.figure, self.run, self.wanted, self.result(makes), self.result(beyond), self.num_tried)

    @property
    def num_tried(self) -> int:
        """Numbers that were looked at. [-]"""
        return len(self.estimates.keys() | {units for units, one in self.results.items() if one is not None})


def searches(entries: Sequence[Entry], figures: Sequence[Figure]) -> tuple[Same, ...]:
    """For each figure and each run but the first: how many of its devices take as much of it for the first run's job."""
    first = entries[0].result
    runs = [same_job(one.result.run, first.run) for one in entries[1:]]
    return tuple(Search(run, figure, amount(first, figure)).found() for figure in figures for run in runs)

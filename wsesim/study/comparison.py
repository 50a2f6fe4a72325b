"""Runs side by side, the same figures of each, and what changed between two answers that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsesim.config.catalogue import json_value, read_text
from wsesim.errors import InputError
from wsesim.machines.machine import machine_of
from wsesim.results.intervals import around
from wsesim.results.job import HOUR_S, Range, keys_of_devices, power_w, price_usd_per_s
from wsesim.results.result import Result, job_dict, status_of
from wsesim.version import __version__
from wsesim.view import Place
from wsesim.workload.transformer import parameter_count

# Runs side by side, wafer-scale and GPU: the same figures of each, and which of them are uncertain.


KILO = 1e3
SAME = 0.01
"""Jobs whose tokens differ by less than this share count as equal. [-]"""
NAMES = {"name", "published_parameters", "training_flop_reported", "published_pile_loss"}
"""What two models of the same shape may differ in."""
MEMORY = ("reserved_memory_bytes",)
COMPARED = (
    *("tokens_per_s", "tokens_per_s_per_device", "tokens_per_s_per_kw", "tokens_per_usd"),
    *("time_to_train_s", "energy_j", "cost_usd"),
)
"""Figures of which ratios to the first run are stated."""
OF_THE_JOB = ("time_to_train_s", "energy_j", "cost_usd")
"""Of these, those of a whole job, which say nothing where jobs differ."""


@dataclass(frozen=True)
class Figure:
    """A number in the comparison.

    Attributes
    ----------
    value
        With the bounds that errors of predictions and the catalogue's ranges lead to; None where it cannot be known.
    is_uncertain
        It rests on an assumed number, or on one with a range.
    """

    value: Range | None
    is_uncertain: bool = False


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Attributes
    ----------
    figures
        In SI units, but per kW; see `docs/glossary.md`.
    is_extrapolated
        Nothing was measured on such a machine, or of such a size.
    """

    result: Result
    figures: dict[str, Figure]
    memory_place: str
    memory_bytes: float
    memory_capacity_bytes: float
    kinds_of_parallelism: tuple[str, ...]
    num_settings: int
    is_extrapolated: bool

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.result.name

    @property
    def kind(self) -> str:
        """On what it ran: "wafer_scale" or "gpu"."""
        return self.result.kind

    @property
    def device(self) -> str:
        """What one of its devices is called."""
        return self.result.device


def entry(result: Result) -> Entry:
    """What is compared of one run."""
    places = machine_of(result.run).words.places(result)
    first = places[0] if places else Place("memory", {}, 0.0)
    return Entry(
        result=result,
        figures=_figures(result),
        memory_place=first.name,
        memory_bytes=first.used_bytes,
        memory_capacity_bytes=first.capacity_bytes,
        kinds_of_parallelism=result.kinds_of_parallelism,
        num_settings=result.num_settings,
        is_extrapolated=result.is_extrapolated,
    )


def _exactly(value: float) -> Range:
    return Range(value, value, value)


def _per(value: float, divisor: Range) -> Range:
    """A number over a range; the largest divisor gives the least."""
    return Range(value / divisor.value, value / divisor.high, value / divisor.low)


def _figures(result: Result) -> dict[str, Figure]:
    power, price, job = power_w(result.run), price_usd_per_s(result.run), result.job
    cluster = result.run.cluster
    by_power = _rests_on(result, cluster.power)
    by_price = _rests_on(result, keys_of_devices(result.run))
    per_usd = None if price is None else around(_per(result.tokens_per_s, price), result.bounds.of_rates)
    if job.has_job_price and job.cost_usd is not None:  # the same however long it takes
        per_usd = _exactly(job.tokens / job.cost_usd.value)
        price = _exactly(job.cost_usd.value / job.time_s)
    rate, of_rates = result.tokens_per_s, result.bounds.of_rates
    return {
        "step_time_s": Figure(result.step_time_range_s),
        "tokens_per_s": Figure(around(_exactly(rate), of_rates)),
        "tokens_per_s_per_device": Figure(around(_exactly(rate / result.num_devices), of_rates)),
        "tokens_per_s_per_kw": Figure(around(_per(KILO * rate, power), of_rates), by_power),
        "tokens_per_usd": Figure(per_usd, by_price),
        "usd_per_hour": Figure(None if price is None else price.scaled(HOUR_S), by_price),
        "mfu": Figure(_exactly(result.mfu)),
        "time_to_train_s": Figure(job.time_range_s),
        "energy_j": Figure(job.energy_j, by_power),
        "cost_usd": Figure(job.cost_usd, by_price),
    }


def _rests_on(result: Result, keys: Iterable[str]) -> bool:
    """Whether one of these numbers of the cluster is assumed, or has a range."""
    found = []
    for key in keys:
        origin = result.run.origins.get(f"cluster.{key}")
        if origin is not None:
            is_open = origin.low is not None and origin.high is not None and origin.high > origin.low
            found.append(status_of(origin) in ("assumed", "calibrated") or is_open)
    return any(found)


def memory_is_uncertain(one: Entry) -> bool:
    """Whether the memory in use rests on an assumed number."""
    return _rests_on(one.result, MEMORY)


def ratios(one: Entry, first: Entry) -> dict[str, float]:
    """Each figure over that of the first run, where both have it; of different jobs only rates and what a token takes. [-]"""
    found = {}
    for key in COMPARED if not _differs(one, first) else [key for key in COMPARED if key not in OF_THE_JOB]:
        own, other = one.figures[key].value, first.figures[key].value
        if own is not None and other is not None and other.value > 0:
            found[key] = own.value / other.value
    return found


def _is_same(one: float, other: float) -> bool:
    """Whether two numbers of tokens are of one job. [-]"""
    return max(one, other) <= (1.0 + SAME) * min(one, other)


def _differs(one: Entry, first: Entry) -> tuple[str, ...]:
    """What makes the work of two runs another one; also their tokens in whole steps."""
    found = one.result.definition.differs(first.result.definition)
    same = _is_same(one.result.job.tokens, first.result.job.tokens)
    return found if same or "tokens" in found else (*found, "tokens")


def job_notes(entries: Sequence[Entry]) -> list[str]:
    """What makes the runs less comparable than they look."""
    return [
        *_models(entries),
        *_jobs(entries),
        *_batches(entries),
        *_software(entries),
        *_weights(entries),
        *_prices(entries),
    ]


def _models(entries: Sequence[Entry]) -> list[str]:
    shapes = {repr(one.result.run.model.model_dump(exclude=NAMES)) for one in entries}
    if len(shapes) == 1:
        return []
    words = []
    for one in entries:
        run = one.result.run
        number = parameter_count(run.model, run.training.sequence_length)
        words.append(f"{run.model.name} ({_billions(number)} billion parameters)")
    return [f"the runs train different models: {', '.join(dict.fromkeys(words))}"]


def _billions(number: float) -> str:
    """Thousand millions, in plain numbers.

    Examples
    --------
    >>> _billions(12.853e9), _billions(1.5e13)
    ('12.85', '15,000')
    """
    return f"{number / 1e9:,.4g}" if number < 1e13 else f"{number / 1e9:,.0f}"


def _jobs(entries: Sequence[Entry]) -> list[str]:
    differs = {key for one in entries[1:] for key in _differs(one, entries[0])}
    if not differs:
        return []
    what = {
        "model": "are of different sizes",
        "tokens": "train on different numbers of tokens",
        "sequence_length": "have sequences of different lengths",
        "mode": "are trainings and evaluations",
    }
    words = [what[key] for key in what if key in differs]
    shown = ", ".join(f"{_billions(one.result.job.tokens)} billion ({one.name})" for one in entries)
    return [
        f"the runs {' and '.join(words)}; time, energy and cost are of different jobs, without ratios"
        + (f": {shown}" if "tokens" in differs else "")
    ]


def _batches(entries: Sequence[Entry]) -> list[str]:
    batches = {(one.result.run.training.global_batch_size, one.result.run.training.sequence_length) for one in entries}
    if len(batches) == 1:
        return []
    shown = ", ".join(f"{size:,} x {length:,} tokens" for size, length in sorted(batches))
    return [f"the runs have different batches, so compare tokens per second and not step times: {shown}"]


def _software(entries: Sequence[Entry]) -> list[str]:
    """Machines of one kind that run with different software."""
    found = []
    for kind in dict.fromkeys(one.kind for one in entries):
        mine = [one for one in entries if one.kind == kind]
        if len({one.result.definition.software for one in mine}) > 1:
            shown = ", ".join(f"{one.result.definition.software} ({one.name})" for one in mine)
            key = machine_of(mine[0].result.run).files.software[0]
            found.append(f"the runs have different software: {shown}; cluster.{key} makes them alike")
    return found


def _weights(entries: Sequence[Entry]) -> list[str]:
    """Weights that are zero, which not all runs leave out."""
    shares = [one.result.definition.weight_sparsity for one in entries]
    if len(set(shares)) == 1:
        return []
    shown = ", ".join(f"{100.0 * share:.3g}% ({one.name})" for share, one in zip(shares, entries, strict=True))
    return [f"the runs leave out different shares of the weights as zero, and GPUs none: {shown}"]


def _prices(entries: Sequence[Entry]) -> list[str]:
    without = [one for one in entries if one.figures["cost_usd"].value is None]
    found = []
    if without:
        keys = " or ".join(dict.fromkeys(f"cluster.{_price_key(one.result)}" for one in without))
        names = ", ".join(dict.fromkeys(one.name for one in without))
        found.append(f"the catalogue has no price for the cluster of {names}; set {keys} in the run file")
    ways = {one.result.job.paying for one in entries if one not in without}
    if len(ways) > 1:
        shown = ", ".join(f"{one.name} {one.result.job.paying}" for one in entries if one not in without)
        found.append(
            f"costs of devices that are owned and rented stand side by side ({shown}); cluster.paying makes them alike"
        )
    return found


def _price_key(result: Result) -> str:
    """The key that would state the price, by the way of paying."""
    cluster = result.run.cluster
    return str(cluster.bought if result.job.paying == "owned" else cluster.price)


def as_dict(entries: Sequence[Entry]) -> dict[str, Any]:
    """The comparison as JSON: SI units, but per kW."""
    return {"runs": [_entry_dict(one, entries[0]) for one in entries], "notes": job_notes(entries)}


def _entry_dict(one: Entry, first: Entry) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for key, figure in one.figures.items():
        value = figure.value
        figures[key] = None if value is None else value.value
        if value is not None and value.is_range:
            figures[f"{key}_range"] = [value.low, value.high]
    uncertain = [key for key, figure in one.figures.items() if figure.is_uncertain and figure.value is not None]
    return {
        "name": one.name,
        "kind": one.kind,
        "device": one.device,
        "num_devices": one.result.num_devices,
        "job": one.result.definition.to_dict(),
        **figures,
        "memory": {
            "place": one.memory_place,
            "used_bytes": one.memory_bytes,
            "capacity_bytes": one.memory_capacity_bytes,
        },
        "kinds_of_parallelism": list(one.kinds_of_parallelism),
        "num_settings": one.num_settings,
        "training": job_dict(one.result.job),
        "uncertain": uncertain + (["memory"] if memory_is_uncertain(one) else []),
        "is_extrapolated": one.is_extrapolated,
        "assumptions": [asdict(row) for row in one.result.assumptions],
        "ratios": ratios(one, first),
        "simulator": {"version": __version__, "calibration": one.result.calibration_id},
    }


# What changed between two answers that were kept as JSON, and why: another release, calibration, version, or another
# question.


UNMOVED = 1e-9
"""Numbers this close are the same: what differs in the last digits is rounding. [-]"""
CAUSES = ("name", "kind", "num_devices", "job", "software", "model", "parallelism", "micro_batch_size", "simulator")
"""Keys that say what was asked, and by what it was answered."""
NO_ANSWER = ("wall_s", "events", "plans")
"""Keys of how the simulator worked, which belong to no answer."""
LISTS_OF_NUMBERS = {"assumptions": "key", "prices": "key"}
"""Lists of numbers in use, and the key that names each."""


@dataclass(frozen=True)
class Change:
    """One value that differs.

    Attributes
    ----------
    key
        Dotted, as in the JSON.
    before, after
        None where there is none.
    """

    key: str
    before: Any
    after: Any

    @property
    def share(self) -> float | None:
        """By how much a number moved; None for what is none. [-]"""
        if _is_number(self.before) and _is_number(self.after) and self.before:
            return float(self.after / self.before - 1.0)
        return None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"key": self.key, "before": self.before, "after": self.after, "change": self.share}


@dataclass(frozen=True)
class Changes:
    """Two answers.

    Attributes
    ----------
    moved
        Numbers and words of the answer that differ.
    causes
        What was asked otherwise, or answered by another release, calibration or version.
    """

    before: str
    after: str
    moved: tuple[Change, ...]
    causes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "moved": [one.to_dict() for one in self.moved],
            "causes": [one.to_dict() for one in self.causes],
        }


def changes(before: str | Path, after: str | Path) -> Changes:
    """Compare two files that ``wsesim run --json`` wrote.

    Raises
    ------
    wsesim.errors.InputError
        A file is no such answer.
    """
    first, second = dict(_flat_numbers(_answer(before))), dict(_flat_numbers(_answer(after)))
    found = [Change(key, first.get(key), second.get(key)) for key in dict.fromkeys([*first, *second])]
    differ = [one for one in found if not _has_not_moved(one.before, one.after)]
    causes = tuple(one for one in differ if _is_cause(one.key))
    return Changes(str(before), str(after), tuple(one for one in differ if one not in causes), causes)


def _answer(path: str | Path) -> Mapping[str, Any]:
    found = json_value(read_text(Path(path)), str(path))
    if not isinstance(found, dict) or "step_time_s" not in found:
        raise InputError(f"{path}: is no answer of a run; write one by `wsesim run RUN --json > {path}`")
    return found


def _flat_numbers(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; numbers of a list that have names go by them."""
    below = f"{key}." if key else ""
    last = key.rsplit(".", 1)[-1]
    if last in NO_ANSWER:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat_numbers(inner, f"{below}{name}")
    elif last in LISTS_OF_NUMBERS and isinstance(value, list):
        for one in value:
            yield f"{below}{one[LISTS_OF_NUMBERS[last]]}", one["value"]
    elif isinstance(value, list) and key != "notes":
        for place, inner in enumerate(value):
            yield from _flat_numbers(inner, f"{below}{place}")
    elif not isinstance(value, list):
        yield key, value


def _is_cause(key: str) -> bool:
    return key.split(".", 1)[0] in (*CAUSES, "assumptions") or key.startswith("training.prices.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_not_moved(before: Any, after: Any) -> bool:
    if _is_number(before) and _is_number(after):
        return bool(abs(after - before) <= UNMOVED * max(abs(before), abs(after)))
    return bool(before == after)

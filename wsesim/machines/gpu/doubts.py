"""How far the step of a plan may be off: what is known of its GPU and model, and what of a plan no published step tells of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from wsesim.config.loader import load_gpu_cluster
from wsesim.config.training import is_training
from wsesim.machines.gpu.memory import memory_of_plan
from wsesim.machines.gpu.rows import published
from wsesim.machines.gpu.spec import GPURun, GPUSpec
from wsesim.machines.gpu.stages import Plan, PlanTable
from wsesim.results.intervals import (
    FEWEST_GROUPS,
    NOTHING_KNOWN,
    Bounds,
    Errors,
    about_means,
    from_errors,
    knowledge,
    moved,
    one_by_one,
    together,
)
from wsesim.units import add_up

Array = Any
SHORT_TOKENS, MANY_CHUNKS, NEARLY_FULL = 4096, 8, 0.9
"""Tokens of a sequence on one GPU, chunks of a stage, and share of the memory beyond which a plan is doubtful. [-]"""
COMPUTES = ("peak_dense_16bit_flop_per_s", "peak_dense_4bit_flop_per_s", "num_sms", "memory_bytes_per_s")
"""Numbers of a GPU by which its kernels take as long as those of another one."""


@cache
def _measured() -> frozenset[tuple[float | None, ...]]:
    """What GPUs compute with on which a step was measured."""
    gpus = [load_gpu_cluster(name)[0].gpu for name in dict.fromkeys(row.cluster for row in published())]
    return frozenset(tuple(getattr(gpu, key) for key in COMPUTES) for gpu in gpus)


def is_measured(gpu: GPUSpec) -> bool:
    """Whether a step was measured on a GPU that computes like this one, whatever it is called.

    Examples
    --------
    >>> from wsesim.config.loader import load_gpu
    >>> [is_measured(load_gpu(name)[0]) for name in ("a100_40gb", "b200", "b300", "mi300x")]
    [True, True, False, False]
    """
    return tuple(getattr(gpu, key) for key in COMPUTES) in _measured()


def is_beyond(run: GPURun) -> bool:
    """Whether nothing was measured on such a GPU, of such a model, or of forward passes alone."""
    return not is_measured(run.cluster.gpu) or run.model.num_experts > 1 or not is_training(run.training)


FEWEST_ROWS = 8
"""Of fewer rows nothing is made of their own. [-]"""
NEAREST_ROWS = 40
"""Of more rows those of models and sequences that are most like the run's: of so many, two lie beyond either end of a range. [-]"""


class Kind(NamedTuple):
    """What runs have in common whose errors say something of each other.

    Attributes
    ----------
    profile
        Their software.
    chip
        Dense 16-bit peak of their GPUs in TFLOP/s.
    nodes
        "one node" or "many nodes".
    experts
        "experts" or "dense".
    hidden, tokens
        Width of the model, and length of a sequence. [-]
    """

    profile: str
    chip: str
    nodes: str
    experts: str
    hidden: int
    tokens: int

    @property
    def alike(self) -> tuple[str, ...]:
        """What has to be equal, the most telling first."""
        return self.profile, self.chip, self.nodes, self.experts

    @property
    def key(self) -> str:
        """As a calibration of one's own names it."""
        return ", ".join(self.alike)

    @property
    def place(self) -> str:
        """As ``cluster_configs/errors/gpus.toml`` names it."""
        return f"{self.key}, {self.hidden}, {self.tokens}"


def kind_of(run: GPURun) -> Kind:
    """The kind of a run."""
    cluster = run.cluster
    return Kind(
        cluster.software_profile,
        f"{cluster.gpu.peak_dense_16bit_flop_per_s / 1e12:.0f} TFLOP/s",
        "many nodes" if cluster.num_gpus > cluster.gpus_per_node else "one node",
        "experts" if run.model.num_experts > 1 else "dense",
        run.model.hidden_size,
        run.training.sequence_length,
    )


Known = Mapping[str, Errors]
"""Errors of published rows by the place of their kind, then by table. [-]"""


def _places(known: Known, wanted: Sequence[str]) -> list[str]:
    """Places of the kinds that begin so."""
    return [place for place in known if place.split(", ")[: len(wanted)] == list(wanted)]


def _at(known: Known, places: Iterable[str]) -> dict[str, list[float]]:
    """Errors at some places, by table. [-]"""
    found: dict[str, list[float]] = {}
    for place in places:
        for table, errors in known[place].items():
            found.setdefault(table, []).extend(errors)
    return found


def _like(known: Known, wanted: Sequence[str]) -> dict[str, list[float]]:
    """Errors of the kinds that begin so, by table. [-]"""
    return _at(known, _places(known, wanted))


def _distance(place: str, kind: Kind) -> float:
    """How unlike the models and sequences at a place are: doublings of the width and of the length between them. [-]"""
    sizes = zip(place.split(", ")[len(kind.alike) :], (kind.hidden, kind.tokens), strict=False)
    return add_up(abs(math.log2(float(theirs) / own)) for theirs, own in sizes)


def _nearest(known: Known, wanted: Sequence[str], kind: Kind) -> dict[str, list[float]]:
    """Of the kinds that begin so the errors of those that are most like one, `NEAREST_ROWS` or more of them, by table. [-]"""
    places = sorted(_places(known, wanted), key=lambda place: _distance(place, kind))
    number, last = 0, math.inf
    taken: list[str] = []
    for place in places:
        if number >= NEAREST_ROWS and _distance(place, kind) > last:
            break
        number += add_up(map(len, known[place].values()))
        taken.append(place)
        last = _distance(place, kind)
    return _at(known, taken)


@cache
def _shipped(wanted: tuple[str, ...]) -> dict[str, list[float]]:
    """Errors that ship with wsesim of the kinds that begin so, by table. [-]"""
    return _like(knowledge("gpus").errors, wanted)


@cache
def _of_kind(kind: Kind) -> Bounds:
    return bounds_of_kind(kind, knowledge("gpus").errors)


def bounds_of_kind(kind: Kind, known: Known) -> Bounds:
    """Bounds from the errors of runs of one kind; with too few of them, of its software on its GPU, then of its software at all.

    Of many, those count that are nearest in the width of the model and the length of a sequence: what errors come from (the host,
    the size of products, attention) changes with these. Of software of which nothing is known, tables of all others stand for it,
    each of which counts once.
    """
    levels = ((4, "on such GPUs and of such models"), (2, "on such GPUs"), (1, "on other GPUs"))
    for length, words in levels:
        number = len(one_by_one(_like(known, kind.alike[:length])))
        if number < FEWEST_ROWS:
            continue
        rows = one_by_one(_nearest(known, kind.alike[:length], kind))
        nearest = f", the nearest of {number} by width and sequence" if len(rows) < number else ""
        return from_errors(rows, f"{len(rows)} published steps with {kind.profile} {words}{nearest}")
    tables = _like(known, ())
    if len(tables) < FEWEST_GROUPS:
        return NOTHING_KNOWN
    return from_errors(
        tables, f"no published step with {kind.profile}: {len(tables)} tables of other software stand for it"
    )


@cache
def _about_own(kind: Kind) -> Bounds:
    """Bounds where steps of one's own have fixed the mean error: what is left about the means of published tables."""
    known = knowledge("gpus").errors
    for length in range(len(kind.alike), -1, -1):
        tables = {name: errors for name, errors in _like(known, kind.alike[:length]).items() if len(errors) > 1}
        rows = one_by_one(about_means(tables))
        if len(rows) >= FEWEST_ROWS:
            break
    return from_errors(rows, "steps of one's own like it: errors of published steps about the mean of a table")


def without(known: Known, kind: Kind, table: str, error: float) -> Known:
    """What is known but for one row, as its range may not come from its own error."""
    errors = list(known.get(kind.place, {}).get(table, ()))
    if not errors:
        return known
    errors.remove(min(errors, key=lambda one: abs(one - error)))
    return {**known, kind.place: {**known[kind.place], table: errors}}


def gpu_bounds(run: GPURun, told: Known | None = None, table: str = "") -> Bounds:
    """By how much a step on GPUs may be faster or slower, from what is known of its software, its GPU and the kind of model.

    Parameters
    ----------
    told
        Errors of published rows in place of all that ship with wsesim.
    table
        Of published rows that the run is one of; one's own are of none, and differ as tables do.
    """
    known, kind = knowledge("gpus").assumed, kind_of(run)
    own = run.cluster.gpu.calibration.measured.get(kind.key)
    if own is not None and told is None:
        return moved(_about_own(kind), math.log(own))
    reasons = [_of_kind(kind) if told is None else bounds_of_kind(kind, told)]
    tables, here = (_shipped(kind.alike[:length]) for length in (1, 2))
    if len(one_by_one(tables)) < FEWEST_ROWS:
        reasons.append(known.get(f"software_{kind.profile}", known["unmeasured_software"]))
    elif table not in tables:
        reasons.append(known["another_table" if here else "another_gpu"])
    if not is_measured(run.cluster.gpu):
        reasons.append(known["unmeasured_gpu"])
    if run.training.precision == "nvfp4":
        reasons.append(known["four_bit"])
    if kind.experts == "experts" and not _shipped(kind.alike):
        reasons.append(known["experts"])
    return together(*reasons)


def doubts(run: GPURun, plans: PlanTable, memory_bytes: Array) -> dict[str, Array]:
    """Which plans do what no published step tells of, by the key of ``cluster_configs/errors/gpus.toml``."""
    tensor = plans.tensor.astype(int)
    return {
        "plan_short_context": (plans.context > 1) & (run.training.sequence_length < SHORT_TOKENS * plans.context),
        "plan_odd_tensor": tensor & (tensor - 1) > 0,
        "plan_many_chunks": plans.chunks > MANY_CHUNKS,
        "plan_uneven_groups": (plans.chunks > 1) & (plans.num_micro_batches % plans.pipeline > 0),
        "plan_nearly_full": memory_bytes > NEARLY_FULL * run.cluster.gpu.memory_bytes,
    }


def lateness(run: GPURun, plans: PlanTable, memory_bytes: Array) -> Array:
    """By what factor the pessimistic end of a plan is later than that of a plan without doubts. [-]

    In full, not as squares beside the bounds of all plans: among many the doubtful one wins that errs most.
    """
    known = knowledge("gpus").assumed
    return np.exp(
        np.sqrt(add_up(known[key].slower ** 2 * has for key, has in doubts(run, plans, memory_bytes).items()))
    )


def bounds_of(run: GPURun, plan: Plan) -> Bounds:
    """By how much the step of one plan may be faster or slower."""
    known, needed = knowledge("gpus").assumed, memory_of_plan(run, plan).total
    found = [known[key] for key, has in doubts(run, plan.table, needed).items() if np.any(has)]
    usual, more = gpu_bounds(run), together(*found)
    return Bounds(usual.faster, usual.slower + more.slower, (*usual.basis, *more.basis))

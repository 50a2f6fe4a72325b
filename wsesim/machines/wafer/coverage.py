"""Whether a run lies within what has been measured, and how far its answer may be off."""

from __future__ import annotations

import math
from functools import cache

from wsesim.config.entries import load_model
from wsesim.config.model import ModelSpec
from wsesim.config.release import release_key
from wsesim.config.run import Run
from wsesim.intervals import Bounds, Errors, about_means, differences, from_errors, knowledge, together
from wsesim.machines.wafer.plan import Plan
from wsesim.machines.wafer.rows import Measurement, published
from wsesim.units import add_up


def _hidden_size(row: Measurement) -> int:
    given = row.model.get("hidden_size")
    return load_model(row.model["name"]).hidden_size if given is None else int(given)


def _range(word: str, value: int, measured: list[int]) -> list[str]:
    if min(measured) <= value <= max(measured):
        return []
    bounds = f"{min(measured):,} to {max(measured):,}" if min(measured) < max(measured) else f"only {measured[0]:,}"
    return [f"{word} {value:,} (measured: {bounds})"]


@cache
def _rates() -> tuple[Measurement, ...]:
    """The shipped rates; a page asks for them with every answer."""
    return tuple(row for row in published() if row.is_rate)


def outside_of_measurements(run: Run) -> list[str]:
    """What about a run no shipped rate was measured with; empty where some rate is near.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> outside_of_measurements(load("andromeda_13b"))
    ['num_systems 12 (measured: 1 to 2)']
    """
    key = run.cluster.system.name.lower().replace("-", "")
    rows = [row for row in _rates() if row.system == key]
    if not rows:
        return [f"system {run.cluster.system.name}, of which no rate was measured"]
    found = _range("num_systems", run.cluster.num_systems, [row.num_systems for row in rows])
    found += _range("hidden_size", run.model.hidden_size, [_hidden_size(row) for row in rows])
    found += _range("sequence_length", run.training.sequence_length, [row.sequence_length for row in rows])
    tokens = [row.global_batch_size // row.num_systems * row.sequence_length for row in rows]
    own_tokens = math.ceil(run.training.global_batch_size / run.cluster.num_systems) * run.training.sequence_length
    found += _range("tokens per system and step", own_tokens, [*tokens, max(own_tokens, min(tokens))])
    if run.training.weight_sparsity > 0:
        found.append(f"weight_sparsity {run.training.weight_sparsity:g} (measured: only 0)")
    if run.training.precision == "float32":
        found.append("precision float32 (measured: only 16 bit)")
    if run.model.num_experts > 1:
        found.append(f"num_experts {run.model.num_experts} (measured: only 1)")
    return found


MEASURED_LENGTH = 2048
"""Longest sequence of which a rate was measured. [-]"""


Shape = tuple[int, ...]


def _shape(model: ModelSpec) -> Shape:
    """What makes a model another one for these numbers, whatever it is called."""
    return (model.num_layers, model.hidden_size, model.num_attention_heads, model.mlp_size, model.key_value_heads)


@cache
def _models_of_release(system: str, release: str) -> frozenset[Shape]:
    """Shapes of models whose shipped rows fixed a release."""
    rows = (row for row in _rates() if row.is_fitted and row.system == system)
    return frozenset(_shape(load_model(str(row.model["name"]))) for row in rows if row.software_release == release)


SMALL_STEP = 0.5
"""Share of a step that is no compute, above which its errors say little of larger steps. [-]"""


def share_of_waiting(plan: Plan, step_time_s: float) -> float:
    """Share of a step in which a wafer does not compute. [-]"""
    work_s = add_up(sweep.gemm_s + sweep.attention_s for sweep in plan.sweeps()) * plan.num_micro_batches
    return min(1.0, max(0.0, 1.0 - work_s / step_time_s))


def wafer_bounds(run: Run, plan: Plan, step_time_s: float, errors: Errors | None = None) -> Bounds:
    """By how much a wafer-scale step may be faster or slower, from what is known of its release, size and sequences.

    Parameters
    ----------
    run, plan, step_time_s
        What was predicted.
    errors
        Of left-out models; those of all models that ship with wsesim when left out. [-]
    """
    told = knowledge("wafers")
    errors = errors or told.errors["known_release"]
    system = run.cluster.system.name.lower().replace("-", "")
    models = _models_of_release(system, plan.software_release)
    wanted = run.cluster.software_release or plan.software_release
    own = run.cluster.system.calibration.measured.get(plan.software_release, ())
    is_another = release_key(wanted) != release_key(plan.software_release)
    if run.model.name in own and not is_another:
        reasons = [
            from_errors(about_means(errors), "a row of one's own of this model: errors about the mean of a model")
        ]
    else:
        reasons = [_of_release(errors, models, _shape(run.model))]
        if not own and not any(row.system == system for row in _rates()):
            reasons.append(told.assumed["new_generation"])
        elif is_another or not (models or own):
            reasons.append(told.assumed["release_without_row"])
    reasons.append(told.assumed["small_steps"].scaled(share_of_waiting(plan, step_time_s)))
    reasons += _beyond_supply(run, step_time_s)
    if run.num_devices > 1:
        reasons.append(scaling_out(run.num_devices))
    doublings = math.log2(run.training.sequence_length / MEASURED_LENGTH)
    if doublings > 0.0:
        reasons.append(told.assumed["longer_sequences"].scaled(doublings))
    if run.training.weight_sparsity > 0 or run.training.precision == "float32" or run.model.num_experts > 1:
        reasons.append(told.assumed["unmeasured"])
    return together(*reasons)


def supply_seen(run: Run) -> tuple[float, float] | None:
    """Least and most sequences a second that input workers of a system were seen to supply; None where a bound is set. [1/s]"""
    spec, origin = run.cluster.input, run.origins.get("cluster.input.supply_samples_per_s")
    limit = spec.supply_samples_per_s
    if limit is None or spec.supply_is_bound or spec.worker_samples_per_s is not None:
        return None
    return (limit, limit) if origin is None or origin.low is None else (origin.low, origin.high or limit)


def _beyond_supply(run: Run, step_time_s: float) -> list[Bounds]:
    """How much slower a run is where input workers supply no more than the least that was seen."""
    supply = supply_seen(run)
    beyond = 0.0 if supply is None else run.training.global_batch_size / step_time_s / run.num_devices / supply[0]
    words = "more sequences a second than input workers were seen to supply, of which no single limit is known"
    return [Bounds(0.0, math.log(beyond), (words,))] if beyond > 1.0 else []


def scaling_out(num_systems: int) -> Bounds:
    """By how much many systems may be slower than one with its share: rows tell of one or two."""
    return knowledge("wafers").assumed["scaling_out"].scaled(math.log2(num_systems))


def _of_release(errors: Errors, models: frozenset[Shape], model: Shape) -> Bounds:
    """What a release's factor rests on: several models, the model itself, or one other model, whose error is in it too."""
    if len(models) == 1 and model not in models:
        return from_errors(
            differences(errors), "a release that one other model fixed: differences of errors of left-out models"
        )
    count = len(errors)
    return from_errors(errors, f"errors of {count} models that were left out")

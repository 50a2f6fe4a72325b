"""What has to hold before a run can be simulated, and whether it lies within what has been measured."""

from __future__ import annotations

import math
from functools import lru_cache

from wsesim.config.cluster import release_key
from wsesim.config.model import ModelSpec
from wsesim.config.run import Run
from wsesim.engine.repeat import FEWEST_MICRO_BATCHES, FEWEST_STEPS
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.machine import Work, limit, positions, refuse
from wsesim.machines.wafer import memoryx
from wsesim.machines.wafer.plan import CHUNKS_IN_BUFFER, Plan, lanes_of, make_plan
from wsesim.machines.wafer.spec import SimulationSpec
from wsesim.machines.wafer.streaming import num_jobs, shape_of
from wsesim.machines.wafer.swarmx import check_size, exceptional_links
from wsesim.results.intervals import Bounds, Errors, about_means, differences, from_errors, knowledge, together
from wsesim.units import add_up
from wsesim.workload.transformer import layer_counts, parameter_count

# What has to hold before a run can be simulated, each with its remedy.


SMALLEST_BUFFER_BYTES = 1000
"""Smallest weight or gradient buffer that can be simulated. [bytes]"""

MOST_JOBS_OF_A_PIECE = 10
"""Jobs that one piece of the weights makes in all passes: three passes or four, each moves and works on it. [-]"""
JOB_S, EVENT_S, FLOAT_S = 15e-6, 3e-6, 5e-9
"""To write a job down; to evaluate it once; the same for one more class of systems. Of an ordinary machine. [s]"""
JOB_BYTES, FLOAT_BYTES = 1900.0, 8.0
"""A job of a program with all that is looked up for it; a time of it. [bytes]"""


def _masked_positions(run: Run) -> None:
    model, length = run.model, run.training.sequence_length
    if model.masked_positions > length:
        raise ConfigError(
            f"{run.place}: model.masked_positions is {model.masked_positions}, more than training.sequence_length = {length}; "
            f"use at most {length}"
        )


def _release(run: Run) -> None:
    _releases(run.place, run.cluster.software_release, tuple(run.cluster.system.calibration.releases))


@lru_cache(maxsize=64)
def _releases(place: str, wanted: str | None, calibrated: tuple[str, ...]) -> None:
    named = {"cluster.software_release": wanted}
    named |= {f"cluster.system.calibration.releases.{name}": name for name in calibrated}
    for key, release in named.items():
        if release is not None:
            release_key(release, f"{place}: {key}")


def _micro_batch_fits(run: Run) -> None:
    lanes, micro = lanes_of(run), run.training.micro_batch_size
    if micro != "auto" and micro > lanes.max_micro_batch_size:
        raise DoesNotFit(
            f"a micro-batch of {micro} sequences does not fit on a {run.cluster.system.name} wafer: its SRAM allows "
            f'{lanes.max_micro_batch_size}; lower training.micro_batch_size, or use "auto"'
        )


def _memoryx_holds(run: Run) -> None:
    parameters = parameter_count(run.model, run.training.sequence_length)
    memoryx.check_capacity(run.cluster.memoryx, parameters, memoryx.kept_for(run.training))


def _fabric_takes(run: Run) -> None:
    try:
        check_size(run.cluster)
        exceptional_links(run.cluster)
    except ConfigError as error:
        raise ConfigError(f"{run.place}: {error}") from None


def _pieces(run: Run) -> None:
    """Layers that travel in more pieces than anybody would wait for, or than would fit into a buffer."""
    wafer, weight_bytes = run.cluster.system.wafer, run.cluster.memoryx.wire_bytes_per_weight
    room = min(wafer.weight_buffer_bytes, wafer.gradient_buffer_bytes)
    if room < SMALLEST_BUFFER_BYTES:
        raise ConfigError(
            f"{run.place}: cluster.system.wafer has a weight or gradient buffer of {room:g} bytes; "
            f"raise weight_buffer_bytes and gradient_buffer_bytes to at least {SMALLEST_BUFFER_BYTES}"
        )
    at_least = run.cluster.simulation.chunks_per_layer
    counts = layer_counts(run.model, run.training.sequence_length)
    sizes = [(layer.streamed_parameters * weight_bytes, count) for layer, count in counts]
    pieces = add_up(count * max(at_least, CHUNKS_IN_BUFFER * size / room) for size, count in sizes)
    if MOST_JOBS_OF_A_PIECE * pieces > limit.get():
        is_fine = at_least > SimulationSpec().chunks_per_layer
        lower = "lower cluster.simulation.chunks_per_layer" if is_fine else "make the model smaller"
        work(run).check(
            run.place, f"{lower}, or raise weight_buffer_bytes and gradient_buffer_bytes of cluster.system.wafer"
        )


def work(run: Run) -> Work:
    """What a step of a run takes, counted without writing its program."""
    plan = make_plan(run)
    number = num_jobs(shape_of(plan))
    passes = min(plan.num_micro_batches, FEWEST_MICRO_BATCHES) * FEWEST_STEPS
    memory_bytes = number * (JOB_BYTES + 2 * FLOAT_BYTES * len(plan.classes))
    return Work(number, number * (JOB_S + passes * (EVENT_S + FLOAT_S * len(plan.classes))), memory_bytes)


CHECKS = (positions, _masked_positions, _release, _fabric_takes, _memoryx_holds, _micro_batch_fits, _pieces)


def check(run: Run) -> None:
    """Refuse what cannot be simulated, with all that is wrong in one message.

    Raises
    ------
    ConfigError
        Numbers that contradict each other.
    DoesNotFit
        More than the machine holds, with what would be needed.
    """
    refuse(run, CHECKS)


# Whether a run lies within what has been measured, and how far its answer may be off.


def _range(word: str, value: int, least: int, most: int) -> list[str]:
    if least <= value <= most:
        return []
    bounds = f"{least:,} to {most:,}" if least < most else f"only {least:,}"
    return [f"{word} {value:,} (measured: {bounds})"]


def _key(system: str) -> str:
    """A generation as the table of measurements calls it."""
    return system.lower().replace("-", "")


def outside_of_measurements(run: Run) -> list[str]:
    """What about a run no shipped rate was measured with; empty where some rate is near.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> outside_of_measurements(load("andromeda_13b"))
    ['num_systems 12 (measured: 1 to 2)']
    """
    known = knowledge("wafers").measured.get(_key(run.cluster.system.name))
    if known is None:
        return [f"system {run.cluster.system.name}, of which no rate was measured"]
    found = _range("num_systems", run.cluster.num_systems, *known["num_systems"])
    found += _range("hidden_size", run.model.hidden_size, *known["hidden_size"])
    found += _range("sequence_length", run.training.sequence_length, *known["sequence_length"])
    tokens = math.ceil(run.training.global_batch_size / run.cluster.num_systems) * run.training.sequence_length
    least, most = known["tokens_per_system_and_step"]  # more of them are more of the same
    found += _range("tokens per system and step", min(tokens, most), least, most)
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


def model_shape(model: ModelSpec) -> Shape:
    """What makes a model another one for these numbers, whatever it is called."""
    return (model.num_layers, model.hidden_size, model.num_attention_heads, model.mlp_size, model.key_value_heads)


def _models_of_release(system: str, release: str) -> frozenset[Shape]:
    """Shapes of models whose shipped rows fixed a release."""
    releases = knowledge("wafers").measured.get(system, {}).get("releases", {})
    return frozenset(map(tuple, releases.get(release, ())))


SMALL_STEP = 0.5
"""Share of a step that is no compute, above which its errors say little of larger steps. [-]"""


def share_of_waiting(plan: Plan, step_time_s: float) -> float:
    """Share of a step in which a wafer does not compute. [-]"""
    work_s = add_up(one.gemm_s + one.attention_s for one in plan.passes()) * plan.num_micro_batches
    return min(1.0, max(0.0, 1.0 - work_s / step_time_s))


def wafer_bounds(run: Run, plan: Plan, step_time_s: float, errors: Errors | None = None) -> Bounds:
    """By how much a wafer-scale step may be faster or slower, from what is known of its release, size and sequences.

    Parameters
    ----------
    errors
        Of left-out models; those of all models that ship with wsesim when left out. [-]
    """
    told = knowledge("wafers")
    errors = errors or told.errors["known_release"]
    system = _key(run.cluster.system.name)
    models = _models_of_release(system, plan.software_release)
    wanted = run.cluster.software_release or plan.software_release
    own = run.cluster.system.calibration.measured.get(plan.software_release, ())
    is_another = release_key(wanted) != release_key(plan.software_release)
    if run.model.name in own and not is_another:
        reasons = [
            from_errors(about_means(errors), "a row of one's own of this model: errors about the mean of a model")
        ]
    else:
        reasons = [_of_release(errors, models, model_shape(run.model))]
        if not own and system not in told.measured:
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

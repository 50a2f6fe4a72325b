"""What has to hold before a run can be simulated, each with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

from wsesim.config.release import release_key
from wsesim.config.run import Run
from wsesim.engine.repeat import FEWEST_MICRO_BATCHES, FEWEST_STEPS
from wsesim.errors import ConfigError, DoesNotFit, WsesimError
from wsesim.machines.machine import Work, limit
from wsesim.machines.wafer import memoryx
from wsesim.machines.wafer.plan import CHUNKS_IN_BUFFER, lanes_of, make_plan
from wsesim.machines.wafer.spec import SimulationSpec
from wsesim.machines.wafer.streaming import num_jobs, shape_of
from wsesim.machines.wafer.swarmx import check_size, exceptional_links
from wsesim.units import add_up
from wsesim.workload.transformer import layer_counts, parameter_count

AnyRun = TypeVar("AnyRun", bound=Run)

SMALLEST_BUFFER_BYTES = 1000
"""Smallest weight or gradient buffer that can be simulated. [bytes]"""

MOST_JOBS_OF_A_PIECE = 10
"""Jobs that one piece of the weights makes in all passes: three passes or four, each moves and works on it. [-]"""
JOB_S, EVENT_S, FLOAT_S = 15e-6, 3e-6, 5e-9
"""To write a job down; to evaluate it once; the same for one more class of systems. Of an ordinary machine. [s]"""
JOB_BYTES, FLOAT_BYTES = 1900.0, 8.0
"""A job of a program with all that is looked up for it; a time of it. [bytes]"""


def nearest_multiples(value: int, divisor: int) -> str:
    """The multiples of `divisor` on both sides of `value`, in words.

    Examples
    --------
    >>> nearest_multiples(1000, 12)
    '996 or 1008'
    >>> nearest_multiples(5, 12)
    '12'
    """
    below = value // divisor * divisor
    return f"{below} or {below + divisor}" if below else f"{divisor}"


def positions(run: Run) -> None:
    """Learned positions reach as far as the sequences."""
    model, length = run.model, run.training.sequence_length
    rows = model.max_position_embeddings
    if model.position_embedding == "learned" and rows is not None and length > rows:
        raise ConfigError(
            f"{run.place}: training.sequence_length is {length}, but {model.name} has {rows} learned positions; "
            f"use at most {rows}, or set model.max_position_embeddings = {length}"
        )


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


def refuse(run: AnyRun, checks: Iterable[Callable[[AnyRun], None]]) -> None:
    """Make all checks of a run, wafer-scale or GPU; what they find comes in one message.

    Raises
    ------
    ConfigError, DoesNotFit
        The latter where nothing contradicts itself.
    """
    problems: list[WsesimError] = []
    for one in checks:
        try:
            one(run)
        except ConfigError as error:
            problems.append(error)
        except DoesNotFit as error:
            problems.append(DoesNotFit(f"{run.place}: {error}"))
    if problems:
        kind = ConfigError if any(isinstance(problem, ConfigError) for problem in problems) else DoesNotFit
        raise kind("\n".join(dict.fromkeys(str(problem) for problem in problems)))

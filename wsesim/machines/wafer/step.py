"""One step of a wafer-scale run: everything that a report, a page or a program wants to know about it."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from wsesim.config.cluster import release_key
from wsesim.config.training import is_training
from wsesim.engine.program import Span
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.wafer import metrics
from wsesim.machines.wafer.checks import outside_of_measurements, supply_seen, wafer_bounds
from wsesim.machines.wafer.metrics import (
    LEVERS,
    Lever,
    bottleneck,
    breakdown_s,
    bytes_per_step,
    levers,
    memory,
    utilization,
    words,
)
from wsesim.machines.wafer.simulation import Simulation, run_many, run_schedule, step_times_s, usual_engine
from wsesim.machines.wafer.spec import WaferRun
from wsesim.results.intervals import Bounds
from wsesim.results.step import Step

MOST_ROOM, MORE_ROOM = 4096, 4
"""Of buffers, over what they are, where a change is tried; and by how much they grow at a time. [-]"""


def _shortened(run: WaferRun, time_s: float, lever: Lever) -> float:
    """Step time with a change over that without. [-]

    Chunks in which a small buffer cuts a layer can be simulated as one where they wait for nothing; with the change they may
    not be, and then there are more than the limit. So both are tried with larger buffers, whose chunks are fewer.
    """
    factor = 1
    while True:
        try:
            changed_s = step_times_s([lever.pulled(_with_room(run, factor))])[0]
            return changed_s / (time_s if factor == 1 else step_times_s([_with_room(run, factor)])[0])
        except ConfigError:
            factor *= MORE_ROOM
            if factor > MOST_ROOM:
                raise


def _with_room(run: WaferRun, factor: int) -> WaferRun:
    wafer = run.cluster.system.wafer
    rooms = {key: factor * getattr(wafer, key) for key in ("weight_buffer_bytes", "gradient_buffer_bytes")}
    system = run.cluster.system.model_copy(update={"wafer": wafer.model_copy(update=rooms)})
    return replace(run, cluster=run.cluster.model_copy(update={"system": system}))


@dataclass(frozen=True, eq=False)
class WaferStep(Step):
    """One step of a wafer-scale run.

    Attributes
    ----------
    run, simulation
        What was simulated, and what came of it.
    tried_s
        Step times with changes that were tried, by their words: a step that travels to another process takes no functions
        with it; empty until they are asked for. [s]
    """

    run: WaferRun
    simulation: Simulation
    tried_s: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    @property
    def time_s(self) -> float:
        """In the steady state. [s]"""
        return self.simulation.step_time_s

    @cached_property
    def spent_s(self) -> dict[str, float]:
        """By the system that finishes it last. [s]"""
        return breakdown_s(self.simulation)

    @property
    def micro_batch_size(self) -> int:
        """Sequences per system and pass. [-]"""
        return self.simulation.plan.micro_batch_size

    @property
    def num_micro_batches(self) -> int:
        """Passes. [-]"""
        return self.simulation.plan.num_micro_batches

    @property
    def flop(self) -> float:
        """What the wafers execute. [FLOP]"""
        return metrics.executed_flop_per_step(self.simulation)

    @property
    def peak_flop_per_s(self) -> float:
        """Dense peak of all systems. [FLOP/s]"""
        return metrics.peak_of_cluster_flop_per_s(self.simulation)

    @cached_property
    def utilization(self) -> dict[str, float]:
        """How busy each part is. [-]"""
        return utilization(self.simulation)

    @cached_property
    def memory(self) -> dict[str, float]:
        """What is held where."""
        return memory(self.simulation)

    @property
    def kinds_of_parallelism(self) -> tuple[str, ...]:
        """Data parallel only."""
        return ("data",) if self.run.num_devices > 1 else ()

    @property
    def num_settings(self) -> int:
        """The micro-batch, the number of systems where there are several, and a policy other than off-load. [-]"""
        return 1 + (self.run.num_devices > 1) + (self.run.training.activations != "offload")

    @property
    def software(self) -> str:
        """Release whose rate is used."""
        return self.simulation.plan.software_release

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before using the numbers."""
        simulation = self.simulation
        return (
            *_coverage_note(self.run),
            *_release_note(simulation),
            *_uneven_note(self.run),
            *_micro_batch_note(simulation),
            *_supply_note(self),
            *_evaluation_note(self.run),
            *_sparsity_note(self.run),
            *_steady_note(simulation),
        )

    @property
    def is_extrapolated(self) -> bool:
        """Whether it is beyond what has been measured."""
        return bool(outside_of_measurements(self.run))

    @cached_property
    def bounds(self) -> Bounds:
        """By how much it may be faster or slower in nine cases of ten."""
        return wafer_bounds(self.run, self.simulation.plan, self.time_s)

    @property
    def trace(self) -> tuple[Span, ...]:
        """Spans of all simulated steps, where they were asked for."""
        return self.simulation.trace

    @property
    def num_events(self) -> int:
        """SimPy events. [-]"""
        return self.simulation.num_events

    @property
    def wall_s(self) -> float:
        """Wall time of the simulation. [s]"""
        return self.simulation.wall_s

    @property
    def simulator(self) -> dict[str, Any]:
        """Engine and events."""
        return {"engine": self.simulation.engine, "events": self.num_events}

    @property
    def usable_share(self) -> float:
        """Of the claimed cores, those of the fabric that programs are laid out on. [-]"""
        wafer = self.run.cluster.system.wafer
        return wafer.fabric_width * wafer.fabric_height / wafer.num_cores

    @property
    def bytes_moved(self) -> dict[str, float]:
        """What crosses each kind of link of one system. [bytes]"""
        return bytes_per_step(self.simulation)

    def uses(self, key: str) -> bool:
        """Whether a number had a part in it."""
        return _in_use(key, self.simulation)

    def bottleneck(self) -> str:
        """What takes most of the step, and what would move it; simulates the changes."""
        return bottleneck(self.run, self.spent_s, self.time_s, self._tried())

    def changes(self) -> dict[str, float]:
        """Changes of the machine, and by what share of it each shortens the step; simulates them. [-]"""
        return {
            f"{words(self.run, one)} 10 % faster": 1.0 - time_s / self.time_s for one, time_s in self._tried().items()
        }

    def _tried(self) -> dict[Lever, float]:
        """The step time with each change that is worth a try; simulates them, once. [s]"""
        by_words = {lever.words: lever for lever in LEVERS.values()}
        if not self.tried_s:
            self.tried_s.update(self._try())
        return {by_words[name]: time_s for name, time_s in self.tried_s.items()}

    def _try(self) -> dict[str, float]:
        """The same by the words of the changes. [s]"""
        chosen, tried = levers(self.run, self.spent_s), {}
        for lever in chosen:
            with suppress(ConfigError, DoesNotFit):
                tried[lever.words] = self.time_s * _shortened(self.run, self.time_s, lever)
        return tried or {chosen[0].words: self.time_s}

    def efficiency(self) -> tuple[float, float]:
        """Speed over that of one system times their number; simulates one system. [-]"""
        weak_s, strong_s = self._alone_s()
        batch, number = self.run.training.global_batch_size, self.run.num_devices
        fullest = math.ceil(batch / number)
        as_full = batch / (fullest * number)  # of an uneven batch only some systems have the fullest share
        return weak_s / self.time_s * as_full, strong_s / self.time_s / number

    def lost_s(self) -> dict[str, float]:
        """By what a step is longer than its share of the step of one system with the same batch; simulates that one. [s]"""
        if self.run.num_devices == 1:
            return {}
        alone = WaferStep(self.run, run_many([self.run.on(1)])[0]).spent_s
        found: dict[str, float] = {}
        for name in self.spent_s:
            found[name] = self.spent_s[name] - alone.get(name, 0.0) / self.run.num_devices
        return {name: value for name, value in found.items() if value > 0.0}

    def _alone_s(self) -> list[float]:
        """Step times of one system with its share of the batch, and with all of it. [s]"""
        if self.run.num_devices == 1 and not self.run.cluster.exceptions:
            return [self.time_s, self.time_s]
        batch = self.run.training.global_batch_size
        return step_times_s([self.run.on(1, math.ceil(batch / self.run.num_devices)), self.run.on(1, batch)])


def _in_use(key: str, simulation: Simulation) -> bool:
    """Whether a number had a part in this run."""
    training, plan = simulation.run.training, simulation.plan
    last = key.rsplit(".", 1)[-1]
    if ".calibration.releases." in key:
        return key.endswith(f".releases.{plan.software_release}")
    unused = {
        "flash_bytes": memory_in_flash(simulation) == 0,
        "flash_bytes_per_s": memory_in_flash(simulation) == 0,
        "index_bytes_per_weight": training.weight_sparsity == 0,
        "float32_rate_factor": training.precision != "float32",
        "supply_samples_per_s": not simulation.run.cluster.input.supply_is_bound,
        "num_systems": True,
        "max_systems": True,
        "amortization_s": simulation.run.cluster.price_usd_per_system_hour is not None,
        "purchase_price_usd": simulation.run.cluster.price_usd_per_system_hour is not None,
    }
    return not unused.get(last, False)


def memory_in_flash(simulation: Simulation) -> float:
    """Share of the model state that lies in flash. [-]"""
    return memory(simulation)["memoryx_flash_share"]


def _coverage_note(run: WaferRun) -> list[str]:
    outside = outside_of_measurements(run)
    return [f"extrapolates beyond what has been measured: {'; '.join(outside)}"] if outside else []


def _release_note(simulation: Simulation) -> list[str]:
    wanted, chosen = simulation.run.cluster.software_release, simulation.plan.software_release
    if wanted is None or release_key(wanted) == release_key(chosen):
        return []
    system = simulation.run.cluster.system
    known = ", ".join(system.calibration.releases)
    return [f"release {wanted} is not calibrated for {system.name} (known: {known}); {chosen} is used in its place"]


def _uneven_note(run: WaferRun) -> list[str]:
    """How a batch was dealt out that does not divide by the number of systems."""
    batch, systems = run.training.global_batch_size, run.num_devices
    each, fuller = divmod(batch, systems)
    if not fuller:
        return []
    others = systems - fuller
    rest = f"{others:,} {'takes' if others == 1 else 'take'} {each:,}"
    if not each:
        rest = f"{others:,} {'has' if others == 1 else 'have'} none"
    dealt = f"{fuller:,} {'takes' if fuller == 1 else 'take'} {each + 1:,} and {rest}"
    return [f"{batch:,} sequences do not divide by {systems:,} systems: {dealt}; the fullest decides the time"]


def _micro_batch_note(simulation: Simulation) -> list[str]:
    plan, run = simulation.plan, simulation.run
    per_system, most = round(plan.sequences_per_pass * plan.num_micro_batches), plan.lanes.most_of_a_pass
    if plan.lanes.limited_by == "sequence":
        length = run.training.sequence_length
        return [
            f"no lane holds a sequence of {length:,} tokens; one at a time fits into the SRAM, its activations off-loaded"
        ]
    if plan.micro_batch_size != plan.sequences_per_pass:
        uneven = (
            f"a system's batch of {per_system:,} does not divide into few passes; {plan.num_micro_batches:,} are dealt out as "
            f"evenly as it goes, of at most {plan.micro_batch_size:,} sequences"
        )
        return [uneven]
    if run.training.micro_batch_size != "auto" or plan.micro_batch_size * 2 > most or per_system <= most:
        return []
    best = most
    nearest = max(1, round(per_system / best)) * best * run.cluster.num_systems
    note = (
        f"a system's batch of {per_system} divides best into passes of {plan.micro_batch_size}, though {best} "
        f"would fit; a global batch of {nearest} would use the wafers better"
    )
    return [note]


def _supply_note(step: WaferStep) -> list[str]:
    """A run that takes more sequences than input workers were seen to supply."""
    supply = supply_seen(step.run)
    taken = step.run.training.global_batch_size / step.time_s / step.run.num_devices
    if supply is None or taken <= supply[0]:
        return []
    low, high = supply
    seen = f"{low:,.0f} to {high:,.0f}" if low < high else f"{low:,.0f}"
    found = (
        f"each system takes {taken:,.0f} sequences/s, and input workers were seen to supply {seen}: it may be slower"
    )
    return [f"{found}; cluster.input.supply_is_bound = true makes that a bound"]


def _evaluation_note(run: WaferRun) -> list[str]:
    if is_training(run.training):
        return []
    given = ("optimizer", "max_gradient_norm", "activations")
    idle = ", ".join(f"training.{key}" for key in given if key in run.training.model_fields_set)
    without = f"; {idle} {'have' if ',' in idle else 'has'} no effect" if idle else ""
    return [f"an evaluation: forward passes only, and nothing is updated{without}"]


def _sparsity_note(run: WaferRun) -> list[str]:
    if run.training.weight_sparsity == 0:
        return []
    return [
        "MFU counts the FLOP of the dense model, also those that zero weights save; HFU counts what is executed",
        "the predicted loss is that of dense weights: what sparse ones lose is not modelled",
    ]


def _steady_note(simulation: Simulation) -> list[str]:
    if simulation.is_steady:
        return []
    return [
        f"no two consecutive steps agreed within {simulation.num_steps} steps; the step time is a mean over the last half"
    ]


def simulated(run: WaferRun, engine: str) -> WaferStep:
    """One step of a run by an engine, or by the usual one for such a run."""
    return WaferStep(run, run_schedule(run, engine=engine or usual_engine(run), keeps_trace=False))

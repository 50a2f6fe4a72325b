"""Wafer-scale clusters as a kind of machine."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsesim.config.cluster import release_key
from wsesim.config.training import LARGEST_BATCH
from wsesim.errors import DoesNotFit
from wsesim.machines.machine import (
    FEW,
    LAYERS,
    LINKS,
    Failures,
    LeftOut,
    Machine,
    Work,
    check_all,
    divisors,
    page_limit,
)
from wsesim.machines.timeline import Timeline
from wsesim.machines.wafer.spec import FILES, WaferRun
from wsesim.machines.wafer.words import WaferWords
from wsesim.results.intervals import Bounds
from wsesim.results.result import Result
from wsesim.units import add_up

if TYPE_CHECKING:
    from wsesim.machines.wafer.step import WaferStep

LIMITS_FROM = 0.1
"""Share of a step from which a part limits it. [-]"""


class Wafer(Machine):
    """Wafer-scale clusters: weights stream over SwarmX to CS systems, each of which computes the whole model."""

    name = "wafer"
    kind = "wafer_scale"
    files = FILES
    words = WaferWords()
    engines = ("simpy", "recurrence")
    offers = frozenset({LAYERS, LINKS})
    evaluates = True
    at_once = (25, 500)  # enough to share the cost of the loop, few enough to lose little
    measured = "wsesim.validate.near:WAFER_ROWS"

    def check(self, run: WaferRun) -> None:
        """Refuse a run that cannot be."""
        from wsesim.machines.wafer.checks import check

        check(run)

    def comes_in(self, run: WaferRun) -> int:
        """As the cluster's file says: one, or what a provider rents out together. [-]"""
        return run.cluster.comes_in

    def simulate(self, run: WaferRun, engine: str = "") -> WaferStep:
        """One step, without a trace."""
        from wsesim.machines.wafer.step import simulated

        return simulated(run, engine)

    def simulate_many(self, runs: Sequence[WaferRun]) -> list[WaferStep]:
        """Many steps with the recurrence, which shares its cost among them."""
        from wsesim.machines.wafer.simulation import run_many
        from wsesim.machines.wafer.step import WaferStep

        return [WaferStep(run, simulation) for run, simulation in zip(runs, run_many(runs), strict=True)]

    def step_time_s(self, run: WaferRun) -> float:
        """Time of one step, without a trace. [s]"""
        from wsesim.machines.wafer.simulation import step_time_s

        return step_time_s(run)

    def step_times_s(self, runs: Sequence[WaferRun]) -> list[float | str]:
        """Times of many steps with the recurrence; or why a run cannot be. [s]"""
        from wsesim.machines.wafer.simulation import step_times_s

        able, refused = check_all(runs)
        times_s, reasons = iter(step_times_s(able)), iter(refused)
        found = {id(run) for run in able}
        return [next(times_s) if id(run) in found else next(reasons).reason for run in runs]

    def nearest_batch(self, run: WaferRun) -> int:
        """The same number of sequences for each system, which divide into equal passes, and as few as can be. [-]"""
        from wsesim.machines.wafer.plan import lanes_of

        wanted, systems = run.training.global_batch_size, run.num_devices
        room = run.training.batch_tolerance * wanted
        shares = range(max(1, math.ceil((wanted - room) / systems)), math.floor((wanted + room) / systems) + 1)
        try:
            most = lanes_of(run).most_of_a_pass
        except DoesNotFit:
            most = LARGEST_BATCH
        if run.training.micro_batch_size != "auto":
            most = min(most, run.training.micro_batch_size)
        equal = [share for share in shares if share % math.ceil(share / most) == 0]
        return systems * min(equal or shares, key=lambda share: abs(share * systems - wanted)) if shares else wanted

    def weak(self, run: WaferRun) -> tuple[list[WaferRun], list[LeftOut]]:
        """From one system, with the batch of the fullest."""
        share = math.ceil(run.training.global_batch_size / run.num_devices)
        return [run.on(number, number * share) for number in self.numbers(run)], []

    def strong(self, run: WaferRun, batch: int | None = None) -> tuple[list[WaferRun], list[LeftOut]]:
        """From one system, with the whole batch, on doublings and divisors of it and on numbers between them."""
        whole = batch or run.training.global_batch_size
        dividing = _thinned(divisors(whole, run.max_devices))
        return [run.on(number, whole) for number in sorted({*dividing, *self.numbers(run)})], []

    def limits(self, runs: Sequence[WaferRun]) -> list[tuple[str, ...]]:
        """Parts that take a tenth of each step, by the recurrence."""
        found = []
        for one in self.simulate_many(runs):
            whole_s = add_up(one.spent_s.values())
            large = [name for name, spent_s in one.spent_s.items() if spent_s >= LIMITS_FROM * whole_s]
            found.append(tuple(map(self.words.meaning, large)))
        return found

    def alone(self, run: WaferRun) -> WaferRun:
        """One system with the share of the fullest."""
        return run.on(1, math.ceil(run.training.global_batch_size / run.num_devices))

    def is_on_curve(self, run: WaferRun) -> bool:
        """The curves are of identical systems."""
        return not run.cluster.exceptions

    def software(self, run: WaferRun) -> str:
        """The release whose rate is used."""
        from wsesim.machines.wafer.plan import pick_release

        return pick_release(run.cluster.system.calibration, run.cluster.software_release)[0]

    def software_choices(self, cluster: Any) -> dict[str, str]:
        """Calibrated releases, the newest first, with their rates over its own."""
        releases = cluster.system.calibration.releases
        newest, *older = sorted(releases, key=release_key, reverse=True)
        return {newest: newest} | {
            name: f"{name}: {releases[name] / releases[newest]:.0%} of the rate of {newest}" for name in older
        }

    def failures(self, run: WaferRun) -> Failures:
        """A system with the link of its port; links above them and weight servers."""
        parts, cluster = run.cluster.reliability, run.cluster
        link, server = _rate_per_s(parts.link_mtbf_s), _rate_per_s(parts.weight_server_mtbf_s)
        inner = inner_links(cluster.num_systems, cluster.swarmx.fan_out)
        return Failures(
            cluster.num_systems,
            _rate_per_s(parts.system_mtbf_s) + link,
            inner * link + parts.num_weight_servers * server,
        )

    def bounds(self, run: WaferRun, step_s: float) -> Bounds:
        """From what is known of its release, size and sequences."""
        from wsesim.machines.wafer.checks import wafer_bounds
        from wsesim.machines.wafer.plan import make_plan

        return wafer_bounds(run, make_plan(run), step_s)

    def is_extrapolated(self, run: WaferRun) -> bool:
        """Whether it is beyond what has been measured."""
        from wsesim.machines.wafer.checks import outside_of_measurements

        return bool(outside_of_measurements(run))

    def contemporary(self, run: WaferRun) -> str:
        """GPUs of the same years, as the file of the system says."""
        return run.cluster.system.contemporary or ""

    def timeline(self, result: Result, num_steps: int = 1, layers: Collection[int] | None = None) -> Timeline:
        """From one more simulation."""
        from wsesim.machines.wafer.timeline import draw

        return draw(result, num_steps, layers)

    def layer_rows(self, result: Result) -> list[dict[str, Any]]:
        """Seconds of the step by layer and phase, on the wafer that decides it; simulates once more, with a trace."""
        from wsesim.machines.wafer.metrics import layer_times_s
        from wsesim.machines.wafer.simulation import run_schedule

        chain = result.simulation.plan.layers
        return [
            {"layer": chain[index].name, "phase": phase, "times_s": spent}
            for (index, phase), spent in layer_times_s(run_schedule(result.run)).items()
        ]

    def link_rows(self, result: Result) -> list[dict[str, Any]]:
        """Traffic of every link of the fabric."""
        from wsesim.machines.wafer.metrics import link_traffic

        return [asdict(row) for row in link_traffic(result.simulation)]

    def work(self, run: WaferRun) -> Work:
        """Counted from its plan."""
        from wsesim.machines.wafer.checks import work

        return work(run)

    def check_page(self, run: WaferRun) -> None:
        """Refuse a step of too many jobs."""
        from wsesim.machines.wafer.checks import check

        check(run)
        number = self.work(run).num_jobs * (1 + len(run.cluster.exceptions))
        if number > page_limit.get():
            raise DoesNotFit(
                f"{run.place}: a step of {number:.3g} jobs is more than the {page_limit.get():,} that this page simulates; lower "
                "model.num_layers or cluster.simulation.chunks_per_layer, download the run file and run it with `wsesim run`, or "
                "start the page with a higher --limit"
            )


def _thinned(numbers: Sequence[int]) -> list[int]:
    """Some of many numbers, the first and the last with them."""
    if len(numbers) <= FEW:
        return list(numbers)
    return sorted({numbers[round(place * (len(numbers) - 1) / (FEW - 1))] for place in range(FEW)})


def inner_links(num_systems: int, fan_out: int) -> int:
    """Links of a SwarmX tree above those to the systems' ports. [-]

    Examples
    --------
    >>> inner_links(1, 4), inner_links(16, 4)
    (1, 5)
    """
    links, nodes = 0, num_systems
    while nodes > 1 or not links:
        nodes = math.ceil(nodes / fan_out)
        links += nodes
    return links


def _rate_per_s(mtbf_s: float | None) -> float:
    return 0.0 if mtbf_s is None else 1.0 / mtbf_s


WAFER = Wafer()

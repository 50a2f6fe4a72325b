"""Print what wsesim costs: ``python -m benchmarks.speed``.

Times depend on the machine, so what counts are ratios within one run: to a bare SimPy loop of as
many events that does nothing, and of the recurrence to SimPy. Event counts are asserted.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import simpy
from rich.console import Console
from rich.table import Table

from benchmarks.speed import memory as size
from benchmarks.speed.cases import CASES, GPU_CASES, PAGE_CASES
from wsesim.config import catalogue
from wsesim.config.loader import load
from wsesim.config.run import Run
from wsesim.engine.simulate import Clock, DiscreteEvents
from wsesim.machines.gpu import pipeline
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.search import outline_of, rank
from wsesim.machines.gpu.simulation import simulate_gpu, simulate_plan
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.times import times_of_plan
from wsesim.machines.wafer.plan import make_plan
from wsesim.machines.wafer.simulation import run_many, run_schedule, step_time_s
from wsesim.machines.wafer.spec import ExceptionSpec
from wsesim.machines.wafer.streaming import numbers_of, shape_of, write_program
from wsesim.page import work
from wsesim.page.state import RunState, changed
from wsesim.units import show

REPEATS = 5
BATCH = 1000


def best_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Shortest processor time of several. [s]"""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


WORKERS = 6
"""Processes that take part in a run of one class of systems: MemoryX, SwarmX, wafer, optimizer, input and its port."""


def bare_loop_s(num_events: int) -> float:
    """Processor time of a SimPy environment whose processes wait for timeouts and do nothing else. [s]"""
    env = simpy.Environment()

    def tick(period_s: float) -> simpy.events.ProcessGenerator:
        for _ in range(num_events // WORKERS):
            yield env.timeout(period_s)

    for worker in range(WORKERS):
        env.process(tick(1.0 + 0.1 * worker))
    started = time.process_time()
    env.run()
    return time.process_time() - started


def event_loop_s(run: Run, num_steps: int) -> float:
    """Processor time of the events of some steps, without setting them up. [s]"""
    plan, clock = make_plan(run), Clock()
    events = DiscreteEvents(clock, write_program(shape_of(plan)), numbers_of(plan), 1)
    events.start()
    started = time.process_time()
    clock.run_until(events.step_done[num_steps - 1])
    return time.process_time() - started


def table_of(*columns: str) -> Table:
    """An empty table whose first column is text."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def simulations() -> Table:
    """Every case on SimPy: events, time, and time over that of a bare loop; the recurrence; and the step time alone."""
    table = table_of("case", "events", "SimPy", "events/s", "over a bare loop", "recurrence", "step time alone")
    for case in CASES:
        run = case.load()
        events = run_schedule(run).num_events
        assert events == case.events, f"{case.name}: {events} events, not {case.events}; see benchmarks/speed/cases.py"
        best, bare = best_s(lambda run=run: run_schedule(run)), min(bare_loop_s(events) for _ in range(REPEATS))  # type: ignore[misc]
        other = best_s(lambda run=run: run_schedule(run, engine="recurrence"))  # type: ignore[misc]
        alone = best_s(lambda run=run: step_time_s(run))  # type: ignore[misc]
        cells = (f"{events:,}", show(best, "s"), f"{events / best:,.0f}", f"{best / bare:.1f} x", show(other, "s"))
        table.add_row(case.name, *cells, show(alone, "s"))
    return table


def scenarios(count: int) -> list[Run]:
    """Runs of a 40-layer model that differ in efficiency and system count."""
    base = load("andromeda_13b")
    system, calibration = base.cluster.system, base.cluster.system.calibration
    runs = []
    for index in range(count):
        fitted = calibration.model_copy(update={"gemm_efficiency": 0.2 + 0.2 * index / count})
        own = base.cluster.model_copy(update={"system": system.model_copy(update={"calibration": fitted})})
        runs.append(replace(base, cluster=own).on(1 + index % 12, 90 * (1 + index % 12)))
    return runs


def many() -> Table:
    """What a batch of scenarios costs, and how cost grows."""
    table = table_of("recurrence", "time", "each", "")
    batch = scenarios(BATCH)
    alone = best_s(lambda: run_schedule(batch[0]))
    together = best_s(lambda: run_many(batch))
    ratio = f"{alone / together * BATCH:.0f} x SimPy, {BATCH / together:,.0f} scenarios/s and core"
    table.add_row(f"{BATCH:,} scenarios of 13B", show(together, "s"), show(together / BATCH, "s"), ratio)
    large = load("andromeda_13b", ["cluster.name=cs3_2048", "cluster.system=cs2"])
    curve = [large.on(2**power, 90 * 2**power) for power in range(12)]
    table.add_row("1 to 2048 systems, doubling", show(best_s(lambda: run_many(curve)), "s"), "", "identical systems")
    whole = [large.on(count, 90 * count) for count in range(1, 2049)]
    table.add_row(
        "1 to 2048 systems, every count", show(best_s(lambda: run_many(whole), 2), "s"), "", "identical systems"
    )
    for depth in (20, 40, 80):
        run = load("andromeda_13b", [f"model.num_layers={depth}"])
        spent = best_s(lambda run=run: run_schedule(run, engine="recurrence"))  # type: ignore[misc]
        table.add_row(f"{depth} layers", show(spent, "s"), show(spent / depth, "s"), "per layer")
    return table


def different(count: int) -> Run:
    """A run in which every system computes at its own speed."""
    large = load("andromeda_13b", ["cluster.name=cs3_2048", "cluster.system=cs2"]).on(count, 90 * count)
    slower = tuple(ExceptionSpec(systems=(index,), speed=1.0 - 1e-4 * index) for index in range(count))
    return replace(large, cluster=large.cluster.model_copy(update={"exceptions": slower}))


def all_different() -> Table:
    """Cost where no two systems are alike."""
    table = table_of("every system different", "recurrence", "per system and tensor", "SimPy")
    for count in (12, 48, 192, 768):
        run = different(count)
        spent = best_s(lambda run=run: run_schedule(run, engine="recurrence"), 3)  # type: ignore[misc]
        tensors = 3 * sum(1 for _ in make_plan(run).visits)
        slow = show(best_s(lambda run=run: run_schedule(run), 1), "s") if count <= 48 else ""  # type: ignore[misc]
        table.add_row(f"{count} systems", show(spent, "s"), show(spent / count / tensors, "s"), slow)
    return table


def event_loop() -> Table:
    """The event loop alone, against a bare loop of as many events."""
    table = table_of("event loop of 13B", "events", "time", "over a bare loop")
    run = load("andromeda_13b")
    events = run_schedule(run).num_events
    spent = min(event_loop_s(run, 3) for _ in range(REPEATS))
    bare = min(bare_loop_s(events) for _ in range(REPEATS))
    table.add_row("3 steps", f"{events:,}", show(spent, "s"), f"{spent / bare:.1f} x")
    return table


def gpu_pipelines() -> Table:
    """Pipelines of GPU runs on SimPy, the search of a plan for them, and the whole way to the best plan's step time."""
    table = table_of("GPU run", "events", "SimPy", "events/s", "plans", "search", "plans/s", "best plan")
    for case in GPU_CASES:
        run, free = case.load(), case.open()
        plan = candidates(run).plan(0)
        times = times_of_plan(run, plan)
        events = simulate_plan(run, plan, times)[0].num_events
        assert events == case.events, f"{case.name}: {events} events, not {case.events}"
        found = rank(free).num_plans
        assert found == case.plans, f"{case.name}: {found} plans, not {case.plans}"
        best = best_s(lambda run=run, plan=plan, times=times: simulate_plan(run, plan, times), 2)  # type: ignore[misc]
        search = best_s(lambda free=free: rank(free), 3)  # type: ignore[misc]
        cells = (f"{events:,}", show(best, "s"), f"{events / best:,.0f}", f"{found:,}", show(search, "s"))
        chosen = best_s(lambda free=free: _best_plan(free), 3)  # type: ignore[misc]
        table.add_row(case.name, *cells, f"{found / search:,.0f}", show(chosen, "s"))
    return table


def _best_plan(run: GPURun) -> float:
    """Step time of the best plan, as it is found for a run that was not asked before. [s]"""
    outline_of.cache_clear()
    pipeline.write_program.cache_clear()
    return simulate_gpu(run, lazily=True).step_time_s


def page_answers() -> Table:
    """What a move of the number of systems costs the page, once its curve is drawn: least and most of some moves."""
    table = table_of("page", "moves", "answer", "GPU comparison")
    for case in PAGE_CASES:
        first, *states = [changed(RunState(), case.fields | {"systems": str(count)}) for count in (4, *case.systems)]
        work.main(first)
        answers_s = [best_s(lambda state=state: work.main(state), 1) for state in states]  # type: ignore[misc]
        others_s = [best_s(lambda state=state: work.gpus(state), 1) for state in states]  # type: ignore[misc]
        table.add_row(case.name, str(len(states)), _from_to(answers_s), _from_to(others_s))
    return table


def _from_to(times_s: list[float]) -> str:
    return f"{show(min(times_s), 's')} to {show(max(times_s), 's')}"


def processes() -> Table:
    """Whole processes, start-up included."""
    table = table_of("command", "whole process", "over `python -c pass`", "peak memory so far")
    nothing = min(_process_s([sys.executable, "-c", "pass"]) for _ in range(REPEATS))
    commands = (["--help"], ["run", "andromeda_13b"], ["run", "andromeda_13b", "--engine", "recurrence"])
    for arguments in (*commands, ["run", "gpt_1t_cs2_192"], ["run", "gpt3_13b_256xa100"]):
        best = min(_process_s([sys.executable, "-m", "wsesim", *arguments]) for _ in range(REPEATS))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0
        table.add_row("wsesim " + " ".join(arguments), show(best, "s"), f"{best / nothing:.0f} x", show(peak, "bytes"))
    return table


def sweeps() -> Table:
    """Whole `wsesim sweep` processes with their ledger and table, on one core and on two."""
    table = table_of("sweep", "workers", "whole process", "points/s", "processor time", "over one core")
    one_of = "cluster.system.calibration.gemm_efficiency=0.2..0.3999+"
    cases = {
        "2,000 variations of 13B": (2_000, [f"{one_of}0.0001"]),
        "10,000 points of 13B": (10_000, [f"{one_of}0.0002", "cluster.num_systems=1..6,8..10,12"]),
    }
    for name, (points, vary) in cases.items():
        alone = 0.0
        for workers in (1, 2):
            spent, busy = _sweep_s(points, vary, workers)
            alone = alone or spent
            cells = (f"{points / spent:,.0f}", show(busy, "s"), f"{alone / spent:.2f} x")
            table.add_row(name, str(workers), show(spent, "s"), *cells)
    return table


def _sweep_s(points: int, vary: list[str], workers: int) -> tuple[float, float]:
    """Time of a sweep from the command to the end of the process, and of all processors. [s]"""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.csv")
        command = [
            sys.executable,
            "-m",
            "wsesim",
            "sweep",
            "andromeda_13b",
            "--workers",
            str(workers),
            "--out",
            str(out),
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        subprocess.run(
            command + [word for one in vary for word in ("--vary", one)], check=True, stderr=subprocess.DEVNULL
        )
        spent, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert len(out.read_text(encoding="utf-8").splitlines()) == points + 1
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def memory() -> Table:
    """Peak resident size above the imports of every run of the catalogue, and of one of many micro-batches."""
    table = table_of("memory above the imports", "peak")
    many = ("training.global_batch_size=1080000",)
    runs: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in catalogue.names("runs")]
    for name, settings in [*runs, ("andromeda_13b", many)]:
        peak = size.above_imports_bytes(name, settings)
        assert peak < size.MOST_BYTES, f"{name} takes {peak:,.0f} bytes"
        table.add_row(" ".join((name, *settings)), show(peak, "bytes"))
    return table


def _process_s(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    console = Console(width=110)
    for part in (simulations, event_loop, many, all_different, gpu_pipelines, page_answers, processes, memory, sweeps):
        console.print(part(), "")

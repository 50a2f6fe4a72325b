"""Print what wsesim costs, as ratios to a bare SimPy loop that does nothing with the same number of events."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import simpy
from rich.console import Console
from rich.table import Table

from benchmarks.speed.cases import CASES
from wsesim.simulation import run_schedule
from wsesim.units import show

REPEATS = 3


def bare_loop_s(num_events: int) -> float:
    """Wall time of a SimPy environment that processes timeouts and nothing else. [s]"""
    env = simpy.Environment()

    def tick() -> simpy.events.ProcessGenerator:
        for _ in range(num_events):
            yield env.timeout(1.0)

    env.process(tick())
    started = time.perf_counter()
    env.run()
    return time.perf_counter() - started


def whole_process(*arguments: str) -> tuple[float, float]:
    """Wall time and peak memory of one `wsesim` process. [s], [bytes]"""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "wsesim", *arguments], check=True, stdout=subprocess.DEVNULL)
    elapsed = time.perf_counter() - started
    return elapsed, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0


def simulations() -> Table:
    """Every case: events, time, events per second, and time over that of a bare loop."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("case", "events", "simulation", "events/s", "over a bare loop"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for case in CASES:
        run = case.load()
        results = [run_schedule(run) for _ in range(REPEATS)]
        best = min(result.wall_s for result in results)
        events = results[0].num_events
        assert events == case.events, (
            f"{case.name}: {events} events, expected {case.events}; see benchmarks/speed/cases.py"
        )
        bare = min(bare_loop_s(events) for _ in range(REPEATS))
        table.add_row(case.name, f"{events:,}", show(best, "s"), f"{events / best:,.0f}", f"{best / bare:.1f} x")
    return table


def processes() -> Table:
    """Whole processes, start-up included."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("command", "whole process", "over `python -c pass`", "peak memory so far"):
        table.add_column(column, justify="left" if column == "command" else "right")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    nothing = time.perf_counter() - started
    for arguments in (("--help",), ("run", "andromeda_13b"), ("run", "gpt_1t_cs2_192")):
        runs = [whole_process(*arguments) for _ in range(REPEATS)]
        best = min(elapsed for elapsed, _ in runs)
        table.add_row(
            "wsesim " + " ".join(arguments), show(best, "s"), f"{best / nothing:.0f} x", show(runs[-1][1], "bytes")
        )
    return table


console = Console(width=100)
console.print(simulations(), "", processes())

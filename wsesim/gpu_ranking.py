"""The best plans of a GPU run side by side, and why the others lose."""

from __future__ import annotations

import time
from dataclasses import replace

from wsesim.config.loader import GPURun
from wsesim.gpu_results import CATEGORIES, GPUResult
from wsesim.gpu_simulation import GPUSimulation, simulate_plan
from wsesim.schedules.gpu_memory import memory_of
from wsesim.schedules.gpu_search import choose
from wsesim.schedules.gpu_times import Plans, Times, times_of


def best_plans(run: GPURun, number: int) -> list[GPUResult]:
    """Simulate the best plans of a run.

    Parameters
    ----------
    run
        A GPU run.
    number
        Plans that are wanted; there may be fewer that fit. [-]

    Returns
    -------
    list of GPUResult
        Fastest first; the first is the plan that `wsesim.simulate` takes where it looks as far.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.schedules.gpu_search.choose`.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> first, second = best_plans(load_any("cerebras_gpt_111m_gpu"), 2)
    >>> first.step_time_s <= second.step_time_s
    True
    """
    started_s = time.perf_counter()
    found: list[GPUSimulation] = []

    def simulated(plan: Plans, times: Times) -> float:
        step, num_simulated = simulate_plan(run, plan, times)
        found.append(
            GPUSimulation(
                run=run,
                plan=plan,
                times=times,
                memory=memory_of(run, plan),
                step_time_s=step.time_s,
                spent_s=step.spent_s,
                trace=step.trace,
                num_simulated=num_simulated,
                num_plans=1,
                num_events=step.num_events,
                wall_s=0.0,
            )
        )
        return step.time_s

    chosen = choose(run, simulated, number)
    if not found:
        simulated(chosen.plan, times_of(run, chosen.plan))
    wall_s = time.perf_counter() - started_s
    fastest = sorted(found, key=lambda one: one.step_time_s)[:number]
    return [GPUResult(run, _searched(one, chosen.num_plans, wall_s)) for one in fastest]


def _searched(one: GPUSimulation, num_plans: int, wall_s: float) -> GPUSimulation:
    return replace(one, num_plans=num_plans, wall_s=wall_s)


def differences_s(winner: GPUResult, other: GPUResult) -> dict[str, float]:
    """By how much longer the other plan takes with each part of its step; they add up. [s]

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> first, second = best_plans(load_any("cerebras_gpt_111m_gpu"), 2)
    >>> lost_s = sum(differences_s(first, second).values())
    >>> abs(lost_s - (second.step_time_s - first.step_time_s)) < 1e-9
    True
    """
    found = {name: other.breakdown_s.get(name, 0.0) - winner.breakdown_s.get(name, 0.0) for name in CATEGORIES}
    return {name: value for name, value in found.items() if value}

"""The best plans of a GPU run side by side, and why the others lose."""

from __future__ import annotations

from wsesim.config.run import GPURun
from wsesim.machines.gpu.result import CATEGORIES, GPUResult
from wsesim.machines.gpu.simulation import simulate_best


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
        As `wsesim.machines.gpu.search.choose`.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> first, second = best_plans(load_any("cerebras_gpt_111m_gpu"), 2)
    >>> first.step_time_s <= second.step_time_s
    True
    """
    return [GPUResult(run, one) for one in simulate_best(run, number)]


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

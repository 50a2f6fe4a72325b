"""Plans of a GPU run side by side, and why all but the first lose."""

from __future__ import annotations

from wsesim.result import Result


def differences_s(winner: Result, other: Result) -> dict[str, float]:
    """By how much longer the other plan takes with each part of its step; they add up. [s]

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> from wsesim.simulation import best_plans
    >>> first, second = best_plans(load_any("cerebras_gpt_111m_gpu"), 2)
    >>> lost_s = sum(differences_s(first, second).values())
    >>> abs(lost_s - (second.step_time_s - first.step_time_s)) < 1e-9
    True
    """
    names = dict.fromkeys((*winner.breakdown_s, *other.breakdown_s))
    found = {name: other.breakdown_s.get(name, 0.0) - winner.breakdown_s.get(name, 0.0) for name in names}
    return {name: value for name, value in found.items() if value}

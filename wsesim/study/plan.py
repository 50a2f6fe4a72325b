"""`wsesim.plan`: which clusters, and how large, meet a goal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from wsesim.study.goal_files import goal_of
from wsesim.study.goals import Answer, answer


def plan(
    goal: str | Path | None = None,
    *,
    model: str | None = None,
    target_loss: float | None = None,
    target_accuracy: Mapping[str, float] | None = None,
    law: str | None = None,
    tokens: str | float | None = None,
    deadline: str | float | None = None,
    budget: str | float | None = None,
    power: str | float | None = None,
    clusters: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Try every cluster that may be used, of every size.

    Parameters
    ----------
    goal
        Goal file; what is said beside it counts more.
    model, target_loss, target_accuracy, law
        What is to be trained: a model of the catalogue, or a loss or zero-shot accuracies by a scaling law.
    tokens
        Training tokens, or "chinchilla": 20 per parameter. [-]
    deadline, budget, power
        Limits: numbers, or texts with units such as "30 d". [s], [USD], [W]
    clusters
        That may be used, wafer-scale or GPU.
    progress
        Told what is tried.

    Returns
    -------
    Answer
        The smallest, cheapest and fastest that meet it, what binds, and what nothing beats.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.DoesNotFit
        A loss that no model reaches.

    Examples
    --------
    >>> found = plan(model="cerebras-gpt-111m", deadline="1 h", clusters=["andromeda"])
    >>> found.is_met, found.smallest[0].num_devices
    (True, 1)
    """
    accuracy = None if target_accuracy is None else dict(target_accuracy)
    named = {"model": model and {"name": model}, "target_loss": target_loss, "target_accuracy": accuracy, "law": law}
    limits = {"deadline_s": deadline, "budget_usd": budget, "power_w": power}
    place = "options" if goal is None else str(goal)
    wanted = goal_of(
        None if goal is None else str(goal), named, limits, None if tokens is None else str(tokens), clusters
    )
    return answer(wanted, place, progress, None if goal is None else Path(goal).parent)

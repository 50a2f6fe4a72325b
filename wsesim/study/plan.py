"""`wsesim.plan`: which clusters, and how large, meet a goal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

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
    sequence_length: int | None = None,
    deadline: str | float | None = None,
    budget: str | float | None = None,
    power: str | float | None = None,
    start: str | date | None = None,
    software_release: str | None = None,
    software_profile: str | None = None,
    paying: str | None = None,
    clusters: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Try every cluster that may be used, of every size.

    Parameters
    ----------
    goal
        Goal file; what is said beside it counts more.
    model, target_loss, target_accuracy, law
        What is to be trained: a model of the catalogue, a model file of Hugging Face or Model Zoo, a run with its batch and
        tokens; or a loss or zero-shot accuracies by a scaling law.
    tokens
        Training tokens, or "chinchilla": 20 per parameter. [-]
    sequence_length
        Tokens of a sequence; 2,048, or what the model's file says, where left out. [-]
    deadline, budget, power
        Limits: numbers, or texts with units such as "7 weeks" or "$100k"; a deadline may be a date. [s], [USD], [W]
    start
        Date from which a deadline that is a date counts.
    software_release, software_profile
        Of wafer-scale candidates, of GPUs.
    paying
        "rented" or "owned": how the devices are paid for.
    clusters
        That may be used, wafer-scale or GPU; "dgx_h100:64,128" tries these numbers alone.
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
    named: dict[str, Any] = {"model": model, "target_loss": target_loss, "target_accuracy": accuracy, "law": law}
    named |= {
        "start": start,
        "paying": paying,
        "software_release": software_release,
        "software_profile": software_profile,
    }
    limits = {"deadline_s": deadline, "budget_usd": budget, "power_w": power}
    place = "options" if goal is None else str(goal)
    if sequence_length is not None:
        named["training"] = {"sequence_length": sequence_length}
    wanted = goal_of(
        None if goal is None else str(goal), named, limits, None if tokens is None else str(tokens), clusters
    )
    return answer(wanted, place, progress, None if goal is None else Path(goal).parent)

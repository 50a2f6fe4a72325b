"""A goal's state -> the table of a goal file; candidates are clusters of the catalogue, for a form must not read files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.goal import GoalSpec
from wsesim.config.layering import Table
from wsesim.config.settings import parse_setting
from wsesim.errors import ConfigError, InputError
from wsesim.page.limits import MOST_CANDIDATES
from wsesim.page.state import GoalState
from wsesim.study.candidates import base_of
from wsesim.study.goal_files import accuracies, goal_from_table

GOAL_FILE = "goal.toml"
"""Name of the file that is taken away; messages name it, as `wsesim plan` does."""
LIMITS = {"deadline": "deadline_s", "budget": "budget_usd", "power": "power_w"}
TRAINING = {"tokens": "tokens", "sequence_length": "sequence_length", "batch": "global_batch_size"}
SAID = {"start": "start", "release": "software_release", "profile": "software_profile", "paying": "paying"}
GOAL_FIELDS = {
    "goal.model": "model",
    "goal.target_loss": "target_loss",
    "goal.target_accuracy": "target_accuracy",
    "goal.law": "law",
    "goal.candidates": "candidates",
    **{f"goal.{key}": name for name, key in SAID.items()},
    **{f"goal.limits.{key}": name for name, key in LIMITS.items()},
    **{f"training.{key}": name for name, key in TRAINING.items()},
}
"""Keys of a goal file that have a control of their own, and its name."""


def goal_of(state: GoalState) -> GoalSpec:
    """The goal of a state, whose training is one that its first cluster can be asked for.

    Raises
    ------
    wsesim.errors.InputError
        As `wsesim plan` of the file.
    """
    goal = goal_from_table(goal_table(state), GOAL_FILE)
    base_of(goal, goal.candidates[0], goal.model or {"name": GoalState.model}, None, GOAL_FILE, Path())
    return goal


def goal_table(state: GoalState) -> Table:
    """The goal file of a state; what is empty is left out."""
    if len(state.candidates) > MOST_CANDIDATES:
        raise InputError(
            f"{GOAL_FILE}: goal.candidates has {len(state.candidates)} clusters, and this page tries {MOST_CANDIDATES}; "
            "drop some, or write a goal file and use `wsesim plan`"
        )
    for place, name in enumerate(state.candidates):
        catalogue.find("clusters", name, f"{GOAL_FILE}: goal.candidates.{place}.cluster")
    if not state.candidates:
        raise ConfigError(f"{GOAL_FILE}: goal.candidates is empty; choose one cluster or more that may be used")
    table: Table = {"name": _name(state)}
    has_recipe = bool(state.target_loss or state.target_accuracy)
    if state.target_loss:
        table |= {"target_loss": _value("target_loss", state.target_loss), "law": state.law}
    if state.target_accuracy:
        table |= {"target_accuracy": _accuracies(state.target_accuracy), "law": state.law}
    if not has_recipe:
        catalogue.find("models", state.model, f"{GOAL_FILE}: goal.model")
        table["model"] = {"name": state.model}
    training = {key: _value(key, getattr(state, name)) for name, key in TRAINING.items() if getattr(state, name)}
    if has_recipe:
        training.pop("tokens", None)  # the law gives them
    limits = {key: _value(key, getattr(state, name)) for name, key in LIMITS.items() if getattr(state, name)}
    table |= {key: getattr(state, name) for name, key in SAID.items() if getattr(state, name)}
    return table | {
        "training": training,
        "limits": limits,
        "candidates": [{"cluster": name} for name in state.candidates],
    }


def _name(state: GoalState) -> str:
    if state.target_accuracy:
        return f"Train to an accuracy of {state.target_accuracy}"[:100]
    return f"Train to a loss of {state.target_loss}"[:100] if state.target_loss else f"Train {state.model}"


def _accuracies(text: str) -> dict[str, float]:
    try:
        return accuracies(text.split(","))
    except ConfigError as error:
        finding = str(error).partition(": ")[2]
        raise ConfigError(f"{GOAL_FILE}: goal.target_accuracy: {finding}") from None


def _value(key: str, text: str) -> Any:
    """What a control holds, read as `--set` reads it."""
    return parse_setting(f"{key}={text}")[1]

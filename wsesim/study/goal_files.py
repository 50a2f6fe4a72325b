"""Goals as people write them: files, and options of `wsesim plan`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.goal import GoalSpec
from wsesim.config.problems import describe
from wsesim.errors import ConfigError
from wsesim.units import parse_quantity


def goal_from_table(raw: dict[str, Any], place: str) -> GoalSpec:
    """A goal, checked.

    Raises
    ------
    ConfigError
        With all that is wrong.
    """
    try:
        return GoalSpec.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(describe(error, GoalSpec, "goal", place, {})) from None


def goal_of(
    word: str | None,
    named: dict[str, Any],
    limits: dict[str, Any],
    tokens: str | None,
    clusters: Iterable[str],
) -> GoalSpec:
    """A goal from a file, with what options say laid over it; or from options alone.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    """
    raw = {} if word is None else catalogue.read_toml(Path(word))
    raw |= {key: value for key, value in named.items() if value is not None}
    given = {key: value for key, value in limits.items() if value is not None}
    raw["limits"] = {**raw.get("limits", {}), **given} if isinstance(raw.get("limits", {}), dict) else raw["limits"]
    training = raw.get("training", {})
    if tokens is not None and isinstance(training, dict):
        raw["training"] = {**training, "tokens": _number_or_word(tokens)}
    if chosen := [{"cluster": _from_here(name)} for name in clusters]:
        raw["candidates"] = chosen
    if "candidates" not in raw:
        known = ", ".join(catalogue.names("clusters")[:6])
        raise ConfigError(f"plan: no cluster is named; add --cluster NAME, for example one of {known}, or a goal file")
    return goal_from_table(raw, "options" if word is None else catalogue.shown(Path(word)))


def accuracies(words: Iterable[str]) -> dict[str, float]:
    """Accuracies as options of `wsesim plan` say them.

    Raises
    ------
    ConfigError
        What is no task with a number.

    Examples
    --------
    >>> accuracies(["hellaswag=0.5", "average=52 %"])
    {'hellaswag': 0.5, 'average': 0.52}
    """
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        try:
            found[name.strip()] = parse_quantity(value, "-")
        except ValueError:
            sign = ""
        if not sign:
            raise ConfigError(
                f"--target-accuracy {catalogue.value_shown(word)}: is no task with a share; write for example hellaswag=0.5"
            )
    return found


def _from_here(name: str) -> str:
    """A cluster of an option: files are meant from the working directory, not from the goal file's folder."""
    return str(Path(name).absolute()) if name.endswith(".toml") else name


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

"""What the page is asked, as the address bar holds it: text as it was typed, right or wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar
from urllib.parse import urlencode

PER_SYSTEM, OF_ALL = "system", "all"
"""What the batch is counted over."""
NO_GPUS = "none"
"""In place of a GPU cluster: no comparison."""

Pairs = Iterable[tuple[str, str]]


def _tidy(text: str) -> str:
    """One line, without the spaces around it."""
    return " ".join(text.split())


def _lines(text: str) -> str:
    """Lines that say something, as every browser writes them."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


@dataclass(frozen=True)
class RunState:
    """The controls of a run.

    Attributes
    ----------
    model, cluster, gpus
        Names of the catalogue; `gpus` may be "none".
    systems, num_gpus
        Devices of the two clusters. [-]
    batch, batch_of
        Sequences per optimizer step, of each system or of all. [-]
    tokens, sequence_length, precision, weight_sparsity
        As in the ``[training]`` table of a run file.
    settings
        Every other key, a line of ``KEY=VALUE`` each.
    """

    model: str = "cerebras-gpt-13b"
    cluster: str = "andromeda"
    systems: str = "12"
    batch: str = "90"
    batch_of: str = PER_SYSTEM
    sequence_length: str = "2048"
    tokens: str = "chinchilla"
    precision: str = "cbfloat16"
    weight_sparsity: str = "0"
    gpus: str = "aws_p4d"
    num_gpus: str = "256"
    settings: str = ""

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Read a query; keys that are not there have their defaults, and others are passed over."""
        given = dict(pairs)
        texts = {name: _tidy(given[name]) for name in _names(cls) if name in given and name != "settings"}
        return cls(**texts, settings=_lines(given.get("settings", "")))

    def query(self) -> str:
        """The shortest query that reads as this state."""
        return urlencode(_differences(self))


@dataclass(frozen=True)
class GoalState:
    """The controls of a goal: what is trained, what must be kept, and which clusters may be used.

    Attributes
    ----------
    model
        Name of the catalogue; left out where there is a target loss.
    target_loss, law
        As in a goal file.
    tokens, sequence_length, batch
        As in the ``[training]`` table; an empty batch takes the usual one for the model's size.
    deadline, budget, power
        Limits with their units; what is empty is no limit.
    candidates
        Names of clusters of the catalogue.
    """

    model: str = "cerebras-gpt-13b"
    target_loss: str = ""
    law: str = "chinchilla"
    tokens: str = "chinchilla"
    sequence_length: str = "2048"
    batch: str = ""
    deadline: str = "30 d"
    budget: str = ""
    power: str = ""
    candidates: tuple[str, ...] = ("andromeda", "cs3", "aws_p4d", "aws_p5")

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Read a query, in which each candidate has a pair of its own."""
        pairs = list(pairs)
        given = dict(pairs)
        texts = {name: _tidy(given[name]) for name in _names(cls) if name in given and name != "candidates"}
        named = dict.fromkeys(_tidy(value) for key, value in pairs if key == "candidates")
        chosen = tuple(name for name in named if name) if named else cls.candidates
        return cls(**texts, candidates=chosen)

    def query(self) -> str:
        """The shortest query that reads as this state; without candidates it says so."""
        found = _differences(self)
        if "candidates" in found:
            found["candidates"] = self.candidates or ("",)
        return urlencode(found, doseq=True)


State = TypeVar("State", RunState, GoalState)


def _names(kind: type[RunState | GoalState]) -> list[str]:
    return [field.name for field in fields(kind)]


def _differences(state: RunState | GoalState) -> dict[str, object]:
    """What a state has other than its defaults."""
    usual = type(state)()
    return {name: getattr(state, name) for name in _names(type(state)) if getattr(state, name) != getattr(usual, name)}


def changed(state: State, values: Mapping[str, str]) -> State:
    """The same state with some fields changed."""
    return replace(state, **values)  # type: ignore[arg-type]

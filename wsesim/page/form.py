"""What the controls of the page offer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from wsesim.config import catalogue
from wsesim.config.training import Precision
from wsesim.page.clusters import clusters
from wsesim.page.state import NO_GPUS, GoalState, RunState
from wsesim.plugins import MACHINES


@dataclass(frozen=True)
class Choice:
    """One line of a list."""

    value: str
    label: str


@dataclass(frozen=True)
class Controls:
    """What can be chosen.

    Attributes
    ----------
    own, gpus
        Clusters that a run may be on, and those that it is compared with.
    devices, most
        What the chosen cluster counts, and how many there are. [-]
    """

    models: tuple[Choice, ...]
    own: tuple[Choice, ...]
    gpus: tuple[Choice, ...]
    precisions: tuple[Choice, ...]
    most: int = 1
    devices: str = "devices"

    @property
    def label(self) -> str:
        """What clusters that a run may be on are called."""
        words = " or ".join(one.words.adjective for one in MACHINES.known if not one.is_baseline)
        return f"{words[:1].upper()}{words[1:]} cluster"


def controls(state: RunState, most: int | None = None) -> Controls:
    """The lists of the form of a run; what the address names and the catalogue does not hold stays to be seen."""
    own = _offers(False, (state.cluster,))
    none = Choice(NO_GPUS, "no comparison")
    known = clusters().get(state.cluster)
    return Controls(
        models=_with(_models(), (state.model,)),
        own=own,
        gpus=(none, *_offers(True, () if state.gpus == NO_GPUS else (state.gpus,))),
        precisions=_with([Choice(word, word) for word in get_args(Precision)], (state.precision,)),
        most=most or (known.most if known else 1),
        devices=known.devices if known else "devices",
    )


def goal_controls(state: GoalState) -> Controls:
    """The lists of the form of a goal."""
    return Controls(
        models=_with(_models(), (state.model,)),
        own=_offers(False, ()),
        gpus=_offers(True, tuple(name for name in state.candidates if name not in clusters())),
        precisions=(),
    )


def _models() -> list[Choice]:
    return [Choice(name, name) for name in catalogue.names("models")]


def _offers(is_baseline: bool, chosen: Iterable[str]) -> tuple[Choice, ...]:
    offered = [one for one in clusters().values() if one.is_baseline == is_baseline]
    return _with([Choice(one.name, one.label) for one in offered], chosen)


def _with(offered: list[Choice], chosen: Iterable[str]) -> tuple[Choice, ...]:
    """What is offered, and what was chosen though it is not."""
    known = {one.value for one in offered}
    return (*offered, *(Choice(value, f"{value[:60]} (unknown)") for value in chosen if value not in known))

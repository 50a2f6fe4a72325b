"""What the controls of the page offer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from wsesim.config import catalogue
from wsesim.config.training import Precision
from wsesim.page.clusters import clusters
from wsesim.page.state import NO_GPUS, GoalState, RunState


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
    most
        Systems that the chosen cluster takes. [-]
    """

    models: tuple[Choice, ...]
    wafer_scale: tuple[Choice, ...]
    gpus: tuple[Choice, ...]
    precisions: tuple[Choice, ...]
    most: int = 1


def controls(state: RunState, most: int | None = None) -> Controls:
    """The lists of the form of a run; what the address names and the catalogue does not hold stays to be seen."""
    wafer_scale = _offers(True, (state.cluster,))
    none = Choice(NO_GPUS, "no comparison")
    known = clusters().get(state.cluster)
    return Controls(
        models=_with(_models(), (state.model,)),
        wafer_scale=wafer_scale,
        gpus=(none, *_offers(False, () if state.gpus == NO_GPUS else (state.gpus,))),
        precisions=_with([Choice(word, word) for word in get_args(Precision)], (state.precision,)),
        most=most or (known.most if known else 1),
    )


def goal_controls(state: GoalState) -> Controls:
    """The lists of the form of a goal."""
    return Controls(
        models=_with(_models(), (state.model,)),
        wafer_scale=_offers(True, ()),
        gpus=_offers(False, tuple(name for name in state.candidates if name not in clusters())),
        precisions=(),
    )


def _models() -> list[Choice]:
    return [Choice(name, name) for name in catalogue.names("models")]


def _offers(is_wafer_scale: bool, chosen: Iterable[str]) -> tuple[Choice, ...]:
    offered = [one for one in clusters().values() if one.is_wafer_scale == is_wafer_scale]
    return _with([Choice(one.name, one.label) for one in offered], chosen)


def _with(offered: list[Choice], chosen: Iterable[str]) -> tuple[Choice, ...]:
    """What is offered, and what was chosen though it is not."""
    known = {one.value for one in offered}
    return (*offered, *(Choice(value, f"{value[:60]} (unknown)") for value in chosen if value not in known))

"""What configuration keys mean: read from the docstrings of the specs, their one home."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, get_args

from wsesim.config.spec import Spec

_UNIT = re.compile(r"\s*\[([^\[\]]+)\]$")
_HEADING = "Attributes\n----------\n"


class Meaning(NamedTuple):
    """What one key means, and its unit; empty where it is no number."""

    text: str
    unit: str


@lru_cache(maxsize=64)
def meanings(spec: type[Spec]) -> dict[str, Meaning]:
    """Meaning of every key, from the ``Attributes`` sections of the docstrings of a spec and of its bases.

    Examples
    --------
    >>> from wsesim.machines.wafer.spec import SwarmXSpec
    >>> meanings(SwarmXSpec)["hop_latency_s"]
    Meaning(text='One hop, down or up.', unit='s')
    """
    inherited: dict[str, Meaning] = {}
    for base in spec.__bases__:
        if issubclass(base, Spec):
            inherited |= {key: one for key, one in meanings(base).items() if key in spec.model_fields}
    section = inspect.cleandoc(spec.__doc__ or "").partition(_HEADING)[2]
    entries = re.split(r"\n(?=\S)", section)
    own = {name: _meaning(" ".join(text.split())) for name, _, text in (one.partition("\n") for one in entries) if name}
    return inherited | own


def _meaning(text: str) -> Meaning:
    unit = _UNIT.search(text)
    return Meaning(_UNIT.sub("", text), unit[1] if unit else "")


def summary(spec: type[Spec]) -> str:
    """First paragraph of a spec's docstring."""
    return " ".join(inspect.cleandoc(spec.__doc__ or "").split("\n\n")[0].split())


def specs_of(annotation: object) -> Iterator[type[Spec]]:
    """Specs that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
        return
    for part in get_args(annotation):
        yield from specs_of(part)

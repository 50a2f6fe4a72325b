"""What tests look for in a picture's Vega-Lite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import wsesim
from wsesim import Result

AXES = ("x", "y")


def views(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All views that have marks, with nested ones."""
    for key in ("layer", "vconcat", "hconcat"):
        for part in spec.get(key, ()):
            yield from views(part)
    if "mark" in spec:
        yield spec


def titles(spec: Mapping[str, Any]) -> list[str]:
    """Titles of all quantitative axes that are drawn; an axis shared by layers is titled once."""
    found = []
    for view in views(spec):
        for channel in AXES:
            axis = view.get("encoding", {}).get(channel, {})
            if axis.get("type") == "quantitative" and axis.get("axis", True) is not None and axis.get("title"):
                found.append(axis["title"])
    return found


def result(name: str, *settings: str) -> Result:
    """A simulated catalogue run."""
    return wsesim.simulate(wsesim.load(name, settings))

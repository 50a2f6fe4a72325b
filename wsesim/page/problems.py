"""Beside which control a message belongs."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACE = re.compile(r"^(?P<file>[a-z]+\.toml): (?P<key>[A-Za-z_][\w.]*)")
_BEFORE_KEY = re.compile(r"^[a-z]+\.toml: (?:[a-z_]+\.(?=[a-z_]))*")
"""The file of a line, and the tables that its key stands in."""
_TABLES = ("training", "cluster", "job", "parallelism")
"""Keys of a run file that a message names alone where they are no tables."""
OTHER_KEYS = "settings"
OF_OTHER_KEYS = ("other keys:", "--set ")


def beside(message: str, fields: Mapping[str, str], otherwise: str = "") -> dict[str, str]:
    """Lines of a message by the control that they are about, without the file and the table of the key.

    Parameters
    ----------
    message
        One problem a line, each with its file and key.
    fields
        Controls by key.
    otherwise
        Control of keys that have none of their own; empty where there is none.

    Examples
    --------
    >>> beside("run.toml: cluster.num_systems is 'x'; write a whole number", {"cluster.num_systems": "systems"})
    {'systems': "num_systems is 'x'; write a whole number"}
    """
    found: dict[str, list[str]] = {}
    for line in message.splitlines():
        match = _PLACE.match(line)
        key = match["key"].rstrip(".") if match else ""
        is_other = line.startswith(OF_OTHER_KEYS)
        control = OTHER_KEYS if is_other else _control(key, fields, otherwise) or _named(line, fields)
        if control:
            found.setdefault(control, []).append(line if control == OTHER_KEYS else _BEFORE_KEY.sub("", line))
    return {control: "\n".join(lines) for control, lines in found.items()}


def _named(line: str, fields: Mapping[str, str]) -> str:
    """The control of the key that a line names first, as in "set cluster.num_systems to at most 16"."""
    found = [(place, fields[key]) for key in fields if (place := line.find(key)) >= 0]
    return min(found)[1] if found else ""


def _control(key: str, fields: Mapping[str, str], otherwise: str) -> str:
    for length in range(key.count(".") + 1, 0, -1):
        start = ".".join(key.split(".")[:length])
        if start in fields:
            return fields[start]
    return otherwise if "." in key or key in _TABLES else ""

"""What changed between two answers that were kept as JSON, and why: another release, calibration, version, or another question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsesim.config.catalogue import read_text
from wsesim.config.reading import json_value
from wsesim.errors import InputError

SAME = 1e-9
"""Numbers this close are the same: what differs in the last digits is rounding. [-]"""
CAUSES = ("name", "kind", "num_devices", "job", "software", "model", "parallelism", "micro_batch_size", "simulator")
"""Keys that say what was asked, and by what it was answered."""
NO_ANSWER = ("wall_s", "events", "plans")
"""Keys of how the simulator worked, which belong to no answer."""
LISTS_OF_NUMBERS = {"assumptions": "key", "prices": "key"}
"""Lists of numbers in use, and the key that names each."""


@dataclass(frozen=True)
class Change:
    """One value that differs.

    Attributes
    ----------
    key
        Dotted, as in the JSON.
    before, after
        None where there is none.
    """

    key: str
    before: Any
    after: Any

    @property
    def share(self) -> float | None:
        """By how much a number moved; None for what is none. [-]"""
        if _is_number(self.before) and _is_number(self.after) and self.before:
            return float(self.after / self.before - 1.0)
        return None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"key": self.key, "before": self.before, "after": self.after, "change": self.share}


@dataclass(frozen=True)
class Changes:
    """Two answers.

    Attributes
    ----------
    moved
        Numbers and words of the answer that differ.
    causes
        What was asked otherwise, or answered by another release, calibration or version.
    """

    before: str
    after: str
    moved: tuple[Change, ...]
    causes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "moved": [one.to_dict() for one in self.moved],
            "causes": [one.to_dict() for one in self.causes],
        }


def changes(before: str | Path, after: str | Path) -> Changes:
    """Compare two files that ``wsesim run --json`` wrote.

    Raises
    ------
    wsesim.errors.InputError
        A file is no such answer.
    """
    first, second = dict(_flat(_answer(before))), dict(_flat(_answer(after)))
    found = [Change(key, first.get(key), second.get(key)) for key in dict.fromkeys([*first, *second])]
    differ = [one for one in found if not _is_same(one.before, one.after)]
    causes = tuple(one for one in differ if _is_cause(one.key))
    return Changes(str(before), str(after), tuple(one for one in differ if one not in causes), causes)


def _answer(path: str | Path) -> Mapping[str, Any]:
    found = json_value(read_text(Path(path)), str(path))
    if not isinstance(found, dict) or "step_time_s" not in found:
        raise InputError(f"{path}: is no answer of a run; write one by `wsesim run RUN --json > {path}`")
    return found


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; numbers of a list that have names go by them."""
    below = f"{key}." if key else ""
    last = key.rsplit(".", 1)[-1]
    if last in NO_ANSWER:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{below}{name}")
    elif last in LISTS_OF_NUMBERS and isinstance(value, list):
        for one in value:
            yield f"{below}{one[LISTS_OF_NUMBERS[last]]}", one["value"]
    elif isinstance(value, list) and key != "notes":
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{below}{place}")
    elif not isinstance(value, list):
        yield key, value


def _is_cause(key: str) -> bool:
    return key.split(".", 1)[0] in (*CAUSES, "assumptions") or key.startswith("training.prices.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_same(before: Any, after: Any) -> bool:
    if _is_number(before) and _is_number(after):
        return bool(abs(after - before) <= SAME * max(abs(before), abs(after)))
    return bool(before == after)

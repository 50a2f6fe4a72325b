"""What differs between two answers: numbers beyond rounding, texts at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any

RELATIVE = 1e-12
"""Numbers differ by less from one version of Python or numpy to another (the order of a sum). [-]"""
ABSOLUTE = 1e-15
"""For what is nothing but the rounding of a difference."""
MISSING = object()


@dataclass(frozen=True)
class Change:
    """One place of an answer.

    Attributes
    ----------
    key
        Where: keys and numbers, with dots between.
    old, new
        What stood there and what stands there now; MISSING where nothing does.
    """

    key: str
    old: Any
    new: Any

    @property
    def is_of_numbers(self) -> bool:
        """A number that moved."""
        return is_number(self.old) and is_number(self.new)

    @property
    def relative(self) -> float:
        """By how much a number moved; infinite from zero. [-]"""
        return abs(self.new - self.old) / abs(self.old) if self.old else math.inf

    def __str__(self) -> str:
        """In one line."""
        if self.old is MISSING:
            return f"{self.key}: new: {_short(self.new)}"
        if self.new is MISSING:
            return f"{self.key}: gone: {_short(self.old)}"
        if isinstance(self.old, str) and isinstance(self.new, str):
            return f"{self.key}: {_apart(self.old, self.new)} -> {_apart(self.new, self.old)}"
        by = f" ({100 * (self.new - self.old) / abs(self.old):+.3g} %)" if self.is_of_numbers and self.old else ""
        return f"{self.key}: {_short(self.old)} -> {_short(self.new)}{by}"


def _short(value: Any, width: int = 160) -> str:
    text = repr(value)
    return text if len(text) <= width else text[: width - 4] + " ..."


def _apart(text: str, other: str) -> str:
    """A text from shortly before the place where it differs from the other."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(text, other, strict=False))
    start = max(sum(1 for _ in same) - 40, 0)
    return _short(text) if start < 40 else "..." + _short(text[start:])


def is_number(value: Any) -> bool:
    """An integer or a float; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_same(old: Any, new: Any) -> bool:
    """Equal, or numbers that differ by rounding."""
    if is_number(old) and is_number(new):
        return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(old) is type(new) and old == new


def changes(old: Any, new: Any, key: str = "") -> Iterator[Change]:
    """Every place that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*old, *(name for name in new if name not in old)):
            yield from changes(old.get(name, MISSING), new.get(name, MISSING), f"{key}.{name}" if key else str(name))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _in_lists(old, new, key)
    elif not is_same(old, new):
        yield Change(key, old, new)


def _in_lists(old: list[Any], new: list[Any], key: str) -> Iterator[Change]:
    """Entries one by one; where some came or went, those that stayed are found again by what they say."""
    if len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from changes(one, other, f"{key}.{place}")
        return
    matcher = SequenceMatcher(None, [_name(one) for one in old], [_name(one) for one in new], autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind == "equal":
            for place, one, other in zip(range(i, j), old[i:j], new[k:m], strict=True):
                yield from changes(one, other, f"{key}.{place}")
        else:
            yield from (Change(f"{key}.{place}", old[place], MISSING) for place in range(i, j))
            yield from (Change(f"{key}.{place}", MISSING, new[place]) for place in range(k, m))


def _name(entry: Any) -> str:
    """What an entry of a list is known by: its texts, without its numbers."""
    if isinstance(entry, dict):
        return "|".join(f"{key}={value}" for key, value in entry.items() if isinstance(value, str))
    if isinstance(entry, list):
        return "|".join(value for value in entry if isinstance(value, str))
    return str(entry)


def settled(old: Any, new: Any) -> Any:
    """The new answer, with the old number wherever the two differ by rounding only."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: settled(old[key], value) if key in old else value for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [settled(one, other) for one, other in zip(old, new, strict=True)]
    return old if is_same(old, new) else new


def summary(found: Sequence[tuple[str, Sequence[Change]]]) -> str:
    """How much changed, in one sentence for each kind of change."""
    every = [(name, change) for name, some in found for change in some]
    moved = [(name, one) for name, one in every if one.is_of_numbers]
    others = [(name, one) for name, one in every if not one.is_of_numbers]
    gone = [one for one in others if one[1].new is MISSING]
    come = [one for one in others if one[1].old is MISSING]
    differ = [one for one in others if MISSING not in (one[1].old, one[1].new)]
    lines = []
    if moved:
        most = max(one.relative for _, one in moved)
        by = "from zero" if math.isinf(most) else f"by up to {100 * most:.2g} %"
        lines.append(f"{_count(moved, 'number')} moved {by}")
    for some, what in ((differ, "are different"), (come, "are new"), (gone, "are gone")):
        if some:
            lines.append(f"{_count(some, 'text or value')} {what}")
    return "\n".join(lines)


def _count(some: Sequence[tuple[str, Change]], word: str) -> str:
    files = len({name for name, _ in some})
    plural = {"number": "numbers", "text or value": "texts or values"}[word] if len(some) != 1 else word
    return f"{len(some):,} {plural} in {files} {'file' if files == 1 else 'files'}"

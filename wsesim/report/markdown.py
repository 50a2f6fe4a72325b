"""Sections in Markdown, and figures as CSV: for answers that are pasted into threads and sheets, and for the documentation."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from wsesim.view import Alarm, Bars, Cell, Facts, Figure, Link, Note, Part, Section, Table

LEFT_OUT = ("assumptions", "prices", "simulator")
"""Parts of an answer that are lists of their own, or say how it was found."""


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of an answer.

    Examples
    --------
    >>> list(flat({"model": {"name": "gpt2"}, "notes": ["one", "two"], "mfu": 0.5}))
    [('model.name', 'gpt2'), ('notes', 'one; two'), ('mfu', 0.5)]
    """
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from () if key in LEFT_OUT else flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            if key not in LEFT_OUT and not any(isinstance(one, Mapping) for one in value):
                yield prefix + key, "; ".join("" if one is None else str(one) for one in value)
        else:
            yield prefix + key, value


def csv_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in CSV."""
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    writer.writerows([header, *(["" if cell is None else cell for cell in row] for row in rows)])
    return found.getvalue()


def figures(answers: Sequence[Mapping[str, Any]]) -> str:
    """All figures of answers in SI units as CSV: a row for each answer."""
    rows = [dict(flat(one)) for one in answers]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return csv_table(keys, ([row.get(key) for key in keys] for row in rows))


def written(sections: Iterable[Section]) -> str:
    """An answer: titles, lists, tables and sentences."""
    return "\n\n".join(text for one in sections if not one.is_empty and (text := _section(one))) + "\n"


def _section(one: Section, level: int = 2) -> str:
    head = f"{'#' * level} {one.title}" if one.title else ""
    parts = (_part(part, level + 1) for part in one.parts)
    return "\n\n".join(text for text in (head, *parts) if text)


def _part(part: Part, level: int) -> str:
    match part:
        case Facts():
            return "\n".join(f"- **{fact.name}**: {fact.whole}" for fact in part.facts)
        case Bars():
            rows = [[one.name, one.value, f"{one.share:.1%}", one.meaning] for one in part.bars]
            total = [[*part.total, "100.0%", ""]] if part.total else []
            return "" if part.is_repeated else markdown_table(["part", "amount", "share", "which is"], [*rows, *total])
        case Table():
            rows = [list(map(_cell, row)) for row in part.full_rows]
            return "" if part.is_repeated else markdown_table(part.columns, rows)
        case Note():
            return f"**{part.text}**" if part.tone in ("key", "no") else _MARK.sub(r"\\\1", part.text)
        case Figure():
            return f"*{part.title}*: {part.picture.description}"
        case Section():
            return _section(part, level)


_MARK = re.compile(r"^([*~-])(?= )")
"""A mark of a legend, which is no item of a list."""


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"**{_escaped(cell)}**" if isinstance(cell, Alarm) else _escaped(cell)
    links = (cell,) if isinstance(cell, Link) else cell
    return "; ".join(f"[{_escaped(one.text)}]({one.address})" if one.address else _escaped(one.text) for one in links)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; columns of numbers to the right.

    Examples
    --------
    >>> print(markdown_table(["set", "n"], [["usc", "4"]]))
    | set | n |
    |---|---:|
    | usc | 4 |
    """
    held = [list(row) for row in rows]
    numeric = [all(row[i][:1] in "+-0123456789" for row in held if row[i]) for i in range(len(header))]
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---:" if right else "---" for right in numeric) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in held])

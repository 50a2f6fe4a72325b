"""Tables in Markdown and CSV: of the documentation, and of answers that are pasted into threads and sheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

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


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value).replace("|", "/").replace("\n", " ")


def written(answers: Sequence[Mapping[str, Any]], form: str) -> str:
    """Answers as a table of all their figures in SI units: a column for each in Markdown, a row for each in CSV."""
    rows = [dict(flat(one)) for one in answers]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if form == "csv":
        return csv_table(keys, ([row.get(key) for key in keys] for row in rows))
    names = [str(row.get("name", "value")) for row in rows]
    body = [[key, *(_cell(row.get(key)) for row in rows)] for key in keys if key != "name"]
    return markdown_table(["", *names], body) + "\n"


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

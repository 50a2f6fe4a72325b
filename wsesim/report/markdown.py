"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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

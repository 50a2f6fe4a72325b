"""Examples are scripts in cells (``# %%``); this runs them and writes what they show as notebooks.

    python -m tests.notebooks

writes every ``docs/examples/*.ipynb`` again. The same sources and version give the same files.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from itertools import count
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"
CELL = re.compile(r"^# %%(.*)$", re.MULTILINE)


def sources() -> list[Path]:
    """Scripts that are examples."""
    return sorted(path for path in FOLDER.glob("*.py") if CELL.match(path.read_text(encoding="utf-8")))


def cells(text: str) -> list[tuple[str, str]]:
    """Kind and source of every cell."""
    _, *parts = CELL.split(text)
    found = []
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        body = body.strip("\n")
        if head.strip() == "[markdown]":
            found.append(("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE)))
        else:
            found.append(("code", body))
    return found


def shown(value: Any) -> dict[str, Any]:
    """What a notebook shows of the value of a cell."""
    data = {"text/plain": lines(repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = lines(value._repr_html_())
    return data


def run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run the cell of this number; what it prints, and the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if value is not None:
        result = {"data": shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        outputs.append(result)
    return outputs


def lines(text: str) -> list[str]:
    """As notebooks keep texts."""
    return text.splitlines(keepends=True)


def notebook(path: Path) -> dict[str, Any]:
    """An example as a notebook with its outputs; runs in its folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    found = []
    executed = count(1)
    with contextlib.chdir(path.parent):
        for number, (kind, source) in enumerate(cells(path.read_text(encoding="utf-8"))):
            cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": lines(source)}
            if kind == "code":
                place = next(executed)
                cell |= {"execution_count": place, "outputs": run(source, names, place)}
            found.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": found, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_text(path: Path) -> str:
    """The notebook file of an example."""
    return json.dumps(notebook(path), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for source in sources():
        source.with_suffix(".ipynb").write_text(as_text(source), encoding="utf-8")

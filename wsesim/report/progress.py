"""A progress bar on standard error; silent where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Advances a bar; `text`, unless empty, replaces the words beside it."""

    def __call__(self, text: str = "", count: int = 1) -> None:
        """By `count` of its total."""


@contextmanager
def bar(words: str, total: int | None = None) -> Iterator[Advance]:
    """Show progress while the block runs; the yielded function advances it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    if total is not None:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(words, total=total)

        def advance(text: str = "", count: int = 1) -> None:
            progress.update(task, advance=count, description=text or words)

        yield advance

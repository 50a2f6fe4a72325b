"""Sections on a terminal: tables for every width, whose words and numbers stay whole; and a bar of progress."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from rich.bar import Bar as RichBar
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

from wsesim.view import Alarm, Bars, Cell, Fact, Facts, Figure, Note, Part, Section, Table, plain

# A progress bar on standard error; silent where that is no terminal.


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


# Sections on a terminal: tables without lines for every width, whose words and numbers stay whole, and no line ends in
# blanks.


BAR_WIDTH = 14
TONES = {
    "aside": "dim",
    "key": "bold",
    "lean": "italic",
    "note": "yellow",
    "warning": "yellow",
    "no": "bold red",
}
"""Styles of notes."""
GAPS = (2, 1)
"""Blanks between two columns, and where room is short. [-]"""
LEAST_PROSE = 18
"""A column of prose that says nothing else is not made narrower than this, or than its longest word. [-]"""
MOST_PROSE = 100
"""And not wider than this, which is as far as the eye follows. [-]"""
LEAST_BESIDE = 10
"""Of a column of prose beside labels. [-]"""
INDENT = 4
"""Of what stands below a row for want of room beside it. [-]"""
UNBOUNDED = 10_000
WHOLE = re.compile(r"(?<=\d) (?=[^\W\d]|%)|(?<=\d to) (?=\d)|(?<=\d x) (?=\d)|(?<=`wsesim) (?=\w+`)")
"""Blanks that hold a number and its unit, the ends of a range, or a command together."""
HELD_BLANK = "\ue000"
"""Stands for a blank at which no line ends, while lines are broken."""
HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
"""Between two words, after which prose may be broken."""
SOFT_BREAK = "\x1f"
"""A blank without width, while lines are broken."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    is_right
        Numbers stand on the right.
    is_prose
        The text may be wrapped; all others stay in one line.
    least
        Width that it has at least. [-]
    """

    head: str = ""
    is_right: bool = False
    is_prose: bool = False
    least: int = 0
    style: str = ""


def column(head: str, style: str = "") -> Column:
    """A column by its head: after ``|`` it stands on the right, after ``~`` it is prose."""
    return Column(head.lstrip("|~"), is_right=head.startswith("|"), is_prose=head.startswith("~"), style=style)


class _Layout(NamedTuple):
    """Widths of the columns that stand beside one another, and the gap between them. [-]"""

    gap: int
    widths: tuple[int, ...]


@dataclass
class Columns:
    """Rows of cells; columns for which there is no room go below their row, each with its head.

    Attributes
    ----------
    columns
        From left to right; the last ones go below first.
    """

    columns: Sequence[Column]
    rows: list[tuple[list[RenderableType], str]] = field(default_factory=list)

    def add_row(self, *cells: RenderableType, below: str = "") -> None:
        """Add a row; `below` is a text that belongs to it and has lines of its own."""
        shown = [
            Text(_breakable(cell) if one.is_prose else cell, style=one.style) if isinstance(cell, str) else cell
            for cell, one in zip(cells, self.columns, strict=True)
        ]
        self.rows.append(([_held(cell) for cell in shown], below))

    def least_width(self, console: Console) -> int:
        """Width at which no column has to go below. [-]"""
        least = [low for low, _ in self._measured(console, console.options)]
        return sum(least) + min(GAPS) * (len(least) - 1)

    def _measured(self, console: Console, options: ConsoleOptions) -> list[tuple[int, int]]:
        """Least and natural width of every column. [-]"""
        wide, found = options.update(width=UNBOUNDED), []
        for place, one in enumerate(self.columns):
            cells = [Text(one.head), *(cells[place] for cells, _ in self.rows)]
            sizes = [Measurement.get(console, wide, cell) for cell in cells]
            natural = max(one.least, max(size.maximum for size in sizes))
            word = max(one.least or LEAST_PROSE, max(size.minimum for size in sizes))
            found.append(
                (min(natural, word), min(natural, max(MOST_PROSE, word))) if one.is_prose else (natural, natural)
            )
        return found

    def _layout(self, console: Console, options: ConsoleOptions) -> _Layout:
        """As many columns beside one another as there is room for; prose shares what is left."""
        measured, room = self._measured(console, options), options.max_width
        least = [low for low, _ in measured]
        gap = next((gap for gap in GAPS if sum(least) + gap * (len(least) - 1) <= room), GAPS[0])
        widths: list[int] = []
        for width in least:
            if widths and sum(widths) + width + gap * len(widths) > room:
                break
            widths.append(min(width, room))
        for _ in range(room - sum(widths) - gap * (len(widths) - 1)):
            short = [place for place, width in enumerate(widths) if width < measured[place][1]]
            if not short:
                break
            widths[min(short, key=widths.__getitem__)] += 1
        return _Layout(gap, tuple(widths))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        layout = self._layout(console, options)
        number = len(layout.widths)
        if any(one.head for one in self.columns):
            yield from self._line(console, options, [Text(one.head, style="dim") for one in self.columns], layout)
        for cells, below in self.rows:
            yield from self._line(console, options, cells, layout)
            if rest := self._rest(cells, number):
                yield from _indented(console, options, rest)
            if below:
                yield from _indented(console, options, _held(Text(below, style="dim")))

    def _line(
        self, console: Console, options: ConsoleOptions, cells: Sequence[RenderableType], layout: _Layout
    ) -> Iterator[Segment]:
        """One row: as many lines as its longest cell."""
        drawn = []
        for cell, width, one in zip(cells, layout.widths, self.columns, strict=False):
            beside = options.update(width=width, justify="right" if one.is_right else "left", overflow="fold")
            drawn.append(console.render_lines(_fitting(cell, width), beside))
        between = Segment(" " * layout.gap)
        for place in range(max(map(len, drawn))):
            line: list[Segment] = []
            for lines, width in zip(drawn, layout.widths, strict=True):
                line += [*(lines[place] if place < len(lines) else [Segment(" " * width)]), between]
            yield from _without_blanks(line)

    def _rest(self, cells: Sequence[RenderableType], number: int) -> Text | None:
        """What finds no room beside the row: texts after their heads, bars not at all."""
        rest = Text("  ").join(
            Text.assemble((f"{one.head}{HELD_BLANK}" if one.head else "", "dim"), cell)
            for one, cell in zip(self.columns[number:], cells[number:], strict=True)
            if isinstance(cell, Text) and cell.plain
        )
        return rest if rest.plain else None


def prose(text: str, style: str = "") -> Columns:
    """A paragraph."""
    found = Columns([Column(is_prose=True, style=style)])
    found.add_row(text)
    return found


def _breakable(text: str) -> str:
    return HYPHEN.sub(f"-{SOFT_BREAK}", text)


def _held(cell: RenderableType) -> RenderableType:
    """A text whose numbers keep their units in any line."""
    if not isinstance(cell, Text):
        return cell
    held = cell.copy()
    held.plain = WHOLE.sub(HELD_BLANK, cell.plain)
    return held


def _fitting(cell: RenderableType, width: int) -> RenderableType:
    """A text that lets its blanks go where what they hold together is longer than a line."""
    if not isinstance(cell, Text) or all(cell_len(word) <= width for word in cell.plain.split()):
        return cell
    free = cell.copy()
    free.plain = cell.plain.replace(HELD_BLANK, " ")
    return free


def _indented(console: Console, options: ConsoleOptions, text: RenderableType) -> Iterator[Segment]:
    width = max(1, min(MOST_PROSE, options.max_width - INDENT))
    for line in console.render_lines(_fitting(text, width), options.update(width=width, overflow="fold")):
        yield from _without_blanks([Segment(" " * INDENT), *line])


def _without_blanks(line: list[Segment]) -> Iterator[Segment]:
    """A line with its held blanks, and without those at its end."""
    while line and not line[-1].text.strip():  # a soft break is a blank, too
        line.pop()
    for place, segment in enumerate(line, start=1):
        text = segment.text.replace(HELD_BLANK, " ").replace(SOFT_BREAK, "")
        yield Segment(text.rstrip() if place == len(line) else text, segment.style)
    yield Segment.line()


@dataclass(frozen=True)
class ShareBar:
    """A share of a whole as a bar: eighths of a character where the terminal has them, plain signs elsewhere.

    Attributes
    ----------
    share
        Between 0 and 1. [-]
    width
        Of the whole. [-]
    """

    share: float
    color: str = "cyan"
    width: int = BAR_WIDTH

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if options.ascii_only:
            yield Text("#" * round(self.width * min(1.0, self.share)), style=self.color)
        else:
            yield RichBar(1.0, 0.0, self.share, width=self.width, color=self.color)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.width, self.width)


def print_sections(console: Console, sections: Iterable[Section]) -> None:
    """Print an answer."""
    for one in sections:
        if not one.is_empty:
            console.print(section(one))


def section(shown: Section) -> Group:
    """A part of an answer under its title, after an empty line; without a title nothing stands before it."""
    head: list[RenderableType] = ["", prose(shown.title, style="bold")] if shown.title else []
    return Group(*head, *(body for part in shown.parts if (body := _part(part)) is not None))


def _part(part: Part) -> RenderableType | None:
    match part:
        case Facts():
            return facts_grid(part.facts)
        case Bars():
            return None if part.is_repeated else _bars(part)
        case Table():
            return None if part.is_repeated else table(part)
        case Note(text=""):
            return ""
        case Note():
            return prose(f"note: {part.text}" if part.tone == "note" else part.text, style=TONES.get(part.tone, ""))
        case Section():
            return section(part)
        case Figure():
            return None


def facts_grid(facts: Iterable[Fact]) -> Columns:
    """Lines of an answer below one another: names on the left, what is to be said of them on the right."""
    found = Columns([Column(least=20, style="dim"), Column(is_prose=True)])
    for fact in facts:
        found.add_row(fact.name, Text(fact.text, style="bold" if fact.is_key else ""))
    return found


def _bars(shown: Bars) -> Columns:
    """Names, amounts, shares, bars and what they mean."""
    amount = Column(is_right=True)
    found = Columns(
        [Column(least=shown.least, style="dim"), amount, amount, Column(), Column(is_prose=True, style="dim")]
    )
    for one in shown.bars:
        bar = ShareBar(one.share, one.color or shown.color)
        found.add_row(one.name, one.value, f"{one.share:.1%}", bar, one.meaning)
    if shown.total is not None:
        found.add_row(*shown.total, "100.0%", "", "")
    return found


def table(shown: Table) -> Columns:
    """A table without lines."""
    heads = [head for head in shown.heads if not head.startswith("+")]
    columns = [column(head) for head in (*heads, *([""] if shown.shares else []))]
    if shown.is_quiet:
        first, *others = columns
        columns = [replace(first, style="dim"), *(replace(one, least=LEAST_BESIDE) for one in others)]
    if shown.least:
        first, *others = columns
        columns = [replace(first, least=shown.least), *(replace(one, style="dim") for one in others)]
    found = Columns(columns)
    for place, row in enumerate(shown.rows):
        below = shown.below[place] if shown.below else ""
        bar = [ShareBar(shown.shares[place], shown.color)] if shown.shares else []
        words = f"{shown.below_head} {below}" if below and shown.below_head else below
        found.add_row(*map(_cell, row[: len(heads)]), *bar, below=words)
    return found


def fits(console: Console, shown: Table) -> bool:
    """Whether all columns of a table stand beside one another."""
    return table(shown).least_width(console) <= console.width


def _cell(cell: Cell) -> RenderableType:
    return Text(cell, style="red") if isinstance(cell, Alarm) and cell else plain(cell)

"""Sections on a terminal: tables for every width, whose words and numbers stay whole; and a bar of progress."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import NamedTuple, Protocol, cast

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


BAR_WIDTH, SHORT_BAR = 14, 10
"""Of all of a bar, and on a first screen. [-]"""
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
LABEL = 14
"""Width of names on a first screen, where those of all sections stand below one another. [-]"""
WIDE = 140
"""Of a terminal on which an answer has two columns. [-]"""
GUTTER = 4
"""Between them. [-]"""
UNBOUNDED = 10_000
WHOLE = re.compile(r"(?<=\d) (?=[^\W\d]|%)|(?<=\d to) (?=\d)|(?<=\d x) (?=\d)|(?<=`wsesim) (?=\w+`)")
"""Blanks that hold a number and its unit, the ends of a range, or a command together."""
HELD_BLANK = "\ue000"
"""Stands for a blank at which no line ends, while lines are broken."""
CLAUSE = re.compile(r"[,;:] ")
"""Ends of clauses."""
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
            for one, cell in zip(self.columns[number:], map(_text_of, cells[number:]), strict=True)
            if isinstance(cell, Text) and cell.plain
        )
        return rest if rest.plain else None


def _text_of(cell: RenderableType) -> RenderableType:
    return cell.text if isinstance(cell, Cut) else cell


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


def print_sections(console: Console, sections: Iterable[Section], *, beside: bool = False) -> None:
    """Print an answer; in two columns where the terminal is wide and that is wanted."""
    if not (beside and console.width >= WIDE):
        for one in sections:
            if not one.is_empty:
                console.print(section(one))
        return
    width = (console.width - GUTTER) // 2
    held: list[list[list[Segment]]] = []
    for one in (one for one in sections if not one.is_empty):
        lines = console.render_lines(section(one), console.options.update(width=width), pad=False)
        if _is_narrow(console, one, width):
            held.append(lines)
            continue
        _print_columns(console, held, width)
        held = []
        console.print(section(one))
    _print_columns(console, held, width)


def _is_narrow(console: Console, shown: Section, width: int) -> bool:
    """Whether a section loses nothing in half of the terminal; what has no title ends an answer, in lines of its own."""
    tables = [table(part) for part in shown.parts if isinstance(part, Table) and not part.is_repeated]
    is_last = not shown.title and shown.parts[0] == Note("")
    return not is_last and all(one.least_width(console) <= width for one in tables)


def _print_columns(console: Console, held: Sequence[list[list[Segment]]], width: int) -> None:
    """Sections in two columns, read down the left one first, that end as nearly together as sections allow."""
    if not held:
        return

    def higher(place: int) -> int:
        return max(sum(map(len, held[:place])), sum(map(len, held[place:])))

    place = min(range(1, len(held) + 1), key=higher)
    sides = [[line for lines in side for line in lines] for side in (held[:place], held[place:])]
    for side in sides:
        while side and not "".join(one.text for one in side[0]).strip():
            side.pop(0)  # both begin on the same line
    for left, right in zip_longest(*sides, fillvalue=[]):
        gap = width + GUTTER - sum(one.cell_length for one in left)
        console.print(_Line([*left, Segment(" " * gap), *right]), end="")


@dataclass(frozen=True)
class _Line:
    """Segments of one line."""

    segments: list[Segment]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        yield from _without_blanks(list(self.segments))


def section(shown: Section) -> Group:
    """A part of an answer under its title, after an empty line; without a title nothing stands before it."""
    head: list[RenderableType] = ["", prose(shown.title, style="bold")] if shown.title else []
    one_note = sum(isinstance(part, Note) and part.tone == "note" for part in shown.parts) == 1
    found = (_part(part, is_short=shown.is_short and not (one_note and isinstance(part, Note))) for part in shown.parts)
    return Group(*head, *(body for body in found if body is not None))


def _part(part: Part, *, is_short: bool = False) -> RenderableType | None:
    match part:
        case Facts():
            return facts_grid(part.facts, is_short=is_short)
        case Bars():
            return None if part.is_repeated else _bars(part, is_short=is_short)
        case Table():
            return None if part.is_repeated else table(part)
        case Note(text=""):
            return ""
        case Note(tone="note") if is_short:
            return Cut(Text(f"note: {part.text}", style=TONES["note"]))
        case Note():
            return prose(f"note: {part.text}" if part.tone == "note" else part.text, style=TONES.get(part.tone, ""))
        case Section():
            return section(part)
        case Figure():
            return None


@dataclass(frozen=True)
class Cut:
    """A text, and clauses that explain it, as many as its line has room for; one that nothing explains is cut to a line."""

    text: Text
    more: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if not self.more:
            yield _words_within(
                self.text, options.max_width, "..." if options.ascii_only else "\N{HORIZONTAL ELLIPSIS}"
            )
            return
        more = clauses_within(self.more, options.max_width - cell_len(self.text.plain) - GAPS[0])
        yield Text.assemble(self.text, (f"  {more}" if more else "", "dim"))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        least = Measurement.get(console, options, self.text)
        return Measurement(least.minimum, least.maximum + (cell_len(self.more) + GAPS[0] if self.more else 0))


def clauses_within(text: str, width: int) -> str:
    """The first clauses of a text, as many as fit into so many letters.

    Examples
    --------
    >>> clauses_within("owned: written off over 4.00 years, with electricity", 40)
    'owned: written off over 4.00 years'
    >>> clauses_within("MFU 26.1%; 139.6 samples/s", 12), clauses_within("of 1,080 tokens", 4)
    ('MFU 26.1%', '')
    """
    ends = [found.start() for found in CLAUSE.finditer(text)]
    return next((text[:end] for end in (len(text), *reversed(ends)) if cell_len(text[:end]) <= width), "")


def _words_within(text: Text, width: int, ellipsis: str) -> Text:
    """A text, or its first words and an ellipsis."""
    if cell_len(text.plain) <= width:
        return text
    kept = text.plain[: max(0, width - len(ellipsis))].rpartition(" ")[0].rstrip(" ,;:(")
    return Text(f"{kept} {ellipsis}"[:width] if kept else "", style=text.style)


def facts_grid(facts: Iterable[Fact], *, is_short: bool = False) -> Columns:
    """Lines of an answer below one another: names on the left, what is to be said of them on the right."""
    found = Columns([Column(least=LABEL if is_short else 20), Column(is_prose=True)])
    for fact in facts:
        text = Text(fact.text, style="bold" if fact.is_key else "")
        if is_short:
            found.add_row(fact.name, Cut(cast("Text", _held(text)), fact.more) if fact.more else text)
        else:
            found.add_row(fact.name, Text.assemble(text, (f"; {fact.more}" if fact.more else "", "dim")))
    return found


def _bars(shown: Bars, *, is_short: bool = False) -> Columns:
    """Names, amounts, shares, bars and what they mean."""
    amount, meaning = Column(is_right=True), Column(is_prose=True, style="dim")
    least = max(shown.least, LABEL) if is_short else shown.least
    found = Columns([Column(least=least), amount, amount, Column(), meaning])
    for one in shown.bars:
        bar = ShareBar(one.share, one.color or shown.color, SHORT_BAR if is_short else BAR_WIDTH)
        told = Cut(Text(one.meaning, style="dim")) if is_short and one.meaning else one.meaning
        found.add_row(one.name, one.value, f"{one.share:.1%}", bar, told)
    if shown.total is not None and not is_short:
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

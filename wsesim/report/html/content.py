"""What templates show, as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from wsesim.report.charts.render import Picture
from wsesim.view import Fact


@dataclass(frozen=True)
class Tile:
    """One large figure of the answer; `detail` is what belongs to it in small letters."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """What was asked.

    Attributes
    ----------
    bottleneck
        A sentence, without its full stop.
    facts
        What it ran on, and the rest of the headline.
    """

    name: str
    on: str
    tiles: tuple[Tile, ...]
    bottleneck: str
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """One line of a table with bars.

    Attributes
    ----------
    share
        Length of the bar: 1 is all of it. [-]
    color
        As CSS writes it.
    """

    name: str
    value: str
    share: float
    color: str
    meaning: str = ""


class Link(NamedTuple):
    """A cell of a table that leads elsewhere."""

    text: str
    address: str


Cell = str | Link | tuple[Link, ...]


LONG = 40
"""Letters from which a cell is long. [-]"""


def _letters(cell: Cell) -> int:
    if isinstance(cell, str):
        return len(cell)
    return len(cell.text) if isinstance(cell, Link) else sum(len(one.text) for one in cell)


@dataclass(frozen=True)
class DataTable:
    """A table with a caption; the first column names the row.

    Attributes
    ----------
    numbers
        Places of columns that stand on the right. [-]
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()

    @property
    def wordy(self) -> frozenset[int]:
        """Places of columns with long texts; a table with some becomes cards where there is little room. [-]"""
        rest = range(1, len(self.columns))
        return frozenset(place for place in rest if any(_letters(row[place]) > LONG for row in self.rows))


@dataclass(frozen=True)
class Figure:
    """A picture that the reader's browser draws, under its title.

    Attributes
    ----------
    name
        Unique on its page; letters and hyphens.
    tables
        The same numbers.
    """

    name: str
    title: str
    picture: Picture
    tables: tuple[DataTable, ...] = ()


@dataclass(frozen=True)
class Block:
    """What a section says of one run; `title` is empty where there is only one."""

    title: str = ""
    facts: tuple[Fact, ...] = ()
    bars: tuple[Bar, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One part of a report under its heading.

    Attributes
    ----------
    name
        Its address on the page.
    lead
        What it shows, in a sentence.
    """

    name: str
    title: str
    lead: str = ""
    figures: tuple[Figure, ...] = ()
    blocks: tuple[Block, ...] = ()
    tables: tuple[DataTable, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show but its title."""
        return not (self.lead or self.figures or self.blocks or self.tables or self.notes)


@dataclass(frozen=True)
class Sheet:
    """What a notebook shows of one answer.

    Attributes
    ----------
    answer
        Of a run.
    """

    title: str
    answer: Answer | None = None
    facts: tuple[Fact, ...] = ()
    blocks: tuple[Block, ...] = ()
    tables: tuple[DataTable, ...] = ()
    notes: tuple[str, ...] = ()

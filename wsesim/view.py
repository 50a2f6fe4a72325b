"""What is shown of an answer, as plain records and words: the same for a terminal, a page, a report and a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

from wsesim.plugins import imported
from wsesim.units import add_up, show

# What is shown of an answer, as plain records and words: the same for a terminal, a page, a report and a notebook.
#
# An answer is a few `Section`; each says its parts in order. Media differ in how they draw a part, and in what they
# have no room for: a terminal leaves out leads, captions, pictures and what `is_repeated` marks.


MFU_DIFFERENCE = 0.02
"""MFU is printed for both ways of counting attention where they differ by more, relative. [-]"""
LONG = 40
"""Letters from which a cell is long. [-]"""


MOST_BESIDE = 3
"""Columns of a table that stands beside another. [-]"""
MOST_NOTES = 3
"""Notes on the first screen of an answer. [-]"""


class Fact(NamedTuple):
    """One line of an answer.

    Attributes
    ----------
    is_key
        What was asked for first.
    more
        What explains it; on the first screen only as far as its line has room.
    is_detail
        Whether the first screen has no room for it.
    """

    name: str
    text: str
    is_key: bool = False
    more: str = ""
    is_detail: bool = False

    @property
    def whole(self) -> str:
        """With what explains it."""
        return f"{self.text}; {self.more}" if self.more else self.text


class Bar(NamedTuple):
    """One amount as a share of what there is.

    Attributes
    ----------
    value
        The amount with its unit.
    share
        1 is all of it. [-]
    color
        As CSS writes it; that of all bars beside it where it is empty.
    """

    name: str
    value: str
    share: float
    meaning: str = ""
    color: str = ""


class Place(NamedTuple):
    """A memory that could be too small.

    Attributes
    ----------
    name
        What it is called.
    held_bytes
        By what is held. [bytes]
    capacity_bytes
        What fits. [bytes]
    short, meaning
        What it is called beside a bar, where that is not its name, and what is held, where its parts say too little.
    """

    name: str
    held_bytes: Mapping[str, float]
    capacity_bytes: float
    short: str = ""
    meaning: str = ""

    @property
    def used_bytes(self) -> float:
        """All that is held. [bytes]"""
        return add_up(self.held_bytes.values())

    @property
    def said(self) -> str:
        """What is held, and what fits: "30.2 GB of 40.0 GB"."""
        return f"{show(self.used_bytes, 'bytes')} of {show(self.capacity_bytes, 'bytes')}"


class Link(NamedTuple):
    """A cell of a table that leads elsewhere.

    Attributes
    ----------
    key
        What stands where nothing can be followed; the text where it is empty.
    """

    text: str
    address: str
    key: str = ""


class Alarm(str):
    """A cell that calls for attention."""

    __slots__ = ()


Cell = str | Link | tuple[Link, ...]


def plain(cell: Cell) -> str:
    """A cell where nothing can be followed."""
    if isinstance(cell, str):
        return cell
    links = (cell,) if isinstance(cell, Link) else cell
    return ", ".join(one.key or one.text for one in links)


def _letters(cell: Cell) -> int:
    if isinstance(cell, str):
        return len(cell)
    return len(cell.text) if isinstance(cell, Link) else sum(len(one.text) for one in cell)


@dataclass(frozen=True)
class Facts:
    """Lines below one another."""

    kind: ClassVar[str] = "facts"

    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Bars:
    """Amounts as bars below one another.

    Attributes
    ----------
    caption
        What the shares are of.
    color
        As CSS writes it.
    total
        The last line: a name and the amount that is all of it.
    least
        Width of the names in letters. [-]
    is_repeated
        The same as facts beside it, as a picture.
    """

    kind: ClassVar[str] = "bars"

    bars: tuple[Bar, ...]
    caption: str
    color: str = "#0072B2"
    total: tuple[str, str] | None = None
    least: int = 12
    is_repeated: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Attributes
    ----------
    caption
        What it shows, for those who meet it alone.
    heads
        After ``|`` stand numbers, after ``~`` stands prose; last come those after ``+``, for which a terminal has no room.
    below
        For each row a text that belongs to it, under the head `below_head`: a line of its own where there is little room.
    shares
        For each row a bar, where a medium draws some. [-]
    least
        Width of the first column in letters. [-]
    is_quiet
        The first column has labels rather than names, and columns of prose keep a least width.
    is_repeated
        The same as facts beside it, in more words.
    """

    kind: ClassVar[str] = "table"

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    below: tuple[str, ...] = ()
    below_head: str = ""
    shares: tuple[float, ...] = ()
    color: str = "#009E73"
    least: int = 0
    is_quiet: bool = False
    is_repeated: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Heads without marks."""
        return (*(head.lstrip("|~+") for head in self.heads), *((self.below_head,) if self.below else ()))

    @property
    def full_rows(self) -> tuple[tuple[Cell, ...], ...]:
        """Rows with what stands below them as their last cell."""
        if not self.below:
            return self.rows
        return tuple((*row, text) for row, text in zip(self.rows, self.below, strict=True))

    @property
    def numbers(self) -> frozenset[int]:
        """Places of columns of numbers. [-]"""
        return frozenset(place for place, head in enumerate(self.heads) if head.startswith("|"))

    @property
    def wordy(self) -> frozenset[int]:
        """Places of columns with long texts; a table with some becomes cards where there is little room. [-]"""
        rows, rest = self.full_rows, range(1, len(self.columns))
        return frozenset(place for place in rest if any(_letters(row[place]) > LONG for row in rows))


class Drawable(Protocol):
    """A picture that a browser draws, and what it says in words."""

    @property
    def description(self) -> str:
        """What it shows, for those who do not see it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What it leaves out."""


class Roof(NamedTuple):
    """What bounds the rate of a device: its peak, what is reached of that, and a link through which its work has to come.

    Attributes
    ----------
    peak_flop_per_s, reached_flop_per_s
        Of one device. [FLOP/s]
    bytes_per_s
        Of the link. [bytes/s]
    link
        What it is called.
    """

    peak_flop_per_s: float
    reached_flop_per_s: float
    bytes_per_s: float
    link: str


class Passes(NamedTuple):
    """Work of one kind in a step, on one device. [FLOP], [bytes], [s]"""

    name: str
    flop: float
    num_bytes: float
    time_s: float


class Level(NamedTuple):
    """Parts of a machine that stand side by side in a drawing of it, from what all share down to the devices.

    Attributes
    ----------
    name
        What they are, with their number: "12 CS-2 systems".
    number
        How many there are, in all. [-]
    says
        What one of them is, in a few words.
    busy
        Share of a step in which one works; None where no run is drawn. [-]
    link
        What joins each of them to the level above.
    link_busy
        Share of a step in which that is in use. [-]
    unlike
        Numbers of those that differ from the rest, and how.
    is_of_one
        Whether they are those of one part above, and the others have as many.
    """

    name: str
    number: int
    says: str = ""
    busy: float | None = None
    link: str = ""
    link_busy: float | None = None
    unlike: Mapping[int, str] = MappingProxyType({})
    is_of_one: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture under its title.

    Attributes
    ----------
    name
        Unique on its page; letters and hyphens.
    tables
        The same numbers.
    """

    kind: ClassVar[str] = "figure"

    name: str
    title: str
    picture: Drawable
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Note:
    """A sentence; an empty one leaves a line free where lines are counted.

    Attributes
    ----------
    tone
        "aside" for what explains, "key" for an answer, "warning" for what one should know first, "no" for a refusal, "lean" for
        a sentence about what stands above it.
    """

    kind: ClassVar[str] = "note"

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Section:
    """One part of an answer under its title, which a first part may lack.

    Attributes
    ----------
    name
        Its address on a page.
    lead
        What it shows, in a sentence.
    parts
        In order; sections inside are of one run each.
    is_short
        Whether it is a part of a first screen, where explanations and notes get what room their line has.
    """

    kind: ClassVar[str] = "section"

    name: str
    title: str = ""
    parts: tuple[Part, ...] = ()
    lead: str = ""
    is_short: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show but its title."""
        return not (self.lead or self.parts)

    @property
    def is_wide(self) -> bool:
        """Whether it needs the width of a page."""
        return any(isinstance(part, Table) and len(part.columns) > MOST_BESIDE for part in self.parts)

    def of_run(self, run: str) -> Section:
        """The same as a part of what is said of several runs."""
        return replace(self, title=run, lead="")


Part = Facts | Bars | Table | Figure | Note | Section


@dataclass(frozen=True)
class Tile:
    """One large figure of the answer; `detail` is what belongs to it in small letters.

    Attributes
    ----------
    amount
        The figure as a number, for comparisons with another run; None where it cannot be compared.
    words
        What it is called when it is more, and when it is less.
    is_ratio
        Whether a change of it is told as a share; else as a difference.
    change
        What it is against a baseline, in words with a sign; empty without one.
    """

    name: str
    value: str
    detail: str = ""
    amount: float | None = None
    words: tuple[str, str] = ("more", "less")
    is_ratio: bool = True
    change: str = ""

    def against(self, other: Tile | None) -> Tile:
        """The same with what it is against that of a baseline.

        Examples
        --------
        >>> Tile("cost", "3.00 kUSD", amount=3000.0).against(Tile("cost", "2.50 kUSD", amount=2500.0)).change
        '+20.0%, more than 2.50 kUSD'
        >>> Tile("loss", "1.500", amount=1.5, is_ratio=False).against(Tile("loss", "1.520", amount=1.52)).change
        '-0.020, less than 1.520'
        """
        if other is None or self.amount is None or other.amount is None:
            return replace(self, change="not known of the baseline")
        return replace(self, change=_change(self, self.amount, other.value, other.amount))


UNCHANGED = 5e-5
"""Numbers that differ by less than this share are the same to what is printed. [-]"""
FEW_TIMES = 2.0
"""From this ratio on it is told beside the percentage. [-]"""


def _change(tile: Tile, now: float, told: str, then: float) -> str:
    if now == then or abs(now - then) <= UNCHANGED * max(abs(now), abs(then)):
        return f"no change from {told}"
    word = tile.words[now < then]
    if not tile.is_ratio:
        return f"{now - then:+.3f}, {word} than {told}"
    ratio = now / then if then else math.inf
    times = "" if 1.0 / FEW_TIMES < ratio < FEW_TIMES else f" ({ratio:.3g} times)"
    return f"{ratio - 1.0:+.1%}{times}, {word} than {told}"


@dataclass(frozen=True)
class Answer:
    """What was asked, on a page.

    Attributes
    ----------
    bottleneck
        A sentence, without its full stop.
    facts
        What it ran on, and the rest of the headline.
    """

    name: str
    tiles: tuple[Tile, ...]
    bottleneck: str
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


def of_each(sections: Sequence[Section], runs: Sequence[str]) -> Section:
    """What is said of one run; of several, one beside the other under their names."""
    first = sections[0]
    if len(sections) == 1:
        return first
    named = [
        _numbered(one, place).of_run(run) for place, (one, run) in enumerate(zip(sections, runs, strict=True), start=1)
    ]
    inside = tuple(one for one in named if one.parts)
    return replace(first, parts=inside)


def short(section: Section) -> Section:
    """A section as the first screen has it: without details, and with the first notes.

    Examples
    --------
    >>> found = short(Section("one", parts=(Facts((Fact("a", "1"), Fact("b", "2", is_detail=True))),)))
    >>> [fact.name for part in found.parts for fact in part.facts]
    ['a']
    """
    notes_of = [part for part in section.parts if isinstance(part, Note) and part.tone == "note"]
    over = notes_of[MOST_NOTES - 1 :] if len(notes_of) > MOST_NOTES else []
    parts: list[Part] = [
        Facts(tuple(fact for fact in part.facts if not fact.is_detail)) if isinstance(part, Facts) else part
        for part in section.parts
        if not any(part is one for one in over)
    ]
    more = [Note(f"{plural(len(over), 'note')} more: `-v`", "aside")] if over else []
    return replace(section, parts=(*parts, *more), is_short=True)


def _numbered(section: Section, place: int) -> Section:
    """Its pictures under names of their own, where others stand beside it."""
    parts = [replace(one, name=f"{one.name}-{place}") if isinstance(one, Figure) else one for one in section.parts]
    return replace(section, parts=tuple(parts))


def facts(lines: Iterable[Fact]) -> tuple[Facts, ...]:
    """Lines as a part; none where there are none."""
    held = tuple(lines)
    return (Facts(held),) if held else ()


def notes(texts: Iterable[str], tone: str = "") -> tuple[Note, ...]:
    """A sentence each."""
    return tuple(Note(text, tone) for text in texts)


def plural(count: int, word: str) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(2, "micro-batch")
    '2 micro-batches'
    """
    ending = "" if count == 1 else "es" if word.endswith("ch") else "s"
    return f"{count:,} {word}{ending}"


def show_mfu(mfu: float, mfu_causal: float, precision: str) -> str:
    """Model FLOP utilization in words, and the other way to count it where it differs."""
    differs = abs(mfu - mfu_causal) > MFU_DIFFERENCE * mfu
    bits = {"float32": "32", "fp8": "8", "mxfp8": "8", "nvfp4": "4"}.get(precision, "16")
    text = f"{mfu:.1%} of the dense {bits}-bit peak, attention counted in full"
    return text + (f"; {mfu_causal:.1%} counted causal" if differs else "")


def share_of(name: str, part: float, whole: float, unit: str, meaning: str = "") -> Bar:
    """An amount with its unit over another one."""
    return Bar(name, show(part, unit), part / whole, meaning)


# Answers show themselves in notebooks.


HTML = "wsesim.report.html:html"
"""Makes HTML of an answer: a notebook asks the answer itself, which knows no reports."""


class ShowsItself:
    """An answer that a notebook shows as its report would."""

    def _repr_html_(self) -> str:
        return str(imported(HTML)(self))

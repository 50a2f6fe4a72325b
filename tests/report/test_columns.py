"""Tables of the terminal: whole words and numbers at every width, and no blanks at the end of a line."""

from __future__ import annotations

import io

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from wsesim.report.terminal import Column, Columns, ShareBar, column, prose

WORDS = st.text("abcxyz0123456789.,%", min_size=1, max_size=12)
TEXTS = st.lists(WORDS, min_size=0, max_size=5).map(" ".join)


def printed(table: Columns, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, markup=False, emoji=False, highlight=False).print(table)
    return file.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    heads=st.lists(st.tuples(st.sampled_from(["", "|", "~"]), WORDS), min_size=1, max_size=6),
    cells=st.lists(st.lists(TEXTS, min_size=6, max_size=6), min_size=1, max_size=4),
    width=st.integers(30, 120),
)
def test_nothing_is_lost_or_broken(heads: list[tuple[str, str]], cells: list[list[str]], width: int) -> None:
    table = Columns([column(mark + head) for mark, head in heads])
    for row in cells:
        table.add_row(*row[: len(heads)], below=row[0])
    shown = printed(table, width)
    assert all(line == line.rstrip() for line in shown.splitlines())
    assert max(map(len, shown.splitlines()), default=0) <= width
    wanted = {word for row in cells for text in row[: len(heads)] for word in text.split()}
    assert wanted <= set(shown.split())


def test_columns_without_room_go_below_with_their_heads() -> None:
    table = Columns([column("name"), column("|rate"), column("~meaning")])
    table.add_row("one", "1.2 GB/s", "what it is")
    assert printed(table, 40) == "name      rate  meaning\none   1.2 GB/s  what it is\n"
    assert printed(table, 23) == "name      rate\none   1.2 GB/s\n    meaning what it is\n"
    assert table.least_width(Console(width=23)) == 4 + 1 + 8 + 1 + 10


def test_a_number_keeps_its_unit_and_a_range_its_ends() -> None:
    text = "it takes 12.5 GB/s or 1.5 to 2.5 days, see `wsesim run` for 1,024 x 2,048 tokens and 10 % more"
    for width in range(24, 100):
        lines = printed(prose(text), width).splitlines()
        for whole in ("12.5 GB/s", "1.5 to 2.5 days,", "`wsesim run`", "1,024 x 2,048 tokens", "10 % more"[:4]):
            assert sum(whole in line for line in lines) == 1, (whole, lines)


def test_prose_is_broken_after_the_hyphen_of_two_words() -> None:
    table = Columns([column("~source")])
    table.add_row("vendor-micro-batch-table")
    assert printed(table, 18) == "source\nvendor-micro-\nbatch-table\n"
    assert printed(table, 30) == "source\nvendor-micro-batch-table\n"


def test_spare_room_goes_to_the_narrowest_prose() -> None:
    table = Columns([Column(is_prose=True, least=4), Column(is_prose=True, least=4)])
    table.add_row("aaaa bbbb cccc dddd", "aaaa bbbb cccc dddd")
    assert printed(table, 20) == "aaaa bbbb  aaaa bbbb\ncccc dddd  cccc dddd\n"


def test_styles_survive_the_breaking_of_lines() -> None:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system="truecolor").print(prose("12 GB of it", "bold"))
    assert file.getvalue() == "\x1b[1m12 GB of it\x1b[0m\n"


def test_bars_are_plain_signs_where_the_terminal_has_no_others() -> None:
    table = Columns([Column(), Column()])
    table.add_row("half", ShareBar(0.5, width=8))
    table.add_row(Text("more than all"), ShareBar(1.5, width=8))
    assert "████\n" in printed(table, 40)
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=file, width=40).print(table)
    file.seek(0)
    assert file.read() == "half           ####\nmore than all  ########\n"

"""`--format`: answers as Markdown, which has the sections of the terminal, and figures as CSV."""

from __future__ import annotations

import csv
import io

import pytest

import wsesim
from tests.front_door import answer
from wsesim.report.markdown import written
from wsesim.report.pages.run import sections
from wsesim.view import Alarm, Fact, Facts, Link, Note, Section, Table

RUN = "cerebras_gpt_111m"


def test_a_run_has_the_titles_of_the_terminal() -> None:
    told = [one.title for one in sections(wsesim.simulate(wsesim.load(RUN))) if one.title and one.parts]
    markdown = answer("run", RUN, "--format", "markdown", "-v").out
    assert [line.removeprefix("## ") for line in markdown.splitlines() if line.startswith("## ")] == told


@pytest.mark.parametrize("words", [("run", RUN), ("compare", RUN, "andromeda_13b")])
def test_csv_has_a_row_for_each_run(words: tuple[str, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(answer(*words, "--format", "csv").out)))
    assert [row["name"] for row in rows] == [wsesim.load(name).name for name in words[1:]]
    assert all(float(row["tokens_per_s"]) > 0 for row in rows)


def test_every_part_has_a_shape() -> None:
    table = Table("what", ("a", "|b"), ((Link("here", "https://example.org"), Alarm("late | red")),), below=("more",))
    shown = written(
        [Section("one", "One", (Facts((Fact("name", "text"),)), table, Note("~ a mark"))), Section("none", "None")]
    )
    assert shown.split("\n\n") == [
        "## One",
        "- **name**: text",
        "| a | b |  |\n|---|---|---|\n| [here](https://example.org) | **late \\| red** | more |",
        "\\~ a mark\n",
    ]

"""HTML of answers for notebooks: the sections of the terminal and the report, in the notebook's own colours.

Without styles, as on code hosts that drop them, lists and tables remain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from wsesim.report.html import render, style
from wsesim.report.pages import compare, goal, lifetime, portfolio, run, sweep
from wsesim.result import Result
from wsesim.shown import ShowsItself
from wsesim.study.goals import Answer
from wsesim.study.lifetime import Lifetime
from wsesim.study.scaling import Scaling
from wsesim.study.shared_cluster import SharedCluster
from wsesim.study.side_by_side import Comparison
from wsesim.study.sweep import SweepResult
from wsesim.view import Figure, Note, Section

STRONGER = ".wsesim.wsesim.wsesim"
"""Named three times, so that the notebook's own styles do not win."""


def html(shown: ShowsItself) -> str:
    """A fragment that stands for itself."""
    title, sections = titled(shown)
    answer = run.answer(shown) if isinstance(shown, Result) else None
    return render("notebook.html", title=title, answer=answer, sections=sections, style=look())


def titled(shown: ShowsItself) -> tuple[str, Sequence[Section]]:
    """What a notebook shows of an answer, under its title.

    Raises
    ------
    TypeError
        Nothing is known of such an answer.
    """
    match shown:
        case Result():
            return shown.name, [replace(run.breakdown(shown), title="")]
        case Comparison():
            names = ", ".join(one.name for one in shown.entries[1:])
            return f"{shown.entries[0].name} and {names}", compare.sections(shown)
        case Scaling():
            return f"{shown.name} on other numbers of {shown.device}", run.curves(shown)
        case SweepResult():
            return "Sweep", [sweep.section(shown)]
        case Lifetime():
            return _by_first_line(lifetime.sections(shown))
        case Answer():
            return _by_first_line(goal.sections(shown))
        case SharedCluster():
            return _by_first_line(portfolio.sections(shown))
    raise TypeError(f"no notebook shows a {type(shown).__name__}")


def _by_first_line(sections: Sequence[Section]) -> tuple[str, Sequence[Section]]:
    """An answer whose first line is its title; pictures need scripts, which stand in reports alone."""
    first, *others = [
        replace(one, parts=tuple(part for part in one.parts if not isinstance(part, Figure))) for one in sections
    ]
    title, *parts = first.parts
    if not isinstance(title, Note):
        raise TypeError(f"the first line of {first.title!r} is no title")
    return title.text, [replace(first, parts=tuple(parts)), *others]


@cache
def look() -> str:
    """Styles that hold inside the fragment alone, without what only whole pages need."""
    whole_page = re.compile(r"@media print \{.*\n\}\n", re.DOTALL)
    return style("notebook.css") + f"{STRONGER} {{\n" + whole_page.sub("", style()) + "}\n"

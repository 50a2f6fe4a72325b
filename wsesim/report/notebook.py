"""HTML of answers for notebooks: the same words and bars as in the report, in the notebook's own colours.

Without styles, as on code hosts that drop them, lists and tables remain.
"""

from __future__ import annotations

import re
from functools import cache

from wsesim.report.html import sections
from wsesim.report.html.answer import answer
from wsesim.report.html.comparison import comparison
from wsesim.report.html.content import Block, DataTable, Sheet
from wsesim.report.html.environment import render, style
from wsesim.report.pages import compare, scaling_table
from wsesim.report.pages.notebook_plans import of_goal, of_lifetime, of_shared_cluster, of_sweep
from wsesim.result import Result
from wsesim.shown import ShowsItself
from wsesim.study.goals import Answer
from wsesim.study.lifetime import Lifetime
from wsesim.study.scaling import Scaling
from wsesim.study.shared_cluster import SharedCluster
from wsesim.study.side_by_side import Comparison
from wsesim.study.sweep import SweepResult
from wsesim.units import show
from wsesim.view import Fact

STRONGER = ".wsesim.wsesim.wsesim"
"""Named three times, so that the notebook's own styles do not win."""


def html(shown: ShowsItself) -> str:
    """A fragment that stands for itself."""
    return render("notebook.html", sheet=sheet(shown), style=look())


def sheet(shown: ShowsItself) -> Sheet:
    """What a notebook shows of an answer.

    Raises
    ------
    TypeError
        Nothing is known of such an answer.
    """
    match shown:
        case Result():
            return _of_run(shown)
        case Comparison():
            return _of_comparison(shown)
        case Scaling():
            return _of_scaling(shown)
        case SweepResult():
            return of_sweep(shown)
        case Lifetime():
            return of_lifetime(shown)
        case Answer():
            return of_goal(shown)
        case SharedCluster():
            return of_shared_cluster(shown)
    raise TypeError(f"no notebook shows a {type(shown).__name__}")


def _of_run(result: Result) -> Sheet:
    caption = f"Where the {show(result.step_time_s, 's')} of a step go"
    bars = Block(bars=tuple(sections.breakdown_bars(result)), caption=caption)
    return Sheet(result.name, answer=answer(result), blocks=(bars,))


def _of_comparison(compared: Comparison) -> Sheet:
    section = comparison(compared.results)
    found = tuple(Fact("the same time", compare.same_time_words(one)) for one in compared.same_time)
    title = f"{compared.entries[0].name} and {', '.join(one.name for one in compared.entries[1:])}"
    return Sheet(title, tables=section.tables, facts=found, notes=section.notes)


def _of_scaling(found: Scaling) -> Sheet:
    heads = scaling_table.heads(found)
    tables = (
        DataTable(
            scaling_table.title(curve),
            heads,
            tuple(scaling_table.cells(one) for one in scaling_table.some(curve.points, found.own.num_devices)),
            frozenset(range(1, len(heads))),
        )
        for curve in found.curves
        if curve.points
    )
    return Sheet(f"{found.name} on other numbers of {found.device}", tables=tuple(tables), notes=found.notes)


@cache
def look() -> str:
    """Styles that hold inside the fragment alone, without what only whole pages need."""
    whole_page = re.compile(r"@media print \{.*\n\}\n", re.DOTALL)
    return style("notebook.css") + f"{STRONGER} {{\n" + whole_page.sub("", style()) + "}\n"

"""HTML of answers for notebooks: the same words and bars as in the report, in the notebook's own colours.

Without styles, as on code hosts that drop them, lists and tables remain.
"""

from __future__ import annotations

from typing import Any

from wsesim.gpu_results import GPUResult
from wsesim.report.html import sections
from wsesim.report.html.answer import answer
from wsesim.report.html.content import Block
from wsesim.report.html.environment import render, style
from wsesim.results import Result
from wsesim.shown import ShowsItself
from wsesim.units import show


def html(shown: ShowsItself) -> str:
    """A fragment that stands for itself.

    Raises
    ------
    TypeError
        There is no such page.
    """
    if isinstance(shown, Result | GPUResult):
        return _fragment(shown.name, answer=answer(shown), blocks=[_breakdown(shown)])
    raise TypeError(f"no page shows a {type(shown).__name__}")


def _fragment(title: str, **parts: Any) -> str:
    values = {"answer": None, "blocks": ()} | parts
    return render("notebook.html", title=title, styles=(style("notebook.css"), f".wsesim {{\n{style()}}}"), **values)


def _breakdown(result: Result | GPUResult) -> Block:
    caption = f"Where the {show(result.step_time_s, 's')} of a step go"
    return Block(bars=tuple(sections.breakdown_bars(result)), caption=caption)

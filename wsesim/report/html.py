"""Sections as HTML, by Jinja2 with autoescape, for reports and the page; and for notebooks, in their own colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.report.charts.render import Picture, element, javascript
from wsesim.report.pages import compare, goal, lifetime, run, sweep
from wsesim.results.result import Result
from wsesim.study.goals import Answer
from wsesim.study.lifetime import Lifetime
from wsesim.study.portfolio import SharedCluster
from wsesim.study.scaling import Scaling
from wsesim.study.side_by_side import Comparison
from wsesim.study.sweep import SweepResult
from wsesim.version import __version__
from wsesim.view import Figure, Note, Part, Section, ShowsItself

if TYPE_CHECKING:
    from jinja2 import Environment

# Sections as HTML, by Jinja2 with autoescape, so that names from files are text and nothing else.
#
# The macros of `templates/macros.html` show the records of `wsesim/view.py`: in reports, on the page and in notebooks.
# Classes of CSS begin with ``ws-``; `templates/style.css` has the colours of both themes as custom properties.
# Pictures are drawn by the script of `wsesim.report.charts.render.javascript`, which a document needs once.


FOLDER = "wsesim.report"


@dataclass(frozen=True)
class TextFile:
    """A file that went into a report."""

    name: str
    text: str


@dataclass(frozen=True)
class Made:
    """How a report was made."""

    command: str
    files: tuple[TextFile, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = __version__


def document(title: str, sections: Sequence[Section], made: Made, **values: object) -> str:
    """One HTML file with everything that it needs inside."""
    has_figures = any(isinstance(part, Figure) for one in sections for part in one.parts)
    script = javascript() if has_figures else ""
    return render("report.html", title=title, sections=sections, made=made, style=style(), script=script, **values)


@cache
def environment(*folders: Path) -> Environment:
    """Templates of this package, and those in `folders`."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

    loaders = [PackageLoader(FOLDER), *(FileSystemLoader(folder) for folder in folders)]
    found = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["element"] = _element
    found.filters["words"] = _words
    found.filters["in_groups"] = _in_groups
    return found


def render(template: str, **values: Any) -> str:
    """A template of this package with its values."""
    return environment().get_template(template).render(values)


@cache
def style(name: str = "style.css") -> str:
    """A style sheet; by default the look of all macros, in both themes."""
    return resources.files(FOLDER).joinpath("templates", name).read_text(encoding="utf-8")


def _element(picture: Picture, name: str) -> str:
    """A picture's place in a page, which escapes its own texts."""
    from markupsafe import Markup

    return Markup(element(picture, name))


def _in_groups(parts: Iterable[Part]) -> Iterator[tuple[str, list[Part]]]:
    """Parts of a kind that follow one another are shown together."""
    for kind, group in groupby(parts, lambda part: part.tone or "said" if isinstance(part, Note) else part.kind):
        yield kind, list(group)


def _words(text: str) -> str:
    """A text whose parts between back quotes are code, as in messages on the terminal."""
    from markupsafe import Markup, escape

    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))


_QUOTED = re.compile(r"`([^`\n]+)`")

# HTML of answers for notebooks: the sections of the terminal and the report, in the notebook's own colours.
#
# Without styles, as on code hosts that drop them, lists and tables remain.


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
            return _by_first_line(goal.portfolio_sections(shown))
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

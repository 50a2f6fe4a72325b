"""A report as one file that works offline: the answer first, then why, then what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wsesim.config import catalogue
from wsesim.config.run_files import run_files
from wsesim.report.charts.render import javascript
from wsesim.report.html import figures, sections
from wsesim.report.html.answer import answer
from wsesim.report.html.comparison import comparison, lead
from wsesim.report.html.content import Section
from wsesim.report.html.environment import render, style
from wsesim.report.pages import facts
from wsesim.report.pages.study import Study
from wsesim.version import __version__

Tell = Callable[[str], None]
"""Told what is being worked on."""
MOST_IN_TITLE = 2
"""Names that the title holds; more are counted. [-]"""
PARTS: dict[str, Callable[[Study], Section]] = {
    "timeline": figures.timeline,
    "breakdown": figures.breakdown,
    "utilization": lambda study: sections.utilization(study.results),
    "memory": lambda study: sections.memory(study.results),
    "scaling": figures.scaling,
    "totals": figures.totals,
    "learned": figures.learned,
    "validation": figures.validation,
    "assumptions": lambda study: sections.assumptions(study.results, study.beside),
    "notes": lambda study: sections.notes(study.results),
}
"""After the answer, in this order."""


@dataclass(frozen=True)
class TextFile:
    """A file that went into a report."""

    name: str
    text: str


@dataclass(frozen=True)
class Made:
    """How a report was made.

    Attributes
    ----------
    command
        Makes it again.
    notes
        How each answer was found.
    """

    command: str
    files: tuple[TextFile, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = __version__


def run_texts(words: Iterable[str]) -> tuple[TextFile, ...]:
    """The run files of a command line, each once."""
    paths = dict.fromkeys(path for word in words for path in run_files(word))
    return tuple(TextFile(catalogue.shown(path), catalogue.read_text(path)) for path in paths)


def run_report(study: Study, command: str, files: tuple[TextFile, ...] = (), tell: Tell = lambda _: None) -> str:
    """The report of one run, or of several side by side.

    Parameters
    ----------
    study
        Its results.
    command, files
        How it was made.
    tell
        Called before each part.
    """
    results = study.results
    tell("answer")
    answers = [answer(one) for one in results]
    parts = [comparison(results)] if len(results) > 1 else []
    for name, part in PARTS.items():
        tell(name)
        parts.append(part(study))
    parts = [part for part in parts if not part.is_empty]
    made = Made(command, files, tuple(f"{one.name}: {facts.words_of(one).made_by(one)}." for one in results))
    tell("pictures")
    names = list(dict.fromkeys(one.name for one in results))
    title = " and ".join(names) if len(names) <= MOST_IN_TITLE else f"{names[0]} and {len(names) - 1} others"
    return document(title, parts, made, answers=answers, lead=lead(results))


def document(title: str, parts: Sequence[Section], made: Made, **values: object) -> str:
    """One HTML file with everything that it needs inside."""
    script = javascript() if any(part.figures for part in parts) else ""
    return render("report.html", title=title, sections=parts, made=made, style=style(), script=script, **values)

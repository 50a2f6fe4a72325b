"""The machines of the catalogue as Markdown: every number, its status, and the source that it links to."""

from __future__ import annotations

from collections.abc import Iterator

from wsesim.config import catalogue
from wsesim.report.markdown import markdown_table
from wsesim.report.pages import catalogue as entries
from wsesim.results.result import status_of

INTRODUCTION = """\
# Catalogue

Every number of the machines that come with wsesim, with its status and its source. `wsesim explain NAME` prints the same, and that
of models. Keys are explained in the [configuration](configuration.md), and so are the
[statuses](configuration.md#numbers-and-units). A cluster has the numbers of its systems or GPUs as well, which stand there.
"""
TITLES = {"systems": "Systems", "gpus": "GPUs", "clusters": "Clusters"}
PARTS = ("system.", "gpu.")
"""Begins of the keys that a cluster has from the machine it is made of."""


def page() -> str:
    """All kinds of machines, then all sources."""
    return "\n\n".join([INTRODUCTION.rstrip(), *_machines(), "## Sources", *_sources()]) + "\n"


def _machines() -> Iterator[str]:
    for kind, title in TITLES.items():
        yield f"## {title}"
        for name, words in entries.titles(kind)[kind].items():
            rows = [row for row in entries.of_kind(kind, name) if not row.key.startswith(PARTS)]
            yield f"### {name}\n\n{words}: `{catalogue.shown(catalogue.find(kind, name))}`"
            yield markdown_table(["number", "value", "status", "source"], map(_cells, rows))


def _cells(row: entries.ExplainedNumber) -> list[str]:
    """A number, with its range and what is to be said of it below its source."""
    below = entries.below(row).replace("|", "\\|")
    source = ", ".join(map(_link, row.origin.source.split(", ")))
    return [f"`{row.key}`", entries.shown(row), status_of(row.origin), "; ".join(filter(None, [source, below]))]


def _link(source: str) -> str:
    return f"[{source}](#{source})" if source in catalogue.sources() else source


def _sources() -> Iterator[str]:
    """Every source that a number may name, to be linked to."""
    for key, one in sorted(catalogue.sources().items()):
        address = f" <{one.url}>" if one.url else ""
        yield f'<a id="{key}"></a>**{key}**: {one.title}, {one.date}.{address}'

"""Answers show themselves in notebooks."""

from __future__ import annotations

from wsesim.plugins import imported

HTML = "wsesim.report.notebook:html"
"""Makes HTML of an answer: a notebook asks the answer itself, which knows no reports."""


class ShowsItself:
    """An answer that a notebook shows as its report would."""

    def _repr_html_(self) -> str:
        return str(imported(HTML)(self))

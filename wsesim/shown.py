"""Answers show themselves in notebooks."""

from __future__ import annotations


class ShowsItself:
    """An answer that a notebook shows as its report would.

    The one place where something below the reports knows of them: a notebook asks the object itself.
    """

    def _repr_html_(self) -> str:
        from wsesim.report.notebook import html

        return html(self)

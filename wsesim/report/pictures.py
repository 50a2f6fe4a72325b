"""Pictures of runs by name, for reports and for papers."""

from __future__ import annotations

from collections.abc import Callable

from wsesim.errors import InputError
from wsesim.report.charts import breakdown, loss, memory, scaling, timeline, totals, utilization, validation
from wsesim.report.charts.render import Picture
from wsesim.report.pages.study import Study

PICTURES: dict[str, Callable[[Study], Picture]] = {
    "breakdown": lambda study: breakdown.chart(study.results),
    "scaling": lambda study: scaling.chart(_only(study).scalings[0]),
    "efficiency": lambda study: scaling.efficiency(_only(study).scalings[0]),
    "timeline": lambda study: timeline.chart(_only(study).timelines[0]),
    "memory": lambda study: memory.chart(study.results),
    "utilization": lambda study: utilization.chart(study.results),
    "totals": lambda study: totals.chart(study.results),
    "loss": lambda study: loss.chart(study.results),
    "validation": lambda study: validation.chart(study.near),
}
"""By name; the first is the default."""


def picture_of(study: Study, name: str = "") -> Picture:
    """A picture by its name."""
    return PICTURES[name or next(iter(PICTURES))](study)


def _only(study: Study) -> Study:
    """For pictures of one run."""
    if len(study.results) > 1:
        raise InputError(f"this picture is of one run, and {len(study.results)} are named; name one of them")
    return study

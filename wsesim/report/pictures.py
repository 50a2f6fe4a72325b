"""Pictures of runs by name, for reports and for papers."""

from __future__ import annotations

from collections.abc import Callable

from wsesim.report.charts import breakdown, scaling
from wsesim.report.charts.render import Picture
from wsesim.report.study import Study

PICTURES: dict[str, Callable[[Study], Picture]] = {
    "breakdown": lambda study: breakdown.chart(study.results),
    "scaling": lambda study: scaling.chart(study.scalings[0]),
}
"""By name; the first is the default."""


def picture_of(study: Study, name: str = "") -> Picture:
    """A picture by its name."""
    return PICTURES[name or next(iter(PICTURES))](study)

"""Bars below their names: names stand above the bars, so that long ones fit on a telephone and in a column of a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsesim.report.charts.theme import SERIES_COLOURS

if TYPE_CHECKING:
    import altair as alt

STEP_PX = 56
"""Height of a bar with its name. [px]"""


def band() -> alt.Y:
    """The axis on which the bars stand, by the number of their row, without labels."""
    import altair as alt

    return alt.Y("row:O", axis=None, scale=alt.Scale(paddingInner=0.55, paddingOuter=0.3))


def heads() -> alt.Chart:
    """The names of the dataset `heads`, each above its bar."""
    import altair as alt

    drawn: alt.Chart = (
        alt.Chart(alt.NamedData("heads"))
        .mark_text(style="label", align="left", baseline="bottom", dy=-3, limit={"expr": "width"})
        .encode(x=alt.value(0), y=alt.Y("row:O", axis=None, bandPosition=0), text="head:N")
    )
    return drawn


def series_scale(number: int) -> alt.Scale:
    """Colours of runs by their number, from 0."""
    import altair as alt

    colours = [SERIES_COLOURS[place % len(SERIES_COLOURS)] for place in range(number)]
    return alt.Scale(domain=list(range(number)), range=colours)

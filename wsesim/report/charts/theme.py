"""What pictures share: colours and sizes for light, dark and paper, titles of axes, bars below their names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from wsesim.units import UNITS, show

if TYPE_CHECKING:
    import altair as alt

# Colours and sizes of all pictures: one colour for each category in every medium, light, dark and for paper.
#
# Colours were chosen so that those of one run stay apart for people who see fewer colours (a test computes it).


ThemeName = Literal["light", "dark", "paper"]

CATEGORY_COLOURS = {
    "gemm": "#0072B2",
    "attention": "#56B4E9",
    "latency": "#857F93",
    "weights": "#E69F00",
    "gradients": "#D55E00",
    "optimizer": "#009E73",
    "activations": "#FF66B2",
    "input": "#F2D00A",
    "stragglers": "#7C62FF",
    "kernels": "#1F4E9C",
    "recompute": "#959CD3",
    "launch": "#6B6E73",
    "tensor": "#E7AB50",
    "context": "#B08A4F",
    "expert": "#E067EE",
    "pipeline": "#992649",
    "data": "#C24A0A",
    "host": "#3F7F4F",
    "bubble": "#DAB9CC",
}
"""What a step is spent on, by the machines that come with wsesim."""


def colour_of(category: str) -> str:
    """The colour of a part of a step; one of the series' where a machine has parts of its own."""
    own = CATEGORY_COLOURS.get(category)
    return own or SERIES_COLOURS[sum(category.encode()) % len(SERIES_COLOURS)]


SERIES_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#7C62FF", "#56B4E9", "#857F93")
"""Runs, sets or values side by side: after Okabe and Ito 2008."""


@dataclass(frozen=True)
class Theme:
    """What differs between light, dark and paper.

    Attributes
    ----------
    text, quiet
        Of labels, and of what explains them. Both are readable on the background.
    grid
        Lines behind the data.
    size_px, title_px
        Height of labels, and of the titles of axes and legends; a pixel is a point on paper. [px]
    """

    background: str
    text: str
    quiet: str
    grid: str
    size_px: float
    title_px: float
    font: str


_SCREEN = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_PAPER = "'Liberation Sans', Arial, Helvetica, sans-serif"

THEMES: dict[str, Theme] = {
    "light": Theme("#FFFFFF", "#1B1F24", "#565D66", "#E4E7EB", 12, 12, _SCREEN),
    "dark": Theme("#14171C", "#E8EAED", "#A9B0B9", "#31363E", 12, 12, _SCREEN),
    "paper": Theme("#FFFFFF", "#000000", "#444444", "#E0E0E0", 7.5, 8, _PAPER),
}


@cache
def config(name: str) -> dict[str, Any]:
    """Vega-Lite's configuration; a chart names styles (`label`, `quiet`, `ideal`, `own`) and no colours of text."""
    theme = THEMES[name]
    text = {"font": theme.font, "fontSize": theme.size_px, "color": theme.text}
    return {
        "background": theme.background,
        "font": theme.font,
        "padding": 2 if name == "paper" else 4,
        "axis": _axis(theme),
        "axisBand": {"grid": False, "ticks": False, "domain": False},
        "legend": _legend(theme),
        "header": {"labelColor": theme.text, "titleColor": theme.text, "labelFontSize": theme.size_px},
        "title": {"color": theme.text, "fontSize": theme.title_px, "anchor": "start", "fontWeight": "bold"},
        "view": {"stroke": None},
        "bar": {"stroke": theme.background, "strokeWidth": 0.6},
        "rect": {"stroke": None},
        "line": {"strokeWidth": 1.5 if name == "paper" else 2, "strokeJoin": "round"},
        "point": {"filled": True, "size": 8 if name == "paper" else 20},
        "rule": {"color": theme.text},
        "style": {
            "label": text,
            "quiet": {**text, "color": theme.quiet},
            "ideal": {"color": theme.quiet, "strokeDash": [4, 3], "strokeWidth": 1.2},
            "frame": {"color": theme.quiet, "filled": False, "strokeWidth": 1},
            "window": {"fill": theme.text, "fillOpacity": 0.08, "stroke": theme.text, "strokeWidth": 1.5},
            "band": {"color": theme.quiet, "opacity": 0.15},
            "own": {"color": theme.text, "strokeWidth": 2, "filled": False, "size": 70 if name == "paper" else 140},
            "range": {"color": theme.text, "strokeWidth": 1.5},
        },
    }


def _axis(theme: Theme) -> dict[str, Any]:
    return {
        "labelColor": theme.text,
        "titleColor": theme.text,
        "labelFontSize": theme.size_px,
        "titleFontSize": theme.title_px,
        "titleFontWeight": "normal",
        "gridColor": theme.grid,
        "domainColor": theme.quiet,
        "tickColor": theme.quiet,
        "labelFlush": False,
        "labelOverlap": True,
        "labelSeparation": 6,
        "titlePadding": 6,
    }


def _legend(theme: Theme) -> dict[str, Any]:
    return {
        "labelColor": theme.text,
        "titleColor": theme.text,
        "labelFontSize": theme.size_px,
        "titleFontSize": theme.title_px,
        "titleFontWeight": "normal",
        "orient": "top",
        "columnPadding": 20,
        "rowPadding": 2,
        "symbolSize": 90,
        "labelLimit": 320,
    }


def luminance(colour: str) -> float:
    """Relative luminance of a colour, as WCAG 2 defines it. [-]

    Examples
    --------
    >>> luminance("#FFFFFF"), luminance("#000000")
    (1.0, 0.0)
    """
    parts = [int(colour[place : place + 2], 16) / 255.0 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return round(0.2126 * red + 0.7152 * green + 0.0722 * blue, 12)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, as WCAG 2 defines it: 1 to 21. [-]

    Examples
    --------
    >>> contrast("#FFFFFF", "#000000")
    21.0
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read better on a colour.

    Examples
    --------
    >>> ink_on("#F2D00A"), ink_on("#1F4E9C")
    ('#000000', '#FFFFFF')
    """
    return max(("#000000", "#FFFFFF"), key=lambda ink: contrast(ink, colour))


# Titles of axes: the quantity, and its unit with the prefix that people would choose.


LOGARITHMIC_FROM = 20.0
"""Largest over smallest number from which an axis is logarithmic. [-]"""
WITH_PREFIX = "format(datum.value, '~s')"
"""Labels of an axis of plain numbers: 200k, 3M."""
PLAIN = "format(datum.value, ',~g')"
"""Labels of an axis whose unit has a prefix already."""


class Scale(NamedTuple):
    """What values are divided by, and the name of what comes out."""

    size: float
    unit: str

    def title(self, quantity: str) -> str:
        """Title of an axis.

        Examples
        --------
        >>> Scale(1e-3, "ms").title("time of one step")
        'time of one step [ms]'
        """
        return f"{quantity} [{self.unit}]" if self.unit else quantity


def scale_of(largest: float, unit: str) -> Scale:
    """The prefix that `wsesim.units.show` gives the largest value, for all values of an axis.

    Examples
    --------
    >>> scale_of(0.25, "s")
    Scale(size=0.001, unit='ms')
    >>> scale_of(2.5e12, "bytes")
    Scale(size=1000000000000.0, unit='TB')
    >>> scale_of(7.2e9, "J")
    Scale(size=3600000000.0, unit='MWh')
    """
    word = "W" if unit == "J" else unit
    _, _, name = show(largest / (UNITS["Wh"][1] if unit == "J" else 1.0), word).partition(" ")
    if name not in UNITS:
        return Scale(1.0, name)
    name += "h" if unit == "J" else ""
    return Scale(UNITS[name][1], name)


def log_ticks(low: float, high: float, most: int = 9) -> tuple[float, ...]:
    """Round numbers from `low` to `high` for a logarithmic axis: 1, 2, 5, 10, or powers of ten where they are many.

    Examples
    --------
    >>> log_ticks(1, 16)
    (1.0, 2.0, 5.0, 10.0)
    >>> log_ticks(3, 20_000)
    (10.0, 100.0, 1000.0, 10000.0)
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1.0, 2.0, 5.0), (1.0,)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        within = tuple(one for one in found if low * 0.999 <= one <= high * 1.001)
        if len(within) <= most:
            return within
    return within[:: math.ceil(len(within) / most)]


def is_far_apart(values: Iterable[float]) -> bool:
    """Whether positive numbers spread so far that only a logarithmic axis shows all of them.

    Examples
    --------
    >>> is_far_apart([1, 16]), is_far_apart([1, 192]), is_far_apart([0, 192])
    (False, True, False)
    """
    known = list(values)
    return bool(known) and min(known) > 0 and max(known) / min(known) >= LOGARITHMIC_FROM


# Bars below their names: names stand above the bars, so that long ones fit on a telephone and in a column of a paper.


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

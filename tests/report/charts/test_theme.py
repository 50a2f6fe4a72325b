"""Do colours cover everything, stay apart, and can everything be read?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import pytest

from wsesim.machines.gpu.words import CATEGORIES as GPU_CATEGORIES
from wsesim.machines.wafer.metrics import CATEGORIES as WAFER_CATEGORIES
from wsesim.report.charts.breakdown import COLOURS
from wsesim.report.charts.theme import CATEGORY_COLOURS, THEMES, contrast, ink_on

READABLE = 4.5
"""Contrast that WCAG 2 asks of text at level AA. [-]"""
APART = 7.0
"""Distance in CIELAB; about 2 can be seen side by side. [-]"""

VISIONS = {
    "full": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
"""Machado, Oliveira and Fernandes 2009, over linear red, green and blue."""
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)


def dot(row: Sequence[float], other: Sequence[float]) -> float:
    """Product of two vectors."""
    return sum(one * two for one, two in zip(row, other, strict=True))


def seen(colour: str, vision: str) -> tuple[float, float, float]:
    """A colour in CIELAB as somebody sees it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    felt = [min(1.0, max(0.0, dot(row, linear))) for row in VISIONS[vision]]
    x, y, z = (math.cbrt(dot(row, felt) / white) for row, white in zip(TO_XYZ, WHITE, strict=True))
    return 116 * y, 500 * (x - y), 200 * (y - z)


def test_every_category_of_wafers_and_gpus_has_a_colour() -> None:
    assert set(CATEGORY_COLOURS) == set(WAFER_CATEGORIES) | set(GPU_CATEGORIES)


def test_every_memory_has_a_colour() -> None:
    assert {"weights", "gradients", "optimizer", "activations", "buffers"} <= set(COLOURS)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("categories", [WAFER_CATEGORIES, GPU_CATEGORIES])
def test_colours_of_one_bar_stay_apart(categories: dict[str, str], vision: str) -> None:
    nearest = min(
        (math.dist(seen(CATEGORY_COLOURS[one], vision), seen(CATEGORY_COLOURS[other], vision)), one, other)
        for one, other in combinations(categories, 2)
    )
    assert nearest[0] > APART, nearest


@pytest.mark.parametrize("name", THEMES)
def test_text_can_be_read(name: str) -> None:
    theme = THEMES[name]
    assert min(contrast(theme.text, theme.background), contrast(theme.quiet, theme.background)) >= READABLE


@pytest.mark.parametrize("colour", CATEGORY_COLOURS.values())
def test_labels_can_be_read_on_their_colour(colour: str) -> None:
    assert contrast(ink_on(colour), colour) >= READABLE

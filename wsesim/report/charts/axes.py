"""Titles of axes: the quantity, and its unit with the prefix that people would choose."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from wsesim.units import UNITS, show

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

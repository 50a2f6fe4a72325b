"""What is shown of an answer, as plain records and words: the same for a terminal, a page, a report and a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wsesim.units import add_up, show

MFU_DIFFERENCE = 0.02
"""MFU is printed for both ways of counting attention where they differ by more, relative. [-]"""


class Fact(NamedTuple):
    """One line of an answer.

    Attributes
    ----------
    is_key
        What was asked for first.
    """

    name: str
    text: str
    is_key: bool = False


class Share(NamedTuple):
    """One amount as a share of what there is.

    Attributes
    ----------
    value
        The amount with its unit.
    share
        1 is all of it. [-]
    """

    name: str
    value: str
    share: float
    meaning: str = ""


class Place(NamedTuple):
    """A memory that could be too small.

    Attributes
    ----------
    name
        What it is called.
    held_bytes
        By what is held. [bytes]
    capacity_bytes
        What fits. [bytes]
    """

    name: str
    held_bytes: Mapping[str, float]
    capacity_bytes: float

    @property
    def used_bytes(self) -> float:
        """All that is held. [bytes]"""
        return add_up(self.held_bytes.values())


def plural(count: int, word: str) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(2, "micro-batch")
    '2 micro-batches'
    """
    ending = "" if count == 1 else "es" if word.endswith("ch") else "s"
    return f"{count:,} {word}{ending}"


def show_mfu(mfu: float, mfu_causal: float, precision: str) -> str:
    """Model FLOP utilization in words, and the other way to count it where it differs."""
    differs = abs(mfu - mfu_causal) > MFU_DIFFERENCE * mfu
    bits = {"float32": "32", "fp8": "8", "mxfp8": "8", "nvfp4": "4"}.get(precision, "16")
    text = f"{mfu:.1%} of the dense {bits}-bit peak, attention counted in full"
    return text + (f"; {mfu_causal:.1%} counted causal" if differs else "")


def share_of(name: str, part: float, whole: float, unit: str, meaning: str = "") -> Share:
    """An amount with its unit over another one."""
    return Share(name, show(part, unit), part / whole, meaning)

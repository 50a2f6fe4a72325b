"""Bars of a terminal: eighths of a character where it has them, plain signs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.text import Text

BAR_WIDTH = 14


@dataclass(frozen=True)
class ShareBar:
    """A share of a whole as a bar.

    Attributes
    ----------
    share
        Between 0 and 1. [-]
    width
        Of the whole. [-]
    """

    share: float
    color: str = "cyan"
    width: int = BAR_WIDTH

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if options.ascii_only:
            yield Text("#" * round(self.width * min(1.0, self.share)), style=self.color)
        else:
            yield Bar(1.0, 0.0, self.share, width=self.width, color=self.color)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.width, self.width)

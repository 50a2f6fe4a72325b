"""Times of portfolios and goals: durations or dates in files, seconds from its start inside."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from wsesim.config import catalogue
from wsesim.errors import ConfigError
from wsesim.units import parse_quantity, show

DATES = ("%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%B %d %Y")
"""How people write dates beside 2026-03-01; none whose day and month could be mixed up."""


def seconds_after(value: Any, start: date | None, where: str, what: str = "portfolio") -> float:
    """A duration or a date as seconds after the start of a portfolio, or of a goal. [s]

    Examples
    --------
    >>> seconds_after("2 days", None, "deadline"), seconds_after("2026-01-03", date(2026, 1, 1), "deadline")
    (172800.0, 172800.0)
    """
    example = 'write a duration such as "30 days", or a date such as 2026-03-01'
    if isinstance(value, str):
        value = _date_or_seconds(value, f"{where} is {catalogue.value_shown(value)}; {example}")
    if isinstance(value, date):
        if start is None:
            raise ConfigError(
                f"{where} is a date, but the {what} has no start; add start = {value:%Y-%m-%d}, or give a duration"
            )
        after_s = (_moment(value) - _moment(start)).total_seconds()
        if after_s < 0.0:
            raise ConfigError(f"{where} is {value:%Y-%m-%d}, before the start on {start:%Y-%m-%d}; give a later date")
        value = after_s
    if isinstance(value, int | float) and value < 0.0:
        raise ConfigError(f"{where} is {show(value, 's')}, before the start; {example}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e12:
        raise ConfigError(f"{where} is {catalogue.value_shown(value)}; {example}")
    return float(value)


def as_date(value: Any) -> date | None:
    """A date as people write it; None for what is none.

    Examples
    --------
    >>> as_date("24 December 2026"), as_date("7 weeks")
    (datetime.datetime(2026, 12, 24, 0, 0), None)
    """
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or value.strip().isdecimal():
        return None
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        pass
    for written in DATES:
        try:
            return datetime.strptime(value.strip(), written)
        except ValueError:
            continue
    return None


def _date_or_seconds(text: str, otherwise: str) -> date | float:
    found = as_date(text)
    if found is not None:
        return found
    try:
        return parse_quantity(text, "s")
    except ValueError:
        raise ConfigError(otherwise) from None


def _moment(day: date) -> datetime:
    """Dates begin at midnight; time zones are not told apart."""
    return day.replace(tzinfo=None) if isinstance(day, datetime) else datetime.combine(day, time())


def moment_shown(start: date | None, after_s: float) -> str:
    """A time of a portfolio, as a date where it has a start."""
    if start is None:
        return show(after_s, "s") if after_s else "0"
    return f"{_moment(start) + timedelta(seconds=after_s):%Y-%m-%d %H:%M}"

"""Where every number comes from: the table that lies beside the plain floats.

In a file a number is either a bare value or a table with its origin::

    io_bytes_per_s = { value = "1.2 Tb/s", source = "cs2-datasheet", note = "12 x 100GbE" }
    power_w        = { value = "23 kW", range = ["15 kW", "23 kW"], source = "toms-hardware-andromeda" }

A file may name one `source` and `status` for all its numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wsesim.config.catalogue import sources, value_shown
from wsesim.errors import ConfigError, did_you_mean
from wsesim.units import parse_quantity, unit_of_field

STATUSES = {
    "vendor": "stated by the maker",
    "published": "a paper's or model card's own description",
    "measured": "measured by a third party",
    "derived": "computed from published figures",
    "calibrated": "fitted to published measurements by `wsesim calibrate`",
    "assumed": "not public; our assumption",
    "user": "set in the run file or on the command line",
}

_ORIGIN_KEYS = ("value", "source", "status", "note", "range")


@dataclass(frozen=True)
class Origin:
    """One number with its unit, its source and how far to trust it."""

    key: str
    value: Any
    unit: str
    status: str
    source: str
    note: str = ""
    low: float | None = None
    high: float | None = None
    place: str = ""


def status_of(origin: Origin) -> str:
    """Status of a number: its own, else that of its source."""
    if origin.status:
        return origin.status
    source = sources().get(origin.source)
    return source.status if source is not None else "user"


def is_number_table(value: Any) -> bool:
    """Whether a TOML value is ``{ value = ..., source = ... }``."""
    return isinstance(value, dict) and "value" in value


def _bounds(key: str, raw: Any, unit: str, place: str) -> tuple[float | None, float | None]:
    if raw is None:
        return None, None
    wrong = f"{place}: {key}.range is {value_shown(raw)}; write two numbers, [lowest, highest]"
    if not isinstance(raw, list) or len(raw) != 2 or any(isinstance(end, bool) for end in raw):
        raise ConfigError(wrong)
    try:
        low, high = (parse_quantity(end, unit) if isinstance(end, str) else float(end) for end in raw)
    except ValueError as error:
        raise ConfigError(f"{place}: {key}.range: {error}") from None
    except (TypeError, OverflowError):
        raise ConfigError(wrong) from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(wrong)
    return low, high


def _words(key: str, raw: dict[str, Any], names: tuple[str, ...], place: str) -> dict[str, str]:
    """The texts that stand beside a number, or at the top of a file."""
    for name in names:
        if not isinstance(raw.get(name, ""), str):
            raise ConfigError(f"{place}: {key}{name} is {value_shown(raw[name])}; write a text in quotes")
    found = {name: raw[name] for name in names if name in raw}
    status = found.get("status", "")
    if status and status not in STATUSES:
        raise ConfigError(f"{place}: {key}status is {value_shown(status)}; use one of {', '.join(STATUSES)}")
    return found


def _origin(key: str, raw: dict[str, Any], defaults: dict[str, str], place: str) -> Origin:
    unknown = sorted(set(raw) - set(_ORIGIN_KEYS))
    if unknown:
        hint = did_you_mean(unknown[0], _ORIGIN_KEYS)
        raise ConfigError(
            f"{place}: {key}.{unknown[0]} is not a known key{hint or '; a number has ' + ', '.join(_ORIGIN_KEYS)}"
        )
    words = {**defaults, **_words(f"{key}.", raw, ("source", "status", "note"), place)}
    unit = unit_of_field(key)
    low, high = _bounds(key, raw.get("range"), unit, place)
    status, source, note = (words.get(name, "") for name in ("status", "source", "note"))
    return Origin(key, raw["value"], unit, status, source, note, low, high, place)


def _is_quantity(key: str, value: Any, *, is_marked: bool = False) -> bool:
    """Whether a value is a number, or a string with the unit that the key promises.

    A string without unit may as well be a name; it is a number only where the file marks it as one.
    """
    if isinstance(value, str):
        unit = unit_of_field(key)
        try:
            return (unit != "-" or is_marked) and parse_quantity(value, unit) is not None
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def unwrap(
    raw: dict[str, Any], place: str, defaults: dict[str, str] | None = None, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """Split a raw table into plain values and the origins of its numbers.

    Parameters
    ----------
    raw
        As `tomllib` reads it.
    place
        File, for messages.
    defaults
        ``source`` and ``status`` of numbers that do not state their own; at the top of a file
        they are taken out of `raw`.
    prefix
        Dotted key of `raw` inside the file.

    Returns
    -------
    tuple
        The same nesting with plain values, and dotted key -> `Origin`.
    """
    at_top = defaults is None
    given = _words("", raw, ("source", "status"), place) if at_top else dict(defaults or {})
    plain: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, value in raw.items():
        if at_top and name in ("source", "status"):
            continue
        key = f"{prefix}{name}"
        if is_number_table(value):
            plain[name] = value["value"]
            origin = _origin(key, value, given, place)
            if _is_quantity(key, value["value"], is_marked=True):
                origins[key] = origin
        elif isinstance(value, dict):
            plain[name], below = unwrap(value, place, given, f"{key}.")
            origins |= below
        else:
            plain[name] = value
            if _is_quantity(key, value):
                origins[key] = _origin(key, {"value": value}, given, place)
    return plain, origins

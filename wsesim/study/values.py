"""The values of ``--vary KEY=VALUES``.

=====================  =====================================================
``1,2,4``              a list
``1..16``              all whole numbers, both ends included
``1..192*2``           doubling, as far as 192: 1, 2, 4 ... 128
``0.5..0.9+0.1``       by steps, the end included where a step meets it
``cs2,"0.6 Tb/s"``     names, quantities, and any other value as in ``--set``
=====================  =====================================================

These can be mixed: ``1..4,8,16..64*2``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from wsesim.config.catalogue import value_shown
from wsesim.config.settings import parse_setting
from wsesim.errors import InputError

MOST_POINTS = 1_000_000
"""Points of a sweep at most. [-]"""
_NUMBER = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_RANGE = re.compile(rf"^({_NUMBER})\.\.({_NUMBER})(?:([*+])({_NUMBER}))?$")
_OPENING, _CLOSING = "[{", "]}"
_EXAMPLE = "write for example cluster.num_systems=1,2,4 or 1..16 or 1..192*2 or 0.5..0.9+0.1"


def _split(text: str) -> list[str]:
    """Parts between commas that stand in no quotes and no brackets."""
    parts, start, depth, quote = [], 0, 0, ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in (*parts, text[start:])]


def _count(where: str, start: Decimal, end: Decimal, sign: str, by: Decimal) -> int:
    """How many values a range has; refuses those that never arrive."""
    if end < start:
        raise InputError(f"{where} ends before it starts; write the smaller number first")
    if sign == "*":
        if start <= 0 or by <= 1:
            raise InputError(f"{where} never grows to its end; start above 0, and multiply by more than 1")
        return int(math.log(end / start) / math.log(by) + 1e-9) + 1
    if by <= 0:
        raise InputError(f"{where} never reaches its end; step by more than 0")
    return int((end - start) / by) + 1


def _texts_of_range(where: str, match: re.Match[str]) -> Iterator[str]:
    numbers = [text.replace("_", "") for text in (match[1], match[2], match[4] or "1")]
    start, end, by = map(Decimal, numbers)
    is_whole = not any(sign in text for text in numbers for sign in ".eE")
    if match[3] is None and not is_whole:
        raise InputError(f"{where} has no step; add one, for example {match[1]}..{match[2]}+0.1")
    count = _count(where, start, end, match[3] or "+", by)
    if count > MOST_POINTS:
        raise InputError(f"{where} has {count:,} values, more than {MOST_POINTS:,}; take larger steps")
    for place in range(count):
        value = start * by**place if match[3] == "*" else start + by * place
        if value <= end:
            yield str(int(value)) if is_whole else repr(float(value))


def parse_values(key: str, text: str) -> list[Any]:
    """All values of one key, each once.

    Examples
    --------
    >>> parse_values("cluster.num_systems", "1..3,4..16*2")
    [1, 2, 3, 4, 8, 16]
    >>> parse_values("training.weight_sparsity", "0.5..0.8+0.1")
    [0.5, 0.6, 0.7, 0.8]
    >>> parse_values("cluster.system.wafer.io_bytes_per_s", '0.6 Tb/s, "1.2 Tb/s"')
    ['0.6 Tb/s', '1.2 Tb/s']
    """
    found = []
    for part in _split(text):
        where = f"--vary {key}: {value_shown(part)}"
        if not part:
            raise InputError(f"--vary {key}: {value_shown(text)} has an empty value; {_EXAMPLE}")
        match = _RANGE.match(part)
        if match is None and ".." in part and part[0] not in "\"'[{" and part[-1:].isdigit():
            raise InputError(f"{where} is no range; {_EXAMPLE}")
        texts = _texts_of_range(where, match) if match else [part]
        found += [parse_setting(f"{key}={one}")[1] for one in texts]
    return _once(found)


def _once(values: Sequence[Any]) -> list[Any]:
    return list({(type(value).__name__, repr(value)): value for value in values}.values())


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """All ``--vary`` options.

    Raises
    ------
    InputError
        With the option and what it should be.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"--vary {value_shown(text)}: is not KEY=VALUES; {_EXAMPLE}")
        if key in found:
            raise InputError(f"--vary {key}: is given twice; give all its values at once, separated by commas")
        found[key] = parse_values(key, values)
    return found


def _plain(key: str, value: Any) -> Any:
    """A value from Python as the command line would read it."""
    value = value.item() if hasattr(value, "item") else value  # numpy
    if isinstance(value, bool | int | float):
        return parse_setting(f"{key}={str(value).lower()}")[1]
    return list(value) if isinstance(value, tuple) else value


def values_of(vary: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Values of all keys, from the words of the command line or from Python sequences.

    Examples
    --------
    >>> values_of({"cluster.num_systems": "1..4*2", "cluster.software_release": [2.1], "name": ["mine"]})
    {'cluster.num_systems': [1, 2, 4], 'cluster.software_release': ['2.1'], 'name': ['mine']}
    """
    found: dict[str, list[Any]] = {}
    for key, values in vary.items():
        if isinstance(values, str):
            found[key] = parse_values(key, values)
            continue
        try:
            found[key] = _once([_plain(key, value) for value in values])
        except TypeError:
            raise InputError(
                f"vary {key}: is {value_shown(values)}; give a list of values, or a text as {_EXAMPLE}"
            ) from None
    empty = [key for key, values in found.items() if not values]
    if empty or not found:
        raise InputError(f"vary {empty[0] if empty else ''}: nothing to vary; {_EXAMPLE}")
    points = math.prod(map(len, found.values()))
    if points > MOST_POINTS:
        raise InputError(f"the sweep has {points:,} points, more than {MOST_POINTS:,}; vary less at once")
    return found

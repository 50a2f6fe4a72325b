"""What goes into a sweep and what comes out: values of ``--vary``, and finished points as a table in a file."""

from __future__ import annotations

import csv
import glob
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from wsesim.config.catalogue import value_shown
from wsesim.config.run import parse_setting
from wsesim.errors import InputError, need
from wsesim.study.ledger import is_alive
from wsesim.study.workers import ANSWERS

# The values of ``--vary KEY=VALUES``.
#
# =====================  =====================================================
# ``1,2,4``              a list
# ``1..16``              all whole numbers, both ends included
# ``1..192*2``           doubling, as far as 192: 1, 2, 4 ... 128
# ``0.5..0.9+0.1``       by steps, the end included where a step meets it
# ``cs2,"0.6 Tb/s"``     names, quantities, and any other value as in ``--set``
# =====================  =====================================================
#
# These can be mixed: ``1..4,8,16..64*2``.


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
    """All ``--vary`` options."""
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


# Rows of a sweep as a file: CSV, or Parquet where pyarrow is installed. A file is whole, or it is the old one.


Row = dict[str, Any]
SUFFIXES = (".csv", ".parquet")


def columns_of(rows: Iterable[Row], keys: Sequence[str]) -> list[str]:
    """Columns of a table: what varies, the answers in a fixed order, the breakdown, the message."""
    found = {name for row in rows for name in row}
    breakdown = sorted(name for name in found if name.startswith(("breakdown_", "use_")))
    return [*keys, "status", *(name for name in ANSWERS if name in found), *breakdown, "message"]


def check_out(out: Path) -> None:
    """Refuse a file that could not be written, before anything is run."""
    if out.suffix not in SUFFIXES:
        raise InputError(f"--out {out}: ends in {out.suffix or 'nothing'}; name a file that ends in .csv or .parquet")
    if out.suffix == ".parquet":
        need("pyarrow", "parquet", f"--out {out}")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file in it")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
        _remove_leftovers(out)
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be written ({error.strerror}); check the permissions of {out.parent}"
        ) from None


def _remove_leftovers(out: Path) -> None:
    """Halves of a table that a process left when it was killed."""
    for path in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        pid = path.name.split(".")[-2]
        if pid.isdigit() and not is_alive(int(pid)):
            path.unlink(missing_ok=True)


def write(out: Path, rows: Sequence[Row], keys: Sequence[str], kind: str = "") -> None:
    """Write a table beside the old one, and put it in its place when it is complete; `kind` as a suffix."""
    columns = columns_of(rows, keys)
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        if (kind or out.suffix) == ".parquet":
            _write_parquet(beside, rows, columns)
        else:
            _write_csv(beside, rows, columns)
        beside.replace(out)
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be written ({error.strerror or error}); the ledger has all finished rows: check free "
            "space and the folder, and repeat the command"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def _write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([row.get(name) for name in columns] for row in rows)
        file.flush()
        os.fsync(file.fileno())


def _same_kind(values: list[Any]) -> list[Any]:
    """A column for Parquet: numbers, or truth values, or texts, but no mixture."""
    kinds = {bool if isinstance(one, bool) else float if isinstance(one, int | float) else str for one in values} - {
        str
    }
    plain = [one for one in values if one is not None]
    is_mixed = len(kinds) > 1 or (kinds and any(not isinstance(one, int | float) for one in plain))
    if not is_mixed and not any(isinstance(one, list | dict) for one in plain):
        return values
    return [None if one is None else str(one) for one in values]


def _write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    need("pyarrow", "parquet", "a .parquet file")
    import pyarrow
    from pyarrow import parquet

    arrays = {name: pyarrow.array(_same_kind([row.get(name) for row in rows])) for name in columns}
    parquet.write_table(pyarrow.table(arrays), path)

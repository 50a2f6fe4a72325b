"""Rows of a sweep as a file: CSV, or Parquet where pyarrow is installed. A file is whole, or it is the old one."""

from __future__ import annotations

import csv
import glob
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wsesim.errors import InputError, need
from wsesim.study.ledger import is_alive
from wsesim.study.workers import ANSWERS

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

"""`python -m tests.record --check | --write`: what a user would see change, and the record of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch

from tests.record import change, file
from tests.record.questions import QUESTIONS, asked

MOST_LINES = 20
"""Of one file that are printed, unless all are asked for. [-]"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.record", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="say what differs from the record; exit code 1 if anything")
    what.add_argument("--write", action="store_true", help="record what is said now; prints the same")
    what.add_argument("--list", action="store_true", help="print the questions")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="questions whose name fits, such as 'run/*gpu*'")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes; all cores")
    parser.add_argument("--all", action="store_true", help=f"print every change, not {MOST_LINES} of a file")
    parser.add_argument("--times", action="store_true", help="print how long each question takes")
    return parser.parse_args()


def main() -> int:
    """Ask, compare, write."""
    wanted = _arguments()
    names = [name for name in QUESTIONS if fnmatch(name, wanted.only) or wanted.only in name]
    if wanted.list:
        print("\n".join(names))
        return 0
    found: list[tuple[str, Sequence[change.Change]]] = []
    for name, new, took_s in asked(names, wanted.jobs):
        old = file.read(name)
        if differences := list(change.changes(old, new)):
            found.append((name, differences))
            _print(name, differences, is_all=wanted.all)
        if wanted.write and differences:
            file.write(name, change.settled(old, new))
        if wanted.times:
            print(f"{took_s:7.2f} s  {name}", file=sys.stderr)
    found += _unasked(wanted.only, is_written=wanted.write)
    print(change.summary(found) or f"nothing changed in {len(names)} files")
    return int(bool(found) and wanted.check)


def _print(name: str, differences: Sequence[change.Change], *, is_all: bool) -> None:
    print(name)
    shown = differences if is_all else differences[:MOST_LINES]
    print("\n".join(f"  {one}" for one in shown))
    if len(shown) < len(differences):
        print(f"  and {len(differences) - len(shown):,} more; --all prints them")


def _unasked(only: str, *, is_written: bool) -> list[tuple[str, Sequence[change.Change]]]:
    """Files that nobody asks for any more."""
    if only != "*":
        return []
    found: list[tuple[str, Sequence[change.Change]]] = []
    for path in sorted(file.HOME.rglob("*.json")):
        name = path.relative_to(file.HOME).with_suffix("").as_posix()
        if path != file.path_of(name) or name in QUESTIONS:
            continue
        found.append((name, [change.Change("the file", name, change.MISSING)]))
        _print(*found[-1], is_all=True)
        if is_written:
            path.unlink()
    return found


if __name__ == "__main__":
    sys.exit(main())

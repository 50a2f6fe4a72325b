"""A question to the product, and its answer as plain data."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import wsesim
from tests.front_door import call

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"wall_s": "(time)", "version": "(version)"}
"""Keys of answers that differ from time to time, and what is recorded instead."""
TIME = re.compile(r"( events,\s+in)\s+[\d.,]+ (?:us|ms|s|min)\b")
MOMENT = re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d\b")


class Ask(Protocol):
    """What has a name, and an answer."""

    @property
    def name(self) -> str:
        """Folder and name of the file that holds the answer."""
        ...

    def answer(self) -> dict[str, Any]:
        """Ask, and say what came back."""
        ...


@dataclass(frozen=True)
class Question:
    """Commands, one after the other in an empty folder.

    Attributes
    ----------
    name
        Folder and name of the file that holds the answer.
    commands
        As they are typed, without ``wsesim``.
    files
        What lies in the folder before, by name.
    reads
        What is read of files that the commands write: readers by file name.
    """

    name: str
    commands: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    reads: Mapping[str, Callable[[Path], Any]] = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """Ask, and say what came back."""
        with folder(self.files) as place:
            said = [_said(shlex.split(command)) for command in self.commands]
            found: dict[str, Any] = {"commands": said}
            if self.reads:
                found["files"] = {name: read(place / name) for name, read in self.reads.items()}
        return found


@dataclass(frozen=True)
class Refused:
    """Commands that are refused, each in a folder of its own: what is wrong, words, files."""

    name: str
    cases: Sequence[tuple[str, Sequence[str], Mapping[str, str | bytes]]]

    def answer(self) -> dict[str, Any]:
        """Ask, and say what came back."""
        found = []
        for case, words, files in self.cases:
            with folder(files):
                found.append({"case": case, **_said(words)})
        return {"commands": found}


@dataclass(frozen=True)
class Schema:
    """A JSON Schema, without the definitions that stand in smaller ones as they are."""

    name: str
    kind: str
    smaller: Sequence[str]

    def answer(self) -> dict[str, Any]:
        """Ask, and say what came back."""
        schema = _schema(self.kind)
        for kind in self.smaller:
            known = _schema(kind)["definitions"]
            for name, definition in schema["definitions"].items():
                if known.get(name) == definition:
                    schema["definitions"][name] = f"as in {kind}"
        return {"command": f"wsesim schema {self.kind}", "out": schema}


def _schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_schema_text(kind))
    return found


@cache
def _schema_text(kind: str) -> str:
    return call("schema", kind).out


@contextmanager
def folder(files: Mapping[str, str | bytes]) -> Iterator[Path]:
    """A folder of one's own to work in, with these files, and an environment that is the same everywhere."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, {"NO_COLOR": "1", "COLUMNS": "100"}):
        place = Path(name).resolve() / "here"  # a run without a name is called after its folder
        place.mkdir()
        for file, content in files.items():
            path = place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.chdir(place)
        try:
            yield place
        finally:
            os.chdir(before)


def _said(words: Sequence[str]) -> dict[str, Any]:
    """What a command leaves behind: exit code, standard output (as JSON where it was asked for), standard error."""
    outcome = call(*words)
    out: Any = outcome.out
    is_json = "--json" in words and out.lstrip().startswith(("{", "["))
    shown = cleaned(json.loads(out)) if is_json else lines_of(out)
    said = {
        "command": shlex.join(["wsesim", *words]),
        "exit_code": outcome.code,
        "out": shown,
        "err": lines_of(outcome.err),
    }
    return {key: value for key, value in said.items() if value not in ([], "")}


def lines_of(text: str) -> list[str]:
    """Lines of a text, without blanks at their ends, without the version and without the time that a simulation took."""
    told = TIME.sub(r"\1 (time)", MOMENT.sub("(moment)", text).replace(wsesim.__version__, LEFT_OUT["version"]))
    return [line.rstrip() for line in told.splitlines()]


def cleaned(data: Any) -> Any:
    """The same without what differs from time to time."""
    if isinstance(data, dict):
        return {key: LEFT_OUT[key] if key in LEFT_OUT else cleaned(value) for key, value in data.items()}
    return [cleaned(value) for value in data] if isinstance(data, list) else data


def table(path: Path) -> dict[str, Any]:
    """A CSV file: columns, and rows in which numbers are numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    return {"columns": columns, "rows": [[_cell(cell) for cell in row] for row in rows]}


def _cell(text: str) -> str | float:
    try:
        return json.loads(text) if text[:1] in "-0123456789" and text else text
    except ValueError:
        return text


def text(path: Path) -> list[str]:
    """A text file by lines."""
    return lines_of(path.read_text(encoding="utf-8"))


def as_json(path: Path) -> Any:
    """A JSON file."""
    return cleaned(json.loads(path.read_text(encoding="utf-8")))

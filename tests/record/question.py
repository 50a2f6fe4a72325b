"""A question to the product, and its answer as plain data."""

from __future__ import annotations

import io
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from tests.front_door import call
from tests.record import page
from tests.record.reading import cleaned, lines_of, words_of_page

ROOT = Path(__file__).resolve().parents[2]


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
                found["files"] = {
                    name: read(place / name) if (place / name).exists() else "not written"
                    for name, read in self.reads.items()
                }
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
class Script:
    """Python with the public names of wsesim, and what it leaves in ``found``, and as HTML in ``shown``."""

    name: str
    code: str
    files: Mapping[str, str | bytes] = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """Run it, and say what it printed and found."""
        names: dict[str, Any] = {}
        printed = io.StringIO()
        with folder(self.files), redirect_stdout(printed):
            exec(compile(self.code, self.name, "exec"), names)
        told: dict[str, Any] = {"code": self.code.splitlines(), "out": lines_of(printed.getvalue())}
        if "found" in names:
            told["found"] = cleaned(names["found"])
        if "shown" in names:
            told["shown"] = {name: words_of_page(html)["lines"] for name, html in names["shown"].items()}
        return told


@dataclass(frozen=True)
class Pages:
    """Addresses of the page of `wsesim serve`, asked by a browser or by its form (``PART`` in front)."""

    name: str
    addresses: Sequence[str]

    def answer(self) -> dict[str, Any]:
        """Ask, and say what came back."""
        return {"answers": [page.answer(address) for address in self.addresses]}


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
    outcome = call(*(words[: words.index(">")] if ">" in words else words))
    if ">" in words:  # as a shell would
        Path(words[-1]).write_text(outcome.out, encoding="utf-8")
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

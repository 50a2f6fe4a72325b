"""`wsesim schema`: which kinds of files have a schema, and where schemas are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from wsesim.config.json_schema import kinds, schema
from wsesim.errors import InputError
from wsesim.report import files
from wsesim.view import Note, Section, Table


def listing() -> Section:
    """Every kind of file, and what it describes."""
    table = Table("kinds of files", ("", "~"), tuple(as_dict().items()))
    words = "`wsesim schema KIND` prints a schema, `wsesim schema --out FOLDER` writes all"
    return Section("kinds", parts=(Note("kinds of files", "key"), table, Note(""), Note(words, "aside")))


def as_dict() -> dict[str, str]:
    """Every kind of file, and what it describes."""
    return {kind: text for kind, (text, _) in kinds().items()}


def write(kind: str | None, out: Path) -> Iterator[Path]:
    """Write one schema to a file, or all into a folder, which is made; where they were written."""
    if kind is not None:
        files.write(out, _text(kind))
        yield out
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {out}: is no folder, and none can be made ({error.strerror}); choose another one"
        ) from None
    for name in kinds():
        path = out / f"{name}.schema.json"
        files.write(path, _text(name))
        yield path


def _text(kind: str) -> str:
    return json.dumps(schema(kind), indent=1) + "\n"

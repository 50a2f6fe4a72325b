"""`wsesim schema`: JSON Schema of configuration files, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, print_json, print_sections


def schema(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Kind of file; without it, all kinds are named.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write to this file; without KIND, all schemas into this folder."),
    ] = None,
    json: AsJson = False,
) -> None:
    """JSON Schema of configuration files, for editors: keys, units, limits, meanings."""
    from wsesim.config import json_schema
    from wsesim.report.pages import schemas as report

    if kind is None and out is None and json:
        print_json(report.as_dict())
    elif kind is None and out is None:
        print_sections([report.listing()])
    elif out is None:
        print_json(json_schema.schema(str(kind)))
    elif json:
        print_json({"written": [str(path) for path in report.write(kind, out)]})
    else:
        for path in report.write(kind, out):
            typer.echo(f"written to {path}", err=True)

"""`wsesim validate`: published measurements against predictions."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, print_json, print_sections


def validate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="SET",
            help="One set (see the output without it), cerebras or gpu for all of a kind, or a CSV file of your own.",
        ),
    ] = None,
    rows: Annotated[
        bool | None,
        typer.Option(
            "--rows/--no-rows", help="Print every row, or only the sets; GPU rows by default only of one set."
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Predict with this calibration: a catalogue name or a .toml file. Without SET, of wafer-scale systems.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Published measurement, prediction and error; exit code 1 past the stated tolerance.

    Without SET every row is simulated, those of GPU clusters too: 10 to 30 seconds.
    """
    from wsesim.report.pages import validation

    found = validation.gather(what, calibration)
    if json:
        print_json(validation.as_dict(found))
    else:
        print_sections(validation.sections(found, rows=rows))
    validation.check(found)

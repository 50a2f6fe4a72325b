"""`wsesim explain` and `wsesim list`: what the catalogue holds."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, console, print_json


def explain(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Catalogue entry: a system, GPU, cluster, model, calibration or run.")
    ],
    json: AsJson = False,
) -> None:
    """Every number of a catalogue entry: value, unit, status, source."""
    from wsesim.report.pages import explain as report

    rows = report.gather(name)
    if json:
        print_json(report.as_dicts(rows))
    else:
        report.print_rows(console(), rows)


def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="systems, gpus, clusters, models, runs, calibrations or laws.")
    ] = None,
    json: AsJson = False,
) -> None:
    """What the catalogue holds."""
    from wsesim.report.pages import listing

    if json:
        print_json(listing.as_dict(kind))
    else:
        listing.print_catalogue(console(), kind)

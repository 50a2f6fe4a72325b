"""`wsesim explain` and `wsesim list`: what the catalogue holds."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, console, print_json


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Catalogue entry: a system, GPU, cluster, model, calibration or run; or a model file such as config.json.",
        ),
    ],
    json: AsJson = False,
) -> None:
    """Every number of a catalogue entry: value, unit, status, source. Of a model file, how each field was understood."""
    from wsesim.report.pages import explain as report

    if report.is_file(name):
        found = report.of_file(name)
        if json:
            print_json(report.file_dict(found))
        else:
            report.print_file(console(), found)
        return
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

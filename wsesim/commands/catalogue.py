"""`wsesim explain` and `wsesim list`: what the catalogue holds."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, print_json, print_sections


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
    from wsesim.report.pages import catalogue as report

    if report.is_file(name):
        found = report.of_file(name)
        if json:
            print_json(report.file_dict(found))
        else:
            print_sections(report.file_sections(found))
        return
    rows = report.gather(name)
    if json:
        print_json(report.as_dicts(rows))
    else:
        print_sections(report.sections(rows))


def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="systems, gpus, clusters, models, runs, calibrations or laws.")
    ] = None,
    json: AsJson = False,
) -> None:
    """What the catalogue holds."""
    from wsesim.report.pages import catalogue as report

    if json:
        print_json(report.titles(kind))
    else:
        print_sections(report.listing(kind))

"""`wsesim compare`: runs side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Form, Format, console, print_form, print_json


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run files or names of catalogue runs, wafer-scale or GPU; the others are compared with the first.",
        ),
    ],
    json: AsJson = False,
    form: Format = Form.text,
    same_time: Annotated[
        bool,
        typer.Option(
            "--same-time", help="Search how many GPUs of every other GPU run take as long to train as the first run."
        ),
    ] = False,
) -> None:
    """Runs side by side, wafer-scale and GPU: throughput, time, energy, cost, memory, parallelism."""
    from wsesim.study.side_by_side import compare as put_side_by_side

    compared = put_side_by_side(*runs, same_time=same_time)
    if json or form is Form.json:
        print_json(compared.to_dict())
        return
    if form is not Form.text:
        print_form(compared.to_dict()["runs"], form)
        return
    from wsesim.report.pages.compare import print_comparison

    print_comparison(console(), compared)

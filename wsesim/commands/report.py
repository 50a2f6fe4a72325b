"""`wsesim report`: a page with pictures, or one picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Limit, PayingOption, Settings, limited, paying_settings, print_json


class FormatName(StrEnum):
    """What is written."""

    html = "html"
    svg = "svg"
    png = "png"
    pdf = "pdf"


def report(
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write; its ending says the format.")],
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Run files or names of catalogue runs; several stand side by side."),
    ] = None,
    settings: Settings = None,
    paying: PayingOption = None,
    gpu_cluster: Annotated[
        str, typer.Option(metavar="NAME", help="GPU cluster beside the scaling of wafer-scale runs, or none.")
    ] = "",
    kind: Annotated[
        FormatName | None, typer.Option("--format", help="html, or one picture as svg, png or pdf; by --out.")
    ] = None,
    picture: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="breakdown, scaling, efficiency, timeline, memory, utilization, totals, loss or validation.",
        ),
    ] = "",
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of runs: the ledger of a sweep, or the table that it wrote."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(metavar="NAME", help="As `wsesim ledger list` shows it; the last one by default.")
    ] = None,
    x: Annotated[
        list[str] | None, typer.Option("--x", metavar="KEY", help="Varied key that becomes an axis; two at most.")
    ] = None,
    y: Annotated[str, typer.Option("--y", metavar="METRIC", help="Column of the sweep that is drawn.")] = "",
    limit: Limit = None,
    json: AsJson = False,
) -> None:
    """A report as one HTML file that works offline, or one picture for a paper; of runs, or of a sweep."""
    from wsesim.report import write_report
    from wsesim.units import show

    limited(limit)
    wanted = write_report.Wanted(
        out=out,
        kind=kind and kind.value,
        picture=picture,
        runs=tuple(runs or ()),
        settings=(*(settings or ()), *paying_settings(paying)),
        gpu_cluster=gpu_cluster,
        ledger=ledger,
        sweep=sweep,
        axes=tuple(x or ()),
        metric=y,
    )
    size_bytes = write_report.of(wanted)
    if json:
        print_json({"out": str(out), "format": wanted.format, "size_bytes": size_bytes})
    else:
        where = "; open it in a browser" if wanted.format == write_report.HTML else ""
        typer.echo(f"{out}: {show(size_bytes, 'bytes')}{where}")

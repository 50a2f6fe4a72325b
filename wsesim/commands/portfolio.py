"""`wsesim portfolio`: jobs that share a cluster."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Limit, OutPage, PayingOption, console, limited, print_json, write_page


class PolicyName(StrEnum):
    """Who goes first."""

    first_come = "first-come"
    priority = "priority"
    deadline = "deadline"


def portfolio(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Portfolio file: a cluster and its jobs.")],
    policy: Annotated[PolicyName, typer.Option(help="Which job goes first.")] = PolicyName.first_come,
    systems: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, metavar="N", help="Systems, or GPUs, instead of the file's.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help='Search the fewest systems that are done by then: "45 days", or a date such as 2026-03-01.',
        ),
    ] = None,
    backfill: Annotated[
        bool, typer.Option("--backfill/--no-backfill", help="Let jobs go ahead of others that they do not delay.")
    ] = True,
    limit: Limit = None,
    paying: PayingOption = None,
    out: OutPage = None,
    json: AsJson = False,
) -> None:
    """Jobs that share a cluster: who runs when, deadlines, how many systems they need; exit code 1 past a deadline."""
    from wsesim.report.pages import portfolio as report
    from wsesim.study.shared_cluster import portfolio as simulate

    limited(limit)
    found = simulate(file, policy.value, num_systems=systems, by=by, backfill=backfill, paying=paying)
    if json:
        print_json(found.to_dict())
    else:
        from wsesim.report.terminal import print_sections

        screen = console()
        drawn = report.chart(found.schedule, screen.width, ascii_only=screen.options.ascii_only)
        print_sections(screen, [*report.sections(found), drawn])
    asked = ("--systems", systems) if systems else ("--by", by) if by else ()
    fill = () if backfill else ("--no-backfill",)
    paid = () if paying is None else ("--paying", paying)
    write_page(out, report.sections(found), "portfolio", file, "--policy", policy.value, *asked, *fill, *paid)
    report.check(found)

"""`wsesim sensitivity`: what each number that nobody published, and each constant of the machine, does to the step."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import AsJson, Limit, RunArgument, Settings, limited, print_json, print_sections, told_first


def sensitivity(
    run: RunArgument,
    settings: Settings = None,
    limit: Limit = None,
    json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="Show numbers that change nothing as well.")] = False,
) -> None:
    """What each assumed or calibrated number at the ends of its range, and 10 % of each machine constant, does to the step."""
    from wsesim.config.loader import load_any
    from wsesim.report.progress import bar
    from wsesim.study.sensitivity import sensitivity as find

    limited(limit)
    read = load_any(run, settings or ())
    with told_first(read), bar("numbers", None) as advance:
        found = find(read, advance)
    if json:
        print_json(found.to_dict())
        return
    from wsesim.report.pages.sensitivity import sections

    print_sections(sections(found, every=every))

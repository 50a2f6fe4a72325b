"""`wsesim lifetime`: the whole job with failures."""

from __future__ import annotations

from typing import Annotated

import typer

from wsesim.commands.common import (
    AsJson,
    Limit,
    OutPage,
    RunArgument,
    Settings,
    limited,
    print_json,
    print_sections,
    write_page,
)

Replications = Annotated[
    int | None, typer.Option(min=1, max=100_000, metavar="N", help="Simulate the job so many times.")
]
Seed = Annotated[int | None, typer.Option(min=0, metavar="S", help="Of all random numbers: same seed, same failures.")]


def lifetime(
    run: RunArgument,
    settings: Settings = None,
    replications: Replications = None,
    seed: Seed = None,
    limit: Limit = None,
    out: OutPage = None,
    json: AsJson = False,
) -> None:
    """The whole job with compile, checkpoints, failures and restarts: calendar time, goodput, what each cause took."""
    from wsesim.config.loader import load_any
    from wsesim.report.progress import bar
    from wsesim.study.lifetime import lifetime as simulate_lifetime

    limited(limit)
    read = load_any(run, settings or ())
    with bar("lives", replications or read.job.replications) as advance:
        life = simulate_lifetime(read, replications=replications, seed=seed, progress=advance)
        advance("checkpoint intervals", 0)
        life.intervals  # noqa: B018  it is simulated where it is first asked for
    from wsesim.report.pages.lifetime import sections

    if json:
        print_json(life.to_dict())
    else:
        print_sections(sections(life))
    changes = [word for one in settings or () for word in ("--set", one)]
    given = (("--replications", replications), ("--seed", seed))
    said = [word for key, value in given if value is not None for word in (key, value)]
    write_page(out, sections(life), "lifetime", run, *changes, *said)

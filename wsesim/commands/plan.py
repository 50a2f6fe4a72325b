"""`wsesim plan`, `wsesim lifetime` and `wsesim portfolio`: goals, whole jobs, jobs that share a cluster."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from wsesim.commands.common import (
    AsJson,
    Form,
    Format,
    Limit,
    OutPage,
    PayingOption,
    RunArgument,
    Settings,
    console,
    limited,
    print_figures,
    print_json,
    print_sections,
    write_page,
)

# `wsesim plan`: which clusters meet a goal.


def plan(
    goal: Annotated[str | None, typer.Argument(metavar="GOAL", help="Goal file; or say it with the options.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What is trained: a catalogue model, config.json, params.yaml, or a run."),
    ] = None,
    target_loss: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Loss to reach, by a scaling law, instead of a model.")
    ] = None,
    target_accuracy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK=SHARE", help="Zero-shot accuracy to reach, instead of a model: hellaswag=0.5. Repeatable."
        ),
    ] = None,
    law: Annotated[str | None, typer.Option(metavar="LAW", help="pile (default), cerebras-gpt or chinchilla.")] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="COUNT", help='Training tokens, or "chinchilla": 20 per parameter.')
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(min=1, metavar="TOKENS", help="Tokens of a sequence; 2,048, or what a model's file says."),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help='Time to train at most: "7 weeks", or a date (--start).')
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="USD", help='Cost at most, for example "$100k".')] = None,
    power: Annotated[str | None, typer.Option(metavar="POWER", help='Power at most, for example "500 kW".')] = None,
    cluster: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Cluster that may be used; NAME:64,128 for these counts. Repeatable."),
    ] = None,
    limit: Limit = None,
    start: Annotated[
        str | None, typer.Option(metavar="DATE", help="Date from which a deadline that is a date counts.")
    ] = None,
    release: Annotated[
        str | None, typer.Option("--software-release", metavar="NAME", help="Software release of wafer-scale clusters.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--software-profile", metavar="NAME", help="Software profile of GPU clusters.")
    ] = None,
    paying: PayingOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List every number of devices that was tried and refused.")
    ] = False,
    out: OutPage = None,
    json: AsJson = False,
    form: Format = Form.text,
) -> None:
    """Which clusters, and how large, meet a goal: the smallest, the cheapest, the fastest, and what binds."""
    from wsesim.report.pages.goal import sections
    from wsesim.report.terminal import bar
    from wsesim.study.plan import accuracies
    from wsesim.study.plan import plan as search

    limited(limit)
    asked: dict[str, Any] = {
        "model": model,
        "target_loss": target_loss,
        "law": law,
        "tokens": tokens,
        "sequence_length": sequence_length,
        "deadline": deadline,
        "budget": budget,
        "power": power,
        "start": start,
        "software_release": release,
        "software_profile": profile,
        "paying": paying,
    }
    wanted = accuracies(target_accuracy) if target_accuracy else None
    with bar("planning") as advance:
        found = search(goal, target_accuracy=wanted, clusters=cluster or (), progress=advance, **asked)
    if json or form is Form.json:
        print_json(found.to_dict())
    elif form is Form.csv:
        print_figures(_options(found.to_dict()))
    else:
        print_sections(sections(found, is_verbose=verbose), form)
    many = {"target_accuracy": target_accuracy or (), "cluster": cluster or ()}
    write_page(out, sections(found, is_verbose=verbose), "plan", *([goal] if goal else []), *_as_words(asked | many))
    if not found.is_met:
        raise typer.Exit(1)


def _as_words(asked: dict[str, Any]) -> list[str]:
    """Options as they stand on a command line; those that were left out are none."""
    values = {
        key: value if isinstance(value, list | tuple) else (value,) for key, value in asked.items() if value is not None
    }
    return [word for key, each in values.items() for one in each for word in (f"--{key.replace('_', '-')}", str(one))]


def _options(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The ways that an answer offers: the fastest, the cheapest, the smallest of each cluster, and those between."""
    found = [("fastest", answer["fastest"]), ("cheapest", answer["cheapest"])]
    found += [(key, one) for key in ("smallest", "front", "would_do") for one in answer[key]]
    return [{"name": name} | option for name, option in found if option]


# `wsesim lifetime`: the whole job with failures.


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
    from wsesim.report.terminal import bar
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


# `wsesim portfolio`: jobs that share a cluster.


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
    from wsesim.report.pages import goal as report
    from wsesim.study.portfolio import portfolio as simulate

    limited(limit)
    found = simulate(file, policy.value, num_systems=systems, by=by, backfill=backfill, paying=paying)
    if json:
        print_json(found.to_dict())
    else:
        from wsesim.report.terminal import print_sections

        screen = console()
        drawn = report.chart(found.schedule, screen.width, ascii_only=screen.options.ascii_only)
        print_sections(screen, [*report.portfolio_sections(found), drawn])
    asked = ("--systems", systems) if systems else ("--by", by) if by else ()
    fill = () if backfill else ("--no-backfill",)
    paid = () if paying is None else ("--paying", paying)
    write_page(out, report.portfolio_sections(found), "portfolio", file, "--policy", policy.value, *asked, *fill, *paid)
    report.check(found)

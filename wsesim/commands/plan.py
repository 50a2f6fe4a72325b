"""`wsesim plan`, `wsesim lifetime` and `wsesim portfolio`: goals, whole jobs, jobs that share a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsesim.commands.common import (
    A_PATH,
    Form,
    command,
    console,
    format_option,
    json_option,
    limit_option,
    limited,
    page_option,
    paying_option,
    print_figures,
    print_json,
    print_sections,
    run_argument,
    set_option,
    write_page,
)

if TYPE_CHECKING:
    from wsesim.study.portfolio import Policy

# `wsesim plan`: which clusters meet a goal.


@command("plan")
@click.argument("goal", required=False, metavar="[GOAL]", help="Goal file; or say it with the options.")
@click.option("--model", metavar="NAME", help="What is trained: a catalogue model, config.json, params.yaml, or a run.")
@click.option("--target-loss", type=float, metavar="LOSS", help="Loss to reach, by a scaling law, instead of a model.")
@click.option(
    "--target-accuracy",
    multiple=True,
    metavar="TASK=SHARE",
    help="Zero-shot accuracy to reach, instead of a model: hellaswag=0.5. Repeatable.",
)
@click.option("--law", metavar="LAW", help="pile (default), cerebras-gpt or chinchilla.")
@click.option("--tokens", metavar="COUNT", help='Training tokens, or "chinchilla": 20 per parameter.')
@click.option(
    "--sequence-length",
    type=click.IntRange(1),
    metavar="TOKENS",
    help="Tokens of a sequence; 2,048, or what a model's file says.",
)
@click.option("--deadline", metavar="TIME", help='Time to train at most: "7 weeks", or a date (--start).')
@click.option("--budget", metavar="USD", help='Cost at most, for example "$100k".')
@click.option("--power", metavar="POWER", help='Power at most, for example "500 kW".')
@click.option(
    "--cluster",
    multiple=True,
    metavar="NAME",
    help="Cluster that may be used; NAME:64,128 for these counts. Repeatable.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of the model, the training, or of all clusters that have it: training.precision=float32. Repeatable.",
)
@limit_option
@click.option("--start", metavar="DATE", help="Date from which a deadline that is a date counts.")
@click.option("--software-release", metavar="NAME", help="Software release of wafer-scale clusters.")
@click.option("--software-profile", metavar="NAME", help="Software profile of GPU clusters.")
@paying_option
@click.option("--verbose", "-v", is_flag=True, help="List every number of devices that was tried and refused.")
@page_option
@json_option
@format_option
def plan(
    goal: str | None,
    target_accuracy: tuple[str, ...],
    cluster: tuple[str, ...],
    settings: tuple[str, ...],
    limit: int | None,
    verbose: bool,
    out: Path | None,
    json: bool,
    form: Form,
    **asked: Any,
) -> None:
    """Which clusters, and how large, meet a goal: the smallest, the cheapest, the fastest, and what binds."""
    from wsesim.report.pages.goal import sections
    from wsesim.report.terminal import bar
    from wsesim.study.plan import accuracies
    from wsesim.study.plan import plan as search

    limited(limit)
    wanted = accuracies(target_accuracy) if target_accuracy else None
    with bar("planning") as advance:
        found = search(goal, target_accuracy=wanted, clusters=cluster, settings=settings, progress=advance, **asked)
    if json or form is Form.json:
        print_json(found.to_dict())
    elif form is Form.csv:
        print_figures(_options(found.to_dict()))
    else:
        print_sections(sections(found, is_verbose=verbose), form)
    many = {"target_accuracy": target_accuracy, "cluster": cluster, "set": settings}
    write_page(out, sections(found, is_verbose=verbose), "plan", *([goal] if goal else []), *_as_words(asked | many))
    if not found.is_met:
        raise SystemExit(1)


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


replications_option = click.option(
    "--replications", type=click.IntRange(1, 100_000), metavar="N", help="Simulate the job so many times."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), metavar="S", help="Of all random numbers: same seed, same failures."
)


@command("lifetime")
@run_argument
@set_option
@replications_option
@seed_option
@limit_option
@page_option
@json_option
def lifetime(
    run: str,
    settings: tuple[str, ...],
    replications: int | None,
    seed: int | None,
    limit: int | None,
    out: Path | None,
    json: bool,
) -> None:
    """The whole job with compile, checkpoints, failures and restarts: calendar time, goodput, what each cause took."""
    from wsesim.config.loader import load_any
    from wsesim.report.terminal import bar
    from wsesim.study.lifetime import lifetime as simulate_lifetime

    limited(limit)
    read = load_any(run, settings)
    with bar("lives", replications or read.job.replications) as advance:
        life = simulate_lifetime(read, replications=replications, seed=seed, progress=advance)
        advance("checkpoint intervals", 0)
        life.intervals  # noqa: B018  it is simulated where it is first asked for
    from wsesim.report.pages.lifetime import sections

    if json:
        print_json(life.to_dict())
    else:
        print_sections(sections(life))
    changes = [word for one in settings for word in ("--set", one)]
    given = (("--replications", replications), ("--seed", seed))
    said = [word for key, value in given if value is not None for word in (key, value)]
    write_page(out, sections(life), "lifetime", run, *changes, *said)


# `wsesim portfolio`: jobs that share a cluster.


POLICIES = ("first-come", "priority", "deadline")
"""Who goes first."""


@command("portfolio")
@click.argument("file", type=A_PATH, metavar="FILE", help="Portfolio file: a cluster and its jobs.")
@click.option(
    "--policy", type=click.Choice(POLICIES, case_sensitive=False), default="first-come", help="Which job goes first."
)
@click.option(
    "--systems", type=click.IntRange(1, 10000000), metavar="N", help="Systems, or GPUs, instead of the file's."
)
@click.option(
    "--by",
    metavar="TIME",
    help='Search the fewest systems that are done by then: "45 days", or a date such as 2026-03-01.',
)
@click.option("--backfill/--no-backfill", default=True, help="Let jobs go ahead of others that they do not delay.")
@limit_option
@paying_option
@page_option
@json_option
def portfolio(
    file: Path,
    policy: Policy,
    systems: int | None,
    by: str | None,
    backfill: bool,
    limit: int | None,
    paying: str | None,
    out: Path | None,
    json: bool,
) -> None:
    """Jobs that share a cluster: who runs when, deadlines, how many systems they need; exit code 1 past a deadline."""
    from wsesim.report.pages import goal as report
    from wsesim.study.portfolio import portfolio as simulate

    limited(limit)
    found = simulate(file, policy, num_systems=systems, by=by, backfill=backfill, paying=paying)
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
    write_page(out, report.portfolio_sections(found), "portfolio", file, "--policy", policy, *asked, *fill, *paid)
    report.check(found)

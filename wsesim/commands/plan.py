"""`wsesim plan`: which clusters meet a goal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wsesim.commands.common import (
    AsJson,
    Form,
    Format,
    Limit,
    OutPage,
    PayingOption,
    limited,
    print_figures,
    print_json,
    print_sections,
    write_page,
)


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
    from wsesim.report.progress import bar
    from wsesim.study.goal_files import accuracies
    from wsesim.study.plan import plan as search

    limited(limit)
    with bar("planning") as advance:
        found = search(
            goal,
            model=model,
            target_loss=target_loss,
            target_accuracy=accuracies(target_accuracy) if target_accuracy else None,
            law=law,
            tokens=tokens,
            sequence_length=sequence_length,
            deadline=deadline,
            budget=budget,
            power=power,
            start=start,
            software_release=release,
            software_profile=profile,
            paying=paying,
            clusters=cluster or (),
            progress=advance,
        )
    if json or form is Form.json:
        print_json(found.to_dict())
    elif form is Form.csv:
        print_figures(_options(found.to_dict()))
    else:
        print_sections(sections(found, is_verbose=verbose), form)
    words = {
        "--model": model,
        "--target-loss": target_loss,
        "--law": law,
        "--tokens": tokens,
        "--deadline": deadline,
        "--budget": budget,
        "--power": power,
        "--start": start,
        "--sequence-length": sequence_length,
        "--software-release": release,
        "--software-profile": profile,
        "--paying": paying,
    }
    said = [word for key, value in words.items() if value is not None for word in (key, value)]
    said += [word for one in target_accuracy or () for word in ("--target-accuracy", one)]
    said += [word for one in cluster or () for word in ("--cluster", one)]
    write_page(out, sections(found, is_verbose=verbose), "plan", *([goal] if goal else []), *said)
    if not found.is_met:
        raise typer.Exit(1)


def _options(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The ways that an answer offers: the fastest, the cheapest, the smallest of each cluster, and those between."""
    found = [("fastest", answer["fastest"]), ("cheapest", answer["cheapest"])]
    found += [(key, one) for key in ("smallest", "front", "would_do") for one in answer[key]]
    return [{"name": name} | option for name, option in found if option]

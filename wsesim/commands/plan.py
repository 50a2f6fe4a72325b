"""`wsesim plan`: which clusters meet a goal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wsesim.commands.common import AsJson, Form, Format, Limit, limited, print_figures, print_json, print_sections


def plan(
    goal: Annotated[str | None, typer.Argument(metavar="GOAL", help="Goal file; or say it with the options.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model of the catalogue that is to be trained.")
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
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help='Time to train at most, for example "30 d".')
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="USD", help="Cost at most, in USD.")] = None,
    power: Annotated[str | None, typer.Option(metavar="POWER", help='Power at most, for example "500 kW".')] = None,
    cluster: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Cluster that may be used, wafer-scale or GPU. Repeatable.")
    ] = None,
    limit: Limit = None,
    json: AsJson = False,
    form: Format = Form.text,
) -> None:
    """Which clusters, and how large, meet a goal: the smallest, the cheapest, the fastest, and what binds."""
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
            deadline=deadline,
            budget=budget,
            power=power,
            clusters=cluster or (),
            progress=advance,
        )
    if json or form is Form.json:
        print_json(found.to_dict())
    elif form is Form.csv:
        print_figures(_options(found.to_dict()))
    else:
        from wsesim.report.pages.goal import sections

        print_sections(sections(found), form)
    if not found.is_met:
        raise typer.Exit(1)


def _options(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The ways that an answer offers: the fastest, the cheapest, the smallest of each cluster, and those between."""
    found = [("fastest", answer["fastest"]), ("cheapest", answer["cheapest"])]
    found += [(key, one) for key in ("smallest", "front", "would_do") for one in answer[key]]
    return [{"name": name} | option for name, option in found if option]

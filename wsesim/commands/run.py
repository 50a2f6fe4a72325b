"""`wsesim run`: simulate one run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from wsesim.commands.common import (
    AsJson,
    Form,
    Format,
    Limit,
    PayingOption,
    RunArgument,
    Settings,
    limited,
    paying_settings,
    print_figures,
    print_json,
    print_sections,
    told_first,
)
from wsesim.errors import InputError

if TYPE_CHECKING:
    from wsesim.config.run import Run

MOST_PLANS = 1000
"""Plans that `--top` compares at most; each is simulated. [-]"""


class EngineName(StrEnum):
    """What runs the schedule."""

    simpy = "simpy"
    recurrence = "recurrence"


def run(
    run: RunArgument,
    settings: Settings = None,
    paying: PayingOption = None,
    json: AsJson = False,
    form: Format = Form.text,
    layers: Annotated[bool, typer.Option("--layers", help="Add the time of every layer and phase.")] = False,
    links: Annotated[bool, typer.Option("--links", help="Add the traffic of every link of the fabric.")] = False,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Add other numbers of devices, from one to all that the cluster takes.")
    ] = False,
    measured: Annotated[
        bool, typer.Option("--measured", help="Add the nearest published measurements, and what is predicted for them.")
    ] = False,
    engine: Annotated[
        EngineName | None,
        typer.Option(help="simpy, the reference, or recurrence: the same times; left out, SimPy where it is quick."),
    ] = None,
    limit: Limit = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PLANS, metavar="N", help="GPU runs: add the N best plans, and why others lose."),
    ] = None,
) -> None:
    """Simulate one run: throughput, where the time goes, memory, scaling, time to train."""
    from wsesim.config.loader import load_any
    from wsesim.simulation import best_plans, simulate

    limited(limit)
    loaded = load_any(run, [*(settings or ()), *paying_settings(paying)])
    _refuse(loaded, {"layers": layers, "links": links, "top": top is not None}, engine.value if engine else "")
    if layers and engine is EngineName.recurrence:
        raise InputError("--layers needs the trace that only --engine simpy keeps; drop one of the two")
    with told_first(loaded):
        plans = () if top is None else tuple(best_plans(loaded, top))
        result = plans[0] if plans else simulate(loaded, engine=engine.value if engine else "")
    if json or form in (Form.json, Form.csv):
        from wsesim.report.json import result_dict

        data = result_dict(result, layers=layers, links=links, plans=plans, scaling=scaling, measured=measured)
        if json or form is Form.json:
            print_json(data)
        else:
            print_figures([data])
        return
    from wsesim.report.pages.run import More, sections

    more = More(plans=plans, wanted_plans=top or 0, scaling=scaling, measured=measured, layers=layers, links=links)
    print_sections(sections(result, more), form)


def _refuse(run: Run, asked: Mapping[str, bool], engine: str) -> None:
    """Options that ask for what the run's kind of machine does not have."""
    from wsesim.machines.machine import MACHINES, machine_of

    own = machine_of(run)
    mine = f"{run.place} is a {own.words.adjective} run"
    if asked["top"] and "top" not in own.offers:
        raise InputError(f"--top compares plans of GPU runs, and {mine}; leave it out")
    words = [f"--{option}" for option, is_asked in asked.items() if is_asked and option not in own.offers]
    words += [] if engine in ("", *own.engines) else [f"--engine {engine}"]
    if words:
        others = " and ".join(
            f"{one.words.adjective} runs"
            for one in MACHINES.values()
            if engine in ("", *one.engines) and "links" in one.offers
        )
        raise InputError(
            f"{mine}, and {' and '.join(words)} {'is' if len(words) == 1 else 'are'} for {others}; "
            f"leave {'it' if len(words) == 1 else 'them'} out"
        )

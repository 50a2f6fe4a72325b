"""`wsesim run`: simulate one run."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from wsesim.commands.common import AsJson, RunArgument, Settings, console, print_json
from wsesim.errors import InputError

if TYPE_CHECKING:
    from wsesim.config.loader import GPURun

MOST_PLANS = 1000
"""Plans that `--top` compares at most; each is simulated. [-]"""


class EngineName(StrEnum):
    """What runs the schedule."""

    simpy = "simpy"
    recurrence = "recurrence"


def run(
    run: RunArgument,
    settings: Settings = None,
    json: AsJson = False,
    layers: Annotated[bool, typer.Option("--layers", help="Add the time of every layer and phase.")] = False,
    links: Annotated[bool, typer.Option("--links", help="Add the traffic of every link of the fabric.")] = False,
    engine: Annotated[
        EngineName,
        typer.Option(help="simpy, the reference, or recurrence: the same times to the last digit, without a trace."),
    ] = EngineName.simpy,
    top: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PLANS, metavar="N", help="GPU runs: add the N best plans, and why others lose."),
    ] = None,
) -> None:
    """Simulate one run: throughput, where the time goes, memory, scaling, time to train."""
    from wsesim.config.loader import GPURun, load_any

    loaded = load_any(run, settings or ())
    if isinstance(loaded, GPURun):
        _refuse_on_gpus(loaded.place, layers=layers, links=links, recurrence=engine is EngineName.recurrence)
        _run_on_gpus(loaded, json, top)
        return
    if top is not None:
        raise InputError(f"--top compares plans of GPU runs, and {loaded.place} is a wafer-scale run; leave it out")
    if layers and engine is EngineName.recurrence:
        raise InputError("--layers needs the trace that only --engine simpy keeps; drop one of the two")
    from wsesim.results import simulate

    result = simulate(loaded, engine=engine.value)
    if json:
        from wsesim.report.json import result_dict

        print_json(result_dict(result, layers=layers, links=links))
        return
    from wsesim.metrics.links import link_traffic
    from wsesim.report import tables

    out = console()
    tables.print_result(out, result)
    if layers:
        out.print(tables.layers(result))
    if links:
        out.print(tables.links(link_traffic(result.simulation)))


def _refuse_on_gpus(place: str, *, layers: bool, links: bool, recurrence: bool) -> None:
    """Options that ask for what only wafer-scale runs have."""
    given = {"--layers": layers, "--links": links, "--engine recurrence": recurrence}
    words = [word for word, is_given in given.items() if is_given]
    if words:
        raise InputError(
            f"{place} is a GPU run, and {' and '.join(words)} {'is' if len(words) == 1 else 'are'} for wafer-scale runs; "
            f"leave {'it' if len(words) == 1 else 'them'} out"
        )


def _run_on_gpus(loaded: GPURun, json: bool, top: int | None) -> None:
    """Simulate and print a GPU run; `top` plans of it."""
    if top is None:
        from wsesim.gpu_results import simulate_gpu_run

        results = [simulate_gpu_run(loaded)]
    else:
        from wsesim.gpu_ranking import best_plans

        results = best_plans(loaded, top)
    if json:
        from wsesim.report.json import result_dict

        print_json(result_dict(results[0], plans=results if top else ()))
        return
    from wsesim.report.gpu_tables import plans
    from wsesim.report.tables import print_result

    print_result(console(), results[0], [plans(results, top)] if top else ())

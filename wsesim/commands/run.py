"""`wsesim run`: simulate one run."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from wsesim.commands.common import AsJson, Form, Format, RunArgument, Settings, console, print_form, print_json
from wsesim.errors import InputError

if TYPE_CHECKING:
    from wsesim.config.run import GPURun
    from wsesim.machines.gpu.result import GPUResult
    from wsesim.machines.wafer.result import Result

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
        EngineName,
        typer.Option(help="simpy, the reference, or recurrence: the same times to the last digit, without a trace."),
    ] = EngineName.simpy,
    top: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PLANS, metavar="N", help="GPU runs: add the N best plans, and why others lose."),
    ] = None,
) -> None:
    """Simulate one run: throughput, where the time goes, memory, scaling, time to train."""
    from wsesim.config.loader import load_any
    from wsesim.config.run import GPURun

    loaded = load_any(run, settings or ())
    plans: Sequence[GPUResult] = ()
    result: Result | GPUResult
    if isinstance(loaded, GPURun):
        _refuse_on_gpus(loaded.place, layers=layers, links=links, recurrence=engine is EngineName.recurrence)
        result, plans = _simulated_on_gpus(loaded, top)
    else:
        if top is not None:
            raise InputError(f"--top compares plans of GPU runs, and {loaded.place} is a wafer-scale run; leave it out")
        if layers and engine is EngineName.recurrence:
            raise InputError("--layers needs the trace that only --engine simpy keeps; drop one of the two")
        from wsesim.machines.wafer.result import simulate

        result = simulate(loaded, engine=engine.value)
    if json or form is not Form.text:
        from wsesim.report.json import result_dict

        data = result_dict(result, layers=layers, links=links, plans=plans, scaling=scaling, measured=measured)
        if json or form is Form.json:
            print_json(data)
        else:
            print_form([data], form)
        return
    from wsesim.report.pages import tables

    more = tables.More(
        plans=plans, wanted_plans=top or 0, scaling=scaling, measured=measured, layers=layers, links=links
    )
    tables.print_result(console(), result, more)


def _refuse_on_gpus(place: str, *, layers: bool, links: bool, recurrence: bool) -> None:
    """Options that ask for what only wafer-scale runs have."""
    given = {"--layers": layers, "--links": links, "--engine recurrence": recurrence}
    words = [word for word, is_given in given.items() if is_given]
    if words:
        raise InputError(
            f"{place} is a GPU run, and {' and '.join(words)} {'is' if len(words) == 1 else 'are'} for wafer-scale runs; "
            f"leave {'it' if len(words) == 1 else 'them'} out"
        )


def _simulated_on_gpus(loaded: GPURun, top: int | None) -> tuple[GPUResult, Sequence[GPUResult]]:
    """A GPU run, and its best plans where some are wanted."""
    if top is None:
        from wsesim.machines.gpu.result import simulate_gpu_run

        return simulate_gpu_run(loaded), ()
    from wsesim.machines.gpu.ranking import best_plans

    plans = best_plans(loaded, top)
    return plans[0], plans

"""Runs are simulated: one, many at once, or their step times alone; on whatever machine they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsesim.config.loader import as_run
from wsesim.config.run import Run
from wsesim.machines.machine import machine_of
from wsesim.results.result import Result


def simulate(run: Run | str | Path | dict[str, Any], *, engine: str = "") -> Result:
    """Simulate a run and answer everything about it.

    Parameters
    ----------
    run
        From `wsesim.load`, or anything that it takes: a catalogue name, a path, nested dicts.
    engine
        "simpy", the reference, or "recurrence", which has the same times to the last digit and which only machines have
        that say so; left out, the program's choice: SimPy where it is quick.

    Returns
    -------
    Result
        SI units throughout.

    Raises
    ------
    wsesim.errors.InputError
        Numbers that contradict each other.
    wsesim.errors.DoesNotFit
        More than the machine holds.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> result = simulate(load("andromeda_13b"))
    >>> result.micro_batch_size, result.num_micro_batches
    (90, 1)
    """
    run = as_run(run, "simulate")
    return Result(run, machine_of(run).simulate(run, engine))


def simulate_fast(run: Run) -> Result:
    """As `simulate`, by the machine's fastest engine."""
    machine = machine_of(run)
    return Result(run, machine.simulate(run, machine.engines[-1]))


def simulate_many(runs: Sequence[Run]) -> list[Result]:
    """Simulate many runs; machines with a recurrence share its cost among them.

    Parameters
    ----------
    runs
        In any order; models of equal depth share most.

    Returns
    -------
    list of Result
        In the order of `runs`. Times equal those of `simulate` to the last digit; the breakdown adds
        in another order, and equals it within 1e-12 of the step.

    Raises
    ------
    wsesim.errors.InputError, wsesim.errors.DoesNotFit
        As `simulate`, for the first run that is refused.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> runs = [load("cerebras_gpt_1.3b", [f"training.weight_sparsity={share}"]) for share in (0.0, 0.5)]
    >>> dense, sparse = simulate_many(runs)
    >>> sparse.step_time_s < dense.step_time_s
    True
    """
    found: dict[int, Result] = {}
    for name in dict.fromkeys(run.machine for run in runs):
        places = [place for place, run in enumerate(runs) if run.machine == name]
        mine = [runs[place] for place in places]
        steps = machine_of(mine[0]).simulate_many(mine)
        found |= {place: Result(run, step) for place, run, step in zip(places, mine, steps, strict=True)}
    return [found[place] for place in range(len(runs))]


def step_time(run: Run) -> Result:
    """As `simulate`, but what the step is spent on is not asked for."""
    return Result(run, machine_of(run).time_only(run))


def best_plans(run: Run, number: int) -> list[Result]:
    """Simulate the best plans of a run whose machine leaves a choice, fastest first.

    The first is what `wsesim.simulate` takes where it looks as far.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> first, second = best_plans(load_any("cerebras_gpt_111m_gpu"), 2)
    >>> first.step_time_s <= second.step_time_s
    True
    """
    return [Result(run, step) for step in machine_of(run).best(run, number)]

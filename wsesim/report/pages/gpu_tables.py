"""The best plans of a GPU run in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group

from wsesim.machines.gpu.ranking import differences_s
from wsesim.report.columns import prose
from wsesim.report.pages.parts import plain_table, section
from wsesim.result import Result
from wsesim.units import show

TOLD_SHARE = 0.1
"""Parts of a difference that are smaller than this share of the largest are left out of the table. [-]"""
MOST_TOLD = 3
"""Parts of a difference that the table tells. [-]"""


def plan_words(result: Result) -> str:
    """A plan in one line: sizes, what is shared, micro-batch, what is computed again."""
    plan = result.plan
    sizes = ("data", "tensor", "pipeline", "context", "expert")
    words = [f"{name} {plan[f'{name}_parallel_size']}" for name in sizes if plan[f"{name}_parallel_size"] > 1]
    if plan["virtual_pipeline_size"] > 1:
        words.append(f"chunks {plan['virtual_pipeline_size']}")
    if plan["sequence_parallel"]:
        words.append("sequence")
    if plan["zero_stage"]:
        words.append(f"ZeRO {plan['zero_stage']}")
    words.append(f"micro-batch {result.micro_batch_size}")
    if plan["activation_recompute"] != "none":
        words.append(f"recompute {again_words(plan['activation_recompute'])}")
    return ", ".join(words)


def again_words(what: str | dict[str, Any]) -> str:
    """The key or word of what is computed again."""
    return what if isinstance(what, str) else ", ".join(f"{key} {value}" for key, value in what.items())


def why_it_loses(winner: Result, other: Result) -> str:
    """What takes longer than in the winner's step, and what does not."""
    parts_s = differences_s(winner, other)
    longest = max(map(abs, parts_s.values()), default=0.0)
    if longest < 1e-6 * winner.step_time_s:
        return "as fast"
    told = {name: value for name, value in parts_s.items() if abs(value) >= TOLD_SHARE * longest}
    largest = sorted(told, key=lambda name: -abs(told[name]))[:MOST_TOLD]
    in_order = sorted(largest, key=lambda name: -told[name])
    return ", ".join(f"{'+' if told[name] > 0 else '-'}{show(abs(told[name]), 's')} {name}" for name in in_order)


def plans(results: Sequence[Result], wanted: int) -> Group:
    """The best plans, and why the others lose."""
    winner = results[0]
    table = plain_table("", "|step", "|slower", "|memory", "~plan", "~against the first")
    for place, one in enumerate(results, start=1):
        slower = "" if place == 1 else f"{one.step_time_s / winner.step_time_s - 1.0:.1%}"
        why = "" if place == 1 else why_it_loses(winner, one)
        table.add_row(
            f"{place}",
            show(one.step_time_s, "s"),
            slower,
            show(one.memory["gpu_bytes"], "bytes"),
            plan_words(one),
            why,
        )
    searched = winner.simulation.num_plans
    if searched == 1:
        text = 'The run file leaves no choice; write parallelism = "auto", or "auto" for single keys of [parallelism].'
    elif len(results) < wanted:
        text = f"No more than these fit, of {searched:,} that divide evenly."
    else:
        text = f"Of {searched:,} that divide evenly; ranked by the closed form, the best of them simulated."
    return section("Best plans", Group(table, prose(text, style="dim")))

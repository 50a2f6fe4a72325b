"""Where the time of a step goes, along the path that decides it.

The step is as long as the wafer that finishes last needs: every moment of that wafer is
either work or waiting, so its spans add up to the step. Its waits for weights are split,
when they end, by what held the weights up: their gradient was not in, the optimizer was at
work, another system had no room, or they were on their way
(`wsesim.machines.wafer.streaming.WeightStreaming.note_weight_wait`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsesim.units import add_up

if TYPE_CHECKING:
    from wsesim.machines.wafer.simulation import Simulation

CATEGORIES = {
    "gemm": "products with weights",
    "attention": "attention scores and values",
    "latency": "latency of the passes that no work hides",
    "weights": "waiting for weights to arrive",
    "gradients": "waiting for gradients to leave or to be reduced",
    "optimizer": "waiting for the optimizer update",
    "activations": "waiting for saved activations",
    "input": "waiting for input samples",
    "stragglers": "waiting for slower systems",
}


def breakdown_s(simulation: Simulation) -> dict[str, float]:
    """Seconds of one step by what they go into; they sum to the step time. [s]

    Categories without any time are left out.
    """
    total = dict.fromkeys(CATEGORIES, 0.0)
    for kind, value in simulation.spent_s.items():
        total[kind.removeprefix("wait_")] += value
    largest = max(total, key=lambda name: total[name])
    total[largest] += simulation.step_time_s - add_up(total.values())  # rounding of some 1000 additions
    return {name: value for name, value in total.items() if value > 0.0}

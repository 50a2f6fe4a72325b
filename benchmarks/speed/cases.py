"""The runs that are timed, and the event counts that they must have.

A count that changes means that the simulation does other work than before. That may be meant;
then the new count goes here, in the same commit as the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsesim.config.loader import Run, load


@dataclass(frozen=True)
class Case:
    """One run and its work.

    Attributes
    ----------
    events
        SimPy events until the steady state. [-]
    """

    name: str
    run: str
    settings: tuple[str, ...]
    events: int

    def load(self) -> Run:
        """The run to simulate."""
        return load(self.run, self.settings)


def _systems(count: int, per_system: int = 90) -> tuple[str, ...]:
    return (
        "cluster.name=cs3_2048",
        "cluster.system=cs2",
        f"cluster.num_systems={count}",
        f"training.global_batch_size={count * per_system}",
    )


CASES = (
    Case("13B on 12 systems", "andromeda_13b", (), 5_900),
    Case("13B on 1 system", "andromeda_13b", _systems(1), 5_900),
    Case("13B on 2048 systems", "andromeda_13b", _systems(2048), 5_900),
    Case("13B, 100 micro-batches", "andromeda_13b", ("training.global_batch_size=108000",), 23_108),
    Case("13B, one straggler", "straggler_13b", (), 9_446),
    Case("1T on 192 systems", "gpt_1t_cs2_192", (), 129_995),
)

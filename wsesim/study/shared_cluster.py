"""`wsesim.portfolio`: jobs that share a cluster, and who of them runs when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsesim.errors import InputError
from wsesim.shown import ShowsItself
from wsesim.study.job_queue import Policy, Schedule
from wsesim.study.moments import seconds_after
from wsesim.study.portfolio import Portfolio, read
from wsesim.units import show


@dataclass(frozen=True, repr=False)
class SharedCluster(ShowsItself):
    """What `wsesim portfolio` prints: a portfolio, and its schedule under one policy."""

    portfolio: Portfolio
    schedule: Schedule

    def __repr__(self) -> str:
        found = self.schedule
        done = f"done after {show(found.makespan_s, 's')}, {len(found.missed)} deadlines missed"
        return f"<SharedCluster {self.portfolio.name}: {found.num_systems:,} systems, {found.policy}, {done}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim portfolio --json``: SI units, times in seconds from the start."""
        start = None if self.portfolio.start is None else self.portfolio.start.isoformat()
        named = {"name": self.portfolio.name, "cluster": self.portfolio.cluster, "start": start}
        return named | self.schedule.to_dict()


def portfolio(
    file: str | Path,
    policy: Policy = "first-come",
    *,
    num_systems: int | None = None,
    by: str | None = None,
    backfill: bool = True,
) -> SharedCluster:
    """Simulate who of many jobs runs when on one cluster.

    Parameters
    ----------
    file
        Portfolio file: a cluster and its jobs.
    policy
        Which job goes first: "first-come", "priority" or "deadline".
    num_systems
        Systems, or GPUs, instead of the file's. [-]
    by
        Search the fewest systems that are done by then: a duration such as "45 days", or a date.
    backfill
        Let jobs go ahead of others that they do not delay.

    Returns
    -------
    SharedCluster
        Jobs that miss a deadline are named in `schedule.missed`.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.AnswerIsNo
        No number of systems is enough.
    """
    if by is not None and num_systems is not None:
        raise InputError("--by searches the number of systems, and --systems sets it; drop one of the two")
    found = read(Path(file), num_systems)
    if by is None:
        return SharedCluster(found, found.run(policy, backfill=backfill))
    by_s = seconds_after(by, found.start, "--by")
    if by_s <= 0.0:
        raise InputError(f"--by {by}: that is when the portfolio starts; give it time")
    return SharedCluster(found, found.fewest_systems(by_s, policy, backfill=backfill))

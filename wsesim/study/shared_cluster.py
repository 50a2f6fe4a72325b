"""`wsesim.portfolio`: jobs that share a cluster, and who of them runs when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wsesim.errors import InputError
from wsesim.result import with_bounds
from wsesim.shown import ShowsItself
from wsesim.study.job_queue import Policy, Schedule, Search
from wsesim.study.moments import seconds_after
from wsesim.study.portfolio import Portfolio, read
from wsesim.units import show


@dataclass(frozen=True, repr=False)
class SharedCluster(ShowsItself):
    """What `wsesim portfolio` prints: a portfolio, and its schedule under one policy.

    Attributes
    ----------
    search
        Where the fewest systems were asked for: by when, and whether any are enough.
    """

    portfolio: Portfolio
    schedule: Schedule
    search: Search | None = None

    @property
    def is_met(self) -> bool:
        """Whether all deadlines are kept, and all is done by the time that was asked for."""
        return not self.schedule.missed and (self.search is None or self.search.is_enough)

    @cached_property
    def one_fewer(self) -> Schedule | None:
        """The same with one system fewer, or one node of GPUs; None where some job has no room then."""
        return self.portfolio.one_fewer(self.schedule)

    @property
    def by_s(self) -> float:
        """When all has to be done; infinite where it was not asked for. [s]"""
        return math.inf if self.search is None else self.search.by_s

    def __repr__(self) -> str:
        found = self.schedule
        done = f"done after {show(found.makespan_s, 's')}, {len(found.missed)} deadlines missed"
        return f"<SharedCluster {self.portfolio.name}: {self.portfolio.counted(found.num_systems)}, {found.policy}, {done}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim portfolio --json``: SI units, times in seconds from the start."""
        start = None if self.portfolio.start is None else self.portfolio.start.isoformat()
        named = {"name": self.portfolio.name, "cluster": self.portfolio.cluster, "start": start}
        asked = None if self.search is None else {"by_s": self.search.by_s, "is_enough": self.search.is_enough}
        return {
            **named,
            "is_met": self.is_met,
            "by": asked,
            **self.schedule.to_dict(),
            **with_bounds("cost_usd", self.portfolio.cost_usd(self.schedule)),
            "binds": [one.name for one in self.schedule.chain],
            "one_fewer": self._one_fewer(),
        }

    def _one_fewer(self) -> dict[str, Any]:
        """What one system fewer, or one node, would cost."""
        fewer, portfolio = self.one_fewer, self.portfolio
        if fewer is None:
            return {"num_systems": self.schedule.num_systems - portfolio.comes_in, "is_possible": False}
        last = fewer.last
        return {
            "num_systems": fewer.num_systems,
            "is_possible": True,
            "makespan_s": fewer.makespan_s,
            "late": [
                *({"name": one.name, "late_s": one.late_s} for one in fewer.missed),
                *([{"name": "all", "late_s": last.end_s - self.by_s}] if last.end_s > self.by_s else []),
            ],
            **with_bounds("cost_usd", portfolio.cost_usd(fewer)),
        }


def portfolio(
    file: str | Path,
    policy: Policy = "first-come",
    *,
    num_systems: int | None = None,
    by: str | None = None,
    backfill: bool = True,
    paying: str | None = None,
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
    paying
        "rented" or "owned": how the devices are paid for.

    Returns
    -------
    SharedCluster
        Jobs that miss a deadline are named in `schedule.missed`. Where no number of systems is enough by a time, `is_met` is
        False, and the schedule is the one that misses least.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.AnswerIsNo
        No number of systems holds the work by then.
    """
    if by is not None and num_systems is not None:
        raise InputError("--by searches the number of systems, and --systems sets it; drop one of the two")
    found = read(Path(file), num_systems, paying)
    if by is None:
        return SharedCluster(found, found.run(policy, backfill=backfill))
    by_s = seconds_after(by, found.start, "--by")
    if by_s <= 0.0:
        raise InputError(f"--by {by}: that is when the portfolio starts; give it time")
    looked = found.search(by_s, policy, backfill=backfill)
    assert looked.best is not None  # else `search` said why
    return SharedCluster(found, looked.best, looked)

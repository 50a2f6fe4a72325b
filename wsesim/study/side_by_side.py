"""`wsesim.compare`: runs side by side, wafer-scale and GPU, and how many GPUs would take as long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.config.loader import load_any
from wsesim.config.run import Run
from wsesim.errors import InputError
from wsesim.machines.machine import SameTime, machine_of
from wsesim.result import Result
from wsesim.shown import ShowsItself
from wsesim.simulation import simulate
from wsesim.study.comparison import Entry, as_dict, entry
from wsesim.study.table import need

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Comparison(ShowsItself):
    """What `wsesim compare` prints.

    Attributes
    ----------
    entries
        The runs; the others are compared with the first.
    same_time
        For each GPU run but the first, how many of its GPUs take as long to train; empty where it was not asked for.
    """

    entries: tuple[Entry, ...]
    same_time: tuple[SameTime, ...] = ()

    @property
    def results(self) -> tuple[Result, ...]:
        """Answers of the runs."""
        return tuple(one.result for one in self.entries)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(one.name for one in self.entries)}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim compare --json``: SI units, but per kW."""
        searched = {"same_time": [same_time_dict(one) for one in self.same_time]}
        return as_dict(self.entries) | (searched if self.same_time else {})

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each run, with its figures and their bounds; needs the extra ``wsesim[pandas]``."""
        need("pandas", "pandas", "to_pandas()")
        import pandas

        return pandas.DataFrame([dict(_flat(one)) for one in self.to_dict()["runs"]])


def compare(*runs: str | Path | Run | Result, same_time: bool = False) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    runs
        Run files, names of catalogue runs, runs, or answers of `wsesim.simulate`; two or more. All are read before
        the first is simulated.
    same_time
        Search how many GPUs of every other GPU run take as long to train as the first run.

    Returns
    -------
    Comparison
        SI units, but per kW.

    Raises
    ------
    wsesim.errors.InputError
        Fewer than two runs, or no GPU run to search for.
    wsesim.errors.DoesNotFit
        As `wsesim.simulate`.

    Examples
    --------
    >>> found = compare("cerebras_gpt_111m", "cerebras_gpt_111m_gpu")
    >>> [one.num_devices for one in found.results]
    [1, 8]
    >>> found.to_dict()["runs"][1]["ratios"]["tokens_per_s"] > 1.0
    True
    """
    if len(runs) < 2:
        named = runs[0] if runs else "RUN"
        raise InputError(
            f"compare needs two runs or more, and {len(runs)} is named; add another, "
            f"for example: wsesim compare {named} gpt3_13b_256xa100 (`wsesim list runs` shows all)"
        )
    read = [load_any(one) if isinstance(one, str | Path) else one for one in runs]
    entries = tuple(entry(_answered(one)) for one in read)
    return Comparison(entries, searches(entries) if same_time else ())


def _flat(run: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers and words of a run; both ends of a range have columns of their own."""
    for key, value in run.items():
        if key.endswith("_range"):
            yield from zip(
                (f"{key.removesuffix('_range')}_low", f"{key.removesuffix('_range')}_high"), value, strict=True
            )
        elif not isinstance(value, dict | list):
            yield key, value


def _answered(one: Run | Result) -> Result:
    return simulate(one) if isinstance(one, Run) else one


def searches(entries: Sequence[Entry]) -> tuple[SameTime, ...]:
    """For each GPU run but the first: how many of its GPUs take as long as the first run."""
    wanted_s = entries[0].result.job.time_s
    runs = [one.result.run for one in entries[1:]]
    found = tuple(one for one in (machine_of(run).fewest_for(run, wanted_s) for run in runs) if one is not None)
    if not found:
        raise InputError(
            "--same-time asks how many GPUs take as long as the first run, but no other run is on GPUs; "
            "add one, or leave --same-time out"
        )
    return found


def same_time_dict(one: SameTime) -> dict[str, Any]:
    """A search as JSON."""
    return {
        "name": one.run.name,
        "wanted_s": one.wanted_s,
        "is_reached": one.is_reached,
        "num_tried": one.num_tried,
        "num_devices": None if one.result is None else one.result.num_devices,
        "step_time_s": None if one.result is None else one.result.step_time_s,
        "time_to_train_s": None if one.result is None else one.result.job.time_s,
        "parallelism": None if one.result is None else one.result.plan,
    }

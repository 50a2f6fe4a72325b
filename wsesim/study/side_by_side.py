"""`wsesim.compare`: runs side by side, wafer-scale and GPU, and how many GPUs would take as long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.config.cluster import Paying
from wsesim.config.loader import any_from_table, load_any
from wsesim.config.run import Run
from wsesim.errors import InputError, need
from wsesim.job import wanted_tokens
from wsesim.machines.machine import SameTime, machine_of
from wsesim.result import Result
from wsesim.shown import ShowsItself
from wsesim.simulation import simulate
from wsesim.study.comparison import Entry, as_dict, entry

if TYPE_CHECKING:
    import pandas

ANY_MODEL = "cerebras-gpt-111m"
"""Stands for the model of the first run while a cluster is read."""
MOST_DEVICES = 10**9


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


def compare(
    *runs: str | Path | Run | Result,
    same_time: bool = False,
    elsewhere: Sequence[str] = (),
    paying: Paying | None = None,
) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    runs
        Run files, names of catalogue runs, runs, or answers of `wsesim.simulate`; two or more. All are read before
        the first is simulated.
    same_time
        Search how many GPUs of every other GPU run take as long to train as the first run.
    elsewhere
        Clusters with a number of their devices, "dgx_h100:128", that the job of the first run is put on, too.
    paying
        "rented" or "owned": how the devices of all runs are paid for.

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
    if len(runs) + len(elsewhere) < 2 or not runs:
        named = runs[0] if runs else "RUN"
        raise InputError(
            f"compare needs two runs or more, and {len(runs)} is named; add another, "
            f"for example: wsesim compare {named} gpt3_13b_256xa100 (`wsesim list runs` shows all)"
        )
    settings = () if paying is None else (f"cluster.paying={paying}",)
    read = [load_any(one, settings) if isinstance(one, str | Path) else one for one in runs]
    first = read[0] if isinstance(read[0], Run) else read[0].run
    read += [moved(first, where, settings) for where in elsewhere]
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


def moved(run: Run, where: str, settings: Sequence[str] = ()) -> Run:
    """The job of a run on so many devices of another cluster: model, tokens, sequences, and the nearest batch that divides well.

    Parameters
    ----------
    where
        ``CLUSTER:COUNT``; nodes and systems are counted by their devices: GPUs, CS systems.

    Examples
    --------
    >>> run = moved(load_any("andromeda_13b"), "dgx_h100:128")
    >>> run.num_devices, run.training.global_batch_size, run.model.name
    (128, 1024, 'Cerebras-GPT 13B')
    """
    name, _, count = where.rpartition(":")
    if not name or not count.isdecimal() or not 0 < int(count) < MOST_DEVICES:
        raise InputError(
            f"--with {where}: write a cluster and how many of its devices, for example --with dgx_h100:128"
        )
    training = run.training
    keys = {"sequence_length": training.sequence_length, "global_batch_size": training.global_batch_size}
    table = {
        "model": {"name": ANY_MODEL},
        "training": keys | {"batch_policy": "nearest", "tokens": wanted_tokens(run)},
        "cluster": {"name": name},
    }
    found = any_from_table(table, place=f"--with {where}", settings=settings)
    words = machine_of(found).words
    title = f"{run.model.name} on {int(count):,} {words.devices} of {found.cluster.title}"
    same = {key: getattr(training, key) for key in ("optimizer", "max_gradient_norm", "mode")}
    own = found.training.model_copy(update=same | {"global_batch_size": training.global_batch_size})
    cluster = found.cluster.on_devices(int(count))
    return replace(found, name=title, model=run.model, training=own, cluster=cluster, asked=None).with_batch()


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

"""A portfolio: jobs that share one cluster, each with its priority, earliest start, deadline and allowed sizes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsesim.config.spec import Positive, Spec

Count = Annotated[int, Field(gt=0, le=10_000_000, strict=True)]


class PortfolioJobSpec(Spec):
    """One entry of ``[[jobs]]``.

    Attributes
    ----------
    name
        Name of the job; no two have the same.
    run
        A run file or the name of a catalogue run: its model, training and ``[job]`` are taken, not its cluster.
    model
        The ``[model]`` table of a run, instead of `run`.
    training
        The ``[training]`` table of a run, beside `model`.
    tokens
        Training tokens, beside `run` or `model`; "chinchilla" is 20 per parameter. [-]
    duration_s
        Time on the systems where it is known, instead of `run` and `model`. [s]
    systems
        Allowed numbers of systems, or GPUs; its run's number when left out. [-]
    priority
        Higher goes first under the policy "priority". [-]
    earliest_start
        A time after the start of the portfolio ("30 days"), or a date. [s]
    deadline
        A time after the start of the portfolio ("30 days"), or a date; left out, there is none. [s]
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    run: str | None = None
    model: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    tokens: Annotated[float, Field(gt=0, le=1e20)] | Literal["chinchilla"] | None = None
    duration_s: Positive | None = None
    systems: Annotated[tuple[Count, ...], Field(max_length=100)] = ()
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    earliest_start: Any = 0
    deadline: Any = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> PortfolioJobSpec:
        given = [key for key in ("run", "model", "duration_s") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "nothing"
            raise ValueError(f"[run] has {found} beside it to say what is done; give one of run, model, duration_s")
        for key, beside in (("tokens", "run or model"), ("training", "model")):
            if getattr(self, key) is not None and given[0] not in beside.split(" or "):
                raise ValueError(f"[{key}] says nothing beside {given[0]}; it belongs to {beside}, drop one of the two")
        if self.run is None and not self.systems:
            raise ValueError("[systems] is missing; name the allowed numbers, for example systems = [4, 8]")
        if self.duration_s is not None and len(self.systems) > 1:
            raise ValueError("[systems] names several numbers, but duration_s holds for one; keep one")
        if self.model is not None and self.training is None:
            raise ValueError("[training] is missing; add sequence_length and global_batch_size")
        return self


class PortfolioSpec(Spec):
    """A portfolio file.

    Attributes
    ----------
    name
        Title of the answer.
    cluster
        The ``[cluster]`` table of a run file: the cluster that all jobs share.
    start
        Date from which durations count; needed where jobs give dates.
    lifetime
        Whether a job takes the mean of its simulated lifetime (without queue), or its steps alone.
    jobs
        The jobs.
    """

    name: str = "Portfolio"
    cluster: dict[str, Any]
    start: date | None = None
    lifetime: bool = True
    jobs: Annotated[tuple[PortfolioJobSpec, ...], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _names_differ(self) -> PortfolioSpec:
        names = [job.name for job in self.jobs]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise ValueError(f"[jobs] names {twice!r} twice; give each job a name of its own")
        return self

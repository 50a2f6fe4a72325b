"""What is asked of clusters: a goal with its limits, and a portfolio of jobs that share one cluster."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsesim.config.cluster import count_keys
from wsesim.config.spec import Positive, Spec

# A goal: what is to be trained, by when, for how much, and on which clusters. A goal file, or flags.


class LimitsSpec(Spec):
    """What an answer must keep.

    Attributes
    ----------
    deadline_s
        Time to train, at most: "7 weeks", or a date after `start`. [s]
    budget_usd
        Cost, at most; clusters without a price cannot keep it. [USD]
    power_w
        Power of all devices with their share of the cluster, at most. [W]
    """

    deadline_s: Positive | None = None
    budget_usd: Positive | None = None
    power_w: Positive | None = None


class CandidateSpec(Spec):
    """A cluster that may be used.

    Attributes
    ----------
    cluster
        Catalogue name, or a .toml file.
    num_devices
        Devices that are tried; "auto" tries up to what the cluster has. The key of its kind, as `num_systems`, says the same. [-]
    keys
        Every other key stands for that of ``[cluster]`` in a run file: `software_release`, `paying`, `system.calibration` ...
    """

    cluster: str
    num_devices: tuple[Annotated[int, Field(gt=0, le=10**7)], ...] | Literal["auto"] = "auto"
    keys: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, raw: Any) -> Any:
        """What a cluster's table would hold, put apart."""
        if not isinstance(raw, dict):
            return raw
        own = {key: value for key, value in raw.items() if key in cls.model_fields}
        rest = {key: value for key, value in raw.items() if key not in own}
        for key in count_keys() if rest else ():
            if key in rest and "num_devices" not in own:
                own["num_devices"] = rest.pop(key)
        if isinstance(own.get("num_devices"), int):
            own["num_devices"] = [own["num_devices"]]
        return own | ({"keys": {**own.get("keys", {}), **rest}} if rest else {})


class GoalSpec(Spec):
    """One goal file.

    Attributes
    ----------
    name
        Title of the answer.
    model
        As the ``[model]`` table of a run; left out where there is a target loss or accuracy.
    training
        As the ``[training]`` table of a run. `sequence_length` is 2048 and `global_batch_size` the nearest of
        Brown et al. 2020, table 2.1, when left out.
    target_loss
        Loss to reach with a model and a number of tokens that a scaling law gives. [nats/token]
    target_accuracy
        Zero-shot accuracy to reach instead, by task: any of hellaswag, piqa, winogrande, lambada, arc_easy, arc_challenge,
        openbookqa, and their average; of several, all. [-]
    law
        "pile" (loss on the Pile, as `wsesim run` predicts it), "cerebras-gpt" (the same by compute alone, at 20 tokens per
        parameter) or "chinchilla" (loss on MassiveText, which no accuracy follows from).
    start
        Date from which a deadline that is a date counts.
    software_release
        Release of the software of wafer-scale candidates, as in the ``[cluster]`` table of a run.
    software_profile
        Software of GPU candidates, as there.
    paying
        "rented" or "owned": how the devices of all candidates are paid for.
    limits
        What an answer must keep.
    candidates
        Clusters that may be used, wafer-scale and GPU.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)] = "goal"
    model: dict[str, Any] | None = None
    training: Annotated[dict[str, Any], Field(default_factory=dict)]
    target_loss: Annotated[float, Field(gt=0, le=100)] | None = None
    target_accuracy: Annotated[dict[str, Annotated[float, Field(gt=0, lt=1)]], Field(default_factory=dict)]
    law: Literal["pile", "cerebras-gpt", "chinchilla"] = "pile"
    start: date | None = None
    software_release: str | None = None
    software_profile: str | None = None
    paying: Literal["rented", "owned"] | None = None
    limits: LimitsSpec = LimitsSpec()
    candidates: Annotated[tuple[CandidateSpec, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_aim(self) -> GoalSpec:
        aims = {"target_loss": self.target_loss, "target_accuracy": self.target_accuracy or None}
        given = [name for name, value in aims.items() if value is not None]
        if len(given) == 2:
            raise ValueError("[target_accuracy] stands beside target_loss; give one of them")
        if (self.model is None) == (not given):
            finding = "is missing" if not given else f"stands beside {given[0]}, and says what the law would find"
            raise ValueError(f"[model] {finding}; give either a model, a target_loss or a target_accuracy")
        if self.target_accuracy and self.law == "chinchilla":
            raise ValueError(
                "[law] is chinchilla, of other data than accuracies follow from; leave it out, or take pile"
            )
        return self

    @property
    def has_recipe(self) -> bool:
        """Whether a law gives the model and its tokens."""
        return self.model is None


# A portfolio: jobs that share one cluster, each with its priority, earliest start, deadline and allowed sizes.


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

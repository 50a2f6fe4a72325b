"""A goal: what is to be trained, by when, for how much, and on which clusters. A goal file, or flags."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsesim.config.spec import Spec
from wsesim.config.system import Positive


class LimitsSpec(Spec):
    """What an answer must keep.

    Attributes
    ----------
    deadline_s
        Time to train, at most. [s]
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
        Systems or GPUs that are tried; "auto" tries up to what the cluster has. [-]
    """

    cluster: str
    num_devices: tuple[Annotated[int, Field(gt=0, le=10**7)], ...] | Literal["auto"] = "auto"


class GoalSpec(Spec):
    """One goal file.

    Attributes
    ----------
    name
        Title of the answer.
    model
        As the ``[model]`` table of a run; left out where there is a target loss.
    training
        As the ``[training]`` table of a run. `sequence_length` is 2048 and `global_batch_size` the nearest of
        Brown et al. 2020, table 2.1, when left out.
    target_loss
        Loss to reach with a model and a number of tokens that a scaling law gives. [nats/token]
    law
        "chinchilla" (loss on MassiveText) or "cerebras-gpt" (loss on the Pile).
    limits
        What an answer must keep.
    candidates
        Clusters that may be used, wafer-scale and GPU.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)] = "goal"
    model: dict[str, Any] | None = None
    training: Annotated[dict[str, Any], Field(default_factory=dict)]
    target_loss: Annotated[float, Field(gt=0, le=100)] | None = None
    law: Literal["chinchilla", "cerebras-gpt"] = "chinchilla"
    limits: LimitsSpec = LimitsSpec()
    candidates: Annotated[tuple[CandidateSpec, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_aim(self) -> GoalSpec:
        if (self.model is None) == (self.target_loss is None):
            finding = (
                "is missing" if self.model is None else "stands beside target_loss, and says what the law would find"
            )
            raise ValueError(f"[model] {finding}; give either a model or a target_loss")
        return self

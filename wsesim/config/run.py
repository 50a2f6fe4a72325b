"""What a run file says once it is read and checked: a model, its training, and a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Generic

from typing_extensions import TypeVar

from wsesim.config.cluster import AnyCluster
from wsesim.config.job import JobSpec
from wsesim.config.model import ModelSpec
from wsesim.config.provenance import Origin
from wsesim.config.training import TrainingSpec

ClusterT = TypeVar("ClusterT", bound=AnyCluster, default=Any)
SpreadT = TypeVar("SpreadT", default=Any)


@dataclass(frozen=True)
class Run(Generic[ClusterT, SpreadT]):
    """A model, how it is trained, and on which cluster of which kind of machine.

    Attributes
    ----------
    parallelism
        How the model is spread over the devices; None on machines that leave no choice.
    place
        File that the run was read from, for messages.
    """

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: ClusterT
    job: JobSpec = field(default_factory=JobSpec)
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)
    parallelism: SpreadT = None  # type: ignore[assignment]

    @property
    def machine(self) -> str:
        """Name of the kind of machine, as in `wsesim.machines.machine.MACHINES`."""
        return self.cluster.machine

    @property
    def num_devices(self) -> int:
        """Devices that the job uses. [-]"""
        return self.cluster.num_devices

    @property
    def max_devices(self) -> int:
        """Devices that its cluster has. [-]"""
        return self.cluster.max_devices

    def on(self, num_devices: int, global_batch_size: int | None = None) -> Run[ClusterT, SpreadT]:
        """The same run on another number of identical devices, and with another batch."""
        batch = global_batch_size or self.training.global_batch_size
        training = self.training.model_copy(update={"global_batch_size": batch})
        spread: Any = self.parallelism
        if spread is not None:
            spread = spread.on_other_devices()
        return replace(self, cluster=self.cluster.on_devices(num_devices), training=training, parallelism=spread)

    def with_auto_plan(self) -> Run[ClusterT, SpreadT]:
        """The same run with everything left open that its machine chooses: parallel sizes, micro-batch, recomputation."""
        spread: Any = self.parallelism
        training = self.training.model_copy(update={"micro_batch_size": "auto"})
        if spread is not None:
            spread = spread.left_open()
        return replace(self, training=training, parallelism=spread)

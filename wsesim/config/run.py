"""What a run file says once it is read and checked: a model, its training, and a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wsesim.config.cluster import ClusterSpec
from wsesim.config.gpu import GPUClusterSpec
from wsesim.config.job import JobSpec
from wsesim.config.model import ModelSpec
from wsesim.config.parallelism import ParallelismSpec
from wsesim.config.provenance import Origin
from wsesim.config.training import TrainingSpec


@dataclass(frozen=True)
class Run:
    """A model, how it is trained, and on which wafer-scale cluster."""

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: ClusterSpec
    job: JobSpec = field(default_factory=JobSpec)
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    def on(self, num_systems: int, global_batch_size: int | None = None) -> Run:
        """The same run on another number of identical systems, and with another batch."""
        cluster = self.cluster.model_copy(update={"num_systems": num_systems, "exceptions": ()})
        batch = global_batch_size or self.training.global_batch_size
        training = self.training.model_copy(update={"global_batch_size": batch})
        return replace(self, cluster=cluster, training=training)


SEARCHED = (
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "virtual_pipeline_size"),
    *("sequence_parallel", "zero_stage", "shard_group_size", "activation_recompute"),
    *("micro_batch_group_size", "account_for_embedding", "account_for_loss"),
)
"""Keys of ``[parallelism]`` that an automatic plan chooses."""


@dataclass(frozen=True)
class GPURun:
    """A model, how it is trained, on which GPUs, and how it is spread over them."""

    name: str
    model: ModelSpec
    training: TrainingSpec
    cluster: GPUClusterSpec
    parallelism: ParallelismSpec
    job: JobSpec = field(default_factory=JobSpec)
    origins: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    place: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    def on_gpus(self, num_gpus: int) -> GPURun:
        """The same run on another number of GPUs, with as many copies of the model as they hold."""
        spread = self.parallelism.model_copy(update={"data_parallel_size": "auto"})
        return replace(self, cluster=self.cluster.model_copy(update={"num_gpus": num_gpus}), parallelism=spread)

    def with_auto_plan(self) -> GPURun:
        """The same run with every parallel size, the micro-batch and recomputation left open."""
        stages = ("num_layers_in_first_pipeline_stage", "num_layers_in_last_pipeline_stage")
        dealt = {"layers_per_stage": "even", **dict.fromkeys(stages)}
        spread = self.parallelism.model_copy(update={**dict.fromkeys(SEARCHED, "auto"), **dealt})
        training = self.training.model_copy(update={"micro_batch_size": "auto"})
        return replace(self, training=training, parallelism=spread)

"""What is trained and how, the ``[training]`` table, and what happens to the job besides its steps, ``[job]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsesim.config.spec import NotNegative, Positive, Spec

# What is trained and how: batch sizes, precision, optimizer, sparsity, number of tokens.


Precision = Literal["cbfloat16", "bfloat16", "float16", "float32", "fp8", "mxfp8", "nvfp4"]
BATCH_KEYS = ("global_batch_size", "batch_size_per_system", "global_batch_tokens")
"""Three ways to say how much a step trains on; a file gives one."""
JOB_KEYS = ("optimizer", "max_gradient_norm", "weight_sparsity", "mode", "precision")
"""What else of ``[training]`` makes a job, and goes along to other machines that know it."""
LARGEST_BATCH = 10**9
"""Sequences of a step. [-]"""
ON_GPUS_ONLY = ("fp8", "mxfp8", "nvfp4")
"""Products of blocks in 8 or 4 bit: with one scale for a tensor, or one for each block of elements."""


class TrainingSpec(Spec):
    """The ``[training]`` table of a run file.

    Attributes
    ----------
    sequence_length
        Tokens per sequence. [-]
    global_batch_size
        Sequences per optimizer step over all systems or GPUs; or `batch_size_per_system`, or `global_batch_tokens`: one of
        the three. What does not divide is dealt out as evenly as it goes, and the fullest system decides. [-]
    batch_size_per_system
        Sequences per optimizer step of each system, on GPUs of each data-parallel copy of the model: the batch grows with
        their number. [-]
    global_batch_tokens
        Tokens per optimizer step over all systems or GPUs; rounded to whole sequences. [-]
    batch_policy
        "exact" takes the batch as it is given, "nearest" the nearest one that divides well among systems and passes, or among
        GPUs.
    batch_tolerance
        Share by which "nearest" may change the batch. [-]
    micro_batch_size
        Sequences per system and pass; "auto" takes the fewest passes that fit. [-]
    precision
        "cbfloat16", "bfloat16" and "float16" compute alike, "float32" slower; on GPUs "bfloat16" when left out. On GPUs
        "fp8", "mxfp8" and "nvfp4" work out the products of blocks with weights in 8 or 4 bit, and the rest in 16.
    optimizer
        Decides how many numbers MemoryX, or a GPU, keeps for each parameter.
    max_gradient_norm
        A global norm makes the optimizer wait for the last gradient; 0 switches it off. [-]
    weight_sparsity
        Share of the weights that are zero and do not stream; wafer-scale runs only. [-]
    tokens
        Training tokens; "chinchilla" is 20 per parameter. [-]
    steps
        Optimizer steps, instead of `tokens`. [-]
    mode
        "train", or "evaluation": forward passes only, nothing is updated.
    activations
        What happens to activations that the backward pass needs: they stay on the wafer
        ("resident"), leave over the port and come back ("offload"), or are computed again
        from a few that stay ("recompute"). Wafer-scale runs only.
    """

    sequence_length: Annotated[int, Field(gt=0, le=100_000_000)]
    global_batch_size: Annotated[int, Field(gt=0, le=LARGEST_BATCH, default_factory=int)]
    batch_size_per_system: Annotated[int, Field(gt=0, le=LARGEST_BATCH)] | None = None
    global_batch_tokens: Annotated[float, Field(gt=0, le=1e15)] | None = None
    batch_policy: Literal["exact", "nearest"] = "exact"
    batch_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    micro_batch_size: Annotated[int, Field(gt=0, le=10**9)] | Literal["auto"] = "auto"
    precision: Precision = "cbfloat16"
    optimizer: Literal["adamw", "adam", "lion", "sgd"] = "adamw"
    max_gradient_norm: Annotated[float, Field(ge=0)] = 1.0
    weight_sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    tokens: Annotated[float, Field(gt=0, le=1e20)] | Literal["chinchilla"] = "chinchilla"
    steps: Annotated[int, Field(gt=0, le=10**12)] | None = None
    mode: Literal["train", "evaluation"] = "train"
    activations: Literal["resident", "offload", "recompute"] = "offload"

    @model_validator(mode="after")
    def _one_length(self) -> TrainingSpec:
        if self.steps is not None and "tokens" in self.model_fields_set:
            raise ValueError("[steps] and tokens are both set, and say the same thing twice; keep one")
        return self

    def with_batch(self, sequences: int) -> TrainingSpec:
        """The same training with another global batch, whichever way it was given."""
        others = {"batch_size_per_system": None, "global_batch_tokens": None}
        return self.model_copy(update=others | {"global_batch_size": sequences})


def batch_problem(training: Mapping[str, Any]) -> tuple[str, str] | None:
    """Key and finding where a ``[training]`` table does not say once, and only once, how large a batch is.

    Examples
    --------
    >>> batch_problem({"global_batch_size": 256}) is None
    True
    >>> batch_problem({"global_batch_size": 256, "global_batch_tokens": 4e6})[0]
    'global_batch_tokens'
    """
    given = [key for key in BATCH_KEYS if training.get(key) is not None]
    if not given:
        finding = (
            "is missing; add it, for example global_batch_size = 256, or batch_size_per_system or global_batch_tokens"
        )
        return BATCH_KEYS[0], finding
    if len(given) > 1:
        return given[-1], f"stands beside {given[0]}, and says the same thing twice; keep one"
    return None


def is_training(training: TrainingSpec) -> bool:
    """Whether gradients are computed; an evaluation has forward passes only."""
    return training.mode == "train"


def wanted_batch(training: TrainingSpec, copies: int | None) -> int | None:
    """Sequences of a step that a ``[training]`` table asks for. [-]

    Parameters
    ----------
    training
        As files have it.
    copies
        Of the model, among which the batch is dealt out; None where a search decides. [-]

    Returns
    -------
    int or None
        None where it depends on the number of copies, which is not known.

    Examples
    --------
    >>> wanted_batch(TrainingSpec(sequence_length=2048, batch_size_per_system=90), 12)
    1080
    >>> wanted_batch(TrainingSpec(sequence_length=2048, global_batch_tokens=2e6), 12)
    977
    """
    if training.batch_size_per_system is not None:
        return None if copies is None else training.batch_size_per_system * copies
    if training.global_batch_tokens is not None:
        return max(1, round(training.global_batch_tokens / training.sequence_length))
    return training.global_batch_size


# What happens to a job besides its steps: the ``[job]`` table, and how often parts of a cluster fail.


LongTime = Annotated[float, Field(ge=1, le=1e13)]
"""A mean time between failures: a part that fails every second is none. [s]"""


class JobSpec(Spec):
    """The ``[job]`` table of a run file, laid over that of its cluster; left out, nothing but steps takes time.

    Attributes
    ----------
    compile_s
        The program is compiled, before anything else. [s]
    queue_s
        Then the job waits for its systems. [s]
    start_up_s
        Then they start. [s]
    staging_s
        Then data and initial weights are put in place. [s]
    evaluation_every_steps
        Steps between two evaluations; left out, there is none. [-]
    evaluation_s
        Time of one evaluation. [s]
    evaluation_sequences
        Sequences of one evaluation, at the rate of forward passes alone, in place of its time. [-]
    checkpoint_interval_s
        Steps between two checkpoints take so long; "optimal" takes Daly's formula. [s]
    checkpoint_bytes_per_parameter
        Weights and optimizer state on storage. [bytes]
    checkpoint_bytes_per_s
        To and from storage; left out, checkpoints take `checkpoint_least_s`. [bytes/s]
    checkpoint_begin_s
        Time of a checkpoint before its first byte. [s]
    checkpoint_least_s
        Shortest time of a checkpoint. [s]
    checkpoint_ahead_steps
        Steps that may run while a checkpoint is written; then they wait for it. 0 stops for the whole of it. [-]
    restart_s
        From a failure, or from the part that replaces it, to a job that runs; reading the checkpoint comes on top. [s]
    on_failure
        A spare takes the place of a failed system ("spare"), the job goes on with fewer ("shrink"), or
        it waits until the system is repaired ("wait").
    spares
        Systems, or GPU nodes, that stand by; "auto" is the mean number in repair and three standard deviations. [-]
    repair_s
        From the failure of a system, or GPU node, until it can be used again. [s]
    replications
        How many times the job is simulated, each with failures of its own. [-]
    seed
        Of all random numbers: the same seed, the same failures. [-]
    """

    compile_s: NotNegative = 0.0
    queue_s: NotNegative = 0.0
    start_up_s: NotNegative = 0.0
    staging_s: NotNegative = 0.0
    evaluation_every_steps: Annotated[int, Field(gt=0, le=10**12)] | None = None
    evaluation_s: NotNegative = 0.0
    evaluation_sequences: Annotated[int, Field(gt=0, le=10**15)] | None = None
    checkpoint_interval_s: Positive | Literal["optimal"] = "optimal"
    checkpoint_bytes_per_parameter: NotNegative = 0.0
    checkpoint_bytes_per_s: Positive | None = None
    checkpoint_begin_s: NotNegative = 0.0
    checkpoint_least_s: NotNegative = 0.0
    checkpoint_ahead_steps: Annotated[int, Field(ge=0, le=10**9)] = 0
    restart_s: NotNegative = 0.0
    on_failure: Literal["spare", "shrink", "wait"] = "spare"
    spares: Annotated[int, Field(ge=0, le=100_000)] | Literal["auto"] = "auto"
    repair_s: NotNegative = 0.0
    replications: Annotated[int, Field(gt=0, le=100_000)] = 200
    seed: Annotated[int, Field(ge=0, le=10**12)] = 0


class ReliabilitySpec(Spec):
    """How often parts of a wafer-scale cluster fail; what is left out never does.

    Attributes
    ----------
    system_mtbf_s
        Mean time between failures of one CS system that stop the job. [s]
    link_mtbf_s
        Mean time between failures of one link of the fabric; that of a system's port takes the system with it. [s]
    weight_server_mtbf_s
        Mean time between failures of one weight server of MemoryX. [s]
    num_weight_servers
        Weight servers of a job. [-]
    """

    system_mtbf_s: LongTime | None = None
    link_mtbf_s: LongTime | None = None
    weight_server_mtbf_s: LongTime | None = None
    num_weight_servers: Annotated[int, Field(ge=0, le=100_000)] = 0


class GPUReliabilitySpec(Spec):
    """How often parts of a GPU cluster fail; what is left out never does.

    Attributes
    ----------
    node_mtbf_s
        Mean time between failures of one node that stop the job: its GPUs, host and adapters. [s]
    job_mtbf_s
        Mean time between stops of a job that no node has caused, however many nodes it has: its own software and
        users, and what it shares with others. [s]
    """

    node_mtbf_s: LongTime | None = None
    job_mtbf_s: LongTime | None = None

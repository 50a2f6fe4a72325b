"""What is trained and how: batch sizes, precision, optimizer, sparsity, number of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsesim.config.spec import Spec

Precision = Literal["cbfloat16", "bfloat16", "float16", "float32", "fp8", "mxfp8", "nvfp4"]
BATCH_KEYS = ("global_batch_size", "batch_size_per_system", "global_batch_tokens")
"""Three ways to say how much a step trains on; a file gives one."""
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
        "train", or "evaluation": forward passes only, on wafer-scale systems.
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

"""What is trained and how: batch sizes, precision, optimizer, sparsity, number of tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsesim.config.spec import Spec

Precision = Literal["cbfloat16", "bfloat16", "float16", "float32", "fp8", "mxfp8", "nvfp4"]
ON_GPUS_ONLY = ("fp8", "mxfp8", "nvfp4")
"""Products of blocks in 8 or 4 bit: with one scale for a tensor, or one for each block of elements."""


class TrainingSpec(Spec):
    """The ``[training]`` table of a run file.

    Attributes
    ----------
    sequence_length
        Tokens per sequence. [-]
    global_batch_size
        Sequences per optimizer step over all systems; must divide by their number. [-]
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
    global_batch_size: Annotated[int, Field(gt=0, le=10**9)]
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

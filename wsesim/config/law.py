"""Laws of what a model learns: loss by parameters and tokens or by compute, zero-shot accuracy by loss. A file each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wsesim.config.spec import NotNegative, Positive, Share, Spec

Chance = Annotated[float, Field(ge=0, lt=1)]
"""An accuracy below one. [-]"""


class LossLawSpec(Spec):
    """Loss by parameters N and tokens D: floor + ((of_parameters / N^a)^s + (of_tokens / D^b)^s)^(1/s).

    Attributes
    ----------
    data
        What the loss is measured on, in words.
    counted
        Parameters that N counts: "all", or "blocks" for the weights that a token meets in the transformer blocks, which leaves
        embeddings out.
    floor
        Loss that no model of these data goes below. [-]
    of_parameters
        What one parameter would cost. [-]
    parameters_power
        a, with which that falls. [-]
    of_tokens
        What one token would cost. [-]
    tokens_power
        b, with which that falls. [-]
    sharpness
        s; 1 adds the two, more lets the larger one rule. [-]
    error
        Half of the 90 % interval, as a share of the loss: from models left out of the fit. [-]
    least_parameters
        Of the models that it was fitted on, as `counted`. [-]
    most_parameters
        Of the models that it was fitted on, as `counted`. [-]
    least_tokens
        Of the models that it was fitted on. [-]
    most_tokens
        Of the models that it was fitted on. [-]
    least_tokens_per_parameter
        Of the models that it was fitted on, parameters as `counted`. [-]
    most_tokens_per_parameter
        Of the models that it was fitted on, parameters as `counted`. [-]
    """

    data: str
    counted: Literal["all", "blocks"]
    floor: NotNegative
    of_parameters: Positive
    parameters_power: Share
    of_tokens: Positive
    tokens_power: Share
    sharpness: Annotated[float, Field(ge=1, le=10)] = 1.0
    error: Share | None = None
    least_parameters: Positive
    most_parameters: Positive
    least_tokens: Positive
    most_tokens: Positive
    least_tokens_per_parameter: Positive
    most_tokens_per_parameter: Positive


class ComputeLawSpec(Spec):
    """Loss by training compute C, for one number of tokens per parameter: floor + (C / scale_flop)^-power.

    Attributes
    ----------
    data
        What the loss is measured on, in words.
    floor
        Loss that no model of these data goes below. [-]
    scale_flop
        Compute of a model that is one nat above the floor. [FLOP]
    power
        How fast the rest falls. [-]
    error
        Half of the 90 % interval, as a share of the loss. [-]
    tokens_per_parameter
        The recipe that it is for, all parameters counted. [-]
    most_off_recipe
        Factor by which a model's tokens per parameter may differ from it. [-]
    least_flop
        Of the models that it was fitted on. [FLOP]
    most_flop
        Of the models that it was fitted on. [FLOP]
    """

    data: str
    floor: NotNegative
    scale_flop: Positive
    power: Share
    error: Share | None = None
    tokens_per_parameter: Positive
    most_off_recipe: Annotated[float, Field(ge=1)]
    least_flop: Positive
    most_flop: Positive


class TaskSpec(Spec):
    """Zero-shot accuracy by loss L: floor + (ceiling - floor) / (1 + (L / half_loss)^power).

    Attributes
    ----------
    chance
        Accuracy of guessing. [-]
    floor
        Accuracy of a model that has learned nothing: chance, or less where likelier wrong answers are longer ones. [-]
    ceiling
        Accuracy that no model exceeds, since some answers are wrong or ambiguous. [-]
    half_loss
        Loss half-way between the two. [-]
    power
        How fast accuracy rises there. [-]
    error
        Half of the 90 % interval: from models left out of this fit and of that of the loss. [-]
    error_by_compute
        The same where the loss comes from compute alone. [-]
    """

    chance: Chance
    floor: Chance
    ceiling: Share
    half_loss: Positive
    power: Positive
    error: Share | None = None
    error_by_compute: Share | None = None


class LawSpec(Spec):
    """One file of ``cluster_configs/laws``, with at least one law.

    Attributes
    ----------
    name
        Title.
    loss
        By parameters and tokens.
    compute
        By compute alone.
    tasks
        Zero-shot accuracy by loss, by task.
    average_error
        Half of the 90 % interval of the mean of all tasks. [-]
    average_error_by_compute
        The same where the loss comes from compute alone. [-]
    least_loss
        Of the models whose accuracy was fitted. [-]
    most_loss
        Of the models whose accuracy was fitted. [-]
    """

    name: str
    loss: LossLawSpec | None = None
    compute: ComputeLawSpec | None = None
    tasks: Annotated[dict[str, TaskSpec], Field(default_factory=dict)]
    average_error: Share | None = None
    average_error_by_compute: Share | None = None
    least_loss: Positive | None = None
    most_loss: Positive | None = None

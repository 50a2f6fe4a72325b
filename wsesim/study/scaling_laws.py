"""Which model, trained on how many tokens, reaches a loss or an accuracy: the laws of loss, solved the other way round.

Laws in parameters and tokens [1]_ [2]_ give the loss of any model on any number of tokens, so smaller models that are trained
longer can be weighed against the compute-optimal one. The Cerebras-GPT law [3]_ is for models trained on 20 tokens per
parameter, and knows only those. An accuracy is asked of the loss at which models of the Pile reach it.

References
----------
.. [1] Fitted to published models of the Pile: ``pile`` in cluster_configs/laws (`wsesim.results.loss.loss`).
.. [2] Hoffmann et al. 2022, arXiv:2203.15556, equation 10, with the constants of Besiroglu et al. 2024, arXiv:2404.10102.
.. [3] Dey et al. 2023, arXiv:2304.03208, equation 1 (`wsesim.results.loss.loss_by_compute`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from wsesim.config.goal import GoalSpec
from wsesim.config.loader import load_law
from wsesim.config.model import ComputeLawSpec, LawSpec, LossLawSpec, ModelSpec
from wsesim.errors import DoesNotFit, InputError
from wsesim.results.loss import PILE, counted, loss_for, optimal_parameters, tokens_for, vendor_training_flop
from wsesim.workload.transformer import parameter_count, shape_of

SMALLEST, LARGEST = 1e6, 1e14
"""Parameters beyond which a law's answer is no model. [-]"""
SMALLER = (1.0, 0.7, 0.5, 0.35)
"""Sizes over the compute-optimal one that are tried: smaller models are cheaper to use later. [-]"""
COUNTED_AGAIN = 6
"""Times that a size is corrected for what the law counts of it. [-]"""
FLOP_PER_PARAMETER_AND_TOKEN = 6.0


class Recipe(NamedTuple):
    """A model size and a number of tokens. [-]"""

    parameters: float
    tokens: float

    @property
    def flop(self) -> float:
        """Six for each parameter and token. [FLOP]"""
        return FLOP_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens


def law_text(name: str) -> str:
    """A law with its constants.

    Examples
    --------
    >>> law_text("cerebras-gpt")
    'Dey et al. 2023, equation 1: (C / 5.984e+22 FLOP)^-0.0737 + 0.5066, at 20 tokens per parameter'
    """
    found = load_law(name)
    if found.loss is not None:
        law = found.loss
        costs = (
            f"{law.of_parameters:.5g} / N^{law.parameters_power:.4g}",
            f"{law.of_tokens:.6g} / D^{law.tokens_power:.4g}",
        )
        reducible = " + ".join(costs)
        if law.sharpness != 1.0:
            powers = [f"({one})^{law.sharpness:g}" for one in costs]
            reducible = f"({' + '.join(powers)})^(1/{law.sharpness:g})"
        of_blocks = ", N without embeddings" if law.counted == "blocks" else ""
        return f"{found.name}: {law.floor:g} + {reducible}{of_blocks}"
    compute = _compute(found)
    return (
        f"{found.name}: (C / {compute.scale_flop:.4g} FLOP)^-{compute.power:g} + {compute.floor:g}, "
        f"at {compute.tokens_per_parameter:g} tokens per parameter"
    )


def _compute(law: LawSpec) -> ComputeLawSpec:
    if law.compute is None:
        raise InputError(f"law {law.name}: has no law of loss by compute; name one that has")
    return law.compute


def wanted_loss(goal: GoalSpec) -> float | None:
    """Loss that a goal asks for, itself or by an accuracy; None where it names its model. [nats/token]"""
    if goal.target_accuracy:
        return loss_for(load_law(PILE), goal.target_accuracy)
    return goal.target_loss


def recipes(loss: float, law: str) -> list[Recipe]:
    """Ways to reach a loss, the compute-optimal one first; parameters as the law counts them.

    Raises
    ------
    DoesNotFit
        A loss below what the law says any model can reach, or above what the smallest one does.

    Examples
    --------
    >>> best, *smaller = recipes(2.2, "chinchilla")
    >>> 1e9 < best.parameters < 10e9, all(one.flop > best.flop for one in smaller)
    (True, True)
    """
    found = load_law(law)
    floor = found.loss.floor if found.loss is not None else _compute(found).floor
    if loss <= floor:
        raise DoesNotFit(
            f"a loss of {loss:g} is below {floor:g}, which no model reaches by the {law} law; raise target_loss, "
            "or take the law of the data that you mean"
        )
    best = _compute_recipe(_compute(found), loss) if found.loss is None else _recipe(found.loss, None, loss)
    if not SMALLEST <= best.parameters <= LARGEST:
        change = "raise" if best.parameters > LARGEST else "lower"
        raise DoesNotFit(
            f"a loss of {loss:.9g} takes {best.parameters:.3g} parameters by the {law} law, of which nobody makes a model; "
            f"{change} target_loss"
        )
    if found.loss is None:
        return [best]
    sizes = [_recipe(found.loss, best.parameters * share, loss) for share in SMALLER]
    return [one for one in sizes if one.parameters >= SMALLEST and math.isfinite(one.tokens)]


def _compute_recipe(law: ComputeLawSpec, loss: float) -> Recipe:
    flop = law.scale_flop * (loss - law.floor) ** (-1.0 / law.power)
    parameters = math.sqrt(flop / FLOP_PER_PARAMETER_AND_TOKEN / law.tokens_per_parameter)
    return Recipe(parameters, law.tokens_per_parameter * parameters)


def _recipe(law: LossLawSpec, parameters: float | None, loss: float) -> Recipe:
    size = optimal_parameters(law, loss) if parameters is None else parameters
    return Recipe(size, tokens_for(law, size, loss))


def with_model(recipe: Recipe, loss: float, law: str, sequence_length: int) -> tuple[Recipe, dict[str, Any]] | None:
    """A recipe for a model of whole layers and heads, which reaches the loss; None where no number of tokens does.

    The recipe that comes back counts all parameters. The Cerebras-GPT law counts compute as its authors do, with attention
    and the look-up of tokens.

    Examples
    --------
    >>> found, model = with_model(recipes(2.2, "chinchilla")[0], 2.2, "chinchilla", 2048)
    >>> model["hidden_size"] % 128, found.tokens > found.parameters
    (0, True)
    """
    found = load_law(law)
    if found.loss is None:
        return _with_model_of_compute(recipe, _compute(found), sequence_length)
    spec, shape = _shape_counting(found.loss, recipe.parameters, sequence_length)
    tokens = tokens_for(found.loss, counted(found.loss, spec, sequence_length), loss)
    return (Recipe(parameter_count(spec, sequence_length), tokens), shape) if math.isfinite(tokens) else None


def _shape_counting(law: LossLawSpec, wanted: float, sequence_length: int) -> tuple[ModelSpec, dict[str, Any]]:
    """A shape of which the law counts about so many parameters."""
    tried = []
    parameters = wanted
    for _ in range(COUNTED_AGAIN):
        shape = shape_of(parameters)
        spec = ModelSpec.model_validate(shape)
        share = wanted / counted(law, spec, sequence_length)
        tried.append((abs(math.log(share)), spec, shape))
        parameters *= share
        if law.counted == "all":
            break
    _, spec, shape = min(tried, key=lambda one: one[0])
    return spec, shape


def _with_model_of_compute(recipe: Recipe, law: ComputeLawSpec, sequence_length: int) -> tuple[Recipe, dict[str, Any]]:
    tried = []
    parameters = recipe.parameters
    for _ in range(COUNTED_AGAIN):
        shape = shape_of(parameters)
        spec = ModelSpec.model_validate(shape)
        count = parameter_count(spec, sequence_length)
        tokens = law.tokens_per_parameter * count
        share = recipe.flop / vendor_training_flop(spec, sequence_length, tokens)
        tried.append((abs(math.log(share)), Recipe(count, share * tokens), shape))
        parameters *= math.sqrt(share)
    _, found, shape = min(tried, key=lambda one: one[0])
    return found, shape


def beyond_law(recipe: Recipe, law: str) -> str:
    """That a law is stretched, in words; empty where it was fitted on such models. `Quality.notes` says it of the Pile.

    Examples
    --------
    >>> beyond_law(Recipe(13e9, 260e9), "chinchilla"), beyond_law(Recipe(1e12, 2e13), "chinchilla")
    ('', 'the chinchilla law was fitted on models of 0.07 to 16 billion parameters')
    """
    found = load_law(law)
    if found.loss is not None:
        low, high = found.loss.least_parameters, found.loss.most_parameters
        if found.loss.counted == "blocks" or low <= recipe.parameters <= high:
            return ""
        return f"the {law} law was fitted on models of {low / 1e9:g} to {high / 1e9:g} billion parameters"
    compute = _compute(found)
    if compute.least_flop <= recipe.flop <= compute.most_flop:
        return ""
    return f"the {law} law was fitted on models of {compute.least_flop:.2g} to {compute.most_flop:.2g} FLOP"


BATCH_TOKENS = ((0.9e9, 0.5e6), (4e9, 1e6), (60e9, 2e6), (math.inf, 3.2e6))
"""Up to so many parameters, tokens of one batch (Brown et al. 2020, table 2.1). [-]"""


def batch_tokens(parameters: float) -> float:
    """Tokens of one step that a model of a size is usually trained with. [-]"""
    return next(tokens for limit, tokens in BATCH_TOKENS if parameters <= limit)

"""Which model, trained on how many tokens, reaches a loss: published laws, solved the other way round.

Chinchilla [1]_ gives the loss of any model on any number of tokens, so smaller models that are trained
longer can be weighed against the compute-optimal one. The Cerebras-GPT law [2]_ is for models trained
on 20 tokens per parameter, and knows only those.

References
----------
.. [1] Hoffmann et al. 2022, arXiv:2203.15556, equation 10 (`wsesim.loss.chinchilla_loss`).
.. [2] Dey et al. 2023, arXiv:2304.03208, equation 1 (`wsesim.loss.pile_loss`).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from wsesim.config.model import ModelSpec
from wsesim.errors import DoesNotFit
from wsesim.job import TOKENS_PER_PARAMETER
from wsesim.loss import (
    DATA_POWER,
    IRREDUCIBLE,
    MODEL_POWER,
    OF_DATA,
    OF_MODEL,
    PILE_IRREDUCIBLE,
    PILE_POWER,
    PILE_SCALE_FLOP,
    vendor_training_flop,
)
from wsesim.workload.transformer import parameter_count

LAWS = {
    "chinchilla": "Hoffmann et al. 2022, equation 10: "
    f"{IRREDUCIBLE:g} + {OF_MODEL:g} / N^{MODEL_POWER:g} + {OF_DATA:g} / D^{DATA_POWER:g}",
    "cerebras-gpt": "Dey et al. 2023, equation 1: "
    f"(C / {PILE_SCALE_FLOP:.4g} FLOP)^-{PILE_POWER:g} + {PILE_IRREDUCIBLE:g}, at 20 tokens per parameter",
}
"""Where each law is from, and its constants."""
FITTED_ON = {"chinchilla": (70e6, 16e9), "cerebras-gpt": (111e6, 13e9)}
"""Parameters of the smallest and the largest model that each law was fitted on: abstracts of both papers. [-]"""
SMALLEST, LARGEST = 1e6, 1e14
"""Parameters beyond which a law's answer is no model. [-]"""
SMALLER = (1.0, 0.7, 0.5, 0.35)
"""Sizes over the compute-optimal one that are tried: smaller models are cheaper to use later. [-]"""
COUNTED_AGAIN = 4
"""Times that a size is corrected for what its compute is counted as. [-]"""
FLOP_PER_PARAMETER_AND_TOKEN = 6.0
VOCAB_SIZE = 50257
"""That of GPT-2, which both laws' models are near to. [-]"""


class Recipe(NamedTuple):
    """A model size and a number of tokens. [-]"""

    parameters: float
    tokens: float

    @property
    def flop(self) -> float:
        """Six for each parameter and token. [FLOP]"""
        return FLOP_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens


def recipes(loss: float, law: str) -> list[Recipe]:
    """Ways to reach a loss, the compute-optimal one first.

    Raises
    ------
    DoesNotFit
        A loss below what the law says any model can reach, or above what the smallest one does.

    Examples
    --------
    >>> best, *smaller = recipes(2.0, "chinchilla")
    >>> 10e9 < best.parameters < 20e9, all(one.flop > best.flop for one in smaller)
    (True, True)
    """
    floor = IRREDUCIBLE if law == "chinchilla" else PILE_IRREDUCIBLE
    if loss <= floor:
        raise DoesNotFit(
            f"a loss of {loss:g} is below {floor:g}, which no model reaches by the {law} law; raise target_loss, "
            "or take the law of the data that you mean"
        )
    best = _cerebras_recipe(loss) if law == "cerebras-gpt" else _recipe(optimal_parameters(loss), loss)
    if not SMALLEST <= best.parameters <= LARGEST:
        change = "raise" if best.parameters > LARGEST else "lower"
        raise DoesNotFit(
            f"a loss of {loss:.9g} takes {best.parameters:.3g} parameters by the {law} law, of which nobody makes a model; "
            f"{change} target_loss"
        )
    if law == "cerebras-gpt":
        return [best]
    sizes = [best.parameters * share for share in SMALLER]
    return [_recipe(size, loss) for size in sizes if size >= SMALLEST and reaches(size, loss)]


def _cerebras_recipe(loss: float) -> Recipe:
    flop = PILE_SCALE_FLOP * (loss - PILE_IRREDUCIBLE) ** (-1.0 / PILE_POWER)
    parameters = math.sqrt(flop / FLOP_PER_PARAMETER_AND_TOKEN / TOKENS_PER_PARAMETER)
    return Recipe(parameters, TOKENS_PER_PARAMETER * parameters)


def _recipe(parameters: float, loss: float) -> Recipe:
    return Recipe(parameters, tokens_for(parameters, loss))


def with_model(recipe: Recipe, loss: float, law: str, sequence_length: int) -> tuple[Recipe, dict[str, Any]] | None:
    """A recipe for a model of whole layers and heads, which reaches the loss; None where no number of tokens does.

    The Cerebras-GPT law counts compute as its authors do, with attention and the look-up of tokens.

    Examples
    --------
    >>> found, model = with_model(recipes(2.0, "chinchilla")[0], 2.0, "chinchilla", 2048)
    >>> model["hidden_size"] % 128, found == _recipe(found.parameters, 2.0)
    (0, True)
    """
    if law == "chinchilla":
        shape = shape_of(recipe.parameters)
        count = _count(shape, sequence_length)
        return (_recipe(count, loss), shape) if reaches(count, loss) else None
    tried = []
    parameters = recipe.parameters
    for _ in range(COUNTED_AGAIN):
        shape = shape_of(parameters)
        count = _count(shape, sequence_length)
        tokens = TOKENS_PER_PARAMETER * count
        share = recipe.flop / vendor_training_flop(ModelSpec.model_validate(shape), sequence_length, tokens)
        tried.append((abs(math.log(share)), Recipe(count, share * tokens), shape))
        parameters *= math.sqrt(share)
    _, found, shape = min(tried, key=lambda one: one[0])
    return found, shape


def _count(shape: dict[str, Any], sequence_length: int) -> int:
    return parameter_count(ModelSpec.model_validate(shape), sequence_length)


def beyond_law(recipe: Recipe, law: str) -> str:
    """That a law is stretched, in words; empty where it was fitted on such models.

    Examples
    --------
    >>> beyond_law(Recipe(13e9, 260e9), "chinchilla"), beyond_law(Recipe(1e12, 2e13), "chinchilla")
    ('', 'the chinchilla law was fitted on models of 0.07 to 16 billion parameters')
    """
    low, high = FITTED_ON[law]
    if low <= recipe.parameters <= high:
        return ""
    return f"the {law} law was fitted on models of {low / 1e9:g} to {high / 1e9:g} billion parameters"


def optimal_parameters(loss: float) -> float:
    """Parameters with which a loss takes least compute, by the Chinchilla law. [-]

    At the optimum the two reducible terms are in the ratio of the exponents.
    """
    of_model = (loss - IRREDUCIBLE) * DATA_POWER / (MODEL_POWER + DATA_POWER)
    return float((OF_MODEL / of_model) ** (1.0 / MODEL_POWER))


def reaches(parameters: float, loss: float) -> bool:
    """Whether a model reaches a loss on any number of tokens."""
    return bool(loss > IRREDUCIBLE + OF_MODEL / parameters**MODEL_POWER)


def tokens_for(parameters: float, loss: float) -> float:
    """Tokens on which a model reaches a loss, by the Chinchilla law. [-]"""
    rest = loss - IRREDUCIBLE - OF_MODEL / parameters**MODEL_POWER
    return float((OF_DATA / rest) ** (1.0 / DATA_POWER))


SHAPES = ((125e6, 12), (355e6, 24), (1.3e9, 24), (2.7e9, 32), (6.7e9, 32), (13e9, 40), (175e9, 96), (530e9, 105))
"""Parameters and layers of the GPT-3 family and MT-NLG (Brown et al. 2020, table 2.1; Smith et al. 2022). [-]"""
WIDTH_STEP = 128
"""Widths are multiples of this, which is also the width of a head. [-]"""


def shape_of(parameters: float) -> dict[str, Any]:
    """A GPT of about so many parameters, as a ``[model]`` table; its depth lies between those of the GPT-3 family.

    Examples
    --------
    >>> shape_of(13e9)["num_layers"], shape_of(13e9)["hidden_size"]
    (40, 5120)
    """
    layers = _depth(parameters)
    width = _width(parameters, layers)
    return {
        "name": f"GPT of {parameters:.3g} parameters",
        "num_layers": layers,
        "hidden_size": width,
        "num_attention_heads": max(1, width // WIDTH_STEP),
        "vocab_size": VOCAB_SIZE,
    }


def _depth(parameters: float) -> int:
    known = SHAPES
    if parameters <= known[0][0]:
        return known[0][1]
    for (small, few), (large, many) in itertools.pairwise(known):
        if parameters <= large:
            share = math.log(parameters / small) / math.log(large / small)
            return round(float(few * (many / few) ** share))
    return known[-1][1]


def _width(parameters: float, layers: int) -> int:
    """The multiple of `WIDTH_STEP` whose ``12 L h^2 + V h`` is nearest."""
    exact = (math.sqrt(VOCAB_SIZE**2 + 48.0 * layers * parameters) - VOCAB_SIZE) / (24.0 * layers)
    return max(1, round(exact / WIDTH_STEP)) * WIDTH_STEP


BATCH_TOKENS = ((0.9e9, 0.5e6), (4e9, 1e6), (60e9, 2e6), (math.inf, 3.2e6))
"""Up to so many parameters, tokens of one batch (Brown et al. 2020, table 2.1). [-]"""


def batch_tokens(parameters: float) -> float:
    """Tokens of one step that a model of a size is usually trained with. [-]"""
    return next(tokens for limit, tokens in BATCH_TOKENS if parameters <= limit)

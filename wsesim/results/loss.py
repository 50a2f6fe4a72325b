"""What a model will have learned: its loss, and its zero-shot accuracy on seven tasks.

The loss comes from parameters and tokens, by a law that was fitted to published models of the Pile and that adds what too
few parameters and too few tokens cost as two sides of a right angle. Accuracy follows from the loss: models that were not
trained compute-optimally lie on other curves of compute, but on nearly the same curve of loss. Near 20 tokens per parameter
the loss comes from compute alone as well, by the law of [1]_, and stands beside.

Constants are in ``cluster_configs/laws``; `wsesim calibrate --loss` fits them. Not modelled: other data than the Pile,
repeated data, the course of the learning rate, anything that comes after pre-training.

.. [1] ``cerebras-gpt-2023`` in cluster_configs/sources.toml, equation 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from wsesim.config.loader import load_law
from wsesim.config.model import ComputeLawSpec, LawSpec, LossLawSpec, ModelSpec, TaskSpec
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.units import add_up
from wsesim.workload.transformer import layers, model_flop_per_sequence, parameter_count

if TYPE_CHECKING:
    import numpy as np

Given = TypeVar("Given")
Numbers = TypeVar("Numbers", float, "np.ndarray[Any, Any]")

PILE, COMPUTE, CHINCHILLA = "pile", "cerebras-gpt", "chinchilla"
"""Laws of the catalogue."""
TASKS = ("hellaswag", "piqa", "winogrande", "lambada", "arc_easy", "arc_challenge", "openbookqa")
"""Tasks of the shipped law."""
AVERAGE = "average"
"""What the mean of all tasks is called."""
TOKENS_PER_PARAMETER = 20.0
"""The compute-optimal recipe of Hoffmann et al. 2022 that Cerebras-GPT was trained by. [-]"""
NEAR = 1.25
"""A model that is beyond the fitted ones by no more than this factor is among them. [-]"""
SAME_RECIPE = 0.02
"""Tokens that differ by no more, as a share, are those of the authors' own recipe. [-]"""
CURVE_POINTS, CURVE_START = 60, 0.01
"""Points of a loss curve, and the share of the tokens at which it begins. [-]"""
CLOSE_ENOUGH = 1e-12


class LossConstants(NamedTuple):
    """A loss law while it is fitted; as in `LossLawSpec`."""

    floor: float
    of_parameters: float
    parameters_power: float
    of_tokens: float
    tokens_power: float
    sharpness: float


class TaskConstants(NamedTuple):
    """A task while it is fitted; as in `TaskSpec`."""

    floor: float
    ceiling: float
    half_loss: float
    power: float


def loss(law: LossLawSpec | LossConstants, parameters: Numbers, tokens: Numbers) -> Numbers:
    """Loss by parameters, counted as the law counts them, and tokens; of one model, or of many in arrays. [nats/token]

    Examples
    --------
    >>> law = load_law("chinchilla").loss
    >>> loss(law, 70e9, 1.4e12) < loss(law, 280e9, 300e9)  # Chinchilla beats Gopher
    True
    """
    of_parameters = law.of_parameters / parameters**law.parameters_power
    of_tokens = law.of_tokens / tokens**law.tokens_power
    cost = (of_parameters**law.sharpness + of_tokens**law.sharpness) ** (1.0 / law.sharpness)
    return cast("Numbers", law.floor + cost)


def tokens_for(law: LossLawSpec, parameters: float, wanted: float) -> float:
    """Tokens on which so many parameters reach a loss; infinite where no number of tokens does. [-]"""
    share = (law.of_parameters / parameters**law.parameters_power / (wanted - law.floor)) ** law.sharpness
    if wanted <= law.floor or share >= 1.0:
        return math.inf
    rest = (wanted - law.floor) * (1.0 - share) ** (1.0 / law.sharpness)
    return float((law.of_tokens / rest) ** (1.0 / law.tokens_power))


def optimal_parameters(law: LossLawSpec, wanted: float) -> float:
    """Parameters with which a loss takes least compute, at six FLOP for each parameter and token. [-]

    At the optimum the two costs, to the power of the sharpness, are in the ratio of the other's exponent.
    """
    share = law.tokens_power / (law.parameters_power + law.tokens_power)
    of_model = (wanted - law.floor) * share ** (1.0 / law.sharpness)
    return float((law.of_parameters / of_model) ** (1.0 / law.parameters_power))


def loss_by_compute(law: ComputeLawSpec, training_flop: float) -> float:
    """Loss of a model that was trained by the law's recipe. [nats/token]

    Examples
    --------
    >>> round(loss_by_compute(load_law("cerebras-gpt").compute, 2.3e22), 3)  # Cerebras-GPT 13B, published 1.572
    1.58
    """
    return float((training_flop / law.scale_flop) ** -law.power + law.floor)


def accuracy(task: TaskSpec | TaskConstants, at_loss: Numbers) -> Numbers:
    """Zero-shot accuracy of models with this Pile loss. [-]

    Examples
    --------
    >>> task = load_law("pile").tasks["hellaswag"]
    >>> task.floor < accuracy(task, 3.0) < accuracy(task, 1.5) < task.ceiling
    True
    """
    rise = 1.0 + (at_loss / task.half_loss) ** task.power
    return cast("Numbers", task.floor + (task.ceiling - task.floor) / rise)


def accuracies(law: LawSpec, at_loss: float) -> dict[str, float]:
    """Accuracy on the mean of all tasks and on each of them. [-]"""
    found = {name: accuracy(task, at_loss) for name, task in law.tasks.items()}
    return {AVERAGE: fmean(found.values()), **found}


def loss_for(law: LawSpec, wanted: Mapping[str, float]) -> float:
    """Pile loss at which a model reaches every wanted accuracy. [nats/token]

    Raises
    ------
    ConfigError
        A task that is not known.
    DoesNotFit
        An accuracy that no loss gives.

    Examples
    --------
    >>> found = loss_for(load_law("pile"), {"hellaswag": 0.5})
    >>> round(accuracies(load_law("pile"), found)["hellaswag"], 9)
    0.5
    """
    return min(_loss_for_one(law, name, value) for name, value in wanted.items())


def _loss_for_one(law: LawSpec, name: str, wanted: float) -> float:
    known = {AVERAGE: law.average_error, **law.tasks}
    if name not in known:
        raise ConfigError(f"target_accuracy: {name!r} is not among the tasks; use one of {', '.join(known)}")
    at: Callable[[float], float] = lambda value: accuracies(law, value)[name]  # noqa: E731
    low, high = 1e-3, 1e3
    if not at(high) < wanted < at(low):
        raise DoesNotFit(
            f"target_accuracy: {name} = {wanted:g} is outside {at(high):.3g} to {at(low):.3g}, between which it follows from "
            "the loss; choose a value between them"
        )
    while high / low > 1.0 + CLOSE_ENOUGH:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if at(middle) > wanted else (low, middle)
    return low


def counted(law: LossLawSpec, model: ModelSpec, sequence_length: int) -> float:
    """Parameters as a law counts them. [-]

    Those of blocks are the weights that a token meets, so a mixture counts by its active experts.
    """
    if law.counted == "all":
        return float(parameter_count(model, sequence_length))
    chain = layers(model, sequence_length)
    return add_up(one.gemm_flop_per_sequence for one in chain if one.kind == "block") / (2.0 * sequence_length)


def vendor_training_flop(model: ModelSpec, sequence_length: int, num_tokens: float) -> float:
    """Training compute as the Cerebras-GPT authors count it. [FLOP]

    Model FLOP with full attention, plus the embedding look-up as a product, which brings our
    count within 3 to 13 % of theirs.
    """
    per_sequence = model_flop_per_sequence(model, sequence_length)
    lookup = 6.0 * sequence_length * model.vocab_size * model.token_embedding_size
    return (per_sequence + lookup) * num_tokens / sequence_length


class Point(NamedTuple):
    """A point of a loss curve: a run that ends there.

    Attributes
    ----------
    tokens
        It was trained on. [-]
    loss, low, high
        Of it, and its 90 % interval. [nats/token]
    accuracy
        Zero-shot, the mean of all tasks. [-]
    is_fitted
        Whether it is among the models that the law was fitted to.
    """

    tokens: float
    loss: float
    low: float
    high: float
    accuracy: float
    is_fitted: bool


@dataclass(frozen=True)
class Quality:
    """What a model will have learned after some tokens of the Pile; intervals hold 90 %.

    Everything is worked out when it is first asked for.
    """

    model: ModelSpec = field(repr=False)
    sequence_length: int
    tokens: float

    @property
    def _laws(self) -> LawSpec:
        return load_law(PILE)

    @property
    def _law(self) -> LossLawSpec:
        return _given(self._laws.loss)

    @cached_property
    def parameters(self) -> float:
        """Weights of the blocks that a token meets. [-]"""
        return counted(self._law, self.model, self.sequence_length)

    @cached_property
    def loss(self) -> float:
        """Test loss on the Pile. [nats/token]"""
        return loss(self._law, self.parameters, self.tokens)

    @property
    def loss_range(self) -> tuple[float, float]:
        """Its interval. [nats/token]"""
        return _around(self.loss, (self._law.error or 0.0) * self.loss * self.stretch, math.inf)

    @cached_property
    def accuracy(self) -> dict[str, float]:
        """On the mean of the tasks, and on each of them. [-]"""
        return accuracies(self._laws, self.loss)

    @property
    def accuracy_range(self) -> dict[str, tuple[float, float]]:
        """Their intervals. [-]"""
        return self._ranges(self.accuracy, "")

    @property
    def chance(self) -> dict[str, float]:
        """What guessing gives. [-]"""
        known = {name: task.chance for name, task in self._laws.tasks.items()}
        return {AVERAGE: fmean(known.values()), **known}

    @cached_property
    def loss_by_compute(self) -> float | None:
        """By compute alone; None for models that were not trained by its law's recipe. [nats/token]"""
        law = _given(load_law(COMPUTE).compute)
        each = self.tokens / parameter_count(self.model, self.sequence_length) / law.tokens_per_parameter
        if self.model.num_experts > 1 or not 1.0 / law.most_off_recipe <= each <= law.most_off_recipe:
            return None
        return loss_by_compute(law, self.training_flop)

    @property
    def accuracy_by_compute(self) -> dict[str, float] | None:
        """By compute alone; None for models that were not trained by its law's recipe. [-]"""
        return None if self.loss_by_compute is None else accuracies(self._laws, self.loss_by_compute)

    @property
    def accuracy_by_compute_range(self) -> dict[str, tuple[float, float]] | None:
        """Their intervals. [-]"""
        found = self.accuracy_by_compute
        return None if found is None else self._ranges(found, "_by_compute")

    @property
    def training_flop(self) -> float:
        """As the Cerebras-GPT authors count it: their own figure for their own recipe. [FLOP]"""
        reported = self.model.training_flop_reported
        recipe = TOKENS_PER_PARAMETER * parameter_count(self.model, self.sequence_length)
        if reported is not None and abs(self.tokens / recipe - 1.0) < SAME_RECIPE:
            return reported
        return vendor_training_flop(self.model, self.sequence_length, self.tokens)

    @property
    def chinchilla_loss(self) -> float:
        """By the law of Hoffmann et al., on other data, so not to be compared with the Pile. [nats/token]"""
        law = _given(load_law(CHINCHILLA).loss)
        return loss(law, counted(law, self.model, self.sequence_length), self.tokens)

    def curve(self) -> Iterator[Point]:
        """The loss of runs that end earlier, from a hundredth of the tokens to all of them.

        A run passes above these points: its learning rate is not yet down.
        """
        for place in range(CURVE_POINTS + 1):
            tokens = self.tokens * CURVE_START ** (1.0 - place / CURVE_POINTS)
            then = Quality(self.model, self.sequence_length, tokens)
            yield Point(tokens, then.loss, *then.loss_range, then.accuracy[AVERAGE], not then.notes)

    @property
    def _bounds(self) -> tuple[tuple[str, float, float, float], ...]:
        """What is bounded by the fitted models, how much it is here, and their least and most."""
        law, each = self._law, self.tokens / self.parameters
        return (
            ("parameters in its blocks", self.parameters, law.least_parameters, law.most_parameters),
            ("tokens", self.tokens, law.least_tokens, law.most_tokens),
            ("tokens for each of them", each, law.least_tokens_per_parameter, law.most_tokens_per_parameter),
        )

    @cached_property
    def stretch(self) -> float:
        """By how much its intervals are wider than among the fitted models: one more for each factor of two beyond. [-]

        An assumption; nobody published such errors.
        """
        beyond = [max(low / value, value / high, 1.0) for _, value, low, high in self._bounds]
        return 1.0 + add_up(map(math.log2, beyond))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """In what it lies outside of the models that the laws were fitted to."""
        beyond = [
            f"{value:.3g} {words} (fitted: {low:.3g} to {high:.3g})"
            for words, value, low, high in self._bounds
            if not low / NEAR <= value <= high * NEAR
        ]
        said = [f"with {' and '.join(beyond)}"] if beyond else []
        if self.model.num_experts > 1:
            said.append("as a mixture of experts, of which none was fitted; taken by its active experts")
        if not said:
            return ()
        where = f"outside the fitted ones {', '.join(said)}; intervals are {self.stretch:.2g} times as wide"
        return (f"predicted loss and accuracy are extrapolated: this model lies {where}",)

    def _ranges(self, found: Mapping[str, float], suffix: str) -> dict[str, tuple[float, float]]:
        laws = self._laws
        of = {AVERAGE: getattr(laws, f"average_error{suffix}")}
        of |= {name: getattr(task, f"error{suffix}") for name, task in laws.tasks.items()}
        return {name: _around(value, (of[name] or 0.0) * self.stretch, 1.0) for name, value in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        by_compute = self.accuracy_by_compute_range
        return {
            "predicted_loss": self.loss,
            "predicted_loss_range": list(self.loss_range),
            "predicted_loss_by_compute": self.loss_by_compute,
            "predicted_loss_chinchilla": self.chinchilla_loss,
            "predicted_accuracy": self.accuracy,
            "predicted_accuracy_range": {name: list(ends) for name, ends in self.accuracy_range.items()},
            "predicted_accuracy_by_compute": self.accuracy_by_compute,
            "predicted_accuracy_by_compute_range": by_compute and {name: list(one) for name, one in by_compute.items()},
            "chance_accuracy": self.chance,
            "predicted_notes": list(self.notes),
        }


WITHOUT_QUALITY: dict[str, Any] = {
    **dict.fromkeys(
        ("predicted_loss", "predicted_loss_range", "predicted_loss_by_compute", "predicted_loss_chinchilla")
    ),
    **dict.fromkeys(("predicted_accuracy", "predicted_accuracy_range", "predicted_accuracy_by_compute")),
    **dict.fromkeys(("predicted_accuracy_by_compute_range", "chance_accuracy")),
    "predicted_notes": [],
}
"""The same keys for encoders, for which the laws were not made."""


def quality_dict(quality: Quality | None) -> dict[str, Any]:
    """Loss and accuracy for JSON; null for encoders."""
    return WITHOUT_QUALITY if quality is None else quality.to_dict()


def _given(law: Given | None) -> Given:
    """A law that its file has to hold."""
    if law is None:
        raise ConfigError("cluster_configs/laws: a law that the product rests on is missing; install wsesim again")
    return law


def _around(value: float, half: float, most: float) -> tuple[float, float]:
    return max(0.0, value - half), min(most, value + half)

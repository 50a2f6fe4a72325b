"""Predicted and published losses of models that were trained compute-optimally."""

from __future__ import annotations

from dataclasses import dataclass

from wsesim.config import catalogue
from wsesim.config.entries import load_model
from wsesim.loss import pile_loss

TOLERANCE = 0.08
"""Largest difference that is accepted; the published law misses its own seven models by up to 0.07. [nats/token]"""


@dataclass(frozen=True)
class LossPrediction:
    """Loss of one model by the Cerebras-GPT law, and as published."""

    model: str
    training_flop: float
    published: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted minus published. [nats/token]"""
        return self.predicted - self.published


def predict_losses() -> list[LossPrediction]:
    """Every catalogue model with a published Pile loss and compute, smallest first."""
    rows = []
    for name in catalogue.names("models"):
        model = load_model(name)
        if model.published_pile_loss is not None and model.training_flop_reported is not None:
            flop = model.training_flop_reported
            rows.append(LossPrediction(name, flop, model.published_pile_loss, pile_loss(flop)))
    return sorted(rows, key=lambda row: row.training_flop)

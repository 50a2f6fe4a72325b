"""Shapes of models of any size: a GPT of so many parameters."""

from __future__ import annotations

import itertools
import math
from typing import Any

VOCAB_SIZE = 50257
"""That of GPT-2, which most models of the laws are near to. [-]"""
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

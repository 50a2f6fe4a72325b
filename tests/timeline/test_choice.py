"""Layers in words."""

from __future__ import annotations

import pytest

from wsesim.errors import InputError
from wsesim.study.timeline import layers_in


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("0", {1}),
        ("0..2", {1, 2, 3}),
        ("block.1..block.3", {2, 3, 4}),
        ("embedding,head", {0, 9}),
        (" 7 , 7..7, block.0", {1, 8}),
    ],
)
def test_layers_are_named_by_number_range_and_name(words: str, expected: set[int]) -> None:
    assert layers_in(words, num_blocks=8) == expected


@pytest.mark.parametrize(
    "words", ["", "8", "-1", "0..8", "3..1", "0...2", "tail", "1,,2", "1..2..3", "\u0663", "9" * 5000]
)
def test_what_is_no_layer_is_refused(words: str) -> None:
    with pytest.raises(InputError, match=r"names no layers; blocks are 0\.\.7"):
        layers_in(words, num_blocks=8)

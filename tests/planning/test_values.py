"""What can be written after ``--vary``."""

from __future__ import annotations

from typing import Any

import pytest

from wsesim.errors import InputError
from wsesim.study.table import parse_values, parse_vary, values_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,4", [1, 2, 4]),
        ("1..4", [1, 2, 3, 4]),
        ("1..192*2", [1, 2, 4, 8, 16, 32, 64, 128]),
        ("3..81*3", [3, 9, 27, 81]),
        ("0.5..0.9+0.1", [0.5, 0.6, 0.7, 0.8, 0.9]),
        ("1..10+4", [1, 5, 9]),
        ("1..2,2..3, 8", [1, 2, 3, 8]),
        ("-2..1", [-2, -1, 0, 1]),
        ("1_000..3_000+1_000", [1000, 2000, 3000]),
        ("1e-5..1e-3*10", [1e-5, 1e-4, 1e-3]),
        ("auto,8", ["auto", 8]),
        ("true,false", [True, False]),
        ("0.6 Tb/s,1.2 Tb/s", ["0.6 Tb/s", "1.2 Tb/s"]),
        ('"a, b",c', ["a, b", "c"]),
        ("'1..4'", ["1..4"]),
        ("[{systems = [0, 1], speed = 0.5}],[]", [[{"systems": [0, 1], "speed": 0.5}], []]),
        ("../gpt.toml,models/..", ["../gpt.toml", "models/.."]),
        ("1,1.0,true", [1, 1.0, True]),
    ],
)
def test_values(text: str, values: list[Any]) -> None:
    found = parse_values("cluster.num_systems", text)
    assert [(type(one), one) for one in found] == [(type(one), one) for one in values]


def test_names_stay_texts() -> None:
    assert parse_values("cluster.software_release", "2.0,2.1") == ["2.0", "2.1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cluster.num_systems", "is not KEY=VALUES"),
        ("=1,2", "is not KEY=VALUES"),
        ("cluster.num_systems=", "empty value"),
        ("cluster.num_systems=1,,2", "empty value"),
        ("cluster.num_systems=4..1", "ends before it starts"),
        ("cluster.num_systems=0..8*2", "never grows"),
        ("cluster.num_systems=1..8*1", "never grows"),
        ("cluster.num_systems=1..8+0", "never reaches"),
        ("cluster.num_systems=0.5..0.9", "has no step"),
        ("cluster.num_systems=1..1e9+1", "more than 1,000,000"),
        ("cluster.num_systems=1..x2", "is no range"),
        ("cluster..num_systems=1", "is not KEY=VALUE"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_vary([text])


def test_one_key_twice() -> None:
    with pytest.raises(InputError, match="given twice"):
        parse_vary(["name=a", "name=b"])


def test_from_python() -> None:
    found = values_of({"cluster.num_systems": range(1, 3), "training.weight_sparsity": (0.0, 0.5), "name": ["1..2"]})
    assert found == {"cluster.num_systems": [1, 2], "training.weight_sparsity": [0.0, 0.5], "name": ["1..2"]}


@pytest.mark.parametrize("vary", [{}, {"name": []}, {"name": 3}, {"a": range(2000), "b": range(2000)}])
def test_from_python_refused(vary: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        values_of(vary)

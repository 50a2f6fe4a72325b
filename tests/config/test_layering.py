"""What one file or option leaves of another: a model that is named anew keeps nothing of the one below."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import TINY
from wsesim import from_table, load
from wsesim.config.loader import load_model

HUGGING_FACE = Path(__file__).parent / "data" / "gpt2.json"


def test_an_option_that_names_another_model_drops_the_fields_of_the_one_below() -> None:
    assert load("own_model_64", ["model.name=llama-2-7b"]).model == load_model("llama-2-7b")


def test_a_run_that_extends_another_and_names_a_model_has_that_model(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('extends = "own_model_64"\n[model]\nname = "llama-2-7b"\nnum_layers = 8\n', encoding="utf-8")
    assert load(path).model == load_model("llama-2-7b").model_copy(update={"num_layers": 8})


@pytest.mark.parametrize("name", ["mine", "tiny"])
def test_a_name_of_ones_own_is_a_label(name: str) -> None:
    model = from_table(TINY, settings=[f"model.name={name}"]).model
    assert model.name == name
    assert model.num_layers == TINY["model"]["num_layers"]


def test_fields_stay_where_the_same_model_is_named_again() -> None:
    settings = ["model.name=cerebras-gpt-111m"]
    table = TINY | {"model": {"name": "cerebras-gpt-111m", "num_layers": 3}}
    assert from_table(table, settings=settings).model.num_layers == 3


def test_a_name_takes_the_place_of_a_file() -> None:
    table = TINY | {"model": {"path": str(HUGGING_FACE)}}
    assert from_table(table, settings=["model.name=cerebras-gpt-111m"]).model == load_model("cerebras-gpt-111m")

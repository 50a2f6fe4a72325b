"""Every model file describes the model that its source describes.

The parameter count is the check sum of a model file: a wrong width, bias, norm or vocabulary shows in
it. The note of `published_parameters` says how sharp the published count is: "exact: ...", or
"rounded to 1e6: ..." with the weight of its last digit.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from wsesim.config.model import ModelSpec
from wsesim.workload.transformer import parameter_count

CATALOGUE = Path(__file__).resolve().parent.parent / "cluster_configs"
FILES = {path.stem: path for path in sorted((CATALOGUE / "models").glob("*.toml"))}

WANTED = """
    cerebras-gpt-111m cerebras-gpt-256m cerebras-gpt-590m cerebras-gpt-1.3b cerebras-gpt-2.7b
    cerebras-gpt-6.7b cerebras-gpt-13b gpt2 gpt2-medium gpt2-large gpt2-xl gpt3-125m gpt3-350m gpt3-760m
    gpt3-1.3b gpt3-2.7b gpt3-6.7b gpt3-13b gpt3-175b bert-base bert-large bert-base-classifier
    bert-large-classifier gpt-j-6b gpt-neox-20b opt-125m opt-350m opt-1.3b opt-2.7b opt-6.7b opt-13b
    opt-30b opt-66b opt-175b pythia-70m pythia-160m pythia-410m pythia-1b pythia-1.4b pythia-2.8b
    pythia-6.9b pythia-12b llama-7b llama-13b llama-33b llama-65b llama-2-7b llama-2-13b llama-2-70b
    llama-3-8b llama-3-70b llama-3-405b bloom-176b mt-nlg-530b megatron-1t btlm-3b jais-13b jais-30b
    chinchilla-70b mixtral-8x7b
"""

STATED = (
    "num_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "position_embedding", "tie_embeddings", "published_parameters",
)  # fmt: skip

every_model = pytest.mark.parametrize("stem", FILES)


def raw(stem: str) -> dict[str, Any]:
    return tomllib.loads(FILES[stem].read_text(encoding="utf-8"))


def spec(stem: str) -> ModelSpec:
    fields = {key: value for key, value in raw(stem).items() if key not in ("source", "status")}
    return ModelSpec(**{key: value["value"] if isinstance(value, dict) else value for key, value in fields.items()})


def tolerance(note: str) -> float:
    """Half of the last published digit; nothing for an exact count."""
    if re.match(r"exact\b", note):
        return 0.0
    match = re.match(r"rounded to ([0-9.]+e[0-9]+)(: |$)", note)
    assert match, f"the note {note!r} starts neither with 'exact' nor with 'rounded to 1e6'"
    return float(match[1]) / 2


def test_every_model_that_was_promised_is_in_the_catalogue() -> None:
    assert sorted(set(WANTED.split()) - set(FILES)) == []


def test_no_two_models_share_a_name() -> None:
    names = [raw(stem)["name"] for stem in FILES]
    assert len(set(names)) == len(names)


@every_model
def test_parameter_count_agrees_with_the_published_one(stem: str) -> None:
    published = raw(stem)["published_parameters"]
    assert abs(parameter_count(spec(stem)) - published["value"]) <= tolerance(published["note"])


@every_model
def test_the_shape_is_stated_and_not_left_to_defaults(stem: str) -> None:
    assert [key for key in STATED if key not in raw(stem)] == []


@every_model
def test_every_source_is_listed_in_sources_toml(stem: str) -> None:
    listed = tomllib.loads((CATALOGUE / "sources.toml").read_text(encoding="utf-8"))
    own = raw(stem)
    cited = {own["source"]} | {
        value["source"] for value in own.values() if isinstance(value, dict) and "source" in value
    }
    assert sorted(cited - set(listed)) == []


# 5.4e9 of Chinchilla's 70e9: per block one square projection, and two biases as wide as the heads.
def test_relative_positions_are_part_of_a_model_that_has_them() -> None:
    chinchilla = spec("chinchilla-70b")
    without = chinchilla.model_copy(update={"position_embedding": "none"})
    per_block = 8192 * 8192 + 2 * 8192
    assert parameter_count(chinchilla) - parameter_count(without) == 80 * per_block

"""Files that people have, each minimal: the right count, or one true sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import wsesim
from wsesim.config.importers.families import CLASSES, FAMILIES
from wsesim.config.importers.huggingface import read_huggingface
from wsesim.config.importers.modelzoo import read_modelzoo
from wsesim.config.importers.section import MODEL_TYPES, Imported
from wsesim.config.model import ModelSpec
from wsesim.errors import ConfigError
from wsesim.workload.transformer import active_parameter_count, parameter_count

ROWS = json.loads((Path(__file__).parent / "data" / "families.json").read_text(encoding="utf-8"))


SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}


def config(folder: Path, **keys: Any) -> Imported:
    path = folder / "config.json"
    path.write_text(json.dumps(keys), encoding="utf-8")
    return read_huggingface(path)


def params(folder: Path, model: dict[str, Any], **sections: Any) -> Imported:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump({"model": model, **sections}), encoding="utf-8")
    return read_modelzoo(path)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_family_has_the_count_of_its_own_package(row: dict[str, Any], tmp_path: Path) -> None:
    """The table is written by docs/generate/families.py."""
    assert parameter_count(ModelSpec(**config(tmp_path, **row["config"]).model)) == row["parameters"]


def test_the_table_has_every_family() -> None:
    counted = {row["config"]["model_type"] for row in ROWS}
    without_class = {
        "btlm",
        "jais",
        "internlm",
        "deepseek",
        "aquila",
        "orion",
        "xverse",
    }  # other tests count them by hand
    assert set(FAMILIES) == counted | without_class
    assert set(CLASSES.values()) == set(FAMILIES)
    assert not set(FAMILIES) & set(MODEL_TYPES)


@pytest.mark.parametrize(("model_type", "norm"), [("aquila", 1), ("xverse", 1), ("orion", 2)])
def test_relatives_of_llama_agree_with_pencil_and_paper(model_type: str, norm: int, tmp_path: Path) -> None:
    """Orion's norms have a shift."""
    h, inside, vocabulary = 64, 160, 100
    keys = {"hidden_size": h, "intermediate_size": inside, "num_hidden_layers": 3, "num_attention_heads": 4}
    model = ModelSpec(**config(tmp_path, model_type=model_type, vocab_size=vocabulary, **keys).model)
    assert parameter_count(model) == 3 * (4 * h * h + 3 * h * inside + 2 * norm * h) + 2 * vocabulary * h + norm * h


@pytest.mark.parametrize(
    ("key", "word"), [("mlp_type", "moe"), ("attention_type", "block_sparse"), ("mixer_type", "x")]
)
def test_a_word_that_says_of_what_kind_a_part_is_is_not_passed_over(key: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{key} is '{word}', a key that is not known for llama"):
        config(tmp_path, model_type="llama", **SIZES, **{key: word})
    assert config(tmp_path, model_type="llama", **SIZES, **{key: "default"}).harmless[key] == "the kind that is taken"


def test_the_first_deepseek_agrees_with_its_card(tmp_path: Path) -> None:
    """DeepSeekMoE 16B has 16.4e9 parameters, 2.8e9 of them active, as its card says."""
    keys = {"hidden_size": 2048, "intermediate_size": 10_944, "moe_intermediate_size": 1408, "num_hidden_layers": 28}
    keys |= {"num_attention_heads": 16, "num_key_value_heads": 16, "n_routed_experts": 64, "n_shared_experts": 2}
    keys |= {"num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1, "vocab_size": 102_400}
    model = ModelSpec(**config(tmp_path, model_type="deepseek", **keys).model)
    assert round(parameter_count(model) / 1e9, 1) == 16.4
    assert round(active_parameter_count(model) / 1e9, 1) == 2.8


def test_a_class_that_is_known_goes_before_a_type_that_is_not(tmp_path: Path) -> None:
    """MiniMax-M2 was published as a minimax, whose attention is another one."""
    found = config(
        tmp_path, model_type="minimax", architectures=["MiniMaxM2ForCausalLM"], **SIZES, num_key_value_heads=2
    )
    assert "minimax_m2" in found.kind
    assert any("'minimax' is none that is known here" in note for note in found.notes)


def test_the_letters_of_exaone_say_which_blocks_have_windows(tmp_path: Path) -> None:
    found = config(tmp_path, model_type="exaone4", **(SIZES | {"num_hidden_layers": 6}), sliding_window_pattern="LLLG")
    slides, full = "sliding_attention", "full_attention"
    assert found.model["layer_types"] == (slides, slides, slides, full, slides, full)


@pytest.mark.parametrize(("listed", "step"), [([1, 3, 5, 7], 2), ([0, 1, 2, 3, 4, 5, 6, 7], 1), ([3, 7], 4)])
def test_a_list_of_blocks_with_experts_goes_before_their_step(listed: list[int], step: int, tmp_path: Path) -> None:
    found = config(
        tmp_path,
        model_type="llama4_text",
        **(SIZES | {"num_hidden_layers": 8}),
        num_key_value_heads=2,
        moe_layers=listed,
    )
    assert found.model["interleave_moe_layer_step"] == step


def test_blocks_with_experts_in_no_order_are_refused(tmp_path: Path) -> None:
    keys = {**SIZES, "num_hidden_layers": 8, "num_key_value_heads": 2}
    with pytest.raises(ConfigError, match="only every so manieth block can have experts"):
        config(tmp_path, model_type="llama4_text", **keys, moe_layers=[1, 2, 7])


@pytest.mark.parametrize("number", [64, [64, 64]])
def test_one_number_for_each_block_is_read_where_they_are_equal(number: Any, tmp_path: Path) -> None:
    keys = {**SIZES, "num_key_value_heads": 2, "num_experts": number, "moe_topk": [8, 8]}
    assert config(tmp_path, model_type="hunyuan_v1_moe", **keys).model["num_experts"] == 64


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("DeepSeek V3", 37.55),
        ("Qwen1.5 MoE A2.7B", 2.69),
        ("Qwen3 30B A3B", 3.35),
        ("Kimi K2", 32.86),
        ("gpt-oss 20B", 4.19),
    ],
)
def test_active_parameters(name: str, billions: float, tmp_path: Path) -> None:
    """With both tables of tokens, as most cards count; that of gpt-oss (3.6) leaves out the one that is looked up."""
    row = next(row for row in ROWS if row["name"] == name)
    model = ModelSpec(**config(tmp_path, **row["config"]).model)
    assert round(active_parameter_count(model) / 1e9, 2) == billions


def test_a_model_that_sees_pictures_is_read_by_its_text(tmp_path: Path) -> None:
    """Gemma 3 4B: its file leaves out heads and vocabulary, which are the defaults of its class."""
    text = {"hidden_size": 2560, "intermediate_size": 10_240, "num_hidden_layers": 34, "sliding_window": 1024}
    found = config(
        tmp_path, model_type="gemma3", text_config=text, vision_config={"hidden_size": 1152}, mm_tokens_per_image=256
    )
    assert parameter_count(ModelSpec(**found.model)) == 3_880_263_168
    assert "only the language model in its text_config is read" in found.notes[0]


def test_windows_are_those_of_the_family(tmp_path: Path) -> None:
    def windows(name: str, **changes: Any) -> tuple[Any, Any]:
        row = next(row for row in ROWS if row["name"] == name)
        model = config(tmp_path, **row["config"] | changes).model
        return model.get("sliding_window"), model.get("layer_types")

    slides, full = "sliding_attention", "full_attention"
    assert windows("Mistral 7B v0.1") == (4096, None)
    assert windows("Mistral Nemo 12B") == (None, None)
    assert windows("Gemma 2 2B") == (4096, (slides, full))
    assert windows("Gemma 3 1B") == (512, (slides,) * 5 + (full,))
    assert windows("Command R7B") == (4096, (slides,) * 3 + (full,))
    assert windows("gpt-oss 20B") == (128, (slides, full))
    assert windows("Qwen2 0.5B") == (None, None)
    assert windows("Qwen2 0.5B", use_sliding_window=True, max_window_layers=21) == (
        32_768,
        (full,) * 21 + (slides,) * 3,
    )
    assert windows("Qwen3 8B", layer_types=[full] * 36) == (None, None)
    assert windows("GPT-Neo 2.7B") == (256, (full, slides))
    assert windows("Llama 4 Scout, its text") == (8192, ("chunked_attention",) * 3 + (full,))


def test_metas_own_file_is_named_and_read(tmp_path: Path) -> None:
    shape = {
        "dim": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": 8,
        "multiple_of": 1024,
        "ffn_dim_multiplier": 1.3,
    }
    path = tmp_path / "params.json"
    path.write_text(json.dumps({**shape, "vocab_size": 128_256, "norm_eps": 1e-5, "rope_theta": 500_000.0}))
    found = read_huggingface(path)
    assert parameter_count(ModelSpec(**found.model)) == 8_030_261_248
    assert "params.json of the original weights" in found.notes[0]
    path.write_text(json.dumps({**shape, "vocab_size": -1}))
    with pytest.raises(ConfigError, match="vocab_size is -1, that is, it is the tokenizer's"):
        read_huggingface(path)


def test_every_key_is_read_or_harmless_with_a_reason(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row["name"] == "Qwen3 8B")
    extra = {
        "rope_theta": 1e6,
        "torch_dtype": "bfloat16",
        "initializer_range": 0.02,
        "hidden_act": "silu",
        "use_cache": True,
    }
    found = config(tmp_path, **row["config"], **extra)
    assert found.harmless["rope_theta"] == "turns or shifts by position, without parameters"
    assert found.harmless["torch_dtype"] == "how weights are stored or run"
    read = {key for one in found.understood for key in one.keys}
    assert {"hidden_size", "head_dim", "attention_bias"} <= read
    assert set(row["config"]) <= read | set(found.harmless) | {"model_type"}


# The Model Zoo

GPT: dict[str, Any] = {
    "vocab_size": 50_257,
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_heads": 16,
    "filter_size": 8192,
}
LLAMA: dict[str, Any] = {
    "name": "llama",
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_heads": 32,
}
LLAMA |= {"filter_size": 14_336, "nonlinearity": "swiglu", "norm_type": "rmsnorm", "position_embedding_type": "rotary"}
LLAMA |= {"attention_module": "multiquery_attention", "extra_attention_params": {"num_kv_groups": 8}}
LLAMA |= dict.fromkeys(
    ("share_embedding_weights", "use_projection_bias_in_attention", "use_ffn_bias_in_attention"), False
)
LLAMA |= {"use_ffn_bias": False, "use_bias_in_output": False}
BERT: dict[str, Any] = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_heads": 12,
    "filter_size": 3072,
}
BERT |= {"encoder_nonlinearity": "gelu", "max_position_embeddings": 512}


def count(found: Imported) -> int:
    return parameter_count(ModelSpec(**found.model))


def test_a_mixture_is_the_key_moe(tmp_path: Path) -> None:
    moe = {"num_experts": 8, "top_k": 2, "load_balancing_loss_coef": 0.02, "router_fp32": True}
    assert count(params(tmp_path, LLAMA | {"moe": moe})) == 46_702_792_704
    shared = params(tmp_path, LLAMA | {"moe": moe | {"num_shared_experts": 1}})
    assert count(shared) - 46_702_792_704 == 32 * 3 * 4096 * 14_336  # as wide as a routed one, without a gate


def test_a_window_of_the_model_zoo(tmp_path: Path) -> None:
    window = {"attention_sliding_window_length": 4096}
    assert params(tmp_path, LLAMA | window).model["sliding_window"] == 4096
    other = params(tmp_path, LLAMA | window | {"sliding_window_every_other_decoder_layer": True})
    assert other.model["layer_types"] == ("sliding_attention", "full_attention")
    sinks = params(tmp_path, LLAMA | window | {"attention_sink_tokens": 512})
    assert sinks.model["sliding_window"] == 4608
    assert "sliding_window_length and sink_tokens together" in sinks.notes[-1]


def test_gemma_2_of_the_model_zoo(tmp_path: Path) -> None:
    """Four norms, every other block with a window, heads wider than the model: 9,241,705,984 as published."""
    gemma = LLAMA | {
        "name": "gemma2",
        "vocab_size": 256_000,
        "hidden_size": 3584,
        "num_hidden_layers": 42,
        "num_heads": 16,
    }
    gemma |= {"filter_size": 14_336, "nonlinearity": "geglu", "attention_inner_dim": 4096, "norm_first_sandwich": True}
    gemma |= {"share_embedding_weights": True, "attention_sliding_window_length": 4096, "embeddings_scale": 59.87}
    gemma |= {"sliding_window_every_other_decoder_layer": True, "attention_logit_softcapping": 50.0}
    assert count(params(tmp_path, gemma)) == 9_241_705_984


def test_classifiers_without_a_name(tmp_path: Path) -> None:
    three = BERT | {"num_labels": 3, "problem_type": "single_label_classification", "task_dropout": 0.1}
    assert count(params(tmp_path, three, train_input={"max_sequence_length": 448})) == 109_484_547
    assert count(params(tmp_path, three | {"num_labels": 2})) == 109_483_778
    tokens = BERT | {"num_classes": 9, "include_padding_in_loss": False}
    assert count(params(tmp_path, tokens)) == 109_483_778 - (768 * 768 + 768) - 2 * 769 + 9 * 769


def test_esm_2_of_the_model_zoo(tmp_path: Path) -> None:
    """t12 of 35M, by hand: 12 x (12 h^2 + 13 h), a table of 33, a norm behind the blocks, and the head's transform."""
    esm = {"vocab_size": 33, "hidden_size": 480, "num_hidden_layers": 12, "num_heads": 20, "filter_size": 1920}
    esm |= {
        "token_dropout": True,
        "position_embedding_type": "rotary",
        "encoder_nonlinearity": "gelu",
        "disable_nsp": True,
    }
    found = params(tmp_path, {"name": "esm2", **esm}, train_input={"max_sequence_length": 1024})
    h = 480
    assert count(found) == 12 * (12 * h * h + 13 * h) + 33 * h + 2 * h + (h * h + h + 2 * h + 33)


def test_older_spellings_of_norms(tmp_path: Path) -> None:
    with_shift = LLAMA | {"norm_type": "layernorm"}
    older = {key: value for key, value in LLAMA.items() if key != "norm_type"} | {"use_rms_norm": True}
    assert count(params(tmp_path, with_shift)) - count(params(tmp_path, older)) == 65 * 4096
    assert count(params(tmp_path, LLAMA | {"norm_type": "biasless-layernorm"})) == count(params(tmp_path, older))


def test_missing_things_are_taken_from_where_they_stand(tmp_path: Path) -> None:
    model = {key: value for key, value in GPT.items() if key != "vocab_size"} | {"max_position_embeddings": 1024}
    found = params(
        tmp_path,
        model,
        train_input={"vocab_size": 50_257, "batch_size": 32},
        runconfig={"num_csx": 4, "num_act_servers": 2},
    )
    assert found.model["vocab_size"] == 50_257
    assert found.training["sequence_length"] == 1024
    assert found.cluster == {"num_systems": 4}
    assert found.longest_sequence == 1024  # so that an answer says from where it was taken
    assert [note.split(": ", 1)[1].split(",")[0].split(" =")[0] for note in found.notes[:2]] == [
        "vocab_size was taken from train_input",
        "num_act_servers",
    ]


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (
            {"num_diffusion_steps": 1000, "vae": {}, "patch_size": [2, 2], "num_classes": 1000},
            "is a diffusion transformer (DiT)",
        ),
        ({"src_vocab_size": 32_128, "d_kv": 128, "encoder_num_hidden_layers": 24}, "has an encoder and a decoder"),
        ({"image_model": {}, "text_model": {}}, "reads pictures (LLaVA)"),
        ({"name": "vision_transformer", "image_size": [224, 224]}, "reads pictures (ViT)"),
        ({"skip_connect": True, "num_classes": 2}, "is a convolutional network for images (UNet)"),
        ({"q_encoder": {}, "ctx_encoder": {}}, "pair of encoders (DPR)"),
        ({"name": "dpo", "policy_model": {}}, "has a second network"),
    ],
)
def test_another_kind_of_model_is_named_in_one_sentence(model: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        params(tmp_path, model)
    assert what in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert "is missing" not in str(caught.value)


@pytest.mark.parametrize("callback", [{"Lora": {"r": 16}}, {"FreezeLayers": {"patterns": ["embedding"]}}])
def test_partial_training_is_refused(callback: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"init": {"model": {"name": "gpt2", **GPT}, "callbacks": [callback]}}}))
    with pytest.raises(ConfigError, match="which is not modelled"):
        read_modelzoo(path)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"width": 12_288, "depth": 96, "heads": 96, "backend": "CSX"}, "a gigaGPT configuration"),
        ({"base_model": "meta-llama/Llama-2-7b-hf", "load_in_8bit": True}, "a configuration of axolotl"),
        ({"pipe-parallel-size": 1, "num-layers": 12}, "a GPT-NeoX configuration"),
    ],
)
def test_other_yaml_files_are_named(document: dict[str, Any], what: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError, match=what):
        read_modelzoo(path)


# From a file to an answer


def small(folder: Path, **keys: Any) -> dict[str, Any]:
    """A run of a folder that holds a config.json."""
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000}
    where = folder / "tiny-llama"
    where.mkdir()
    (where / "config.json").write_text(json.dumps({"model_type": "llama", **shape, "intermediate_size": 128, **keys}))
    return {
        "model": {"path": str(where)},
        "training": {"global_batch_size": 8},
        "cluster": {"name": "cs2", "num_systems": 1},
    }


def test_an_answer_says_which_model_was_read(tmp_path: Path) -> None:
    result = wsesim.simulate(small(tmp_path, max_position_embeddings=128, tie_word_embeddings=False))
    assert result.to_dict()["model"] == {"name": "tiny-llama", "parameters": 210_240, "active_parameters": 210_240}
    assert result.run.training.sequence_length == 128
    assert any("the longest that the model takes was taken: 128 tokens" in note for note in result.notes)


def test_a_very_long_sequence_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes up to 131,072 tokens; add it, for example sequence_length = 8192"):
        wsesim.load(small(tmp_path, max_position_embeddings=131_072))


def test_a_name_that_disagrees_with_the_size_is_said(tmp_path: Path) -> None:
    raw = small(tmp_path, max_position_embeddings=128)
    raw["model"]["name"] = "mixtral-8x7b"
    notes = wsesim.simulate(raw).notes
    assert notes[0].startswith("warning: the name mixtral-8x7b says 8x7b, but the file describes 210,240 parameters")


def test_an_inline_model_needs_no_name_and_says_what_it_takes() -> None:
    shape = {"num_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": "1k"}
    run = wsesim.load(
        {"model": shape, "training": {"sequence_length": "2k", "global_batch_size": 8}, "cluster": {"name": "cs2"}}
    )
    assert (run.model.vocab_size, run.training.sequence_length) == (1000, 2048)
    assert "learned positions, layer norm, tied embeddings" in run.notes[0]


def test_words_in_any_case_and_spelling() -> None:
    shape = {
        "num_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 1000,
        "position_embedding": "RoPE",
    }
    training = {
        "sequence_length": 128,
        "global_batch_size": 8,
        "precision": "BF16",
        "optimizer": "AdamW",
        "tokens": "1.5T tokens",
    }
    run = wsesim.load({"model": shape, "training": training, "cluster": {"name": "cs2"}})
    assert (run.model.position_embedding, run.training.precision, run.training.optimizer) == (
        "rotary",
        "bfloat16",
        "adamw",
    )
    assert run.training.tokens == 1.5e12


def test_an_example_fits_its_key() -> None:
    with pytest.raises(ConfigError) as caught:
        wsesim.load({"model": {"name": "gpt2"}, "cluster": {"name": "cs2"}})
    assert "for example sequence_length = 2048" in str(caught.value)


@pytest.mark.parametrize("value", [3, None, ["andromeda_13b"]])
def test_python_errors_speak_of_the_argument(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"load\(\) takes the path of a run file, a name of the catalogue or a dict"):
        wsesim.load(value)
    with pytest.raises(ConfigError, match=r"simulate\(\) takes a run, the path of a run file"):
        wsesim.simulate(value)
    assert {"load", "simulate", "compare"} <= set(dir(wsesim))

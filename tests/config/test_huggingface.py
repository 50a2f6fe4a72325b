"""A Hugging Face config gives the model that its card describes, and a bad one says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsesim.config.importers.families import FAMILIES
from wsesim.config.importers.huggingface import read_huggingface
from wsesim.config.model import ModelSpec
from wsesim.errors import ConfigError
from wsesim.workload.transformer import parameter_count

DATA = Path(__file__).parent / "data"

TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
TINY_GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}
TINY_NEO = {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 100}


def write(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def read(folder: Path, **config: Any) -> ModelSpec:
    return ModelSpec(**read_huggingface(write(folder, config)).model)


def refusal(folder: Path, config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_huggingface(write(folder, config))
    return str(caught.value)


# Counts of the published weights: model cards, or the sizes of the safetensors files.


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("gptj-6b", 6_050_882_784),
        ("gpt-neox-20b", 20_554_567_680),
        ("opt-125m", 125_239_296),
        ("llama-3-8b", 8_030_261_248),
        ("mixtral-8x7b", 46_702_792_704),
        ("bert-base", 110_106_428),  # with pooler and next-sentence head, BertForPreTraining
    ],
)
def test_config_file_has_published_parameter_count(name: str, parameters: int) -> None:
    model = ModelSpec(**read_huggingface(DATA / f"{name}.json").model)
    assert parameter_count(model) == parameters
    assert model.name == name


def shape(hidden: int, layers: int, heads: int, vocabulary: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
    }


def gpt_shape(hidden: int, layers: int, heads: int, vocabulary: int) -> dict[str, int]:
    return {"n_embd": hidden, "n_layer": layers, "n_head": heads, "vocab_size": vocabulary}


PUBLISHED: dict[str, tuple[int, dict[str, Any]]] = {
    "Cerebras-GPT 111M": (
        111_050_496,
        {"model_type": "gpt2", **gpt_shape(768, 10, 12, 50257), "n_inner": 3072, "n_positions": 2048},
    ),
    "CodeGen 350M": (356_712_448, {"model_type": "codegen", **gpt_shape(1024, 20, 16, 51200)}),
    "GPT-Neo 125M": (
        125_198_592,
        {"model_type": "gpt_neo", "hidden_size": 768, "num_layers": 12, "num_heads": 12, "vocab_size": 50257},
    ),
    "Pythia 160M": (
        162_322_944,
        {"model_type": "gpt_neox", **shape(768, 12, 12, 50304), "intermediate_size": 3072},
    ),
    "StarCoderBase 1B": (
        1_137_207_296,
        {"model_type": "gpt_bigcode", **gpt_shape(2048, 24, 16, 49152), "n_inner": 8192, "n_positions": 8192},
    ),
    "OPT 350M": (
        331_196_416,
        {
            "model_type": "opt",
            **shape(1024, 24, 16, 50272),
            "ffn_dim": 4096,
            "word_embed_proj_dim": 512,
            "do_layer_norm_before": False,
        },
    ),
    "BLOOM 560M": (
        559_214_592,
        {
            "model_type": "bloom",
            "n_embed": 1024,
            "n_layer": 24,
            "num_attention_heads": 16,
            "vocab_size": 250880,
        },
    ),
    "Falcon 7B": (6_921_720_704, {"model_type": "falcon", **shape(4544, 32, 71, 65024)}),
    "Falcon 40B": (
        41_303_293_952,
        {
            "model_type": "falcon",
            **shape(8192, 60, 128, 65024),
            "new_decoder_architecture": True,
            "num_kv_heads": 8,
        },
    ),
    "Falcon RW 1B": (
        1_311_625_216,
        {
            "model_type": "falcon",
            **shape(2048, 24, 32, 50304),
            "alibi": True,
            "bias": True,
            "multi_query": False,
            "parallel_attn": False,
        },
    ),
    "Llama 2 7B": (6_738_415_616, {"model_type": "llama", **shape(4096, 32, 32, 32000)}),
    "Llama 3 70B": (
        70_553_706_496,
        {
            "model_type": "llama",
            **shape(8192, 80, 64, 128256),
            "intermediate_size": 28672,
            "num_key_value_heads": 8,
        },
    ),
    "Llama 3.2 1B": (
        1_235_814_400,
        {
            "model_type": "llama",
            **shape(2048, 16, 32, 128256),
            "intermediate_size": 8192,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "tie_word_embeddings": True,
        },
    ),
    "Mistral 7B": (7_241_732_096, {"model_type": "mistral", **shape(4096, 32, 32, 32000)}),
    "Qwen2 0.5B": (
        494_032_768,
        {
            "model_type": "qwen2",
            **shape(896, 24, 14, 151936),
            "intermediate_size": 4864,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
    ),
    "Qwen2 7B": (
        7_615_616_512,
        {
            "model_type": "qwen2",
            **shape(3584, 28, 28, 152064),
            "intermediate_size": 18944,
            "num_key_value_heads": 4,
        },
    ),
    "Phi 1.5": (1_418_270_720, {"model_type": "phi", **shape(2048, 24, 32, 51200)}),
    "Phi 2": (2_779_683_840, {"model_type": "phi", **shape(2560, 32, 32, 51200), "intermediate_size": 10240}),
    "Phi 3 mini": (3_821_079_552, {"model_type": "phi3", **shape(3072, 32, 32, 32064)}),
    "Gemma 2B": (
        2_506_172_416,
        {
            "model_type": "gemma",
            **shape(2048, 18, 8, 256000),
            "intermediate_size": 16384,
            "num_key_value_heads": 1,
        },
    ),
    "Gemma 7B": (8_537_680_896, {"model_type": "gemma", **shape(3072, 28, 16, 256000)}),
    "StableLM 3B 4E1T": (2_795_443_200, {"model_type": "stablelm", **shape(2560, 32, 32, 50304)}),
    "StarCoder2 3B": (3_030_371_328, {"model_type": "starcoder2", **shape(3072, 30, 24, 49152)}),
    "BERT base, two classes": (
        109_483_778,
        {
            "model_type": "bert",
            **shape(768, 12, 12, 30522),
            "architectures": ["BertForSequenceClassification"],
        },
    ),
    "RoBERTa base, two classes": (
        124_647_170,
        {
            "model_type": "roberta",
            **shape(768, 12, 12, 50265),
            "architectures": ["RobertaForSequenceClassification"],
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
        },
    ),
    "XLM-R base, two classes": (
        278_045_186,
        {
            "model_type": "xlm-roberta",
            **shape(768, 12, 12, 250002),
            "architectures": ["XLMRobertaForSequenceClassification"],
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_family_has_published_parameter_count(name: str, tmp_path: Path) -> None:
    parameters, config = PUBLISHED[name]
    assert parameter_count(read(tmp_path, **config)) == parameters


@pytest.mark.parametrize("model_type", ["btlm", "jais"])
def test_btlm_agrees_with_pencil_and_paper(model_type: str, tmp_path: Path) -> None:
    h, layers, inner, vocabulary = 2560, 32, 6826, 50257  # cerebras/btlm-3b-8k-base
    model = read(
        tmp_path,
        model_type=model_type,
        **gpt_shape(h, layers, 32, vocabulary),
        n_inner=inner,
        n_positions=8192,
        position_embedding_type="alibi",
        activation_function="swiglu",
    )
    block = 4 * h * h + 4 * h + 3 * h * inner + 2 * inner + h + 4 * h
    assert parameter_count(model) == layers * block + vocabulary * h + 2 * h
    assert model.position_embedding == "alibi"
    assert model.max_position_embeddings is None


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_reads_the_sizes_alone(model_type: str, tmp_path: Path) -> None:
    # two heads of keys and values, since the families' own defaults do not divide four heads
    model = read(tmp_path, model_type=model_type, **TINY, num_key_value_heads=2)
    assert (model.hidden_size, model.num_layers, model.num_attention_heads, model.vocab_size) == (
        64,
        2,
        4,
        100,
    )
    assert parameter_count(model) > 0


# What is read


def test_biases_of_llama_are_switches(tmp_path: Path) -> None:
    model = read(tmp_path, model_type="llama", **TINY, attention_bias=True, mlp_bias=True)
    assert (model.qkv_bias, model.attention_output_bias, model.mlp_bias) == (True, True, True)


def test_gpt2_takes_the_names_that_hugging_face_maps(tmp_path: Path) -> None:
    assert read(tmp_path, model_type="gpt2", **TINY) == read(tmp_path, model_type="gpt2", **TINY_GPT)


def test_null_heads_of_keys_and_values_are_all_heads(tmp_path: Path) -> None:
    assert read(tmp_path, model_type="mistral", **TINY, num_key_value_heads=None).key_value_heads == 4


def test_neox_without_parallel_residual_is_sequential(tmp_path: Path) -> None:
    model = read(tmp_path, model_type="gpt_neox", **TINY, use_parallel_residual=False)
    assert not model.parallel_block


def test_falcon_11b_has_one_norm_for_both_branches(tmp_path: Path) -> None:
    model = read(
        tmp_path,
        model_type="falcon",
        **TINY,
        new_decoder_architecture=True,
        num_kv_heads=2,
        num_ln_in_parallel_attn=1,
        ffn_hidden_size=100,
    )
    assert (model.shared_norm, model.key_value_heads, model.mlp_size) == (True, 2, 100)


def test_masked_positions_are_15_percent_of_the_longest_sequence() -> None:
    assert read_huggingface(DATA / "bert-base.json").model["masked_positions"] == 77  # 0.15 x 512 = 76.8


def test_rotary_model_has_no_position_table() -> None:
    assert "max_position_embeddings" not in read_huggingface(DATA / "llama-3-8b.json").model


def test_config_json_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert read(folder, model_type="gpt2", **TINY_GPT).name == "my-model"


def test_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("\ufeff" + json.dumps({"model_type": "gpt2", **TINY_GPT}), encoding="utf-8")
    assert read_huggingface(path).model["hidden_size"] == 64


# What is refused


@pytest.mark.parametrize(
    ("word", "near"), [("lama", "llama"), ("llamma", "llama"), ("qewn2", "qwen2"), ("mixtrall", "mixtral")]
)
def test_a_misspelt_type_gets_a_hint(word: str, near: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, {"model_type": word, **TINY})
    assert f"model_type is '{word}', a family that is not known here; did you mean {near}?" in message


@pytest.mark.parametrize(
    "model_type",
    ["phi5", "gemma9", "gpt_oss2", "qwen4", "mistral9", "llama5", "xglm1", "eurobert", "ibert", "roc_bert"],
)
def test_another_architecture_gets_no_hint(model_type: str, tmp_path: Path) -> None:
    """Its numbers would be read as those of a model of another kind."""
    assert "did you mean" not in refusal(tmp_path, {"model_type": model_type, **TINY})


@pytest.mark.parametrize(
    ("model_type", "what"),
    [
        ("t5", "has an encoder and a decoder"),
        ("mamba", "has layers of a state space"),
        ("vit", "reads pictures"),
        ("llava", "reads pictures or sound beside text"),
        ("whisper", "reads sound"),
        ("albert", "shares the weights of its blocks"),
    ],
)
def test_a_foreign_family_is_named_in_one_sentence(model_type: str, what: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, {"model_type": model_type, "d_model": 768})
    assert (
        message == f"{tmp_path / 'config.json'}: is a model of type {model_type}, which {what} and is not modelled"
        or (message.startswith(f"{tmp_path / 'config.json'}: is a model of type {model_type}, which {what}"))
    )


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (
            {"_class_name": "UNet2DConditionModel", "sample_size": 64},
            "a UNet2DConditionModel, a component of a diffusion",
        ),
        ({"_class_name": "DiTTransformer2DModel"}, "a DiTTransformer2DModel, a component of a diffusion pipeline"),
        (
            {"architectures": ["T5ForConditionalGeneration"], "d_model": 512},
            "a T5ForConditionalGeneration, which has an encoder",
        ),
        ({"architectures": ["ViTForImageClassification"]}, "a ViTForImageClassification, which reads pictures"),
        ({"peft_type": "LORA", "r": 8}, "the configuration of an adapter"),
        ({"weight_map": {}, "metadata": {}}, "the index of a checkpoint's files"),
        ({"bos_token_id": 1, "do_sample": True, "temperature": 0.6}, "a generation_config.json"),
        ({"train_batch_size": 8, "zero_optimization": {"stage": 3}}, "a DeepSpeed configuration"),
        ({"d_model": 2560, "n_layer": 64, "ssm_cfg": {}}, "a Mamba model"),
    ],
)
def test_a_file_that_lies_beside_is_named(document: dict[str, Any], what: str, tmp_path: Path) -> None:
    assert f"config.json: is {what}" in refusal(tmp_path, document)


@pytest.mark.parametrize("model_type", [7, ["llama"], ""])
def test_a_type_that_is_no_word_is_refused(model_type: Any, tmp_path: Path) -> None:
    assert "a family that is not known here" in refusal(tmp_path, {"model_type": model_type, **TINY})


def test_missing_type_is_said(tmp_path: Path) -> None:
    assert "model_type is missing, and there are no architectures" in refusal(tmp_path, TINY)


def test_architectures_name_the_family(tmp_path: Path) -> None:
    found = read_huggingface(write(tmp_path, {**TINY, "architectures": ["LlamaForCausalLM"]}))
    assert found.model["gated_mlp"] is True
    assert f"{tmp_path / 'config.json'}: no model_type, so the family llama was taken from architectures" in found.notes


def test_all_problems_come_together_each_with_its_place(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": "wide", "vocab_size": True, "num_attention_heads": 0}
    lines = refusal(tmp_path, config).splitlines()
    place = str(tmp_path / "config.json")
    assert lines == [
        f"{place}: hidden_size is 'wide'; write a whole number of at least 1",
        f"{place}: num_hidden_layers is missing; add it",
        f"{place}: num_attention_heads is 0; write a whole number of at least 1",
        f"{place}: vocab_size is True; write a whole number of at least 1",
    ]


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("llama", "n_routed_experts", 64),
        ("llama", "kv_lora_rank", 512),
        ("llama", "num_local_experts", 8),
        ("phi", "num_local_experts", 16),
        ("llama", "a_key_of_the_future", 3),
        ("llama", "pruned_heads", {"0": [1]}),
        ("bert", "is_decoder", True),
        ("bert", "position_embedding_type", "relative_key"),
        ("llama", "architectures", ["LlamaForSequenceClassification"]),
        ("bert", "architectures", ["BertForMultipleChoice"]),
        ("llama", "architectures", "LlamaForCausalLM"),
        ("llama", "tie_word_embeddings", "yes"),
    ],
)
def test_keys_that_change_the_count_are_refused(model_type: str, key: str, value: Any, tmp_path: Path) -> None:
    message = refusal(tmp_path, {"model_type": model_type, **TINY, key: value})
    assert f"config.json: {key} " in message
    assert ";" in message  # a remedy follows


@pytest.mark.parametrize(("key", "value"), [("position_embedding_type", "rotary"), ("activation_function", 3)])
def test_btlm_words_are_checked(key: str, value: Any, tmp_path: Path) -> None:
    assert f"{key} is {value!r}" in refusal(tmp_path, {"model_type": "btlm", **TINY_GPT, key: value})


def test_two_spellings_that_differ_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"model_type": "gpt2", **TINY_GPT, "hidden_size": 128})
    assert "n_embd and hidden_size name the same thing but differ; keep one of them" in message


def test_same_size_in_two_spellings_is_fine(tmp_path: Path) -> None:
    assert read(tmp_path, model_type="gpt2", **TINY_GPT, hidden_size=64).hidden_size == 64


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "{'model_type': 'gpt2'}", "1" * 5000])
def test_text_that_is_not_json_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="is not valid JSON"):
        read_huggingface(path)


@pytest.mark.parametrize("document", [[], "gpt2", 3, None, [{"model_type": "gpt2"}]])
def test_document_that_is_not_a_mapping_is_refused(document: Any, tmp_path: Path) -> None:
    assert "a config.json is one mapping of keys" in refusal(tmp_path, document)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.json", tmp_path, tmp_path / "binary.json"):
        with pytest.raises(ConfigError):
            read_huggingface(path)


# Any document reads or is refused; nothing else comes out.

KEYS = """
    model_type architectures hidden_size n_embd n_embed num_hidden_layers n_layer num_layers
    num_attention_heads n_head num_heads vocab_size intermediate_size n_inner ffn_dim head_dim
    num_key_value_heads num_kv_heads n_positions max_position_embeddings tie_word_embeddings
    attention_bias mlp_bias activation_function position_embedding_type new_decoder_architecture
    multi_query parallel_attn num_ln_in_parallel_attn num_local_experts num_experts_per_tok
    do_layer_norm_before word_embed_proj_dim type_vocab_size pruned_heads is_decoder
"""
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
words = st.sampled_from([*FAMILIES, "swiglu", "alibi", "absolute", "BertForMaskedLM", "LlamaForCausalLM"])
anything = st.recursive(
    leaves | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
likely = st.integers(1, 128) | st.booleans() | words | anything
configs = st.dictionaries(st.sampled_from(KEYS.split()), likely, max_size=20)


def outcome(path: Path) -> tuple[dict[str, Any], str]:
    try:
        return read_huggingface(path).model, ""
    except ConfigError as error:
        return {}, str(error)


@settings(max_examples=300, deadline=None)
@given(
    document=anything | configs,
    model_type=st.none() | st.sampled_from(sorted(FAMILIES)),
    sizes=st.sampled_from([{}, TINY, TINY_GPT, TINY_NEO]),
)
def test_any_document_reads_or_raises_config_error(
    document: Any, model_type: str | None, sizes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if isinstance(document, dict) and model_type:
        document = {**sizes, **document, "model_type": model_type}
    path = write(tmp_path_factory.mktemp("fuzz"), document)
    fields, refusal = outcome(path)
    assert all(line.startswith(f"{path}: ") for line in refusal.splitlines())
    assert bool(fields) is not bool(refusal)
    assert set(fields) <= set(ModelSpec.model_fields)
    if fields:
        assert {"name", "hidden_size", "num_layers", "num_attention_heads", "vocab_size"} <= set(fields)


@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_reads_or_raises_config_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "config.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError):
        read_huggingface(path)


LLAMA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32_000,
}


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"sliding_window": 4096}, "sliding_window is 4096, which models of the family llama do not read"),
        ({"layer_types": ["sliding_attention"] * 32}, "layer_types, which models of the family llama do not read"),
        ({"model_type": "mistral"}, "does not say, and family mistral has: sliding_window = 4096"),
        ({"use_bidirectional_attention": True}, "attends to both sides, which is counted as if it were causal"),
    ],
)
def test_windows_that_a_family_does_not_read_or_that_the_file_does_not_state_are_named(
    keys: dict[str, Any], note: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_7B | keys))
    assert any(note in one for one in read_huggingface(path).notes)


@pytest.mark.parametrize(
    "keys",
    [
        {"sliding_window": 4096, "use_sliding_window": False},
        {"layer_types": ["full_attention"] * 32},
        {"model_type": "mistral", "sliding_window": 1024},
    ],
)
def test_windows_that_are_off_or_read_are_not(keys: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_7B | keys))
    assert not any("sliding_window" in one for one in read_huggingface(path).notes)

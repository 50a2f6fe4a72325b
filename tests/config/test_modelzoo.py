"""A Model Zoo params file of either layout gives its model and training, and a bad one says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wsesim.config.importers import modelzoo
from wsesim.config.importers.huggingface import read_huggingface
from wsesim.config.importers.modelzoo import NAMES
from wsesim.config.model import ModelSpec
from wsesim.config.training import TrainingSpec
from wsesim.errors import ConfigError
from wsesim.workload.transformer import parameter_count


def read_modelzoo(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model, and training with the number of systems."""
    found = modelzoo.read_modelzoo(path)
    return found.model, found.training | {key: found.cluster[key] for key in found.cluster if key == "num_systems"}


DATA = Path(__file__).parent / "data"

MODEL = {"hidden_size": 64, "num_hidden_layers": 2, "num_heads": 4, "filter_size": 256, "vocab_size": 100}
STATED = {
    "share_embedding_weights": False,
    "use_projection_bias_in_attention": False,
    "use_ffn_bias_in_attention": False,
    "use_ffn_bias": True,
    "use_bias_in_output": True,
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "params.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
    return path


def flat(folder: Path, model: dict[str, Any] | None = None, **sections: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return read_modelzoo(write(folder, {"model": {**MODEL, **(model or {})}, **sections}))


def trainer(folder: Path, **init: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return read_modelzoo(write(folder, {"trainer": {"init": {"model": {"name": "gpt2", **MODEL}, **init}}}))


def refusal(folder: Path, document: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_modelzoo(write(folder, document))
    return str(caught.value)


def refused(folder: Path, model: dict[str, Any] | None = None, **sections: Any) -> str:
    return refusal(folder, {"model": {**MODEL, **(model or {})}, **sections})


# The model


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt3_1p3b_flat", 1_315_723_264),  # cerebras/Cerebras-GPT-1.3B
        ("gpt3_1p3b_trainer", 1_315_723_264),
        ("llama2_7b_flat", 6_738_415_616),
        ("llama3_8b_trainer", 8_030_261_248),
        ("mixtral_8x7b_trainer", 46_702_792_704),
        ("gptj_6b_flat", 6_050_882_784),
        ("bert_base_flat", 110_106_428),
    ],
)
def test_params_file_has_published_parameter_count(name: str, parameters: int) -> None:
    model, _ = read_modelzoo(DATA / f"params_{name}.yaml")
    assert parameter_count(ModelSpec(**model)) == parameters
    assert model["name"] == name


def test_both_layouts_give_the_same_model_and_training() -> None:
    flat_model, flat_training = read_modelzoo(DATA / "params_gpt3_1p3b_flat.yaml")
    trainer_model, trainer_training = read_modelzoo(DATA / "params_gpt3_1p3b_trainer.yaml")
    assert {**flat_model, "name": ""} == {**trainer_model, "name": ""}
    assert flat_training == trainer_training


@pytest.mark.parametrize(
    ("params", "config"),
    [
        ("llama3_8b_trainer", "llama-3-8b"),
        ("mixtral_8x7b_trainer", "mixtral-8x7b"),
        ("gptj_6b_flat", "gptj-6b"),
    ],
)
def test_model_zoo_and_hugging_face_describe_the_same_model(params: str, config: str) -> None:
    ours = ModelSpec(**read_modelzoo(DATA / f"params_{params}.yaml")[0])
    theirs = ModelSpec(**read_huggingface(DATA / f"{config}.json").model)
    written_out = {"name": "", "intermediate_size": ours.mlp_size}
    assert ours.model_copy(update=written_out) == theirs.model_copy(update=written_out)


@pytest.mark.parametrize(
    ("word", "kind"), [("learned", "learned"), ("fixed", "none"), ("rotary", "rotary"), ("alibi", "alibi")]
)
def test_position_embeddings(word: str, kind: str, tmp_path: Path) -> None:
    model, _ = flat(tmp_path, {"name": "gpt2", "position_embedding_type": word, "max_position_embeddings": 128})
    assert model["position_embedding"] == kind
    assert ("max_position_embeddings" in model) == (kind == "learned")


@pytest.mark.parametrize("without", [{"use_position_embedding": False}, {"position_embedding_type": None}])
def test_model_without_positions(without: dict[str, Any], tmp_path: Path) -> None:
    assert flat(tmp_path, without)[0]["position_embedding"] == "none"


@pytest.mark.parametrize(("word", "gated"), [("gelu", False), ("swiglu", True), ("geglu", True), ("relu", False)])
def test_gated_linear_units(word: str, gated: bool, tmp_path: Path) -> None:
    assert flat(tmp_path, {"nonlinearity": word})[0]["gated_mlp"] is gated


@pytest.mark.parametrize("untied", [True, False])
def test_untied_layer_norm_marks_parallel_blocks(untied: bool, tmp_path: Path) -> None:
    model, _ = flat(tmp_path, {**STATED, "position_embedding_type": "rotary", "use_untied_layer_norm": untied})
    assert (model["parallel_block"], model["shared_norm"]) == (True, not untied)


def test_rotary_model_with_output_bias_is_gptj(tmp_path: Path) -> None:
    assert flat(tmp_path, {**STATED, "position_embedding_type": "rotary"})[0]["parallel_block"] is True


def test_rotary_model_that_does_not_say_its_blocks_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, {"position_embedding_type": "rotary"})
    assert "model.use_untied_layer_norm is missing" in message
    assert "name: gpt2" in message
    assert not flat(tmp_path, {"position_embedding_type": "rotary", "name": "gpt2"})[0]["parallel_block"]


def test_gptj_states_its_switches(tmp_path: Path) -> None:
    lines = refused(tmp_path, {"name": "gptj"}).splitlines()
    assert [line.split(": model.")[1] for line in lines] == [f"{key} is missing; add it" for key in STATED]


@pytest.mark.parametrize("name", NAMES)
def test_every_known_name_reads(name: str, tmp_path: Path) -> None:
    model, _ = flat(tmp_path, {"name": name, **STATED}, train_input={"max_sequence_length": 128})
    assert ModelSpec(**model).causal is not name.startswith(("bert", "roberta", "esm"))


def test_multi_query_attention_has_one_group_by_default(tmp_path: Path) -> None:
    assert flat(tmp_path, {"attention_module": "multiquery_attention"})[0]["num_key_value_heads"] == 1


def test_attention_wider_than_the_model(tmp_path: Path) -> None:
    assert flat(tmp_path, {"attention_inner_dim": 128})[0]["head_dim"] == 32


def test_experts_may_stand_among_the_model_keys(tmp_path: Path) -> None:
    model, _ = flat(tmp_path, {"num_experts": 4, "top_k": 2})
    assert (model["num_experts"], model["experts_per_token"]) == (4, 2)


def test_norm_after_the_block_leaves_no_final_norm(tmp_path: Path) -> None:
    assert flat(tmp_path, {"norm_first": False})[0]["final_norm"] is False


def test_bert_predicts_the_positions_that_its_data_masks() -> None:
    model, training = read_modelzoo(DATA / "params_bert_base_flat.yaml")
    assert (model["masked_positions"], training["sequence_length"]) == (20, 128)


def test_bert_masks_15_percent_where_the_file_is_silent(tmp_path: Path) -> None:
    model, _ = flat(tmp_path, {"name": "bert"}, train_input={"max_sequence_length": 128})
    assert model["masked_positions"] == 19  # 0.15 x 128 = 19.2
    assert "max_predictions_per_seq is missing" in refused(tmp_path, {"name": "bert"})


@pytest.mark.parametrize("model", [{"name": "bert/classifier"}, {"num_classes": 2, "encoder_nonlinearity": "gelu"}])
def test_bert_classifier_masks_nothing(model: dict[str, Any], tmp_path: Path) -> None:
    assert flat(tmp_path, model)[0]["masked_positions"] == 0


# The training


def test_training_of_the_flat_layout() -> None:
    assert read_modelzoo(DATA / "params_gpt3_1p3b_flat.yaml")[1] == {
        "sequence_length": 2048,
        "global_batch_size": 528,
        "micro_batch_size": 66,
        "precision": "cbfloat16",
        "optimizer": "adamw",
        "max_gradient_norm": 1.0,
        "weight_sparsity": 0.75,
        "steps": 24334,
        "num_systems": 4,
    }


@pytest.mark.parametrize(
    ("name", "training"),
    [
        (
            "llama2_7b_flat",
            {
                "sequence_length": 4096,
                "global_batch_size": 1024,
                "micro_batch_size": "auto",
                "precision": "bfloat16",
                "optimizer": "adamw",
                "max_gradient_norm": 1.0,
                "steps": 500_000,
            },
        ),
        (
            "llama3_8b_trainer",
            {
                "sequence_length": 8192,
                "global_batch_size": 256,
                "micro_batch_size": "auto",
                "precision": "cbfloat16",
                "optimizer": "adamw",
                "max_gradient_norm": 1.0,
                "num_systems": 16,
            },
        ),
        (
            "mixtral_8x7b_trainer",
            {"sequence_length": 32768, "global_batch_size": 64, "precision": "float32", "optimizer": "sgd"},
        ),
        (
            "gptj_6b_flat",
            {"sequence_length": 2048, "global_batch_size": 120, "precision": "float16", "optimizer": "adam"},
        ),
        (
            "bert_base_flat",
            {
                "sequence_length": 128,
                "global_batch_size": 1024,
                "precision": "float32",
                "optimizer": "adamw",
                "steps": 900_000,
            },
        ),
    ],
)
def test_training_holds_what_the_file_states(name: str, training: dict[str, Any]) -> None:
    assert read_modelzoo(DATA / f"params_{name}.yaml")[1] == training


@pytest.mark.parametrize("path", sorted(DATA.glob("params_*.yaml")), ids=lambda path: path.stem)
def test_training_fields_are_those_of_the_spec(path: Path) -> None:
    training = read_modelzoo(path)[1]
    training.pop("num_systems", None)
    TrainingSpec(**{"sequence_length": 2048, **training})


def test_model_alone_is_enough(tmp_path: Path) -> None:
    assert flat(tmp_path)[1] == {}
    assert trainer(tmp_path)[1] == {}


@pytest.mark.parametrize(("value", "read"), [("explore", "auto"), ("AUTO", "auto"), (32, 32), ({"explore": 1}, "auto")])
def test_micro_batch_size(value: Any, read: Any, tmp_path: Path) -> None:
    assert flat(tmp_path, train_input={"micro_batch_size": value})[1] == {"micro_batch_size": read}


@pytest.mark.parametrize("value", [None, "None"])
def test_micro_batch_size_left_open(value: Any, tmp_path: Path) -> None:
    assert flat(tmp_path, train_input={"micro_batch_size": value})[1] == {}


@pytest.mark.parametrize(
    ("keys", "precision"),
    [
        ({"mixed_precision": True}, "float16"),
        ({"mixed_precision": True, "use_bfloat16": True}, "bfloat16"),
        ({"mixed_precision": False, "fp16_type": "cbfloat16"}, "float32"),
        ({"fp16_type": "bfloat16"}, "bfloat16"),
    ],
)
def test_precision(keys: dict[str, Any], precision: str, tmp_path: Path) -> None:
    assert flat(tmp_path, keys)[1] == {"precision": precision}


@pytest.mark.parametrize("sparsity", [0.5, {"sparsity": 0.5}, {"type": "sideband", "sparsity": 0.5}])
def test_constant_sparsity(sparsity: Any, tmp_path: Path) -> None:
    assert flat(tmp_path, sparsity=sparsity)[1] == {"weight_sparsity": 0.5}
    assert trainer(tmp_path, sparsity=sparsity)[1] == {"weight_sparsity": 0.5}


@pytest.mark.parametrize("name", ["AdamW", "Adam", "SGD", "Lion"])
def test_optimizers_of_both_layouts(name: str, tmp_path: Path) -> None:
    expected = {"optimizer": name.lower()}
    assert flat(tmp_path, optimizer={"optimizer_type": name})[1] == expected
    assert trainer(tmp_path, optimizer={name: {"betas": [0.9, 0.95]}})[1] == expected


# What is refused


@pytest.mark.parametrize(
    ("model", "finding"),
    [
        ({"hidden_size": None}, "model.hidden_size is missing; add it"),
        ({"num_heads": "16"}, "model.num_heads is '16'; write a whole number"),
        ({"vocab_size": 1.5}, "model.vocab_size is 1.5; write a whole number"),
        ({"filter_size": True}, "model.filter_size is True; write a whole number"),
        ({"norm_type": "groupnorm"}, "model.norm_type is 'groupnorm', which is not supported"),
        ({"a_key_of_the_future": 3}, "model.a_key_of_the_future is 3, a key that is not known here"),
        ({"freeze": ["^embedding"]}, "freezes some of the weights"),
        ({"position_embedding_type": "relative"}, "model.position_embedding_type is 'relative'"),
        ({"position_embedding_type": "rotory"}, "did you mean rotary?"),
        ({"nonlinearity": 3}, "model.nonlinearity is 3; write the name of a function"),
        ({"name": "gtp2"}, "did you mean gpt2?"),
        ({"name": "T5"}, "the model T5 has an encoder and a decoder (T5, Transformer), which is not modelled"),
        ({"name": "dpo"}, "the model dpo has a second network"),
        ({"lora_params": {"r": 16}}, "model.lora_params trains weights of low rank"),
        ({"attention_module": "linear"}, "the model has linear attention, which is not modelled"),
        (
            {"extra_attention_params": {"num_kv_groups": 2}},
            "extra_attention_params.num_kv_groups has no effect",
        ),
        ({"extra_attention_params": 2}, "model.extra_attention_params is 2; write a mapping of keys"),
        ({"attention_inner_dim": 65}, "model.attention_inner_dim is 65, which num_heads does not divide"),
        ({"moe_params": {"num_experts": 8}}, "model.moe_params.top_k is missing"),
        (
            {"moe_params": {"num_experts": 8, "top_k": 1, "routing_algorithm": "hash"}},
            "routing_algorithm is 'hash'",
        ),
        ({"share_embedding_weights": "no"}, "model.share_embedding_weights is 'no'; write true or false"),
        ({"fp16_type": "float8"}, "model.fp16_type is 'float8', which is not supported; did you mean"),
    ],
)
def test_bad_model_is_refused(model: dict[str, Any], finding: str, tmp_path: Path) -> None:
    assert finding in refused(tmp_path, model)


@pytest.mark.parametrize(
    ("sections", "finding"),
    [
        ({"train_input": []}, "train_input is a list; write a mapping of keys"),
        (
            {"train_input": {"batch_size": 0}},
            "train_input.batch_size is 0; write a whole number of at least 1",
        ),
        ({"train_input": {"micro_batch_size": "big"}}, "train_input.micro_batch_size is 'big'"),
        ({"optimizer": {"optimizer_type": "AdamX"}}, "which is not modelled; did you mean adam"),
        (
            {"optimizer": {"optimizer_type": 1}},
            "optimizer.optimizer_type is 1, which is not modelled; use one of",
        ),
        (
            {"optimizer": {"max_gradient_norm": -1}},
            "optimizer.max_gradient_norm is -1; write a number from 0",
        ),
        ({"optimizer": {"max_gradient_norm": float("nan")}}, "optimizer.max_gradient_norm is nan"),
        ({"runconfig": {"max_steps": "1e5"}}, "runconfig.max_steps is '1e5'"),
        ({"runconfig": {"num_csx": 0}}, "runconfig.num_csx is 0"),
        ({"sparsity": {"sparsity": 1.0}}, "sparsity.sparsity is 1.0; write a number from 0 to 1"),
        ({"sparsity": {"sparsity": {"type": "linear"}}}, "sparsity.sparsity is a mapping"),
        ({"sparsity": {"algorithm": "gmp", "sparsity": 0.5}}, "sparsity.algorithm is 'gmp'"),
        ({"sparsity": [{"sparsity": 0.5}]}, "sparsity is a list; write a mapping of keys"),
    ],
)
def test_bad_training_is_refused(sections: dict[str, Any], finding: str, tmp_path: Path) -> None:
    assert f"params.yaml: {finding}" in refused(tmp_path, **sections) or finding in refused(tmp_path, **sections)


def test_two_optimizers_are_refused(tmp_path: Path) -> None:
    document = {"trainer": {"init": {"model": MODEL, "optimizer": {"AdamW": {}, "SGD": {}}}}}
    assert "trainer.init.optimizer.'SGD' is a second optimizer; keep one" in refusal(tmp_path, document)


def test_all_problems_come_together(tmp_path: Path) -> None:
    lines = refused(tmp_path, {"num_heads": 0}, runconfig={"max_steps": -1}, optimizer=3).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(str(tmp_path / "params.yaml: ")) for line in lines)


@pytest.mark.parametrize("document", [{}, {"train_input": {"batch_size": 1}}, {"model": None}])
def test_file_without_a_model_is_refused(document: Any, tmp_path: Path) -> None:
    assert "has neither a model nor a trainer section" in refusal(tmp_path, document)


def notes(folder: Path, document: Any) -> str:
    return "\n".join(modelzoo.read_modelzoo(write(folder, document)).notes)


def test_keys_outside_the_model_are_harmless_with_a_reason_or_named(tmp_path: Path) -> None:
    """Of the optimizer, the run, the data and callbacks; of the trainer's optimizer below its name."""
    flat_file = {
        "model": MODEL,
        "train_input": {"batch_size": 8, "use_vsl": True, "shuffle_seed": 1},
        "optimizer": {"optimizer_type": "AdamW", "eps": 1e-8, "frob_opt": 7},
        "runconfig": {"max_steps": 10, "mgmt_address": "x", "frob_run": 8},
        "frob_section": {"a": 1},
    }
    found = notes(tmp_path, flat_file)
    assert "nothing is known of frob_section.a, optimizer.frob_opt, runconfig.frob_run; simulated without" in found
    assert "train_input.use_vsl is not simulated" in found
    init = {"model": {"name": "gpt2", **MODEL}, "optimizer": {"AdamW": {"betas": [0.9, 0.95], "frob": 1}}}
    init |= {"callbacks": [{"KeepNCheckpoints": {"n": 5}}, {"WeightCompression": {"x": 1}}, {"Frob": {}}]}
    found = notes(tmp_path, {"trainer": {"init": init}})
    assert "nothing is known of trainer.init.optimizer.AdamW.frob, the callback Frob; simulated without" in found
    assert "WeightCompression is not simulated: weights are streamed at their full width" in found


@pytest.mark.parametrize(
    ("model", "finding"),
    [
        ({"name": "mistral", "dpo": {"beta": 0.1}}, "the model mistral has a second network"),
        ({"name": "llama", "teacher_model": {"a": 1}}, "the model llama is trained by a second network"),
        ({"attention_type": "linear"}, "the model has linear attention"),
        ({"name": "whisper"}, "the model whisper reads sound"),
        ({"architecture": "resnet50", "depth": 50}, "is a convolutional network for images"),
        ({"depth": 10, "activation_fn": "relu"}, "is a small network for digits"),
        ({"extra_ffn_params": {"static_dual_expert": True}}, "static_dual_expert is True"),
        ({"extra_ffn_params": {"frob": 3}}, "extra_ffn_params.frob is 3, a key that is not known"),
        ({"memory_tokens_config": {"a": 1}}, "memory_tokens_config is a mapping, a key that is not known"),
    ],
)
def test_what_a_file_has_beside_a_chain_of_blocks_refuses_it(
    model: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    assert finding in refused(tmp_path, model)


def test_an_unknown_name_is_one_sentence(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"model": {"name": "frobnet"}}).count("\n") == 0


@pytest.mark.parametrize("trainer", [{"fit": {}}, {"init": {}}, {"init": None}, {"init": 3}])
def test_trainer_without_a_model_is_refused(trainer: Any, tmp_path: Path) -> None:
    assert "trainer.init.model is missing; add it" in refusal(tmp_path, {"trainer": trainer})


def test_the_first_of_several_phases_is_read(tmp_path: Path) -> None:
    phases = [{"trainer": {"init": {"model": {"name": "gpt2", **MODEL}}}}, {"trainer": {}}]
    found = modelzoo.read_modelzoo(write(tmp_path, {"trainer": phases}))
    assert found.model["hidden_size"] == MODEL["hidden_size"]
    assert "trains in 2 phases, of which the first is read" in found.notes[0]


@pytest.mark.parametrize("text", ["", "3", "- a", "text", "null", "# nothing"])
def test_document_that_is_not_a_mapping_is_refused(text: str, tmp_path: Path) -> None:
    assert "a params file is one mapping of sections" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: *nowhere",
        "a: b: c",
        "? [1]: 2",
        "--- 1\n--- 2",
        "a: !!python/object/apply:os.system ['true']",
        "a: !!int ''",
        "a: !!bool maybe",
        "a: !!timestamp soon",
        "a: 2023-13-45",
        "a: " + "1" * 5000,
        "\x00",
    ],
)
def test_text_that_is_not_safe_yaml_is_refused(text: str, tmp_path: Path) -> None:
    assert "is not valid YAML" in refusal(tmp_path, text)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    assert "nested too deeply" in refusal(tmp_path, "[" * 5000)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 {k: v}", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30))]
    assert "its aliases stand for more than 500,000 values" in refusal(tmp_path, "\n".join(levels))


def test_merges_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 {k: v}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40))]
    assert "its aliases stand for more than 500,000 values" in refusal(tmp_path, "\n".join(levels))


def test_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "an anchor holds itself" in refusal(tmp_path, "model: &a {b: *a}")


def test_huge_file_is_refused(tmp_path: Path) -> None:
    assert "larger than 0.2 MB" in refusal(tmp_path, "#" * 1_000_001)


def test_absurd_number_is_quoted_shortly(tmp_path: Path) -> None:
    message = refusal(tmp_path, "model: {hidden_size: -0x" + "f" * 5000 + "}")
    assert "model.hidden_size is a number of absurd size" in message


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError):
            read_modelzoo(path)


# Any document reads or is refused; nothing else comes out.

KEYS = """
    trainer init fit model train_input train_dataloader optimizer runconfig sparsity precision loop
    backend callbacks cluster_config name hidden_size num_heads filter_size vocab_size
    position_embedding_type nonlinearity norm_type attention_module extra_attention_params num_kv_groups
    moe_params num_experts top_k use_untied_layer_norm mlm_loss_weight encoder_nonlinearity num_segments
    max_position_embeddings max_predictions_per_seq batch_size micro_batch_size max_sequence_length
    optimizer_type max_gradient_norm fp16_type mixed_precision max_steps num_csx ScopedTrainFlags
    csx.performance.micro_batch_size attention_inner_dim algorithm
"""
keys = st.sampled_from(KEYS.split())
words = st.sampled_from(["gpt2", "gptj", "bert", "rotary", "alibi", "swiglu", "rmsnorm", "AdamW", "cbfloat16", "auto"])
scalars = st.none() | st.booleans() | st.integers() | st.integers(1, 100) | st.floats() | words | st.text(max_size=4)
documents = st.recursive(
    scalars | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.integers() | st.booleans(), inner, max_size=6)
    ),
    max_leaves=12,
)
sections = st.dictionaries(keys, documents, max_size=6)


def outcome(path: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    try:
        return *read_modelzoo(path), ""
    except ConfigError as error:
        return {}, {}, str(error)


def assert_reads_or_is_refused(path: Path) -> None:
    model, training, refusal = outcome(path)
    assert all(line.startswith(f"{path}: ") for line in refusal.splitlines())
    assert bool(model) is not bool(refusal)
    assert set(model) <= set(ModelSpec.model_fields)
    assert set(training) <= {*TrainingSpec.model_fields, "num_systems"}


@settings(max_examples=300, deadline=None)
@given(document=documents, model=sections, data=sections, init=sections, layout=st.integers(0, 2))
def test_any_document_reads_or_raises_config_error(
    document: Any,
    model: dict[str, Any],
    data: dict[str, Any],
    init: dict[str, Any],
    layout: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    whole = {**MODEL, **model}
    candidates = [
        document,
        {"model": whole, "train_input": data, **init},
        {"trainer": {"init": {"model": whole, **init}, "fit": {"train_dataloader": data}}},
    ]
    assert_reads_or_is_refused(write(tmp_path_factory.mktemp("fuzz"), yaml.safe_dump(candidates[layout])))


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.text(alphabet="ab:-?[]{}&*!<>|%@`'\"#,\n 01."))
def test_any_text_reads_or_raises_config_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "params.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert_reads_or_is_refused(path)

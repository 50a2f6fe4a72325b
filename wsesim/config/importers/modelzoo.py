"""Reads a model and its training from the params file of a Cerebras Model Zoo run.

Both layouts are read [1]_: the flat one (top-level ``model``, ``train_input``, ``optimizer``, ``runconfig``)
and the one around a top-level ``trainer`` (``init`` and ``fit``). A `Layout` says where each thing lies;
everything after it is the same for both.

The names of the releases are kept, so are their meanings: ``batch_size`` counts the sequences of one
optimizer step over all systems, ``micro_batch_size`` those of one system and pass, and ``num_kv_groups``
the heads of keys and values. What releases disagree about is not guessed: a GPT-J file has to state its
switches, and a rotary model has to say whether its blocks are parallel.

Every key of the model is read, or is in `HARMLESS` with the reason, or refuses the file; the other sections say how data is
read, how the optimizer steps and how it runs: what `_TRAINING` and `_CLUSTER` name is taken from them, what `ELSEWHERE` names is
harmless, and a key or a callback that is in neither is named in a note, as are those of `MATTER`.

Not modelled: ``fixed_sparse_attention``, which counts as the full square. Refused by name are second networks (`FOREIGN`),
and weights that are frozen or of low rank. ``position_embedding_type: relative`` is refused: it is T5's small table of
biases, not the projection per block that `ModelSpec` calls relative.

.. [1] Cerebras Model Zoo, github.com/Cerebras/modelzoo: R1.6-R2.2 ``*/configs/params_*.yaml`` (flat),
   R2.3 and later ``models/nlp/*/configs/params_*.yaml`` (trainer), and the training documentation's
   pages on YAML parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsesim.config.catalogue import shown, yaml_value
from wsesim.config.importers.families import MASKED_SHARE
from wsesim.config.importers.section import (
    REQUIRED,
    YAML_FILES,
    Fields,
    Imported,
    Reasons,
    Section,
    defaults_said,
    is_off,
    model_name,
    name_family,
    name_file,
    pass_over,
    printable,
    raise_problems,
    read_reasons,
    value_shown,
)
from wsesim.errors import ConfigError, did_you_mean

Family = Literal["gpt", "gptj", "bert", "classifier", "tokens", "esm"]

NAMES: dict[str, Family] = {
    **dict.fromkeys(("gpt2", "gpt3", "cerebras_gpt", "bloom", "btlm", "jais", "opt", "mpt", "gpt"), "gpt"),
    **dict.fromkeys(
        ("llama", "llama2", "llama3", "mistral", "mixtral", "santacoder", "starcoder", "starcoder2"), "gpt"
    ),
    **dict.fromkeys(
        ("gemma", "gemma2", "gemma3", "qwen2", "qwen3", "phi3", "deepseek_moe", "olmo2", "baichuan"), "gpt"
    ),
    **dict.fromkeys(("gptj", "gpt-j", "gpt_neox", "gpt-neox", "neox", "falcon", "codegen", "phi", "command_r"), "gptj"),
    **dict.fromkeys(("bert", "roberta", "bert/pretrain", "roberta/pretrain"), "bert"),
    **dict.fromkeys(("bert/classifier", "bert/sequence_classifier", "roberta/classifier"), "classifier"),
    **dict.fromkeys(("bert/token_classifier", "bert/question_answering", "bert/qa"), "tokens"),
    **dict.fromkeys(("esm2", "esm-2", "esm2/pretrain"), "esm"),
}
"""What ``model.name`` says about the blocks: one after the other, parallel, or an encoder's, and about an encoder's head."""

_SECOND = "has a second network"
FOREIGN_NAMES = {
    **dict.fromkeys(
        ("t5", "transformer", "t5_v1_1", "flan_ul2", "ul2"), "has an encoder and a decoder (T5, Transformer)"
    ),
    **dict.fromkeys(
        ("dpo", "grpo", "ppo", "rlhf"), f"{_SECOND}, the reference that preferences are learned against (DPO)"
    ),
    **dict.fromkeys(("dpr", "dense_passage_retriever"), f"{_SECOND}: it is a pair of encoders (DPR)"),
    **dict.fromkeys(
        ("llava", "multimodal", "multimodal_simple", "vlm", "llava_next"), f"{_SECOND} that reads pictures (LLaVA)"
    ),
    **dict.fromkeys(("dit", "diffusion_transformer"), "is a diffusion transformer (DiT)"),
    **dict.fromkeys(
        ("vit", "vision_transformer", "vit_classification", "mae", "dinov2", "ijepa", "jepa", "vit_mae"),
        "reads pictures (ViT)",
    ),
    **dict.fromkeys(("unet", "unet_3d", "unet3d", "uresnet", "nnunet"), "is a convolutional network for images (UNet)"),
    **dict.fromkeys(("resnet", "efficientnet", "convnext", "vgg"), "is a convolutional network for images"),
    **dict.fromkeys(("linformer", "performer", "linear_attention", "linear_transformer"), "has linear attention"),
    **dict.fromkeys(("mamba", "mamba2", "s4", "hyena", "rwkv"), "has layers of a state space"),
    **dict.fromkeys(("fc_mnist", "mnist", "mlp"), "is a small network for digits (MNIST)"),
    **dict.fromkeys(("rnnt", "rnn_t", "gnn", "dlrm", "tabular", "din"), "is no transformer"),
    **dict.fromkeys(("bert/summarization", "bert/extractive_summarization"), "chooses sentences (BERT for summaries)"),
    **dict.fromkeys(("lora", "gpt2_lora"), "trains weights of low rank (LoRA)"),
    **dict.fromkeys(
        ("slim_pajama", "sentence_embedding", "xtremedistil", "distilbert"), "is trained by a second network"
    ),
}
"""What a named model is that is not modelled."""

Mark = tuple[tuple[str, ...], str]
FOREIGN: tuple[Mark, ...] = (
    (("num_diffusion_steps", "vae", "noise_scheduler", "latent_size"), FOREIGN_NAMES["dit"]),
    (
        ("src_vocab_size", "tgt_vocab_size", "decoder_num_hidden_layers", "encoder_num_hidden_layers"),
        FOREIGN_NAMES["t5"],
    ),
    (("d_kv", "relative_attention_num_buckets"), FOREIGN_NAMES["t5"]),
    (("image_model", "image_model_list", "projector", "vision_model", "text_model"), FOREIGN_NAMES["llava"]),
    (("q_encoder", "ctx_encoder", "question_encoder", "passage_encoder"), FOREIGN_NAMES["dpr"]),
    (
        (
            "skip_connect",
            "units",
            "downscale_method",
            "initial_conv_filters",
            "encoder_filters",
            "downscale_first_conv",
        ),
        FOREIGN_NAMES["unet"],
    ),
    (("image_size", "patch_size", "num_channels", "image_shape", "input_channels"), FOREIGN_NAMES["vit"]),
    (("projected_dims", "projected_dim", "linear_attention", "kernel_features"), FOREIGN_NAMES["linformer"]),
    (("ssm_cfg", "d_state", "ssm_state_size", "mamba"), FOREIGN_NAMES["mamba"]),
    (("architecture", "block", "blocks", "backbone"), FOREIGN_NAMES["resnet"]),
    (("hidden_sizes", "depth_multiplier", "depth"), FOREIGN_NAMES["mnist"]),
)
"""The same by keys of the model, for files without a name."""
BESIDE: tuple[Mark, ...] = (
    (("dpo", "policy_model", "ref_model", "reference_model", "dpo_loss", "reward_model"), FOREIGN_NAMES["dpo"]),
    (("teacher", "teacher_model", "distillation"), "is trained by a second network, its teacher"),
    (("image_model", "image_model_list", "projector", "vision_model"), FOREIGN_NAMES["llava"]),
    (("ssm_cfg", "ssm_state_size"), FOREIGN_NAMES["mamba"]),
)
"""Keys that say the same beside a name that is read."""

LOW_RANK = "trains weights of low rank beside frozen ones (LoRA), which is not modelled; remove it for the training of all weights"
FROZEN = "freezes some of the weights, which is not modelled; remove it for the training of all weights"

_BERT_MARKS = ("mlm_loss_weight", "disable_nsp", "encoder_nonlinearity", "mlm_nonlinearity", "num_segments")
_POSITIONS = {"learned": "learned", "fixed": "none", "rotary": "rotary", "alibi": "alibi"}
_GATED = frozenset({"swiglu", "geglu", "reglu", "bilinear", "glu", "geglu-approx", "swiglu-approx"})
_NORMS = {"layernorm": "layernorm", "rmsnorm": "rmsnorm", "biasless-layernorm": "rmsnorm"}
"""Kinds of norms by whether they have a shift; a layer norm without one counts as ``rmsnorm``."""
_OPTIMIZERS = ("adamw", "adam", "lion", "sgd")
_LIKE_ADAM = ("lamb", "nadam", "radam", "adamax", "adambase")
_FP16_TYPES = ("cbfloat16", "bfloat16", "float16")
_ALGORITHMS = ("static", "sideband", "set", "rigl")
_MICRO_BATCH_FLAG = "csx.performance.micro_batch_size"


HARMLESS: Reasons = read_reasons(r"""
rounding and constants of functions
    .*_epsilon .*_eps .*softcap.* .*_scale .*_alpha .*_scaling scale_.* .*_softmax_fp32 .*_fp32 .*_scaling_factor
    mup_.* attention_kernel nonlinearity .*_nonlinearity .*_logit_.* use_ffn_bias_in_attention attention_logits_.*
dropout outside attention, not counted
    .*dropout.* .*drop_rate .*_pdrop stochastic_depth.*
positions, without parameters
    rotary_.* rope_.* pad_rope fold_rope_consts pos_scaling_.* position_embedding_offset .*relative_attention_.*
    alibi_.* embedding_pad_token_id mask_padding_in_positional_embed constant_pos_embedding max_position_embeddings
    max_rel.*
how weights are drawn before training
    .*initializer.* .*_init init_.* initializer_range .*_std
a term of the loss, or how experts are chosen, without parameters
    loss_.* .*_loss.* mlm_.* label_smoothing z_loss.* task_.* problem_type .*routing.* router_.* load_balancing_.*
    probability_before_ffn .*expert_weight.* moe_implementation null_expert_bias gate_.* include_padding_in_loss
    .*ignore_index expert_capacity.* moe_.*coef disable_nsp num_cls_classes .*_reduction document_separator_token
    use_masked_loss
how it runs
    use_vsl batch_first .*optimizations weight_initialization_seed mixed_precision fp16_type use_bfloat16 to_float16
    dtype enable_vts cs_.* precision.* half_dtype autogen_policy checkpoint.* boundary_casting tf_summary
    weight_histogram .*summar.* compute_.*metrics eval_metrics enable_.* log_.* seed .*_seed lr_adjustment_groups
    max_checkpoint.* tensorboard.* return_.* output_.* dynamic_loss_.* device.*
how text is read
    .*_token_id .*_token data_.* tokenizer.* vocab_file token_dropout max_sequence_length .*_tokens
follows from what is read, or is the same in all models of its kind
    name extra_attention_params attention_module use_final_layer_norm norm_first add_pooling_layer use_mlm_bias
    use_projection_bias.* use_ffn_bias_in_mlm use_output_bias_in_mlm use_position_embedding share_encoder_decoder.*
    use_rms_norm use_biasless_norm use_bias_in_output fixed_sparse_attention attention_qk_norm_eps moe_params
    pretrained embedding_layer_norm
""")
"""Patterns of keys of the model that change nothing that is worked out, and why."""


Values = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """Where a file keeps what we read.

    Attributes
    ----------
    optimizer
        Holds ``optimizer_type``; the trainer's one-entry mapping ``{AdamW: {...}}`` is put like that.
    precision, clipping
        Hold the 16-bit type, and ``max_gradient_norm``.
    loop, cluster
        Hold ``max_steps``, and ``num_csx``.
    """

    model: Section
    data: Section
    optimizer: Section
    precision: Section
    clipping: Section
    loop: Section
    cluster: Section
    sparsity: Section
    callbacks: tuple[tuple[str, Any], ...] = ()
    phases: int = 1


def _flat(document: Section) -> Layout:
    """Find the sections of the layout up to release 2.2."""
    model, optimizer = document.section("model"), document.section("optimizer")
    run = document.section("runconfig")
    return Layout(
        model=model,
        data=document.section("train_input"),
        optimizer=optimizer,
        precision=model,
        clipping=optimizer,
        loop=run,
        cluster=run,
        sparsity=_sparsity_section(document),
    )


def _trainer(document: Section) -> Layout:
    """Find the sections of the layout from release 2.3 on; of several phases the first."""
    phases = document.get("trainer")
    if isinstance(phases, list) and phases and all(isinstance(one, dict) for one in phases):
        first = phases[0].get("trainer", phases[0])
        trainer = document.inside("trainer", first if isinstance(first, dict) else {})
    else:
        trainer = document.section("trainer")
    init = trainer.section("init")
    if not init.has("model"):
        init.problem("model", "is missing; add it, it describes what is trained")
    callbacks = tuple(_callbacks(init))
    data = _loader(trainer.section("fit"))
    precision = init.section("precision")
    return Layout(
        model=init.section("model"),
        data=_with_micro_batch_flag(data, callbacks),
        optimizer=_named_optimizer(init.section("optimizer")),
        precision=precision,
        clipping=precision,
        loop=init.section("loop"),
        cluster=init.section("backend").section("cluster_config"),
        sparsity=_sparsity_section(init),
        callbacks=callbacks,
        phases=len(phases) if isinstance(phases, list) else 1,
    )


def _loader(fit: Section) -> Section:
    """The training data; of a list of loaders the first."""
    value = fit.values.get("train_dataloader")
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return fit.inside("train_dataloader", value[0])
    return fit.section("train_dataloader")


def _layout(document: Section) -> Layout:
    if document.has("trainer"):
        return _trainer(document)
    if document.has("model"):
        return _flat(document)
    named = name_file(YAML_FILES, document.values)
    if named is not None:
        raise ConfigError(f"{document.place}: is {named}")
    raise ConfigError(
        f"{document.place}: has neither a model nor a trainer section; give a params file of the Model Zoo, "
        "or write the fields of [model] inline"
    )


def _with(section: Section, extra: Values) -> Section:
    return Section({**section.values, **extra}, section.place, section.problems, section.prefix, section.asked)


def _callbacks(init: Section) -> Iterator[tuple[str, Any]]:
    """Names of callbacks and what they hold."""
    listed = init.get("callbacks")
    for callback in listed if isinstance(listed, list) else []:
        yield from ((str(name), held) for name, held in callback.items()) if isinstance(callback, dict) else ()


def _with_micro_batch_flag(data: Section, callbacks: Iterable[tuple[str, Any]]) -> Section:
    """Return the data section, with the micro-batch that a flag among the callbacks sets."""
    for _, flags in callbacks:
        if isinstance(flags, dict) and _MICRO_BATCH_FLAG in flags and not data.has("micro_batch_size"):
            return _with(data, {"micro_batch_size": flags[_MICRO_BATCH_FLAG]})
    return data


def _named_optimizer(section: Section) -> Section:
    """``{AdamW: {...}}`` as ``{optimizer_type: AdamW}``."""
    if not section.values or section.has("optimizer_type"):
        return section
    names = list(section.values)
    if len(names) > 1:
        section.problem(value_shown(names[1]), "is a second optimizer; keep one")
    return _with(section, {"optimizer_type": names[0]})


def _sparsity_section(parent: Section) -> Section:
    """Open the sparsity section; a bare number stands for a static one, a list of one for what it holds."""
    value = parent.values.get("sparsity")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "algorithm" in value[0]:
        return parent.inside("sparsity", value[0])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parent.inside("sparsity", {"sparsity": value})
    return parent.section("sparsity")


# What is not modelled


def _refuse_foreign(layout: Layout) -> None:
    """Raise one sentence that names a file of another kind; it would be useless to ask it for keys."""
    model = layout.model
    name = model.values.get("name")
    what = _foreign_name(name) if isinstance(name, str) else None
    marked = BESIDE if isinstance(name, str) and family_of_name(name) else (*BESIDE, *FOREIGN)
    if what is None:
        what = next(
            (words for marks, words in marked if any(model.values.get(mark) is not None for mark in marks)), None
        )
    if what is None and any(re.search(r"linear|linformer|performer", _word_of(model, key)) for key in _KINDS):
        what = FOREIGN_NAMES["linear_attention"]
    processor = _word_of(layout.data, "data_processor") or _word_of(layout.data, "input_processor")
    if what is None:
        what = next((words for mark, words in _PROCESSORS.items() if mark in processor), None)
    if what is None and isinstance(name, str) and family_of_name(name) is None:
        what = name_family(name)
    if what is not None:
        called = f" {name}" if isinstance(name, str) else ""
        raise ConfigError(f"{model.place}: the model{called} {what}, which is not modelled")


_KINDS = ("attention_type", "attention_module", "attention_kernel")


def _word_of(section: Section, key: str) -> str:
    """A word in lower case, without noting that it was read."""
    value = section.values.get(key)
    return value.lower() if isinstance(value, str) else ""


def _foreign_name(name: str) -> str | None:
    """What a name says that is not modelled; sizes and versions may follow it."""
    word = name.lower()
    if "summar" in word and "bert" in word:
        return FOREIGN_NAMES["bert/summarization"]
    begins = [known for known in FOREIGN_NAMES if re.fullmatch(rf"{re.escape(known)}([-_/.\d].*)?", word)]
    return FOREIGN_NAMES[max(begins, key=len)] if begins else None


_PROCESSORS = {
    "dpo": FOREIGN_NAMES["dpo"],
    "bertsum": FOREIGN_NAMES["bert/summarization"],
    "t5": FOREIGN_NAMES["t5"],
    "transformerdynamic": FOREIGN_NAMES["t5"],
    "diffusion": FOREIGN_NAMES["dit"],
    "llava": FOREIGN_NAMES["llava"],
    "imagenet": "reads pictures",
}
"""What the name of a data processor, in lower case, says about the model."""


def _refuse_partial_training(layout: Layout) -> None:
    """Weights that are frozen or of low rank."""
    for name in ("lora_params", "lora", "adapter", "adapters"):
        if layout.model.get(name):
            layout.model.problem(name, LOW_RANK)
    for section in (layout.model, layout.optimizer):
        for name in ("freeze", "frozen_params", "trainable_params", "freeze_layers", "param_optimizer_frozen"):
            if section.get(name):
                section.problem(name, FROZEN)
    for name, held in layout.callbacks:
        word = name.lower()
        if "lora" in word and held is not None:
            layout.model.problems.append(f"{layout.model.place}: the callback {name} {LOW_RANK}")
        if "freeze" in word:
            layout.model.problems.append(f"{layout.model.place}: the callback {name} {FROZEN}")


# The model


def _family(layout: Layout) -> Family | None:
    """Tell the kind of blocks from the model's name, or from keys that only one kind has."""
    model = layout.model
    if model.has("name"):
        family = family_of_name(model.get("name"))
        if family is None:
            model.word("name", known=NAMES)
            raise_problems(model.problems)
        return "tokens" if family == "classifier" and _labels_tokens(layout) else family
    if _labels_tokens(layout):
        return "tokens"
    if any(model.has(mark) for mark in ("num_classes", "num_labels")) or model.get("problem_type") is not None:
        return "classifier"
    if model.has("token_dropout"):
        return "esm"
    if any(model.has(mark) for mark in _BERT_MARKS) or layout.data.has("max_predictions_per_seq"):
        return "bert"
    rotary = model.get("position_embedding_type") == "rotary"
    if model.has("use_untied_layer_norm") or (rotary and model.get("use_bias_in_output") is True):
        return "gptj"
    if rotary and not _is_gated(layout) and _normalization(layout) == "layernorm":
        model.problem(
            "use_untied_layer_norm",
            "is missing, so the blocks may be GPT-J's or GPT-2's; add it (true or false) if attention and "
            "MLP are parallel, or add name: gpt2 if one follows the other",
        )
    return "gpt"


def family_of_name(name: Any) -> Family | None:
    """What a name says about the blocks; sizes and versions may follow it, as in ``llama3.1-8b``.

    Examples
    --------
    >>> family_of_name("bert/token_classifier"), family_of_name("Llama3.1-8B"), family_of_name("lama")
    ('tokens', 'gpt', None)
    """
    word = str(name).lower()
    if word in NAMES:
        return NAMES[word]
    if "bert" in word and any(part in word for part in ("token_class", "ner", "question", "squad", "qa")):
        return "tokens"
    if "bert" in word and "classif" in word:
        return "classifier"
    begins = [known for known in NAMES if re.match(rf"{re.escape(known)}[-_/.\d]", word)]
    return NAMES[max(begins, key=len)] if begins else None


def _labels_tokens(layout: Layout) -> bool:
    """Whether every token gets a label or a score: token classification, answers within a text."""
    processor = layout.data.get("data_processor")
    words = ("tokenclassif", "bertner", "squad", "bertqa", "questionanswering")
    named = isinstance(processor, str) and any(word in processor.lower() for word in words)
    return named or layout.model.has("include_padding_in_loss")


def _is_gated(layout: Layout) -> bool:
    name, value = layout.model.raw(["nonlinearity", "encoder_nonlinearity"], "gelu")
    if not isinstance(value, str):
        layout.model.problem(name, f"is {value_shown(value)}; write the name of a function")
    return isinstance(value, str) and (value.lower() in _GATED or value.lower().endswith("glu"))


def _vocab_size(layout: Layout) -> int | None:
    """Releases 1.6 to 1.8 of TensorFlow keep it with the data."""
    if layout.model.has("vocab_size"):
        return layout.model.count("vocab_size")
    return layout.data.count("vocab_size", default=None) or layout.model.count("vocab_size")


def _position_embedding(layout: Layout) -> str | None:
    model = layout.model
    without = "position_embedding_type" in model.values and not model.has("position_embedding_type")
    if without or not model.flag("use_position_embedding", default=True):
        return "none"
    word = model.word("position_embedding_type", known=_POSITIONS, default="learned")
    return _POSITIONS[word] if word else None


def _learned_rows(layout: Layout) -> int | None:
    rows = layout.model.count("max_position_embeddings", default=None)
    return rows if _position_embedding(layout) == "learned" else None


def _key_value_heads(layout: Layout) -> int | None:
    model, modules = layout.model, ("aiayn_attention", "multiquery_attention")
    module = model.word("attention_module", known=modules, default="aiayn_attention")
    extra = model.section("extra_attention_params")
    if module == "multiquery_attention":
        return extra.count("num_kv_groups", default=1)
    if extra.has("num_kv_groups"):
        remedy = "set attention_module to multiquery_attention, or remove it"
        extra.problem("num_kv_groups", f"has no effect on {module}; {remedy}")
    return None


def _head_dim(layout: Layout) -> int | None:
    model = layout.model
    heads, width = model.get("num_heads"), model.count("attention_inner_dim", default=None)
    if width is None or type(heads) is not int or heads < 1:
        return None
    if width % heads:
        finding = f"is {value_shown(width)}, which num_heads does not divide"
        model.problem("attention_inner_dim", f"{finding}; change one of the two")
    return max(1, width // heads)


def _normalization(layout: Layout) -> str | None:
    """``norm_type``, or the switches of releases before it."""
    model = layout.model
    if model.flag("use_rms_norm", default=False) or model.flag("use_biasless_norm", default=False):
        return "rmsnorm"
    word = model.word("norm_type", known=_NORMS, default="layernorm")
    return _NORMS[word] if word else None


def _moe(layout: Layout) -> Section:
    """A mixture is the key ``moe``; releases before it have its keys among the model's."""
    name = next((name for name in ("moe", "moe_params") if layout.model.has(name)), None)
    return layout.model if name is None else layout.model.section(name)


def _num_experts(layout: Layout) -> int | None:
    moe = _moe(layout)
    if moe is not layout.model:
        moe.word("routing_algorithm", known=("learned", "hash"), default="learned")
        if moe.get("routing_algorithm") == "hash":
            moe.problem("routing_algorithm", "is 'hash', and only learned routing is modelled; use learned")
    return moe.count("num_experts", default=1)


def _experts_per_token(layout: Layout) -> int | None:
    moe = _moe(layout)
    return moe.count("top_k") if (moe.count("num_experts", default=1) or 1) > 1 else None


def _shared_experts(layout: Layout) -> int | None:
    moe = _moe(layout)
    return moe.count("num_shared_experts", default=0, at_least=0) or None


def _expert_width(layout: Layout) -> int | None:
    moe = _moe(layout)
    return (
        moe.count("moe_filter_size", "expert_filter_size", "filter_size", default=None)
        if moe is not layout.model
        else None
    )


def _window(layout: Layout) -> int | None:
    """Keys behind a token, and those at the beginning that every token reaches; or the length of a piece."""
    model = layout.model
    window = model.count("attention_sliding_window_length", default=None)
    sinks = model.count("attention_sink_tokens", default=0, at_least=0)
    piece = model.count("attention_chunk_size", default=None)
    return window + (sinks or 0) if window is not None else piece


def _layer_types(layout: Layout) -> tuple[str, ...] | None:
    model = layout.model
    if not model.has("attention_sliding_window_length"):
        return ("chunked_attention",) if model.has("attention_chunk_size") else None
    every_other = model.flag("sliding_window_every_other_decoder_layer", default=False)
    return ("sliding_attention", "full_attention") if every_other else None


def _qk_norm(layout: Layout) -> str | None:
    word = layout.model.word("attention_qk_norm_layer", known=_NORMS, default=None)
    return None if word is None else "head"


def _attention_dropout(layout: Layout) -> float | None:
    """Its own rate, or that of all dropouts."""
    share = layout.model.share("attention_dropout_rate", default=None)
    return share if share is not None else layout.model.share("dropout_rate", default=None)


def _masked_positions(layout: Layout) -> int | None:
    """Read how many positions are predicted; 15 % of the sequence where the file does not say."""
    masked = layout.data.count("max_predictions_per_seq", default=None)
    if masked is not None:
        return masked
    positions = layout.data.count("max_sequence_length", default=None)
    positions = positions or layout.model.count("max_position_embeddings", default=None)
    if positions is None:
        layout.data.problem("max_predictions_per_seq", "is missing; add it, an encoder's head needs it")
        return None
    return max(1, round(MASKED_SHARE * positions))


def _num_labels(layout: Layout) -> int | None:
    return layout.model.count("num_labels", "num_classes", "num_cls_classes", default=None)


Entry = Callable[[Layout], Any]


def _size(*names: str) -> Entry:
    return lambda layout: layout.model.count(*names)


def _switch(name: str, default: Any) -> Entry:
    return lambda layout: layout.model.flag(name, default=default)


def _common(stated: bool) -> dict[str, Any]:
    """What all kinds have; the defaults of switches are GPT-2's and BERT's, a GPT-J file states its own."""
    on = REQUIRED if stated else True
    return {
        "hidden_size": _size("hidden_size"),
        "num_layers": _size("num_hidden_layers"),
        "num_attention_heads": _size("num_heads"),
        "intermediate_size": _size("filter_size"),
        "vocab_size": _vocab_size,
        "position_embedding": _position_embedding,
        "max_position_embeddings": _learned_rows,
        "tie_embeddings": _switch("share_embedding_weights", on),
        "qkv_bias": _switch("use_projection_bias_in_attention", on),
        "attention_output_bias": _switch("use_ffn_bias_in_attention", on),
        "mlp_bias": _switch("use_ffn_bias", on),
        "normalization": _normalization,
        "num_key_value_heads": _key_value_heads,
        "head_dim": _head_dim,
        "gated_mlp": _is_gated,
        "num_experts": _num_experts,
        "experts_per_token": _experts_per_token,
        "n_shared_experts": _shared_experts,
        "moe_intermediate_size": _expert_width,
        "sliding_window": _window,
        "layer_types": _layer_types,
        "qk_norm": _qk_norm,
        "attention_dropout": _attention_dropout,
    }


def _decoder(parallel: bool) -> dict[str, Any]:
    def untied(layout: Layout) -> bool:
        return layout.model.flag("use_untied_layer_norm", default=False)

    return {
        "parallel_block": parallel,
        "shared_norm": lambda layout: not untied(layout) if parallel else untied(layout) and False,
        "sandwich_norm": _switch("norm_first_sandwich", False),
        "final_norm": lambda layout: layout.model.flag(
            "use_final_layer_norm", default=layout.model.flag("norm_first", default=True)
        ),
        "embedding_norm": _switch("embedding_layer_norm", False),
        "lm_head_bias": _switch("use_bias_in_output", REQUIRED if parallel else False),
    }


def _segments(layout: Layout, default: int) -> int | None:
    has_segments = layout.model.flag("use_segment_embedding", default=True)
    number = layout.model.count("num_segments", default=default, at_least=0)
    return number if has_segments else 0


def _encoder(family: Family) -> dict[str, Any]:
    """BERT with its head; ESM-2 has blocks with norms first, and no segments."""
    is_esm = family == "esm"
    predicts = family in ("bert", "esm")
    return {
        "causal": False,
        "embedding_norm": (lambda layout: layout.model.flag("embedding_layer_norm", default=not is_esm)),
        "final_norm": (lambda layout: layout.model.flag("use_final_layer_norm", default=is_esm)),
        "type_vocab_size": lambda layout: _segments(layout, 0 if is_esm else 2),
        "masked_positions": _masked_positions if predicts else 0,
        "pooler": (lambda layout: not layout.model.flag("disable_nsp", default=is_esm))
        if predicts
        else family != "tokens",
        "num_labels": (lambda layout: layout.model.count("num_cls_classes", default=2)) if predicts else _num_labels,
    }


def _check_extras(model: Section) -> None:
    """Parts that stand in mappings of their own."""
    for name, keys in {"extra_ffn_params": ("static_dual_expert",), "extra_model_params": ()}.items():
        inner = model.section(name)
        inner.refuse(keys, "remove it, or write the fields of [model] inline")
        for key, value in inner.unread().items():
            if not is_off(value):
                inner.problem(key.removeprefix(inner.prefix), _unknown(value))


def _model_fields(layout: Layout, family: Family, given: Iterable[str]) -> Fields:
    entries = _common(stated=family == "gptj")
    entries |= _decoder(family == "gptj") if family in ("gpt", "gptj") else _encoder(family)
    fields = Fields(layout.model, "model", given)
    _check_extras(layout.model)
    for name, entry in entries.items():
        fields.read(name, (lambda _, entry=entry: entry(layout)) if callable(entry) else entry)
    if fields.found.get("num_experts", 1) == 1:
        for name in ("experts_per_token", "n_shared_experts", "moe_intermediate_size", "num_experts"):
            fields.drop(name)
    return fields


# The training


def _number(section: Section, name: str, below: float) -> float | None:
    """Read a number of at least 0 and less than `below`."""
    value = section.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < below:
        return float(value)
    section.problem(name, f"is {value_shown(value)}; write a number from 0 to {below:g}, such as 0.5")
    return None


def _micro_batch_size(data: Section) -> int | str | None:
    """Read a number, or "auto" where the software is to search; a null leaves the choice open."""
    value = data.get("micro_batch_size")
    if isinstance(value, dict) or (isinstance(value, str) and value.lower() in ("auto", "explore")):
        return "auto"
    if isinstance(value, str) and value.lower() == "none":
        return None
    return data.count("micro_batch_size", default=None)


def _precision(section: Section) -> str | None:
    """Read the 16-bit type where precision is mixed, else ``float32``; nothing if the file is silent."""
    brain = section.flag("use_bfloat16", default=False)
    word = section.word("fp16_type", known=_FP16_TYPES, default="bfloat16" if brain else None)
    switches = [name for name in ("mixed_precision", "enabled") if section.has(name)]
    if any(not section.flag(name) for name in switches):
        return "float32"
    return word or ("float16" if switches else None)


def _optimizer(section: Section) -> str | None:
    value = section.get("optimizer_type")
    word = value.lower() if isinstance(value, str) else None
    if value is None or word in _OPTIMIZERS:
        return word
    if word in _LIKE_ADAM:
        return "adam"
    hint = did_you_mean(value.lower(), _OPTIMIZERS) if isinstance(value, str) else ""
    finding = f"is {value_shown(value)}, which is not modelled{hint}"
    section.problem("optimizer_type", f"{finding}; use one of {', '.join(_OPTIMIZERS)}")
    return None


def _weight_sparsity(section: Section) -> float | None:
    """Share of zero weights where it stays the same over the run."""
    section.word("algorithm", "type", known=_ALGORITHMS, default=None)
    return _number(section, "sparsity", below=1)


def _sequence_length(layout: Layout) -> int | None:
    """Of the data; files of HDF5 data do not state it, and the model's longest sequence is what they hold."""
    length = layout.data.count("max_sequence_length", default=None)
    return length if length is not None else layout.model.count("max_position_embeddings", default=None)


_TRAINING: dict[str, Entry] = {
    "sequence_length": _sequence_length,
    "global_batch_size": lambda layout: layout.data.count("batch_size", default=None),
    "micro_batch_size": lambda layout: _micro_batch_size(layout.data),
    "precision": lambda layout: _precision(layout.precision),
    "optimizer": lambda layout: _optimizer(layout.optimizer),
    "max_gradient_norm": lambda layout: _number(layout.clipping, "max_gradient_norm", below=1e9),
    "weight_sparsity": lambda layout: _weight_sparsity(layout.sparsity),
    "steps": lambda layout: layout.loop.count("max_steps", default=None),
}
_CLUSTER: dict[str, Entry] = {
    "num_systems": lambda layout: layout.cluster.count("num_csx", default=None),
    "input.num_workers_per_system": lambda layout: (
        layout.cluster.count("num_workers_per_csx", default=None, at_least=0) or None
    ),
    "reliability.num_weight_servers": lambda layout: layout.cluster.count(
        "num_wgt_servers", "max_wgt_servers", default=None
    ),
}
_WITHOUT_EFFECT = ("num_act_servers", "max_act_servers", "num_csx_per_replica")


def _read_all(layout: Layout, table: str, entries: Mapping[str, Entry]) -> Fields:
    fields = Fields(layout.model, table)
    for name, entry in entries.items():
        fields.read(name, lambda _, entry=entry: entry(layout))
    return fields


def _notes(layout: Layout) -> Iterator[str]:
    """What a reader has to know about values that were taken from elsewhere, or are without effect."""
    place, model, data = layout.model.place, layout.model, layout.data
    if not model.has("vocab_size") and data.has("vocab_size"):
        yield f"{place}: vocab_size was taken from train_input"
    for name in _WITHOUT_EFFECT:
        if layout.cluster.has(name):
            number = layout.cluster.get(name)
            yield f"{place}: {name} = {number} is without effect; servers of activations are not modelled one by one"
    if layout.phases > 1:
        yield f"{place}: trains in {layout.phases} phases, of which the first is read"
    if model.get("fixed_sparse_attention") or model.get("attention_vertical_column_spacing"):
        yield f"{place}: sparse attention is counted as the full square"
    if model.has("attention_sliding_window_length") and model.get("attention_sink_tokens"):
        yield f"{place}: the window of attention is {_window(layout)}: sliding_window_length and sink_tokens together"
    optimizer = layout.optimizer.values.get("optimizer_type")
    if isinstance(optimizer, str) and optimizer.lower() in _LIKE_ADAM:
        yield f"{place}: {optimizer} keeps as much of each weight as Adam does, and is simulated as such"


# The file


def _unknown(value: Any) -> str:
    return (
        f"is {value_shown(value)}, a key that is not known here and may change the model; remove it if it does not, or write the "
        "fields of [model] inline"
    )


def _of_the_model(layout: Layout) -> dict[str, str]:
    """Why keys of the model were passed over."""
    model = layout.model
    opened = Section(model.values, model.place, model.problems, model.prefix, model.asked)
    return pass_over(opened, HARMLESS, _unknown)


ELSEWHERE: Reasons = read_reasons(r"""
how data is read
    train_input\..* eval_input.* fit\.train_dataloader\..* fit\.(val_dataloader|ckpt_path).* train_dataloader
    val_dataloader.*
validation between steps, of which [job] says how often
    validate.* validate_all.* .*eval_(frequency|steps|metrics|.*)
how the optimizer steps
    optimizer\.(.*\.)?(betas?\d?|beta[12]|eps|epsilon|correct_bias|weight_decay.*|amsgrad|momentum|nesterov|dampening|maximize|foreach)
    optimizer\.(.*\.)?(learning_rate|lr|lr_.*|warmup.*|decay.*|scheduler.*|initial_.*|end_.*|total_iters|steps|power|rho|alpha|lambd|t0)
    optimizer\.(.*\.)?(loss_scaling_factor|initial_loss_scale|min_loss_scale|max_loss_scale|steps_per_increase|log_.*|ws_summary|grad_.*)
    optimizer\.(.*\.)?(max_gradient_(value|norm)|adjust_learning_rate|disable_lr_.*|use_bert_weight_decay|exclude_from_.*|params|relative_step)
    optimizer\.(.*\.)?(clip_threshold|scale_parameter|warmup_init|decay_rate|optimizer_params|name|type|etas|step_sizes|centered|lamb.*)
    (.*\.)?schedulers?(\..*)?
    precision\.(loss_scaling_factor|log_loss_scale|.*loss_scale.*|steps_per_increase|max_gradient_value)
what is written down, and where
    (.*\.)?(log_.*|logging.*|loggers?.*|.*log_level|save_.*|.*summar.*|tensorboard.*|wandb.*|model_dir|checkpoint.*|.*checkpoint.*|seed|.*_seed)
how it runs
    (runconfig|loop|backend|csconfig|cluster_config)\.(.*\.)?(num_steps|num_epochs|steps_per_epoch|max_steps|mode|mount_dirs|python_paths|mgmt_.*)
    (runconfig|loop|backend|csconfig)\.(.*\.)?(compile_.*|validate_only|job_.*|debug_.*|load_.*|autoload_.*|is_pretrained.*|disable_.*|dist_.*)
    (runconfig|loop|backend|csconfig)\.(.*\.)?(backend_type|cluster_config|drop_data|use_cstorch.*|use_appliance.*|device.*|enable_.*|multireplica)
    (runconfig|loop|backend|csconfig)\.(.*\.)?(transfer_processes|num_(wrk|act|wgt|csx|workers|nodes|replicas).*|max_(act|wgt|num).*|cs_.*|service_.*|port)
    (runconfig|loop|backend|csconfig)\.(.*\.)?(credentials_path|workflow_id|fabric_.*|op_profiler.*|dump_.*|experimental.*|lazy_.*|init_method|main_process_id)
    (runconfig|loop|backend|csconfig)\.(.*\.)?(grad_accum_steps|keep_.*|eval_.*|use_cbfloat16|use_cs_.*|fp16_type|precision.*|sync_.*|retrace.*|host.*|gpu.*)
    (runconfig|loop|backend|csconfig)\.(.*\.)?(execute_.*|artifact_dir|input_file|ini|params|config|overwrite|throttle_.*|stop_.*|cluster|.*_dir|.*_path)
    precision\.(precision_opt_level|pol|.*level) csconfig wsc.* description version name notes cerebras metadata.*
    autogen.* trainer\.\w+ cs_config.* deterministic
how weights become sparse
    (.*\.)?sparsity(\..*)?
""")
"""Patterns of keys outside the model, and why they change nothing."""

CALLBACKS: Reasons = read_reasons(r"""
watches, writes down or keeps
    (keep|check|compute|rate|log|save|load|hf|dump|debug|profil|model|nan|tensor|listener|global_?flags|scoped|specialized|progress).*
    .*(norm|loss|logger|metrics?|checkpoint|profiler|flags?|summar\w*|monitor|scheduler|rate|metadata|cache\w*|states?|listener)
evaluates between steps, of which [job] says how often
    .*(eval|harness|validat).*
""")
"""The same of callbacks, by their names in lower case."""

MATTER: tuple[tuple[str, str], ...] = (
    (r"(.*\.)?use_vsl", "every sequence counts as one whole, as long as the longest"),
    (r"(.*\.)?selective_?grad.*", "gradients that are left out are sent all the same"),
    (r"(.*\.)?weight_?compression.*", "weights are streamed at their full width"),
    (r"(.*\.)?grad_accum_steps", "the batch is that of the file, as often as it says"),
)
"""Keys and callbacks that change the time of a step, are not read, and are named."""


def _pieces(name: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """A key as one where it is known, else one by one what it holds."""
    known = re.sub(r"^trainer\.(init\.)?", "", name)
    if isinstance(value, Mapping) and value and name.count(".") < _DEEPEST and _first_reason(ELSEWHERE, known) is None:
        for key, inner in value.items():
            yield from _pieces(f"{name}.{key}", inner)
    else:
        yield name, known, value


_DEEPEST = 8


def _outside(document: Section, layout: Layout) -> Iterator[tuple[str, str, Any]]:
    """Keys outside the model, and callbacks, that nobody read: as the file has them, as patterns know them, and what they hold."""
    for name, value in document.unread().items():
        if not name.startswith(layout.model.prefix):
            yield from _pieces(name, value)
    for name, value in layout.callbacks:
        yield f"the callback {name}", name.lower(), value


def _elsewhere(document: Section, layout: Layout) -> tuple[dict[str, str], list[str]]:
    """Why keys of other sections are harmless, and notes of those that are not known to be."""
    harmless: dict[str, str] = {}
    notes, strange = [], []
    for name, known, value in _outside(document, layout):
        is_callback = name.startswith("the callback ")
        matters = next((why for pattern, why in MATTER if re.fullmatch(pattern, known)), None)
        why = _first_reason(CALLBACKS if is_callback else ELSEWHERE, known)
        if is_off(value) and not is_callback:
            harmless[name] = why or "switched off"
        elif matters is not None:
            notes.append(f"{document.place}: {name} is not simulated: {matters}")
        elif why is not None:
            harmless[name] = why
        else:
            strange.append(printable(name))
    if strange:
        more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
        notes.append(f"{document.place}: nothing is known of {', '.join(strange[:8])}{more}; simulated without")
    return harmless, notes


def _first_reason(reasons: Reasons, name: str) -> str | None:
    return next((why for pattern, why in reasons if re.fullmatch(pattern, name)), None)


def read_modelzoo(path: Path, given: Iterable[str] = ()) -> Imported:
    """Read a Model Zoo params file in either layout; what `given` names is not asked of the file.

    Raises
    ------
    ConfigError
        Not readable, not YAML, no such layout, another kind of model, or keys that are missing, of a wrong type or not modelled;
        all problems of the file together.
    """
    place = shown(path)
    document = yaml_value(path, place)
    if not isinstance(document, dict):
        raise ConfigError(f"{place}: holds {value_shown(document)}; a params file is one mapping of sections")
    problems: list[str] = []
    whole = Section(document, place, problems)
    layout = _layout(whole)
    _refuse_foreign(layout)
    _refuse_partial_training(layout)
    family = _family(layout)
    model = _model_fields(layout, family or "gpt", given)
    training, cluster = _read_all(layout, "training", _TRAINING), _read_all(layout, "cluster", _CLUSTER)
    harmless = _of_the_model(layout)
    said = defaults_said(model.understood)
    elsewhere, unread = _elsewhere(whole, layout)
    notes = (*_notes(layout), *([f"{place}: does not say, and was taken: {said}"] if said else []), *unread)
    raise_problems(problems)
    name = model_name(path, ["params"]).removeprefix("params_")
    return Imported(
        kind=f"Model Zoo params file, {KINDS[family or 'gpt']}",
        model={"name": name, **model.found},
        training=training.found,
        cluster=_nested(cluster.found),
        understood=(*model.understood, *training.understood, *cluster.understood),
        harmless=harmless | elsewhere,
        notes=notes,
        longest_sequence=None if layout.data.has("max_sequence_length") else training.found.get("sequence_length"),
    )


KINDS: dict[Family, str] = {
    "gpt": "decoder",
    "gptj": "decoder with parallel blocks",
    "bert": "encoder that predicts masked words",
    "classifier": "encoder that classifies texts",
    "tokens": "encoder that labels tokens",
    "esm": "encoder of proteins (ESM-2)",
}


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``{"input.num_workers_per_system": 8}`` as nested tables."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        table, _, key = name.rpartition(".")
        (found.setdefault(table, {}) if table else found)[key] = value
    return found

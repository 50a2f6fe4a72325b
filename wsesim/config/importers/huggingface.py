"""Reads the shape of a model from a Hugging Face ``config.json``, or from the ``params.json`` beside Meta's own weights.

What each family calls its fields is in `wsesim.config.importers.families`. Every key of a file is read, or is in `HARMLESS` with
the reason why it changes nothing, or refuses the file: `NOT_MODELLED` are keys that stand for parameters which `ModelSpec`
cannot count.

Not modelled: modules that predict several tokens, which are left out with a note; pictures and sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wsesim.config.catalogue import json_value, read_text, shown
from wsesim.config.importers.families import (
    ALIASES,
    CLASSES,
    FAMILIES,
    MASKED_SHARE,
    WRAPPERS,
    Entries,
    architectures,
)
from wsesim.config.importers.section import (
    JSON_FILES,
    MODEL_TYPES,
    Fields,
    Imported,
    Reasons,
    Section,
    Understood,
    defaults_said,
    model_name,
    name_family,
    name_file,
    name_parts,
    pass_over,
    raise_problems,
    read_reasons,
    value_shown,
)
from wsesim.errors import ConfigError

__all__ = ["FAMILIES", "MASKED_SHARE", "read_huggingface"]

LONGEST_TAKEN = 8192
"""A model's longest sequence is taken for that of the training up to here; models are seldom trained on longer ones. [-]"""

NOT_MODELLED = (
    *("add_cross_attention", "is_encoder_decoder", "text_config", "vision_config", "audio_config", "pruned_heads"),
    *("kv_lora_rank", "q_lora_rank", "moe_num_experts", "n_routed_experts", "num_experts", "num_local_experts"),
    *("n_shared_experts", "num_shared_experts", "shared_expert_intermediate_size", "shared_intermediate_size"),
    *("qk_norm", "use_qk_norm", "qk_layernorm", "index_topk", "linear_attn_config", "num_attention_heads_per_layer"),
    *("block_configs", "lora_rank", "lora_r", "adapter_hidden_size", "hc_mult", "num_kv_shared_layers"),
)
"""Keys that add or remove parameters in a way that the family's entries do not count."""


HARMLESS: Reasons = read_reasons(r"""
a name
    _.* name_or_path name revision trust_remote_code legacy is_llama_config transformers\.js_config model_type
    architectures _commit_hash model_name base_model.* organization license tags version
how weights are stored or run
    transformers_version torch_dtype dtype auto_map _?attn_implementation.* custom_pipelines use_cache.*
    _?(use_)?flash_.* attn_impl device.* init_device low_cpu.* quantization.* compression_config cache_quantization.*
    bf16 fp16 fp32 fp8 use_bfloat16 torchscript tf_legacy.* gradient_checkpointing.* use_mem.* unsloth.*
    pretraining_tp base_model_[tp]p_plan fused_.* use_fused.* keys_to_ignore.* use_parallel_embedding
    use_embedding_sharing cache_implementation cache_config .*runner.* pre_allocate.* pad_key_length max_batch_size
    verbose seed onnx_safe ep_size _pre_quantization_dtype for_llm_compressor fc_type moe_implementation
    experts_implementation recompute return_dict.* skip_bias_add.*
how text is read or written
    (bos|eos|pad|sep|cls|mask|unk|gmask|image|boi|eoi|video|eod|forced|decoder_start)_.* .*_tokens?(_ids?|_index)?
    pad_idx vocab_file tokenizer.* chat_.* prefix languages? task_specific_params problem_type finetuning_task
    label2id id2label num_labels do_sample num_beams num_beam_groups num_return_sequences
    (max|min)_(length|new_tokens) early_stopping (length|repetition|diversity)_penalty .*no_repeat_ngram_size
    bad_words_ids typical_p .*suppress_tokens temperature top_[kp] remove_invalid_values
    exponential_decay_length_penalty output_.* summary_.* classifier_dropout chunk_size_feed_forward
    clean_up_tokenization_spaces use_fast pad_vocab.* vocab_size_multiple.* is_decoder tie_encoder_decoder
    max_(context|window)_size max_new_tokens use_pad_tokenizer is_causal apply_.*_template
how far positions reach
    seq_length max_sequence_length model_max_length n_ctx n_positions (original_|initial_)?max_position_embeddings
    max_seq_len max_seq_length (initial_)?context_length max_window_layers use_sliding_window
    sliding_window(_pattern)? _sliding_window_pattern
turns or shifts by position, without parameters
    rope rope_.* rotary.* use_rotary.* use_rope.* .*_rope_.* partial_rotary_factor no_rope.* attn_temperature_tuning
    floor_scale alibi alibi_.* use_alibi offset_alibi position_encoding_2d original_rope use_logn_attn logn.*
    use_dynamic_ntk mrope.* use_scaled_rope long_factor short_factor mscale.* yarn.*
a term of the loss, or how experts are chosen, without parameters
    aux_loss.* router_.* .*aux_loss.* norm_topk_prob scoring_func topk_method topk_group n_group routed_scaling_factor
    seq_aux (max_)?z_loss.* moe_.*loss.* moe_jitter.* .*jitter_noise moe_router.* .*capacity_.*
    moe_normalize_expert_weights uniform_expert_assignment num_nextn.* mtp.* num_mtp.* moe_layers group_limited.*
rounding and constants of functions
    .*_eps .*epsilon eps .*softcap.* .*_cap query_pre_attn_scalar .*_multiplier .*_scale .*_scaling scale_.* scale
    logits?_.* mup_.* dim_model_base clip_qkv softmax_.* attn_logit.* swiglu_.* embedding_fraction .*_in_fp32
    layernorm_compute.* fp32_.* residual_.* apply_query_key_layer_scaling apply_residual_connection_post_layernorm
    slow_but_exact masked_softmax_fusion reorder.* bias_dropout_fusion interleaved_kv.*
how weights are drawn before training
    initializer.* .*_initializer.* init_.* .*_std weight_init.*
dropout outside attention, which changes nothing that is counted
    .*dropout.* .*_pdrop .*_drop .*drop_rate .*_prob layerdrop
which function; whether it is gated, the family says
    hidden_act(ivation)? activation.* ffn_act.* act_fn gelu.* use_gated_activation
follows from what is read, or is the same in all models of the family
    num_key_value_heads head_dim num_kv_heads n_head_kv qk_head_dim moe_layer_freq sequence_classifier.* layer_switch
    attn_uses_sequence_id prefix_lm pre_seq_len prefix_projection cross_attention_hidden_size use_parallel_block
    output_projection num_heads dual_chunk_attention_config rmsnorm norm_config multi_query_attention no_bias
    use_bidirectional_attention layer_types mlp_layer_types
""")
"""Patterns of keys that change nothing that is worked out, and why."""

OF_A_FAMILY: dict[str, Reasons] = {
    "llama4_text": (("use_qk_norm", "norms of queries and keys without parameters"),),
    "dbrx": ((r"ffn_config\.hidden_size|ffn_config\.model_type|attn_config\.model_type", "stands at the top as well"),),
    "mpt": (
        ("learned_pos_emb", "not with ALiBi or rotary positions"),
        ("norm_type", "as many parameters whichever it is"),
    ),
    "falcon": (("multi_query", "not in the new architecture"),),
    "bert": (("pooler_.*", "of a pooler that no class has any more"),),
    "phi3": (("full_attn_mod|interpolate_factor", "the same in all models of the family"),),
    "distilbert": (("sinusoidal_pos_embds", "the table of positions is drawn from sines, or not"),),
    "minimax_m2": (
        ("mlp_intermediate_size", "another name for what is read, or of experts that this model does not have"),
        (
            "attn_type_list|layernorm_.*_beta|use_routing_bias|qk_norm_type",
            "attention is full in all blocks of the family",
        ),
    ),
    "ernie4_5_moe": (("moe_capacity|moe_gate|moe_use_aux_free|moe_norm_.*", "how experts are chosen"),),
    "hunyuan_v1_moe": (
        ("cla_share_factor|use_mixed_mlp_moe|capacity_factor|moe_drop_tokens|moe_random.*", "how it runs"),
    ),
    "exaone4": (("sliding_window_pattern", "which blocks have windows, beside layer_types"),),
    "bloom": (("n_inner", "BLOOM's is always four times the width"),),
}
"""The same for single families."""

_DECODER_HEADS = ("ForCausalLM", "LMHeadModel", "Model", "ForConditionalGeneration", "ForCausalLMWithValueHead")
_ENCODER_HEADS = (
    *("ForPreTraining", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"),
    "Model",
)
_POSITIONS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "model_max_length"),
    "n_ctx",
)


def _check_head(config: Section, causal: bool) -> None:
    """Only heads whose parameters and FLOP are counted."""
    heads = _DECODER_HEADS if causal else _ENCODER_HEADS
    for name in architectures(config):
        if not name.endswith(heads):
            finding = f"has {value_shown(name)}, whose head is not modelled"
            config.problem("architectures", f"{finding}; use one that ends in {', '.join(heads)}")


def _passed_over(family: str, config: Section) -> list[str]:
    """Keys that are harmless in this family alone."""
    patterns = [re.compile(pattern) for pattern, _ in OF_A_FAMILY.get(family, ())]
    return [config.prefix + name for name in config.values if any(one.fullmatch(str(name)) for one in patterns)]


def _check_additions(config: Section, family: str, causal: bool) -> None:
    """Nothing that would change the parameter count behind our back."""
    read = {name for name, _ in config.asked} | set(_passed_over(family, config))
    names = NOT_MODELLED if causal else [*NOT_MODELLED, "is_decoder"]
    for name in names:
        value = config.values.get(name)
        if config.prefix + name not in read and _adds(name, value):
            config.get(name)
            finding = f"is {value_shown(value)}, whose parameters are not modelled in this family"
            config.problem(name, f"{finding}; switch it off, or write the fields of [model] inline")


def _adds(name: str, value: Any) -> bool:
    """One expert is none."""
    return bool(value) and not (name.endswith("experts") and value == 1)


def _supported() -> str:
    return f"{len(FAMILIES)} families are read (docs: what model files are read), or write the fields of [model] inline"


def _family_of_classes(config: Section) -> str | None:
    """The family that ``architectures`` names, for files without ``model_type``."""
    for name in architectures(config):
        ends = (*_DECODER_HEADS, *_ENCODER_HEADS)
        stem = next((name.removesuffix(end) for end in sorted(ends, key=len, reverse=True) if name.endswith(end)), name)
        if stem in CLASSES:
            return CLASSES[stem]
    return None


def _family(config: Section, document: Mapping[str, Any]) -> tuple[str, Understood | None]:
    """Name of the file's family, and how it was found where ``model_type`` does not say it."""
    value = config.get("model_type")
    if value is None:
        named = _family_of_classes(config)
        if named is not None:
            return named, Understood("family", named, ("architectures",), False)
        foreign = _foreign_class(config, document)
        if foreign is not None:
            raise ConfigError(f"{config.place}: is a {foreign[0]}, which {foreign[1]} and is not modelled")
        raise ConfigError(f"{config.place}: {_without_type(config)}")
    word = value if isinstance(value, str) else ""
    word = ALIASES.get(word, word)
    if word in FAMILIES:
        return word, None
    named = _family_of_classes(config)
    if named is not None:
        return named, Understood("family", named, ("architectures",), False)
    reason = name_family(word) or name_parts(document)
    if reason is not None:
        raise ConfigError(f"{config.place}: is a model of type {word}, which {reason} and is not modelled")
    near = _misspelt(word)
    raise ConfigError(
        f"{config.place}: model_type is {value_shown(value)}, a family that is not known here{near}; {_supported()}"
    )


def _type_beside(config: Section) -> str:
    value = config.values.get("model_type")
    return "no model_type" if value is None else f"model_type {value_shown(value)} is none that is known here"


def _foreign_class(config: Section, document: Mapping[str, Any]) -> tuple[str, str] | None:
    """A class in ``architectures`` whose family is known but not modelled, and why."""
    for name in architectures(config):
        stem = re.sub(r"(For[A-Z]\w*|LMHeadModel|Model)$", "", name).lower()
        why = next((what for family, what in MODEL_TYPES.items() if re.sub(r"[-_]", "", family) == stem), None)
        why = why or name_parts(document)
        if why is not None:
            return name, why
    return None


def _misspelt(word: str) -> str:
    """A hint only where one letter is wrong or two changed places, never across families: xglm is no glm, nor phimoe a phi."""
    near = next((name for name in FAMILIES if _is_one_slip(_letters(word), _letters(name))), None)
    return f"; did you mean {near}?" if near else ""


def _letters(word: str) -> str:
    return re.sub(r"[-_. ]", "", word.lower())


def _is_one_slip(written: str, meant: str) -> bool:
    """Whether a letter inside a word is missing, added, another one, or changed places with a neighbour.

    Examples
    --------
    >>> _is_one_slip("lama", "llama"), _is_one_slip("qewn2", "qwen2"), _is_one_slip("qwen4", "qwen3")
    (True, True, False)
    """
    if written[:1] != meant[:1] or re.sub(r"\D", "", written) != re.sub(r"\D", "", meant):
        return False
    pairs = zip(written, meant, strict=False)
    start = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(written), len(meant)))
    rests = [(1, 1), (1, 0), (0, 1)]
    swapped = (
        written[start : start + 2] == meant[start : start + 2][::-1] and written[start + 2 :] == meant[start + 2 :]
    )
    return swapped or any(written[start + more :] == meant[start + less :] for more, less in rests)


def _without_type(config: Section) -> str:
    classes = architectures(config)
    if classes:
        return f"model_type is missing, and {classes[0]} in architectures names no family that is known here; {_supported()}"
    return f"model_type is missing, and there are no architectures that would name the family; add it; {_supported()}"


def _text_part(document: Mapping[str, Any], config: Section) -> tuple[Section, str | None]:
    """The language model inside a file of one that also sees pictures, and a note about the rest."""
    family = document.get("model_type")
    if not isinstance(family, str) or family not in WRAPPERS or not isinstance(document.get("text_config"), Mapping):
        return config, None
    inner = dict(document["text_config"])
    inner.setdefault("model_type", WRAPPERS[family])
    for name in ("tie_word_embeddings", "architectures"):
        if name in document:
            inner.setdefault(name, document[name])
    section = Section(inner, config.place, config.problems, "text_config.")
    return section, f"{config.place} also sees pictures; only the language model in its text_config is read"


_OF_WINDOWS = ("sliding_window", "layer_types", "mlp_layer_types", "sliding_window_pattern")
_WINDOW_KEYS = {"sliding_window", "attention_chunk_size", "window_size", "attn_config", "attention_types"}


def _without_effect(config: Section, family: str) -> Iterator[str]:
    """Keys that would mean a window, or blocks of two kinds, in families whose models do not read them."""
    asked = {name for name, _ in config.asked}
    if config.values.get("use_sliding_window") is False:
        return
    for name in _OF_WINDOWS:
        value = config.values.get(name)
        is_plain = isinstance(value, list) and {*map(str, value)} <= {"full_attention", "dense", "sparse"}
        if value and not is_plain and config.prefix + name not in asked:
            what = f"{name} is {value_shown(value)}" if isinstance(value, int) else name
            yield f"{config.place}: {what}, which models of the family {family} do not read; attention is counted in full"


def _extras(config: Section, family: str, fields: Fields) -> list[str]:
    """What a reader has to know about keys that are passed over, and windows that the file does not state."""
    notes = [*_without_effect(config, family)]
    window = fields.found.get("sliding_window")
    if window is not None and not _WINDOW_KEYS & config.values.keys():
        notes.append(f"{config.place}: does not say, and family {family} has: sliding_window = {window}")
    both_sides = config.values.get("use_bidirectional_attention") or config.values.get("is_causal") is False
    if both_sides and fields.found.get("causal", True):
        notes.append(
            f"{config.place}: attends to both sides, which is counted as if it were causal; set model.causal = false"
        )
    for name in ("num_nextn_predict_layers", "num_mtp_modules", "mtp_num_hidden_layers"):
        if config.values.get(name):
            number = config.values[name]
            notes.append(f"{config.place}: the module that predicts {number} more token(s) ({name}) is left out")
    return notes


def _longest(config: Section) -> int | None:
    name = next((name for name in _POSITIONS if isinstance(config.values.get(name), int)), None)
    value = None if name is None else config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9 else None


def _sequence_length(longest: int | None) -> dict[str, Any]:
    return {"sequence_length": longest} if longest is not None and longest <= LONGEST_TAKEN else {}


def _fields(config: Section, entries: Entries, given: Iterable[str]) -> Fields:
    fields = Fields(config, "model", given)
    for name, entry in entries.items():
        fields.read(name, entry)
    if fields.found.get("position_embedding") != "learned":
        fields.drop("max_position_embeddings")  # rows of a table that such a model does not have
    if fields.found.get("num_experts", 1) == 1:
        for name in ("moe_intermediate_size", "shared_expert_intermediate_size", "n_shared_experts"):
            fields.drop(name)
        for name in ("shared_expert_gate", "first_k_dense_replace", "interleave_moe_layer_step", "router_bias"):
            fields.drop(name)
        for name in ("n_group", "topk_group"):
            fields.drop(name)
    return fields


def read_huggingface(path: Path, given: Iterable[str] = ()) -> Imported:
    """Read a Hugging Face ``config.json`` as plain `ModelSpec` field values; what `given` names is not asked of the file.

    Returns
    -------
    Imported
        ``name`` is that of the file, or of its folder for a ``config.json``. ``masked_positions`` of an encoder is 15 % of its
        longest sequence, since the file does not say.

    Raises
    ------
    ConfigError
        Not readable, not JSON, a family that is not modelled, or keys that are missing, of a wrong type or not modelled; all
        problems of the file together.
    """
    document = json_value(read_text(path), shown(path))
    place = shown(path)
    if not isinstance(document, dict):
        raise ConfigError(f"{place}: holds {value_shown(document)}; a config.json is one mapping of keys")
    named = (
        name_file(JSON_FILES, document) if "model_type" not in document and "architectures" not in document else None
    )
    if named is not None:
        own = document.get("_class_name")
        raise ConfigError(f"{place}: is {f'a {own}, ' if isinstance(own, str) else ''}{named}")
    name = model_name(path, ["config", "params"])
    if is_meta(document):
        return read_meta(document, place, name, given)
    return _read_config(document, place, name, given)


def _read_config(document: Mapping[str, Any], place: str, name: str, given: Iterable[str]) -> Imported:
    problems: list[str] = []
    config, about_pictures = _text_part(document, Section(document, place, problems))
    family, found_by = _family(config, document)
    reason = name_parts(config.values)
    if reason is not None:
        raise ConfigError(f"{place}: is a model of type {family}, but one that {reason}, which is not modelled")
    entries = FAMILIES[family]
    causal = entries.get("causal", True) is True
    fields = _fields(config, entries, given)
    _check_additions(config, family, causal)
    _check_head(config, causal)
    longest = _longest(config)
    extras = [*([about_pictures] if about_pictures else []), *_extras(config, family, fields)]
    harmless = pass_over(config, (*OF_A_FAMILY.get(family, ()), *HARMLESS), lambda value: _unknown(family, value))
    if about_pictures:
        harmless |= dict.fromkeys((name for name in document if name != "text_config"), "about pictures")
    raise_problems(problems)
    if said := defaults_said(fields.understood):
        extras.append(f"{place}: does not say, and family {family} has: {said}")
    if found_by is not None:
        extras.append(f"{place}: {_type_beside(config)}, so the family {family} was taken from architectures")
    return Imported(
        kind=f"Hugging Face config.json, family {family}",
        model={"name": name, **fields.found},
        training=_sequence_length(longest),
        understood=tuple([found_by] if found_by else []) + tuple(fields.understood),
        harmless=harmless,
        notes=tuple(extras),
        longest_sequence=longest,
    )


def _unknown(family: str, value: Any) -> str:
    """What is said of a key that is neither read nor known to be harmless."""
    return (
        f"is {value_shown(value)}, a key that is not known for {family} and may change the model; remove it if it does not, "
        "or write the fields of [model] inline"
    )


# Meta's own file


def is_meta(document: Mapping[str, Any]) -> bool:
    """Whether a file is the ``params.json`` that lies beside the original weights of LLaMA or Mistral."""
    return (
        "dim" in document
        and "n_layers" in document
        and "n_heads" in document
        and not {"model_type", "architectures"} & document.keys()
    )


def _meta_width(config: Section) -> int | None:
    """Two thirds of four times the width, times a factor, rounded up to a multiple (``llama/model.py``, FeedForward)."""
    if config.has("hidden_dim"):
        return config.count("hidden_dim")
    width, multiple = config.count("dim"), config.count("multiple_of", default=256)
    factor = config.get("ffn_dim_multiplier")
    inside = int(8 * (width or 1) / 3)
    if isinstance(factor, int | float) and not isinstance(factor, bool):
        inside = int(factor * inside)
    return -(-inside // (multiple or 1)) * (multiple or 1)


def _meta_vocabulary(config: Section) -> int | None:
    value = config.get("vocab_size")
    if type(value) is int and value > 0:
        return value
    config.problem(
        "vocab_size",
        f"is {value_shown(value)}, that is, it is the tokenizer's; write it into [model], vocab_size = 32_000 for LLaMA 1 and 2",
    )
    return None


_META: Entries = {
    "hidden_size": lambda config: config.count("dim"),
    "num_layers": lambda config: config.count("n_layers"),
    "num_attention_heads": lambda config: config.count("n_heads"),
    "num_key_value_heads": lambda config: config.count("n_kv_heads", default=None),
    "head_dim": lambda config: config.count("head_dim", default=None),
    "vocab_size": _meta_vocabulary,
    "intermediate_size": _meta_width,
    "sliding_window": lambda config: config.count("sliding_window", default=None),
    "num_experts": lambda config: config.section("moe").count("num_experts", default=1),
    "experts_per_token": lambda config: config.section("moe").count("num_experts_per_tok", default=1),
    "position_embedding": "rotary",
    "normalization": "rmsnorm",
    "gated_mlp": True,
    "qkv_bias": False,
    "attention_output_bias": False,
    "mlp_bias": False,
    "tie_embeddings": lambda config: config.flag("tied_embeddings", default=False),
}
_META_HARMLESS: Reasons = (
    (
        r"norm_eps|rope_theta|use_scaled_rope|rope_scaling|max_.*|yarn|quantization.*|lora|dtype|model_parallel_size",
        "numerics, positions, or how it runs",
    ),
)


def read_meta(document: Mapping[str, Any], place: str, name: str, given: Iterable[str]) -> Imported:
    """Read a ``params.json``; it is named for what it is."""
    problems: list[str] = []
    config = Section(document, place, problems)
    fields = Fields(config, "model", given)
    for field, entry in _META.items():
        fields.read(field, entry)
    config.refuse(
        ["vision_chunk_size", "vision_encoder", "num_encoders", "block_use_qknorm"], "give the config.json instead"
    )
    harmless = pass_over(
        config, _META_HARMLESS, lambda value: f"is {value_shown(value)}, a key that is not known; remove it"
    )
    raise_problems(problems)
    return Imported(
        kind="params.json that lies beside the original weights of LLaMA or Mistral",
        model={"name": name, **fields.found},
        understood=tuple(fields.understood),
        harmless=harmless,
        notes=(f"{place} is the params.json of the original weights (LLaMA, Mistral), read as such",),
    )

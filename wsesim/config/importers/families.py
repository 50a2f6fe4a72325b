"""Which fields of ``config.json`` each family of models has, what it takes for keys left out, and who is not read.

`FAMILIES` holds for every ``model_type`` what its configuration class calls the fields of `ModelSpec` and what it takes
for keys that are left out [1]_. An entry is a constant, or reads its value from the file. `FOREIGN` names families that are
known but not modelled. ``docs/generate/families.py`` counts real shapes of each family with the package itself, on the meta
device; a test holds the importer to that table.

.. [1] huggingface/transformers 5, ``src/transformers/models/*/configuration_*.py`` for names and defaults,
   ``modeling_*.py`` for biases and norms. Families of which the package has no class, from the ``configuration_*.py`` and
   ``modeling_*.py`` beside the weights: btlm, jais, chatglm, baichuan, qwen, minicpm, internlm2, kimi_k2, deepseek, orion,
   xverse, aquila, mpt's switches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from wsesim.config.importers.section import REQUIRED, Section, value_shown

MASKED_SHARE = 0.15
"""Share of positions that a masked-language model predicts; Devlin et al. 2018, arXiv:1810.04805. [-]"""

Read = Callable[[Section], Any]
Entries = Mapping[str, "Read | str | bool | int"]
FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"


# Readers of one key


def _count(*names: str, default: Any = REQUIRED, null: bool = False, at_least: int = 1) -> Read:
    return lambda config: config.count(*names, default=default, null=null, at_least=at_least)


def _counts(**defaults: int | None) -> dict[str, Read]:
    """Counts that the file calls as `ModelSpec` does, and what the family takes for those left out."""
    return {name: _count(name, default=default) for name, default in defaults.items()}


def _sizes(hidden: str, layers: str, heads: str) -> dict[str, Read]:
    """Sizes that every file has, each by its spellings."""
    return {
        "hidden_size": _count(*hidden.split()),
        "num_layers": _count(*layers.split()),
        "num_attention_heads": _count(*heads.split()),
        "vocab_size": _count("vocab_size"),
    }


def _experts(number: int, per_token: int, *names: str) -> dict[str, Read]:
    """Experts that the file counts under `names`, and those that a token takes."""
    return {
        "num_experts": _count(*names, default=number),
        "experts_per_token": _count("num_experts_per_tok", default=per_token),
    }


def _without(entries: Entries, *names: str) -> Entries:
    return {name: entry for name, entry in entries.items() if name not in names}


def _flag(*names: str, default: bool) -> Read:
    return lambda config: config.flag(*names, default=default)


def _share(*names: str, default: float = 0.0) -> Read:
    return lambda config: config.share(*names, default=default)


def _tied(default: bool) -> Read:
    return _flag("tie_word_embeddings", default=default)


def _inside(section: str, read: Read) -> Read:
    """A field of a mapping inside the file."""
    return lambda config: read(config.section(section))


def _either(switch: str, default: bool, on: Any, off: Any) -> Read:
    """One of two values, as a switch says."""
    return lambda config: on if config.flag(switch, default=default) else off


# Windows


def _slides(number: int | None, is_full: Callable[[int], bool]) -> tuple[str, ...]:
    return tuple(FULL if is_full(index) else SLIDING for index in range(number or 0))


def pattern_of(kinds: tuple[str, ...]) -> tuple[str, ...] | None:
    """The shortest list that repeats to this one; nothing where every block slides.

    Examples
    --------
    >>> pattern_of(("a", "b", "a", "b", "a"))
    ('a', 'b')
    """
    for size in range(1, len(kinds) + 1):
        if all(kind == kinds[index % size] for index, kind in enumerate(kinds)):
            return None if kinds[:size] == (SLIDING,) else kinds[:size]
    return None


def _kinds(config: Section, otherwise: Callable[[Section], tuple[str, ...]]) -> tuple[str, ...]:
    """What each block attends to: ``layer_types`` as the file has it, or the pattern of the family."""
    listed = config.get("layer_types")
    if listed is None:
        return otherwise(config)
    if not isinstance(listed, list) or not listed or not all(isinstance(kind, str) for kind in listed):
        config.problem("layer_types", f"is {value_shown(listed)}; write a list of words, one for each block")
        return ()
    for kind in sorted({*listed} - {FULL, SLIDING, CHUNKED}):
        config.problem("layer_types", f"has {value_shown(kind)}, which is not modelled; known are {FULL} and {SLIDING}")
    return tuple(listed)


def _windows(
    default: int | None,
    otherwise: Callable[[Section], tuple[str, ...]],
    used: Callable[[Section], bool] = lambda _: True,
    key: str = "sliding_window",
) -> Entries:
    """``sliding_window`` and ``layer_types`` of a family; nothing where no block has a window."""

    def read(config: Section) -> tuple[int | None, tuple[str, ...] | None]:
        window = config.count(key, default=default, null=True, at_least=0)
        is_on = used(config)
        kinds = _kinds(config, otherwise)
        if not window or set(kinds) <= {FULL} or not (is_on or config.has("layer_types")):
            return None, None
        return window, pattern_of(kinds)

    return {"sliding_window": lambda config: read(config)[0], "layer_types": lambda config: read(config)[1]}


def _depth(config: Section) -> int:
    """Number of blocks; a problem with it is noted where it is read for its own sake."""
    value = next((config.get(name) for name in ("num_hidden_layers", "num_layers", "n_layer") if config.has(name)), 0)
    return value if isinstance(value, int) and 0 < value <= 4096 else 0


def _every(number: int, *names: str) -> Callable[[Section], tuple[str, ...]]:
    """Every so manieth block attends to everything; `names` are keys that say another number."""

    def kinds(config: Section) -> tuple[str, ...]:
        period = (config.count(*names, default=number) if names else number) or number
        return _slides(_depth(config), lambda index: (index + 1) % period == 0)

    return kinds


def _by_letters(config: Section) -> tuple[str, ...]:
    """EXAONE 4's pattern is a number, or letters such as LLLG; the last block attends to everything."""
    pattern, depth = config.get("sliding_window_pattern"), _depth(config)
    if isinstance(pattern, str) and pattern:
        return _slides(depth, lambda index: pattern[index % len(pattern)] == "G" or index == depth - 1)
    return _every(4, "sliding_window_pattern")(config)


def _from_block(config: Section) -> tuple[str, ...]:
    """Blocks slide from a certain one on."""
    first = config.count("max_window_layers", default=28, at_least=0) or 0
    return _slides(_depth(config), lambda index: index < first)


def _all(config: Section) -> tuple[str, ...]:
    return (SLIDING,) * _depth(config)


_QWEN_WINDOWS = _windows(4096, _from_block, lambda config: config.flag("use_sliding_window", default=False))


# Parts of families


def _opt_positions(config: Section) -> int | None:
    """OPT keeps two rows more than it has positions (``OPTLearnedPositionalEmbedding``)."""
    rows = config.count("max_position_embeddings", default=2048)
    return None if rows is None else rows + 2


def _opt_final_norm(config: Section) -> bool:
    """Post-norm models (OPT-350M) end without one."""
    removed = config.flag("_remove_final_layer_norm", default=False)
    return config.flag("do_layer_norm_before", default=True) and not removed


def _is_new_falcon(config: Section) -> bool:
    """Early files of the new architecture (RefinedWeb, 40B) have its heads, but no switch."""
    return config.flag("new_decoder_architecture", default=config.has("n_head_kv"))


def _falcon_key_value_heads(config: Section) -> int | None:
    """``num_kv_heads`` counts in the new architecture only; before it, one or all."""
    if _is_new_falcon(config):
        return config.count("num_kv_heads", "n_head_kv", default=None)
    return 1 if config.flag("multi_query", default=True) else None


def _falcon_shared_norm(config: Section) -> bool:
    """Parallel blocks have one norm, in the new architecture two unless the file says one."""
    new = _is_new_falcon(config)
    norms = config.count("num_ln_in_parallel_attn", default=2 if new else 1)
    parallel = config.flag("parallel_attn", default=True)
    return parallel and norms != 2


def _learned_or_alibi(config: Section) -> str | None:
    return config.word("position_embedding_type", known=("learned", "alibi"), default="learned")


def _swiglu(config: Section) -> bool:
    return config.text("activation_function", default="gelu_new") == "swiglu"


def _absolute(config: Section) -> str:
    """BERT's relative positions own one table in every block."""
    config.word("position_embedding_type", known=("absolute",), default="absolute")
    return "learned"


def architectures(config: Section) -> list[str]:
    """Names of the classes that the weights were saved from."""
    value = config.get("architectures")
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    config.problem("architectures", f"is {value_shown(value)}; write a list of class names, or leave it out")
    return []


def _labels_tokens(config: Section) -> bool:
    return any(name.endswith(("ForTokenClassification", "ForQuestionAnswering")) for name in architectures(config))


def _classifies(config: Section) -> bool:
    return _labels_tokens(config) or any(name.endswith("ForSequenceClassification") for name in architectures(config))


def _masked_positions(config: Section) -> int | None:
    """15 % of the longest sequence under a language-model head, none under a classifier."""
    if _classifies(config):
        return 0
    rows = config.count("max_position_embeddings", default=512)
    return None if rows is None else max(1, round(MASKED_SHARE * rows))


def _num_labels(config: Section) -> int:
    """Classes of a classifier: what their names, or ``num_labels``, say; else the two of next-sentence prediction."""
    labels = config.get("id2label")
    named = len(labels) if isinstance(labels, Mapping) and labels else None
    number = config.count("num_labels", default=named or 2)
    return number if number is not None and _classifies(config) else 2


def _neo_types(config: Section) -> tuple[str, ...]:
    """GPT-Neo's ``attention_types``, ``[[["global", "local"], 12]]``, or ``attention_layers``."""
    words = config.get("attention_layers")
    groups = config.get("attention_types")
    if words is None and isinstance(groups, list):
        try:
            words = [word for kinds, number in groups for _ in range(min(number, 4096)) for word in kinds]
        except (TypeError, ValueError):
            config.problem(
                "attention_types", f"is {value_shown(groups)}; write for example [[['global', 'local'], 12]]"
            )
    words = words if isinstance(words, list) and words else ["global", "local"] * (_depth(config) // 2 + 1)
    return tuple(SLIDING if word == "local" else FULL for word in words[: _depth(config)])


def _neo_layer_types(config: Section) -> tuple[str, ...] | None:
    kinds = _neo_types(config)
    return pattern_of(kinds) if SLIDING in kinds else None


def _neo_window(config: Section) -> int | None:
    return config.count("window_size", default=256) if SLIDING in _neo_types(config) else None


def _llama4_types(config: Section) -> tuple[str, ...]:
    """Blocks with rotary positions attend to their own chunk, those without to everything."""
    rotary = config.get("no_rope_layers")
    if isinstance(rotary, list) and rotary:
        return tuple(CHUNKED if one else FULL for one in rotary)
    period = config.count("no_rope_layer_interval", default=4) or 4
    return tuple(CHUNKED if (index + 1) % period else FULL for index in range(_depth(config)))


def _llama4_step(config: Section) -> int | None:
    """Every how manieth block has experts: a number, or a list of these blocks, which goes before it."""
    listed, step = config.get("moe_layers"), config.count("interleave_moe_layer_step", default=1)
    if not isinstance(listed, list) or not listed:
        return step
    there = [index for index in listed if type(index) is int and 0 <= index < _depth(config)]
    found = there[0] + 1 if there else 1
    if there != list(range(found - 1, _depth(config), found)):
        config.problem("moe_layers", f"is {value_shown(listed)}, and only every so manieth block can have experts")
    return found


def _moe_layer_freq(config: Section) -> int | None:
    """DeepSeek's counts from zero; other numbers than 1 are in no published model."""
    frequency = config.count("moe_layer_freq", default=1)
    if frequency not in (1, None):
        config.problem("moe_layer_freq", f"is {frequency}, and only 1 is modelled; write the fields of [model] inline")
    return 1


def _leading_dense(config: Section) -> int | None:
    """``mlp_only_layers`` where they lead; ``mlp_layer_types`` says the same in words."""
    words = config.get("mlp_layer_types")
    listed = config.get("mlp_only_layers") or []
    if isinstance(words, list):
        listed = [index for index, word in enumerate(words) if word == "dense"]
    if not isinstance(listed, list) or listed != list(range(len(listed))):
        config.problem(
            "mlp_only_layers", f"is {value_shown(listed)}, and only leading blocks without experts are modelled"
        )
        return 0
    return len(listed)


def _same(*names: str, default: Any = REQUIRED) -> Read:
    """A number, or a list of one for each block, which have to be equal."""

    def read(config: Section) -> int | None:
        listed = next((config.get(name) for name in names if isinstance(config.values.get(name), list)), None)
        if listed is None:
            return config.count(*names, default=default)
        if listed and len({*map(str, listed)}) == 1 and type(listed[0]) is int and listed[0] > 0:
            return int(listed[0])
        config.problem(names[0], f"is {value_shown(listed)} of different numbers, and only equal blocks are modelled")
        return None

    return read


def _no_bias(config: Section) -> bool:
    """Ernie's switch gives biases to some of its MLPs only; no published model has it on."""
    if config.flag("use_bias", default=False):
        config.problem("use_bias", "is true, and biases of some MLPs only are not modelled; set it to false")
    return False


def _sparse_to_the_end(config: Section) -> int | None:
    """Ernie's last block with experts; only the last of all, written as its place or as -1, is modelled."""
    last, end = config.get("moe_layer_end_index"), _depth(config) - 1
    if last not in (None, -1) and not (isinstance(last, int) and last >= end):
        config.problem(
            "moe_layer_end_index", f"is {value_shown(last)}, and blocks without experts are modelled only in front"
        )
    return config.count("moe_layer_start_index", default=1, at_least=0)


def _first_dense(default: int) -> Read:
    """``first_k_dense_replace``, or ``mlp_layer_types`` that say the same in words."""

    def read(config: Section) -> int | None:
        if config.has("mlp_layer_types") and not config.has("first_k_dense_replace"):
            return _leading_dense(config)
        return config.count("first_k_dense_replace", default=default, at_least=0)

    return read


# The table

_BIASES = ("qkv_bias", "attention_output_bias", "mlp_bias")
_IN_ATTENTION, _BEHIND_QKV = _BIASES[:2], _BIASES[1:]

_SIZES: Entries = _sizes("hidden_size", "num_hidden_layers num_layers", "num_attention_heads")

_GPT2: Entries = {
    **_sizes("n_embd hidden_size", "n_layer num_hidden_layers", "n_head num_attention_heads"),
    "intermediate_size": _count("n_inner", default=None),
    "max_position_embeddings": _count("n_positions", "max_position_embeddings", default=1024),
    "position_embedding": "learned",
    "attention_dropout": _share("attn_pdrop", default=0.1),
    "tie_embeddings": _tied(True),
}

_GPTJ: Entries = {
    **_GPT2,
    "position_embedding": "rotary",
    "parallel_block": True,
    "shared_norm": True,
    **dict.fromkeys(_IN_ATTENTION, False),
    "lm_head_bias": True,
    "attention_dropout": _share("attn_pdrop"),
    "tie_embeddings": _tied(False),
}

_LLAMA: Entries = {
    **_SIZES,
    **_counts(intermediate_size=11_008, num_key_value_heads=None, head_dim=None),
    "position_embedding": "rotary",
    "normalization": "rmsnorm",
    "gated_mlp": True,
    **dict.fromkeys(_IN_ATTENTION, _flag("attention_bias", default=False)),
    "mlp_bias": _flag("mlp_bias", default=False),
    "attention_dropout": _share("attention_dropout"),
    "tie_embeddings": _tied(False),
}

_NO_BIASES: Entries = dict.fromkeys(_BIASES, False)

_MISTRAL: Entries = {
    **_LLAMA,
    **_NO_BIASES,
    "intermediate_size": _count("intermediate_size", default=14_336),
    "num_key_value_heads": _count("num_key_value_heads", default=8, null=True),
    **_windows(4096, _all),
}

_BERT: Entries = {
    **_SIZES,
    **_counts(intermediate_size=3072, max_position_embeddings=512),
    "position_embedding": _absolute,
    "type_vocab_size": _count("type_vocab_size", default=2, at_least=0),
    "attention_dropout": _share("attention_probs_dropout_prob", default=0.1),
    "tie_embeddings": _tied(True),
    "causal": False,
    "embedding_norm": True,
    "final_norm": False,
    "masked_positions": _masked_positions,
    "num_labels": _num_labels,
    "pooler": lambda config: not _labels_tokens(config),
}
"""Published weights hold the pooler and the head for next sentences, also where ``architectures`` names a class without."""
_ROBERTA: Entries = {**_BERT, "pooler": lambda config: _classifies(config) and not _labels_tokens(config)}
"""Pre-trained without next sentences, hence without either."""

_BTLM: Entries = {
    **_GPT2,
    "position_embedding": _learned_or_alibi,
    "gated_mlp": _swiglu,
}

_INTERNLM: Entries = {
    **_LLAMA,
    **dict.fromkeys(_IN_ATTENTION, _flag("bias", default=True)),
    "mlp_bias": False,
}

_GRANITE_MOE: Entries = {**_LLAMA, "mlp_bias": False, **_experts(8, 2, "num_local_experts")}

_QWEN2: Entries = {
    **_LLAMA,
    "intermediate_size": _count("intermediate_size", default=22_016),
    "num_key_value_heads": _count("num_key_value_heads", default=32, null=True),
    "qkv_bias": True,
    **dict.fromkeys(_BEHIND_QKV, False),
    **_QWEN_WINDOWS,
}

_QWEN3: Entries = {
    **_LLAMA,
    "intermediate_size": _count("intermediate_size", default=22_016),
    "num_key_value_heads": _count("num_key_value_heads", default=32, null=True),
    "head_dim": _count("head_dim", default=128),
    "mlp_bias": False,
    "qk_norm": "head",
    **_QWEN_WINDOWS,
}

_SPARSE_STEPS: Entries = {
    "first_k_dense_replace": _leading_dense,
    "interleave_moe_layer_step": _count("decoder_sparse_step", default=1),
}

_OLMO2: Entries = {**_LLAMA, "mlp_bias": False, "qk_norm": "width"}

_GEMMA: Entries = {
    **_LLAMA,
    **_counts(intermediate_size=24_576, num_key_value_heads=16, head_dim=256),
    "mlp_bias": False,
    "tie_embeddings": _tied(True),
}

_GEMMA2: Entries = {
    **_GEMMA,
    **_counts(intermediate_size=9216, num_key_value_heads=4),
    "sandwich_norm": True,
    **_windows(4096, _every(2)),
}

_GEMMA3: Entries = {
    **_GEMMA2,
    "hidden_size": _count("hidden_size", default=2304),
    "num_layers": _count("num_hidden_layers", default=26),
    **_counts(num_attention_heads=8, vocab_size=262_208),
    "qk_norm": "head",
    **_windows(4096, _every(6, "sliding_window_pattern", "_sliding_window_pattern")),
}

_LATENT: Entries = {
    "q_lora_rank": _count("q_lora_rank", default=1536, null=True),
    **_counts(kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128),
}

_DEEPSEEK: Entries = {
    **_without(_LLAMA, "num_key_value_heads", "head_dim"),
    **_LATENT,
    **_counts(intermediate_size=18_432, moe_intermediate_size=2048),
    "mlp_bias": False,
    **_experts(256, 8, "n_routed_experts", "num_local_experts"),
    "n_shared_experts": _count("n_shared_experts", default=1, at_least=0),
    "first_k_dense_replace": _first_dense(3),
    "interleave_moe_layer_step": _moe_layer_freq,
}

_COHERE: Entries = {
    **_LLAMA,
    "intermediate_size": _count("intermediate_size", default=22_528),
    "mlp_bias": False,
    "parallel_block": True,
    "shared_norm": True,
    "qk_norm": _either("use_qk_norm", False, "width", "none"),
    "tie_embeddings": _tied(True),
}

_GLM: Entries = {
    **_LLAMA,
    **_counts(intermediate_size=13_696, num_key_value_heads=2, head_dim=128),
    **dict.fromkeys(_BEHIND_QKV, False),
}


def _chatglm_is_first(config: Section) -> bool:
    """ChatGLM-6B of 2023 has another architecture than ChatGLM2 and later under the same name."""
    return config.has("inner_hidden_size") or config.has("position_encoding_2d")


def _chatglm_heads(config: Section) -> int | None:
    if config.flag("multi_query_attention", default=False):
        return config.count("multi_query_group_num", default=1)
    return None


def _chatglm_bias(config: Section) -> bool:
    return _chatglm_is_first(config) or config.flag("add_bias_linear", default=False)


def _chatglm_norm(config: Section) -> str:
    is_rms = not _chatglm_is_first(config) and config.flag("rmsnorm", default=True)
    return "rmsnorm" if is_rms else "layernorm"


_CHATGLM: Entries = {
    "hidden_size": _count("hidden_size"),
    "num_layers": _count("num_layers", "num_hidden_layers"),
    "num_attention_heads": _count("num_attention_heads"),
    "vocab_size": _count("padded_vocab_size", "vocab_size"),
    "intermediate_size": _count("ffn_hidden_size", "inner_hidden_size", default=13_696),
    "num_key_value_heads": _chatglm_heads,
    "head_dim": _count("kv_channels", default=None),
    "position_embedding": "rotary",
    "normalization": _chatglm_norm,
    "gated_mlp": lambda config: not _chatglm_is_first(config),
    "final_norm": _flag("post_layer_norm", default=True),
    "qkv_bias": lambda config: (
        _chatglm_is_first(config)
        or config.flag("add_qkv_bias", default=False)
        or config.flag("add_bias_linear", default=False)
    ),
    **dict.fromkeys(_BEHIND_QKV, _chatglm_bias),
    "attention_dropout": _share("attention_dropout"),
    "tie_embeddings": _tied(False),
}


def _qwen_width(config: Section) -> int | None:
    """Gate and up together, in the file; each is half of it."""
    both = config.count("intermediate_size", default=22_016)
    return None if both is None else max(1, both // 2)


_QWEN: Entries = {
    **_SIZES,
    "intermediate_size": _qwen_width,
    "head_dim": _count("kv_channels", default=None),
    "position_embedding": "rotary",
    "normalization": "rmsnorm",
    "gated_mlp": True,
    "qkv_bias": True,
    **dict.fromkeys(_BEHIND_QKV, _either("no_bias", True, False, True)),
    "attention_dropout": _share("attn_dropout_prob", "attn_pdrop"),
    "tie_embeddings": _tied(False),
}


def _mpt_position(config: Section) -> str:
    attention = config.section("attn_config")
    if attention.flag("alibi", default=True):
        return "alibi"
    if attention.flag("rope", default=False):
        return "rotary"
    return "learned" if config.flag("learned_pos_emb", default=True) else "none"


def _mpt_key_value_heads(config: Section) -> int | None:
    attention = config.section("attn_config")
    known = ("multihead_attention", "multiquery_attention", "grouped_query_attention")
    kind = attention.word("attn_type", known=known, default="multihead_attention")
    heads = attention.count("kv_n_heads", default=None)
    return 1 if kind == "multiquery_attention" else heads


def _mpt_window(config: Section) -> int | None:
    """-1 is none."""
    value = config.section("attn_config").get("sliding_window_size")
    return value if isinstance(value, int) and value > 0 else None


def _mpt_intermediate(config: Section) -> int | None:
    width = config.section("ffn_config").get("ffn_hidden_size")
    hidden, ratio = config.get("d_model"), config.count("expansion_ratio", default=4)
    return width if isinstance(width, int) else (hidden or 0) * (ratio or 4) if isinstance(hidden, int) else None


def _mpt_gated(config: Section) -> bool:
    known = ("mptmlp", "mptglu", "mptgeglu", "te_ln_mlp")
    return config.section("ffn_config").word("ffn_type", known=known, default="mptmlp") in ("mptglu", "mptgeglu")


_MPT: Entries = {
    **_sizes("d_model hidden_size", "n_layers num_hidden_layers", "n_heads num_attention_heads"),
    "intermediate_size": _mpt_intermediate,
    "num_key_value_heads": _mpt_key_value_heads,
    "max_position_embeddings": _count("max_seq_len", default=2048),
    "position_embedding": _mpt_position,
    "normalization": _either("no_bias", True, "rmsnorm", "layernorm"),
    "gated_mlp": _mpt_gated,
    "qk_norm": lambda config: "width" if config.section("attn_config").flag("qk_ln", default=False) else "none",
    "sliding_window": _mpt_window,
    **dict.fromkeys(_BIASES, _either("no_bias", True, False, True)),
    "attention_dropout": _inside("attn_config", _share("attn_pdrop")),
    "tie_embeddings": _tied(True),
}

_DBRX: Entries = {
    **_sizes("d_model hidden_size", "n_layers num_hidden_layers", "n_heads num_attention_heads"),
    "num_key_value_heads": _inside("attn_config", _count("kv_n_heads", default=1)),
    "intermediate_size": _inside("ffn_config", _count("ffn_hidden_size", default=3584)),
    "num_experts": _inside("ffn_config", _count("moe_num_experts", default=4)),
    "experts_per_token": _inside("ffn_config", _count("moe_top_k", default=1)),
    "position_embedding": "rotary",
    "normalization": "rmsnorm",
    "gated_mlp": True,
    **_NO_BIASES,
    "attention_dropout": _inside("attn_config", _share("attn_pdrop")),
    "tie_embeddings": _tied(False),
}


def _minicpm_experts(config: Section) -> int | None:
    return config.count("num_experts", default=1, at_least=0) or 1


def _minicpm_chosen(config: Section) -> int | None:
    return config.count("num_experts_per_tok", default=2) if (_minicpm_experts(config) or 1) > 1 else 1


_SHARES_EXPERTS: Entries = {
    "moe_intermediate_size": _count("moe_intermediate_size", default=1408),
    **_experts(128, 8, "n_routed_experts", "num_local_experts", "num_experts"),
    "n_shared_experts": _count("n_shared_experts", "num_shared_experts", default=1, at_least=0),
}

_FROM_4: Entries = {
    **_LLAMA,
    **_NO_BIASES,
    **_counts(intermediate_size=16_384, num_key_value_heads=32),
    "qk_norm": "head",
    **_windows(4096, _by_letters),
}

_XGLM: Entries = {
    "hidden_size": _count("d_model", "hidden_size"),
    "num_layers": _count("num_layers", "num_hidden_layers"),
    "num_attention_heads": _count("attention_heads", "num_attention_heads"),
    "intermediate_size": _count("ffn_dim", default=4096),
    "vocab_size": _count("vocab_size"),
    "position_embedding": "none",
    "attention_dropout": _share("attention_dropout", default=0.1),
    "tie_embeddings": _tied(True),
}
"""Positions are sines, which no table holds."""

_DISTILBERT: Entries = {
    **_ROBERTA,
    "hidden_size": _count("dim", "hidden_size", default=768),
    "num_layers": _count("n_layers", "num_hidden_layers", default=6),
    "num_attention_heads": _count("n_heads", "num_attention_heads", default=12),
    "intermediate_size": _count("hidden_dim", default=3072),
    "type_vocab_size": 0,
    "attention_dropout": _share("attention_dropout", default=0.1),
}

_MIXTRAL: Entries = {
    **_MISTRAL,
    **_experts(8, 2, "num_local_experts"),
    **_windows(None, _all),
}

FAMILIES: dict[str, Entries] = {
    "aquila": _LLAMA,
    "arcee": {**_LLAMA, "gated_mlp": False, "intermediate_size": _count("intermediate_size", default=18_432)},
    "baichuan": {
        **_LLAMA,
        **_NO_BIASES,
        "position_embedding": lambda config: "rotary" if config.has("max_position_embeddings") else "alibi",
    },
    "bert": _BERT,
    "biogpt": {
        **_SIZES,
        "intermediate_size": _count("intermediate_size", default=4096),
        "max_position_embeddings": _opt_positions,
        "position_embedding": "learned",
        "attention_dropout": _share("attention_probs_dropout_prob", default=0.1),
        "tie_embeddings": _tied(True),
    },
    "bloom": {
        **_sizes("hidden_size n_embed", "n_layer num_hidden_layers", "n_head num_attention_heads"),
        "position_embedding": "alibi",
        "embedding_norm": True,
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(True),
    },
    "btlm": _BTLM,
    "camembert": _ROBERTA,
    "chatglm": _CHATGLM,
    "codegen": _GPTJ,
    "cohere": _COHERE,
    "cohere2": {
        **_COHERE,
        "qk_norm": "none",
        **_windows(4096, _every(4, "sliding_window_pattern", "_sliding_window_pattern", "layer_switch")),
    },
    "cwm": {
        **_LLAMA,
        **dict.fromkeys(_IN_ATTENTION, False),
        **_counts(intermediate_size=21_504, num_key_value_heads=8, head_dim=128),
        **_windows(8192, lambda config: _slides(_depth(config), lambda index: index % 4 == 0)),
    },
    "data2vec-text": _ROBERTA,
    "dbrx": _DBRX,
    "deepseek": {
        **_LLAMA,
        **_SHARES_EXPERTS,
        "mlp_bias": False,
        **_experts(1, 1, "n_routed_experts"),
        "n_shared_experts": _count("n_shared_experts", default=0, at_least=0),
        "first_k_dense_replace": _first_dense(0),
        "interleave_moe_layer_step": _moe_layer_freq,
    },
    "deepseek_v2": {
        **_DEEPSEEK,
        **_counts(intermediate_size=11_008, moe_intermediate_size=1407),
        **_experts(64, 1, "n_routed_experts", "num_local_experts"),
        "n_shared_experts": _count("n_shared_experts", default=2, at_least=0),
        "first_k_dense_replace": _first_dense(0),
    },
    "deepseek_v3": {
        **_DEEPSEEK,
        "n_group": _count("n_group", default=8),
        "topk_group": _count("topk_group", default=4),
    },
    "distilbert": _DISTILBERT,
    "dots1": {
        **_LLAMA,
        **_SHARES_EXPERTS,
        **_counts(intermediate_size=10_944, num_key_value_heads=32),
        "mlp_bias": False,
        "qk_norm": "head",
        "first_k_dense_replace": _first_dense(0),
    },
    "ernie4_5": {
        **_LLAMA,
        **_counts(intermediate_size=3072, num_key_value_heads=2, head_dim=128),
        **dict.fromkeys(_BIASES, _flag("use_bias", default=False)),
        "tie_embeddings": _tied(True),
    },
    "ernie4_5_moe": {
        **_LLAMA,
        **_counts(intermediate_size=12_288, num_key_value_heads=4),
        **dict.fromkeys(_BIASES, _no_bias),
        "num_experts": _count("moe_num_experts", "num_experts", default=64),
        "experts_per_token": _count("moe_k", "num_experts_per_tok", default=6),
        "moe_intermediate_size": _count("moe_intermediate_size", default=1536),
        "n_shared_experts": _count("moe_num_shared_experts", default=2, at_least=0),
        "first_k_dense_replace": _sparse_to_the_end,
        "interleave_moe_layer_step": _count("moe_layer_interval", default=1),
        "router_bias": True,
        "tie_embeddings": _tied(True),
    },
    "exaone": _LLAMA,
    "exaone4": _FROM_4,
    "exaone_moe": {
        **_FROM_4,
        **_SHARES_EXPERTS,
        "moe_intermediate_size": _count("moe_intermediate_size", default=1024),
        "num_experts": _count("num_experts", "num_local_experts", default=64),
        "first_k_dense_replace": _first_dense(1),
    },
    "falcon": {
        **_sizes("hidden_size n_embed", "num_hidden_layers n_layer", "num_attention_heads n_head"),
        "intermediate_size": _count("ffn_hidden_size", default=None),
        "num_key_value_heads": _falcon_key_value_heads,
        "position_embedding": _either("alibi", False, "alibi", "rotary"),
        "parallel_block": _flag("parallel_attn", default=True),
        "shared_norm": _falcon_shared_norm,
        **dict.fromkeys(_BIASES, _flag("bias", default=False)),
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(True),
    },
    "flex_olmo": {**_OLMO2, **_experts(7, 5, "num_experts", "num_local_experts")},
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA3,
    "glm": _GLM,
    "glm4": {**_GLM, "sandwich_norm": True},
    "glm4_moe": {
        **_LLAMA,
        **_counts(intermediate_size=10_944, num_key_value_heads=8),
        **dict.fromkeys(_BEHIND_QKV, False),
        "qk_norm": _either("use_qk_norm", False, "head", "none"),
        "moe_intermediate_size": _count("moe_intermediate_size", default=1408),
        **_experts(128, 8, "n_routed_experts", "num_local_experts"),
        "n_shared_experts": _count("n_shared_experts", default=1, at_least=0),
        "first_k_dense_replace": _first_dense(1),
    },
    "glm4_moe_lite": {
        **_DEEPSEEK,
        **_counts(intermediate_size=10_240, moe_intermediate_size=1536),
        **_experts(64, 4, "n_routed_experts", "num_local_experts"),
        "q_lora_rank": _count("q_lora_rank", default=768, null=True),
        **_counts(qk_nope_head_dim=192, v_head_dim=256),
        "first_k_dense_replace": _first_dense(1),
    },
    "gpt2": _GPT2,
    "gpt_bigcode": {**_GPT2, "num_key_value_heads": _either("multi_query", True, 1, None)},
    "gpt_neo": {
        **_sizes("hidden_size", "num_layers num_hidden_layers", "num_heads num_attention_heads"),
        **_counts(intermediate_size=None, max_position_embeddings=2048),
        "position_embedding": "learned",
        "sliding_window": _neo_window,
        "layer_types": _neo_layer_types,
        "qkv_bias": False,
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(True),
    },
    "gpt_neox": {
        **_SIZES,
        "intermediate_size": _count("intermediate_size", default=24_576),
        "position_embedding": "rotary",
        "parallel_block": _flag("use_parallel_residual", default=True),
        **dict.fromkeys(_IN_ATTENTION, _flag("attention_bias", default=True)),
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(False),
    },
    "gpt_oss": {
        **_LLAMA,
        **_counts(intermediate_size=2880, num_key_value_heads=8, head_dim=64),
        **dict.fromkeys(_IN_ATTENTION, _flag("attention_bias", default=True)),
        "mlp_bias": True,
        "router_bias": True,
        "attention_sinks": True,
        "num_experts": _count("num_local_experts", "num_experts", default=128),
        "experts_per_token": _count("num_experts_per_tok", "experts_per_token", default=4),
        **_windows(128, _every(2)),
    },
    "gptj": _GPTJ,
    "granite": _LLAMA,
    "granitemoe": _GRANITE_MOE,
    "granitemoeshared": {
        **_GRANITE_MOE,
        "shared_expert_intermediate_size": lambda config: (
            config.count("shared_intermediate_size", default=1024, at_least=0) or None
        ),
    },
    "helium": {
        **_LLAMA,
        **_counts(intermediate_size=7040, num_key_value_heads=20, head_dim=128),
        "attention_output_bias": False,
    },
    "hunyuan_v1_dense": {**_LLAMA, "mlp_bias": False, "qk_norm": _either("use_qk_norm", True, "head", "none")},
    "hunyuan_v1_moe": {
        **_LLAMA,
        "mlp_bias": False,
        "qk_norm": _either("use_qk_norm", True, "head", "none"),
        "intermediate_size": _count("intermediate_size", default=11_008),
        "moe_intermediate_size": _same("moe_intermediate_size", default=None),
        "num_experts": _same("num_experts", "num_local_experts", default=1),
        "experts_per_token": _same("moe_topk", "num_experts_per_tok", default=1),
        "n_shared_experts": _same("num_shared_expert", default=1),
    },
    "hyperclovax": {**_LLAMA, "sandwich_norm": _flag("use_post_norm", default=False)},
    "internlm": _INTERNLM,
    "internlm2": _INTERNLM,
    "internlm3": {
        **_LLAMA,
        "num_key_value_heads": _count("num_key_value_heads", default=2),
        "qkv_bias": _flag("qkv_bias", "attention_bias", default=False),
        "attention_output_bias": _flag("bias", "attention_bias", default=False),
        "mlp_bias": _flag("bias", "mlp_bias", default=False),
    },
    "iquestcoder": _LLAMA,
    "jais": _BTLM,
    "jais2": {
        **_LLAMA,
        "normalization": "layernorm",
        "gated_mlp": False,
        **dict.fromkeys(_IN_ATTENTION, _flag("attention_bias", default=True)),
        "mlp_bias": _flag("mlp_bias", default=True),
    },
    "kimi_k2": _DEEPSEEK,
    "llama": _LLAMA,
    "llama4_text": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size_mlp", default=16_384),
        "moe_intermediate_size": _count("intermediate_size", default=8192),
        **_counts(num_key_value_heads=8, head_dim=None),
        "mlp_bias": False,
        **_experts(16, 1, "num_local_experts"),
        "n_shared_experts": 1,
        "interleave_moe_layer_step": _llama4_step,
        **_windows(8192, _llama4_types, key="attention_chunk_size"),
    },
    "megatron-bert": {**_ROBERTA, "embedding_norm": False, "final_norm": True},
    "mellum": {
        **_QWEN3,
        **_counts(intermediate_size=7168, num_key_value_heads=4, moe_intermediate_size=896),
        **_experts(64, 8, "num_local_experts", "num_experts"),
        "first_k_dense_replace": _leading_dense,
        **_windows(1024, lambda config: (FULL,) * _depth(config)),
    },
    "minicpm": {
        **_LLAMA,
        "mlp_bias": False,
        "num_experts": _minicpm_experts,
        "experts_per_token": _minicpm_chosen,
        "tie_embeddings": _tied(True),
    },
    "minicpm3": {
        **_without(_LLAMA, "num_key_value_heads", "head_dim"),
        **_counts(q_lora_rank=768, kv_lora_rank=256, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64),
        "tie_embeddings": _tied(True),
    },
    "minimax_m2": {
        **_LLAMA,
        **_NO_BIASES,
        **_counts(intermediate_size=1536, num_key_value_heads=8, head_dim=128),
        "qk_norm": _either("use_qk_norm", True, "width", "none"),
        **_experts(256, 8, "num_local_experts", "num_experts"),
    },
    "ministral": {**_MISTRAL, "num_key_value_heads": _count("num_key_value_heads", default=8)},
    "ministral3": {**_MISTRAL, "head_dim": _count("head_dim", default=128), **_windows(None, _all)},
    "mistral": _MISTRAL,
    "mixtral": _MIXTRAL,
    "mpt": _MPT,
    "nemotron": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size", default=24_576),
        "normalization": "layernorm",
        "gated_mlp": False,
    },
    "olmo": {**_LLAMA, "mlp_bias": False, "normalization": "plain"},
    "olmo2": _OLMO2,
    "olmo3": {**_OLMO2, **_windows(4096, _every(4))},
    "olmoe": {
        **_OLMO2,
        **_counts(intermediate_size=2048),
        **_experts(64, 8, "num_experts", "num_local_experts"),
    },
    "openai-gpt": {
        **_without(_GPT2, "intermediate_size"),
        "max_position_embeddings": _count("n_positions", default=512),
        "final_norm": False,
    },
    "opt": {
        **_SIZES,
        "intermediate_size": _count("ffn_dim", default=3072),
        "embedding_size": _count("word_embed_proj_dim", default=None),
        "max_position_embeddings": _opt_positions,
        "position_embedding": "learned",
        "normalization": _either("layer_norm_elementwise_affine", True, "layernorm", "plain"),
        "final_norm": _opt_final_norm,
        **dict.fromkeys(_BIASES, _flag("enable_bias", default=True)),
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(True),
    },
    "orion": {**_LLAMA, "normalization": "layernorm", **_NO_BIASES},
    "persimmon": {
        **_SIZES,
        "intermediate_size": _count("intermediate_size", default=16_384),
        "position_embedding": "rotary",
        "qk_norm": _either("qk_layernorm", True, "head", "none"),
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(False),
    },
    "phi": {
        **_SIZES,
        **_counts(intermediate_size=8192, num_key_value_heads=None),
        "position_embedding": "rotary",
        "parallel_block": True,
        "shared_norm": True,
        "lm_head_bias": True,
        "qk_norm": _either("qk_layernorm", False, "head", "none"),
        "attention_dropout": _share("attention_dropout"),
        "tie_embeddings": _tied(False),
    },
    "phi3": {
        **_LLAMA,
        **_NO_BIASES,
        "intermediate_size": _count("intermediate_size", default=8192),
        **_windows(None, _all),
    },
    "phimoe": {
        **_LLAMA,
        **_counts(intermediate_size=6400, num_key_value_heads=8),
        "normalization": "layernorm",
        "mlp_bias": False,
        "lm_head_bias": _flag("lm_head_bias", default=False),
        **_experts(16, 2, "num_local_experts"),
        **_windows(None, _all),
    },
    "qwen": _QWEN,
    "qwen2": _QWEN2,
    "qwen2_moe": {
        **_QWEN2,
        "intermediate_size": _count("intermediate_size", default=5632),
        "num_key_value_heads": _count("num_key_value_heads", default=16, null=True),
        "qkv_bias": _flag("qkv_bias", default=True),
        **_counts(moe_intermediate_size=1408, shared_expert_intermediate_size=5632),
        "shared_expert_gate": True,
        **_experts(60, 4, "num_experts", "num_local_experts"),
        **_SPARSE_STEPS,
    },
    "qwen3": _QWEN3,
    "qwen3_moe": {
        **_QWEN3,
        **_counts(intermediate_size=6144, num_key_value_heads=4, head_dim=None, moe_intermediate_size=768),
        **_experts(128, 8, "num_experts", "num_local_experts"),
        **_SPARSE_STEPS,
    },
    "roberta": _ROBERTA,
    "roberta-prelayernorm": {**_ROBERTA, "final_norm": True},
    "sarvam_mla": {**_DEEPSEEK, "first_k_dense_replace": _first_dense(1)},
    "sarvam_moe": {
        **_LLAMA,
        **_SHARES_EXPERTS,
        **dict.fromkeys(_BEHIND_QKV, False),
        "qk_norm": _either("use_qk_norm", True, "head", "none"),
        "first_k_dense_replace": _first_dense(1),
    },
    "seed_oss": {
        **_LLAMA,
        **_counts(intermediate_size=27_648, num_key_value_heads=8, head_dim=128),
        "qkv_bias": _flag("attention_bias", default=True),
        "attention_output_bias": _flag("attention_out_bias", default=False),
    },
    "smollm3": {
        **_LLAMA,
        "num_key_value_heads": _count("num_key_value_heads", default=4),
        "tie_embeddings": _tied(True),
        **_windows(None, _all, lambda config: config.flag("use_sliding_window", default=False)),
    },
    "solar_open": {
        **_LLAMA,
        **_SHARES_EXPERTS,
        **_counts(num_key_value_heads=8, head_dim=128, intermediate_size=10_240),
        **dict.fromkeys(_BEHIND_QKV, False),
        "moe_intermediate_size": _count("moe_intermediate_size", default=1280),
    },
    "stablelm": {
        **_LLAMA,
        **_counts(intermediate_size=6912, num_key_value_heads=32),
        "normalization": "layernorm",
        "parallel_block": _flag("use_parallel_residual", default=False),
        "shared_norm": _flag("use_parallel_residual", default=False),
        "qkv_bias": _flag("use_qkv_bias", default=False),
        "qk_norm": _either("qk_layernorm", False, "width", "none"),
        **dict.fromkeys(_BEHIND_QKV, False),
    },
    "starcoder2": {
        **_LLAMA,
        **_counts(intermediate_size=12_288, num_key_value_heads=2),
        "normalization": "layernorm",
        "gated_mlp": False,
        **dict.fromkeys(_BIASES, _flag("use_bias", default=True)),
        "tie_embeddings": _tied(True),
        **_windows(None, _all),
    },
    "vaultgemma": {**_GEMMA2, "sandwich_norm": False},
    "xglm": _XGLM,
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": {**_ROBERTA, "embedding_norm": False, "final_norm": True},
    "xverse": {**_LLAMA, **_NO_BIASES},
    "youtu": {
        **_without(_DEEPSEEK, "moe_intermediate_size"),
        "intermediate_size": _count("intermediate_size", default=6144),
        "num_experts": 1,
        "experts_per_token": 1,
        "n_shared_experts": 0,
        "first_k_dense_replace": 0,
        "interleave_moe_layer_step": 1,
        "tie_embeddings": _tied(True),
    },
}
"""`ModelSpec` fields of every supported ``model_type``."""

ALIASES: Final = {
    "RefinedWeb": "falcon",
    "gpt-sw3": "gpt2",
    "RefinedWebModel": "falcon",
    "stablelm_epoch": "stablelm",
    "Yi": "llama",
    "codellama": "llama",
}
"""Older names of families."""

WRAPPERS: Final = {"gemma3": "gemma3_text", "llama4": "llama4_text"}
"""Models that also see pictures, whose text part is read from ``text_config``."""

CLASSES: Final = {
    "Aquila": "aquila",
    "Arcee": "arcee", "BTLM": "btlm", "BaiChuan": "baichuan", "Baichuan": "baichuan", "Bert": "bert", "Bloom": "bloom",
    "ChatGLM": "chatglm", "CodeGen": "codegen", "Cohere": "cohere", "Cohere2": "cohere2", "Dbrx": "dbrx",
    "DeepseekV2": "deepseek_v2", "DeepseekV3": "deepseek_v3", "Falcon": "falcon", "GPT2": "gpt2",
    "GPTBigCode": "gpt_bigcode", "GPTJ": "gptj", "GPTNeo": "gpt_neo", "GPTNeoX": "gpt_neox", "Gemma": "gemma",
    "Gemma2": "gemma2", "Gemma3": "gemma3_text", "Glm": "glm", "Glm4": "glm4", "Glm4Moe": "glm4_moe",
    "GptOss": "gpt_oss", "Granite": "granite", "GraniteMoe": "granitemoe", "GraniteMoeShared": "granitemoeshared",
    "InternLM": "internlm", "InternLM2": "internlm2", "JAIS": "jais", "KimiK2": "kimi_k2", "LLaMA": "llama",
    "Llama": "llama", "Llama4": "llama4_text", "MPT": "mpt", "MiniCPM": "minicpm", "MiniCPM3": "minicpm3",
    "Mistral": "mistral", "Mixtral": "mixtral", "Mpt": "mpt", "Nemotron": "nemotron", "OPT": "opt", "Olmo2": "olmo2",
    "Olmo3": "olmo3", "Olmoe": "olmoe", "PhiMoE": "phimoe", "PhiMoe": "phimoe", "Phi": "phi", "Phi3": "phi3",
    "Phimoe": "phimoe", "QWen": "qwen", "Qwen2": "qwen2", "Qwen2Moe": "qwen2_moe", "Qwen3": "qwen3",
    "Qwen3Moe": "qwen3_moe", "RW": "falcon", "Roberta": "roberta", "SeedOss": "seed_oss", "SmolLM3": "smollm3",
    "StableLm": "stablelm", "StableLM": "stablelm", "StableLMEpoch": "stablelm", "Starcoder2": "starcoder2",
    "XLMRoberta": "xlm-roberta",
    "BioGpt": "biogpt", "Camembert": "camembert", "Cwm": "cwm", "Data2VecText": "data2vec-text",
    "Deepseek": "deepseek", "DistilBert": "distilbert", "Dots1": "dots1", "Ernie4_5": "ernie4_5",
    "Ernie4_5_Moe": "ernie4_5_moe", "Ernie4_5Moe": "ernie4_5_moe", "Exaone": "exaone", "Exaone4": "exaone4",
    "ExaoneMoe": "exaone_moe", "FlexOlmo": "flex_olmo", "Glm4MoeLite": "glm4_moe_lite", "Helium": "helium",
    "HunYuanDenseV1": "hunyuan_v1_dense", "HunYuanMoEV1": "hunyuan_v1_moe", "HyperCLOVAX": "hyperclovax",
    "InternLM3": "internlm3", "IQuestCoder": "iquestcoder", "Jais2": "jais2", "MegatronBert": "megatron-bert",
    "Mellum": "mellum", "MiniMaxM2": "minimax_m2", "Ministral": "ministral", "Ministral3": "ministral3",
    "Olmo": "olmo", "OpenAIGPT": "openai-gpt", "Orion": "orion", "Persimmon": "persimmon",
    "RobertaPreLayerNorm": "roberta-prelayernorm", "SarvamMLA": "sarvam_mla", "SarvamMoE": "sarvam_moe",
    "SolarOpen": "solar_open", "VaultGemma": "vaultgemma", "XGLM": "xglm", "XLMRobertaXL": "xlm-roberta-xl",
    "Xverse": "xverse", "Youtu": "youtu",
}  # fmt: skip
"""Beginnings of class names in ``architectures``, for files without ``model_type``."""

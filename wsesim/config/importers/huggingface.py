"""Reads the shape of a model from a Hugging Face ``config.json``.

One table, `FAMILIES`, holds what each ``model_type`` calls its fields and what its configuration class
takes for keys that are left out [1]_. The four sizes that every saved file states (width, layers, heads,
vocabulary) are required. Keys that do not change the shape (dropout, token ids, rope scaling) are ignored,
as Hugging Face ignores keys it does not know; keys that stand for parameters which `ModelSpec` cannot
count (query and key norms, cross attention, latent attention, shared experts) are refused.

Not modelled: sliding-window and local attention, which count as the full square; a masked-language head
without pooler, which counts as BERT's pre-training head, 0.5 % more parameters for BERT-base.

.. [1] huggingface/transformers v4.46.3, ``src/transformers/models/*/configuration_*.py`` for names and
   defaults, ``modeling_*.py`` for biases and norms; ``btlm`` and ``jais`` from the ``configuration_*.py``
   beside cerebras/btlm-3b-8k-base and inceptionai/jais-13b.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from wsesim.config.catalogue import read_text, shown
from wsesim.config.reading import json_value
from wsesim.errors import ConfigError, did_you_mean

REQUIRED: Final = object()
"""Default of a key that must be there."""

MASKED_SHARE = 0.15
"""Share of positions that a masked-language model predicts; Devlin et al. 2018, arXiv:1810.04805. [-]"""

_LONGEST_VALUE = 40
_LARGEST_NUMBER = 10**18


def value_shown(value: Any) -> str:
    """Quote a value of a foreign file in a message: short, whatever it holds."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        return "a number of absurd size"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


class Section:
    """One mapping of a foreign file: reads keys by type, and notes every problem with its place.

    A read that fails notes its problem and goes on, so that all problems of a file come together.

    Examples
    --------
    >>> problems = []
    >>> section = Section({"n_layer": "twelve"}, "config.json", problems)
    >>> section.count("n_layer")
    >>> problems
    ["config.json: n_layer is 'twelve'; write a whole number of at least 1"]
    """

    def __init__(self, values: Mapping[Any, Any], place: str, problems: list[str], prefix: str = "") -> None:
        self.values = values
        self.place = place
        self.problems = problems
        self.prefix = prefix

    def has(self, name: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(name) is not None

    def problem(self, name: str, finding: str) -> None:
        """Note one finding, with its remedy, about one key."""
        self.problems.append(f"{self.place}: {self.prefix}{name} {finding}")

    def raw(self, names: Iterable[str], default: Any = None, null: bool = False) -> tuple[str, Any]:
        """Return the spelling that the file uses for a key, and its value as it stands.

        An explicit null is like a key left out, except where `null` makes it a value of its own.
        """
        spellings = tuple(names)
        known = [name for name in spellings if name in self.values and (null or self.has(name))]
        if not known:
            if default is REQUIRED:
                self.problem(spellings[0], "is missing; add it")
            return spellings[0], None if default is REQUIRED else default
        values = [self.values[name] for name in known]
        if any(value != values[0] for value in values[1:]):
            self.problem(known[0], f"and {known[1]} name the same thing but differ; keep one of them")
        return known[0], values[0]

    def count(self, *names: str, default: Any = REQUIRED, null: bool = False, at_least: int = 1) -> int | None:
        """Read a whole number."""
        name, value = self.raw(names, default, null)
        if value is None or (type(value) is int and value >= at_least):
            return value
        self.problem(name, f"is {value_shown(value)}; write a whole number of at least {at_least}")
        return None

    def flag(self, *names: str, default: Any = REQUIRED) -> bool:
        """Read a switch."""
        name, value = self.raw(names, default)
        if value is not None and not isinstance(value, bool):
            self.problem(name, f"is {value_shown(value)}; write true or false")
        return value is True

    def word(self, *names: str, known: Iterable[str], default: Any = REQUIRED) -> str | None:
        """Read one of the known words, in upper or lower case."""
        name, value = self.raw(names, default)
        words = tuple(known)
        if value is None or (isinstance(value, str) and value.lower() in words):
            return None if value is None else str(value).lower()
        hint = did_you_mean(value.lower(), words) if isinstance(value, str) else ""
        finding = f"is {value_shown(value)}, which is not supported{hint}"
        self.problem(name, f"{finding}; known are {', '.join(words)}")
        return None

    def section(self, name: str) -> Section:
        """Open the mapping under a key; an empty one where the key is left out."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.problem(name, f"is {value_shown(value)}; write a mapping of keys")
        inner = value if isinstance(value, Mapping) else {}
        return Section(inner, self.place, self.problems, f"{self.prefix}{name}.")

    def refuse(self, names: Iterable[str], remedy: str) -> None:
        """Note every key of `names` that is switched on."""
        for name in names:
            value = self.values.get(name)
            if value:
                self.problem(name, f"is {value_shown(value)}, whose parameters are not modelled; {remedy}")


def raise_problems(problems: Iterable[str]) -> None:
    """One error with all problems of a file, if there are any."""
    lines = dict.fromkeys(problems)
    if lines:
        raise ConfigError("\n".join(lines))


def model_name(path: Path, anonymous: Iterable[str]) -> str:
    """Name a model after its file, or after the folder of a file that is called like all others.

    Examples
    --------
    >>> model_name(Path("models/gpt2-xl/config.json"), ["config"])
    'gpt2-xl'
    """
    named = path.absolute().parent.name if path.stem.lower() in anonymous else path.stem
    return (named or path.stem)[:200]


# What follows is the table; an entry is a constant, or reads its value from the file.

Read = Callable[[Section], Any]
Entries = Mapping[str, Read | str | bool]


def _count(*names: str, default: Any = REQUIRED, null: bool = False, at_least: int = 1) -> Read:
    return lambda config: config.count(*names, default=default, null=null, at_least=at_least)


def _flag(name: str, default: bool) -> Read:
    return lambda config: config.flag(name, default=default)


def _tied(default: bool) -> Read:
    return _flag("tie_word_embeddings", default)


def _key_value_heads_if(name: str, default: bool) -> Read:
    """One head of keys and values where a switch asks for multi-query attention."""
    return lambda config: 1 if config.flag(name, default=default) else None


def _opt_positions(config: Section) -> int | None:
    """OPT keeps two rows more than it has positions (``OPTLearnedPositionalEmbedding``)."""
    rows = config.count("max_position_embeddings", default=2048)
    return None if rows is None else rows + 2


def _opt_final_norm(config: Section) -> bool:
    """Post-norm models (OPT-350M) end without one."""
    removed = config.flag("_remove_final_layer_norm", default=False)
    return config.flag("do_layer_norm_before", default=True) and not removed


def _opt_normalization(config: Section) -> str:
    if not config.flag("layer_norm_elementwise_affine", default=True):
        config.problem(
            "layer_norm_elementwise_affine",
            "is false, and norms without parameters are not modelled; set it to true",
        )
    return "layernorm"


def _falcon_key_value_heads(config: Section) -> int | None:
    """``num_kv_heads`` counts in the new architecture only; before it, one or all."""
    if config.flag("new_decoder_architecture", default=False):
        return config.count("num_kv_heads", default=None)
    return 1 if config.flag("multi_query", default=True) else None


def _falcon_shared_norm(config: Section) -> bool:
    """Parallel blocks have one norm, in the new architecture two unless the file says one."""
    new = config.flag("new_decoder_architecture", default=False)
    norms = config.count("num_ln_in_parallel_attn", default=2 if new else 1)
    parallel = config.flag("parallel_attn", default=True)
    return parallel and norms != 2


def _learned_or_alibi(config: Section) -> str | None:
    return config.word("position_embedding_type", known=("learned", "alibi"), default="learned")


def _swiglu(config: Section) -> bool:
    name, value = config.raw(["activation_function"], "gelu_new")
    if not isinstance(value, str):
        config.problem(name, f"is {value_shown(value)}; write the name of a function")
    return bool(value == "swiglu")


def _absolute(config: Section) -> str:
    """BERT's relative positions own one table in every block."""
    config.word("position_embedding_type", known=("absolute",), default="absolute")
    return "learned"


def _masked_positions(config: Section) -> int | None:
    """15 % of the longest sequence under a language-model head, none under a classifier."""
    if any(name.endswith("ForSequenceClassification") for name in _architectures(config)):
        return 0
    rows = config.count("max_position_embeddings", default=512)
    return None if rows is None else max(1, round(MASKED_SHARE * rows))


_SIZES: Entries = {
    "hidden_size": _count("hidden_size"),
    "num_layers": _count("num_hidden_layers"),
    "num_attention_heads": _count("num_attention_heads"),
    "vocab_size": _count("vocab_size"),
}

_GPT2: Entries = {
    "hidden_size": _count("n_embd", "hidden_size"),
    "num_layers": _count("n_layer", "num_hidden_layers"),
    "num_attention_heads": _count("n_head", "num_attention_heads"),
    "vocab_size": _count("vocab_size"),
    "intermediate_size": _count("n_inner", default=None),
    "max_position_embeddings": _count("n_positions", "max_position_embeddings", default=1024),
    "position_embedding": "learned",
    "tie_embeddings": _tied(True),
}

_GPTJ: Entries = {
    **_GPT2,
    "position_embedding": "rotary",
    "parallel_block": True,
    "shared_norm": True,
    "qkv_bias": False,
    "attention_output_bias": False,
    "lm_head_bias": True,
    "tie_embeddings": _tied(False),
}

_LLAMA: Entries = {
    **_SIZES,
    "intermediate_size": _count("intermediate_size", default=11_008),
    "num_key_value_heads": _count("num_key_value_heads", default=None),
    "head_dim": _count("head_dim", default=None),
    "position_embedding": "rotary",
    "normalization": "rmsnorm",
    "gated_mlp": True,
    "qkv_bias": _flag("attention_bias", False),
    "attention_output_bias": _flag("attention_bias", False),
    "mlp_bias": _flag("mlp_bias", False),
    "tie_embeddings": _tied(False),
}

_MISTRAL: Entries = {
    **_LLAMA,
    "intermediate_size": _count("intermediate_size", default=14_336),
    "num_key_value_heads": _count("num_key_value_heads", default=8, null=True),
    "qkv_bias": False,
    "attention_output_bias": False,
    "mlp_bias": False,
}

_BERT: Entries = {
    **_SIZES,
    "intermediate_size": _count("intermediate_size", default=3072),
    "max_position_embeddings": _count("max_position_embeddings", default=512),
    "position_embedding": _absolute,
    "type_vocab_size": _count("type_vocab_size", default=2, at_least=0),
    "tie_embeddings": _tied(True),
    "causal": False,
    "embedding_norm": True,
    "final_norm": False,
    "masked_positions": _masked_positions,
}

_BTLM: Entries = {**_GPT2, "position_embedding": _learned_or_alibi, "gated_mlp": _swiglu}

FAMILIES: dict[str, Entries] = {
    "bert": _BERT,
    "bloom": {
        "hidden_size": _count("hidden_size", "n_embed"),
        "num_layers": _count("n_layer", "num_hidden_layers"),
        "num_attention_heads": _count("n_head", "num_attention_heads"),
        "vocab_size": _count("vocab_size"),
        "position_embedding": "alibi",
        "embedding_norm": True,
        "tie_embeddings": _tied(True),
    },
    "btlm": _BTLM,
    "codegen": _GPTJ,
    "falcon": {
        **_SIZES,
        "hidden_size": _count("hidden_size", "n_embed"),
        "intermediate_size": _count("ffn_hidden_size", default=None),
        "num_key_value_heads": _falcon_key_value_heads,
        "position_embedding": lambda config: "alibi" if config.flag("alibi", default=False) else "rotary",
        "parallel_block": _flag("parallel_attn", True),
        "shared_norm": _falcon_shared_norm,
        "qkv_bias": _flag("bias", False),
        "attention_output_bias": _flag("bias", False),
        "mlp_bias": _flag("bias", False),
        "tie_embeddings": _tied(True),
    },
    "gemma": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size", default=24_576),
        "num_key_value_heads": _count("num_key_value_heads", default=16),
        "head_dim": _count("head_dim", default=256),
        "mlp_bias": False,
        "tie_embeddings": _tied(True),
    },
    "gpt2": _GPT2,
    "gpt_bigcode": {**_GPT2, "num_key_value_heads": _key_value_heads_if("multi_query", True)},
    "gpt_neo": {
        "hidden_size": _count("hidden_size"),
        "num_layers": _count("num_layers", "num_hidden_layers"),
        "num_attention_heads": _count("num_heads", "num_attention_heads"),
        "vocab_size": _count("vocab_size"),
        "intermediate_size": _count("intermediate_size", default=None),
        "max_position_embeddings": _count("max_position_embeddings", default=2048),
        "position_embedding": "learned",
        "qkv_bias": False,
        "tie_embeddings": _tied(True),
    },
    "gpt_neox": {
        **_SIZES,
        "intermediate_size": _count("intermediate_size", default=24_576),
        "position_embedding": "rotary",
        "parallel_block": _flag("use_parallel_residual", True),
        "qkv_bias": _flag("attention_bias", True),
        "attention_output_bias": _flag("attention_bias", True),
        "tie_embeddings": _tied(False),
    },
    "gptj": _GPTJ,
    "granite": _LLAMA,
    "jais": _BTLM,
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "mixtral": {
        **_MISTRAL,
        "num_experts": _count("num_local_experts", default=8),
        "experts_per_token": _count("num_experts_per_tok", default=2),
    },
    "opt": {
        **_SIZES,
        "intermediate_size": _count("ffn_dim", default=3072),
        "embedding_size": _count("word_embed_proj_dim", default=None),
        "max_position_embeddings": _opt_positions,
        "position_embedding": "learned",
        "normalization": _opt_normalization,
        "final_norm": _opt_final_norm,
        "qkv_bias": _flag("enable_bias", True),
        "attention_output_bias": _flag("enable_bias", True),
        "mlp_bias": _flag("enable_bias", True),
        "tie_embeddings": _tied(True),
    },
    "phi": {
        **_SIZES,
        "intermediate_size": _count("intermediate_size", default=8192),
        "num_key_value_heads": _count("num_key_value_heads", default=None),
        "position_embedding": "rotary",
        "parallel_block": True,
        "shared_norm": True,
        "lm_head_bias": True,
        "tie_embeddings": _tied(False),
    },
    "phi3": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size", default=8192),
        "qkv_bias": False,
        "attention_output_bias": False,
        "mlp_bias": False,
    },
    "qwen2": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size", default=22_016),
        "num_key_value_heads": _count("num_key_value_heads", default=32, null=True),
        "qkv_bias": True,
        "attention_output_bias": False,
        "mlp_bias": False,
    },
    "roberta": _BERT,
    "stablelm": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size", default=6912),
        "num_key_value_heads": _count("num_key_value_heads", default=32),
        "normalization": "layernorm",
        "parallel_block": _flag("use_parallel_residual", False),
        "shared_norm": _flag("use_parallel_residual", False),
        "qkv_bias": _flag("use_qkv_bias", False),
        "attention_output_bias": False,
        "mlp_bias": False,
    },
    "starcoder2": {
        **_LLAMA,
        "intermediate_size": _count("intermediate_size", default=12_288),
        "num_key_value_heads": _count("num_key_value_heads", default=2),
        "normalization": "layernorm",
        "gated_mlp": False,
        "qkv_bias": _flag("use_bias", True),
        "attention_output_bias": _flag("use_bias", True),
        "mlp_bias": _flag("use_bias", True),
        "tie_embeddings": _tied(True),
    },
    "xlm-roberta": _BERT,
}
"""`ModelSpec` fields of every supported ``model_type``."""

_NOT_MODELLED = (
    "add_cross_attention",
    "is_encoder_decoder",
    "kv_lora_rank",
    "moe_num_experts",
    "n_routed_experts",
    "n_shared_experts",
    "num_experts",
    "num_nextn_predict_layers",
    "num_shared_experts",
    "pruned_heads",
    "q_lora_rank",
    "qk_layernorm",
    "qk_norm",
    "shared_expert_intermediate_size",
    "text_config",
    "use_qk_norm",
    "vision_config",
)
"""Keys that add or remove parameters in a way that `ModelSpec` cannot count."""

_DECODER_HEADS = ("ForCausalLM", "LMHeadModel", "Model")
_ENCODER_HEADS = ("ForPreTraining", "ForMaskedLM", "ForSequenceClassification", "Model")


def _architectures(config: Section) -> list[str]:
    """Names of the classes that the weights were saved from."""
    value = config.values.get("architectures")
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    config.problem("architectures", f"is {value_shown(value)}; write a list of class names, or leave it out")
    return []


def _check_head(config: Section, causal: bool) -> None:
    """Only heads whose parameters and FLOP are counted."""
    heads = _DECODER_HEADS if causal else _ENCODER_HEADS
    for name in _architectures(config):
        if not name.endswith(heads):
            finding = f"has {value_shown(name)}, whose head is not modelled"
            config.problem("architectures", f"{finding}; use one that ends in {', '.join(heads)}")


def _check_additions(config: Section, causal: bool) -> None:
    """Nothing that would change the parameter count behind our back."""
    names = _NOT_MODELLED if causal else [*_NOT_MODELLED, "is_decoder"]
    config.refuse(names, "switch it off, or write the fields of [model] inline")


def _read_document(path: Path) -> Any:
    return json_value(read_text(path), shown(path))


def _family(config: Section) -> Entries:
    """Find the table entry of the file's ``model_type``."""
    name, value = config.raw(["model_type"], REQUIRED)
    supported = ", ".join(FAMILIES)
    if value is None:
        raise ConfigError(f"{config.place}: model_type is missing; add it, one of {supported}")
    if isinstance(value, str) and value in FAMILIES:
        return FAMILIES[value]
    hint = did_you_mean(value, FAMILIES) if isinstance(value, str) else ""
    raise ConfigError(
        f"{config.place}: {name} is {value_shown(value)}, which is not supported{hint}; "
        f"supported are {supported}, or write the fields of [model] inline"
    )


def _fields(config: Section, entries: Entries) -> dict[str, Any]:
    read = {field: entry(config) if callable(entry) else entry for field, entry in entries.items()}
    if read["position_embedding"] != "learned":
        read.pop("max_position_embeddings", None)  # rows of a table that such a model does not have
    return {field: value for field, value in read.items() if value is not None}


def read_huggingface(path: Path) -> dict[str, Any]:
    """Read a Hugging Face ``config.json`` as plain `ModelSpec` field values.

    Parameters
    ----------
    path
        The file; nothing is downloaded.

    Returns
    -------
    dict
        Fields of `ModelSpec`. ``name`` is that of the file, or of its folder for a ``config.json``.
        ``masked_positions`` of an encoder is 15 % of its longest sequence, since the file does not say.

    Raises
    ------
    ConfigError
        Not readable, not JSON, an unsupported ``model_type``, or keys that are missing, of a wrong type or
        not modelled; all problems of the file together.
    """
    document = _read_document(path)
    place = shown(path)
    if not isinstance(document, dict):
        raise ConfigError(f"{place}: holds {value_shown(document)}; a config.json is one mapping of keys")
    problems: list[str] = []
    config = Section(document, place, problems)
    entries = _family(config)
    causal = entries.get("causal", True) is True
    _check_additions(config, causal)
    _check_head(config, causal)
    fields = _fields(config, entries)
    raise_problems(problems)
    return {"name": model_name(path, ["config"]), **fields}

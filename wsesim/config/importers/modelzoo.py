"""Reads a model and its training from the params file of a Cerebras Model Zoo run.

Both layouts are read [1]_: the flat one (top-level ``model``, ``train_input``, ``optimizer``, ``runconfig``)
and the one around a top-level ``trainer`` (``init`` and ``fit``). A `Layout` says where each thing lies;
everything after it is the same for both.

The names of the releases are kept, so are their meanings: ``batch_size`` counts the sequences of one
optimizer step over all systems, ``micro_batch_size`` those of one system and pass, and ``num_kv_groups``
the heads of keys and values. What releases disagree about is not guessed: a GPT-J file has to state its
switches, and a rotary model has to say whether its blocks are parallel.

Not modelled: ``fixed_sparse_attention`` and sliding windows, which count as the full square; BERT without
next-sentence prediction, which keeps its pooler (0.5 % more parameters for BERT-base).
``position_embedding_type: relative`` is refused: it is T5's small table of biases, not the projection per
block that `ModelSpec` calls relative.

.. [1] Cerebras Model Zoo, github.com/Cerebras/modelzoo: R1.6-R2.2 ``*/configs/params_*.yaml`` (flat),
   R2.3 and later ``models/nlp/*/configs/params_*.yaml`` (trainer), and the training documentation's
   pages on YAML parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsesim.config.catalogue import shown
from wsesim.config.importers.huggingface import MASKED_SHARE, REQUIRED, Section, model_name, raise_problems, value_shown
from wsesim.config.reading import yaml_value
from wsesim.errors import ConfigError, did_you_mean

Fields = dict[str, Any]
Family = Literal["gpt", "gptj", "bert", "classifier"]

NAMES: dict[str, Family] = {
    **dict.fromkeys(("gpt2", "gpt3", "cerebras_gpt", "bloom", "btlm", "jais"), "gpt"),
    **dict.fromkeys(("llama", "llama2", "llama3", "mistral", "mixtral", "santacoder", "starcoder"), "gpt"),
    **dict.fromkeys(("gptj", "gpt-j", "gpt_neox", "gpt-neox", "neox", "falcon", "codegen"), "gptj"),
    **dict.fromkeys(("bert", "roberta", "bert/pretrain"), "bert"),
    **dict.fromkeys(("bert/classifier", "bert/sequence_classifier"), "classifier"),
}
"""What ``model.name`` says about the blocks: one after the other, parallel, or an encoder's."""

_BERT_MARKS = ("mlm_loss_weight", "disable_nsp", "encoder_nonlinearity", "mlm_nonlinearity", "num_segments")
_POSITIONS = {"learned": "learned", "fixed": "none", "rotary": "rotary", "alibi": "alibi"}
_GATED = frozenset({"swiglu", "geglu", "reglu", "bilinear", "glu"})
_OPTIMIZERS = ("adamw", "adam", "lion", "sgd")
_FP16_TYPES = ("cbfloat16", "bfloat16", "float16")
_ALGORITHMS = ("static", "sideband", "set", "rigl")
_NOT_MODELLED = ("lora_params", "attention_qk_norm_layer")
_MICRO_BATCH_FLAG = "csx.performance.micro_batch_size"


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
    sparsity
        Holds ``sparsity``.
    """

    model: Section
    data: Section
    optimizer: Section
    precision: Section
    clipping: Section
    loop: Section
    cluster: Section
    sparsity: Section


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
    """Find the sections of the layout from release 2.3 on."""
    trainer = document.section("trainer")
    init = trainer.section("init")
    if not init.has("model"):
        init.problem("model", "is missing; add it, it describes what is trained")
    data = trainer.section("fit").section("train_dataloader")
    precision = init.section("precision")
    return Layout(
        model=init.section("model"),
        data=_with_micro_batch_flag(data, init),
        optimizer=_named_optimizer(init.section("optimizer")),
        precision=precision,
        clipping=precision,
        loop=init.section("loop"),
        cluster=init.section("backend").section("cluster_config"),
        sparsity=_sparsity_section(init),
    )


def _layout(document: Section) -> Layout:
    if document.has("trainer"):
        return _trainer(document)
    if document.has("model"):
        return _flat(document)
    raise ConfigError(
        f"{document.place}: has neither a model nor a trainer section; give a params file of the Model Zoo, "
        "or write the fields of [model] inline"
    )


def _with(section: Section, extra: Fields) -> Section:
    return Section({**section.values, **extra}, section.place, section.problems, section.prefix)


def _with_micro_batch_flag(data: Section, init: Section) -> Section:
    """Return the data section, with the micro-batch that a flag among the callbacks sets."""
    callbacks = init.values.get("callbacks")
    for callback in callbacks if isinstance(callbacks, list) else []:
        for flags in callback.values() if isinstance(callback, dict) else []:
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
    """Open the sparsity section; a bare number stands for a static one."""
    value = parent.values.get("sparsity")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Section({"sparsity": value}, parent.place, parent.problems, f"{parent.prefix}sparsity.")
    return parent.section("sparsity")


# The model


def _family(layout: Layout) -> Family | None:
    """Tell the kind of blocks from the model's name, or from keys that only one kind has."""
    model = layout.model
    if model.has("name"):
        name = model.word("name", known=NAMES)
        return NAMES[name] if name else None
    if model.has("num_classes"):
        return "classifier"
    if any(model.has(mark) for mark in _BERT_MARKS) or layout.data.has("max_predictions_per_seq"):
        return "bert"
    rotary = model.values.get("position_embedding_type") == "rotary"
    if model.has("use_untied_layer_norm") or (rotary and model.values.get("use_bias_in_output") is True):
        return "gptj"
    if rotary and not _is_gated(model) and model.values.get("norm_type", "layernorm") == "layernorm":
        model.problem(
            "use_untied_layer_norm",
            "is missing, so the blocks may be GPT-J's or GPT-2's; add it (true or false) if attention and "
            "MLP are parallel, or add name: gpt2 if one follows the other",
        )
    return "gpt"


def _is_gated(model: Section, key: str = "nonlinearity") -> bool:
    name, value = model.raw([key], "gelu")
    if not isinstance(value, str):
        model.problem(name, f"is {value_shown(value)}; write the name of a function")
    return isinstance(value, str) and value.lower() in _GATED


def _sizes(model: Section) -> Fields:
    return {
        "hidden_size": model.count("hidden_size"),
        "num_layers": model.count("num_hidden_layers"),
        "num_attention_heads": model.count("num_heads"),
        "intermediate_size": model.count("filter_size"),
        "vocab_size": model.count("vocab_size"),
    }


def _positions(model: Section) -> Fields:
    """Kind of position embedding, and the rows of a learned one."""
    without = "position_embedding_type" in model.values and not model.has("position_embedding_type")
    if without or not model.flag("use_position_embedding", default=True):
        return {"position_embedding": "none"}
    word = model.word("position_embedding_type", known=_POSITIONS, default="learned")
    kind = _POSITIONS[word] if word else None
    rows = model.count("max_position_embeddings", default=None)
    return {"position_embedding": kind, "max_position_embeddings": rows if kind == "learned" else None}


def _key_value_heads(model: Section) -> int | None:
    modules = ("aiayn_attention", "multiquery_attention")
    module = model.word("attention_module", known=modules, default="aiayn_attention")
    extra = model.section("extra_attention_params")
    if module == "multiquery_attention":
        return extra.count("num_kv_groups", default=1)
    if extra.has("num_kv_groups"):
        remedy = "set attention_module to multiquery_attention, or remove it"
        extra.problem("num_kv_groups", f"has no effect on {module}; {remedy}")
    return None


def _head_dim(model: Section, heads: int | None) -> int | None:
    width = model.count("attention_inner_dim", default=None)
    if width is None or heads is None:
        return None
    if width % heads:
        finding = f"is {value_shown(width)}, which num_heads does not divide"
        model.problem("attention_inner_dim", f"{finding}; change one of the two")
    return max(1, width // heads)


def _experts(model: Section) -> Fields:
    """Read a mixture under ``moe_params``, or flat among the model's keys."""
    moe = model.section("moe_params") if model.has("moe_params") else model
    experts = moe.count("num_experts", default=1)
    if experts is None or experts == 1:
        return {}
    moe.word("routing_algorithm", known=("learned",), default="learned")
    moe.refuse(["num_shared_experts"], "remove it")
    return {"num_experts": experts, "experts_per_token": moe.count("top_k")}


def _switches(model: Section, stated: bool) -> Fields:
    """Biases and tied tables; the defaults are GPT-2's and BERT's, a GPT-J file states its own."""

    def default(value: bool) -> Any:
        return REQUIRED if stated else value

    return {
        "tie_embeddings": model.flag("share_embedding_weights", default=default(True)),
        "qkv_bias": model.flag("use_projection_bias_in_attention", default=default(True)),
        "attention_output_bias": model.flag("use_ffn_bias_in_attention", default=default(True)),
        "mlp_bias": model.flag("use_ffn_bias", default=default(True)),
    }


def _decoder(model: Section, parallel: bool) -> Fields:
    untied = model.flag("use_untied_layer_norm", default=False)
    return {
        "gated_mlp": _is_gated(model),
        "parallel_block": parallel,
        "shared_norm": parallel and not untied,
        "final_norm": model.flag("norm_first", default=True),
        "embedding_norm": model.flag("embedding_layer_norm", default=False),
        "lm_head_bias": model.flag("use_bias_in_output", default=REQUIRED if parallel else False),
    }


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


def _encoder(layout: Layout, classifier: bool) -> Fields:
    model = layout.model
    return {
        "causal": False,
        "gated_mlp": _is_gated(model, "encoder_nonlinearity"),
        "embedding_norm": True,
        "final_norm": False,
        "type_vocab_size": model.count("num_segments", default=2, at_least=0),
        "masked_positions": 0 if classifier else _masked_positions(layout),
    }


def _model_fields(layout: Layout) -> Fields:
    model, family = layout.model, _family(layout)
    model.refuse(_NOT_MODELLED, "remove it, or write the fields of [model] inline")
    sizes = _sizes(model)
    fields = {
        **sizes,
        **_positions(model),
        **_experts(model),
        **_switches(model, stated=family == "gptj"),
        "normalization": model.word("norm_type", known=("layernorm", "rmsnorm"), default="layernorm"),
        "num_key_value_heads": _key_value_heads(model),
        "head_dim": _head_dim(model, sizes["num_attention_heads"]),
    }
    if family in ("bert", "classifier"):
        fields |= _encoder(layout, classifier=family == "classifier")
    else:
        fields |= _decoder(model, parallel=family == "gptj")
    return fields


# The training


def _number(section: Section, name: str, below: float) -> float | None:
    """Read a number of at least 0 and less than `below`."""
    value = section.values.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < below:
        return float(value)
    section.problem(name, f"is {value_shown(value)}; write a number from 0 to {below:g}, such as 0.5")
    return None


def _micro_batch_size(data: Section) -> int | str | None:
    """Read a number, or "auto" where the software is to search; a null leaves the choice open."""
    value = data.values.get("micro_batch_size")
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
    value = section.values.get("optimizer_type")
    if value is None or (isinstance(value, str) and value.lower() in _OPTIMIZERS):
        return None if value is None else str(value).lower()
    hint = did_you_mean(value.lower(), _OPTIMIZERS) if isinstance(value, str) else ""
    finding = f"is {value_shown(value)}, which is not modelled{hint}"
    section.problem("optimizer_type", f"{finding}; use one of {', '.join(_OPTIMIZERS)}")
    return None


def _weight_sparsity(section: Section) -> float | None:
    """Share of zero weights where it stays the same over the run."""
    section.word("algorithm", "type", known=_ALGORITHMS, default=None)
    return _number(section, "sparsity", below=1)


def _training_fields(layout: Layout) -> Fields:
    return {
        "sequence_length": layout.data.count("max_sequence_length", default=None),
        "global_batch_size": layout.data.count("batch_size", default=None),
        "micro_batch_size": _micro_batch_size(layout.data),
        "precision": _precision(layout.precision),
        "optimizer": _optimizer(layout.optimizer),
        "max_gradient_norm": _number(layout.clipping, "max_gradient_norm", below=1e9),
        "weight_sparsity": _weight_sparsity(layout.sparsity),
        "steps": layout.loop.count("max_steps", default=None),
        "num_systems": layout.cluster.count("num_csx", default=None),
    }


# The file


def _without_nothing(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def read_modelzoo(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a Model Zoo params file.

    Parameters
    ----------
    path
        A YAML file in the flat or in the trainer layout.

    Returns
    -------
    tuple of dict
        Fields of `ModelSpec`, and the fields of `TrainingSpec` that the file states. ``num_csx`` is among
        the latter as ``num_systems``; it belongs to the cluster.

    Raises
    ------
    ConfigError
        Not readable, not YAML, no such layout, or keys that are missing, of a wrong type or not modelled;
        all problems of the file together.
    """
    place = shown(path)
    document = yaml_value(path, place)
    if not isinstance(document, dict):
        raise ConfigError(f"{place}: holds {value_shown(document)}; a params file is one mapping of sections")
    problems: list[str] = []
    layout = _layout(Section(document, place, problems))
    model, training = _model_fields(layout), _training_fields(layout)
    raise_problems(problems)
    name = model_name(path, ["params"]).removeprefix("params_")
    return {"name": name, **_without_nothing(model)}, _without_nothing(training)

"""Reads the arguments of Megatron-LM: the block of lines that a run prints, or the flags of a launch script.

`num_layers ...... 96` and ``--num-layers 96`` say the same. Variables that a script sets itself are followed; nothing is
executed. Model, batch, precision and plan are taken as Megatron-LM means them [1]_. `MATTER` names flags that change the time of
a step and are not read; a flag of which nothing is known is named as well.

.. [1] NVIDIA/Megatron-LM, ``megatron/training/arguments.py``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsesim.config.catalogue import read_text, shown
from wsesim.config.importers.section import REQUIRED, Fields, Imported, Section, model_name, raise_problems
from wsesim.errors import ConfigError

SUFFIXES: Final = (".txt", ".log", ".sh", ".args", ".out", ".slurm", ".sbatch", ".bash", ".cmd", "")
"""Ends of files that are read as arguments."""
_PRINTED = re.compile(r"^(?:\S*\d+\S*[:>]\s*)*\s{0,4}([a-z][a-z0-9_]+) \.{2,} ?(.*)$")
_WORLD = re.compile(r"using world size: (\d+)", re.IGNORECASE)
_ASSIGNED = re.compile(r"^\s*(?:export\s+|local\s+|declare\s+)?([A-Za-z_]\w*)=(.*)$")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")
_PRODUCT = re.compile(r"\$\(\(([\d\s*+/()-]+)\)\)")
_FEWEST = 3
"""Arguments below which a text is something else. [-]"""
_LONGEST_LINE, _MOST_ROUNDS = 20_000, 10

VOCABULARIES: Final = {"GPT2BPETokenizer": 50_257, "Llama2Tokenizer": 32_000, "BertWordPieceLowerCase": 30_522}
"""Sizes of tokenizers that need no file to be known. [-]"""

Entry = Callable[[Section], Any]


def _value(text: str) -> Any:
    """One printed value as Python has it."""
    word = text.strip()
    if word in ("None", "null", ""):
        return None
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            return kind(word.replace("_", "") if kind is int else word)
        except ValueError:
            continue
    return word


def _printed(lines: Iterable[str]) -> dict[str, Any]:
    """``num_layers ....... 96`` as a mapping."""
    found: dict[str, Any] = {}
    for line in lines:
        match = _PRINTED.match(line[:_LONGEST_LINE])
        if match is not None:
            found[match[1]] = _value(match[2])
        elif world := _WORLD.search(line):
            found.setdefault("world_size", int(world[1]))
    return found


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with the variables of its script filled in, and products of whole numbers worked out."""
    for _ in range(_MOST_ROUNDS):
        filled = _VARIABLE.sub(
            lambda one: variables.get(one[1] or one[3], one[2] if one[2] is not None else one[0]), text
        )
        filled = _PRODUCT.sub(lambda one: _product(one[1]), filled)
        if filled == text or len(filled) > _LONGEST_LINE:
            break
        text = filled
    return text


def _product(text: str) -> str:
    factors = text.replace(" ", "").split("*")
    if not all(factor.isdigit() and len(factor) < 10 for factor in factors):
        return text
    whole = 1
    for factor in factors:
        whole *= int(factor)
    return str(whole)


def _script_variables(lines: Iterable[str]) -> dict[str, str]:
    """What a script sets, in order; lists of flags among them."""
    found: dict[str, str] = {}
    for line in lines:
        match = _ASSIGNED.match(line)
        if match is not None:
            found[match[1]] = _filled(match[2].split(" #")[0].strip().strip("\"'"), found)
    return found


def _flags(text: str) -> dict[str, Any]:
    """``--num-layers 96`` as a mapping; a flag without a value is a switch."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    variables = _script_variables(lines)
    found: dict[str, Any] = {}
    for word, value in _pairs(_words(_filled(line[:_LONGEST_LINE], variables) for line in lines)):
        name = word.lstrip("-").replace("-", "_")
        found[name] = True if value is None else _value(_filled(value, variables))
    nodes, each = (
        _number(found, variables, "nnodes", "NNODES"),
        _number(found, variables, "nproc_per_node", "GPUS_PER_NODE"),
    )
    if nodes and each:
        found.setdefault("world_size", nodes * each)
    return found


def _number(found: Mapping[str, Any], variables: Mapping[str, str], flag: str, name: str) -> int:
    value = found.get(flag, variables.get(name))
    text = str(value)
    return int(text) if text.isdigit() and len(text) < 9 else 0


def _words(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        try:
            yield from shlex.split(line, comments=True)
        except ValueError:
            yield from line.split()


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Flags with their first value; of `_LISTS` all values as one text."""
    name, values = "", list[str]()
    for word in (part for one in words for part in one.strip("()\"'").split()):
        if re.match(r"^--[A-Za-z]", word):
            if name:
                yield name, _joined(name, values)
            name, equals, value = word.partition("=")
            values = [value] if equals else []
        else:
            values.append(word)
    if name:
        yield name, _joined(name, values)


_LISTS = ("--recompute-modules", "--window-size")


def _joined(name: str, values: list[str]) -> str | None:
    return None if not values else " ".join(values) if name in _LISTS else values[0]


# What each argument means


def _size(*names: str, default: Any = None, at_least: int = 1) -> Entry:
    return lambda args: args.count(*names, default=default, at_least=at_least)


def _switch(name: str, default: bool = False) -> Entry:
    return lambda args: args.flag(name, default=default)


def _vocab_size(args: Section) -> int | None:
    """The padded one is what is computed; a script says at most the tokenizer."""
    padded = args.count("padded_vocab_size", default=None)
    if padded is not None:
        return padded
    tokenizer = args.get("tokenizer_type")
    size = args.count("vocab_size", default=VOCABULARIES.get(tokenizer) if isinstance(tokenizer, str) else None)
    if size is None and "gpt2" in str(args.get("vocab_file")).lower():
        size = VOCABULARIES["GPT2BPETokenizer"]
    if size is None:
        finding = "is the tokenizer's, which is not known here"
        args.problem("vocab_size", f"{finding}; write it into [model], for example vocab_size = 50_257")
        return None
    multiple = (args.count("make_vocab_size_divisible_by", default=128) or 1) * (_tensor(args) or 1)
    return -(-size // multiple) * multiple


def _tensor(args: Section) -> int | None:
    return args.count("tensor_model_parallel_size", "model_parallel_size", default=1)


def _is_rotary(args: Section) -> bool:
    return args.flag("use_rotary_position_embeddings", default=False) or args.get("position_embedding_type") == "rope"


def _position(args: Section) -> str | None:
    words = {"learned_absolute": "learned", "rope": "rotary", "none": "none", "alibi": "alibi", "yarn": "rotary"}
    if _is_rotary(args):
        return "rotary"
    word = args.word("position_embedding_type", known=words, default="learned_absolute")
    return words[word] if word else None


def _biases(args: Section) -> bool:
    return args.flag("add_bias_linear", default=True) and not args.flag("disable_bias_linear", default=False)


def _width(args: Section) -> int | None:
    """Two thirds of it where the MLP is gated and the width is left to Megatron-LM."""
    width, hidden = args.count("ffn_hidden_size", default=None), args.count("hidden_size", default=None)
    if width is not None or hidden is None or not args.flag("swiglu", default=False):
        return width
    return int(4 * hidden * 2 / 3) // 64 * 64


def _groups(args: Section) -> int | None:
    return args.count("num_query_groups", default=1) if args.flag("group_query_attention", default=False) else None


def _latent(*names: str, default: Any = None) -> Entry:
    def read(args: Section) -> int | None:
        return args.count(*names, default=default) if args.flag("multi_latent_attention", default=False) else None

    return read


def _head_dim(args: Section) -> int | None:
    return None if args.flag("multi_latent_attention", default=False) else args.count("kv_channels", default=None)


def _experts(args: Section) -> int | None:
    return args.count("num_experts", "num_moe_experts", default=1)


def _of_experts(*names: str, default: Any = None) -> Entry:
    return lambda args: args.count(*names, default=default) if (_experts(args) or 1) > 1 else None


def _window(args: Section) -> int | None:
    """``(127, 0)`` are the keys before a token, and those behind it."""
    match = re.match(r"\(?\[?\s*(\d+)", str(args.get("window_size")))
    return int(match[1]) + 1 if match else None


def _sparse_layers(args: Section) -> tuple[int, int]:
    """Leading blocks without experts, and every how manieth block has some."""
    value = args.get("moe_layer_freq")
    if isinstance(value, int) and value > 1:
        return 0, value
    numbers = _listed(str(value)) if isinstance(value, str) else []
    dense = next((place for place, one in enumerate(numbers) if one), 0)
    if numbers and numbers != [0] * dense + [1] * (len(numbers) - dense):
        args.problem("moe_layer_freq", f"is {value}, and only leading blocks without experts are modelled")
    return dense, 1


def _listed(text: str) -> list[int]:
    """``([0]*3+[1]*58)`` or ``[0, 1, 1]``."""
    found: list[int] = []
    for inner, times in re.findall(r"\[([\d,\s]*)\](?:\s*\*\s*(\d+))?", text):
        numbers = [int(one) for one in inner.split(",") if one.strip()]
        found += numbers * min(int(times or 1), 4096)
    return found[:4096]


MODEL: dict[str, Entry | bool] = {
    "num_layers": lambda args: args.count("num_layers", "encoder_num_layers"),
    "hidden_size": lambda args: args.count("hidden_size"),
    "num_attention_heads": lambda args: args.count("num_attention_heads"),
    "intermediate_size": _width,
    "vocab_size": _vocab_size,
    "num_key_value_heads": _groups,
    "head_dim": _head_dim,
    "max_position_embeddings": lambda args: (
        args.count("max_position_embeddings", default=None) if _position(args) == "learned" else None
    ),
    "position_embedding": _position,
    "gated_mlp": _switch("swiglu"),
    "normalization": lambda args: args.word("normalization", known=("layernorm", "rmsnorm"), default="layernorm"),
    "tie_embeddings": lambda args: not args.flag("untie_embeddings_and_output_weights", default=False),
    "qkv_bias": lambda args: _biases(args) or args.flag("add_qkv_bias", default=False),
    "attention_output_bias": _biases,
    "mlp_bias": _biases,
    "qk_norm": lambda args: "head" if args.flag("qk_layernorm", default=False) else None,
    "attention_dropout": lambda args: args.share("attention_dropout", default=0.1),
    "sliding_window": _window,
    "q_lora_rank": _latent("q_lora_rank"),
    "kv_lora_rank": _latent("kv_lora_rank", default=REQUIRED),
    "qk_nope_head_dim": _latent("qk_head_dim", default=128),
    "qk_rope_head_dim": _latent("qk_pos_emb_head_dim", default=64),
    "v_head_dim": _latent("v_head_dim", default=128),
    "num_experts": _of_experts("num_experts", "num_moe_experts"),
    "experts_per_token": _of_experts("moe_router_topk", default=2),
    "moe_intermediate_size": _of_experts("moe_ffn_hidden_size"),
    "shared_expert_intermediate_size": _of_experts("moe_shared_expert_intermediate_size"),
    "first_k_dense_replace": lambda args: _sparse_layers(args)[0] or None,
    "interleave_moe_layer_step": lambda args: _sparse_layers(args)[1] if _sparse_layers(args)[1] > 1 else None,
}


def _precision(args: Section) -> str:
    """Products in 8 or 4 bit go before the type of what is kept."""
    if args.get("fp4") or args.get("fp4_format"):
        return "nvfp4"
    if args.get("fp8") or args.get("fp8_format") or args.get("fp8_hybrid") or args.get("fp8_e4m3"):
        return "mxfp8" if args.get("fp8_recipe") == "mxfp8" else "fp8"
    if args.flag("bf16", default=False):
        return "bfloat16"
    return "float16" if args.flag("fp16", default=False) else "float32"


def _steps(args: Section) -> int | None:
    """Iterations, or the samples that they make."""
    steps, samples = args.count("train_iters", default=None), args.count("train_samples", default=None)
    batch = args.count("global_batch_size", default=None)
    return steps if steps is not None else samples // batch if samples and batch and samples >= batch else None


TRAINING: dict[str, Entry] = {
    "sequence_length": _size("seq_length", "encoder_seq_length", "max_position_embeddings"),
    "global_batch_size": _size("global_batch_size"),
    "micro_batch_size": _size("micro_batch_size"),
    "precision": _precision,
    "optimizer": lambda args: args.word("optimizer", known=("adam", "sgd"), default="adam"),
    "max_gradient_norm": lambda args: (
        float(args.get("clip_grad")) if isinstance(args.get("clip_grad"), int | float) else None
    ),
    "steps": _steps,
}


def _virtual(args: Section) -> int | None:
    """Model chunks of a stage, which older releases say by the layers of one chunk."""
    chunks = args.count("virtual_pipeline_model_parallel_size", "num_virtual_stages_per_pipeline_rank", default=None)
    each, layers = args.count("num_layers_per_virtual_pipeline_stage", default=None), args.get("num_layers")
    stages = args.count("pipeline_model_parallel_size", default=1) or 1
    if chunks is None and each is not None and isinstance(layers, int):
        chunks = max(1, layers // stages // each)
    return chunks or 1


def _zero_stage(args: Section) -> int:
    strategy = {"optim": 1, "optim_grads": 2, "optim_grads_params": 3}.get(
        str(args.get("data_parallel_sharding_strategy"))
    )
    if args.flag("use_torch_fsdp2", default=False) or args.flag("use_megatron_fsdp", "use_custom_fsdp", default=False):
        return strategy or 3
    stage = args.count("zero_stage", default=None, at_least=0)
    return stage if stage is not None else int(args.flag("use_distributed_optimizer", default=False))


_OPERATORS = {
    "core_attn": "attention",
    "layernorm": "layernorm",
    "moe_act": "activation",
    "mlp": "mlp",
    "moe": "moe",
    "mla_up_proj": "qkv",
}
"""Modules of ``--recompute-modules`` and what `RecomputeSpec` calls them."""


def _recompute(args: Section) -> str | dict[str, Any]:
    """Nothing, all, the first blocks of each chunk (``--recompute-method block``), or single modules."""
    granularity = args.word("recompute_granularity", known=("full", "selective"), default=None)
    old = args.flag("checkpoint_activations", default=False) or args.get("activations_checkpoint_method") is not None
    first = args.count("recompute_num_layers", "activations_checkpoint_num_layers", default=None, at_least=0)
    method = args.get("recompute_method") or args.get("activations_checkpoint_method")
    modules = _modules(args)
    if granularity is None:
        selective = args.flag("recompute_activations", default=False)
        granularity = "selective" if selective else "full" if old else "none"
    if granularity == "full" and method == "block" and first is not None:
        return {"blocks": first} if first else "none"
    if granularity == "selective" and modules not in ([], ["attention"]):
        return {"operators": modules}
    return granularity


def _modules(args: Section) -> list[str]:
    words = re.findall(r"\w+", str(args.get("recompute_modules") or ""))
    return list(dict.fromkeys(_OPERATORS[word] for word in words if word in _OPERATORS))


def _attention(args: Section) -> str | None:
    """Transformer Engine, and what is trained with rotary positions, takes a fused kernel; older runs leave it to the cluster."""
    backend = str(args.get("attention_backend")).lower()
    if "unfused" in backend or "local" in backend:
        return "unfused"
    new = (
        args.get("transformer_impl") == "transformer_engine"
        or args.flag("use_mcore_models", default=False)
        or _is_rotary(args)
    )
    if (
        new
        or args.flag("use_flash_attn", default=False)
        or "flash" in backend
        or "fused" in backend
        or "auto" in backend
    ):
        return "flash"
    return None


PARALLELISM: dict[str, Entry] = {
    "tensor_parallel_size": _tensor,
    "pipeline_parallel_size": lambda args: args.count("pipeline_model_parallel_size", default=1),
    "context_parallel_size": lambda args: args.count("context_parallel_size", default=1),
    "expert_parallel_size": lambda args: args.count("expert_model_parallel_size", default=1),
    "expert_tensor_parallel_size": _of_experts("expert_tensor_parallel_size"),
    "virtual_pipeline_size": _virtual,
    "sequence_parallel": _switch("sequence_parallel"),
    "zero_stage": _zero_stage,
    "activation_recompute": _recompute,
    "attention": _attention,
    "overlap_gradient_reduction": lambda args: (
        args.flag("overlap_grad_reduce", default=False) if args.has("overlap_grad_reduce") else None
    ),
    "account_for_embedding": lambda args: args.flag("account_for_embedding_in_pipeline_split", default=False) or None,
    "account_for_loss": lambda args: args.flag("account_for_loss_in_pipeline_split", default=False) or None,
    "num_layers_in_first_pipeline_stage": _size(
        "decoder_first_pipeline_num_layers", "num_layers_in_first_pipeline_stage"
    ),
    "num_layers_in_last_pipeline_stage": _size("decoder_last_pipeline_num_layers", "num_layers_in_last_pipeline_stage"),
    "micro_batch_group_size": _size(
        "microbatch_group_size_per_vp_stage", "microbatch_group_size_per_virtual_pipeline_stage"
    ),
    "reduction_precision": lambda args: (
        "32bit" if args.flag("accumulate_allreduce_grads_in_fp32", default=False) else None
    ),
}


def _software(args: Section) -> dict[str, str] | None:
    """Collectives of tensor parallelism beside products, through user buffers of Transformer Engine."""
    return {"tensor_parallel_overlap": "user_buffers"} if args.flag("tp_comm_overlap", default=False) else None


CLUSTER: dict[str, Entry] = {"num_gpus": _size("world_size"), "software": _software}

MATTER: dict[str, str] = {
    "mtp_num_layers": "modules that predict several tokens are left out",
    "cpu_offloading": "offloading to the host's memory is not simulated",
    "optimizer_cpu_offload": "offloading to the host's memory is not simulated",
    "moe_shared_expert_overlap": "overlap of the shared expert is not simulated",
    "moe_expert_capacity_factor": "dropped tokens are not simulated; routing is balanced",
    "pipeline_model_parallel_layout": "a layout of stages is not read; set parallelism.layers_per_stage",
    "standalone_embedding_stage": "a stage of the embedding alone is not simulated",
    "use_tp_pp_dp_mapping": "the order of ranks is tensor, context, data, pipeline here",
    "rampup_batch_size": "the batch is that at the end of the ramp",
    "num_distributed_optimizer_instances": "the optimizer is shared by the whole data-parallel group",
    "cuda_graph_impl": "CUDA graphs are not simulated",
    "enable_cuda_graph": "CUDA graphs are not simulated",
    "hierarchical_context_parallel_sizes": "one ring of context parallelism is simulated",
    "spec": "layers are those of the other arguments, whatever the spec says",
    "delay_wgrad_compute": "delayed weight gradients are not simulated",
    "overlap_moe_expert_parallel_comm": "overlap of expert-parallel communication is not simulated",
}
"""Arguments that change the time of a step and are not read."""

REFUSED: dict[str, str] = {
    "hybrid_attention_ratio": "has layers of a state space",
    "hybrid_override_pattern": "has layers of a state space",
    "is_hybrid_model": "has layers of a state space",
    "mamba_num_heads": "has layers of a state space",
    "experimental_attention_variant": "has attention that chooses its keys, or none to all of them",
    "linear_attention_type": "has linear attention",
    "linear_attention_freq": "has linear attention",
    "heterogeneous_layers_config_path": "has blocks of unequal width",
    "retro_add_retriever": "reads what it retrieves (RETRO)",
    "vision_pretraining": "reads pictures",
    "decoder_num_layers": "has an encoder and a decoder",
    "decoder_seq_length": "has an encoder and a decoder",
    "lora_rank": "trains weights of low rank",
}
"""Arguments of models that are not modelled."""

_KNOWN_PARTS = (
    "log|save|load|eval|data|seed|lr|min_lr|weight_decay|adam|sgd|tensorboard|wandb|timing|exit|ckpt|checkpoint|dist|distributed|rank|"
    "local|master|node|nnodes|nproc|rdzv|tokenizer|vocab|merge|split|dataloader|dataset|num_workers|init|finetune|no|use|loss|hysteresis|"
    "initial|train|test|valid|iteration|profile|check|distribute|deepspeed|zero|moe|router|rotary|bias|masked|gradient|async|mock|reset|"
    "attention|hidden|apply|fp16|bf16|fp32|transformer|barrier|manual|empty|overlap|ddp|nccl|expert|te|cross|qk|export|timers|layernorm|"
    "norm|norm_epsilon|max|multi|params|override|override_opt|delay|enable|disable|inference|decoupled|start|end|consumed|group|swiglu|squared|"
    "cuda|tp|align|defer|account|standalone|make|padded|world|model|pipeline|tensor|context|sequence|virtual|micro|global|seq|position|"
    "normalization|untie|add|accumulate|recompute|clip|optimizer|num|kv|ffn|encoder|v|q|embedding|config|machine|monitor|standalone|run|tee"
)
_KNOWN = re.compile(rf"({_KNOWN_PARTS})(_\w+)?")


def _notes(place: str, args: Section) -> Iterator[str]:
    """Arguments that matter and are not read, and those of which nothing is known."""
    for name, why in MATTER.items():
        value = args.values.get(name)
        is_usual = value in (None, 0, "none", "uniform") or (value == 1 and name.startswith("num_"))
        if value is True or not is_usual:
            yield f"{place}: {name} is {value}, and {why}"
        args.get(name)
    if args.values.get("fp8_recipe") == "blockwise":
        yield f"{place}: fp8_recipe is blockwise, and products are simulated with one scale for a tensor"
    if args.values.get("recompute_method") == "uniform" and args.values.get("recompute_num_layers", 1) not in (1, None):
        yield f"{place}: inputs are kept of every block, not of every {args.values['recompute_num_layers']}th"
    unknown = set(re.findall(r"\w+", str(args.values.get("recompute_modules") or ""))) - _OPERATORS.keys()
    if unknown and args.values.get("recompute_granularity") == "selective":
        yield f"{place}: recompute_modules has {', '.join(sorted(unknown))}, which is kept here"
    strange = [name for name in args.unread() if not _KNOWN.fullmatch(name) and args.values[name] not in (None, False)]
    if strange:
        yield f"{place}: nothing is known of {', '.join(strange[:10])}; the step is simulated without"


def _arguments(text: str, place: str) -> dict[str, Any]:
    found = _printed(text.splitlines()) or _flags(text)
    if len(found) < _FEWEST:
        raise ConfigError(
            f"{place}: holds no arguments of Megatron-LM; give the lines `num_layers ...... 96` that a run prints, or its "
            "launch script"
        )
    return found


def read_megatron(path: Path, given: Iterable[str] = ()) -> Imported:
    """Read a block of printed arguments, or a launch script.

    Raises
    ------
    ConfigError
        No arguments, or ones that are missing, of a wrong type or not modelled; all problems together.
    """
    place = shown(path)
    values = _arguments(read_text(path), place)
    problems: list[str] = []
    args = Section(values, place, problems)
    for name, what in REFUSED.items():
        if values.get(name) and values.get(name) != values.get("num_layers"):
            raise ConfigError(f"{place}: {name} is {values[name]}, so the model {what}, which is not modelled")
        args.get(name)
    read = {table: Fields(args, table, given if table == "model" else ()) for table in _TABLES}
    for table, entries in _TABLES.items():
        for name, entry in entries.items():
            read[table].read(name, entry)
    notes = tuple(_notes(place, args))
    raise_problems(problems)
    return Imported(
        kind="arguments of Megatron-LM",
        model={
            "name": model_name(path, ["args", "arguments", "log", "train", "run", "pretrain"]),
            **read["model"].found,
        },
        training=read["training"].found,
        cluster=read["cluster"].found,
        parallelism=read["parallelism"].found,
        understood=tuple(one for fields in read.values() for one in fields.understood),
        harmless=dict.fromkeys(args.unread(), "changes nothing that is simulated"),
        notes=notes,
    )


_TABLES: dict[str, Mapping[str, Any]] = {
    "model": MODEL,
    "training": TRAINING,
    "parallelism": PARALLELISM,
    "cluster": CLUSTER,
}

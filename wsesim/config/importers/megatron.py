"""Reads the arguments of Megatron-LM: the block of lines that a run prints, or the flags of a launch script.

`num_layers ...... 96` and ``--num-layers 96`` say the same. Variables that a script sets itself are followed; nothing is
executed. Model, batch, precision and plan are taken as Megatron-LM means them [1]_. Every argument is read, or in `HARMLESS` with
the reason why it changes nothing, or in `MATTER`, whose arguments change the time of a step, are not read and are named, or in
`REFUSED`; one of which nothing is known is named as well.

.. [1] NVIDIA/Megatron-LM, ``megatron/training/arguments.py`` and the configurations in ``megatron/core`` (releases 0.15 and 0.19),
   BigScience's and DeepSpeed's copies of it for the arguments that they add.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsesim.config.catalogue import read_text, shown
from wsesim.config.importers.section import (
    REQUIRED,
    Fields,
    Imported,
    Reasons,
    Section,
    defaults_said,
    is_off,
    model_name,
    raise_problems,
    read_reasons,
)
from wsesim.errors import ConfigError

SUFFIXES: Final = (".txt", ".log", ".sh", ".args", ".out", ".slurm", ".sbatch", ".bash", ".cmd", "")
"""Ends of files that are read as arguments."""
_PRINTED = re.compile(r"(?:^|\s)([A-Za-z_]\w+) \.{2,60}(?: (.*))?$")
_WORLD = re.compile(r"using world size: (\d+)", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?:^|;|\bthen\b|\belse\b|\bdo\b|\))\s*(?:export\s+|local\s+|declare\s+|readonly\s+)?([A-Za-z_]\w*)="
    r"(\"[^\"]*\"|'[^']*'|\$\(\([^)]*\)\)|\([^)]*\)|[^\s;#]*)"
)
_TEST = re.compile(r"^(?:el)?if\s+\[{1,2}\s+([^\]]+?)\s+\]{1,2}\s*;?\s*(?:then)?\s*$")
_COMPARED = re.compile(r"^(.*?)\s+(=|==|!=|-eq|-ne)\s+(.*)$")
_ASKED = re.compile(r"#(?:SBATCH|PBS|BSUB)\s+(?:--)?([\w-]+)(?:=|\s+)(\S+)")
_PROGRAM = re.compile(r"\bpretrain_(\w+)\.py")
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
    """``num_layers ....... 96`` as a mapping, whatever a log writes before it."""
    found: dict[str, Any] = {}
    for line in lines:
        match = _PRINTED.search(line[:_LONGEST_LINE])
        if match is not None:
            found[match[1]] = _value(match[2] or "")
        elif world := _WORLD.search(line[:_LONGEST_LINE]):
            found.setdefault("world_size", int(world[1][:9]))
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


def _assigned(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Variables that a script sets, in order, with what it sets them to."""
    for line in lines:
        for match in _ASSIGNED.finditer(line[:_LONGEST_LINE]):
            yield match[1], match[2].strip("\"'()" if match[2][:1] in "\"'(" else "").strip()


def _script_variables(lines: Iterable[str], before: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a script sets; lists of flags among them."""
    found = dict(before or {})
    for name, value in _assigned(lines):
        found[name] = _filled(value, found)
    return found


class _Branch:
    """One ``if`` of a script while it is read: whether each of its tests held, None where only the start decides."""

    def __init__(self, verdict: bool | None) -> None:
        self.tried = [verdict]

    def next(self, verdict: bool | None) -> None:
        """Go on to the next ``elif`` or ``else``, which runs if its own test holds and none before did."""
        before = self.tried
        is_over = any(one is True for one in before)
        sure = all(one is False for one in before)
        self.tried = [*before, False if is_over else verdict if sure or verdict is False else None]

    @property
    def runs(self) -> bool | None:
        return self.tried[-1]


def _holds(line: str, variables: Mapping[str, str]) -> bool | None:
    """Whether a test such as ``[ $DTYPE = fp8 ]`` holds; None where its variables are not the script's own."""
    test = _TEST.match(line)
    text = _filled(test[1], variables) if test else "$"
    compared = _COMPARED.match(text)
    if "$" in text or compared is None:
        return None
    left, sign, right = (part.strip("\"' ") for part in compared.groups())
    return (left == right) == (sign in ("=", "==", "-eq"))


def _run_lines(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Lines that run, and whether that is sure; branches are followed where the script's own variables decide."""
    variables: dict[str, str] = {}
    open_branches: list[_Branch] = []
    for line in lines:
        word = re.split(r"[\s;]", line.strip(), maxsplit=1)[0]
        if word in ("if", "case") and not re.search(r"\b(fi|esac)\b", line):
            open_branches.append(_Branch(_holds(line.strip(), variables) if word == "if" else None))
        elif word in ("elif", "else") and open_branches:
            open_branches[-1].next(True if word == "else" else _holds(line.strip(), variables))
        elif word in ("fi", "esac") and open_branches:
            open_branches.pop()
        elif all(one.runs is not False for one in open_branches):
            variables |= _script_variables([line], variables)
            yield line, all(one.runs for one in open_branches)


def _undecided(lines: Iterable[tuple[str, bool]]) -> dict[str, tuple[str, ...]]:
    """Variables that the branches of a script set to different values, between which only its start decides."""
    found: dict[str, tuple[str, ...]] = {}
    unsure = set()
    for line, is_sure in lines:
        for name, value in _assigned([line]):
            if not re.search(rf"\${{?{name}\b", value):
                found[name] = tuple(dict.fromkeys((*(() if is_sure else found.get(name, ())), value)))
                unsure |= set() if is_sure else {name}
    return {name: values for name, values in found.items() if len(values) > 1 and name in unsure}


def _ask_which(place: str, name: str, values: Iterable[str]) -> ConfigError:
    shown_values = ", ".join(value[:40] or "nothing" for value in [*values][:4])
    return ConfigError(f"{place}: branches of the script set {name} to {shown_values}; leave the one that you mean")


def _that_matter(text: str) -> list[str]:
    """Flags in a piece of a script that are not harmless."""
    flags = re.findall(r"--([A-Za-z][\w-]*)", text)
    return [flag for flag in flags if _why_harmless(flag.replace("-", "_"), None) is None]


def _flags(text: str, place: str) -> dict[str, Any]:
    """``--num-layers 96`` as a mapping; a flag without a value is a switch."""
    written = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    run = [*_run_lines(line[:_LONGEST_LINE] for line in written)]
    lines = [line for line, _ in run]
    variables, undecided = _script_variables(lines), _undecided(run)
    for name, values in undecided.items():
        if any(_that_matter(value) for value in values):
            raise _ask_which(place, name, values)
        variables[name] = f"${name}"
    unsure = next((flag for line, is_sure in run if not is_sure for flag in _that_matter(line)), None)
    if unsure is not None:
        raise ConfigError(f"{place}: --{unsure} stands in a branch of the script; leave the lines that run")
    found: dict[str, Any] = {}
    for word, value in _pairs(_words(_filled(line, variables) for line in lines)):
        name = word.lstrip("-").replace("-", "_")
        found[name] = True if value is None else _value(_filled(value, variables))
        unclear = next((one for one in undecided if re.search(rf"\${{?{one}\b", str(value))), None)
        if unclear is not None and _why_harmless(name, None) is None:
            raise _ask_which(place, unclear, undecided[unclear])
    return _with_world(found, variables, text)


def _with_world(found: dict[str, Any], variables: Mapping[str, str], text: str) -> dict[str, Any]:
    """GPUs of the job: those of a node, as often as there are nodes."""
    asked = {match[1].replace("-", "_"): match[2] for match in _ASKED.finditer(text)}
    nodes = _number(found, variables, ("nnodes", "num_nodes", "NNODES", "NUM_NODES"))
    each = _number(found, variables, ("nproc_per_node", "num_gpus", "GPUS_PER_NODE"))
    nodes = nodes or _number({}, asked, ("nodes", "N"))
    each = each or _number({}, asked, ("gpus_per_node", "ntasks_per_node"))
    if nodes and each:
        found.setdefault("world_size", nodes * each)
    return found


def _number(found: Mapping[str, Any], variables: Mapping[str, str], names: Iterable[str]) -> int:
    text = next((str(values[name]) for name in names for values in (found, variables) if name in values), "")
    return int(text) if text.isdigit() and len(text) < 9 else 0


_OPERATOR = re.compile(r"\||\|\||&|&&|;|\d?>{1,2}|\d?>&\d|&>|<")


def _words(lines: Iterable[str]) -> Iterator[str]:
    """Words of all commands; what is piped or written away is none of theirs, and a line ends what a flag is given."""
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        for word in words:
            yield _END if _OPERATOR.match(word) else word
        yield _END


_END = "--"
"""Ends the values of a flag."""


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Flags with their first value; of `_LISTS` all values as one text."""
    name, values = "", list[str]()
    for word in _parts(words):
        is_flag = re.match(r"^--[A-Za-z]", word) is not None
        if not is_flag and word != _END:
            values.append(word)
            continue
        if name:
            yield name, _joined(name, values)
        name, equals, value = word.partition("=") if is_flag else ("", "", "")
        values = [value] if equals else []
    if name:
        yield name, _joined(name, values)


def _parts(words: Iterable[str]) -> Iterator[str]:
    """What quotes and lists hold, word by word; setting a variable ends what came before."""
    for word in words:
        opened = re.match(r"^[A-Za-z_]\w*\+?=(?=[(\"']|\s*-|$)", word)
        if opened is not None:
            yield _END
        for part in word[opened.end() if opened else 0 :].split():
            yield part if part == _END else part.strip("()\"'") or _END


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
    padded = args.count("padded_vocab_size", "pad_vocab_size_to", default=None)
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


_POSITIONS = {
    "learned_absolute": "learned",
    "absolute": "learned",
    "none": "none",
    "alibi": "alibi",
    **dict.fromkeys(("rope", "rotary", "yarn", "mrope"), "rotary"),
}


def _position_word(args: Section) -> str:
    """BigScience prints ``PositionEmbeddingType.alibi``."""
    return str(args.get("position_embedding_type") or "learned_absolute").rpartition(".")[2].lower()


def _is_rotary(args: Section) -> bool:
    return (
        args.flag("use_rotary_position_embeddings", default=False) or _POSITIONS.get(_position_word(args)) == "rotary"
    )


def _position(args: Section) -> str | None:
    word = _position_word(args)
    if _is_rotary(args):
        return "rotary"
    if args.flag("no_position_embedding", default=False) or args.get("add_position_embedding") is False:
        return "none"
    if word not in _POSITIONS:
        known = ", ".join(_POSITIONS)
        args.problem("position_embedding_type", f"is {word}, which is not modelled; known are {known}")
    return _POSITIONS.get(word)


def _is_gated(args: Section) -> bool:
    """``--swiglu``, GPT-OSS's ``--quick-geglu``, or BigScience's ``--glu-activation``."""
    switches = ("swiglu", "quick_geglu", "gated_linear_unit")
    is_on = [args.flag(name, default=False) for name in switches]
    return any(is_on) or args.get("glu_activation") is not None


def _biases(args: Section) -> bool:
    return args.flag("add_bias_linear", default=True) and not args.flag("disable_bias_linear", default=False)


def _width(args: Section) -> int | None:
    """Two thirds of it where the MLP is gated and the width is left to Megatron-LM."""
    width, hidden = args.count("ffn_hidden_size", default=None), args.count("hidden_size", default=None)
    if width is not None or hidden is None or not _is_gated(args):
        return width
    return int(4 * hidden * 2 / 3) // 64 * 64


def _groups(args: Section) -> int | None:
    if args.flag("group_query_attention", default=False):
        return args.count("num_query_groups", default=1)
    return args.count("num_key_value_heads", default=None)  # DeepSpeed's


def _latent(*names: str, default: Any = None) -> Entry:
    def read(args: Section) -> int | None:
        return args.count(*names, default=default) if args.flag("multi_latent_attention", default=False) else None

    return read


def _head_dim(args: Section) -> int | None:
    return None if args.flag("multi_latent_attention", default=False) else args.count("kv_channels", default=None)


def _experts(args: Section) -> int | None:
    """DeepSpeed prints a list of one number."""
    for name in ("num_experts", "num_moe_experts"):
        alone = re.fullmatch(r"\[(\d{1,6})\]", str(args.values.get(name)))
        if alone is not None and args.has(name):
            return int(alone[1])
    return args.count("num_experts", "num_moe_experts", default=1)


def _of_experts(*names: str, default: Any = None) -> Entry:
    return lambda args: args.count(*names, default=default) if (_experts(args) or 1) > 1 else None


def _window(args: Section) -> int | None:
    """``(127, 0)`` are the keys before a token, and those behind it."""
    match = re.match(r"\(?\[?\s*(\d+)", str(args.get("window_size")))
    return int(match[1]) + 1 if match else None


def _layer_types(args: Section) -> tuple[str, ...] | None:
    """Every N-th block attends to everything, or those with a 0 in a list."""
    value = args.get("window_attn_skip_freq")
    if value is None or _window(args) is None:
        return None
    every = [1] * (value - 1) + [0] if isinstance(value, int) and 0 < value <= 4096 else _listed(str(value))
    if not every:
        args.problem("window_attn_skip_freq", f"is {value}; write a number of blocks, or a list such as [1, 0]")
    return tuple("sliding_attention" if one else "full_attention" for one in every) or None


def _qk_norm(args: Section) -> str | None:
    """Latent attention has norms of its own, whatever the flag says."""
    latent = args.flag("multi_latent_attention", default=False)
    return "head" if args.flag("qk_layernorm", default=False) and not latent else None


def _sparse_layers(args: Section) -> tuple[int, int]:
    """Leading blocks without experts, and every how manieth block has some; DeepSpeed calls it an interval."""
    interval = args.count("expert_interval", default=None)
    value = args.get("moe_layer_freq") if interval is None else interval
    if isinstance(value, int) and value > 1:
        return 0, value
    numbers = _listed(str(value)) if isinstance(value, str) else []
    dense = next((place for place, one in enumerate(numbers) if one), 0)
    if numbers and numbers != [0] * dense + [1] * (len(numbers) - dense):
        args.problem("moe_layer_freq", f"is {value}, and only leading blocks without experts are modelled")
    return dense, 1


def _every_block(args: Section) -> int | None:
    step = _sparse_layers(args)[1]
    return step if step > 1 else None


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
    "gated_mlp": _is_gated,
    "normalization": lambda args: args.word("normalization", known=("layernorm", "rmsnorm"), default="layernorm"),
    "tie_embeddings": lambda args: not args.flag("untie_embeddings_and_output_weights", default=False),
    "qkv_bias": lambda args: args.flag("add_qkv_bias", default=False) or _biases(args),
    "attention_output_bias": _biases,
    "mlp_bias": _biases,
    "qk_norm": _qk_norm,
    "attention_sinks": lambda args: args.get("softmax_type") == "learnable" or None,
    "embedding_norm": lambda args: args.flag("embed_layernorm", default=False) or None,
    "attention_dropout": lambda args: args.share("attention_dropout", default=0.1),
    "sliding_window": _window,
    "layer_types": _layer_types,
    "q_lora_rank": _latent("q_lora_rank"),
    "kv_lora_rank": _latent("kv_lora_rank", default=REQUIRED),
    "qk_nope_head_dim": _latent("qk_head_dim", default=128),
    "qk_rope_head_dim": _latent("qk_pos_emb_head_dim", default=64),
    "v_head_dim": _latent("v_head_dim", default=128),
    "num_experts": lambda args: _experts(args) if (_experts(args) or 1) > 1 else None,
    "experts_per_token": _of_experts("moe_router_topk", "topk", default=2),
    "n_group": _of_experts("moe_router_num_groups"),
    "topk_group": _of_experts("moe_router_group_topk"),
    "moe_intermediate_size": _of_experts("moe_ffn_hidden_size"),
    "shared_expert_intermediate_size": _of_experts("moe_shared_expert_intermediate_size"),
    "shared_expert_gate": lambda args: (
        (args.flag("moe_shared_expert_gate", default=False) or None) if (_experts(args) or 1) > 1 else None
    ),
    "first_k_dense_replace": lambda args: (_sparse_layers(args)[0] or None) if (_experts(args) or 1) > 1 else None,
    "interleave_moe_layer_step": lambda args: _every_block(args) if (_experts(args) or 1) > 1 else None,
}


def _precision(args: Section) -> str:
    """Products in 8 or 4 bit go before the type of what is kept."""
    in_4_bit = [args.get(name) for name in ("fp4", "fp4_format")]
    in_8_bit = [args.get(name) for name in ("fp8", "fp8_format", "fp8_hybrid", "fp8_e4m3")]
    recipe = args.get("fp8_recipe")
    kept = [args.flag(name, default=False) for name in ("bf16", "fp16")]
    if any(in_4_bit):
        return "nvfp4"
    if any(in_8_bit):
        return "mxfp8" if recipe == "mxfp8" else "fp8"
    return "bfloat16" if kept[0] else "float16" if kept[1] else "float32"


def _global_batch_size(args: Section) -> int | None:
    """Megatron-LM takes one micro-batch of each copy of the model where nothing is said."""
    batch = args.count("global_batch_size", "train_batch_size", default=None)
    world, micro = args.count("world_size", default=None), args.count("micro_batch_size", default=None)
    if batch is None and world and micro:
        sizes = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")
        each = [args.count(name, default=1) or 1 for name in sizes]
        batch = max(1, world // (each[0] * each[1] * each[2])) * micro
    return batch


def _steps(args: Section) -> int | None:
    """Iterations, or the samples that they make."""
    steps, samples = args.count("train_iters", default=None), args.count("train_samples", default=None)
    batch = args.count("global_batch_size", default=None)
    return steps if steps is not None else samples // batch if samples and batch and samples >= batch else None


TRAINING: dict[str, Entry] = {
    "sequence_length": lambda args: next(
        (
            args.count(name, default=None)
            for name in ("seq_length", "encoder_seq_length", "max_position_embeddings")
            if args.has(name)
        ),
        None,
    ),
    "global_batch_size": _global_batch_size,
    "micro_batch_size": _size("micro_batch_size"),
    "precision": _precision,
    "optimizer": lambda args: args.word("optimizer", known=("adam", "adamw", "sgd", "lion"), default="adam"),
    "max_gradient_norm": lambda args: (
        float(args.get("clip_grad")) if isinstance(args.get("clip_grad"), int | float) else None
    ),
    "steps": _steps,
    "tokens": lambda args: args.count("train_tokens", default=None) if _steps(args) is None else None,
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
    modules = _modules(args) + (["moe"] if args.flag("moe_layer_recompute", default=False) else [])
    if granularity is None:
        selective = args.flag("recompute_activations", default=False)
        granularity = "selective" if selective else "full" if old else "none"
    if granularity == "full" and method == "block" and first is not None:
        return {"blocks": first} if first else "none"
    if granularity in ("selective", "none") and modules not in ([], ["attention"]):
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


def _reduction(args: Section) -> str | None:
    if args.flag("grad_reduce_in_bf16", default=False):
        return "16bit"
    return "32bit" if args.flag("accumulate_allreduce_grads_in_fp32", default=False) else None


def _unless(name: str) -> Entry:
    """What is on unless ``--no-...`` or a printed False says otherwise; nothing where the software decides."""

    def read(args: Section) -> bool | None:
        is_off_here = args.flag(f"no_{name}", default=False) or args.get(name) is False
        return False if is_off_here else None

    return read


def _counts(name: str) -> Entry:
    """Whether embedding or loss count as a layer; DeepSpeed's ``type:transformer|embedding`` says both."""
    return lambda args: (args.flag(name, default=False) or "embedding" in str(args.get("pp_partition_method"))) or None


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
    "account_for_embedding": _counts("account_for_embedding_in_pipeline_split"),
    "account_for_loss": _counts("account_for_loss_in_pipeline_split"),
    "num_layers_in_first_pipeline_stage": _size(
        "decoder_first_pipeline_num_layers", "num_layers_in_first_pipeline_stage"
    ),
    "num_layers_in_last_pipeline_stage": _size("decoder_last_pipeline_num_layers", "num_layers_in_last_pipeline_stage"),
    "micro_batch_group_size": _size(
        "microbatch_group_size_per_vp_stage", "microbatch_group_size_per_virtual_pipeline_stage"
    ),
    "reduction_precision": _reduction,
    "fused_gradient_accumulation": _unless("gradient_accumulation_fusion"),
    "fused_mlp_activation": lambda args: _unless("bias_swiglu_fusion")(args) if _is_gated(args) else None,
    "overlap_pipeline_communication": lambda args: (
        False if args.flag("no_overlap_p2p_communication", default=False) else None
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
    "cpu_optimizer": "offloading to the host's memory is not simulated",
    "fine_grained_activation_offloading": "offloading to the host's memory is not simulated",
    "offload_modules": "offloading to the host's memory is not simulated",
    "moe_paged_stash": "offloading to the host's memory is not simulated",
    "checkpoint_in_cpu": "offloading to the host's memory is not simulated",
    "moe_shared_expert_overlap": "overlap of the shared expert is not simulated",
    "moe_expert_capacity_factor": "dropped tokens are not simulated",
    "moe_expert_rank_capacity_factor": "dropped tokens are not simulated",
    "moe_token_dropping": "dropped tokens are not simulated",
    "moe_pad_expert_input_to_capacity": "experts are simulated without padding",
    "moe_train_capacity_factor": "dropped tokens are not simulated",
    "moe_token_dispatcher_type": "tokens are exchanged all to all here",
    "moe_enable_deepep": "the exchange of tokens is simulated as all-to-all",
    "moe_extended_tp": "experts are split by expert_tensor_parallel_size alone",
    "moe_router_force_load_balancing": "`expert_imbalance` of the software says how even routing is",
    "moe_use_upcycling": "the step is that of the mixture, from whatever it began",
    "pipeline_model_parallel_layout": "a layout of stages is not read; set parallelism.layers_per_stage",
    "standalone_embedding_stage": "a stage of the embedding alone is not simulated",
    "mtp_standalone": "modules that predict several tokens are left out",
    "use_tp_pp_dp_mapping": "the order of ranks is tensor, context, data, pipeline here",
    "rampup_batch_size": "the batch is that at the end of the ramp",
    "step_batch_size_schedule": "the batch stays as it is",
    "num_distributed_optimizer_instances": "the optimizer is shared by the whole data-parallel group",
    "outer_dp_sharding_strategy": "the optimizer is shared by the whole data-parallel group",
    "use_layer_wise_distributed_optimizer": "every weight's update is split over the data-parallel group here",
    "torch_fsdp2_no_reshard_after_forward": "parameters are gathered again for the backward pass here",
    "cuda_graph_impl": "CUDA graphs are not simulated",
    "enable_cuda_graph": "CUDA graphs are not simulated",
    "external_cuda_graph": "CUDA graphs are not simulated",
    "optimizer_cuda_graph": "CUDA graphs are not simulated",
    "hierarchical_context_parallel_sizes": "one ring of context parallelism is simulated",
    "hybrid_context_parallel": "one ring of context parallelism is simulated",
    "cp_comm_type": "one ring of context parallelism is simulated",
    "ds_sequence_parallel_size": "Ulysses is not simulated; set parallelism.context_parallel_size",
    "gtp_weight_remat_size": "weights are not split further than tensor_parallel_size",
    "expert_gtp_weight_remat_size": "weights are not split further than tensor_parallel_size",
    "tensor_parallel_num_weight_shards": "weights are not split further than tensor_parallel_size",
    "expert_tensor_parallel_num_weight_shards": "weights are not split further than tensor_parallel_size",
    "spec": "layers are those of the other arguments, whatever the spec says",
    "delay_wgrad_compute": "delayed weight gradients are not simulated",
    "defer_embedding_wgrad_compute": "delayed weight gradients are not simulated",
    "overlap_dispatch_backward_with_experts_wgrad": "delayed weight gradients are not simulated",
    "overlap_moe_expert_parallel_comm": "overlap of expert-parallel communication is not simulated",
    "overlap_param_gather_with_optimizer_step": "gathers of parameters beside the update are not simulated",
    "distribute_saved_activations": "what is kept is not split over the tensor-parallel group",
    "distribute_checkpointed_activations": "what is kept is not split over the tensor-parallel group",
    "partition_activations": "what is kept is not split over the tensor-parallel group",
    "num_microbatches_with_partial_activation_checkpoints": "all micro-batches compute the same again here",
    "use_precision_aware_optimizer": "the optimizer keeps 32 bit of each moment here",
    "main_grads_dtype": "gradients are kept in 32 bit here",
    "main_params_dtype": "the optimizer keeps 32 bit of each weight here",
    "exp_avg_dtype": "the optimizer keeps 32 bit of each moment here",
    "exp_avg_sq_dtype": "the optimizer keeps 32 bit of each moment here",
    "fp32_residual_connection": "the residual stream is kept in 16 bit here",
    "fp8_param_gather": "parameters are gathered in 16 bit here",
    "fp4_param_gather": "parameters are gathered in 16 bit here",
    "fp8_param": "parameters are gathered in 16 bit here",
    "fp4_param": "parameters are gathered in 16 bit here",
    "fp8_dot_product_attention": "attention is in 16 bit here",
    "fp8_multi_head_attention": "attention is in 16 bit here",
    "first_last_layers_bf16": "the first and last blocks are as narrow as the others here",
    "te_precision_config_file": "all blocks have one precision here",
    "use_kitchen": "all blocks have one precision here",
    "quant_recipe": "all blocks have one precision here",
    "symmetric_ar_type": "collectives are those of the cluster",
    "use_sharp": "collectives are those of the cluster",
    "nccl_ub": "collectives are those of the cluster",
    "use_nccl_ub": "collectives are those of the cluster",
    "deterministic_mode": "kernels are the fast ones here",
    "batch_invariant_mode": "kernels are the fast ones here",
    "empty_unused_memory_level": "emptying the allocator's caches takes no time here",
    "skip_train": "a step of training is simulated all the same",
    "eval_only": "a step of training is simulated all the same",
    "variable_seq_lengths": "every sequence has seq_length tokens here",
    "sft": "every sequence has seq_length tokens here",
    "reset_attention_mask": "attention spans whole sequences here, not single documents",
    "dataloader_inter_document_masking": "attention spans whole sequences here, not single documents",
    "curriculum_learning_legacy": "every sequence has seq_length tokens here",
    "data_efficiency_curriculum_learning": "every sequence has seq_length tokens here",
    "random_ltd": "every block works on every token here",
    "mlp_chunks_for_training": "the MLP works on a whole micro-batch here",
    "use_inference_optimized_layers": "kernels are those of training",
    "encoder_tensor_model_parallel_size": "all stages are split alike",
    "encoder_pipeline_model_parallel_size": "all stages are split alike",
}
"""Arguments that change the time of a step and are not read."""

_USUAL: dict[str, tuple[Any, ...]] = {
    "moe_token_dispatcher_type": ("alltoall", "alltoall_seq", "flex"),
    "cp_comm_type": ("p2p", "['p2p']"),
    "outer_dp_sharding_strategy": ("no_shard",),
    **dict.fromkeys(
        ("main_grads_dtype", "main_params_dtype", "exp_avg_dtype", "exp_avg_sq_dtype"), ("fp32", "torch.float32")
    ),
    "rampup_batch_size": ("[]",),
    "offload_modules": ("[]",),
    "sft": ("False",),
    **dict.fromkeys(
        (
            *("num_distributed_optimizer_instances", "gtp_weight_remat_size", "expert_gtp_weight_remat_size"),
            *("ds_sequence_parallel_size", "moe_train_capacity_factor", "mlp_chunks_for_training"),
            *("tensor_parallel_num_weight_shards", "expert_tensor_parallel_num_weight_shards"),
            *("encoder_tensor_model_parallel_size", "encoder_pipeline_model_parallel_size"),
        ),
        (1, 1.0, 2.0),
    ),
}
"""Values of them that are what is simulated, or are printed whether anything is switched on or not."""

_STATE, _LINEAR, _SEVERAL = "has layers of a state space", "has linear attention", "has an encoder and a decoder"
_CHOOSES = "has attention that chooses its keys, or none to all of them"
_PICTURES, _RETRIEVES = "reads pictures", "reads what it retrieves (RETRO)"
REFUSED: dict[str, str] = {
    **dict.fromkeys(("hybrid_attention_ratio", "hybrid_mlp_ratio", "hybrid_override_pattern"), _STATE),
    **dict.fromkeys(("hybrid_layer_pattern", "is_hybrid_model"), _STATE),
    "experimental_attention_variant": _CHOOSES,
    **dict.fromkeys(("linear_attention_type", "linear_attention_freq"), _LINEAR),
    **dict.fromkeys(
        ("heterogeneous_layers_config_path", "heterogeneous_layers_config_encoded_json", "heterogeneous_block_specs"),
        "has blocks of unequal width",
    ),
    "attention_output_gate": "gates what attention gives",
    "moe_latent_size": "has experts that work in a narrower space",
    "mlp_type": "adds a dense MLP to each mixture of experts",
    **dict.fromkeys(("retro_add_retriever", "retro_project_dir", "retro_workdir"), _RETRIEVES),
    **dict.fromkeys(("vision_pretraining", "img_embedding_idx", "language_model_type"), _PICTURES),
    **dict.fromkeys(("decoder_num_layers", "decoder_seq_length", "pipeline_model_parallel_split_rank"), _SEVERAL),
    **dict.fromkeys(("lora_rank", "lora_alpha", "peft_type", "lora_r"), "trains weights of low rank (LoRA)"),
    **dict.fromkeys(("freeze_all_layers", "freeze_LM", "freeze_ViT"), "freezes some of the weights"),
    **dict.fromkeys(("logits_load_dir", "export_kd_teacher_load", "mos", "kd"), "is taught by a second network"),
    "perform_rl_step": "learns from what it writes itself (reinforcement learning)",
    **dict.fromkeys(("ict_load", "biencoder_projection_dim"), "is a pair of encoders that retrieve"),
}
"""Arguments of models that are not modelled."""

SCRIPTS: Final = {
    "t5": _SEVERAL,
    "bert": "is an encoder (BERT), whose arguments are not read; give its config.json",
    "mamba": _STATE,
    "hybrid": _STATE,
    "retro": _RETRIEVES,
    "vision_classify": _PICTURES,
    "vision_dino": _PICTURES,
    "vision_inpaint": _PICTURES,
    "vlm": f"{_PICTURES} beside text",
    "mimo": f"{_PICTURES} beside text",
    "ict": "is a pair of encoders that retrieve",
    "realm": "is a pair of encoders that retrieve",
}
"""Programs of Megatron-LM, ``pretrain_X.py``, whose models are not modelled."""


HARMLESS: Reasons = read_reasons(r"""
what is written down, and where
    aim_.* app_tag_.* barrier_with_L1_time clearml_.* codecarbon_dir comet_.* config_logger_dir
    dump_param_to_param_group_map enable_one_logger filter_warnings indexer_log_interval log log_.* logger
    logging_level logits_save_.* memory_keys memory_snapshot_path mlflow_.* modules_to_filter moe_per_layer_logging
    moe_routing_trace_.* no_one_logger nvtx_ranges one_logger_.* path_to_tensorboard profile profile_.* profiling
    pytorch_profiler_.* record_.* run_workload_inspector_server runtime_time_unit set_level_for_all_loggers
    tensorboard_.* throughput_window_size timers timing_log_.* use_nsys_profiler use_pytorch_profiler wandb_.*
checkpoints, of which [job] and [reliability] say what they cost
    async_(save|strategy|ckpt_.*) auto_detect_ckpt_format checkpoint ckpt_.* disable_msc disable_msc_deprecated
    dist_ckpt_.* distrib_optim_fully_reshardable_mem_efficient dump_.* enable_msc exit_on_missing_checkpoint finetune
    fully_parallel_(load|save) hetereogenous_dist_checkpoint init_model_with_meta_device load load_.* metadata_path
    moe_upcycling_granularity most_recent_k no_load_.* no_pipeline_parallel_save no_save_.* non_persistent_.*
    object_storage_cache_path override_ckpt_iteration override_lr_scheduler override_opt_param_scheduler
    pretrained_checkpoint refit_method replication replication_.* s3_cache_path save save_.* stream_ckpt_dequant
    strict_fsdp_dtensor_load universal_checkpoint use_checkpoint_.* use_dist_ckpt use_dist_ckpt_deprecated
    use_mp_args_from_checkpoint_args use_persistent_ckpt_worker use_sharp_ckpt
    use_tokenizer_model_from_checkpoint_args verify_checkpoint.* verify_integrity
which texts are read, and how
    allow_ambiguous_pad_tokens answer_loss_only block_data_path cache_dir chat_template data_.* dataloader_.*
    dataset.* eod_mask_loss fim_.* full_validation loss_on_targets_only make_vocab_size_divisible_by
    max_seqlen_per_dp_cp_rank merge_file mid_level_dataset_surplus mmap_bin_files mmap_warmup mock_data model_name
    multiple_validation_sets (no_)?create_attention_mask_in_dataloader no_data_sharding no_mmap_bin_files
    null_tokenizer_.* num_dataset_builder_threads num_workers pad_vocab_size pad_vocab_size_to padded_vocab_size
    per_.*_path phase_transition_iterations reset_position_ids return_log_probs reweight_loss_.* sample_rate sft_.*
    short_seq_prob shuffle.* skip_prompt_log_probs special_tokens split suggested_communication_unit_size tiktoken_.*
    (titles|evidence)_data_path tokenizer.* train_weighted_split_paths.* (train|valid|test)_data_path
    trust_remote_code use_one_sent_docs validation.* (valid|test)_weighted_split_paths.* vocab_.*
how the optimizer steps
    adam_.* adaptive_muon_.* apply_wd_to_qk_layernorm calculate_per_token_loss clip_grad decoupled_.*
    grad_norm_skip_threshold grad_scale_func head_lr_mult hysteresis initial_loss_scale lion_.*
    log_max_attention_logit loss_scale loss_scale_window lr lr_.* lr_adjustment.* min_loss_scale min_lr muon_.*
    no_weight_decay_cond_type qk_clip.* scheduler sgd_momentum soap_.* (start|end)_weight_decay store_param_remainders
    universal_lr use_checkpoint_lr_scheduler warmup wd_incr_steps weight_decay weight_decay_incr_style wsd_decay_steps
rounding and constants of functions
    .*_eps .*_epsilon activation_func.* activation_func_fp8_input_store apply_layernorm_1p
    apply_query_key_layer_scaling apply_residual_connection_post_layernorm attention_multiplier
    attention_softmax_in_fp32 autocast_dtype clone_scatter_output_in_embedding disable_bf16_reduced_precision_matmul
    disable_parameter_transpose_cache embedding_multiplier embedding_weights_in_fp32 enable_autocast
    fp16_lm_cross_entropy fp4_recipe fp8_amax_.* fp8_interval fp8_margin fp8_output_proj fp8_recipe fp8_wgrad
    fp[48]_quantizer_factory glu_linear_offset input_embedding_.* keep_fp8_transpose_cache kitchen_.*
    layernorm_zero_centered_gamma logits_scaling moe_grad_scale_func mtp_.*_func mup_.* no_fp8_wgrad
    no_query_key_layer_scaling num_layers_at_(start|end)_in_bf16 onnx_safe openai_gelu params_dtype pipeline_dtype
    preserve_fp32_weights qk_l2_norm reuse_grad_buf_for_mxfp8_param_ag softmax_scale softmax_type squared_relu
    tp_only_amax_red use_kitchen_attention use_mup
dropout outside attention, which changes nothing that is counted
    .*_dropout drop_path_rate hidden_dropout layerdrop
positions, without parameters
    add_position_embedding apply_rope_fusion beta_(fast|slow) fused_single_qkv_rope max_position_embeddings
    mrope_section mscale mscale_all_dim no_position_embedding no_rope_freq no_rope_freqs no_rope_fusion no_yarn_.*
    original_max_position_embeddings position_embedding_type rope_.* rotary_.* rotary_position_embeddings_theta
    use_flashinfer_fused_rope use_rope_scaling yarn_.*
how weights are drawn before training
    .*seed data_parallel_random_init offset_sampling_seed_by_dp_rank use_same_sampling_seed_across_dp_ranks
    embedding_init_.* init_method.* output_layer_init_method perform_initialization use_cpu_initialization
a term of the loss, or how experts are chosen, without parameters
    create_moe_param_group disable_moe_token_dropping disable_moe_top2_2nd_expert_sampling
    enable_expert_tensor_parallelism moe_apply_probs_on_input moe_aux_loss_coeff moe_enable_routing_replay
    moe_eval_capacity_factor moe_group_size moe_input_jitter_eps moe_loss_coeff moe_min_capacity moe_router_.*
    moe_token_drop_policy moe_z_loss_coeff mtp_detach_heads mtp_loss_scaling_factor mtp_use_repeated_layer topk
    use_tutel
kernels of which the fast ones are simulated, or that cost a host's time alone
    attention_backend attention_masks_in_fusion cross_entropy_(loss_fusion|fusion_impl) cuda_graph_.*
    delay_offload_until_cuda_graph deprecated_use_mcore_models disable_jit_fuser disable_mem_efficient_ln
    flash_attention_version fp8_dot_product fused_residual_rmsnorm gemm_shapes inference_rng_tracker
    memory_efficient_layer_norm mla_down_proj_fusion moe_(mlp|shared_expert)_glu_interleave_size
    moe_(permute_fusion.*|router_fusion|grouped_gemm) moe_single_grouped_.* moe_use_legacy_grouped_gemm
    (no_)?(masked_softmax|bias_gelu|bias_swiglu|bias_dropout|bias_activation|gradient_reduce_div|gradient_accumulation)_fusion
    no_persist_layer_norm persist_layer_norm te_rng_tracker transformer_impl use_fast_.* use_flash_attn.* use_fused_.*
    use_fused_weighted_squared_relu use_grouped_gemm_for_.* use_legacy_models use_mcore_models use_te_activation_func
    use_te_rng_tracker use_transformer_engine_op_fuser use_turbo_.*
how it runs, which is not simulated so finely
    .*_compiled_autograd .*_func _cpu_offloading_context activation_offload_fraction align_.* average_in_collective
    batch_p2p_.* batch_size bucket_size consumed_.* cpu_offloading_.* create_all_gather_group data_parallel_size ddp
    ddp_.* DDP_impl deallocate_pipeline_outputs decrease_batch_size_if_needed delay_(param_gather|grad_reduce)
    delta_offload_bytes_across_pp_ranks disable_symmetric_registration dist distributed_.*
    enable_full_sharding_in_hsdp ep_overlap_early_attn_memory_release fake_process_group fine_grained_offloading_.*
    fsdp_.* grad_reduce_in_.* high_priority_.* iteration lazy_mpu_init local_rank manual_gc.* megatron_fsdp_.*
    min_offloaded_tensor_size moe_(flex|hybridep|ncclep)_.* moe_deepep_num_sms moe_paged_stash_.* nccl_.*
    (no_)?async_tensor_model_parallel_allreduce (no_)?pin_cpu_.* (no_)?scatter_gather_tensors_in_pipeline
    (no_)?use_layer_wise_param_layout no_align_param_gather no_overlap_p2p_communication num_buckets num_micro_batches
    optimizer_offload_fraction overlap_cpu_optimizer_d2h_h2d overlap_p2p_.* overlap_param_gather
    pad_buckets_for_high_nccl_busbw param_name_patterns_for_.* pipeline_model_parallel_comm_backend rank
    reduce_scatter_with_fp32_accumulation sharp_enabled_group skip_(all|gemm|reduce|send).*
    sync_tp_duplicated_parameters (torch_fsdp2_)?reshard_after_forward tp_comm_.* train_sync_interval
    transformer_pipeline_model_parallel_size use_contiguous_buffers_in_.* use_gloo_process_groups
    use_ring_exchange_p2p use_torch_optimizer_for_cpu_offload virtual_pipeline_model_parallel_rank
    wgrad_deferral_limit world_size
how the job is started, watched and ended
    abort_on_.* account adlr_autoresume.* bind.* calc_ft_timeouts chdir check_.* comment config config_file
    container_.* cpu_bind cpus_per_task deepspeed_.* ds_config disable_straggler_.* enable_experimental
    enable_ft_package error error_injection_.* exclude exclusive exit_.* experiment_name export flight_recorder_.*
    ft_.* gpu_sniff_test_interval gpus gpus_per_node gpus_per_task gres help hostfile include inprocess_.* ipc
    iterations_to_skip job_name jobid kill_on_bad_exit kill_switch_path label launcher log_dir machine_rank map_by
    master_(addr|port) max_restarts max_tokens_to_oom mem model model_type module monitor_interval mpi name network
    nnodes no_check_.* no_python node_rank nodelist nodes nproc_per_node ntasks.* num_gpus num_nodes numa_.* output
    partition qos rdzv rdzv_.* redirects report_bindings requeue rerun_.* result_rejected_tracker_filename rm rng role
    rsh_.* run_id shm_size signal skip_train_iteration_range standalone start_method straggler.* tee test_mode time
    train ulimit.* unbuffered user volume wait yaml_cfg
validation between steps, of which [job] says how often
    eval_.* no_eval_.* start_eval_at_iter
what is trained is said by train_iters, train_samples or train_tokens
    exit_duration_in_mins skip_train_iterations train_(iters|samples|tokens)
of inference
    cache_mla_latents decode_only_cuda_graphs ds_inference enable_chunked_prefill ep_size flash_decode grpo_.*
    inference.* langrl_env_config max_batch_size max_tokens_to_generate mlp_chunks_for_prefill
    moe_pad_experts_for_cuda_graph_inference nccl_all_reduce_for_prefill num_speculative_tokens rl_.* tp_size
    use_legacy_static_engine
of another kind of model, without effect on this one
    bert_.* biencoder_.* classes_fraction dino_.* dsa_.* embedding_path encoder_.* experimental_attention_variant_.*
    expert_(model|tensor)_parallel_size heterogeneous_.* ict_head_size img_[hw] indexer_.* iter_per_epoch kv_channels
    linear_.* logits_load_.* mamba_.* mask_(prob|type|factor) masked_lm_prob mean_noise_span_length
    moe_ffn_hidden_size moe_layer_.* moe_shared_expert_.* mtp_hybrid_override_pattern noise_density
    num_(classes|channels) num_query_groups output_bert_embeddings patch_dim qk_head_dim qk_pos_emb_head_dim
    query_in_block_prob (q|kv)_lora_rank relative_attention_.* retriever_.* retro_.* rotary_interleaved_mla
    swin_backbone_type use_mamba_mem_eff_path v_head_dim vision_.*
without effect where what it belongs to is off
    activations_checkpoint_.* checkpoint_(activations|num_layers) compression_training contigious_checkpointing
    cpu_torch_adam curriculum_.* data_efficiency.* data_parallel_sharding_strategy deepscale.* deepspeed
    force_ds_sequence_parallel microbatch_group_size_.* no_pipeline_parallel profile_backward random_ltd_.*
    recompute_.* remote_device synchronize_each_layer use_pin_memory zero_.*
""")
"""Patterns of arguments that change nothing that is worked out, and why."""


def _matters(args: Section) -> Iterator[str]:
    for name, why in MATTER.items():
        value = args.values.get(name)
        usual = (None, False, 0, "none", "uniform", *_USUAL.get(name, ()))
        if not any(value is one or (value == one and value is not True) for one in usual):
            yield f"{args.place}: {name} is {value}, and {why}"


_COMPILED = [(re.compile(pattern), why) for pattern, why in HARMLESS]


def _why_harmless(name: str, value: Any) -> str | None:
    """Why an argument that is not read changes nothing; None where it may."""
    why = next((why for pattern, why in _COMPILED if pattern.fullmatch(name)), None)
    return why or ("switched off" if value is not None and is_off(value) else None)


def _harmless(args: Section) -> dict[str, str]:
    """Why arguments that are not read change nothing."""
    reasons = {
        name: "switched off" if value is None else _why_harmless(name, value) for name, value in args.unread().items()
    }
    return {name: why for name, why in reasons.items() if why is not None}


def _notes(place: str, args: Section, harmless: Mapping[str, str]) -> Iterator[str]:
    """Arguments that matter and are not read, and those of which nothing is known."""
    yield from _matters(args)
    if args.values.get("fp8_recipe") == "blockwise":
        yield f"{place}: fp8_recipe is blockwise, and products are simulated with one scale for a tensor"
    if args.values.get("recompute_method") == "uniform" and args.values.get("recompute_num_layers", 1) not in (1, None):
        yield f"{place}: inputs are kept of every block, not of every {args.values['recompute_num_layers']}th"
    unknown = set(re.findall(r"\w+", str(args.values.get("recompute_modules") or ""))) - _OPERATORS.keys()
    if unknown and args.values.get("recompute_granularity") == "selective":
        yield f"{place}: recompute_modules has {', '.join(sorted(unknown))}, which is kept here"
    strange = [name for name in args.unread() if name not in harmless]
    if strange:
        more = f" and {len(strange) - 10} more" if len(strange) > 10 else ""
        yield f"{place}: nothing is known of {', '.join(strange[:10])}{more}; the step is simulated without"


def _arguments(text: str, place: str) -> dict[str, Any]:
    found = _printed(text.splitlines())
    if len(found) < _FEWEST:
        found = _flags(text, place)
    if {"pipe_parallel_size", "train_micro_batch_size_per_gpu"} & found.keys():
        raise ConfigError(
            f"{place}: holds arguments of GPT-NeoX, which are not read; write the fields of [model] inline"
        )
    if len(found) < _FEWEST:
        raise ConfigError(
            f"{place}: holds no arguments of Megatron-LM; give the lines `num_layers ...... 96` that a run prints, or its "
            "launch script"
        )
    return found


_OF_BERT = ("BertWordPieceLowerCase", "BertWordPieceCase")


def _refuse_foreign(args: Section, text: str) -> None:
    """Raise one sentence that names a model of another kind."""
    program = _PROGRAM.search(text)
    kind = None if program is None else next((name for name in SCRIPTS if program[1].startswith(name)), None)
    if program is not None and kind is not None:
        raise ConfigError(f"{args.place}: {program[0]} says that the model {SCRIPTS[kind]}{_not_modelled(kind)}")
    for name, what in REFUSED.items():
        value = args.get(name)
        if not is_off(value) and value not in ("None", "standard", args.values.get("num_layers")):
            raise ConfigError(f"{args.place}: {name} is {value}, so the model {what}, which is not modelled")
    if args.get("tokenizer_type") in _OF_BERT:
        tokenizer = args.get("tokenizer_type")
        raise ConfigError(f"{args.place}: tokenizer_type is {tokenizer}, so the model {SCRIPTS['bert']}")


def _not_modelled(kind: str) -> str:
    return "" if kind == "bert" else ", which is not modelled"


def read_megatron(path: Path, given: Iterable[str] = ()) -> Imported:
    """Read a block of printed arguments, or a launch script.

    Raises
    ------
    ConfigError
        No arguments, or ones that are missing, of a wrong type or not modelled; all problems together.
    """
    place, text = shown(path), read_text(path)
    problems: list[str] = []
    args = Section(_arguments(text, place), place, problems)
    _refuse_foreign(args, text)
    read = {table: Fields(args, table, given if table == "model" else ()) for table in _TABLES}
    for table, entries in _TABLES.items():
        for name, entry in entries.items():
            read[table].read(name, entry)
    for name in MATTER:
        args.get(name)
    harmless = _harmless(args)
    said = defaults_said(read["model"].understood)
    defaults = [f"{place}: does not say, and Megatron-LM has: {said}"] if said else []
    notes = (*defaults, *_notes(place, args, harmless))
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
        harmless=harmless,
        notes=notes,
    )


_TABLES: dict[str, Mapping[str, Any]] = {
    "model": MODEL,
    "training": TRAINING,
    "parallelism": PARALLELISM,
    "cluster": CLUSTER,
}

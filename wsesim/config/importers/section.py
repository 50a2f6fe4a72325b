"""What importers of foreign files share: reading key by key, what became of each key, and naming what is not read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from wsesim.errors import ConfigError, did_you_mean

# What all importers of foreign files share: reading a mapping key by key, and remembering what became of each key.


REQUIRED: Final = object()
"""Default of a key that must be there."""

_LONGEST_VALUE, _LONGEST_KEY = 40, 100
_LARGEST_NUMBER = 10**18
_DEEPEST = 4


class Understood(NamedTuple):
    """How one field of wsesim came out of a foreign file.

    Attributes
    ----------
    field
        Dotted, such as ``model.hidden_size``.
    keys
        Of the file, that were looked at.
    is_default
        Whether none of them is in the file.
    """

    field: str
    value: Any
    keys: tuple[str, ...]
    is_default: bool


_SAID = {
    "position_embedding": "{} positions",
    "normalization": "{}",
    "tie_embeddings": "tied embeddings",
    "gated_mlp": "a gated MLP",
    "qkv_bias": "biases of queries, keys and values",
    "parallel_block": "parallel blocks",
}


_NOT_SAID = frozenset({"final_norm", "pooler", "num_labels", "embedding_norm", "masked_positions", "attention_dropout"})
"""Fields of which no reader would expect anything else."""


def defaults_said(understood: Iterable[Understood]) -> str:
    """What of a model's shape no key of the file says; nothing where all is said, or nothing is switched on."""
    words = []
    for one in understood:
        table, _, name = one.field.partition(".")
        if name in _NOT_SAID or table != "model" or not one.is_default or not one.keys:
            continue
        if one.value not in (False, 0, "none"):
            words.append(_SAID[name].format(one.value) if name in _SAID else f"{name} = {one.value}")
    return ", ".join(words)


@dataclass(frozen=True)
class Imported:
    """What was read from a foreign file.

    Attributes
    ----------
    model, training, cluster, parallelism
        Fields of the tables of a run file.
    understood
        How each field came about.
    harmless
        Keys that were passed over, and why.
    longest_sequence
        Tokens that the model takes, where the file says so but does not train with so many. [-]
    """

    kind: str
    model: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    parallelism: dict[str, Any] = field(default_factory=dict)
    understood: tuple[Understood, ...] = ()
    harmless: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    longest_sequence: int | None = None


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

    A read that fails notes its problem and goes on, so that all problems of a file come together. Every key that is asked
    for counts as read; `unread` are the others.

    Examples
    --------
    >>> problems = []
    >>> section = Section({"n_layer": "twelve"}, "config.json", problems)
    >>> section.count("n_layer")
    >>> problems
    ["config.json: n_layer is 'twelve'; write a whole number of at least 1"]
    """

    def __init__(
        self,
        values: Mapping[Any, Any],
        place: str,
        problems: list[str],
        prefix: str = "",
        asked: list[tuple[str, bool]] | None = None,
    ) -> None:
        self.values = values
        self.place = place
        self.problems = problems
        self.prefix = prefix
        self.asked: list[tuple[str, bool]] = [] if asked is None else asked

    def get(self, name: str) -> Any:
        """A value as it stands; the key counts as read."""
        value = self.values.get(name)
        self.asked.append((self.prefix + name, name in self.values))
        return value

    def has(self, name: str) -> bool:
        """Whether the key is there and not null."""
        return self.get(name) is not None

    def problem(self, name: str, finding: str) -> None:
        """Note one finding, with its remedy, about one key."""
        self.problems.append(f"{self.place}: {self.prefix}{name} {finding}")

    def raw(self, names: Iterable[str], default: Any = None, null: bool = False) -> tuple[str, Any]:
        """Return the spelling that the file uses for a key, and its value as it stands.

        An explicit null is like a key left out, except where `null` makes it a value of its own.
        """
        spellings = tuple(names)
        found = {name: self.get(name) for name in spellings}
        known = [name for name in spellings if name in self.values and (null or found[name] is not None)]
        if not known:
            if default is REQUIRED:
                self.problem(spellings[0], "is missing; add it")
            return spellings[0], None if default is REQUIRED else default
        if any(found[name] != found[known[0]] for name in known[1:]):
            self.problem(known[0], f"and {known[1]} name the same thing but differ; keep one of them")
        return known[0], found[known[0]]

    def count(self, *names: str, default: Any = REQUIRED, null: bool = False, at_least: int = 1) -> int | None:
        """Read a whole number."""
        name, value = self.raw(names, default, null)
        if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_NUMBER:
            value = int(value)
        if value is None or (type(value) is int and value >= at_least):
            return value
        self.problem(name, f"is {value_shown(value)}; write a whole number of at least {at_least}")
        return None

    def share(self, *names: str, default: Any = None) -> float | None:
        """Read a number from 0 to below 1."""
        name, value = self.raw(names, default)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1):
            return None if value is None else float(value)
        self.problem(name, f"is {value_shown(value)}; write a number from 0 to below 1, such as 0.1")
        return None

    def flag(self, *names: str, default: Any = REQUIRED) -> bool:
        """Read a switch."""
        name, value = self.raw(names, default)
        if value is not None and not isinstance(value, bool):
            self.problem(name, f"is {value_shown(value)}; write true or false")
        return value is True

    def text(self, *names: str, default: Any = REQUIRED) -> str | None:
        """Read a word, whatever it is, in lower case."""
        name, value = self.raw(names, default)
        if value is None or isinstance(value, str):
            return None if value is None else value.lower()
        self.problem(name, f"is {value_shown(value)}; write a word")
        return None

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
        value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.problem(name, f"is {value_shown(value)}; write a mapping of keys")
        return self.inside(name, value if isinstance(value, Mapping) else {})

    def inside(self, name: str, values: Mapping[Any, Any]) -> Section:
        """What stands for the mapping under a key; its keys count as read here, too."""
        return Section(values, self.place, self.problems, f"{self.prefix}{name}.", self.asked)

    def refuse(self, names: Iterable[str], remedy: str) -> None:
        """Note every key of `names` that is switched on."""
        for name in names:
            value = self.get(name)
            if value:
                self.problem(name, f"is {value_shown(value)}, whose parameters are not modelled; {remedy}")

    def unread(self) -> dict[str, Any]:
        """Keys that nobody asked for, dotted, with their values; of a section that was opened the keys inside it."""
        asked = {name for name, _ in self.asked}
        opened = {name.rpartition(".")[0] for name in asked}
        return {
            name: value
            for name, value, is_open in _flat(self.values, self.prefix, opened)
            if not is_open and name not in asked
        }


def _flat(values: Mapping[Any, Any], prefix: str, opened: set[str]) -> Iterator[tuple[str, Any, bool]]:
    """All keys, and whether what lies below was opened key by key."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        is_open = isinstance(value, Mapping) and name in opened and name.count(".") < _DEEPEST
        yield name, value, is_open
        if is_open:
            yield from _flat(value, name + ".", opened)


class Fields:
    """Reads fields one after another and remembers from which keys each came."""

    def __init__(self, section: Section, table: str, given: Iterable[str] = ()) -> None:
        self.section = section
        self.table = table
        self.given = frozenset(given)
        self.found: dict[str, Any] = {}
        self.understood: list[Understood] = []

    def read(self, name: str, entry: Any) -> None:
        """Read one field: a constant, or a function of the section; what a run file gives itself is not asked for."""
        before, problems = len(self.section.asked), len(self.section.problems)
        value = entry(self.section) if callable(entry) else entry
        if name in self.given:
            del self.section.problems[problems:]
            return
        asked = dict.fromkeys(self.section.asked[before:])
        there = tuple(dict.fromkeys(key for key, is_there in asked if is_there))
        keys = there or tuple(dict.fromkeys(key for key, _ in asked))
        if value is not None:
            self.found[name] = value
            self.understood.append(Understood(f"{self.table}.{name}", value, keys, not there))

    def drop(self, name: str) -> None:
        """Forget a field that another one makes meaningless."""
        self.found.pop(name, None)
        self.understood = [one for one in self.understood if one.field != f"{self.table}.{name}"]


Reasons = Iterable[tuple[str, str]]
"""Patterns of keys, and why these keys change nothing that wsesim works out."""


def read_reasons(text: str) -> Reasons:
    r"""A table of them, written as a line that says why, and patterns below it, indented.

    Examples
    --------
    >>> read_reasons("how it runs\n    seed .*_seed\n    device.*")
    [('seed|.*_seed|device.*', 'how it runs')]
    """
    found: list[tuple[list[str], str]] = []
    for line in text.split("\n"):
        if line.startswith(" "):
            found[-1][0].extend(line.split())
        elif line:
            found.append(([], line))
    return [("|".join(patterns), why) for patterns, why in found]


def pass_over(section: Section, reasons: Reasons, remedy: Callable[[Any], str]) -> dict[str, str]:
    """Why each key that was not read is harmless; what is neither read nor harmless is a problem, with `remedy`.

    A switch that is off adds nothing, and a bare word names something; both are harmless whatever they belong to, but for words
    that say of what kind a part of the model is.
    """
    compiled = [(re.compile(pattern), reason) for pattern, reason in reasons]
    harmless: dict[str, str] = {}
    for name, value in section.unread().items():
        last = name.rpartition(".")[2]
        why = next((reason for pattern, reason in compiled if pattern.fullmatch(last) or pattern.fullmatch(name)), None)
        if why is None and is_off(value):
            why = "switched off"
        if why is None and isinstance(value, str):
            why = _why_a_word(last, value.lower())
        if why is None and isinstance(value, float) and not value.is_integer():
            why = "a coefficient, which counts nothing"
        if why is None:
            section.problems.append(f"{section.place}: {printable(name)} {remedy(value)}")
        else:
            harmless[name] = why
    return harmless


_SHAPES = re.compile(
    r"(?:.*_)?(?:attention|attn|mlp|ffn|moe|experts?|norm|layernorm|mixer|blocks?|layers?|ssm|position|embeddings?)(?:_.*)?"
    r"_?(?:type|kind|class|cls|style|variant|mode|pattern|arch)s?"
)
"""Keys that say of what kind a part of the model is."""
_USUAL = re.compile(
    r"default|standard|none|null|full|full_attention|global|causal|softmax|dense|mha|gqa|mqa|multi_head|multihead|"
    r"self|self_attention|scaled_dot_product|dot_product|eager|sdpa|flash|flash_attention|flash_attention_2|gated|"
    r"float32|bfloat16|float16"
)
"""Kinds that every model here is of."""


def _why_a_word(key: str, value: str) -> str | None:
    """Why a word of an unknown key is harmless; None where it may say of what kind a part of the model is."""
    if not _SHAPES.fullmatch(key.lower()):
        return "a word, which counts nothing"
    return "the kind that is taken" if _USUAL.fullmatch(value) else None


def printable(name: str) -> str:
    """A key of a foreign file in a message, whatever it holds."""
    return "".join(sign if sign.isprintable() else "?" for sign in name[:_LONGEST_KEY])


def is_off(value: Any) -> bool:
    """Whether a value adds nothing: null, false, 0, or empty."""
    return value is None or value is False or (isinstance(value, int | float) and value == 0) or value in ("", [], {})


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


# Names what a file is that is not read, so that one sentence can say it.
#
# `MODEL_TYPES` holds families of Hugging Face that are known but not modelled, `JSON_FILES` and `YAML_FILES` files
# that lie beside model files, recognised by their keys.


ENCODER_DECODER = "has an encoder and a decoder"
VISION = "reads pictures"
SPEECH = "reads sound"
BOTH = "reads pictures or sound beside text"
STATE = "has layers of a state space or of linear attention"

_TYPES: Final = {
    ENCODER_DECODER: "t5 mt5 umt5 switch_transformers longt5 byt5 ul2 bart mbart pegasus pegasus_x marian m2m_100 nllb-moe "
    "blenderbot blenderbot-small fsmt led prophetnet xlm-prophetnet bigbird_pegasus plbart mvp encoder-decoder t5gemma "
    "bert-generation reformer udop",
    VISION: "vit vit_mae vit_msn deit beit swin swinv2 dinov2 dinov3_vit convnext convnextv2 resnet regnet efficientnet "
    "mobilenet_v1 mobilenet_v2 mobilevit detr conditional_detr deformable_detr rt_detr yolos sam sam2 segformer maskformer "
    "mask2former poolformer levit cvt dpt glpn bit focalnet pvt van videomae timesformer vivit ijepa hiera siglip_vision_model "
    "clip_vision_model depth_anything "
    "chmv2 d_fine deimv2 depth_pro dinat edgetam efficientloftr eomt hgnet_v2 imagegpt lightglue maskformer-swin mlcd "
    "mobilevitv2 oneformer pixio pp_doclayout_v2 pp_doclayout_v3 pp_doclayout_v4 pp_lcnet pp_lcnet_v3 "
    "pp_lcnet_v4 prompt_depth_anything pvt_v2 sapiens2 slanet slanext superglue superpoint swiftformer swin2sr table-transformer "
    " textnet timm_backbone timm_wrapper tipsv2_dpt upernet uvdoc_backbone videomt vitdet vitmatte vitpose "
    "vitpose_backbone vjepa2 zoedepth nougat trocr seggpt uvdoc tvp radio aimv2 mgp-str bridgetower lxmert "
    "modernvbert rf_detr",
    SPEECH: "whisper wav2vec2 wav2vec2-bert hubert wavlm unispeech sew speech_to_text speecht5 seamless_m4t seamless_m4t_v2 "
    "audio-spectrogram-transformer clap encodec musicgen bark vits moshi dac mimi moonshine data2vec-audio "
    "canary fastspeech2_conformer moonshine_streaming nemotron3_diarization neucodec parakeet_rnnt parakeet_tdt "
    "pop2piano sew-d unispeech-sat vibevoice wav2vec2-conformer xcodec xcodec2 audioflamingo3 musicflamingo "
    "musicgen_melody univnet wavtokenizer csm_depth_decoder_model",
    BOTH: "llava llava_next llava_onevision llava_next_video video_llava vipllava llava-mistral llava_llama clip siglip siglip2 "
    "align altclip blip blip-2 instructblip flava git idefics idefics2 idefics3 smolvlm kosmos-2 mllama paligemma pix2struct "
    "qwen2_vl qwen2_5_vl qwen3_vl qwen3_vl_moe qwen2_audio qwen2_5_omni qwen3_omni_moe mistral3 pixtral fuyu chameleon emu3 "
    "janus internvl internvl_chat minicpmv minicpmo phi3_v phi4mm phi4_multimodal aria molmo deepseek_vl deepseek_vl_v2 "
    "deepseek_vl_hybrid cogvlm ovis glm4v glm4v_moe kimi_vl gemma3n gemma3n_text vision-text-dual-encoder vilt visual_bert "
    "layoutlm layoutlmv2 layoutlmv3 donut-swin florence2 florence vision-encoder-decoder speech-encoder-decoder got_ocr2 "
    "llama4_vision ayavision aya_vision ultravox voxtral granite_speech csm dia owlvit owlv2 groupvit xclip colpali colqwen2 "
    "apertus1p5 chinese_clip clipseg cohere_compass colmodernvbert cosmos3_edge cosmos3_omni deepseek_ocr2 "
    "diffusion_gemma evolla exaone4_5 glm46v glm5_next glmasr glmga granite_docling grounding-dino inkling2 "
    "inkling2_loop instructblipvideo kimi_k25 kosmos-2.5 metaclip_2 minicpmv4_6 minicpmv4_7 mistral4 mistral_large4 "
    "mm-grounding-dino molmo2 muse_glimmer muse_spark nemo_speechlm nemotron_h_omni omdet-turbo omniasr ovis2 "
    "perception_lm pi0 pp_chart2table pp_formulanet qwen2_5_omni_thinker qwen3_omni_moe_thinker shieldgemma2 step3p7 "
    "t5gemma2 tipsv2 videoprism voxtral_realtime",
    STATE: "mamba mamba2 falcon_mamba jamba bamba zamba zamba2 rwkv rwkv5 rwkv6 rwkv7 retnet hgrn recurrent_gemma griffin "
    "xlstm stripedhyena nemotron_h granitemoehybrid falcon_h1 qwen3_next kimi_linear minimax minimax_m1 lfm2 hyena plamo2 "
    "lightning_attention minimax_text_01 bailing_moe_linear "
    "olmo_hybrid lfm2_moe lfm3 qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text bailing_hybrid",
    "has blocks of unequal width": "openelm deci nemotron-nas decilm gemma4 gemma4_text",
    "shares the weights of its blocks": "albert",
    "has relative positions of its own in every block": "deberta deberta-v2 xlnet transfo-xl mpnet funnel",
    "chooses its keys": "longformer big_bird bigbird led nystromformer yoso deepseek_v32 glm_moe_dsa",
    "skips experts or tokens": "longcat_flash",
    "adds a table of languages": "xlm flaubert xmod",
    "is trained beside a second network": "electra",
    "reads proteins and has a head for their contacts beside its blocks": "esm esmc esmfold2",
    "mixes tokens without attention to all of them": "fnet convbert squeezebert canine perceiver",
    "scales or gates what attention gives by more parameters": "apertus bitnet afmoe diffllama doge step3p5",
    "begins with a block that has a norm less": "modernbert modernbert-decoder",
    "is a time series model": "patchtsmixer timesfm2_5 time_series_transformer informer autoformer patchtst timesfm",
    "is a model of proteins": "esmfold",
    "is a decision transformer": "decision_transformer trajectory_transformer",
}
MODEL_TYPES: Final = {name: what for what, names in _TYPES.items() for name in names.split()}
"""What each family is that keeps it from being read, by ``model_type``."""

Mark = tuple[frozenset[str], str]


def _mark(keys: str, what: str) -> Mark:
    return frozenset(keys.split()), what


_GENERATION = "a generation_config.json, which says how text is written; the config.json beside it describes the model"
_TOKENIZER = "a tokenizer; the config.json beside it describes the model"
JSON_FILES: Final = (
    _mark("_class_name", "a component of a diffusion pipeline (diffusers), which is not modelled"),
    _mark("peft_type", "the configuration of an adapter (PEFT), which trains few weights and is not modelled"),
    _mark("weight_map", "the index of a checkpoint's files; the config.json beside it describes the model"),
    _mark("added_tokens_decoder", f"the configuration of {_TOKENIZER}"),
    _mark("tokenizer_class model_max_length", f"the configuration of {_TOKENIZER}"),
    _mark("added_tokens pre_tokenizer", _TOKENIZER),
    _mark("zero_optimization", "a DeepSpeed configuration, which says how is trained but not what"),
    _mark("train_micro_batch_size_per_gpu", "a DeepSpeed configuration, which says how is trained but not what"),
    _mark("ssm_cfg", "a Mamba model, which has layers of a state space and is not modelled"),
    _mark("image_processor_type", "the configuration of an image processor; it describes no model"),
    _mark("feature_extractor_type", "the configuration of a feature extractor; it describes no model"),
    _mark("dataset_name", "a data set's description; it describes no model"),
    _mark("step_time_s training", "an answer of wsesim; give the run file or the config.json"),
    _mark("nbformat cells", "a notebook; it describes no model"),
    _mark("do_sample", _GENERATION),
    _mark("temperature", _GENERATION),
    _mark("vision_cfg", "an OpenCLIP model, which reads pictures and is not modelled"),
)
"""Files that a ``config.json`` is mistaken for, by keys that all of them have."""


def name_file(marks: Iterable[Mark], document: Mapping[str, Any]) -> str | None:
    """What a file is, if it is none that is read; None for one that may be."""
    return next((what for keys, what in marks if keys <= document.keys()), None)


_WORDS: Final = (
    (re.compile(r"(^|[_-])(vision|image|video|vit|vlm?|ocr(v\d)?|detr|dinov\d|sam\d?|vqgan)([_-]|$)"), VISION),
    (re.compile(r"(^|[_-])(audio|speech|asr|tts|ctc|transcribe|acoustic|codec)([_-]|$)"), SPEECH),
)
"""Words inside a ``model_type`` that say what its model reads."""


def name_family(model_type: str) -> str | None:
    """Why a family is not read: it is known, or its name says so; None for one that nobody knows."""
    name = model_type.lower()
    said = next((what for word, what in _WORDS if word.search(name) and not re.search(r"_text(_model)?$", name)), None)
    return MODEL_TYPES.get(name, said)


PICTURE_KEYS = ("vision_config", "vision_tower", "audio_config", "visual", "mm_vision_tower")


def name_parts(document: Mapping[str, Any]) -> str | None:
    """Why a file of any family is not read: what it has beside a chain of blocks."""
    if document.get("is_encoder_decoder"):
        return ENCODER_DECODER
    if any(document.get(key) for key in PICTURE_KEYS):
        return BOTH
    if "patch_size" in document and "image_size" in document:
        return VISION
    if any(document.get(key) for key in ("num_mel_bins", "feat_extract_norm", "audio_channels")):
        return SPEECH
    if document.get("encoder_layers") and document.get("decoder_layers"):
        return ENCODER_DECODER
    if any(key.startswith(("ssm_", "mamba_")) for key in document if isinstance(key, str)):
        return STATE
    return None


YAML_FILES: Final = (
    _mark("max_seq_len model optimizer train_loader", "a configuration of llm-foundry; give the model's config.json"),
    _mark("base_model", "a configuration of axolotl; give the config.json of the model it names"),
    _mark("model_name_or_path", "a configuration of a fine-tuning script; give the config.json of the model it names"),
    _mark("pipe-parallel-size", "a GPT-NeoX configuration; write the fields of [model] inline"),
    _mark("pipe_parallel_size", "a GPT-NeoX configuration; write the fields of [model] inline"),
    _mark("exp_manager trainer", "a NeMo configuration; write the fields of [model] inline"),
    _mark("max_duration model tokenizer", "an OLMo configuration; give the model's config.json"),
    _mark("version services", "a Docker Compose file; it describes no model"),
    _mark("apiVersion kind", "a Kubernetes manifest; it describes no model"),
    _mark("defaults", "a Hydra configuration that is put together from other files; give the file it results in"),
    _mark("width depth heads", "a gigaGPT configuration; write the fields of [model] inline"),
)
"""Files that a ``params.yaml`` is mistaken for."""

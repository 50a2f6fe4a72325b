"""Names what a file is that is not read, so that one sentence can say it.

`MODEL_TYPES` holds families of Hugging Face that are known but not modelled, `JSON_FILES` and `YAML_FILES` files that lie beside
model files, recognised by their keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

ENCODER_DECODER = "has an encoder and a decoder"
VISION = "reads pictures"
SPEECH = "reads sound"
BOTH = "reads pictures or sound beside text"
STATE = "has layers of a state space or of linear attention"
DIFFUSION = "is a network of image diffusion"

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


JSON_FILES: Final = (
    _mark("_diffusers_version _class_name", "a component of a diffusion pipeline (diffusers), which is not modelled"),
    _mark("_class_name", "a component of a diffusion pipeline (diffusers), which is not modelled"),
    _mark("peft_type", "the configuration of an adapter (PEFT), which trains few weights and is not modelled"),
    _mark("weight_map", "the index of a checkpoint's files; the config.json beside it describes the model"),
    _mark("added_tokens_decoder", "the configuration of a tokenizer; the config.json beside it describes the model"),
    _mark(
        "tokenizer_class model_max_length",
        "the configuration of a tokenizer; the config.json beside it describes the model",
    ),
    _mark("added_tokens pre_tokenizer", "a tokenizer; the config.json beside it describes the model"),
    _mark("zero_optimization", "a DeepSpeed configuration, which says how is trained but not what"),
    _mark("train_micro_batch_size_per_gpu", "a DeepSpeed configuration, which says how is trained but not what"),
    _mark("ssm_cfg", "a Mamba model, which has layers of a state space and is not modelled"),
    _mark("image_processor_type", "the configuration of an image processor; it describes no model"),
    _mark("feature_extractor_type", "the configuration of a feature extractor; it describes no model"),
    _mark("dataset_name", "a data set's description; it describes no model"),
    _mark("step_time_s training", "an answer of wsesim; give the run file or the config.json"),
    _mark("nbformat cells", "a notebook; it describes no model"),
    _mark(
        "do_sample",
        "a generation_config.json, which says how text is written; the config.json beside it describes the model",
    ),
    _mark(
        "temperature",
        "a generation_config.json, which says how text is written; the config.json beside it describes the model",
    ),
    _mark("embed_dim vision_cfg", "an OpenCLIP model, which reads pictures and is not modelled"),
    _mark("vision_cfg", "an OpenCLIP model, which reads pictures and is not modelled"),
)
"""Files that a ``config.json`` is mistaken for, by keys that all of them have."""


def name_json(document: Mapping[str, Any]) -> str | None:
    """What a JSON file is, if it is none that is read; None for one that may be."""
    return _first(JSON_FILES, document)


def _first(marks: Iterable[Mark], document: Mapping[str, Any]) -> str | None:
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


def name_yaml(document: Mapping[str, Any]) -> str | None:
    """What a YAML file is, if it is none that is read; None for one that may be."""
    return _first(YAML_FILES, document)

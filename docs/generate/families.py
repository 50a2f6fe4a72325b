"""Counts real shapes of every family with `transformers` on the meta device: ``python docs/generate/families.py``.

Writes ``tests/config/data/families.json``, against which the importer of ``config.json`` is tested. Needs torch and
transformers, which wsesim itself never imports. Shapes are those of published files; families of which the package has no
class carry the count of the published weights instead.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[2] / "tests" / "config" / "data" / "families.json"
Config = dict[str, Any]


def _shape(hidden: int, inside: int, layers: int, heads: int, keys: int | None, vocabulary: int, **more: Any) -> Config:
    """Keys that most families share."""
    found: Config = {
        "hidden_size": hidden,
        "intermediate_size": inside,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
    }
    return found | ({} if keys is None else {"num_key_value_heads": keys}) | more


def _of(model_type: str, *shape: Any, **more: Any) -> Config:
    return {"model_type": model_type, **_shape(*shape, **more)}


UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}
_GEMMA_LAYERS = {"sliding_window": 4096, "query_pre_attn_scalar": 256}
_MOE: Config = {"num_experts_per_tok": 8, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []}
_MLA: Config = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
_V3: Config = {
    "q_lora_rank": 1536,
    **_MLA,
    "moe_intermediate_size": 2048,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
}
_GLM: Config = {
    "num_layers": 40,
    "hidden_size": 4096,
    "ffn_hidden_size": 13_696,
    "kv_channels": 128,
    "num_attention_heads": 32,
}
_GLM |= {"multi_query_attention": True, "multi_query_group_num": 2, "add_bias_linear": False, "add_qkv_bias": True}
_GLM |= {"rmsnorm": True, "post_layer_norm": True, **UNTIED}

COUNTED: dict[str, Config] = {
    "Llama 2 7B": _of("llama", 4096, 11_008, 32, 32, 32, 32_000) | UNTIED,
    "Llama 2 70B": _of("llama", 8192, 28_672, 80, 64, 8, 32_000) | UNTIED,
    "Llama 3.1 8B": _of("llama", 4096, 14_336, 32, 32, 8, 128_256) | UNTIED,
    "Llama 3.1 405B": _of("llama", 16_384, 53_248, 126, 128, 8, 128_256) | UNTIED,
    "Llama 3.2 1B": _of("llama", 2048, 8192, 16, 32, 8, 128_256, head_dim=64) | TIED,
    "TinyLlama 1.1B": _of("llama", 2048, 5632, 22, 32, 4, 32_000) | UNTIED,
    "Yi 34B": _of("llama", 7168, 20_480, 60, 56, 8, 64_000) | UNTIED,
    "SmolLM2 135M": _of("llama", 576, 1536, 30, 9, 3, 49_152) | TIED,
    "DeepSeek LLM 7B": _of("llama", 4096, 11_008, 30, 32, 32, 102_400) | UNTIED,
    "Mistral 7B v0.1": _of("mistral", 4096, 14_336, 32, 32, 8, 32_000, sliding_window=4096) | UNTIED,
    "Mistral Nemo 12B": _of("mistral", 5120, 14_336, 40, 32, 8, 131_072, head_dim=128, sliding_window=None) | UNTIED,
    "Mistral Large 123B": _of("mistral", 12_288, 28_672, 88, 96, 8, 32_768, sliding_window=None) | UNTIED,
    "Mixtral 8x7B": _of("mixtral", 4096, 14_336, 32, 32, 8, 32_000, num_local_experts=8, num_experts_per_tok=2) | UNTIED,
    "Mixtral 8x22B": _of("mixtral", 6144, 16_384, 56, 48, 8, 32_768, num_local_experts=8, num_experts_per_tok=2) | UNTIED,
    "Qwen2 0.5B": _of("qwen2", 896, 4864, 24, 14, 2, 151_936, use_sliding_window=False, sliding_window=32_768) | TIED,
    "Qwen2.5 72B": _of("qwen2", 8192, 29_568, 80, 64, 8, 152_064, use_sliding_window=False) | UNTIED,
    "Qwen1.5 MoE A2.7B": _of(
        "qwen2_moe", 2048, 5632, 24, 16, 16, 151_936, num_experts=60, num_experts_per_tok=4, decoder_sparse_step=1,
        moe_intermediate_size=1408, shared_expert_intermediate_size=5632,
    ) | UNTIED,
    "Qwen2 57B A14B": _of(
        "qwen2_moe", 3584, 18_944, 28, 28, 4, 151_936, num_experts=64, num_experts_per_tok=8, decoder_sparse_step=1,
        moe_intermediate_size=2560, shared_expert_intermediate_size=20_480,
    ) | UNTIED,
    "Qwen3 0.6B": _of("qwen3", 1024, 3072, 28, 16, 8, 151_936, head_dim=128) | TIED,
    "Qwen3 8B": _of("qwen3", 4096, 12_288, 36, 32, 8, 151_936, head_dim=128, attention_bias=False) | UNTIED,
    "Qwen3 32B": _of("qwen3", 5120, 25_600, 64, 64, 8, 151_936, head_dim=128) | UNTIED,
    "Qwen3 30B A3B": _of("qwen3_moe", 2048, 6144, 48, 32, 4, 151_936, head_dim=128, num_experts=128,
                         moe_intermediate_size=768) | _MOE | UNTIED,
    "Qwen3 235B A22B": _of("qwen3_moe", 4096, 12_288, 94, 64, 4, 151_936, head_dim=128, num_experts=128,
                           moe_intermediate_size=1536) | _MOE | UNTIED,
    "Qwen3 MoE, two dense blocks": _of("qwen3_moe", 2048, 6144, 8, 32, 4, 151_936, head_dim=128, num_experts=16,
                                       moe_intermediate_size=768) | _MOE | {"mlp_only_layers": [0, 1]} | UNTIED,
    "Qwen3 MoE, every second block": _of("qwen3_moe", 2048, 6144, 8, 32, 4, 151_936, head_dim=128, num_experts=16,
                                         moe_intermediate_size=768) | _MOE | {"decoder_sparse_step": 2} | UNTIED,
    "SmolLM3 3B": _of("smollm3", 2048, 11_008, 36, 16, 4, 128_256) | TIED,
    "Nemotron 4 15B": _of("nemotron", 6144, 24_576, 32, 48, 8, 256_000, head_dim=128) | UNTIED,
    "Minitron 4B": _of("nemotron", 3072, 9216, 32, 24, 8, 256_000, head_dim=128) | UNTIED,
    "Nemotron 4 340B": _of("nemotron", 18_432, 73_728, 96, 96, 8, 256_000, head_dim=192) | UNTIED,
    "Command R 35B": _of("cohere", 8192, 22_528, 40, 64, 64, 256_000, use_qk_norm=False) | TIED,
    "Command R+ 104B": _of("cohere", 12_288, 33_792, 64, 96, 8, 256_000, use_qk_norm=True) | TIED,
    "Aya 23 8B": _of("cohere", 4096, 14_336, 32, 32, 8, 256_000) | TIED,
    "Command R7B": _of("cohere2", 4096, 14_336, 32, 32, 8, 256_000, sliding_window=4096, sliding_window_pattern=4) | TIED,
    "Phi 1.5": _of("phi", 2048, 8192, 24, 32, None, 51_200) | UNTIED,
    "Phi 2": _of("phi", 2560, 10_240, 32, 32, 32, 51_200) | UNTIED,
    "Phi 3 mini 4k": _of("phi3", 3072, 8192, 32, 32, 32, 32_064, sliding_window=2047) | UNTIED,
    "Phi 4 14B": _of("phi3", 5120, 17_920, 40, 40, 10, 100_352, sliding_window=None) | UNTIED,
    "Phi 3.5 MoE": _of("phimoe", 4096, 6400, 32, 32, 8, 32_064, num_local_experts=16, num_experts_per_tok=2,
                       attention_bias=True, lm_head_bias=True, sliding_window=131_072) | UNTIED,
    "Granite 3.1 8B": _of("granite", 4096, 12_800, 40, 32, 8, 49_155) | TIED,
    "Granite 3.0 3B A800M": _of("granitemoe", 1536, 512, 32, 24, 8, 49_155, num_local_experts=40,
                                num_experts_per_tok=8) | TIED,
    "Granite MoE with a shared expert": _of("granitemoeshared", 1536, 512, 8, 24, 8, 49_155, num_local_experts=40,
                                            num_experts_per_tok=8, shared_intermediate_size=1024) | TIED,
    "Gemma 2B": _of("gemma", 2048, 16_384, 18, 8, 1, 256_000, head_dim=256),
    "Gemma 7B": _of("gemma", 3072, 24_576, 28, 16, 16, 256_000, head_dim=256),
    "Gemma 2 2B": _of("gemma2", 2304, 9216, 26, 8, 4, 256_000, head_dim=256) | _GEMMA_LAYERS,
    "Gemma 2 27B": _of("gemma2", 4608, 36_864, 46, 32, 16, 256_000, head_dim=128) | _GEMMA_LAYERS,
    "Gemma 3 1B": _of("gemma3_text", 1152, 6912, 26, 4, 1, 262_144, head_dim=256, sliding_window=512,
                      sliding_window_pattern=6),
    "Gemma 3 27B, its text": _of("gemma3_text", 5376, 21_504, 62, 32, 16, 262_208, head_dim=128, sliding_window=1024),
    "OLMo 2 7B": _of("olmo2", 4096, 11_008, 32, 32, 32, 100_352) | UNTIED,
    "OLMo 2 32B": _of("olmo2", 5120, 27_648, 64, 40, 8, 100_352) | UNTIED,
    "OLMo 3 7B": _of("olmo3", 4096, 11_008, 32, 32, 32, 100_278, sliding_window=4096) | UNTIED,
    "OLMoE 1B 7B": _of("olmoe", 2048, 1024, 16, 16, 16, 50_304, num_experts=64, num_experts_per_tok=8) | UNTIED,
    "gpt-oss 20B": _of("gpt_oss", 2880, 2880, 24, 64, 8, 201_088, head_dim=64, num_local_experts=32,
                       num_experts_per_tok=4, sliding_window=128) | UNTIED,
    "gpt-oss 120B": _of("gpt_oss", 2880, 2880, 36, 64, 8, 201_088, head_dim=64, num_local_experts=128,
                        num_experts_per_tok=4, sliding_window=128) | UNTIED,
    "DeepSeek V2 Lite": _of("deepseek_v2", 2048, 10_944, 27, 16, 16, 102_400, q_lora_rank=None, **_MLA,
                            moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6,
                            first_k_dense_replace=1) | UNTIED,
    "DeepSeek V2 236B": _of("deepseek_v2", 5120, 12_288, 60, 128, 128, 102_400, q_lora_rank=1536, **_MLA,
                            moe_intermediate_size=1536, n_routed_experts=160, n_shared_experts=2, num_experts_per_tok=6,
                            first_k_dense_replace=1) | UNTIED,
    "DeepSeek V3": _of("deepseek_v3", 7168, 18_432, 61, 128, 128, 129_280, n_routed_experts=256, first_k_dense_replace=3,
                       **_V3) | UNTIED,
    "GLM 4 9B (new)": _of("glm4", 4096, 13_696, 40, 32, 2, 151_552, head_dim=128, attention_bias=False) | UNTIED,
    "GLM 4 9B chat": _of("glm", 4096, 13_696, 40, 32, 2, 151_552, head_dim=128, attention_bias=True) | UNTIED,
    "GLM 4.5 Air": _of("glm4_moe", 4096, 10_944, 46, 96, 8, 151_552, head_dim=128, attention_bias=True, use_qk_norm=False,
                       moe_intermediate_size=1408, n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8,
                       first_k_dense_replace=1) | UNTIED,
    "GLM 4.5": _of("glm4_moe", 5120, 12_288, 92, 96, 8, 151_552, head_dim=128, attention_bias=True, use_qk_norm=True,
                   moe_intermediate_size=1536, n_routed_experts=160, n_shared_experts=1, num_experts_per_tok=8,
                   first_k_dense_replace=3) | UNTIED,
    "Llama 4 Scout, its text": _of("llama4_text", 5120, 8192, 48, 40, 8, 202_048, head_dim=128, intermediate_size_mlp=16_384,
                                   num_local_experts=16, num_experts_per_tok=1, interleave_moe_layer_step=1) | UNTIED,
    "Llama 4 Maverick, its text": _of("llama4_text", 5120, 8192, 48, 40, 8, 202_048, head_dim=128,
                                      intermediate_size_mlp=16_384, num_local_experts=128, num_experts_per_tok=1,
                                      interleave_moe_layer_step=2) | UNTIED,
    "StableLM 2 1.6B": _of("stablelm", 2048, 5632, 24, 32, 32, 100_352, use_qkv_bias=True) | UNTIED,
    "StableLM 2 12B": _of("stablelm", 5120, 13_824, 40, 32, 8, 100_352, use_qkv_bias=False, qk_layernorm=True,
                          use_parallel_residual=True) | UNTIED,
    "StarCoder2 3B": _of("starcoder2", 3072, 12_288, 30, 24, 2, 49_152, use_bias=True, sliding_window=4096) | TIED,
    "Seed OSS 36B": _of("seed_oss", 5120, 27_648, 64, 80, 8, 155_136, head_dim=128, attention_bias=True) | UNTIED,
    "Arcee 4.5B": _of("arcee", 2560, 18_432, 36, 20, 4, 128_004, head_dim=128) | UNTIED,
    "DBRX": {
        "model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "vocab_size": 100_352, "max_seq_len": 32_768,
        "attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500_000},
        "ffn_config": {"ffn_hidden_size": 10_752, "moe_num_experts": 16, "moe_top_k": 4}, **UNTIED,
    },
    "MPT 7B": {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50_432, "expansion_ratio": 4,
               "max_seq_len": 2048, "no_bias": True, "attn_config": {"alibi": True}},
    "MPT 30B": {"model_type": "mpt", "d_model": 7168, "n_layers": 48, "n_heads": 64, "vocab_size": 50_432, "expansion_ratio": 4,
                "max_seq_len": 8192, "no_bias": True, "attn_config": {"alibi": True}},
    "GPT-2 XL": {"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25, "n_positions": 1024, "vocab_size": 50_257},
    "GPT-J 6B": {"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "n_positions": 2048, "vocab_size": 50_400,
                 **UNTIED},
    "CodeGen 6B": {"model_type": "codegen", "n_embd": 4096, "n_layer": 33, "n_head": 16, "n_positions": 2048,
                   "vocab_size": 51_200, **UNTIED},
    "GPT-NeoX 20B": _of("gpt_neox", 6144, 24_576, 44, 64, None, 50_432) | UNTIED,
    "Pythia 1B": _of("gpt_neox", 2048, 8192, 16, 8, None, 50_304) | UNTIED,
    "GPT-Neo 2.7B": {"model_type": "gpt_neo", "hidden_size": 2560, "num_layers": 32, "num_heads": 20, "vocab_size": 50_257,
                     "max_position_embeddings": 2048, "attention_types": [[["global", "local"], 16]], "window_size": 256},
    "StarCoder 15B": {"model_type": "gpt_bigcode", "n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner": 24_576,
                      "n_positions": 8192, "vocab_size": 49_152, "multi_query": True},
    "BLOOM 7B": {"model_type": "bloom", "hidden_size": 4096, "n_layer": 30, "n_head": 32, "vocab_size": 250_880},
    "Falcon 7B": {"model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
                  "vocab_size": 65_024, "multi_query": True, "parallel_attn": True, "new_decoder_architecture": False},
    "Falcon 180B": {"model_type": "falcon", "hidden_size": 14_848, "num_hidden_layers": 80, "num_attention_heads": 232,
                    "num_kv_heads": 8, "vocab_size": 65_024, "new_decoder_architecture": True},
    "Falcon 3 10B": _of("llama", 3072, 23_040, 40, 12, 4, 131_072, head_dim=256) | UNTIED,
    "OPT 6.7B": {"model_type": "opt", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "ffn_dim": 16_384,
                 "vocab_size": 50_272, "word_embed_proj_dim": 4096, "max_position_embeddings": 2048},
    "BERT large": _of("bert", 1024, 4096, 24, 16, None, 30_522) | {"architectures": ["BertForPreTraining"]},
    "BERT base": _of("bert", 768, 3072, 12, 12, None, 30_522) | {"architectures": ["BertForPreTraining"]},
    "BERT base, three classes": _of("bert", 768, 3072, 12, 12, None, 30_522)
    | {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "no", "1": "maybe", "2": "yes"}},
    "RoBERTa base": _of("roberta", 768, 3072, 12, 12, None, 50_265, type_vocab_size=1, max_position_embeddings=514)
    | {"architectures": ["RobertaForMaskedLM"]},
    "XLM-R large, two classes": _of("xlm-roberta", 1024, 4096, 24, 16, None, 250_002, type_vocab_size=1,
                                    max_position_embeddings=514)
    | {"architectures": ["XLMRobertaForSequenceClassification"]},
    "EXAONE 3.5 2.4B": {"model_type": "exaone", "hidden_size": 2560, "intermediate_size": 7168, "num_hidden_layers": 30,
                        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 80, "vocab_size": 102_400, **TIED},
    "EXAONE 4.0 32B": _of("exaone4", 5120, 27_392, 64, 40, 8, 102_400, head_dim=128, sliding_window=4096,
                          sliding_window_pattern=4) | UNTIED,
    "OLMo 1B": _of("olmo", 2048, 8192, 16, 16, 16, 50_304) | TIED,
    "Ernie 4.5 21B A3B": _of("ernie4_5_moe", 2560, 12_288, 28, 20, 4, 103_424, moe_num_experts=64, moe_k=6,
                             moe_num_shared_experts=2, moe_intermediate_size=1536, moe_layer_start_index=1,
                             moe_layer_end_index=27, moe_layer_interval=1) | TIED,
    "dots.llm1": _of("dots1", 4096, 10_944, 62, 32, 32, 152_064, n_routed_experts=128, n_shared_experts=2,
                     num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1) | UNTIED,
    "Hunyuan 7B": _of("hunyuan_v1_dense", 4096, 14_336, 32, 32, 8, 128_167, head_dim=128) | TIED,
    "Hunyuan A13B": _of("hunyuan_v1_moe", 4096, 3072, 32, 32, 8, 128_167, head_dim=128, num_experts=64, moe_topk=8) | TIED,
    "Ministral 8B": _of("ministral", 4096, 12_288, 36, 32, 8, 131_072, head_dim=128, sliding_window=32_768) | UNTIED,
}  # fmt: skip
"""Published shapes that the package counts."""

DEFAULT_SHAPES = (
    *(
        "biogpt",
        "camembert",
        "cwm",
        "data2vec-text",
        "distilbert",
        "ernie4_5",
        "exaone_moe",
        "flex_olmo",
        "glm4_moe_lite",
    ),
    *(
        "helium",
        "hyperclovax",
        "internlm3",
        "iquestcoder",
        "jais2",
        "megatron-bert",
        "mellum",
        "minicpm3",
        "minimax_m2",
    ),
    *("ministral3", "openai-gpt", "persimmon", "roberta-prelayernorm", "sarvam_mla", "sarvam_moe", "solar_open"),
    *("vaultgemma", "xglm", "xlm-roberta-xl", "youtu"),
)
"""Families of which the package's own default is counted, which is a published shape in most of them."""

PUBLISHED: dict[str, tuple[int, Config]] = {
    "ChatGLM3 6B": (6_243_584_000, {"model_type": "chatglm", **_GLM, "num_layers": 28, "padded_vocab_size": 65_024}),
    "GLM 4 9B": (9_399_951_360, {"model_type": "chatglm", **_GLM, "padded_vocab_size": 151_552}),
    "InternLM2 7B": (7_737_708_544, _of("internlm2", 4096, 14_336, 32, 32, 8, 92_544, bias=False) | UNTIED),
    "Qwen 7B": (
        7_721_324_544,
        {"model_type": "qwen", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "kv_channels": 128,
         "intermediate_size": 22_016, "vocab_size": 151_936, "no_bias": True, "seq_length": 8192, **UNTIED},
    ),
    "Baichuan 7B": (7_000_559_616, _of("baichuan", 4096, 11_008, 32, 32, None, 64_000, max_position_embeddings=4096) | UNTIED),
    "Baichuan2 13B": (13_896_668_160, _of("baichuan", 5120, 13_696, 40, 40, None, 125_696, model_max_length=4096) | UNTIED),
    "MiniCPM 2B": (2_724_880_896, _of("minicpm", 2304, 5760, 40, 36, 36, 122_753, scale_emb=12, dim_model_base=256) | TIED),
    "Kimi K2": (
        1_026_408_232_448 - 60 * 384,  # less the correction biases of 60 routers, which are buffers in deepseek_v3
        _of("kimi_k2", 7168, 18_432, 61, 64, 64, 163_840, n_routed_experts=384, first_k_dense_replace=1, **_V3) | UNTIED,
    ),
}  # fmt: skip
"""Shapes of families without a class in the package, with the count of their published weights."""


def counted(config: Config) -> int:
    """Parameters of a model that is built without memory, each once."""
    import torch
    import transformers

    rest = copy.deepcopy(config)
    kind, classes = rest.pop("model_type"), rest.pop("architectures", None)
    own = transformers.AutoConfig.for_model(kind, **rest)
    with torch.device("meta"):
        build = getattr(transformers, classes[0]) if classes else transformers.AutoModelForCausalLM.from_config
        model = build(own)
    model.tie_weights()
    return sum({id(one): one.numel() for one in model.parameters()}.values())


def default_shape(model_type: str) -> Config:
    """What the package's own configuration of a family says about its shape."""
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    own = transformers.AutoConfig.for_model(model_type)
    said = json.loads(own.to_json_string(use_diff=False))
    kept = {
        name: value
        for name, value in said.items()
        if (value is None or isinstance(value, int | str))
        and name.split("_")[0] in _SHAPE_WORDS
        and not name.endswith("token_id")
    }
    masked = MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(model_type)
    head = masked if masked and model_type != "openai-gpt" else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    return {"model_type": model_type, **kept, "architectures": [head]}


_SHAPE_WORDS = (
    *(
        "hidden",
        "intermediate",
        "num",
        "n",
        "head",
        "vocab",
        "max",
        "tie",
        "type",
        "moe",
        "kv",
        "q",
        "qk",
        "v",
        "first",
    ),
    *("attention", "mlp", "use", "d", "ffn", "dim", "sliding"),
)
"""First words of the keys that say a shape."""


def main() -> None:
    """Write the table."""
    import transformers

    rows = []
    for name, config in COUNTED.items():
        source = f"transformers {transformers.__version__}"
        rows.append({"name": name, "parameters": counted(config), "source": source, "config": config})
        print(f"{name:32} {rows[-1]['parameters']:,}", file=sys.stderr)
    for model_type in DEFAULT_SHAPES:
        config = default_shape(model_type)
        rows.append(
            {
                "name": f"{model_type} as the package has it",
                "parameters": counted(config),
                "source": source,
                "config": config,
            }
        )
        print(f"{model_type:32} {rows[-1]['parameters']:,}", file=sys.stderr)
    for name, (parameters, config) in PUBLISHED.items():
        rows.append({"name": name, "parameters": parameters, "source": "published weights", "config": config})
    lines = ",\n".join(json.dumps(row) for row in rows)
    TABLE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()

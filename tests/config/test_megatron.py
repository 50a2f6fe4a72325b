"""Arguments of Megatron-LM, printed or in a launch script, are a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import wsesim
from wsesim.config.importers.megatron import read_megatron
from wsesim.config.importers.section import Imported
from wsesim.config.model import ModelSpec
from wsesim.errors import ConfigError
from wsesim.workload.transformer import parameter_count

DATA = Path(__file__).parent / "data"


def read(folder: Path, text: str) -> Imported:
    path = folder / "args.txt"
    path.write_text(text)
    return read_megatron(path)


def test_printed_arguments_are_a_run_of_gpus() -> None:
    run = wsesim.load({"run": {"path": str(DATA / "megatron_args.txt")}, "cluster": {"name": "selene"}})
    assert (run.cluster.num_gpus, run.training.global_batch_size, run.training.precision) == (64, 128, "bfloat16")
    plan = run.parallelism
    assert (plan.tensor_parallel_size, plan.pipeline_parallel_size, plan.zero_stage) == (8, 4, 1)
    assert (plan.activation_recompute, plan.sequence_parallel) == ("selective", True)
    assert round(parameter_count(run.model) / 1e9, 2) == 20.26
    assert run.cluster.software.tensor_parallel_overlap == "user_buffers"


def test_the_model_of_the_same_file_runs_on_wafers() -> None:
    run = wsesim.load({"run": {"path": str(DATA / "megatron_args.txt")}, "cluster": {"name": "cs2", "num_systems": 2}})
    assert (run.training.global_batch_size, run.training.micro_batch_size) == (128, "auto")
    assert run.cluster.num_systems == 2


def test_a_launch_script_is_read_without_being_run() -> None:
    """Variables, lists of flags, products of whole numbers; Llama 3 8B with its vocabulary padded to 4 x 128."""
    found = read_megatron(DATA / "megatron_pretrain.sh")
    assert parameter_count(ModelSpec(**found.model)) == 8_030_261_248 + 2 * 256 * 4096
    assert found.cluster == {"num_gpus": 32}
    assert (found.parallelism["tensor_parallel_size"], found.parallelism["pipeline_parallel_size"]) == (4, 2)
    assert found.training["global_batch_size"] == 128
    assert "nothing is known of frobnicate" in found.notes[-1]


def test_a_run_file_overrides_what_was_read() -> None:
    raw = {"run": {"path": str(DATA / "megatron_args.txt")}, "cluster": {"name": "selene", "num_gpus": 128}}
    run = wsesim.load(raw | {"training": {"global_batch_size": 256}, "parallelism": {"pipeline_parallel_size": 2}})
    assert (run.cluster.num_gpus, run.training.global_batch_size) == (128, 256)
    assert (run.parallelism.pipeline_parallel_size, run.parallelism.tensor_parallel_size) == (2, 8)


def test_latent_attention_and_experts(tmp_path: Path) -> None:
    """DeepSeek V3 as its users train it; the count of Hugging Face, with the vocabulary padded by nothing."""
    flags = """--num-layers 61 --hidden-size 7168 --ffn-hidden-size 18432 --num-attention-heads 128 --multi-latent-attention
    --q-lora-rank 1536 --kv-lora-rank 512 --qk-head-dim 128 --qk-pos-emb-head-dim 64 --v-head-dim 128 --swiglu
    --normalization RMSNorm --disable-bias-linear --untie-embeddings-and-output-weights --position-embedding-type rope
    --num-experts 256 --moe-router-topk 8 --moe-ffn-hidden-size 2048 --moe-shared-expert-intermediate-size 2048
    --moe-layer-freq ([0]*3+[1]*58) --expert-model-parallel-size 64 --vocab-size 129280 --seq-length 4096
    --micro-batch-size 1 --global-batch-size 15360 --bf16 --fp8-format hybrid"""
    found = read(tmp_path, flags)
    assert parameter_count(ModelSpec(**found.model)) == 671_026_404_352
    assert found.parallelism["expert_parallel_size"] == 64
    assert (found.training["precision"], found.notes) == ("fp8", ())


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("hello world", "holds no arguments of Megatron-LM"),
        ("--num-layers 4 --hidden-size 64 --num-attention-heads 4", "vocab_size is the tokenizer's"),
        ("--num-layers 4 --hidden-size 64 --hybrid-attention-ratio 0.1 --bf16", "has layers of a state space"),
        ("--num-layers four --hidden-size 64 --num-attention-heads 4 --vocab-size 9", "num_layers is 'four'"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, finding: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=finding):
        read(tmp_path, text)


FLAGS = "--num-layers 32 --hidden-size 4096 --num-attention-heads 32 --vocab-size 32000 --seq-length 4096 --global-batch-size 64 "


@pytest.mark.parametrize(
    ("flags", "recompute"),
    [
        ("", "none"),
        ("--recompute-activations", "selective"),
        ("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1", "full"),
        ("--recompute-granularity full --recompute-method block --recompute-num-layers 3", {"blocks": 3}),
        ("--recompute-granularity full --recompute-method block --recompute-num-layers 0", "none"),
        ("--recompute-granularity selective --recompute-modules core_attn", "selective"),
        (
            "--recompute-granularity selective --recompute-modules layernorm mlp --bf16",
            {"operators": ["layernorm", "mlp"]},
        ),
    ],
)
def test_what_is_computed_again(flags: str, recompute: object, tmp_path: Path) -> None:
    assert read(tmp_path, FLAGS + flags).parallelism["activation_recompute"] == recompute


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("--bf16", "bfloat16"),
        ("--bf16 --fp8-format hybrid", "fp8"),
        ("--bf16 --fp8-format e4m3 --fp8-recipe mxfp8", "mxfp8"),
        ("--bf16 --fp4-format e2m1", "nvfp4"),
    ],
)
def test_narrow_products_are_those_of_gpus(flags: str, precision: str, tmp_path: Path) -> None:
    """On wafers they are left out, with a note."""
    path = tmp_path / "args.txt"
    path.write_text(FLAGS + flags)
    on_gpus = {"name": "gb200_nvl72", "num_gpus": 64}
    assert wsesim.load({"run": {"path": str(path)}, "cluster": on_gpus}).training.precision == precision
    wafers = wsesim.load({"run": {"path": str(path)}, "cluster": {"name": "cs3", "num_systems": 1}})
    assert wafers.training.precision == ("bfloat16" if precision == "bfloat16" else "cbfloat16")
    assert any("is one of GPUs" in note for note in wafers.notes) == (precision != "bfloat16")


@pytest.mark.parametrize(
    ("flags", "finding"),
    [
        ("--linear-attention-type gated", "has linear attention"),
        ("--is-hybrid-model", "has layers of a state space"),
        ("--experimental-attention-variant dsa", "has attention that chooses its keys"),
        ("--multi-latent-attention", "kv_lora_rank is missing"),
    ],
)
def test_other_kinds_of_blocks_are_refused_by_name(flags: str, finding: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=finding):
        read(tmp_path, FLAGS + flags)


def test_one_module_more_is_said_to_be_left_out(tmp_path: Path) -> None:
    assert "several tokens are left out" in read(tmp_path, FLAGS + "--mtp-num-layers 1").notes[0]


def test_experts_are_split_as_the_flags_say(tmp_path: Path) -> None:
    experts = (
        "--num-experts 8 --expert-model-parallel-size 8 --tensor-model-parallel-size 4 --expert-tensor-parallel-size 1"
    )
    found = read(tmp_path, FLAGS + experts)
    assert (found.parallelism["expert_parallel_size"], found.parallelism["expert_tensor_parallel_size"]) == (8, 1)

"""Arguments of Megatron-LM, printed or in a launch script, are a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import wsesim
from wsesim.config.importers.megatron import REFUSED, read_megatron
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
    assert "several tokens are left out" in read(tmp_path, FLAGS + "--mtp-num-layers 1").notes[-1]


def test_experts_are_split_as_the_flags_say(tmp_path: Path) -> None:
    experts = (
        "--num-experts 8 --expert-model-parallel-size 8 --tensor-model-parallel-size 4 --expert-tensor-parallel-size 1"
    )
    found = read(tmp_path, FLAGS + experts)
    assert (found.parallelism["expert_parallel_size"], found.parallelism["expert_tensor_parallel_size"]) == (8, 1)


def test_every_argument_of_megatron_has_a_class(tmp_path: Path) -> None:
    """Read, harmless with a reason, named as mattering, or refused; never "nothing is known"."""
    names = [word for line in (DATA / "megatron_flags.txt").read_text().splitlines()[1:] for word in line.split()]
    assert len(names) > 900
    flags = {name: "17" for name in names if name not in REFUSED}
    unknown = [name for name in flags if not _has_a_class(tmp_path, name)]
    assert unknown == []


def _has_a_class(folder: Path, name: str) -> bool:
    try:
        found = read(folder, f"{FLAGS} --{name.replace('_', '-')} 17")
    except ConfigError:
        return True
    return not any("nothing is known" in note for note in found.notes)


@pytest.mark.parametrize("name", ["num_frobs", "use_frobs", "moe_frob_size", "attention_frob"])
def test_an_argument_that_only_looks_known_is_named(name: str, tmp_path: Path) -> None:
    assert f"nothing is known of {name};" in read(tmp_path, f"{FLAGS} --{name} 3").notes[-1]
    assert not any("nothing is known" in note for note in read(tmp_path, FLAGS).notes)


def test_printed_arguments_are_found_behind_whatever_a_log_writes_before_them(tmp_path: Path) -> None:
    lines = [
        "num_layers .................... 12",
        "hidden_size ................... 768",
        "num_attention_heads ........... 12",
        "padded_vocab_size ............. 50304",
        "seq_length .................... 1024",
        "max_position_embeddings ....... 2048",
        "position_embedding_type ....... PositionEmbeddingType.alibi",
        "num_experts ................... [16]",
        "topk .......................... 1",
        "expert_interval ............... 2",
        "embed_layernorm ............... True",
    ]
    found = read(tmp_path, "\n".join(f"[default0]: 2026-01-02 03:04:05,678 INFO   {line}" for line in lines))
    model = {key: found.model[key] for key in ("position_embedding", "num_experts", "experts_per_token")}
    assert model == {"position_embedding": "alibi", "num_experts": 16, "experts_per_token": 1}
    assert (found.model["interleave_moe_layer_step"], found.model["embedding_norm"]) == (2, True)
    assert found.training["sequence_length"] == 1024


BRANCHES = """DTYPE=bf16
if [[ "$DTYPE" == "fp8" ]]; then
    MORE=(--fp8-format hybrid)
else
    MORE=(--no-masked-softmax-fusion)
fi
"""


def test_branches_are_followed_where_the_script_itself_decides(tmp_path: Path) -> None:
    flags = f"ARGS=( {FLAGS} --bf16 )\nTRAIN=( --sequence-parallel )\nNEXT=(\n--swiglu\n) 2>&1 | tee log\n"
    found = read(tmp_path, BRANCHES + flags)
    assert (found.training["precision"], found.model["gated_mlp"]) == ("bfloat16", True)
    assert found.parallelism["sequence_parallel"] is True
    assert read(tmp_path, BRANCHES.replace("=bf16", "=fp8") + flags).training["precision"] == "fp8"


@pytest.mark.parametrize(
    ("branches", "finding"),
    [
        ("if [ $1 = 7B ]; then\nL=32\nelif [ $1 = 13B ]; then\nL=40\nfi\n", "branches of the script set L to 32, 40"),
        (BRANCHES.replace("DTYPE=bf16", ""), "branches of the script set MORE to --fp8-format hybrid"),
        ("if [ $1 = 8 ]; then\nARGS+=(--fp8-format hybrid)\nfi\n", "--fp8-format stands in a branch of the script"),
    ],
)
def test_branches_that_only_the_start_decides_are_asked_about(branches: str, finding: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=finding):
        read(tmp_path, branches + FLAGS.replace("--num-layers 32", "--num-layers ${L:-32}"))
    assert (
        read(tmp_path, f"if [ $1 = a ]; then\nLR=1e-4\nelse\nLR=2e-4\nfi\n{FLAGS} --lr $LR").model["num_layers"] == 32
    )


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("torchrun pretrain_t5.py " + FLAGS, "pretrain_t5.py says that the model has an encoder and a decoder"),
        ("torchrun pretrain_bert.py " + FLAGS, "is an encoder .BERT."),
        ("torchrun pretrain_mamba.py " + FLAGS, "has layers of a state space"),
        (FLAGS + "--tokenizer-type BertWordPieceLowerCase", "is an encoder .BERT."),
        (FLAGS + "--pipe-parallel-size 2", "holds arguments of GPT-NeoX"),
        (FLAGS + "--mlp-type residual", "adds a dense MLP"),
        (FLAGS + "--optimizer muon", "optimizer is 'muon', which is not supported"),
    ],
)
def test_other_programs_are_refused_by_name(text: str, finding: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=finding):
        read(tmp_path, text)


def test_nodes_and_batch_that_a_script_leaves_to_its_launcher(tmp_path: Path) -> None:
    """48 nodes of 8 GPUs that the scheduler is asked for; one micro-batch of each copy of the model."""
    flags = FLAGS.replace("--global-batch-size 64", "--micro-batch-size 2 --tensor-model-parallel-size 4")
    found = read(tmp_path, f"#SBATCH --nodes=48\nGPUS_PER_NODE=8\nNNODES=$SLURM_NNODES\n{flags}")
    assert (found.cluster["num_gpus"], found.training["global_batch_size"]) == (384, 384 // 4 * 2)


def test_norms_of_latent_attention_are_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, FLAGS + "--multi-latent-attention --kv-lora-rank 512 --qk-layernorm")
    assert "qk_norm" not in found.model


def test_windows_and_sinks_as_gpt_oss_is_trained(tmp_path: Path) -> None:
    found = read(
        tmp_path, FLAGS + "--window-size 127,0 --window-attn-skip-freq 2 --softmax-type learnable --quick-geglu"
    )
    assert (found.model["sliding_window"], found.model["attention_sinks"]) == (128, True)
    assert found.model["layer_types"] == ("sliding_attention", "full_attention")
    assert found.model["gated_mlp"] is True

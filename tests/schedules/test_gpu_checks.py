"""Wrong GPU runs: one message each, with the place and the nearest right value; nonsense never crashes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wsesim
from tests.builders import laid_over
from tests.gpu_builders import SMALL, gpu_run
from wsesim import from_table
from wsesim.errors import ConfigError, DoesNotFit, WsesimError
from wsesim.machines.gpu.plans import check, nearest_divisors
from wsesim.machines.gpu.simulation import simulate_gpu

Table = dict[str, Any]


def refusal(kind: type[WsesimError] = ConfigError, **overrides: Any) -> str:
    """The message to the small run with other values."""
    with pytest.raises(kind) as caught:
        simulate_gpu(gpu_run(**overrides))
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        # sizes that do not multiply to the GPU count
        ({"parallelism": {"tensor_parallel_size": 4, "pipeline_parallel_size": 4}}, ["= 16", "num_gpus = 8", "use 16 GPUs"]),
        ({"parallelism": {"data_parallel_size": 4}}, ["size 4 = 4 GPUs", "num_gpus is 8", "set data_parallel_size to 8"]),
        (
            {"training": {"global_batch_size": 63}, "parallelism": {"tensor_parallel_size": "auto", "data_parallel_size": 3}},
            ["data_parallel_size is 3", "does not divide cluster.num_gpus = 8", "use 2 or 4"],
        ),
        ({"cluster": {"num_gpus": 6}, "parallelism": {"tensor_parallel_size": 4}}, ["does not divide", "use 4 or 8 GPUs"]),
        # stages and chunks that get no layer
        (
            {"cluster": {"num_gpus": 16}, "parallelism": {"pipeline_parallel_size": 16}},
            ["pipeline_parallel_size is 16", "small has 8 layers to deal", "use at most 8"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 2, "virtual_pipeline_size": 5}},
            ["virtual_pipeline_size is 5", "8 layers for 2 stages", "use at most 4"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 2, "layers_per_stage": [4, 3]}},
            ["layers_per_stage adds up to 7 layers", "small has 8"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 4, "layers_per_stage": [4, 4]}},
            ["layers_per_stage has 2 entries", "write 4, one for each stage", "set pipeline_parallel_size = 2"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 4, "layers_per_stage": [4, 0, 2, 2]}},
            ["layers_per_stage has a stage without layers", "first and the last"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 2, "virtual_pipeline_size": 3, "layers_per_stage": [6, 2]}},
            ["a stage of 2 layers", "virtual_pipeline_size = 3", "use at most 2 chunks"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 4, "num_layers_in_first_pipeline_stage": 7}},
            ["num_layers_in_first_pipeline_stage = 7 of the 8 layers", "leaves 1 for 3 other stages"],
        ),
        (
            {"parallelism": {"num_layers_in_last_pipeline_stage": 2}},
            ["num_layers_in_last_pipeline_stage = 2", "one stage", "leave it out"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 2, "virtual_pipeline_size": 2, "num_layers_in_last_pipeline_stage": 1}},
            ["num_layers_in_last_pipeline_stage = 1 is less than virtual_pipeline_size = 2"],
        ),
        (
            {"parallelism": {"pipeline_parallel_size": 2, "virtual_pipeline_size": 2, "pipeline_schedule": "gpipe"}},
            ["gpipe", "use 1", '"1f1b"'],
        ),
        ({"parallelism": {"virtual_pipeline_size": 2}}, ["virtual_pipeline_size is 2", "one stage"]),
        (
            {"training": {"global_batch_size": 6},
             "parallelism": {"pipeline_parallel_size": 4, "virtual_pipeline_size": 2}},
            ["virtual_pipeline_size is 2", "as many micro-batches as there are stages, 4", "there are 3"],
        ),
        (
            {"training": {"global_batch_size": 22},
             "parallelism": {"pipeline_parallel_size": 4, "virtual_pipeline_size": 2, "micro_batch_group_size": 4}},
            ["micro_batch_group_size is 4", "of 11 micro-batches leaves a last group of 3", "use 6"],
        ),
        (
            {"training": {"global_batch_size": 22},
             "parallelism": {"pipeline_parallel_size": 4, "virtual_pipeline_size": 2, "micro_batch_group_size": 3}},
            ["micro_batch_group_size is 3", "is not in 4 to 11", "use 6"],
        ),
        (
            {"training": {"global_batch_size": 22, "micro_batch_size": "auto"},
             "parallelism": {"pipeline_parallel_size": 4, "virtual_pipeline_size": 2, "micro_batch_group_size": 3}},
            ["micro_batch_group_size is 3", "is not in 4 to 11", "use 6"],
        ),
        # the batch
        (
            {"training": {"global_batch_size": 64, "micro_batch_size": 65}, "parallelism": {"tensor_parallel_size": "auto"}},
            ["micro_batch_size is 65, more than training.global_batch_size = 64", "use at most 64"],
        ),
        ({"training": {"global_batch_size": 6}}, ["global_batch_size is 6", "the 8 copies", "use at least 8"]),
        ({"training": {"micro_batch_size": 9}}, ["micro_batch_size is 9", "each copy of the model has 8", "at most 8", '"auto"']),
        # heads, sequence, experts
        (
            {"model": {"num_attention_heads": 12, "hidden_size": 768}, "parallelism": {"tensor_parallel_size": 8}},
            ["tensor_parallel_size is 8", "num_attention_heads = 12", "use 6 or 12"],
        ),
        (
            {"training": {"sequence_length": 1023}, "parallelism": {"context_parallel_size": 8}},
            ["context_parallel_size is 8", "sequence_length = 1023", "use 3 or 11"],
        ),
        ({"parallelism": {"expert_parallel_size": 2}}, ["expert_parallel_size is 2", "num_experts = 1", "use 1"]),
        (
            {"model": {"num_experts": 8, "experts_per_token": 2}, "cluster": {"num_gpus": 4},
             "parallelism": {"expert_parallel_size": 8, "data_parallel_size": 4}},
            ["expert_parallel_size is 8", "the 4 GPUs of a stage", "use 4"],
        ),
        (
            {"model": {"num_experts": 8, "experts_per_token": 2}, "cluster": {"num_gpus": 16},
             "parallelism": {"tensor_parallel_size": 4, "expert_parallel_size": 8, "expert_tensor_parallel_size": 4}},
            ["expert_parallel_size is 8 x expert_tensor_parallel_size 4 = 32", "the 16 GPUs of a stage", "use 4"],
        ),
        # sharing, positions
        ({"parallelism": {"zero_stage": 3, "shard_group_size": 3}}, ["shard_group_size is 3", "use 2 or 4"]),
        ({"parallelism": {"sequence_parallel": True}}, ["sequence_parallel is true", "tensor_parallel_size is 1", "false"]),
        ({"training": {"sequence_length": 4096}}, ["sequence_length is 4096", "2048 learned", "max_position_embeddings = 4096"]),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_told_with_the_nearest_that_does_not(overrides: Table, words: list[str]) -> None:
    message = refusal(**overrides)
    assert message.startswith("run: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_more_gpus_than_there_are_do_not_fit() -> None:
    message = refusal(DoesNotFit, cluster={"name": "selene", "num_gpus": 8192}, training={"global_batch_size": 8192})
    assert "8,192 GPUs" in message
    assert "at most 4,480" in message


def test_all_that_is_wrong_comes_together() -> None:
    message = refusal(
        training={"micro_batch_size": 300, "sequence_length": 1023},
        parallelism={"tensor_parallel_size": 1, "context_parallel_size": 2, "zero_stage": 3, "shard_group_size": 3},
    )
    lines = message.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("run: ") for line in lines)


def test_settings_that_leave_no_plan_are_told_so() -> None:
    message = refusal(
        training={"global_batch_size": 7, "micro_batch_size": "auto"},
        cluster={"num_gpus": 11},
        parallelism={"tensor_parallel_size": "auto", "pipeline_parallel_size": "auto", "data_parallel_size": "auto"},
    )
    assert "16 heads and training.global_batch_size = 7" in message
    assert "use a batch of 11" in message


def test_the_nearest_value_is_right() -> None:
    """What a message proposes passes the check that wrote it."""
    with pytest.raises(ConfigError, match="use at least 8"):
        check(gpu_run(training={"global_batch_size": 7}))
    for batch in (8, 60):
        check(gpu_run(training={"global_batch_size": batch}))
    interleaved = {"pipeline_parallel_size": 4, "virtual_pipeline_size": 2}
    with pytest.raises(ConfigError, match="use 6"):
        check(gpu_run(training={"global_batch_size": 22}, parallelism={**interleaved, "micro_batch_group_size": 4}))
    for group in (6, "auto"):
        check(gpu_run(training={"global_batch_size": 22}, parallelism={**interleaved, "micro_batch_group_size": group}))


@given(st.integers(1, 5000), st.integers(1, 6000))
def test_nearest_divisors_divide_and_are_near(value: int, wanted: int) -> None:
    found = [int(word) for word in nearest_divisors(value, wanted).split(" or ")]
    assert all(value % one == 0 for one in found)
    between = range(min([*found, wanted]), max([*found, wanted]) + 1)
    assert [one for one in between if value % one == 0 and one not in found] == []


# Nonsense

SIZE = st.sampled_from([1, 1, 2, 3, 4, 6, 8, 16, 64, "auto"])
ANY_MODEL = st.fixed_dictionaries(
    {
        "num_layers": st.sampled_from([1, 2, 6, 7, 8, 24]),
        "hidden_size": st.sampled_from([1, 64, 1024, 12_288]),
        "num_attention_heads": st.sampled_from([1, 2, 3, 16]),
        "head_dim": st.sampled_from([1, 64]),
        "vocab_size": st.sampled_from([1, 1000, 50_257]),
        "num_experts": st.sampled_from([1, 1, 8]),
        "gated_mlp": st.booleans(),
        "tie_embeddings": st.booleans(),
        "position_embedding": st.sampled_from(["learned", "rotary", "alibi", "none"]),
    }
)
ANY_TRAINING = st.fixed_dictionaries(
    {
        "sequence_length": st.sampled_from([1, 7, 128, 2048]),
        "global_batch_size": st.sampled_from([1, 2, 12, 64, 96]),
        "micro_batch_size": st.sampled_from([1, 2, 3, 96, "auto"]),
        "precision": st.sampled_from(["bfloat16", "float16", "float32"]),
        "optimizer": st.sampled_from(["adamw", "lion", "sgd"]),
        "max_gradient_norm": st.sampled_from([0.0, 1.0]),
    }
)
ANY_CLUSTER = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["dgx_a100_80gb", "dgx_2", "gb200_nvl72", "jean_zay", "aws_p5"]),
        "num_gpus": st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 64, 144]),
    }
)
ANY_PARALLELISM = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": SIZE,
        "pipeline_parallel_size": SIZE,
        "data_parallel_size": SIZE,
        "context_parallel_size": SIZE,
        "expert_parallel_size": SIZE,
        "virtual_pipeline_size": SIZE,
        "expert_tensor_parallel_size": SIZE,
        "shard_group_size": SIZE,
        "pipeline_schedule": st.sampled_from(["1f1b", "gpipe"]),
        "sequence_parallel": st.sampled_from([True, False, "auto"]),
        "zero_stage": st.sampled_from([0, 1, 2, 3, "auto"]),
        "activation_recompute": st.sampled_from(["none", "selective", "full", "auto"]),
        "attention": st.sampled_from(["flash", "flash_1", "unfused"]),
        "overlap_gradient_reduction": st.booleans(),
        "overlap_pipeline_communication": st.booleans(),
        "fused_gradient_accumulation": st.booleans(),
        "reduction_precision": st.sampled_from(["16bit", "32bit"]),
        "account_for_embedding_and_loss": st.booleans(),
        "account_for_embedding": st.sampled_from([True, False, "auto"]),
        "account_for_loss": st.sampled_from([True, False, "auto"]),
        "layers_per_stage": st.sampled_from(["even", [8], [4, 4], [3, 5], [1, 3, 2, 2], [0, 2, 2, 2, 2, 0]]),
        "num_layers_in_first_pipeline_stage": st.sampled_from([1, 2, 5]),
        "num_layers_in_last_pipeline_stage": st.sampled_from([1, 2, 7]),
        "micro_batch_group_size": st.sampled_from([1, 4, 6, "auto"]),
    },
)


def assert_sound(table: Table) -> None:
    """Either one of our errors, or a step whose numbers are numbers."""
    refused = ""
    try:
        run = from_table(table, place="run")
        found = wsesim.simulate(run)
    except WsesimError as error:
        refused = str(error)
    if refused:
        assert refused.startswith("run: ")
        return
    answer = found.to_dict()
    assert 0.0 < answer["step_time_s"] < math.inf
    assert sum(answer["breakdown_s"].values()) == pytest.approx(answer["step_time_s"], rel=1e-6)
    for group in ("breakdown_s", "memory", "utilization"):
        assert all(0.0 <= value < math.inf for value in answer[group].values()), group
    assert 0.0 < answer["mfu"] < 1.0
    assert 0.0 < answer["hfu"] < 1.0
    assert answer["memory"]["gpu_bytes"] <= answer["memory"]["gpu_capacity_bytes"]
    plan = answer["parallelism"]
    sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "context_parallel_size")
    assert math.prod(plan[name] for name in sizes) == run.cluster.num_gpus
    given_sizes = {key: value for key, value in table["parallelism"].items() if value != "auto" and key in plan}
    for key in given_sizes.keys() - {"shard_group_size", "layers_per_stage", "micro_batch_group_size"}:
        assert plan[key] == given_sizes[key] or (key == "sequence_parallel" and plan["tensor_parallel_size"] == 1), key
    assert sum(plan["layers_per_stage"]) == run.model.num_layers
    assert answer["bottleneck"]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_MODEL, ANY_TRAINING, ANY_CLUSTER, ANY_PARALLELISM)
def test_nonsense_is_answered_or_refused(model: Table, training: Table, cluster: Table, parallelism: Table) -> None:
    base = {"name": "any", "model": {"name": "any"}}
    assert_sound(
        laid_over(base, {"model": model, "training": training, "cluster": cluster, "parallelism": parallelism})
    )


@settings(deadline=None, max_examples=100)
@given(ANY_PARALLELISM, ANY_CLUSTER)
def test_any_spread_of_the_small_model_is_answered_or_refused(parallelism: Table, cluster: Table) -> None:
    training = {"sequence_length": 1024, "global_batch_size": 288}
    assert_sound({**SMALL, "cluster": cluster, "parallelism": parallelism, "training": training})

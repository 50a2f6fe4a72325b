"""The published GPU measurements are those of their sources, and users' tables are read as they are meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import laid_over
from tests.front_door import call
from tests.gpu_builders import gpu_run
from wsesim import simulate
from wsesim.config import catalogue
from wsesim.config.loader import any_from_table, load_model
from wsesim.config.model import ModelSpec
from wsesim.errors import MeasurementError
from wsesim.machines.gpu.doubts import NEAREST_ROWS, Kind, bounds_of_kind, gpu_bounds
from wsesim.machines.gpu.rows import COLUMNS, GPUMeasurement, published, read_steps, run_table
from wsesim.validate.gpu_predict import predict, simulated_s
from wsesim.workload.transformer import parameter_count

ROWS = {row.id: row for row in published()}
MEGATRON_DEEPSPEED = "megatron_deepspeed_2022"
TABLE = "model,cluster,num_gpus,global_batch_size,value\nllama-3-8b,selene,64,512,3.5\n"


def shape(row: GPUMeasurement) -> tuple[int, int, int, int, int]:
    """Sequences, tokens of each, blocks, width, vocabulary."""
    batch, length = row.training["global_batch_size"], row.training["sequence_length"]
    return batch, length, row.model["num_layers"], row.model["hidden_size"], row.model["vocab_size"]


def flop_with_recompute(row: GPUMeasurement) -> float:
    """Narayanan et al. 2021, equation 3. [FLOP]"""
    batch, s, layers, h, vocabulary = shape(row)
    return 96.0 * batch * s * layers * h**2 * (1.0 + s / (6.0 * h) + vocabulary / (16.0 * layers * h))


def model_flop(row: GPUMeasurement) -> float:
    """Korthikanti et al. 2022: without what is computed again. [FLOP]"""
    batch, s, layers, h, vocabulary = shape(row)
    return 72.0 * batch * s * layers * h**2 * (1.0 + s / (6.0 * h) + vocabulary / (12.0 * layers * h))


def test_sets() -> None:
    assert Counter((row.set, row.use) for row in ROWS.values()) == {
        ("korthikanti", "calibration"): 8,
        ("sc21-table1", "validation"): 10,
        ("vtrain-multi", "validation"): 73,
        ("vtrain-single", "validation"): 295,
        ("vtrain-single", "calibration"): 68,
        ("llm-foundry-a100", "validation"): 139,
        ("dgxc-llama-h100", "validation"): 11,
        ("published-runs", "validation"): 11,
        ("sc21-table2", "validation"): 6,
        ("llm-foundry-h100", "validation"): 69,
        ("llm-foundry-h100-fp8", "validation"): 7,
        ("dgxc-llama-h100-fp8", "validation"): 21,
        ("sc21-zero3", "shown"): 6,
        ("mt-nlg", "validation"): 3,
        ("megascale-baseline", "calibration"): 4,
        ("megascale-baseline", "validation"): 4,
        ("megascale", "shown"): 8,
        ("maxtext-70b-h100", "validation"): 11,
        ("maxtext-70b-h100-fp8", "validation"): 11,
        ("bigscience", "validation"): 124,
        ("pythia", "validation"): 8,
        ("megatron-bridge-h100-bf16", "shown"): 5,
        ("megatron-bridge-h100-fp8", "calibration"): 1,
        ("megatron-bridge-h100-fp8", "validation"): 23,
        ("megatron-bridge-h100-fp8", "shown"): 7,
        ("megatron-bridge-b200-bf16", "shown"): 5,
        ("megatron-bridge-b200-fp8", "calibration"): 2,
        ("megatron-bridge-b200-fp8", "validation"): 14,
        ("megatron-bridge-b200-fp8", "shown"): 15,
    }


def test_what_is_calibrated_on() -> None:
    """Table 5 of Korthikanti et al., MegaScale's Megatron-LM on up to 1,024 GPUs, and steps that wait for the host."""
    calibration = {row.id: row for row in ROWS.values() if row.use == "calibration"}
    waiting = {"mbridge-26.02.01-181", "mbridge-25.11-244", "mbridge-26.02-217"}
    assert {name for name in calibration if not name.startswith(("kort5-", "vtrain-s-"))} == waiting | {
        f"megascale2-0{place}" for place in range(1, 5)
    }
    smallest = [row.id for row in ROWS.values() if row.set == "vtrain-single" and waits_for_host(row)]
    assert smallest == [name for name in calibration if name.startswith("vtrain-s-")]


def waits_for_host(row: GPUMeasurement) -> bool:
    """Whether a step is of the narrower model, one sequence at a time, whose softmax is one kernel."""
    alone = row.training["micro_batch_size"] == 1 and row.parallelism["tensor_parallel_size"] <= 4
    return bool(alone and row.model["hidden_size"] == 1024)


def flop_of_eight_per_parameter(row: GPUMeasurement) -> float:
    """BigScience's estimate of February 2022: 8 FLOP for each parameter and token. [FLOP]"""
    batch, s, layers, h, vocabulary = shape(row)
    return 8.0 * batch * s * (12.0 * layers * h**2 * (1.0 + 13.0 / (12.0 * h)) + (vocabulary + s) * h)


def flop_of_gpt_neox(row: GPUMeasurement) -> float:
    """get_flops of the GPT-NeoX library of 2022: six FLOP for each parameter, sixty for attention, and nothing again. [FLOP]"""
    batch, s, layers, h, _ = shape(row)
    return batch * s * (6.0 * 20_554_567_680 + 60.0 * s * h * layers)


def counted_flop(row: GPUMeasurement) -> float:
    """FLOP as the source of a row counts them. [FLOP]"""
    if row.source == "gpt-neox-2022":
        return flop_of_gpt_neox(row)
    return flop_of_eight_per_parameter(row) if row.set == "bigscience" else flop_with_recompute(row)


def test_every_source_is_listed() -> None:
    assert {row.source for row in ROWS.values()} <= catalogue.sources().keys()


def test_every_row_states_the_time_of_a_step_and_what_the_source_prints() -> None:
    for row in ROWS.values():
        assert row.metric == "iteration_s"
        assert row.published_metric in ("iteration_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "mfu")
        assert row.published_value is not None


def test_times_follow_from_what_the_sources_print() -> None:
    """Each by the formula of its own source."""
    for row in ROWS.values():
        assert row.published_value is not None
        formulas: dict[str, Callable[[GPUMeasurement, float], float]] = {
            "iteration_s": lambda _, printed: printed,
            "tokens_per_s_per_gpu": lambda one, printed: one.tokens / (printed * one.num_gpus),
            "tflops_per_gpu": lambda one, printed: counted_flop(one) / (one.num_gpus * printed * 1e12),
            "mfu": lambda one, printed: model_flop(one) / (one.num_gpus * 312e12 * printed / 100.0),
        }
        expected = formulas[row.published_metric](row, row.published_value)
        assert row.iteration_s == pytest.approx(expected, rel=1e-8), row.id


@pytest.mark.parametrize(
    ("name", "seconds", "why"),
    [
        ("kort5-GPT3-175B-selsp", 13.75, "printed"),
        # 72 x 2240 x 2048 x 105 x 20480^2 x (1 + 2048/122880 + 51200/25804800) / (2240 x 312e12 x 0.542)
        ("kort-530B-2240-selsp", 39.1186, "MFU 54.2 %"),
        # 96 x 3072 x 2048 x 128 x 25600^2 x (1 + 2048/153600 + 51200/52428800) / (3072 x 163e12)
        ("sc21t1-10", 102.63, "163 TFLOP/s"),
        ("vtrain-m-0056", 14.7573, "printed, 14757.3 ms"),
        ("vtrain-s-0541", 0.164832784, "printed"),
        # 2048 x 2048 tokens / (410 tokens/s x 64 GPUs)
        ("mpt-078", 159.8439, "410 tokens/s per GPU"),
        ("dgxc-v25.04.02-l70b-bf16-06", 14.66, "printed"),
        # 96 x 2048 x 2048 x 70 x 14336^2 x (1 + 2048/86016 + 250680/16056320) / (384 x 149.77e12);
        # the same log line prints 19.561 samples/s, which is 104.698 s
        ("bloom176-it85376", 104.694, "149.77 TFLOP/s"),
        ("mlm2020-a100-8B", 1.343, "printed"),
        # 4.194e6 tokens / (380 x 2048)
        ("llama1-65b", 5.38947, "380 tokens/s per GPU"),
    ],
)
def test_times_by_hand(name: str, seconds: float, why: str) -> None:
    assert ROWS[name].iteration_s == pytest.approx(seconds, rel=1e-5), why


def test_two_printed_figures_of_one_row_agree() -> None:
    """Megatron-LM's table of 2020 prints 109.3 TFLOP/s beside 1.343 s, by the formula with recomputation."""
    row = ROWS["mlm2020-a100-8B"]
    assert flop_with_recompute(row) / (8 * row.iteration_s) == pytest.approx(109.3e12, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kort5-1T-selsp", ("selene", 512, 8, 64, 1, 1, 1, 0, 1, "float16", "selective", True, "megatron_2022")),
        ("kort-530B-2240-full", ("selene", 2240, 8, 35, 8, 1, 3, 0, 1, "float16", "full", False, "megatron_2022")),
        ("sc21t1-07", ("selene", 1536, 8, 8, 24, 1, 2, 0, 2, "float16", "full", False, "megatron_2021")),
        ("vtrain-m-0056", ("vtrain_a100", 512, 8, 2, 32, 1, 1, 0, 4, "float16", "full", False, MEGATRON_DEEPSPEED)),
        ("mpt-079", ("mosaic_a100_80gb", 32, 1, 1, 32, 1, 1, 3, 2, "bfloat16", "full", False, "composer_fsdp_2023")),
        ("dgxc-v25.04.02-l70b-bf16-01", ("dgxc_h100", 64, 4, 4, 2, 2, 5, 1, 1, "bfloat16", "none", True, "nemo_2025")),
        ("bloom176-it12695", ("jean_zay", 384, 4, 12, 8, 1, 1, 1, 2, "bfloat16", "full", False, "deepspeed_pipeline")),
        ("opt175", ("opt_cluster", 992, 8, 1, 124, 1, 1, 3, "auto", "float16", "full", False, "metaseq_2021")),
    ],
)
def test_configurations(name: str, expected: tuple[object, ...]) -> None:
    row = ROWS[name]
    split = row.parallelism
    found = (
        *(row.cluster, row.num_gpus),
        *(split[f"{kind}_parallel_size"] for kind in ("tensor", "pipeline", "data", "context")),
        *(split["virtual_pipeline_size"], split["zero_stage"]),
        *(row.training["micro_batch_size"], row.training["precision"]),
        *(split["activation_recompute"], split["sequence_parallel"], row.profile),
    )
    assert found == expected


def test_parallel_sizes_use_all_gpus() -> None:
    for row in ROWS.values():
        sizes = [row.parallelism[f"{kind}_parallel_size"] for kind in ("tensor", "pipeline", "data", "context")]
        if "auto" not in sizes:
            assert sizes[0] * sizes[1] * sizes[2] * sizes[3] == row.num_gpus, row.id


def test_shapes_of_catalogue_models_are_those_of_the_catalogue() -> None:
    named = [row for row in ROWS.values() if row.model["name"] in catalogue.names("models")]
    named = [row for row in named if "num_layers" in row.model]
    assert len(named) == 16
    for row in named:
        model = load_model(row.model["name"])
        stated = {key: value for key, value in row.model.items() if key not in ("name", "vocab_size")}
        stated.pop("num_key_value_heads")
        assert stated == {key: getattr(model, key) for key in stated}, row.id
        assert row.model["num_key_value_heads"] == model.key_value_heads


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("mpt-130", 0.17407e9),
        ("mpt-135", 0.125311e9),
        ("mpt-138", 0.124132e9),
        ("mpt-089", 12.854e9),
        ("mpt-078", 64.8624e9),
    ],
)
def test_mpt_models_have_the_printed_parameters(name: str, printed: float) -> None:
    """They grow with the sequence, as a learned table of positions does; ALiBi has none."""
    row = ROWS[name]
    model = ModelSpec.model_validate(row.model)
    assert parameter_count(model, row.training["sequence_length"]) == pytest.approx(printed, rel=1e-5)


def one(tmp_path: Path, text: str) -> GPUMeasurement:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    (row,) = read_steps(path)
    return row


def test_a_short_table_leaves_the_rest_to_the_catalogue(tmp_path: Path) -> None:
    row = one(tmp_path, TABLE)
    assert run_table(row) == {
        "name": "row-2",
        "model": {"name": "llama-3-8b"},
        "training": {
            "sequence_length": 2048,
            "global_batch_size": 512,
            "micro_batch_size": "auto",
            "precision": "bfloat16",
        },
        "cluster": {"name": "selene", "num_gpus": 64},
        "parallelism": {},
    }
    assert (row.use, row.set, row.iteration_s) == ("validation", "all", 3.5)


def test_a_rate_becomes_a_time(tmp_path: Path) -> None:
    row = one(tmp_path, TABLE.replace("value", "value,metric").replace("3.5", "8192,tokens_per_s_per_gpu"))
    assert row.iteration_s == 512 * 2048 / (8192 * 64)


def test_every_column_is_read(tmp_path: Path) -> None:
    text = (catalogue.published() / "gpus.csv").read_text(encoding="utf-8").splitlines()
    assert text[0].split(",") == list(COLUMNS)
    assert one(tmp_path, "\n".join(text[:2])).id == "kort5-22B-full"


def test_every_published_row_names_its_software() -> None:
    assert {row.profile for row in ROWS.values()} <= set(catalogue.names("software"))
    assert all(row.profile for row in ROWS.values())


def test_switches_that_differ_from_a_profile(tmp_path: Path) -> None:
    words = "megatron_2021,attention = flash_1; step_host_s = 0.5 s; synchronizes_sends = false"
    row = one(tmp_path, TABLE.replace("value", "value,software_profile,software").replace("3.5", f"3.5,{words}"))
    run = any_from_table(run_table(row))
    assert run.cluster.software_profile == row.profile == "megatron_2021"  # type: ignore[union-attr]
    assert run.parallelism.attention == "flash_1"  # type: ignore[union-attr]
    assert run.cluster.software.step_host_s == 0.5  # type: ignore[union-attr]
    assert run.cluster.software.synchronizes_sends is False  # type: ignore[union-attr]
    assert run.cluster.software.product_share == 0.94  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "finding", "remedy"),
    [
        (
            TABLE.replace("\n", ",software\n", 1).replace("3.5", "3.5,attention"),
            "line 2: software has 'attention'",
            "write key = value",
        ),
        ("", "mine.csv: is empty", "must name the columns"),
        (TABLE.splitlines()[0], "mine.csv: holds no row", "add one line"),
        (TABLE.replace("cluster,", "").replace("selene,", ""), "mine.csv: has no column `cluster`", "must name"),
        (TABLE.replace("num_gpus", "num_gpu"), "mine.csv: column 'num_gpu' is not known", "did you mean num_gpus?"),
        (TABLE.replace("3.5", "fast"), "mine.csv: line 2: value is 'fast'", "write a plain number"),
        (TABLE.replace("3.5", "nan"), "mine.csv: line 2: value is nan", "more than 0"),
        (TABLE.replace("3.5", ""), "mine.csv: line 2: value is missing", "add it"),
        (TABLE.replace("64", "6.4"), "mine.csv: line 2: num_gpus is 6.4", "write a whole number"),
        (TABLE.replace("64", "0"), "mine.csv: line 2: num_gpus is 0", "more than 0"),
        (TABLE.replace("llama-3-8b", ""), "mine.csv: line 2: model is missing", "catalogue name"),
        (TABLE + "llama-3-8b,selene\n", "mine.csv: line 3 has 2 cells", "correct the line"),
        (TABLE.replace("\n", ",zero_stage\n", 1).replace("3.5", "3.5,4"), "line 2: zero_stage is '4'", "one of 0, 1"),
        (TABLE.replace("\n", ",use\n", 1).replace("3.5", "3.5,fit"), "line 2: use is 'fit'", "one of calibration"),
        (
            TABLE.replace("\n", ",metric\n", 1).replace("3.5", "3.5,mfu"),
            "line 2: metric is 'mfu'",
            "one of iteration_s",
        ),
        (
            TABLE.replace("\n", ",sequence_parallel\n", 1).replace("3.5", "3.5,yes"),
            "line 2: sequence_parallel is 'yes'",
            "one of true, false, auto",
        ),
        (
            TABLE.replace("\n", ",tensor_parallel_size\n", 1).replace("3.5", "3.5,all"),
            "line 2: tensor_parallel_size is 'all'",
            "plain number",
        ),
        (
            TABLE.replace("model", "id,model").replace("llama", "a,llama") + "a,llama-3-8b,selene,8,8,1\n",
            "line 3: id 'a' is that of",
            "rename one",
        ),
    ],
)
def test_wrong_tables_are_refused_with_place_and_remedy(tmp_path: Path, text: str, finding: str, remedy: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MeasurementError) as caught:
        read_steps(path)
    assert finding in str(caught.value)
    assert remedy in str(caught.value)


OWN_STEPS = """model,cluster,num_gpus,global_batch_size,tensor_parallel_size,zero_stage,activation_recompute,micro_batch_size,value
gpt3-13b,dgx_a100_80gb,64,512,1,3,full,4,{value}
"""


@pytest.mark.parametrize(("value", "is_later"), [("8.6", False), ("10.0", True)])
def test_one_own_step_narrows_the_range_of_runs_like_it(tmp_path: Path, value: str, is_later: bool) -> None:
    """About what was measured: the range of a run of that kind, of no other; the answer stays in it."""
    (tmp_path / "own.csv").write_text(OWN_STEPS.format(value=value))
    assert call("calibrate", tmp_path / "own.csv", "--out", tmp_path / "own.toml").code == 0
    own = {"cluster": {"gpu": {"calibration": str(tmp_path / "own.toml")}}}
    many = {"cluster": {"num_gpus": 16}}
    before, after = (gpu_bounds(gpu_run(**laid_over(many, one))) for one in ({}, own))
    assert after.faster + after.slower < before.faster + before.slower
    assert (after.slower > after.faster) or not is_later
    assert gpu_bounds(gpu_run(**own)) == gpu_bounds(gpu_run())


def test_ranges_of_other_tables_are_wider_and_of_software_nobody_measured_the_widest() -> None:
    def bounds(software: str, table: str = "") -> tuple[float, float]:
        found = gpu_bounds(
            gpu_run(cluster={"name": "dgx_h100", "num_gpus": 16, "software_profile": software}), None, table
        )
        return found.faster, found.slower

    of_it, others, unknown = bounds("nemo_2025", "dgxc-llama-h100"), bounds("nemo_2025"), bounds("fsdp2_compile")
    assert of_it[0] < others[0] < unknown[0]
    assert of_it[1] < others[1] < unknown[1]
    assert bounds("ordinary") == unknown


def test_of_many_steps_the_nearest_in_width_and_sequence_make_the_range() -> None:
    narrow = Kind("nemo_2025", "989 TFLOP/s", "one node", "dense", 1024, 2048)
    wide, long = narrow._replace(hidden=8192), narrow._replace(tokens=65536)
    steady, scattered = [0.001] * NEAREST_ROWS, [0.3, -0.3] * NEAREST_ROWS
    known = {narrow.place: {"one": steady}, wide.place: {"one": scattered}, long.place: {"other": scattered}}
    ranges = [bounds_of_kind(kind, known) for kind in (narrow, narrow._replace(hidden=1536), wide, long)]
    assert [round(found.slower, 2) for found in ranges] == [0.03, 0.03, 0.3, 0.3]
    assert f"nearest of {5 * NEAREST_ROWS}" in ranges[0].basis[0]
    few = {**known, narrow.place: {"one": steady[:20]}}
    assert bounds_of_kind(narrow, few).slower == 0.3  # so few of one model say too little of its ends


def test_four_bit_is_the_rate_of_products_and_says_so() -> None:
    runs = [
        gpu_run(cluster={"name": "dgx_b200"}, training={"precision": word}, parallelism={"attention": "flash"})
        for word in ("mxfp8", "nvfp4")
    ]
    eight, four = (gpu_bounds(run) for run in runs)
    assert four.slower > eight.slower
    assert any("4 bit" in note for note in simulate(runs[1]).notes)


def test_the_range_of_software_known_to_be_slow_holds_its_steps() -> None:
    rows = [row for row in published() if row.set == "sc21-zero3"]
    found = [predict(row, simulated_s) for row in rows]
    assert all(one.is_inside for one in found if one.predicted_s is not None)

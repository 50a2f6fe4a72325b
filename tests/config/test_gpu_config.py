"""Runs on GPU clusters: what loads, what overrides what, and how a wrong file is answered."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import wsesim
from tests import builders
from tests.builders import laid_over
from wsesim.config import catalogue
from wsesim.config.layering import Table
from wsesim.config.loader import (
    any_from_table,
    from_table,
    load,
    load_any,
    load_any_cluster,
    load_cluster,
    load_gpu,
    load_gpu_calibration,
    load_gpu_cluster,
    load_software,
    origins_of,
)
from wsesim.errors import ConfigError, InputError, UnknownNameError
from wsesim.machines.gpu.parallelism import SWITCHES, ParallelismSpec
from wsesim.machines.gpu.spec import GPURun
from wsesim.units import parse_quantity, unit_of_field
from wsesim.validate.gpu_calibrate import published_tables

DATA = Path(__file__).parent / "data"
TINY: Table = builders.TINY | {"cluster": {"name": "dgx_a100_80gb"}}
OWN_CLUSTER: Table = {
    "name": "ours",
    "gpu": "h100_80gb",
    "num_gpus": 16,
    "max_gpus": 64,
    "gpus_per_node": 4,
    "node_network_bytes_per_s": "800 Gb/s",
    "network_latency_s": "4 us",
    "reserved_memory_bytes": "3 GB",
    "power_w_per_gpu": "1 kW",
}
GPU_RUNS = [name for name in catalogue.names("runs") if load_any(name).machine == "gpu"]
GPU_CLUSTERS = [
    name for name in catalogue.names("clusters") if "num_gpus" in load_any_cluster(name)[0].model_fields_set
]


def tiny(**overrides: Any) -> GPURun:
    run = any_from_table(laid_over(TINY, overrides))
    assert run.machine == "gpu"
    return run


def refusal(settings: list[str] | None = None, **overrides: Any) -> str:
    """The message that the tiny run with other values is answered with."""
    with pytest.raises(InputError) as caught:
        any_from_table(laid_over(TINY, overrides), settings=settings or [])
    return str(caught.value)


# What loads


def test_a_run_is_of_the_kind_of_its_cluster() -> None:
    assert load_any("andromeda_13b").machine == "wafer"
    assert load_any("gpt_1t_3072xa100").machine == "gpu"
    assert wsesim.load("gpt_1t_3072xa100").machine == "gpu"
    assert wsesim.from_table(TINY).machine == "gpu"


def test_the_tables_of_a_published_run() -> None:
    run = load_any("gpt_1t_3072xa100")
    assert run.machine == "gpu"
    plan = run.parallelism
    assert (plan.tensor_parallel_size, plan.pipeline_parallel_size, plan.data_parallel_size) == (8, 64, 6)
    assert (run.cluster.num_gpus, run.cluster.max_gpus, run.cluster.domain_size) == (3072, 4480, 8)
    assert run.cluster.gpu.peak_dense_16bit_flop_per_s == 312e12
    assert run.cluster.node_network_bytes_per_s == 200e9
    assert (run.training.precision, run.model.num_layers) == ("float16", 128)


EVERYTHING_OPEN = ParallelismSpec(
    context_parallel_size="auto", expert_parallel_size="auto", virtual_pipeline_size="auto"
)
OLD_SOFTWARE = {
    "attention": "unfused",
    "overlap_gradient_reduction": False,
    "overlap_pipeline_communication": False,
    "fused_gradient_accumulation": False,
    "reduction_precision": "32bit_with_bfloat16",
    "keeps_gradient_copy": True,
}
"""What the catalogue says of the software that Selene's published runs used."""


@pytest.mark.parametrize("parallelism", ["auto", {}, None])
def test_parallelism_that_is_not_said_is_searched(parallelism: str | Table | None) -> None:
    table = TINY if parallelism is None else TINY | {"parallelism": parallelism}
    run = any_from_table(table)
    assert run.machine == "gpu"
    is_left_open = parallelism != {}
    ordinary = load_software("ordinary")
    switches = {key: getattr(ordinary, key) for key in SWITCHES}
    expected = EVERYTHING_OPEN if is_left_open else ParallelismSpec()
    assert run.parallelism == expected.model_copy(update=switches)
    assert run.parallelism.tensor_parallel_size == "auto"


def test_gpus_compute_with_bfloat16_unless_told_otherwise() -> None:
    assert tiny().training.precision == "bfloat16"
    assert tiny(training={"precision": "float32"}).training.precision == "float32"
    assert from_table(laid_over(TINY, {"cluster": {"name": "cs2"}})).training.precision == "cbfloat16"


def test_what_a_run_sets_lies_over_the_catalogue() -> None:
    run = tiny(
        cluster={"num_gpus": 32, "gpu": {"power_w": "350 W", "calibration": {"hot_s": 0.5}}},
        parallelism={"zero_stage": 3, "data_parallel_size": "32"},
    )
    assert (run.cluster.num_gpus, run.cluster.gpu.power_w, run.cluster.gpu.num_sms) == (32, 350.0, 108)
    assert run.cluster.gpu.calibration.hot_s == 0.5
    assert run.cluster.gpu.calibration.memory_efficiency == load_gpu_calibration("gpu_kernels").memory_efficiency
    assert (run.parallelism.zero_stage, run.parallelism.data_parallel_size) == (3, 32)
    assert run.origins["parallelism.zero_stage"].status == "user"
    assert run.origins["cluster.gpu.power_w"].status == "user"
    assert run.origins["cluster.gpu.num_sms"].source == "gpu-handbook"


def test_a_cluster_says_what_its_software_does() -> None:
    run = load_any("gpt_1t_3072xa100", ["parallelism.attention=flash", "cluster.software.reduction_precision=32bit"])
    assert run.machine == "gpu"
    spec = run.parallelism
    assert (spec.attention, spec.reduction_precision, spec.overlap_gradient_reduction) == ("flash", "32bit", False)
    with pytest.raises(ConfigError, match=r"cluster\.software\.attention is 'flashy'"):
        load_any("gpt_1t_3072xa100", ["cluster.software.attention=flashy"])


def test_options_lie_over_the_file() -> None:
    settings = [
        "parallelism.tensor_parallel_size=4",
        "cluster.num_gpus=64",
        "cluster.gpu=h100_80gb",
        "cluster.gpu.memory_bytes=96 GB",
        "cluster.gpu.calibration.launch_latency_s=1 us",
    ]
    run = load_any("llama_65b_2048xa100", settings)
    assert run.machine == "gpu"
    assert (run.parallelism.tensor_parallel_size, run.parallelism.pipeline_parallel_size) == (4, "auto")
    assert (run.cluster.num_gpus, run.cluster.gpu.name, run.cluster.gpu.memory_bytes) == (64, "H100 SXM 80 GB", 96e9)
    assert run.cluster.gpu.calibration.launch_latency_s == pytest.approx(1e-6)
    again = load_any("gpt_1t_3072xa100", ["parallelism=auto"])
    assert again.machine == "gpu"
    assert again.parallelism == EVERYTHING_OPEN.model_copy(update=OLD_SOFTWARE)
    assert not any(key.startswith("parallelism.") for key in again.origins)


@pytest.mark.parametrize("gpu", ["mine.toml", {"extends": "mine.toml", "power_w": "500 W"}])
def test_a_gpu_and_its_calibration_from_files(tmp_path: Path, gpu: str | Table) -> None:
    calibration = catalogue.find("calibrations", "gpu_kernels").read_text()
    (tmp_path / "kernels.toml").write_text(calibration)
    text = catalogue.find("gpus", "h100_80gb").read_text()
    (tmp_path / "mine.toml").write_text(
        text.replace('"gpu_kernels"', '"kernels.toml"').replace("H100 SXM", "H100 PCIe")
    )
    run = any_from_table(laid_over(TINY, {"cluster": {"gpu": gpu}}), tmp_path)
    assert run.machine == "gpu"
    assert run.cluster.gpu.name == "H100 PCIe 80 GB"
    assert run.cluster.gpu.power_w == (700.0 if isinstance(gpu, str) else 500.0)
    assert load_gpu(str(tmp_path / "mine.toml"))[0].name == "H100 PCIe 80 GB"


def test_a_cluster_of_its_own() -> None:
    run = tiny(cluster=OWN_CLUSTER)
    assert (run.cluster.name, run.cluster.gpu.name) == ("ours", "H100 SXM 80 GB")
    assert (run.cluster.gpus_per_node, run.cluster.domain_size) == (4, 4)
    assert run.cluster.node_network_bytes_per_s == 100e9


def test_a_run_that_extends_another(tmp_path: Path) -> None:
    lines = 'extends = "gpt_1t_3072xa100"\nname = "half"\n[cluster]\nnum_gpus = 1536\n[parallelism]\ndata_parallel_size = 3\n'
    (tmp_path / "half.toml").write_text(lines)
    run = load_any(tmp_path / "half.toml")
    assert run.machine == "gpu"
    plan = run.parallelism
    assert (plan.tensor_parallel_size, plan.pipeline_parallel_size, plan.data_parallel_size) == (8, 64, 3)
    (tmp_path / "auto.toml").write_text('extends = "half.toml"\nparallelism = "auto"\n')
    run = load_any(tmp_path / "auto.toml")
    assert run.machine == "gpu"
    assert run.parallelism == EVERYTHING_OPEN.model_copy(update=OLD_SOFTWARE)


def test_a_model_zoo_file_trains_on_gpus_without_its_number_of_systems() -> None:
    """Its sparsity is for wafers only; the run says that it does without."""
    raw: Table = {"model": {"path": str(DATA / "params_gpt3_1p3b_trainer.yaml")}, "cluster": {"name": "dgx_a100_80gb"}}
    with pytest.raises(
        ConfigError, match=r"params_gpt3_1p3b_trainer.yaml: training.weight_sparsity is for wafer-scale"
    ):
        any_from_table(raw)
    dense = any_from_table(raw | {"training": {"weight_sparsity": 0, "precision": "bfloat16"}})
    assert dense.machine == "gpu"
    assert dense.cluster.num_gpus == 8


# What is refused


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            {"parallelism": {"zero_stag": 1}},
            ["run: parallelism.zero_stag is not a known key", "did you mean zero_stage?"],
        ),
        ({"parallelism": {"tensor_parallel_size": -8}}, ["parallelism.tensor_parallel_size is -8", "more than 0"]),
        ({"parallelism": {"pipeline_parallel_size": 0}}, ["parallelism.pipeline_parallel_size is 0", "more than 0"]),
        ({"parallelism": {"data_parallel_size": 2.5}}, ["parallelism.data_parallel_size is 2.5", "a whole number"]),
        (
            {"parallelism": {"data_parallel_size": "all"}},
            ["parallelism.data_parallel_size", "'all'", "or one of 'auto'"],
        ),
        ({"parallelism": {"zero_stage": 5}}, ["parallelism.zero_stage is 5", "at most 3"]),
        (
            {"parallelism": {"activation_recompute": "all"}},
            ["is 'all'", "'auto' or a table of every, blocks, operators"],
        ),
        ({"parallelism": {"activation_recompute": {"evry": 2}}}, ["recompute.evry is not", "did you mean every?"]),
        ({"parallelism": {"activation_recompute": {"operators": ["attn"]}}}, ["operators.0 is 'attn'", "'core_attn'"]),
        ({"parallelism": {"activation_recompute": {"every": 0}}}, ["every is 0; it must be more than 0"]),
        (
            {"parallelism": {"sequence_parallel": "maybe"}},
            ["parallelism.sequence_parallel is 'maybe'", "true or false"],
        ),
        ({"parallelism": {"pipeline_schedule": "zero-bubble"}}, ["is 'zero-bubble'", "'1f1b' or 'gpipe'"]),
        ({"parallelism": "best"}, ["run: parallelism is 'best'", "[parallelism]", 'the word "auto"']),
        ({"parallelism": 8}, ["run: parallelism is 8", "[parallelism]"]),
        ({"paralelism": {}}, ["run: paralelism is not a known key", "did you mean parallelism?"]),
        ({"cluster": {"name": "cs2"}, "parallelism": {}}, ["run: parallelism is for GPU", "'CS-2 cluster'", "remove"]),
        ({"cluster": {"name": "cs2", "num_gpus": 8}}, ["cluster.num_gpus is not a known key", "mean num_systems?"]),
        ({"cluster": {"num_systems": 8}}, ["cluster.num_systems is not a known key", "did you mean num_gpus?"]),
        ({"cluster": {"name": "cs2", "gpu": "b200"}}, ["run: cluster.gpu stands beside cluster.system", "drop"]),
        ({"cluster": {"system": "cs2"}}, ["cluster.gpu stands beside cluster.system", "drop"]),
        ({"cluster": {"gpu": "a100_80g"}}, ["run: cluster.gpu: gpu 'a100_80g' is not in", "did you mean a100_80gb?"]),
        ({"cluster": {"gpu": "mine.toml"}}, ["run: cluster.gpu is 'mine.toml'", "no such file"]),
        ({"cluster": {"gpu": 7}}, ["run: cluster.gpu is 7", "write a table of keys"]),
        ({"cluster": {"gpu": {"num_sm": 4}}}, ["cluster.gpu.num_sm is not a known key", "did you mean num_sms?"]),
        (
            {"cluster": {"gpu": {"calibration": {"nvlink": {"exchange_share": 1.5}}}}},
            ["nvlink.exchange_share is 1.5", "at most 1"],
        ),
        ({"cluster": {"gpu": {"memory_bytes": "80 GB/s"}}}, ["cluster.gpu.memory_bytes", "'80 GB/s' is in bytes/s"]),
        ({"cluster": {"gpu": {"calibration": "gpu_kernel"}}}, ["cluster.gpu.calibration", "did you mean gpu_kernels?"]),
        ({"cluster": {"gpu": {"calibration": {"gemm": 1}}}}, ["cluster.gpu.calibration.gemm is not a known key"]),
        ({"cluster": {"name": "selen"}}, ["cluster 'selen' is not in the catalogue", "did you mean selene?"]),
        ({"cluster": {"nvlink_domain_size": 12}}, ["cluster.nvlink_domain_size 12 is no multiple of", "whole nodes"]),
        ({"cluster": {"num_gpus": 0}}, ["cluster.num_gpus is 0", "more than 0"]),
        ({"training": {"precision": "cbfloat16"}}, ["run: training.precision is 'cbfloat16'", "use 'bfloat16'"]),
        ({"training": {"activations": "recompute"}}, ["training.activations", "parallelism.activation_recompute"]),
        ({"training": {"weight_sparsity": 0.5}}, ["training.weight_sparsity", "wafer-scale", "leave it out"]),
    ],
)
def test_a_wrong_run_is_told_place_finding_and_remedy(overrides: Table, words: list[str]) -> None:
    message = refusal(**overrides)
    for word in words:
        assert word in message


@pytest.mark.parametrize("key", [key for key in OWN_CLUSTER if key not in ("name", "gpu", "gpus_per_node")])
def test_a_cluster_of_its_own_has_every_number(key: str) -> None:
    cluster = {name: value for name, value in OWN_CLUSTER.items() if name != key}
    assert f"run: cluster.{key} is missing; add it, for example {key} = " in refusal(cluster=cluster)


def test_no_sparsity_is_no_problem() -> None:
    assert tiny(training={"weight_sparsity": 0}).training.weight_sparsity == 0


def test_problems_of_all_tables_come_together() -> None:
    message = refusal(
        ["parallelism.zero_stage=5"],
        training={"precision": "cbfloat16", "global_batch_size": 0},
        model={"num_layers": 0},
        cluster={"num_gpus": -1},
        parallelism={"zero_stag": 1},
    )
    lines = message.splitlines()
    assert len(lines) == 6
    for key in ("precision", "global_batch_size", "num_layers", "num_gpus", "zero_stag "):
        assert any(line.startswith("run: ") and key in line for line in lines), key
    assert "--set: parallelism.zero_stage is 5; it must be at most 3" in lines


def test_problems_of_a_wafer_run_come_with_that_of_its_parallelism() -> None:
    lines = refusal(cluster={"name": "cs2", "num_systems": 0}, parallelism={"zero_stage": 1}).splitlines()
    assert len(lines) == 2


def test_readers_of_one_kind_refuse_the_other() -> None:
    with pytest.raises(ConfigError, match=r"'Selene' is a GPU cluster.*for example cs2"):
        load("gpt_1t_3072xa100")
    with pytest.raises(ConfigError, match=r"'DGX A100 80 GB' is a GPU cluster.*for example cs2"):
        from_table(TINY)
    with pytest.raises(ConfigError, match=r"'selene' is a GPU cluster.*for example cs2"):
        load_cluster("selene")
    with pytest.raises(ConfigError, match=r"'cs2' is wafer-scale.*for example selene"):
        load_gpu_cluster("cs2")
    with pytest.raises(UnknownNameError, match=r"did you mean b200"):
        load_gpu("b20")


# The catalogue


@pytest.mark.parametrize("name", GPU_RUNS)
def test_sizes_of_catalogue_runs_multiply_to_their_gpus(name: str) -> None:
    run = load_any(name)
    assert run.machine == "gpu"
    assert run.cluster.num_gpus <= run.cluster.max_gpus
    assert run.cluster.num_gpus % run.cluster.gpus_per_node == 0
    plan = run.parallelism
    sizes = [
        plan.tensor_parallel_size,
        plan.pipeline_parallel_size,
        plan.data_parallel_size,
        plan.context_parallel_size,
    ]
    if "auto" in sizes:
        assert run.training.global_batch_size % run.cluster.num_gpus == 0 or run.cluster.num_gpus >= 256
        return
    tensor, pipeline, data, context = map(int, sizes)
    assert tensor * pipeline * data * context == run.cluster.num_gpus
    assert run.model.num_layers % pipeline == 0
    assert run.model.num_attention_heads % tensor == 0
    micro_batch_size = 1 if run.training.micro_batch_size == "auto" else run.training.micro_batch_size
    assert run.training.global_batch_size % (data * micro_batch_size) == 0


@pytest.mark.parametrize("name", GPU_CLUSTERS)
def test_a_node_has_a_network_and_power_of_its_time(name: str) -> None:
    """Slips of the pen: bits for bytes, a node's power for a GPU's."""
    cluster, _ = load_gpu_cluster(name)
    assert 2e9 <= cluster.node_network_bytes_per_s / cluster.gpus_per_node <= 100e9
    assert cluster.node_network_bytes_per_s / cluster.gpus_per_node < cluster.gpu.nvlink_bytes_per_s
    assert 1.3 <= cluster.power_w_per_gpu / cluster.gpu.power_w <= 2.2
    assert cluster.reserved_memory_bytes < 0.1 * cluster.gpu.memory_bytes
    assert cluster.max_gpus % cluster.gpus_per_node == 0


@pytest.mark.parametrize("name", catalogue.names("gpus"))
def test_peaks_of_a_gpu_grow_with_fewer_bits(name: str) -> None:
    gpu, _ = load_gpu(name)
    peaks = [gpu.peak_dense_32bit_flop_per_s, gpu.peak_dense_16bit_flop_per_s]
    peaks += [one for one in (gpu.peak_dense_8bit_flop_per_s, gpu.peak_dense_4bit_flop_per_s) if one is not None]
    assert peaks == sorted(peaks)
    assert peaks[0] <= 1.001 * peaks[1] / 2


def test_memory_is_what_the_driver_shows() -> None:
    """MiB as nvidia-smi prints them."""
    shown = {"h200_141gb": 143_771, "b200": 183_359, "gb200": 189_471, "b300": 275_040, "gb300": 284_208}
    for name, mebibytes in shown.items():
        assert load_gpu(name)[0].memory_bytes == pytest.approx(mebibytes * 2**20, rel=1e-3), name


@pytest.mark.parametrize("name", catalogue.names("gpus"))
def test_every_gpu_says_what_of_it_was_measured(name: str) -> None:
    gpu, _ = load_gpu(name)
    tables = {table.kind for table in published_tables() if table.gpu == name}
    assert tables <= set(gpu.measured.replace(" inside a node", "").split(", ")) or name == "a100_40gb", name
    assert gpu.measured != "nothing" or not tables


@pytest.mark.parametrize("name", catalogue.names("software"))
def test_every_software_has_a_year_and_sources(name: str) -> None:
    software = load_software(name)
    assert software.title
    assert software.year
    assert set(software.references) <= catalogue.sources().keys()
    assert software.references or name == "ordinary"


def test_software_is_named_and_single_switches_lie_over_it() -> None:
    run = tiny(
        cluster={"name": "dgx_h100", "software_profile": "nemo_2025", "software": {"tensor_parallel_overlap": "none"}}
    )
    assert (run.cluster.software_profile, run.parallelism.attention) == ("nemo_2025", "cudnn")
    assert run.cluster.software.tensor_parallel_overlap == "none"
    assert run.cluster.software.switch_adds is False
    own = tiny(cluster={"name": "dgx_h100", "software_profile": "nemo_2025"}, parallelism={"attention": "flash_1"})
    assert (own.parallelism.attention, own.cluster.software.attention) == ("flash_1", "cudnn")


def test_a_kernel_of_a_profile_that_nobody_measured_on_the_gpu_is_the_best_that_was() -> None:
    run = tiny(cluster={"name": "dgx_a100_80gb", "software_profile": "nemo_2025"})
    assert run.parallelism.attention == "flash"
    assert "attention = flash" in " ".join(wsesim.simulate(run).notes)
    assert wsesim.simulate(run).step_time_s > 0
    with pytest.raises(InputError, match="nothing is known of attention by cudnn"):
        wsesim.simulate(tiny(cluster={"name": "dgx_a100_80gb"}, parallelism={"attention": "cudnn"}))


def test_another_software_takes_nothing_from_that_of_the_cluster() -> None:
    run = load_any("gpt_neox_20b_96xa100", ["cluster.software_profile=megatron_2023"])
    assert run.parallelism.attention == "flash_attention_1"  # type: ignore[union-attr]
    assert run.cluster.software.synchronizes_layers is False  # type: ignore[union-attr]


def test_those_who_name_no_software_get_the_ordinary_one() -> None:
    for name in ("dgx_a100_80gb", "dgx_h100", "aws_p5", "dgx_b200", "gb200_nvl72"):
        assert load_gpu_cluster(name)[0].software_profile == "ordinary"


def test_unknown_software_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean megatron_202"):
        tiny(cluster={"software_profile": "megatron_2020"})


def test_prices_are_those_of_an_instance_over_its_gpus() -> None:
    for name, before in (("aws_p4d", 32.77 / 8), ("aws_p5", 98.32 / 8)):
        cluster, origins = load_gpu_cluster(name)
        assert cluster.paying == "rented"
        assert cluster.price_usd_per_gpu_hour < before  # of the first years, the upper end now
        assert origins["price_usd_per_gpu_hour"].high == pytest.approx(before, rel=2e-3)


def test_numbers_of_a_gpu_run_are_explained_with_their_units() -> None:
    origins = origins_of("runs", "gpt_1t_3072xa100")
    assert {"cluster.gpu.calibration.launch_latency_s", "parallelism.tensor_parallel_size"} <= origins.keys()
    assert unit_of_field("power_w_per_gpu") == "W"
    assert parse_quantity("4 USD/h", unit_of_field("cluster.price_usd_per_gpu_hour")) == 4


def test_every_size_of_cerebras_gpt_has_a_run_on_gpus() -> None:
    for size in ("111m", "256m", "590m", "1.3b", "2.7b", "6.7b", "13b"):
        wafer, gpus = load(f"cerebras_gpt_{size}"), load_any(f"cerebras_gpt_{size}_gpu")
        assert gpus.machine == "gpu"
        assert gpus.model == wafer.model
        assert gpus.training.global_batch_size == pytest.approx(wafer.training.global_batch_size, rel=0.02)
        raw = tomllib.loads(catalogue.find("runs", f"cerebras_gpt_{size}_gpu").read_text())
        assert raw["parallelism"] == "auto"

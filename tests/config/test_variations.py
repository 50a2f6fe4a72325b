"""Runs that differ in settings are the ones that reading their files again would give."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import between
from wsesim import Run, load
from wsesim.config.run import parse_setting
from wsesim.config.variations import Variations, check_key
from wsesim.errors import ConfigError, InputError

few = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

COMMON = {
    "training.global_batch_size": st.one_of(st.integers(-1, 5000), st.just("many")),
    "training.sequence_length": st.sampled_from(["128", "2048", "2048.0", "1e30", "2_048"]),
    "training.micro_batch_size": st.sampled_from(["auto", "1", "8", "none"]),
    "training.precision": st.sampled_from(["cbfloat16", "bfloat16", "float32"]),
    "training.weight_sparsity": st.sampled_from(["0", "0.5", "50 %", "1.5"]),
    "training.tokens": st.sampled_from(["chinchilla", "1e9", "300000000"]),
    "training.steps": st.integers(0, 1000),
    "model.num_layers": st.integers(0, 60),
    "model.hidden_size": st.sampled_from(["1024", "2048", "2049"]),
    "model.gated_mlp": st.sampled_from(["true", "false", "1", "perhaps"]),
    "model.name": st.sampled_from(["gpt2", "cerebras-gpt-13b", "nothing", "3"]),
    "name": st.sampled_from(["mine", "3"]),
}
ON_WAFERS = COMMON | {
    "cluster.num_systems": st.integers(-1, 200),
    "cluster.num_gpus": st.integers(1, 8),
    "cluster.name": st.sampled_from(["cs2", "cs3", "andromeda", "no_such"]),
    "cluster.software_release": st.sampled_from(["2.1", "9.9", "x"]),
    "cluster.price_usd_per_system_hour": st.sampled_from(["50", "50 USD/h", "50 kW"]),
    "cluster.system": st.sampled_from(["cs2", "cs3", "cs4"]),
    "cluster.system.power_w": st.sampled_from(["20 kW", "20000", "20 GB"]),
    "cluster.system.wafer.io_bytes_per_s": between(1e8, 1e12),
    "cluster.system.calibration": st.sampled_from(["cs3", "none"]),
    "cluster.system.calibration.gemm_efficiency": between(0.1, 2.0),
    'cluster.system.calibration.releases."2.1"': between(0.5, 1.5),
    "cluster.memoryx.dram_bytes": st.sampled_from(["1 TB", "1_000_000_000_000", "{ value = 3, status = 'assumed' }"]),
    "cluster.simulation.chunks_per_layer": st.integers(0, 8),
    "cluster.exceptions": st.sampled_from(["[]", "[{systems = [0], speed = 0.5}]", "[{systems = [100], speed = 0.5}]"]),
    "cluster.swarmx": st.sampled_from(["{ fan_out = 2 }", "none"]),
    "cluster.job.restart_s": st.integers(0, 100),
    "parallelism": st.just("auto"),
}
ON_GPUS = COMMON | {
    "cluster.num_gpus": st.integers(1, 64),
    "cluster.name": st.sampled_from(["selene", "cs2"]),
    "cluster.gpu.memory_bytes": st.sampled_from(["40 GB", "8e10"]),
    "cluster.node_network_bytes_per_s": between(1e9, 1e12),
    "cluster.software.attention": st.sampled_from(["flash", "unfused"]),
    "parallelism.tensor_parallel_size": st.sampled_from(["1", "8", "auto"]),
    "parallelism.zero_stage": st.integers(0, 4),
}


def outcome(build: Any) -> Any:
    try:
        return build()
    except InputError as error:
        return type(error), str(error)


def same(one: Any, other: Any) -> bool:
    """Equal, also in what was set and where each number comes from."""
    if isinstance(one, Run) and isinstance(other, Run):
        parts = [name for name in ("model", "training", "cluster", "parallelism") if getattr(one, name) is not None]
        dumps = [[getattr(run, name).model_dump(exclude_unset=True) for name in parts] for run in (one, other)]
        return one == other and list(one.origins.items()) == list(other.origins.items()) and dumps[0] == dumps[1]
    return one == other


def compare(word: str | Path, fixed: list[str], keys: list[str], rows: list[list[str]]) -> None:
    runs = Variations.of(word, fixed, keys)
    found: dict[str, Any] = {}
    for row in rows:
        texts = [f"{key}={value}" for key, value in zip(keys, row, strict=True)]
        values = [parse_setting(text)[1] for text in texts]
        wanted, got = (
            outcome(lambda texts=texts: load(word, [*fixed, *texts])),
            outcome(lambda v=values: runs.run(v)),
        )
        assert same(wanted, got), (texts, wanted, got)
        key = runs.key(values)
        assert isinstance(found.setdefault(key, got), Run) == isinstance(got, Run), texts
        if isinstance(got, Run):
            specs = [getattr(found[key], part) for part in ("model", "training", "cluster")]
            assert specs == [got.model, got.training, got.cluster], f"one key for two runs: {texts}"


@pytest.mark.parametrize(
    ("word", "known"),
    [("andromeda_13b", ON_WAFERS), ("own_model_64", ON_WAFERS), ("gpt3_13b_256xa100", ON_GPUS)],
    ids=["13b", "own", "gpus"],
)
@few
@given(data=st.data())
def test_the_same_run_as_load(word: str, known: dict[str, st.SearchStrategy[Any]], data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True, min_size=1, max_size=4))
    fixed = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=2))
    settings = [f"{key}={data.draw(known[key])}" for key in fixed]
    rows = [[str(data.draw(known[key])) for key in keys] for _ in range(4)]
    compare(word, settings, keys, rows)


def test_the_same_run_from_a_foreign_file() -> None:
    folder = Path(__file__).parent / "data"
    for name in ("bert-base.json", "llama-3-8b.json", "params_gpt3_1p3b_trainer.yaml"):
        fixed = [f"model.path={folder / name}"]
        rows = [["128", "1"], ["512", "2"], ["256", "x"], ["128", "4"]]
        compare("andromeda_13b", fixed, ["training.sequence_length", "cluster.num_systems"], rows)


def test_a_point_costs_a_tenth_of_reading_its_files() -> None:
    """It costs about a thirtieth; the rest is for machines that are busy."""
    keys, count = ["cluster.system.calibration.gemm_efficiency", "cluster.num_systems"], 200
    runs = Variations.of("andromeda_13b", [], keys)
    runs.run([0.3, 2])
    started = time.process_time()
    for place in range(count):
        runs.run([0.2 + 1e-3 * place, 1 + place % 12])
    varied_s = (time.process_time() - started) / count
    started = time.process_time()
    for _ in range(10):
        load("andromeda_13b", [f"{keys[0]}=0.3", f"{keys[1]}=2"])
    assert varied_s < (time.process_time() - started) / 10 / 10


def test_units_and_defaults_make_no_other_run() -> None:
    keys = ["cluster.system.wafer.io_bytes_per_s", "training.precision"]
    runs = Variations.of("andromeda_13b", [], keys)
    assert (
        runs.key(["1.2 Tb/s", "cbfloat16"])
        == runs.key([150e9, "cbfloat16"])
        == runs.key([150_000_000_000, "cbfloat16"])
    )
    plain = Variations.of("andromeda_13b", [], ["cluster.system.wafer.io_bytes_per_s"])
    assert plain.key([150e9]) == runs.key([150e9, "cbfloat16"])
    assert plain.key([1]) != plain.key([True])


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("cluster.num_system", "did you mean cluster.num_systems"),
        ("num_systems", "did you mean cluster.num_systems"),
        ("cluster.num_gpus", "did you mean cluster.num_systems"),
        ("cluster.nmae", "did you mean cluster.name"),
        ("cluster.num_systems.more", "is not a known key"),
        ("qqq", "wsesim explain"),
    ],
)
def test_unknown_keys_name_the_nearest(key: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        check_key(key, ["wafer"])


@pytest.mark.parametrize("key", [key for key in ON_WAFERS if key not in ("parallelism", "cluster.num_gpus")])
def test_known_keys_pass(key: str) -> None:
    check_key(key, ["wafer"])


def test_a_word_that_is_no_number_hides_no_other_that_is_read() -> None:
    rows = [["many"], ["4M tokens"], ["64"]]
    compare("andromeda_13b", [], ["training.global_batch_size"], rows)

"""`wsesim compare`: the same numbers as `simulate`, side by side; and how many GPUs take as long."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import wsesim
from tests.front_door import answer, call
from wsesim import Comparison, compare
from wsesim.config.loader import load_any
from wsesim.errors import InputError
from wsesim.report.pages.compare import FIGURES, sections
from wsesim.report.terminal import fits, print_sections
from wsesim.results.job import power_w
from wsesim.study.comparison import COMPARED, Entry, entry
from wsesim.study.side_by_side import Search, same_job

WAFER, GPU, NEOX = "cerebras_gpt_111m", "cerebras_gpt_111m_gpu", "gpt_neox_20b_96xa100"


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return list(wsesim.compare(WAFER, GPU, NEOX).entries)


def printed(entries: list[Entry], width: int) -> str:
    file = io.StringIO()
    out = Console(file=file, width=width, color_system=None, emoji=False, markup=False)
    print_sections(out, sections(Comparison(tuple(entries)), lambda table: fits(out, table)))
    return file.getvalue()


def test_numbers_are_those_of_simulate(entries: list[Entry]) -> None:
    for name, one in zip((WAFER, GPU, NEOX), entries, strict=True):
        result = wsesim.simulate(wsesim.load(name))
        value = {key: figure.value.value for key, figure in one.figures.items() if figure.value is not None}
        assert value["step_time_s"] == result.step_time_s
        assert value["tokens_per_s"] == result.tokens_per_s
        assert value["mfu"] == result.mfu
        assert value["time_to_train_s"] == result.job.time_s
        assert value["tokens_per_s_per_device"] * result.num_devices == pytest.approx(result.tokens_per_s)
        # one kW for one second is 1 kJ: the rate per kW is tokens per kJ of the whole job
        assert value["tokens_per_s_per_kw"] == pytest.approx(1000.0 * result.job.tokens / result.job.energy_j.value)
        if result.job.cost_usd is not None:
            assert value["tokens_per_usd"] == pytest.approx(result.job.tokens / result.job.cost_usd.value)


def test_ranges_go_through_in_the_right_direction(entries: list[Entry]) -> None:
    rate = entries[0].figures["tokens_per_s_per_kw"].value
    power, bounds = power_w(entries[0].result.run), entries[0].result.bounds
    assert rate is not None
    # the range of the power and that of the time are independent: logarithms add as squares
    below = math.hypot(math.log(power.high / power.value), bounds.slower)
    assert rate.low == pytest.approx(rate.value * math.exp(-below))
    assert rate.low < rate.value < rate.high


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("number", [2, 4])
def test_the_table_is_readable(entries: list[Entry], width: int, number: int) -> None:
    shown = printed([*entries, entries[0]][:number], width)
    assert max(map(len, shown.splitlines())) <= width
    for word in (*FIGURES.values(), "devices", "memory", "parallelism", "settings"):
        assert word.split()[0] in shown
    for text in (
        "1 CS-2 system",
        "8 A100",
        "x faster",
        "x more",
        "Against",
        "data",
        "MemoryX",
        "fullest GPU",
        "~ rests on",
    ):
        assert text in shown


def test_what_rests_on_assumptions_is_marked(entries: list[Entry]) -> None:
    wafer, _, neox = entries
    assert wafer.figures["energy_j"].is_uncertain
    assert wafer.figures["cost_usd"].is_uncertain
    assert not wafer.figures["tokens_per_s"].is_uncertain
    assert neox.figures["energy_j"].is_uncertain, "power of the NeoX cluster is assumed"
    assert not wafer.is_extrapolated
    assert not neox.is_extrapolated


def test_what_is_set_is_certain() -> None:
    run = wsesim.load(WAFER, ["cluster.price_usd_per_system_hour=100", "cluster.system.power_w=20 kW"])
    one = entry(wsesim.simulate(run))
    assert not one.figures["cost_usd"].is_uncertain
    assert one.figures["energy_j"].is_uncertain, "the rest of the cluster still has a range"


def test_json() -> None:
    data = answer("compare", WAFER, GPU, "--json").json
    first, second = data["runs"]
    assert (first["kind"], second["kind"]) == ("wafer_scale", "gpu")
    for one in data["runs"]:
        assert set(COMPARED) <= one.keys()
        assert {"place", "used_bytes", "capacity_bytes"} == one["memory"].keys()
        assert one["ratios"]["tokens_per_s"] == pytest.approx(one["tokens_per_s"] / first["tokens_per_s"])
    assert first["ratios"]["time_to_train_s"] == 1.0
    assert first["energy_j_range"][0] < first["energy_j"] < first["energy_j_range"][1]
    assert second["kinds_of_parallelism"]
    assert second["num_settings"] > first["num_settings"]
    assert "same" not in data


def test_different_jobs_are_compared_with_a_note() -> None:
    notes = " ".join(answer("compare", WAFER, NEOX, "--json").json["notes"])
    for text in ("different models", "different numbers of tokens", "different batches"):
        assert text in notes
    notes = " ".join(answer("compare", WAFER, WAFER, "--json").json["notes"])
    assert "different" not in notes


def test_large_models_are_told_in_plain_numbers() -> None:
    notes = " ".join(wsesim.compare(WAFER, "gpt_1t_cs2_192").to_dict()["notes"])
    assert "(1,008 billion parameters)" in notes


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        (["andromeda_13b"], 2, ["two runs or more", "wsesim compare andromeda_13b"]),
        (["andromeda_13b", "andromeda_13c"], 2, ["did you mean andromeda_13b"]),
        ([WAFER, WAFER, "--same", "tine"], 2, ["--same tine", "time, cost, energy"]),
    ],
)
def test_wrong_input_has_a_remedy(words: list[str], code: int, texts: list[str]) -> None:
    outcome = call("compare", *words)
    assert (outcome.code, outcome.out) == (code, "")
    for text in texts:
        assert text in outcome.err


def test_a_run_that_does_not_fit_is_the_answer_no(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "too small"\nparallelism = "auto"\n[model]\nname = "gpt3-175b"\n[training]\nsequence_length = 2048\n'
        'global_batch_size = 64\n[cluster]\nname = "dgx_a100_80gb"\nnum_gpus = 8\n'
    )
    outcome = call("compare", WAFER, path)
    assert outcome.code == 1
    assert "what fits is" in outcome.err


# how many devices take as much

SAME_JOB = ("model", "parameters", "tokens", "sequence_length", "mode")
"""What two jobs share whose batches divide well on different numbers of devices."""


@pytest.mark.parametrize(("figure", "key"), [("time", "time_to_train_s"), ("cost", "cost_usd"), ("energy", "energy_j")])
def test_neighbours_enclose_what_is_wanted_and_do_the_same_job(figure: str, key: str) -> None:
    compared = answer("compare", WAFER, "--with", "cs3:2", "--with", "dgx_a100_80gb:8", "--same", figure, "--json").json
    job, wanted = compared["runs"][0]["job"], compared["runs"][0][key]
    for one in compared["same"]:
        assert one["wanted"] == wanted
        for neighbour in filter(None, (one["makes"], one["misses"])):
            done = neighbour["job"]
            assert {name: done[name] for name in SAME_JOB} == {name: job[name] for name in SAME_JOB}
            assert (neighbour[key] <= wanted) == (neighbour is one["makes"])
            assert neighbour["over"] == pytest.approx(neighbour[key] / wanted - 1.0)
        if one["makes"] and one["misses"]:
            ends = sorted(neighbour["num_devices"] for neighbour in (one["makes"], one["misses"]))
            assert ends[0] <= one["interpolated_num_devices"] <= ends[1]


def test_as_long_on_the_same_machine_is_the_run_itself() -> None:
    run = wsesim.load(WAFER, ["cluster.num_systems=4", "training.global_batch_size=480"])
    (found,) = wsesim.compare(run, run, same=["time"]).same
    assert found.makes is not None
    assert found.makes.num_devices == 4
    assert found.num_devices == pytest.approx(4.0)


def test_wafers_are_searched_for_the_time_of_gpus() -> None:
    out = answer("compare", GPU, "--with", "cs2:1", "--same-time").out.split("in the same time")[1]
    assert "CS-2 cluster" in out
    assert "make it" in " ".join(out.split())


def test_sizes_of_the_file_stay_and_only_copies_are_added() -> None:
    run = wsesim.load(NEOX)
    (found,) = wsesim.compare(run, run, same=["time"]).same
    assert found.makes is not None
    assert (found.makes.plan["tensor_parallel_size"], found.makes.plan["pipeline_parallel_size"]) == (2, 4)
    assert found.makes.plan["data_parallel_size"] * 8 == found.makes.num_devices


def test_where_no_number_of_gpus_holds_the_model() -> None:
    run = wsesim.load(GPU, ["cluster.gpu.memory_bytes=2.1 GB", "cluster.max_gpus=16"])
    # 2 GB are reserved; what is left holds less than one block's activations
    settings = run.parallelism.model_copy(update={"tensor_parallel_size": 1, "pipeline_parallel_size": 1})
    found = Search(same_job(replace(run, parallelism=settings), wsesim.load(WAFER)), "time", 1000.0).found()
    assert (found.makes, found.misses, found.num_devices) == (None, None, None)


def test_without_a_price_there_is_no_same_cost() -> None:
    outcome = call("compare", "andromeda_13b", "--with", "dgx_h100:8", "--same", "cost", "--paying", "rented")
    assert outcome.code == 2
    assert "no price" in outcome.err


# The same job elsewhere, and what changed


def test_a_job_moves_to_other_machines_without_a_second_file() -> None:
    found = call("compare", "andromeda_13b", "--with", "dgx_h100:128", "--with", "cs3:2", "--json").json["runs"]
    assert [(one["kind"], one["num_devices"]) for one in found] == [
        ("wafer_scale", 12),
        ("gpu", 128),
        ("wafer_scale", 2),
    ]
    tokens = [one["training"]["tokens"] for one in found]
    assert max(tokens) / min(tokens) - 1.0 < 1e-4
    own = wsesim.simulate(wsesim.load("andromeda_13b", ["cluster.name=cs3", "cluster.num_systems=2"]))
    assert found[2]["tokens_per_s"] == pytest.approx(own.tokens_per_s, rel=0.2)  # with the batch that it has there


def test_what_makes_a_job_goes_along() -> None:
    sparse, wafers, gpus = (one.run for one in compare("sparse_6.7b_cs3", elsewhere=["cs3:8", "dgx_h100:64"]).results)
    assert (sparse.training.weight_sparsity, wafers.training.weight_sparsity, gpus.training.weight_sparsity) == (
        0.7,
        0.7,
        0,
    )
    older, moved_older = compare("andromeda_13b", elsewhere=["cs2:12"]).results
    assert older.step.software == moved_older.step.software == "2.1"
    wide = compare(load_any("andromeda_13b", ["training.precision=float32"]), elsewhere=["dgx_h100:64"]).results[1]
    assert wide.run.training.precision == "float32"


def test_different_jobs_have_no_ratios_of_time_energy_and_cost() -> None:
    first = load_any("cerebras_gpt_1.3b", ["training.tokens=1e11"])
    for other, word in (
        (load_any("cerebras_gpt_2.7b", ["training.tokens=1e11"]), "are of different sizes"),
        (
            load_any("cerebras_gpt_1.3b", ["training.tokens=1e11", "training.mode=evaluation"]),
            "trainings and evaluations",
        ),
    ):
        told = compare(first, other).to_dict()
        assert not {"time_to_train_s", "energy_j", "cost_usd"} & told["runs"][1]["ratios"].keys()
        assert any(word in note for note in told["notes"])


def test_keys_are_set_where_a_run_has_them() -> None:
    found = compare("andromeda_13b", elsewhere=["dgx_h100:64"], settings=["cluster.num_systems=8", "cluster.pue=1.0"])
    wafers, gpus = (one.run for one in found.results)
    assert (wafers.num_devices, gpus.num_devices, wafers.cluster.pue, gpus.cluster.pue) == (8, 64, 1.0, 1.0)
    with pytest.raises(InputError, match="none of the runs has such a key"):
        compare("andromeda_13b", elsewhere=["dgx_h100:64"], settings=["cluster.bogus=1"])


def test_a_price_of_a_whole_job_is_certain() -> None:
    one = compare("andromeda_13b", elsewhere=["ai_model_studio:4"]).to_dict()["runs"][1]
    assert (one["cost_usd"], "cost_usd" in one["uncertain"]) == (150e3, False)
    assert one["tokens_per_usd"] == pytest.approx(one["training"]["tokens"] / 150e3)
    assert one["ratios"]["tokens_per_usd"] == pytest.approx(1.0 / one["ratios"]["cost_usd"])


@pytest.mark.parametrize("where", ["dgx_h100", "dgx_h100:", "dgx_h100:0", "dgx_h100:x", ":8", "no_such:8"])
def test_a_place_that_cannot_be(where: str) -> None:
    found = call("compare", WAFER, "--with", where)
    assert found.code == 2
    assert f"--with {where}" in found.err
    assert "Traceback" not in found.err


def test_one_switch_makes_costs_alike() -> None:
    words = ("compare", "andromeda_13b", "--with", "dgx_h100:128", "--with", "aws_p5:128", "--json")
    mixed, owned = call(*words).json, call(*words, "--paying", "owned").json
    assert [one["training"]["paying"] for one in mixed["runs"]] == ["owned", "owned", "rented"]
    assert any("side by side" in note for note in mixed["notes"])
    assert {one["training"]["paying"] for one in owned["runs"]} == {"owned"}
    assert not any("side by side" in note for note in owned["notes"])


def test_what_moved_between_two_answers_and_why(tmp_path: Path) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_text(call("run", "andromeda_13b", "--json").out)
    after.write_text(call("run", "andromeda_13b", "--set", "cluster.software_release=2.3", "--json").out)
    found = call("compare", before, after, "--json").json
    moved, causes = ({one["key"]: one for one in found[key]} for key in ("moved", "causes"))
    assert moved["step_time_s"]["change"] < 0.0
    assert (causes["software"]["before"], causes["software"]["after"]) == ("2.1", "2.3")
    assert "simulator.calibration" in causes
    assert "Why" in call("compare", before, after).out
    assert "nothing differs" in call("compare", before, before).out
    after.write_text("{}")
    assert call("compare", before, after).code == 2

"""Do pictures show the numbers of the results, and does every axis say its quantity and unit?"""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

import wsesim
from tests.report.charts.drawn import result, titles
from wsesim import Result
from wsesim.errors import InputError
from wsesim.machines.machine import machine_of
from wsesim.report.charts import breakdown, scaling, sweep, timeline, totals, validation
from wsesim.report.charts.render import Picture, spec
from wsesim.report.charts.theme import LOGARITHMIC_FROM, scale_of
from wsesim.study.scaling import scaling as scaling_of
from wsesim.study.sensitivity import Effect, Sensitivity, sensitivity
from wsesim.study.timeline import timeline_of
from wsesim.validate.near import Comparison

WITH_UNIT = re.compile(r" \[[^\]]+\]$")
NAMES = ("cerebras_gpt_111m", "straggler_13b", "cerebras_gpt_111m_gpu", "gpt_neox_20b_96xa100")


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [result(name) for name in NAMES]


@pytest.fixture(scope="module")
def pictures(results: list[Result]) -> dict[str, Picture]:
    swept = wsesim.sweep("cerebras_gpt_111m", {"cluster.num_systems": "1,2,17", "model.num_layers": "4,8"}, workers=1)
    points = [
        Comparison("row", "set", use, "source", "m", "CS-2", 1, 1e4, 1.1e4, left_out_error=left_out)
        for use, left_out in (("validation", None), ("leave-one-out", 0.2), ("unexplained", None))
    ]
    curves = scaling_of(results[0])
    return {
        "breakdown": breakdown.chart(results),
        "shares": breakdown.chart(results, as_share=True),
        "utilization": breakdown.utilization_chart(results),
        "memory": breakdown.memory_chart(results),
        "totals": totals.chart(results),
        "loss": totals.loss_chart(results),
        "scaling": scaling.chart(curves),
        "efficiency": scaling.efficiency(curves),
        "validation": validation.chart(points),
        "timeline": timeline.chart(timeline_of(results[0])),
        "sweep": sweep.chart(swept.rows, swept.keys, "tokens_per_s"),
        "sensitivity": scaling.tornado(sensitivity(results[0].run), "uncertain"),
        "constants": scaling.tornado(sensitivity(results[2].run), "constants"),
    }


def test_every_axis_names_quantity_and_unit(pictures: dict[str, Picture]) -> None:
    for name, picture in pictures.items():
        found = titles(spec(picture))
        assert found, name
        assert all(WITH_UNIT.search(title) for title in found), (name, found)


def test_every_dataset_of_a_template_is_there(pictures: dict[str, Picture]) -> None:
    for name, picture in pictures.items():
        wanted = set(re.findall(r"'data': \{'name': '([^']+)'\}", str(spec(picture))))
        assert wanted == set(picture.datasets), name


def test_every_picture_says_in_words_what_it_shows(pictures: dict[str, Picture]) -> None:
    assert all(len(picture.description) > 20 for picture in pictures.values())


@pytest.mark.parametrize("as_share", [False, True])
def test_parts_of_the_breakdown_follow_one_another_and_add_up(results: list[Result], *, as_share: bool) -> None:
    picture = breakdown.chart(results, as_share=as_share)
    scale = scale_of(max(one.step_time_s for one in results), "s")
    ends: dict[str, float] = defaultdict(float)
    for part in picture.datasets["parts"]:
        assert part["start"] == pytest.approx(ends[part["row"]], abs=1e-9)
        ends[part["row"]] = part["end"]
    wanted = [100.0 if as_share else one.step_time_s / scale.size for one in results]
    assert list(ends.values()) == pytest.approx(wanted)


def test_bars_are_the_numbers_of_the_results(results: list[Result]) -> None:
    busy = {row["part"]: row["busy"] / 100 for row in breakdown.utilization_rows(results[:1])}
    assert busy == pytest.approx(results[0].utilization)
    for one in results:
        for place in machine_of(one.run).words.places(one):
            assert 0 < sum(place.held_bytes.values()) <= place.capacity_bytes
    gpu = next(one for one in results if one.kind == "gpu")
    assert sum(machine_of(gpu.run).words.places(gpu)[0].held_bytes.values()) == pytest.approx(gpu.memory["gpu_bytes"])


def test_totals_have_the_ranges_of_the_job(results: list[Result]) -> None:
    time, energy, cost = totals.quantities(results)
    assert [one.value for one in time.values if one] == [one.job.time_s for one in results]
    assert [one.low for one in energy.values if one] == [one.job.energy_j.low for one in results]
    assert list(cost.values) == [one.job.cost_usd for one in results]
    assert "no price" in totals.chart([result("cerebras_gpt_111m", "cluster.paying=rented")]).description


def test_the_loss_curve_ends_at_the_loss_of_the_run(results: list[Result]) -> None:
    for one in results:
        quality, points = one.job.quality, totals.loss_rows([one])
        assert quality is not None
        assert (points[-1]["tokens"], points[-1]["loss"]) == pytest.approx((one.job.tokens, quality.loss))
        assert all(point["low"] < point["loss"] < point["high"] for point in points)
    with pytest.raises(InputError, match="decoders"):
        totals.loss_chart([result("bert_large")])


def test_the_own_run_is_marked_in_its_curves() -> None:
    found = scaling_of(result("cerebras_gpt_111m", "cluster.num_systems=4"))
    picture = scaling.chart(found)
    assert picture.datasets["own"][0]["devices"] == 4
    assert {row["tokens_per_s"] for row in picture.datasets["points"]} >= {found.own.tokens_per_s}


def test_equal_names_are_told_apart(results: list[Result]) -> None:
    twice = breakdown.chart([results[0], results[0]])
    assert len({row["run"] for row in twice.datasets["parts"]}) == 2


@pytest.mark.parametrize("last", [16, 400])
def test_what_is_proportional_is_drawn_as_a_straight_line(last: int) -> None:
    rows = [{"n": n, "status": "ok", "tokens_per_s": 1e5 * n} for n in (1, 2, 4, last)]
    encoding = sweep.chart(rows, ["n"], "tokens_per_s").template["layer"][0]["encoding"]
    kinds = {encoding[axis]["scale"].get("type", "linear") for axis in ("x", "y")}
    assert kinds == {"log" if last >= LOGARITHMIC_FROM else "linear"}


def test_points_of_a_sweep_without_an_answer_are_shown(pictures: dict[str, Picture]) -> None:
    missing = pictures["sweep"].datasets["missing"]
    assert {row["x"] for row in missing} == {17.0}
    assert "4" not in {row["x"] for row in missing}
    assert "more than the fabric" in pictures["sweep"].notes[0]


SWEPT = [
    ({"cluster.system.wafer.io_bytes_per_s": ["0.5 Tb/s", "1 Tb/s"]}, "GB/s"),
    ({"cluster.num_systems": [1, 2]}, "-"),
]


@pytest.mark.parametrize(("values", "unit"), SWEPT)
def test_quantities_become_numbers_of_an_axis(values: dict[str, list[object]], unit: str) -> None:
    (key, found), *_ = values.items()
    axis = sweep.axis_of(key, [{key: value} for value in found])
    assert axis.title == f"{key} [{unit}]"
    assert list(axis.numbers.values()) == pytest.approx([62.5, 125.0] if unit == "GB/s" else [1, 2])


def test_names_and_mixtures_become_bars() -> None:
    rows = [{"k": one, "status": "ok", "time_s": 2.0} for one in ("a", 1, True)]
    assert sweep.axis_of("k", rows).numbers == {}
    picture = sweep.chart(rows, ["k"], "time_s")
    assert [row["value"] for row in picture.datasets["points"]] == [2.0, 2.0, 2.0]


def test_more_keys_than_axes_are_refused() -> None:
    with pytest.raises(InputError, match="choose one or two"):
        sweep.chart([], ["a", "b", "c"], "time_s")


def test_a_row_that_was_fitted_is_hollow_and_solid_where_it_was_left_out(pictures: dict[str, Picture]) -> None:
    marks = [(row["mark"], round(row["error"], 9)) for row in pictures["validation"].datasets["points"]]
    assert sorted(marks) == [
        (validation.FITTED, 0.1),
        (validation.UNEXPLAINED, 0.1),
        (validation.LEFT_OUT, 0.1),
        (validation.LEFT_OUT, 0.2),
    ]


def test_a_tornado_is_sorted_and_says_what_is_refused(results: list[Result]) -> None:
    """Both ends on one side of the step lie on one another, the longer one below; what cannot be has no bar."""
    step_s = results[0].step_time_s

    def effect(key: str, *shares: float | None) -> Effect:
        times = tuple("it does not fit" if share is None else step_s * (1.0 + share) for share in shares)
        return Effect(f"cluster.{key}", 1.0, "assumed", "none", (0.5, 2.0), times)

    effects = (effect("a_s", 0.1, 0.3), effect("b_s", -0.2, None), effect("c_s", 0.0, 0.00001))
    found = Sensitivity(results[0], effects, (), (), ())
    picture = scaling.tornado(found, "uncertain")
    bars = [(bar["row"], bar["end"], bar["series"].split()[0]) for bar in picture.datasets["bars"]]
    assert bars == [(0, pytest.approx(30.0), "high"), (0, pytest.approx(10.0), "low"), (1, pytest.approx(-20.0), "low")]
    heads = [head["head"] for head in picture.datasets["heads"]]
    assert heads == ["a_s: +10.00% to +30.00%", "b_s: -20.00% to refused"]
    assert all(head in picture.description for head in heads)
    assert "none changes it" in scaling.tornado(found, "constants").description
    many = Sensitivity(results[0], effects[:1] * (scaling.MOST_BARS + 3), (), (), ())
    assert picture.notes == ()
    assert f"of {scaling.MOST_BARS + 3}" in scaling.tornado(many, "uncertain").notes[0]

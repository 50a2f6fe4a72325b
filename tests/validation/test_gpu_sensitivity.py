"""Many constants at once give what each gives alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wsesim.machines.gpu.rows import published
from wsesim.machines.gpu.search import closed_form_of_plan_s
from wsesim.validate.gpu_predict import plan_of, ranges, run_of, sensitivities, variants_s, with_constants

ROWS = {row.id: row for row in published()}


@pytest.mark.parametrize("name", ["sc21t1-06", "vtrain-s-0095", "mpt-100", "dgxc-v25.04.02-l70b-bf16-01", "llama1-65b"])
def test_variants_are_each_of_them_alone(name: str) -> None:
    run = run_of(ROWS[name])
    plan, ends = plan_of(run), ranges()
    found = variants_s(run, plan)
    assert found.shape == (1 + 2 * len(ends),)
    assert found[0] == pytest.approx(closed_form_of_plan_s(run, plan))
    for place, (key, pair) in enumerate(ends.items()):
        for side, end in enumerate(pair):
            alone = replace(run, cluster=with_constants(run.cluster, **{key: end}))
            expected = closed_form_of_plan_s(alone, plan)
            assert found[1 + 2 * place + side] == pytest.approx(expected, rel=1e-12), key


def test_every_assumed_constant_is_varied_and_no_fitted_one() -> None:
    found = sensitivities([ROWS["sc21t1-01"], ROWS["sc21t1-04"]])
    keys = [one.key for one in found.constants]
    assert set(keys) == set(ranges())
    assert {"hot_s", "launch_latency_s", "network_efficiency", "overlap_slowdown"} < set(keys)
    assert "batched_gemm_efficiency" not in keys
    for one in found.constants:
        assert set(one.mape) == {"sc21-table1"}
    # a slower memory makes every step longer, and these are predicted too fast
    (memory,) = [one for one in found.constants if one.key == "memory_efficiency"]
    low, high = memory.mape["sc21-table1"]
    assert low < found.shipped["sc21-table1"] < high
    assert set(found.estimates_s) == {"sc21t1-01", "sc21t1-04"}

"""Is every machine of the catalogue drawn, with all of its levels, links and shares?"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import wsesim
from wsesim.config import catalogue
from wsesim.config.loader import load_any_cluster
from wsesim.machines.machine import MACHINES
from wsesim.report.charts import machine
from wsesim.report.charts.render import drawn
from wsesim.view import Level

README_PICTURES = Path(__file__).resolve().parents[3] / "docs" / "assets"


def levels_of(name: str) -> list[Level]:
    cluster, *_ = load_any_cluster(name)
    return MACHINES[cluster.machine].words.levels(cluster, {})


@pytest.mark.parametrize("name", catalogue.names("clusters"))
def test_every_cluster_is_drawn(name: str) -> None:
    cluster, *_ = load_any_cluster(name)
    levels, picture = levels_of(name), machine.chart(cluster)
    shown = [min(level.number, machine.MOST_BOXES) for level in levels]
    assert len(picture.datasets["boxes"]) == sum(shown)
    assert len(picture.datasets["links"]) == sum(shown[1:])
    assert all(0.0 <= box["x"] < box["x2"] <= 1.0 for box in picture.datasets["boxes"])
    assert all(one["y2"] < other["y"] for one, other in pairwise(picture.datasets["frames"]))
    assert all(level.name in picture.description for level in levels)
    assert not picture.notes or "16 are drawn" in picture.notes[-1]


def test_a_wafer_cluster_shows_its_tree() -> None:
    """Sixteen systems under nodes with four children: one node, four nodes, by pencil and paper."""
    assert [level.number for level in levels_of("andromeda")] == [1, 1, 4, 16]
    assert levels_of("andromeda")[-1].link == "ports of 150 GB/s each way"


def test_gpus_of_one_node_hang_on_one_node() -> None:
    cluster, *_ = load_any_cluster("selene")
    links = machine.chart(cluster).datasets["links"][-8:]
    assert len({link["x"] for link in links}) == 1


def test_load_is_seen_and_said() -> None:
    """A busy part is fuller than an idle one, and its share stands in words."""
    result = wsesim.simulate(wsesim.load("straggler_13b"))
    picture = machine.chart(result.run.cluster, result.utilization)
    state, *_, last = picture.datasets["boxes"]
    assert state["ink"] < last["ink"]
    assert f"busy {result.utilization['wafer']:.0%}" in picture.description
    assert "unlike the rest" in picture.description
    assert [box["is_unlike"] for box in picture.datasets["boxes"]].count(True) == 1


def test_it_is_drawn_without_a_browser() -> None:
    cluster, *_ = load_any_cluster("cs3")
    assert b"CS-3" in drawn(machine.chart(cluster), "svg", "dark", 330.0)


def test_pictures_of_readme_are_those_of_the_catalogue() -> None:
    """`python docs/pictures.py` writes them."""
    texts = machine.chart(load_any_cluster("andromeda")[0]).datasets["texts"]
    for theme in ("light", "dark"):
        svg = (README_PICTURES / f"machine-andromeda-{theme}.svg").read_text(encoding="utf-8")
        assert all(str(row["says"]) in svg for row in texts)

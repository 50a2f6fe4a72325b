"""The tree reaches every system by the same number of hops, and folding loses nobody."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import Table, exceptions, small_tables, tiny_run
from wsesim import from_table
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.wafer.swarmx import depth, num_hops, path_latency_s, system_classes, tree

SYSTEMS, FAN_OUT = st.integers(1, 300), st.integers(2, 9)
few = settings(deadline=None, max_examples=25)


@few
@given(SYSTEMS, FAN_OUT)
def test_the_depth_is_the_least_that_reaches_all_systems(num_systems: int, fan_out: int) -> None:
    levels = depth(num_systems, fan_out)
    assert fan_out**levels >= num_systems
    assert levels == 0 or fan_out ** (levels - 1) < num_systems


@few
@given(SYSTEMS, FAN_OUT)
def test_every_system_hangs_at_the_same_depth(num_systems: int, fan_out: int) -> None:
    distances = nx.single_source_shortest_path_length(tree(num_systems, fan_out), "memoryx")
    found = {node: distance for node, distance in distances.items() if node.startswith("cs.")}
    assert set(found) == {f"cs.{system}" for system in range(num_systems)}
    assert set(found.values()) == {depth(num_systems, fan_out) + 1}


@few
@given(SYSTEMS, FAN_OUT)
def test_it_is_a_tree_whose_nodes_have_at_most_fan_out_children(num_systems: int, fan_out: int) -> None:
    graph = tree(num_systems, fan_out)
    assert nx.is_arborescence(graph)
    assert all(degree <= fan_out for _, degree in graph.out_degree())
    assert all(graph.out_degree(node) >= 1 for node in graph if not node.startswith("cs."))


def test_one_system_hangs_on_memoryx_itself() -> None:
    assert sorted(tree(1, 4).edges) == [("memoryx", "cs.0")]
    assert num_hops(1, 4) == 0


def test_a_broadcast_is_latency_of_all_hops_and_the_time_of_one_link() -> None:
    spec = tiny_run(cluster={"swarmx": {"hop_latency_s": "1 us", "link_bytes_per_s": "100 GB/s"}}).cluster.swarmx
    # 16 systems hang below two levels of 1:4 nodes: MemoryX to node, node to node, node to system
    assert path_latency_s(spec, 16) == pytest.approx(3e-6)


# Folding


def together(table: Table, *, fold: bool) -> list[int]:
    return sorted(member for kind in system_classes(from_table(table).cluster, fold=fold) for member in kind.members)


@few
@given(small_tables(most_systems=9), st.booleans())
def test_every_system_is_in_exactly_one_class(table: Table, fold: bool) -> None:
    assert together(table, fold=fold) == list(range(table["cluster"]["num_systems"]))


@few
@given(small_tables(most_systems=9))
def test_multiplicities_sum_to_the_number_of_systems(table: Table) -> None:
    cluster = from_table(table).cluster
    folded, unfolded = system_classes(cluster), system_classes(cluster, fold=False)
    assert sum(kind.multiplicity for kind in folded) == cluster.num_systems
    assert [kind.multiplicity for kind in unfolded] == [1] * cluster.num_systems


@few
@given(small_tables(most_systems=9))
def test_systems_of_a_class_behave_as_they_do_alone(table: Table) -> None:
    cluster = from_table(table).cluster
    alone = {kind.members[0]: kind for kind in system_classes(cluster, fold=False)}
    for kind in system_classes(cluster):
        for member in kind.members:
            one = alone[member]
            assert (one.speed, one.io_bytes_per_s, one.link_bytes_per_s) == (
                kind.speed,
                kind.io_bytes_per_s,
                kind.link_bytes_per_s,
            )
            assert (one.latency_s, one.worker_samples_per_s) == (kind.latency_s, kind.worker_samples_per_s)


@few
@given(exceptions(8))
def test_only_systems_that_are_named_differ(differ: list[Table]) -> None:
    cluster = tiny_run(cluster={"num_systems": 8, "exceptions": differ}, training={"global_batch_size": 16}).cluster
    named = {system for exception in differ for system in exception["systems"]}
    regular = [kind for kind in system_classes(cluster) if not named.issuperset(kind.members)]
    assert {member for kind in regular for member in kind.members} >= set(range(8)) - named
    assert len(regular) == (1 if len(named) < 8 else 0)


def test_identical_systems_are_one_class() -> None:
    (kind,) = system_classes(tiny_run(cluster={"num_systems": 150}).cluster)
    assert kind.multiplicity == 150


def test_an_inner_link_that_differs_slows_all_systems_below_it() -> None:
    exception = {"nodes": ["swarmx.2.1"], "link_bytes_per_s": "10 GB/s", "link_latency_s": "1 ms"}
    cluster = tiny_run(cluster={"num_systems": 16, "exceptions": [exception]}).cluster
    regular, slow = system_classes(cluster)
    assert slow.members == (4, 5, 6, 7)
    assert (slow.link_bytes_per_s, slow.latency_s) == (10e9, pytest.approx(regular.latency_s + 1e-3))


def test_a_node_that_the_tree_does_not_have_is_named() -> None:
    cluster = tiny_run(
        cluster={"num_systems": 4, "exceptions": [{"nodes": ["swarmx.1.7"], "link_latency_s": 1.0}]}
    ).cluster
    with pytest.raises(ConfigError, match=r"swarmx\.1\.7"):
        system_classes(cluster)


def test_more_systems_than_the_fabric_takes_do_not_fit() -> None:
    cluster = tiny_run(training={"global_batch_size": 193}, cluster={"num_systems": 193}).cluster
    with pytest.raises(DoesNotFit, match=r"193 systems are more than .* 192"):
        system_classes(cluster)

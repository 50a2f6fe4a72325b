"""Collectives against pencil and paper, against measurements, and the laws that they keep."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import between
from wsesim.config.loader import load_gpu_cluster
from wsesim.machines.gpu.collectives import (
    Group,
    all_gather_time_s,
    all_reduce_time_s,
    copies_left,
    group_of,
    network_bytes_per_s,
    nvlink_bytes_per_s,
    send_time_s,
)
from wsesim.machines.gpu.spec import GPUClusterSpec

SHIPPED, _ = load_gpu_cluster("dgx_a100_80gb")


def cluster(num_gpus: int = 1024, step_s: float = 1e-6, start_s: float = 0.0, **others: Any) -> GPUClusterSpec:
    """Nodes of 8: NVLink 240 GB/s, network 160 GB/s for a node, both after their efficiency of 0.8."""
    links = SHIPPED.gpu.calibration.nvlink
    shares = {name: 0.8 for name in type(links).model_fields if name.endswith("_share") and name != "small_rate_share"}
    # the protocol for few bytes is as fast on none, and far slower on any
    small = {"small_start_s": 1e-6, "small_step_s": step_s, "small_rate_share": 1e-6, "pair_loss": 0.0}
    starts = {"start_s": start_s, "step_s": step_s, "exchange_start_s": start_s}
    links = links.model_copy(update=shares | small | starts)
    fitted = SHIPPED.gpu.calibration.model_copy(update={"nvlink": links, "network_efficiency": 0.8})
    gpu = SHIPPED.gpu.model_copy(update={"calibration": fitted})
    changes = {"num_gpus": num_gpus, "max_gpus": num_gpus, "gpu": gpu, "network_latency_s": 10e-6, **others}
    return SHIPPED.model_copy(update=changes)


NODES = cluster()
SIZES = st.sampled_from([2, 3, 4, 8, 16, 24, 64, 128, 1024])
INNER = st.sampled_from([1, 2, 4, 8, 16, 64])
BYTES = between(1.0, 1e11)


def test_the_machine_of_these_tests() -> None:
    assert (NODES.domain_size, nvlink_bytes_per_s(NODES, 0.8), network_bytes_per_s(NODES)) == (8, 240e9, 160e9)


# Inside a node


@pytest.mark.parametrize("num_gpus", [2, 4, 8])
def test_a_ring_inside_a_node(num_gpus: int) -> None:
    # 2 (n - 1) steps of 1 us, each with S / n over 240 GB/s, and one start
    group = group_of(NODES, num_gpus, 1)
    ring_s = 2 * (num_gpus - 1) * (1e-6 + 2.4e9 / num_gpus / 240e9)
    assert all_reduce_time_s(NODES, group, 2.4e9) == pytest.approx(ring_s)
    assert all_gather_time_s(NODES, group, 2.4e9) == pytest.approx(ring_s / 2)
    started = cluster(start_s=30e-6)
    assert all_reduce_time_s(started, group, 2.4e9) == pytest.approx(ring_s + 30e-6)
    assert all_gather_time_s(started, group, 2.4e9) == pytest.approx(ring_s / 2 + 30e-6)


@pytest.mark.parametrize("inner", [1, 2, 4])
def test_nvlink_is_shared_with_nobody(inner: int) -> None:
    assert all_reduce_time_s(NODES, group_of(NODES, 2, inner), 1e9) == all_reduce_time_s(
        NODES, group_of(NODES, 2, 1), 1e9
    )


# Across nodes


def test_a_ring_over_whole_nodes_has_the_network_of_a_node() -> None:
    # 16 GPUs: each byte over 160 GB/s; of 8 steps one leaves the node, 7/8 x 1 us + 1/8 x 10 us
    group = group_of(NODES, 16, 1)
    assert (int(group.per_domain), int(group.sharing)) == (8, 1)
    step_s = (7 * 1e-6 + 10e-6) / 8
    assert all_gather_time_s(NODES, group, 1.6e9) == pytest.approx(15 * (step_s + 1e8 / 160e9))


def test_ranks_of_a_node_share_its_adapters() -> None:
    # tensor parallel 8 takes the node: each of 8 data-parallel groups has an eighth of the network
    group = group_of(NODES, 16, 8)
    assert (int(group.per_domain), int(group.sharing)) == (1, 8)
    assert all_gather_time_s(NODES, group, 1.6e9) == pytest.approx(15 * (10e-6 + 1e8 / 20e9))
    # of 4: two ranks of each group in a node, four groups share
    group = group_of(NODES, 16, 4)
    assert (int(group.per_domain), int(group.sharing)) == (2, 4)
    assert all_gather_time_s(NODES, group, 1.6e9) == pytest.approx(15 * (5.5e-6 + 1e8 / 40e9))


def test_a_job_that_leaves_gpus_idle_leaves_them_their_share() -> None:
    assert int(group_of(cluster(num_gpus=4), 2, 8).sharing) == 4


def test_a_network_faster_than_nvlink_is_no_limit() -> None:
    fast = cluster(node_network_bytes_per_s=1e15, network_latency_s=1e-6)
    assert all_gather_time_s(fast, group_of(fast, 16, 1), 2.4e9) == pytest.approx(15 * (1e-6 + 1.5e8 / 240e9))


def test_a_tree_takes_over_where_latency_counts() -> None:
    # 128 nodes, 1 kB: a ring takes 2 x 1023 steps of 2.125 us, a tree 2 x 7 of 10 us and 2 x 7 of 1 us inside
    group = group_of(NODES, 1024, 1)
    tree_s = 14 * 10e-6 + 14 * 1e-6 + 2 * 1024 / 160e9
    assert all_reduce_time_s(NODES, group, 1024.0) == pytest.approx(tree_s)


def test_a_hierarchy_takes_over_where_the_adapters_of_a_node_would_wait_for_one_ring() -> None:
    # rings that have NVLink's rate inside, and latencies only outside: 2 x 7 steps inside and 2 x 1 across
    # against 2 x 15, each byte once more inside
    slow = cluster(network_latency_s=1e-3, node_network_bytes_per_s=1e15)
    group = group_of(slow, 24, 1)
    across_s = 2 * 2 * (1e-3 + 8e4 / 8 / 3 / 240e9)
    inside_s = 2 * 7 * (1e-6 + 8e4 / 8 / 240e9)
    ring_s = 2 * 23 * ((7 * 1e-6 + 1e-3) / 8 + 8e4 / 24 / 240e9)
    assert across_s + inside_s < ring_s
    assert all_reduce_time_s(slow, group, 8e4) <= across_s + inside_s + 1e-15


@pytest.mark.parametrize("distance", [1, 4, 7])
def test_a_send_inside_a_node(distance: int) -> None:
    assert send_time_s(NODES, 2.4e9, distance) == pytest.approx(1e-6 + 0.01)


@pytest.mark.parametrize("distance", [8, 64])
def test_all_gpus_of_a_node_send_at_the_same_time(distance: int) -> None:
    assert send_time_s(NODES, 2.0e9, distance) == pytest.approx(10e-6 + 0.1)


# Laws


@given(INNER, BYTES)
def test_alone_nothing_is_to_be_done(inner: int, num_bytes: float) -> None:
    alone = group_of(SHIPPED, 1, inner)
    assert all_reduce_time_s(SHIPPED, alone, num_bytes) == all_gather_time_s(SHIPPED, alone, num_bytes) == 0.0


@given(SIZES, INNER, BYTES)
def test_an_all_reduce_is_never_slower_than_a_scatter_and_a_gather(size: int, inner: int, num_bytes: float) -> None:
    group = group_of(NODES, size, inner)
    both_s = 2.0 * all_gather_time_s(NODES, group, num_bytes)
    assert all_reduce_time_s(NODES, group, num_bytes) <= both_s * (1 + 1e-12)


@given(SIZES, INNER, BYTES)
def test_an_all_reduce_passes_every_byte_twice(size: int, inner: int, num_bytes: float) -> None:
    """No choice of collective beats NVLink on both ways of a rank's share that stays, 2 (n - 1) / n."""
    group = group_of(NODES, size, inner)
    assert all_reduce_time_s(NODES, group, num_bytes) >= 2 * (size - 1) / size * num_bytes / 240e9


@given(SIZES, INNER, BYTES, st.floats(1.0, 100.0))
def test_more_bytes_are_never_faster(size: int, inner: int, num_bytes: float, factor: float) -> None:
    group = group_of(NODES, size, inner)
    for time_s in (all_gather_time_s, all_reduce_time_s):
        assert time_s(NODES, group, num_bytes * factor) >= time_s(NODES, group, num_bytes)


@given(SIZES, INNER, BYTES, st.floats(1.0, 100.0), st.sampled_from(["network", "nvlink"]))
def test_more_bandwidth_is_never_slower(size: int, inner: int, num_bytes: float, factor: float, which: str) -> None:
    if which == "network":
        faster = NODES.model_copy(update={"node_network_bytes_per_s": factor * NODES.node_network_bytes_per_s})
    else:
        gpu = NODES.gpu.model_copy(update={"nvlink_bytes_per_s": factor * NODES.gpu.nvlink_bytes_per_s})
        faster = NODES.model_copy(update={"gpu": gpu})
    group = group_of(NODES, size, inner)
    for time_s in (all_gather_time_s, all_reduce_time_s):
        assert time_s(faster, group, num_bytes) <= time_s(NODES, group, num_bytes) * (1 + 1e-12)


@given(st.lists(st.tuples(SIZES, INNER, BYTES), min_size=1, max_size=5))
def test_arrays_are_worked_out_place_by_place(plans: list[tuple[int, int, float]]) -> None:
    sizes, inner, num_bytes = (np.array(field) for field in zip(*plans, strict=True))
    for time_s in (all_gather_time_s, all_reduce_time_s):
        together = time_s(NODES, group_of(NODES, sizes, inner), num_bytes)
        alone = [time_s(NODES, group_of(NODES, size, near), much) for size, near, much in plans]
        assert together.tolist() == pytest.approx([float(one) for one in alone], rel=1e-14)


def reached(domains: int, copies: int, groups: int, chosen: int) -> float:
    """Domains that get a copy of a token, over all ways to choose groups and then to deal copies to parts of them."""
    parts = max(groups, domains)  # the smallest pieces: a domain holds some, and so does a group
    found = []
    for some in combinations(range(groups), chosen):
        pieces = [piece for piece in range(parts) if piece * groups // parts in some]
        found += [len({piece * domains // parts for piece in dealt}) for dealt in product(pieces, repeat=copies)]
    return sum(found) / len(found)


@pytest.mark.parametrize("domains", [1, 2, 4, 8])
@pytest.mark.parametrize(("groups", "chosen"), [(1, 1), (4, 2), (4, 3), (4, 4)])
def test_tokens_that_choose_among_groups_go_to_fewer_domains(domains: int, groups: int, chosen: int) -> None:
    """Every way counted, of three copies of a token."""
    group = Group(np.array([8.0 * domains]), np.array([8.0]), 1)
    assert 3 * copies_left(group, 3, groups, chosen) == pytest.approx(reached(domains, 3, groups, chosen))

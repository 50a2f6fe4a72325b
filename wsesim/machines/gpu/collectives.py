"""Collectives over NVLink and the network: ring, tree and hierarchical, whichever is fastest.

A group has `size` ranks, `per_domain` of them joined by NVLink. A ring passes each byte over its
slowest link; where the group spans several NVLink domains that is the network, of which all groups
that communicate at the same time share the adapters of a node. The latency is one start, and one
step for each neighbour. A tree takes fewer steps, a hierarchical collective (reduce-scatter inside
the domain, all-reduce across, all-gather inside) sends less over the network.

Constants are fitted on the measured all-reduces of a node [1]_.

.. [1] ``vtrain-data`` in cluster_configs/sources.toml.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wsesim.machines.gpu.spec import GPUClusterSpec

Array = Any


class Group(NamedTuple):
    """Ranks that communicate.

    Attributes
    ----------
    size
        Ranks. [-]
    per_domain
        Those of them inside one NVLink domain. [-]
    sharing
        Groups that use the network of a domain at the same time, this one included. [-]
    most_bytes_per_s
        What the adapters that it reaches carry, each direction. [bytes/s]
    """

    size: Array
    per_domain: Array
    sharing: Array
    most_bytes_per_s: Array = np.inf


def group_of(cluster: GPUClusterSpec, size: Array, inner: Array) -> Group:
    """The group whose ranks lie `inner` ranks apart, as in Megatron-LM's order: innermost groups lie closest.

    Parameters
    ----------
    size
        Ranks of the group. [-]
    inner
        Ranks of all groups that are dealt before it. [-]
    """
    domain = cluster.domain_size
    per_domain = np.minimum(size, np.maximum(1, domain // inner))
    sharing = np.maximum(1, np.minimum(domain, cluster.num_gpus) // per_domain)
    return Group(size, per_domain, sharing, np.where(sharing > 1, one_adapter_bytes_per_s(cluster), np.inf))


def one_adapter_bytes_per_s(cluster: GPUClusterSpec) -> float:
    """Most that a group of some GPUs of a node carries where adapters are fewer than GPUs; else no limit. [bytes/s]

    A ring leaves a node by the adapter next to one of its ranks. Where other groups have ranks at the same adapters, groups of 2
    and of 4 ranks to a node carried less than one adapter each (`vtrain-data`, 4 adapters for 8 GPUs), and a group of all its
    GPUs about all of them. Where each GPU has an adapter of its own, a group has those of its ranks.
    """
    number = cluster.adapters_per_node
    if number is None or number >= cluster.gpus_per_node:
        return np.inf
    return cluster.node_network_bytes_per_s / number * cluster.gpu.calibration.network_efficiency


def nvlink_bytes_per_s(cluster: GPUClusterSpec) -> float:
    """NVLink as collectives reach it, one GPU, each direction. [bytes/s]"""
    return cluster.gpu.nvlink_bytes_per_s * cluster.gpu.calibration.nvlink_efficiency


def network_bytes_per_s(cluster: GPUClusterSpec) -> float:
    """Network of one NVLink domain as collectives reach it, each direction. [bytes/s]"""
    nodes = cluster.domain_size / cluster.gpus_per_node
    return cluster.node_network_bytes_per_s * nodes * cluster.gpu.calibration.network_efficiency


def _ring_rate(cluster: GPUClusterSpec, group: Group) -> Array:
    """Of the slowest link of a ring. [bytes/s]"""
    inside = nvlink_bytes_per_s(cluster)
    return np.where(
        group.size <= group.per_domain,
        inside,
        np.minimum(inside, np.minimum(network_bytes_per_s(cluster) / group.sharing, group.most_bytes_per_s)),
    )


def _step_s(cluster: GPUClusterSpec, group: Group) -> Array:
    """Latency of one step of a ring. [s]"""
    inside = cluster.gpu.calibration.collective_step_latency_s
    share_outside = 1.0 / group.per_domain
    outside = inside * (1.0 - share_outside) + cluster.network_latency_s * share_outside
    return np.where(group.size <= group.per_domain, inside, outside)


def _one_way_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Ring all-gather or reduce-scatter, without its start. [s]"""
    steps = group.size - 1
    return steps * _step_s(cluster, group) + steps / group.size * num_bytes / _ring_rate(cluster, group)


def all_gather_time_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """All ranks end with `num_bytes`, of which each had its share; reduce-scatter takes as long. [s]"""
    start = 0.5 * cluster.gpu.calibration.collective_latency_s
    return np.where(group.size > 1, start + _one_way_s(cluster, group, num_bytes), 0.0)


def all_reduce_time_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Every rank ends with the sum of `num_bytes`. [s]"""
    start = cluster.gpu.calibration.collective_latency_s
    ring = 2.0 * _one_way_s(cluster, group, num_bytes)
    fastest = np.minimum(
        np.minimum(ring, _tree_s(cluster, group, num_bytes)), _hierarchical_s(cluster, group, num_bytes)
    )
    return np.where(group.size > 1, start + fastest, 0.0)


def _tree_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Double binary tree: half the bytes up and down each of two trees. [s]"""
    levels = np.log2(np.maximum(2.0, group.size / group.per_domain))
    outside = 2.0 * levels * cluster.network_latency_s
    inside = 2.0 * (group.per_domain - 1) * cluster.gpu.calibration.collective_step_latency_s
    tree = outside + inside + 2.0 * num_bytes / _ring_rate(cluster, group)
    return np.where(group.size <= group.per_domain, np.inf, tree)


def _hierarchical_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Reduce-scatter inside, all-reduce across with a share of the bytes each, all-gather inside. [s]"""
    within = Group(group.per_domain, group.per_domain, group.sharing)
    each = group.most_bytes_per_s / group.per_domain
    across = Group(group.size / group.per_domain, 1.0, group.sharing * group.per_domain, each)
    parts = 2.0 * _one_way_s(cluster, within, num_bytes) + 2.0 * _one_way_s(
        cluster, across, num_bytes / group.per_domain
    )
    return np.where(group.size <= group.per_domain, np.inf, parts)


def send_time_s(cluster: GPUClusterSpec, num_bytes: Array, distance: Array) -> Array:
    """One rank to another one that lies `distance` ranks away, while all others do the same. [s]"""
    inside = cluster.gpu.calibration.collective_step_latency_s + num_bytes / nvlink_bytes_per_s(cluster)
    each = network_bytes_per_s(cluster) / cluster.domain_size
    return np.where(distance < cluster.domain_size, inside, cluster.network_latency_s + num_bytes / each)

"""Collectives over NVLink and the network: ring, tree and hierarchical, whichever is fastest.

A group has `size` ranks, `per_domain` of them joined by NVLink. A ring passes each byte over its
slowest link; where the group spans several NVLink domains that is the network, of which all groups
that communicate at the same time share the adapters of a node. The latency is one start, and one
step for each neighbour. A tree takes fewer steps, a hierarchical collective (reduce-scatter inside
the domain, all-reduce across, all-gather inside) sends less over the network.

Inside a domain NCCL takes one protocol for few bytes and another for many; both are fitted to the
collectives that were measured on each GPU [1]_.

Not modelled: protocols for few bytes between nodes, adapters that are busy with other traffic.

.. [1] ``aiconfigurator-kernels`` in cluster_configs/sources.toml.
"""

from __future__ import annotations

from math import comb
from typing import Any, NamedTuple

import numpy as np

from wsesim.machines.gpu.spec import GPUClusterSpec
from wsesim.units import add_up

Array = Any
MANY = 8
"""GPUs at which the shares of NVLink are stated; more of them reach the same. [-]"""


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


def nvlink_bytes_per_s(cluster: GPUClusterSpec, share: Array, size: Array = MANY) -> Array:
    """NVLink as a collective of so many GPUs reaches it, one GPU, each direction. [bytes/s]

    `share` is of the rate that 8 of them reach; few lose more of it.
    """
    loss = cluster.gpu.calibration.nvlink.pair_loss
    few = (1.0 - loss / np.clip(size, 2, MANY)) / (1.0 - loss / MANY)
    return cluster.gpu.nvlink_bytes_per_s * share * few


def network_bytes_per_s(cluster: GPUClusterSpec) -> float:
    """Network of one NVLink domain as collectives reach it, each direction. [bytes/s]"""
    nodes = cluster.domain_size / cluster.gpus_per_node
    return cluster.node_network_bytes_per_s * nodes * cluster.gpu.calibration.network_efficiency


def _inside_s(cluster: GPUClusterSpec, size: Array, num_bytes: Array, share: Array, ways: float) -> Array:
    """A collective inside an NVLink domain, by the faster of two protocols. [s]

    Parameters
    ----------
    num_bytes
        Of the whole buffer. [bytes]
    share
        Of NVLink's rate that it reaches on many bytes. [-]
    ways
        How often the buffer goes round: 1, or 2 in an all-reduce. [-]
    """
    links, steps = cluster.gpu.calibration.nvlink, ways * (size - 1)
    wire_s = steps / size * num_bytes / nvlink_bytes_per_s(cluster, share, size)
    small_s = links.small_start_s + steps * links.small_step_s + wire_s / links.small_rate_share
    moved_s = np.minimum(small_s, links.start_s + steps * links.step_s + wire_s)
    return np.maximum(moved_s, cluster.software.collective_floor_s)


def _ring_rate(cluster: GPUClusterSpec, group: Group, share: float) -> Array:
    """Of the slowest link of a ring that leaves a domain. [bytes/s]"""
    outside = np.minimum(network_bytes_per_s(cluster) / group.sharing, group.most_bytes_per_s)
    return np.minimum(nvlink_bytes_per_s(cluster, share), outside)


def _step_s(cluster: GPUClusterSpec, group: Group) -> Array:
    """Latency of one step of a ring that leaves a domain. [s]"""
    share_outside = 1.0 / group.per_domain
    inside_s = cluster.gpu.calibration.nvlink.step_s
    return inside_s * (1.0 - share_outside) + cluster.network_latency_s * share_outside


def _one_way_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array, share: float) -> Array:
    """Ring all-gather or reduce-scatter, without its start. [s]"""
    links, steps = cluster.gpu.calibration.nvlink, group.size - 1
    outside_s = steps * _step_s(cluster, group) + steps / group.size * num_bytes / _ring_rate(cluster, group, share)
    inside_s = _inside_s(cluster, group.size, num_bytes, share, 1.0) - links.start_s
    return np.where(group.size <= group.per_domain, inside_s, outside_s)


def _with_start_s(cluster: GPUClusterSpec, group: Group, one_way_s: Array) -> Array:
    """A collective with its start; one rank has nothing to do. [s]"""
    return np.where(group.size > 1, cluster.gpu.calibration.nvlink.start_s + one_way_s, 0.0)


def all_gather_time_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """All ranks end with `num_bytes`, of which each had its share. [s]"""
    share = cluster.gpu.calibration.nvlink.all_gather_share
    return _with_start_s(cluster, group, _one_way_s(cluster, group, num_bytes, share))


def reduce_scatter_time_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Each rank ends with its share of the sum of `num_bytes`. [s]"""
    share = cluster.gpu.calibration.nvlink.reduce_scatter_share
    return _with_start_s(cluster, group, _one_way_s(cluster, group, num_bytes, share))


def copies_left(group: Group, copies: int, groups: int = 1, chosen: int = 1) -> Array:
    """Share of what leaves a domain if a token with so many copies goes to each domain once, and is copied there. [-]

    Copies are dealt at random; of D domains ``D (1 - (1 - 1/D)^copies)`` get one. Where a token chooses `chosen` of the `groups`
    of experts first, a domain that holds some whole groups, or a part of one, gets none of its copies more often.
    """
    domains = group.size / group.per_domain
    if groups == chosen:
        return domains * (1.0 - (1.0 - 1.0 / domains) ** copies) / copies
    held = groups / domains  # groups of one domain, or its share of one
    none = add_up(
        _chance(groups, chosen, held, number) * _missed(held, number, chosen, copies) for number in range(chosen + 1)
    )
    return domains * (1.0 - none) / copies


def _chance(groups: int, chosen: int, held: Array, number: int) -> Array:
    """Of choosing so many of the groups that a domain holds; of a part of one as of the whole. [-]"""
    own = np.maximum(1, np.round(held)).astype(int)
    ways = [comb(int(one), number) * comb(groups - int(one), chosen - number) for one in np.ravel(own)]
    return np.reshape(np.array(ways) / comb(groups, chosen), np.shape(own))


def _missed(held: Array, number: int, chosen: int, copies: int) -> Array:
    """Chance that none of the copies goes to a domain of which so many groups were chosen. [-]"""
    return (1.0 - number * np.minimum(1.0, held) / chosen) ** copies


def exchange_time_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array, share_outside: Array = 1.0) -> Array:
    """Each rank sends `num_bytes`, a share of them to each of the others (all-to-all). [s]

    `share_outside` is how much of what goes to other domains really leaves.
    """
    links = cluster.gpu.calibration.nvlink
    away = (group.size - 1) / group.size * num_bytes
    inside_s = away / nvlink_bytes_per_s(cluster, links.exchange_share, group.size)
    per_rank = network_bytes_per_s(cluster) / (group.sharing * group.per_domain)
    outside_s = share_outside * (group.size - group.per_domain) / group.size * num_bytes / per_rank
    leaves = group.size > group.per_domain
    moved_s = np.where(leaves, np.maximum(inside_s, outside_s + cluster.network_latency_s), inside_s)
    return np.where(group.size > 1, links.exchange_start_s + moved_s, 0.0)


def all_reduce_time_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array, *, in_switch: bool = True) -> Array:
    """Every rank ends with the sum of `num_bytes`. [s]

    `in_switch` says whether the NVLink switch may add up (NVLS), where it can and eight GPUs or more take part.
    """
    links = cluster.gpu.calibration.nvlink
    share = np.where(in_switch & (group.size >= MANY), links.all_reduce_share, links.ring_all_reduce_share)
    inside_s = _inside_s(cluster, group.size, num_bytes, share, 2.0)
    ring_s = 2.0 * _one_way_s(cluster, group, num_bytes, links.reduce_scatter_share)
    outside_s = np.minimum(
        np.minimum(ring_s, _tree_s(cluster, group, num_bytes)), _hierarchical_s(cluster, group, num_bytes)
    )
    time_s = np.where(group.size <= group.per_domain, inside_s, links.start_s + outside_s)
    return np.where(group.size > 1, time_s, 0.0)


def _tree_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Double binary tree: half the bytes up and down each of two trees. [s]"""
    levels = np.log2(np.maximum(2.0, group.size / group.per_domain))
    outside = 2.0 * levels * cluster.network_latency_s
    links = cluster.gpu.calibration.nvlink
    inside = 2.0 * (group.per_domain - 1) * links.step_s
    return outside + inside + 2.0 * num_bytes / _ring_rate(cluster, group, links.reduce_scatter_share)


def _hierarchical_s(cluster: GPUClusterSpec, group: Group, num_bytes: Array) -> Array:
    """Reduce-scatter inside, all-reduce across with a share of the bytes each, all-gather inside. [s]"""
    share = cluster.gpu.calibration.nvlink.reduce_scatter_share
    within = Group(group.per_domain, group.per_domain, group.sharing)
    each = group.most_bytes_per_s / group.per_domain
    across = Group(group.size / group.per_domain, 1.0, group.sharing * group.per_domain, each)
    inside_s = np.where(group.per_domain > 1, np.maximum(0.0, _one_way_s(cluster, within, num_bytes, share)), 0.0)
    return 2.0 * inside_s + 2.0 * _one_way_s(cluster, across, num_bytes / group.per_domain, share)


def send_time_s(cluster: GPUClusterSpec, num_bytes: Array, distance: Array) -> Array:
    """One rank to another one that lies `distance` ranks away, while all others do the same. [s]"""
    links = cluster.gpu.calibration.nvlink
    inside = links.small_start_s + num_bytes / nvlink_bytes_per_s(cluster, links.exchange_share)
    each = network_bytes_per_s(cluster) / cluster.domain_size
    return np.where(distance < cluster.domain_size, inside, cluster.network_latency_s + num_bytes / each)

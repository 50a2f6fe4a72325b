"""SwarmX: the tree that broadcasts weights to the wafers and reduces their gradients.

Nodes hold no whole tensor. A chunk is replicated as it passes, so the whole tree moves at
the rate of its slowest link, and stops when one system has no room. On the way up a node
forwards once every child has delivered. A hop adds its latency.

Systems that have the same hardware and the same way to MemoryX behave alike; `fold` makes
them one class with a multiplicity, so that 1 or 2048 identical systems cost the same.

Not modelled: link errors; reduction compute (the vendor states line rate) [1]_.

.. [1] ``swarmx-glossary`` in cluster_configs/sources.toml.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.errors import ConfigError, DoesNotFit, did_you_mean
from wsesim.machines.wafer.spec import ClusterSpec, ExceptionSpec, SwarmXSpec

if TYPE_CHECKING:
    import networkx as nx


def depth(num_systems: int, fan_out: int) -> int:
    """Levels of broadcast-reduce nodes between MemoryX and the systems; none for one system. [-]

    Examples
    --------
    >>> [depth(n, fan_out=4) for n in (1, 2, 4, 5, 16, 17, 2048)]
    [0, 1, 1, 2, 2, 3, 6]
    """
    levels, reach = 0, 1
    while reach < num_systems:
        levels, reach = levels + 1, reach * fan_out
    return levels


def nodes_per_level(num_systems: int, fan_out: int) -> tuple[int, ...]:
    """Nodes of each level of the tree, from MemoryX to the systems. [-]

    Examples
    --------
    >>> nodes_per_level(17, fan_out=4)
    (1, 2, 5)
    """
    counts, below = [], num_systems
    for _ in range(depth(num_systems, fan_out)):
        below = math.ceil(below / fan_out)
        counts.append(below)
    return tuple(reversed(counts))


def num_hops(num_systems: int, fan_out: int) -> int:
    """Links between MemoryX and a system; one system hangs on MemoryX directly. [-]"""
    return depth(num_systems, fan_out) + 1 if num_systems > 1 else 0


def path_latency_s(spec: SwarmXSpec, num_systems: int) -> float:
    """Latency from MemoryX to a system through an idle tree. [s]"""
    return num_hops(num_systems, spec.fan_out) * spec.hop_latency_s


def tree(num_systems: int, fan_out: int) -> nx.DiGraph[Any]:
    """The fabric as a directed graph from ``"memoryx"`` to ``"cs.0"``, ``"cs.1"``, ...

    All systems hang at the same depth; every node has at most `fan_out` children.
    """
    import networkx as nx

    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_node("memoryx")
    below = [f"cs.{system}" for system in range(num_systems)]
    for level in range(depth(num_systems, fan_out), 0, -1):
        nodes = [f"swarmx.{level}.{index}" for index in range(math.ceil(len(below) / fan_out))]
        graph.add_edges_from((nodes[index // fan_out], child) for index, child in enumerate(below))
        below = nodes
    graph.add_edges_from(("memoryx", child) for child in below)
    return graph


class SystemClass(NamedTuple):
    """Systems that behave alike.

    Attributes
    ----------
    members
        Their numbers. [-]
    speed
        Compute speed over that of a regular system. [-]
    io_bytes_per_s, link_bytes_per_s
        Port, and the SwarmX link it hangs on. [bytes/s]
    latency_s
        One way to or from MemoryX. [s]
    worker_samples_per_s
        One input worker; infinite where none starves the wafer. [1/s]
    """

    members: tuple[int, ...]
    speed: float
    io_bytes_per_s: float
    link_bytes_per_s: float
    latency_s: float
    worker_samples_per_s: float

    @property
    def multiplicity(self) -> int:
        """Systems that this class stands for. [-]"""
        return len(self.members)


def exceptional_links(cluster: ClusterSpec) -> dict[str, ExceptionSpec]:
    """SwarmX nodes whose link to the node above differs.

    Raises
    ------
    ConfigError
        A node that the tree does not have.
    """
    named = {node: exception for exception in cluster.exceptions for node in exception.nodes}
    if named:
        inner = [node for node in tree(cluster.num_systems, cluster.swarmx.fan_out) if node.startswith("swarmx.")]
        known = set(inner)
        for node in named:
            if node not in known:
                hint = (
                    did_you_mean(node, inner)
                    or f"; its nodes are {', '.join(inner[:8]) or 'none, one system needs no tree'}"
                )
                raise ConfigError(f"cluster.exceptions: node {node!r} is not in the tree{hint}")
    return named


def _below(cluster: ClusterSpec, nodes: Iterable[str]) -> dict[str, frozenset[int]]:
    """Systems that hang below each node."""
    import networkx as nx

    graph = tree(cluster.num_systems, cluster.swarmx.fan_out)
    return {
        node: frozenset(int(leaf[3:]) for leaf in nx.descendants(graph, node) if leaf.startswith("cs."))
        for node in nodes
    }


def _behaviour(
    cluster: ClusterSpec, exceptions: Sequence[ExceptionSpec], links_above: Sequence[ExceptionSpec]
) -> tuple[float, float, float, float, float]:
    speed, extra_latency_s = 1.0, 0.0
    io, link = cluster.system.wafer.io_bytes_per_s, cluster.swarmx.link_bytes_per_s
    worker = cluster.input.rate_per_worker
    for exception in exceptions:
        speed = exception.speed or speed
        io = exception.io_bytes_per_s or io
        link = exception.link_bytes_per_s or link
        worker = exception.worker_samples_per_s or worker
        extra_latency_s = extra_latency_s if exception.link_latency_s is None else exception.link_latency_s
    link = min(link, *(above.link_bytes_per_s or link for above in links_above)) if links_above else link
    extra_latency_s += sum(above.link_latency_s or 0.0 for above in links_above)
    latency_s = path_latency_s(cluster.swarmx, cluster.num_systems) + extra_latency_s
    return speed, io, link, latency_s, math.inf if worker is None else worker


def check_size(cluster: ClusterSpec) -> None:
    """Refuse more systems than the fabric takes."""
    if cluster.num_systems > cluster.max_systems:
        raise DoesNotFit(
            f"{cluster.num_systems:,} systems are more than the fabric of {cluster.name} takes, {cluster.max_systems:,}; "
            f"set cluster.num_systems to at most {cluster.max_systems:,}, or cluster.name to a larger one (`wsesim list clusters`)"
        )


def _exceptions_by_system(
    cluster: ClusterSpec,
) -> tuple[dict[int, list[ExceptionSpec]], dict[int, list[ExceptionSpec]]]:
    """What is said of each system that differs, and of links above it."""
    own: dict[int, list[ExceptionSpec]] = defaultdict(list)
    above: dict[int, list[ExceptionSpec]] = defaultdict(list)
    for exception in cluster.exceptions:
        for system in exception.systems:
            own[system].append(exception)
    links = exceptional_links(cluster)
    for node, systems in (_below(cluster, links) if links else {}).items():
        for system in systems:
            above[system].append(links[node])
    return own, above


def system_classes(cluster: ClusterSpec, *, fold: bool = True) -> tuple[SystemClass, ...]:
    """Systems grouped by behaviour; without `fold`, a class for each system."""
    check_size(cluster)
    own, above = _exceptions_by_system(cluster)
    named = own.keys() | above.keys()
    regular = tuple(system for system in range(cluster.num_systems) if system not in named)
    if not named and fold:
        return (SystemClass(regular, *_behaviour(cluster, (), ())),)
    groups: dict[Any, list[int]] = defaultdict(list)
    if regular:
        groups[_behaviour(cluster, (), ())].extend(regular)
    for system in sorted(named):
        groups[_behaviour(cluster, own.get(system, ()), above.get(system, ()))].append(system)
    folded = [SystemClass(tuple(sorted(members)), *behaviour) for behaviour, members in groups.items()]
    if not fold:
        folded = [
            SystemClass(
                (member,), one.speed, one.io_bytes_per_s, one.link_bytes_per_s, one.latency_s, one.worker_samples_per_s
            )
            for one in folded
            for member in one.members
        ]
    return tuple(sorted(folded, key=lambda one: one.members[0]))


def fabric_rate_bytes_per_s(cluster: ClusterSpec, classes: Sequence[SystemClass]) -> float:
    """Rate of the tree: that of its slowest link or port. [bytes/s]"""
    slowest = min(min(kind.io_bytes_per_s, kind.link_bytes_per_s) for kind in classes)
    return min(slowest, cluster.swarmx.link_bytes_per_s) if cluster.num_systems > 1 else slowest

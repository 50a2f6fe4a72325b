"""What crosses every single link of the fabric in one step."""

from __future__ import annotations

from dataclasses import dataclass

from wsesim.machines.wafer.simulation import Simulation
from wsesim.machines.wafer.swarmx import exceptional_links, tree
from wsesim.machines.wafer.utilization import bytes_per_step


@dataclass(frozen=True)
class LinkTraffic:
    """Traffic of one link in one step.

    Attributes
    ----------
    parent, child
        Nodes of the tree; the parent is nearer to MemoryX.
    down_bytes, up_bytes
        Weights down, summed gradients up. [bytes]
    utilization_down, utilization_up
        Share of the step in which the link carries them. [-]
    """

    parent: str
    child: str
    down_bytes: float
    up_bytes: float
    utilization_down: float
    utilization_up: float


def link_traffic(simulation: Simulation) -> list[LinkTraffic]:
    """Every link from MemoryX to the systems.

    A broadcast puts the same bytes on every link, a reduction sums before it forwards, so
    links differ by their rate, not by their bytes.
    """
    cluster = simulation.run.cluster
    moved = bytes_per_step(simulation)
    special = exceptional_links(cluster)
    own_rate = dict.fromkeys(range(cluster.num_systems), cluster.swarmx.link_bytes_per_s)
    for exception in cluster.exceptions:
        own_rate |= {system: exception.link_bytes_per_s or own_rate[system] for system in exception.systems}
    graph = tree(cluster.num_systems, cluster.swarmx.fan_out)
    rows = []
    for parent, child in graph.edges:
        rate = own_rate[int(child[3:])] if child.startswith("cs.") else cluster.swarmx.link_bytes_per_s
        if child in special and special[child].link_bytes_per_s is not None:
            rate = special[child].link_bytes_per_s or rate
        down, up = moved["weights_in"], moved["gradients_out"]
        capacity = rate * simulation.step_time_s
        rows.append(LinkTraffic(parent, child, down, up, down / capacity, up / capacity))
    return rows

"""Small runs for tests: models that simulate in milliseconds, on machines whose parts are about equally busy."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

import wsesim
from wsesim import Run, load
from wsesim.config import catalogue
from wsesim.config.loader import load_any_cluster

Table = dict[str, Any]

TINY: Table = {
    "model": {
        "name": "tiny",
        "num_layers": 2,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "vocab_size": 1000,
        "max_position_embeddings": 128,
    },
    "training": {"sequence_length": 128, "global_batch_size": 16},
    "cluster": {"name": "cs2", "system": {"calibration": {"pass_latency_s": "1 us"}}},
}
"""A run that takes a few milliseconds; the shipped latency of a pass would hide everything else."""


def laid_over(base: Table, top: Table) -> Table:
    """One nested table over another."""
    merged = deepcopy(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = laid_over(merged[key], value) if both else deepcopy(value)
    return merged


def tiny_run(**overrides: Table) -> Run:
    """The tiny run with other values, as ``tiny_run(cluster={"num_systems": 3})``."""
    return wsesim.from_table(laid_over(TINY, overrides))


def wafer_runs() -> list[str]:
    """Catalogue runs on wafer-scale clusters."""
    return [name for name in catalogue.names("runs") if load(name).machine == "wafer"]


def wafer_clusters() -> list[str]:
    """Catalogue clusters of wafers."""
    return [name for name in catalogue.names("clusters") if load_any_cluster(name)[0].machine == "wafer"]


def between(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of every magnitude between two bounds."""
    return st.floats(0.0, 1.0).map(lambda share: float(low * (high / low) ** share))


RATES = between(3e10, 3e11)
"""Around the 150 GB/s of a CS-2 port, at which the tiny models stream about as long as they compute. [bytes/s]"""

LATENCIES = between(1e-8, 1e-5)
"""[s]"""

BUFFERS = between(4e5, 1e7)
"""From less than one layer to a whole step. [bytes]"""

WORKERS = between(1e4, 1e7)
"""Of one input worker, from starving to idle. [1/s]"""


DIFFERENCES = {
    "speed": between(0.5, 1.5),
    "io_bytes_per_s": RATES,
    "link_bytes_per_s": RATES,
    "link_latency_s": LATENCIES,
    "worker_samples_per_s": WORKERS,
}
"""In what systems can differ from the rest."""


@st.composite
def exceptions(draw: st.DrawFn, num_systems: int, most: int = 2) -> list[Table]:
    """Entries of ``[[cluster.exceptions]]``; they may name the same systems, each for something else."""
    names = draw(st.lists(st.sampled_from(sorted(DIFFERENCES)), unique=True, max_size=most))
    systems = st.sets(st.integers(0, num_systems - 1), min_size=1, max_size=num_systems)
    return [{"systems": sorted(draw(systems)), name: draw(DIFFERENCES[name])} for name in names]


@st.composite
def small_tables(
    draw: st.DrawFn, *, most_systems: int = 5, most_micro_batches: int = 3, with_exceptions: bool = True
) -> Table:
    """Run files of random small models on random clusters."""
    num_systems = draw(st.integers(1, most_systems))
    micro_batch_size = draw(st.sampled_from([1, 4, 16]))
    num_micro_batches = draw(st.integers(1, most_micro_batches))
    heads = draw(st.sampled_from([2, 4]))
    workers = draw(st.one_of(st.none(), WORKERS))
    return {
        "model": {
            "name": "small",
            "num_layers": draw(st.integers(1, 3)),
            "hidden_size": draw(st.sampled_from([64, 128, 256])),
            "num_attention_heads": heads,
            "vocab_size": draw(st.integers(100, 3000)),
            "max_position_embeddings": 128,
            "tie_embeddings": draw(st.booleans()),
        },
        "training": {
            "sequence_length": draw(st.sampled_from([32, 128])),
            "global_batch_size": num_systems * micro_batch_size * num_micro_batches,
            "micro_batch_size": micro_batch_size,
            "max_gradient_norm": draw(st.sampled_from([0.0, 1.0])),
            "weight_sparsity": draw(st.sampled_from([0.0, 0.0, 0.5, 0.8])),
            "precision": draw(st.sampled_from(["cbfloat16", "float32"])),
            "activations": draw(st.sampled_from(["offload", "resident", "recompute"])),
        },
        "cluster": {
            "name": "cs2",
            "num_systems": num_systems,
            "system": {
                "calibration": {"pass_latency_s": draw(st.one_of(st.just(0.0), between(1e-8, 1e-5)))},
                "wafer": {
                    "io_bytes_per_s": draw(RATES),
                    "weight_buffer_bytes": draw(BUFFERS),
                    "gradient_buffer_bytes": draw(BUFFERS),
                },
            },
            "swarmx": {
                "fan_out": draw(st.integers(2, 4)),
                "link_bytes_per_s": draw(RATES),
                "hop_latency_s": draw(LATENCIES),
            },
            "memoryx": {
                "egress_bytes_per_s": draw(RATES),
                "ingress_bytes_per_s": draw(RATES),
                "tensor_latency_s": draw(LATENCIES),
                "optimizer_bytes_per_s": draw(between(3e11, 1e13)),
            },
            "input": {"prefetch_micro_batches": draw(st.integers(1, 3))}
            | ({} if workers is None else {"worker_samples_per_s": workers}),
            "simulation": {"chunks_per_layer": draw(st.sampled_from([1, 2, 4]))},
            "exceptions": draw(exceptions(num_systems, most=2 if with_exceptions else 0)),
        },
    }

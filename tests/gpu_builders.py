"""GPU runs for tests: small models on catalogue clusters, with what a test says laid over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.builders import laid_over
from wsesim import GPURun, from_table
from wsesim.machines.gpu.parallelism import ParallelismSpec
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.rows import GPUMeasurement, published
from wsesim.machines.gpu.stages import Plan

Table = dict[str, Any]

SMALL: Table = {
    "name": "small",
    "model": {
        "name": "small",
        "num_layers": 8,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "vocab_size": 32_000,
        "max_position_embeddings": 2048,
    },
    "training": {"sequence_length": 1024, "global_batch_size": 64, "micro_batch_size": 1},
    "cluster": {"name": "dgx_a100_80gb", "software": {"step_host_s": 0.0, "jitter": 0.0}},
    "parallelism": {
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "sequence_parallel": False,
        "zero_stage": 0,
        "activation_recompute": "none",
        "attention": "unfused",
    },
}
"""One copy of the model on each GPU of a node, nothing shared, nothing computed again."""

ROWS: dict[str, GPUMeasurement] = {row.id: row for row in published()}
SAME_EVERYWHERE = {"node_network_bytes_per_s": 1e30, "network_latency_s": 0.0}


def gpu_run(**overrides: Any) -> GPURun:
    """The small run with other values, as ``gpu_run(cluster={"num_gpus": 16})``."""
    run = from_table(laid_over(SMALL, overrides), place="run")
    assert run.machine == "gpu"
    return run


def plan_of(run: GPURun) -> Plan:
    """The one plan that a run leaves."""
    plans = candidates(run)
    assert len(plans.tensor) == 1, f"{len(plans.tensor)} plans"
    return plans.plan(0)


def one(value: Any) -> float:
    """The number in an array of one place."""
    (found,) = np.ravel(value)
    return float(found)


def with_parallelism(run: GPURun, **values: Any) -> GPURun:
    """The run spread otherwise."""
    return replace(run, parallelism=ParallelismSpec(**{**run.parallelism.model_dump(), **values}))

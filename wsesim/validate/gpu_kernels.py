"""Measured kernels and collectives of GPUs: tables, what the model says to them, and its errors.

A table holds the matrix products of one precision on one GPU, the calls of one attention kernel, the
collectives inside a node, or the experts of a mixture. Every second row is fitted to, the others are
left out and say how good the fit is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from wsesim.config import catalogue
from wsesim.config.entries import load_gpu, load_gpu_cluster
from wsesim.machines.csv_table import Row, read_rows
from wsesim.machines.gpu.collectives import (
    all_gather_time_s,
    all_reduce_time_s,
    exchange_time_s,
    group_of,
    reduce_scatter_time_s,
)
from wsesim.machines.gpu.gpu import fused_attention_time_s, gemm_time_s
from wsesim.machines.gpu.kernels import FusedAttention
from wsesim.machines.gpu.spec import GPUClusterSpec, GPUSpec

Array = Any
NUMBERS = {
    "products": ("rows", "columns", "inner"),
    "attention": ("batch", "sequence", "num_heads", "num_key_value_heads", "head_dim"),
    "collectives": ("num_gpus", "size_bytes"),
}
"""Columns of each kind of table that are numbers."""
WORDS = {
    "products": ("precision",),
    "attention": ("kernel", "direction", "causal"),
    "collectives": ("operation",),
}
"""Columns that are words."""
NAMED_BY = {"products": "precision", "attention": "kernel", "collectives": ""}
"""Column that, beside the GPU, tells one table of a kind from another."""
TOLERANCES = {"products": 0.08, "attention": 0.10, "collectives": 0.12}
"""Median absolute error that a table of a kind may have on rows that were left out. [-]"""
NOISIER = {
    **dict.fromkeys((("products", gpu, "nvfp4") for gpu in ("b200", "b300", "gb200")), 0.10),
    ("products", "h200_141gb", "fp8"): 0.09,
    ("products", "h200_141gb", "mxfp8"): 0.11,
}
"""Tables that hold single kernels two or three times as slow as their neighbours: a choice of the library. [-]"""
MEANINGS = {
    "use": "calibration or validation; validation when left out",
    "source": "key in sources.toml",
    "gpu": "catalogue name of the GPU",
    "precision": "16bit, fp8, mxfp8 or nvfp4",
    "rows": "rows of the result: tokens",
    "columns": "columns of the result",
    "inner": "elements that are summed for each",
    "kernel": "flash_attention_1, triton, flash_attention_2, flash_attention_3 or cudnn",
    "direction": "forward, backward or both",
    "causal": "true or false",
    "batch": "sequences",
    "sequence": "tokens of one",
    "num_heads": "heads of queries",
    "num_key_value_heads": "heads of keys and values",
    "head_dim": "width of a head",
    "operation": "all_reduce, all_gather, reduce_scatter or exchange (all-to-all)",
    "num_gpus": "GPUs that take part, all of one node",
    "size_bytes": "whole buffer",
    "time_us": "the measurement, in microseconds",
    "note": "anything",
}
OPERATIONS: dict[str, Callable[..., Array]] = {
    "all_reduce": all_reduce_time_s,
    "all_gather": all_gather_time_s,
    "reduce_scatter": reduce_scatter_time_s,
    "exchange": exchange_time_s,
}


@dataclass(frozen=True)
class KernelTable:
    """Measured kernels of one kind on one GPU.

    Attributes
    ----------
    kind, gpu, name
        "products", "attention" or "collectives"; catalogue name of the GPU; precision or kernel.
    columns
        Arrays over the rows.
    measured_s
        [s]
    fitted
        Which rows are fitted to.
    """

    kind: str
    gpu: str
    name: str
    columns: Mapping[str, Array]
    measured_s: Array
    fitted: Array

    def only(self, places: Array) -> KernelTable:
        """Some of the rows."""
        columns = {key: values[places] for key, values in self.columns.items()}
        return replace(self, columns=columns, measured_s=self.measured_s[places], fitted=self.fitted[places])


@dataclass(frozen=True)
class KernelErrors:
    """Errors on the rows of a table that were left out of the fit.

    Attributes
    ----------
    median, mean, ninety
        Absolute relative error: its median, mean, and 90th percentile. [-]
    """

    kind: str
    gpu: str
    name: str
    n: int
    median: float
    mean: float
    ninety: float

    @property
    def tolerance(self) -> float:
        """Median error that the table may have. [-]"""
        return NOISIER.get((self.kind, self.gpu, self.name), TOLERANCES[self.kind])

    @property
    def passes(self) -> bool:
        """Whether the median is within what is asked of it."""
        return self.median <= self.tolerance


def read_tables(path: Path, kind: str) -> tuple[KernelTable, ...]:
    """Tables of a CSV file.

    Raises
    ------
    MeasurementError
        With file and line.
    """
    needed = ("gpu", *WORDS[kind], *NUMBERS[kind], "time_us")
    columns = {key: MEANINGS[key] for key in ("use", "source", *needed, "note")}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in read_rows(path, columns, needed):
        groups.setdefault((row.text("gpu"), row.text(NAMED_BY[kind]) if NAMED_BY[kind] else ""), []).append(row)
    return tuple(_table(kind, gpu, name, rows) for (gpu, name), rows in groups.items())


def _table(kind: str, gpu: str, name: str, rows: list[Row]) -> KernelTable:
    columns: dict[str, Array] = {key: np.array([row.real(key) for row in rows]) for key in NUMBERS[kind]}
    columns |= {key: np.array([row.text(key) for row in rows]) for key in WORDS[kind]}
    measured_s = 1e-6 * np.array([row.real("time_us") for row in rows])
    uses = ("calibration", "validation")
    fitted = np.array([row.choice("use", uses, "validation") == "calibration" for row in rows])
    return KernelTable(kind, gpu, name, columns, measured_s, fitted)


@cache
def published_tables() -> tuple[KernelTable, ...]:
    """The measured kernels that ship with wsesim."""
    folder = catalogue.published() / "kernels"
    return tuple(table for kind in NUMBERS for table in read_tables(folder / f"{kind}.csv", kind))


def predicted_s(table: KernelTable, gpu: GPUSpec) -> Array:
    """Each row alone on an idle GPU. [s]"""
    found: Array = {"products": _products_s, "attention": _attention_s, "collectives": _collectives_s}[table.kind](
        table, gpu
    )
    return found


def _products_s(table: KernelTable, gpu: GPUSpec) -> Array:
    shape = (table.columns[key] for key in NUMBERS["products"])
    return gemm_time_s(gpu, *shape, precision=table.name, alone=True)


def _attention_s(table: KernelTable, gpu: GPUSpec) -> Array:
    found = np.zeros(len(table.measured_s))
    for width in np.unique(table.columns["head_dim"]):
        for causal in ("true", "false"):
            places = np.flatnonzero((table.columns["head_dim"] == width) & (table.columns["causal"] == causal))
            if len(places):
                found[places] = _calls_s(table.only(places), gpu, int(width), causal=causal == "true")
    return found


def _calls_s(table: KernelTable, gpu: GPUSpec, width: int, *, causal: bool) -> Array:
    """Calls of equal head width and mask. [s]"""
    batch, sequence, heads = (table.columns[key] for key in NUMBERS["attention"][:3])
    pairs = sequence**2 * (0.5 if causal else 1.0)
    work = FusedAttention(batch * heads, width, sequence, pairs, 4.0 * width, causal)
    ways = [fused_attention_time_s(gpu, work, table.name, backward=backward) for backward in (False, True)]
    direction = table.columns["direction"]
    return np.where(direction == "forward", ways[0], np.where(direction == "backward", ways[1], ways[0] + ways[1]))


def _collectives_s(table: KernelTable, gpu: GPUSpec) -> Array:
    cluster, found = _node_of(gpu), np.zeros(len(table.measured_s))
    for name, time_s in OPERATIONS.items():
        places = np.flatnonzero(table.columns["operation"] == name)
        sizes, num_bytes = (table.columns[key][places] for key in NUMBERS["collectives"])
        found[places] = time_s(cluster, group_of(cluster, sizes, 1), num_bytes)
    return found


@cache
def _some_node() -> GPUClusterSpec:
    cluster: GPUClusterSpec = load_gpu_cluster("dgx_a100_80gb")[0]
    return cluster


def _node_of(gpu: GPUSpec) -> GPUClusterSpec:
    """Eight of these GPUs in one node."""
    node: GPUClusterSpec = _some_node().model_copy(update={"gpu": gpu, "num_gpus": 8})
    return node


def errors_of(table: KernelTable, gpu: GPUSpec) -> KernelErrors:
    """Errors on the rows that were left out; on all where none was fitted to."""
    left_out = table.only(np.flatnonzero(~table.fitted))
    errors = np.abs(predicted_s(left_out, gpu) / left_out.measured_s - 1.0)
    median, ninety = (float(np.quantile(errors, level)) for level in (0.5, 0.9))
    return KernelErrors(table.kind, table.gpu, table.name, len(errors), median, float(errors.mean()), ninety)


def all_errors(tables: Iterable[KernelTable] | None = None) -> list[KernelErrors]:
    """Errors of every table with the shipped numbers; of those where something can be left out."""
    found = published_tables() if tables is None else tables
    return [errors_of(table, load_gpu(table.gpu)[0]) for table in found if not table.fitted.all()]

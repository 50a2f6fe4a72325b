"""Measured kernels of GPUs, what the model says to them, and the fit of its numbers to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from wsesim.config import catalogue
from wsesim.config.layering import layered
from wsesim.config.loader import load_gpu, load_gpu_cluster
from wsesim.config.spec import Spec
from wsesim.errors import need
from wsesim.machines.csv_table import Row, read_rows
from wsesim.machines.gpu.collectives import (
    all_gather_time_s,
    all_reduce_time_s,
    exchange_time_s,
    group_of,
    reduce_scatter_time_s,
)
from wsesim.machines.gpu.kernels import FusedAttention, elementwise_time_s, fused_attention_time_s, gemm_time_s
from wsesim.machines.gpu.spec import AttentionKernelSpec, GPUClusterSpec, GPUSpec, NVLinkSpec, ProductSpec
from wsesim.units import add_up, unit_of_field

# Measured kernels and collectives of GPUs: tables, what the model says to them, and its errors.
#
# A table holds the matrix products of one precision on one GPU, the calls of one attention kernel, the
# collectives inside a node, or the experts of a mixture. Every second row is fitted to, the others are
# left out and say how good the fit is.


Array = Any
NUMBERS = {
    "products": ("rows", "columns", "inner"),
    "attention": ("batch", "sequence", "num_heads", "num_key_value_heads", "head_dim"),
    "collectives": ("num_gpus", "size_bytes"),
    "experts": (
        *("tokens", "hidden_size", "expert_width"),
        *("experts_per_token", "num_experts", "expert_parallel_size"),
    ),
}
"""Columns of each kind of table that are numbers."""
FITTED = ("products", "attention", "collectives")
"""Kinds that are fitted to. Experts were measured in a framework for inference, whose kernels are not those that train: they are
compared, no more."""
WORDS = {
    "products": ("precision",),
    "attention": ("kernel", "direction", "causal"),
    "collectives": ("operation",),
    "experts": ("precision", "routing"),
}
"""Columns that are words."""
NAMED_BY = {"products": "precision", "attention": "kernel", "collectives": "", "experts": "precision"}
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
    "routing": "balanced, or power_law and its exponent",
    "tokens": "of all GPUs that share the experts",
    "hidden_size": "width of the block",
    "expert_width": "inside one expert, whose activation is gated",
    "experts_per_token": "that work on each",
    "num_experts": "on all GPUs together",
    "expert_parallel_size": "GPUs that share them; one is measured",
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
        "products", "attention", "collectives" or "experts"; catalogue name of the GPU; precision or kernel.
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
    def tolerance(self) -> float | None:
        """Median error that the table may have; None where it is only compared. [-]"""
        return NOISIER.get((self.kind, self.gpu, self.name), TOLERANCES.get(self.kind))

    @property
    def passes(self) -> bool:
        """Whether the median is within what is asked of it."""
        return self.tolerance is None or self.median <= self.tolerance


def read_tables(path: Path, kind: str) -> tuple[KernelTable, ...]:
    """Tables of a CSV file."""
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
def published_tables(kinds: tuple[str, ...] = FITTED) -> tuple[KernelTable, ...]:
    """The measured kernels that ship with wsesim, of some kinds."""
    folder = catalogue.published() / "kernels"
    return tuple(table for kind in kinds for table in read_tables(folder / f"{kind}.csv", kind))


def predicted_s(table: KernelTable, gpu: GPUSpec) -> Array:
    """Each row alone on an idle GPU. [s]"""
    found: Array = {
        "products": _products_s,
        "attention": _attention_s,
        "collectives": _collectives_s,
        "experts": _experts_s,
    }[table.kind](table, gpu)
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


def _experts_s(table: KernelTable, gpu: GPUSpec) -> Array:
    """Both products of a GPU's share of the experts and what lies between, tokens spread evenly.

    As frameworks for inference do it, each token's results are written for all its experts, then added up.
    """
    tokens, hidden, width, chosen, experts, gpus = (table.columns[key] for key in NUMBERS["experts"])
    routed = np.maximum(1.0, tokens * chosen / gpus)
    busy = np.minimum(experts / gpus, routed)
    shapes = ((2.0 * width, hidden), (hidden, width))
    products_s = [
        gemm_time_s(gpu, routed / busy, columns, inner, precision=table.name, count=busy, alone=True)
        for columns, inner in shapes
    ]
    moved = (6.0 * routed * width, 2.0 * tokens * chosen * hidden, 2.0 * tokens * (chosen + 1.0) * hidden)
    return add_up((*products_s, *(elementwise_time_s(gpu, one) for one in moved)))


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
    found = published_tables(tuple(NUMBERS)) if tables is None else tables
    return [errors_of(table, load_gpu(table.gpu)[0]) for table in found if not table.fitted.all()]


# Fits what GPUs do to measured kernels: products, attention and collectives of each GPU by themselves.
#
# Every fit is a least squares of the logarithm of predicted over measured times, in which outliers count
# little (soft L1). Numbers that the rows hardly determine are drawn weakly towards where they start. No
# training step is used. The range of a number is one standard error of the fit.


Progress = Callable[[str], None]
DIGITS = 3
"""Significant figures that are kept: more than the measurements carry. [-]"""
SOFT = 0.05
"""Relative errors beyond which a row counts less than its square. [-]"""
LEAST = 1e-3
"""Numbers that may be zero are fitted on a logarithmic scale from here on, in their own unit times 1e-6 for times. [-]"""

STARTS: dict[str, dict[str, float]] = {
    "products_16bit": {
        "rate_share": 0.8,
        "tile_s": 1e-6,
        "start_s": 3e-6,
        "small_tile_share": 0.85,
        "whole_waves": 0.3,
        "memory_share": 0.8,
        "hot_slowdown": 0.03,
    },
    "products_8bit": {
        "rate_share": 0.65,
        "tile_s": 1e-6,
        "start_s": 6e-6,
        "small_tile_share": 0.7,
        "whole_waves": 0.5,
        "memory_share": 0.7,
        "ragged_slowdown": 0.05,
        "cast_bytes": 4.0,
    },
    "attention": {
        "forward_share_64": 0.5,
        "forward_share_128": 0.6,
        "forward_share_256": 0.6,
        "backward_share_64": 0.4,
        "backward_share_128": 0.5,
        "backward_share_256": 0.5,
        "forward_tile_s": 2e-6,
        "backward_tile_s": 4e-6,
        "start_s": 10e-6,
    },
    "nvlink": {
        "small_start_s": 8e-6,
        "small_step_s": 0.7e-6,
        "small_rate_share": 0.5,
        "start_s": 20e-6,
        "step_s": 2e-6,
        "exchange_start_s": 13e-6,
        "all_reduce_share": 0.8,
        "ring_all_reduce_share": 0.75,
        "all_gather_share": 0.7,
        "reduce_scatter_share": 0.7,
        "exchange_share": 0.65,
        "pair_loss": 0.5,
    },
}
"""Where each fit begins, and towards where it is weakly drawn."""
SLOWER = {
    name: {
        "forward_share_64": 0.35,
        "forward_share_128": 0.35,
        "backward_share_64": 0.25,
        "backward_share_128": 0.25,
    }
    for name in ("flash_attention_1", "triton")
}
"""Where the fit of older attention kernels begins, of which forward and backward passes were measured together."""
SHARES = ("share", "waves", "loss")
"""Ends of the names of numbers from 0 to 1."""
PULL = 0.05
"""Strength of the pull: a number that is off by a factor e counts as much as a row with an error of 5 %. [-]"""


@dataclass(frozen=True)
class PartFit:
    """One table's worth of numbers.

    Attributes
    ----------
    key
        Place in the calibration: "products_fp8", "attention.cudnn", "nvlink".
    values, ranges
        By name, in the unit of the name; one standard error to either side.
    errors
        On the rows of the table that were left out; None where all were fitted to.
    num_fitted
        Rows that were fitted to. [-]
    """

    key: str
    gpu: str
    values: dict[str, float]
    ranges: dict[str, tuple[float, float]]
    errors: KernelErrors | None
    num_fitted: int


def rounded(value: float) -> float:
    """To `DIGITS` significant figures.

    Examples
    --------
    >>> rounded(0.698943), rounded(33.84e-6)
    (0.699, 3.38e-05)
    """
    return float(f"{value:.{DIGITS}g}")


def _is_share(name: str) -> bool:
    return name.endswith(SHARES) or "_share_" in name


def _unbounded(name: str, value: float) -> float:
    """A number on the scale on which it is fitted."""
    return float(np.log(value / (1.0 - value))) if _is_share(name) else float(np.log(value))


def _bounded(name: str, value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value))) if _is_share(name) else float(np.exp(value))


def fit(
    start: Mapping[str, float], predict: Callable[[Mapping[str, float]], Array], measured_s: Array
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Numbers that bring predictions nearest to measurements, and their ranges."""
    need("scipy", "fit", "wsesim calibrate of GPUs")
    from scipy.optimize import least_squares

    names = list(start)
    origin = np.array([_unbounded(name, value) for name, value in start.items()])

    def values(place: Array) -> dict[str, float]:
        return {
            name: _bounded(name, one) for name, one in zip(names, np.clip(place, origin - 12, origin + 12), strict=True)
        }

    def residuals(place: Array) -> Array:
        return np.concatenate([np.log(predict(values(place)) / measured_s), PULL * (place - origin)])

    tries = [origin + shift for shift in (0.0, np.resize([0.5, -0.5], len(names)), np.resize([-0.5, 0.5], len(names)))]
    found = min(
        (least_squares(residuals, one, loss="soft_l1", f_scale=SOFT) for one in tries), key=lambda one: one.cost
    )
    freedom = max(1, len(measured_s) - len(names))
    variance = 2.0 * found.cost / freedom
    spread = np.sqrt(variance * np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    low, high = values(found.x - spread), values(found.x + spread)
    return values(found.x), {name: (low[name], high[name]) for name in names}


def _with_part(gpu: GPUSpec, key: str, part: Any) -> GPUSpec:
    """The GPU with other numbers of one kind of kernel."""
    first, _, last = key.partition(".")
    if last:
        part = gpu.calibration.attention.model_copy(update={last: part})
    return gpu.model_copy(update={"calibration": gpu.calibration.model_copy(update={first: part})})


def _spec_of(table: KernelTable, values: Mapping[str, float], kept: Mapping[str, float]) -> Any:
    kinds: dict[str, type[Spec]] = {
        "products": ProductSpec,
        "attention": AttentionKernelSpec,
        "collectives": NVLinkSpec,
    }
    spec = kinds[table.kind]
    defaults = {name: field.default for name, field in spec.model_fields.items()}
    return spec.model_construct(**{**defaults, **kept, **values})


def key_of(table: KernelTable) -> str:
    """Where in a calibration the numbers of a table stand."""
    return {"products": f"products_{table.name}", "attention": f"attention.{table.name}", "collectives": "nvlink"}[
        table.kind
    ]


def _start_of(table: KernelTable, gpu: GPUSpec) -> tuple[dict[str, float], dict[str, float]]:
    """What is fitted, and what the rows say nothing about and stays."""
    now = _part_of(gpu, key_of(table))
    if table.kind == "products" and table.name != "16bit":
        return dict(STARTS["products_8bit"]), {}
    start = dict(STARTS[{"products": "products_16bit", "collectives": "nvlink"}.get(table.kind, "attention")])
    if now.get("hot_slowdown") == 0.0:
        del start["hot_slowdown"]
    if table.kind == "attention":
        start |= SLOWER.get(table.name, {})
        start = {name: value for name, value in start.items() if _says_something(table, name)}
    return start, {name: value for name, value in now.items() if name not in start}


def _says_something(table: KernelTable, name: str) -> bool:
    """Whether attention rows tell anything of a number."""
    direction, widths = table.columns["direction"], table.columns["head_dim"]
    if name.startswith("backward") and not np.any(direction != "forward"):
        return False
    width = name.rpartition("_share_")[2]
    backward = widths[direction != "forward"] if name.startswith("backward") else widths
    return not width.isdigit() or bool(np.any((backward > 0.7 * int(width)) & (backward < 1.4 * int(width))))


def _part_of(gpu: GPUSpec, key: str) -> dict[str, float]:
    """Numbers of one kind of kernel as a GPU has them; none where nothing is known."""
    part: Any = gpu.calibration
    for name in key.split("."):
        part = getattr(part, name)
    return {} if part is None else dict(part.model_dump())


def fit_table(table: KernelTable, gpu: GPUSpec) -> PartFit:
    """Fit the numbers of one table to the rows that are meant for it; to all where none is marked."""
    fitted = table.only(np.flatnonzero(table.fitted)) if table.fitted.any() else table
    start, kept = _start_of(table, gpu)
    key = key_of(table)

    def predict(values: Mapping[str, float]) -> Array:
        return predicted_s(fitted, _with_part(gpu, key, _spec_of(table, values, kept)))

    values, ranges = fit(start, predict, fitted.measured_s)
    values = {name: rounded(value) for name, value in values.items()}
    ends = {name: (rounded(low), rounded(high)) for name, (low, high) in ranges.items()}
    given = _with_part(gpu, key, _spec_of(table, values, kept))
    errors = None if table.fitted.all() or not table.fitted.any() else errors_of(table, given)
    return PartFit(key, table.gpu, values | kept, ends, errors, len(fitted.measured_s))


def fit_all(tables: Iterable[KernelTable], progress: Progress = lambda _: None) -> list[PartFit]:
    """Fit every table; what is fitted first to a GPU is known to the next fit of it."""
    gpus: dict[str, GPUSpec] = {}
    found = []
    for table in tables:
        progress(f"fitting {table.gpu}")
        gpu = gpus.get(table.gpu) or load_gpu(table.gpu)[0]
        one = fit_table(table, gpu)
        gpus[table.gpu] = _with_part(gpu, one.key, _spec_of(table, one.values, {}))
        found.append(one)
    return found


SOURCES = {"products": "aiconfigurator-kernels", "nvlink": "aiconfigurator-kernels", "attention": "attention-kernels"}
"""What the shipped tables of each kind were taken from."""


def sections(fits: Sequence[PartFit], source: str = "") -> dict[str, list[str]]:
    """Fitted numbers as lines of a calibration file, by section."""
    found = {}
    for one in fits:
        kind = one.key.partition(".")[0].partition("_")[0]
        words = f"{one.num_fitted} rows"
        if one.errors is not None:
            words += f"; left out {one.errors.n}, median error {one.errors.median:.1%}"
        found[one.key] = [
            f'{name} = {{ value = {_text(name, one.values[name])}, source = "{source or SOURCES[kind]}", '
            f'status = "calibrated", range = [{_text(name, low)}, {_text(name, high)}], note = "{words}" }}'
            for name, (low, high) in one.ranges.items()
        ]
    return found


def kernels_as_toml(fits: Sequence[PartFit], base: str, source: str = "") -> str:
    """A calibration file that lays fitted numbers over another one."""
    parts = [f"[{key}]\n" + "\n".join(lines) + "\n" for key, lines in sections(fits, source).items()]
    return f'# Written by `wsesim calibrate`.\nextends = "{base}"\n\n' + "\n".join(parts)


def rewritten(text: str, fits: Sequence[PartFit]) -> str:
    """A calibration file with fitted numbers in the place of those that it has."""
    new = {(key, line.partition(" = ")[0]): line for key, lines in sections(fits).items() for line in lines}
    section, lines = "", []
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        lines.append(new.get((section, line.partition(" = ")[0]), line))
    return "\n".join(lines) + "\n"


def calibration_of(gpu: str) -> str:
    """The calibration that a GPU of the catalogue names."""
    from wsesim.config import catalogue

    return str(layered("gpus", catalogue.find("gpus", gpu)).plain["calibration"])


def _text(key: str, value: float) -> str:
    """A number as a file holds it.

    Examples
    --------
    >>> _text("tile_s", 3e-6), _text("rate_share", 0.85)
    ('"3 us"', '0.85')
    """
    return f'"{value * 1e6:.{DIGITS}g} us"' if unit_of_field(key) == "s" else f"{value:.{DIGITS}g}"

"""Measured and predicted steps of GPU clusters, per row and per set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.loader import load_gpu_calibration
from wsesim.machines.csv_table import LARGEST_TABLE_BYTES
from wsesim.machines.gpu.rows import GPUMeasurement, published, read_steps
from wsesim.report.terminal import bar
from wsesim.validate.gpu_calibrate import KernelErrors, all_errors
from wsesim.validate.gpu_predict import APART, Prediction, SetStatistics, per_set, simulate_rows
from wsesim.view import Note, Section, Table, notes

ALL = "gpu"
"""The word for all sets, kernels included."""
KERNELS = "kernels"
"""The word for measured kernels alone."""


def sets() -> list[str]:
    """Sets that ship with wsesim, in the order of their file."""
    return list(dict.fromkeys(row.set for row in published()))


def is_table(path: Path) -> bool:
    """Whether a CSV file is a table of GPU clusters, by the columns that only such a one has."""
    header = catalogue.read_text(path, LARGEST_TABLE_BYTES).partition("\n")[0]
    names = {name.strip() for name in header.split(",")}
    return "num_gpus" in names or ("cluster" in names and "num_systems" not in names)


def rows_of(what: str | None) -> tuple[GPUMeasurement, ...]:
    """Rows of a set, of a CSV file, or all; none where the words mean something else."""
    if what is not None and what.lower().endswith(".csv"):
        return read_steps(Path(what))
    rows = published()
    return rows if what in (None, ALL) else tuple(row for row in rows if row.set == what)


def predict(rows: Sequence[GPUMeasurement], calibration: str | None = None) -> tuple[Prediction, ...]:
    """Simulate the rows, with the shipped or another calibration."""
    given = None if calibration is None else load_gpu_calibration(calibration)
    if not rows:
        return ()
    with bar("simulating GPU clusters", len(rows)) as advance:
        return simulate_rows(rows, given, lambda: advance(""))


def seconds(value: float | None) -> str:
    """A time of a step; a dash where there is none."""
    return "-" if value is None else f"{value:,.4g}"


def signed(share: float | None) -> str:
    """An error with its sign; a word where the run was refused."""
    return "refused" if share is None else f"{share:+.1%}"


def plan_words(row: GPUMeasurement) -> str:
    """Tensor, pipeline and data-parallel size of a row.

    Examples
    --------
    >>> plan_words(next(row for row in published() if row.id == "sc21t1-06"))
    't8 p4 d32'
    """
    names = (("t", "tensor"), ("p", "pipeline"), ("d", "data"))
    sizes = [(letter, row.parallelism.get(f"{name}_parallel_size", "auto")) for letter, name in names]
    return " ".join(f"{letter}{size if isinstance(size, int) else '?'}" for letter, size in sizes)


def row_table(predictions: Sequence[Prediction]) -> Table:
    """Every row."""
    rows = tuple(
        (
            row.id,
            str(row.model["name"]),
            plan_words(row),
            str(row.num_gpus),
            str(row.training["global_batch_size"]),
            seconds(row.iteration_s),
            seconds(one.predicted_s),
            signed(one.error) + ("*" if row.is_fitted else " "),
        )
        for one in predictions
        for row in [one.measurement]
    )
    return Table("Rows", ("row", "~model", "plan", "|GPUs", "|batch", "|measured", "|predicted", "|error"), rows)


def cells(one: SetStatistics) -> list[str]:
    """A set, as tables show it: see `HEADER`."""
    percent = [f"{value:.1%}" for value in (one.errors.mape, one.errors.median, one.errors.worst)] if one.errors else []
    mape, median, worst = percent or ["-"] * 3
    better = {True: "yes", False: "no", None: "-"}[one.beats_constant_hfu]
    return [
        one.name,
        one.use,
        str(one.errors.n if one.errors else 0),
        mape,
        f"{one.errors.bias:+.1%}" if one.errors else "-",
        median,
        worst,
        "-" if one.rank_correlation is None else f"{one.rank_correlation:.3f}",
        "-" if one.pairs_in_order is None else f"{one.pairs_in_order:.0%}",
        "-" if one.constant_hfu_mape is None else f"{one.constant_hfu_mape:.1%}",
        better,
        "-" if one.inside is None else f"{one.inside:.0%}",
        "-" if one.use == "shown" else f"{one.tolerance:.0%}",
    ]


HEADER = (
    "set",
    "use",
    "n",
    "MAPE",
    "bias",
    "median",
    "worst",
    "rank",
    "order",
    "one HFU",
    "better",
    "inside",
    "tolerance",
)


def set_table(summaries: Sequence[SetStatistics]) -> Table:
    """Every set."""
    rows = []
    for one in summaries:
        name, use, *rest = cells(one)
        rows.append((name, use[:5], *rest, "" if use == "shown" else "ok" if one.passes else "MISSED"))
    return Table("Sets", (*HEADER[:2], *(f"|{head}" for head in (*HEADER[2:-1], "tol.", ""))), tuple(rows))


ROWS_NOTE = "a step, in s; plan: GPUs of the tensor, pipeline and data-parallel groups; * fitted, and so no proof"
NOTE = (
    f"rank: Spearman's, of times; order: share of pairs measured more than {APART:.0%} apart that are predicted in that "
    "order; one HFU: MAPE of the line on which every GPU computes at one rate, fitted on the same rows; better: whether "
    "the simulation is nearer than that line; inside: share of rows inside the 90 % range that other rows give them; tol.: MAPE "
    "that the set may have"
)


def kernel_errors(what: str | None) -> list[KernelErrors]:
    """Errors of measured kernels, where they are asked for."""
    return all_errors() if what in (None, ALL, KERNELS) else []


def kernel_cells(one: KernelErrors) -> list[str]:
    """A table of measured kernels, as tables show it."""
    shares = [f"{value:.1%}" for value in (one.median, one.mean, one.ninety)]
    tolerance = "-" if one.tolerance is None else f"{one.tolerance:.0%}"
    return [one.kind, one.gpu, one.name or "-", str(one.n), *shares, tolerance]


def _kept(one: KernelErrors) -> str:
    """Whether a table keeps its tolerance."""
    if one.tolerance is None:
        return "shown"
    return "ok" if one.passes else "MISSED"


KERNELS_NOTE = (
    "absolute error on the time of kernels measured alone, on the rows of each table that were left out of its fit; "
    "tol.: median that a table may have; experts are those of a framework for inference, which nothing is fitted to"
)


def kernel_section(errors: Sequence[KernelErrors]) -> Section:
    """How well measured kernels are met."""
    rows = tuple((*kernel_cells(one), _kept(one)) for one in errors)
    heads = ("kernels", "GPU", "of", "|n", "|median", "|mean", "|90th", "|tol.", "|")
    return Section("kernels", parts=(Table("Measured kernels", heads, rows), Note(KERNELS_NOTE, "aside")))


def sections(predictions: Sequence[Prediction], *, rows: bool) -> Iterator[Section]:
    """Rows and sets."""
    if rows:
        yield Section("gpu-rows", parts=(row_table(predictions), Note(ROWS_NOTE, "aside"), Note("")))
    refused = [f"refused: {one.message}" for one in predictions if one.predicted_s is None]
    sets = (set_table(per_set(predictions)), Note(NOTE, "aside"))
    yield Section("gpu-sets", parts=(*sets, *notes(refused[:MOST_REFUSALS])))


MOST_REFUSALS = 5
"""Messages that are shown. [-]"""


def as_dict(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Rows and sets for programs."""
    return {
        "gpu_rows": [
            {
                "id": one.measurement.id,
                "use": one.measurement.use,
                "set": one.measurement.set,
                "measured_s": one.measurement.iteration_s,
                "predicted_s": one.predicted_s,
                "error": one.error,
                "inside_range": one.is_inside,
                "source": one.measurement.source,
            }
            | ({"refused": one.message} if one.message else {})
            for one in predictions
        ],
        "gpu_sets": [
            {
                "set": one.name,
                "use": one.use,
                "n": one.errors.n if one.errors else 0,
                "refused": one.refused,
                "mape": one.errors.mape if one.errors else None,
                "bias": one.errors.bias if one.errors else None,
                "median": one.errors.median if one.errors else None,
                "worst": one.errors.worst if one.errors else None,
                "rank_correlation": one.rank_correlation,
                "pairs_in_order": one.pairs_in_order,
                "constant_hfu_mape": one.constant_hfu_mape,
                "beats_constant_hfu": one.beats_constant_hfu,
                "inside_range": one.inside,
                "tolerance": one.tolerance,
                "passes": one.passes,
            }
            for one in per_set(predictions)
        ],
    }


def kernels_as_dicts(errors: Sequence[KernelErrors]) -> list[dict[str, Any]]:
    """Tables of measured kernels for programs."""
    return [asdict(one) | {"tolerance": one.tolerance, "passes": one.passes} for one in errors]


def missed(predictions: Sequence[Prediction]) -> list[str]:
    """Sets past their tolerance, in words."""
    found = []
    for one in per_set(predictions):
        mape = f"{one.errors.mape:.1%} mean of {one.tolerance:.0%}" if one.errors else "nothing was predicted"
        refused = f", {one.refused} row(s) refused" if one.refused else ""
        if not one.passes:
            found.append(f"{one.name} ({one.use}): {mape}{refused}")
    return found

"""`wsesim calibrate` on measured kernels of GPUs: fits them, shows how well, and how to use the fit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.layering import layered
from wsesim.errors import InputError, MeasurementError
from wsesim.machines.csv_table import LARGEST_TABLE_BYTES
from wsesim.machines.gpu.rows import read_table
from wsesim.report.progress import bar
from wsesim.units import add_up
from wsesim.validate.gpu_calibrate import (
    PartFit,
    as_toml,
    calibration_of,
    fit_all,
    rewritten,
)
from wsesim.validate.gpu_kernels import NUMBERS, KernelTable, published_tables, read_tables
from wsesim.validate.gpu_predict import Prediction, simulate_rows
from wsesim.view import Note, Section, Table, plural

ALL_SYSTEMS = "cs2"
"""What ``--system`` says where nobody names one."""


def kind_of(path: Path) -> str | None:
    """Which kernels a CSV file holds, by its columns; None where it holds none."""
    header = catalogue.read_text(path, LARGEST_TABLE_BYTES).partition("\n")[0]
    names = {name.strip() for name in header.split(",")}
    kinds = [kind for kind, needed in NUMBERS.items() if {"gpu", "time_us", *needed} <= names]
    return kinds[0] if kinds else None


def tables_of(path: Path | None, gpu: str) -> tuple[KernelTable, ...]:
    """Measured kernels of a file, or those that ship with wsesim; of one GPU where one is named.

    Raises
    ------
    MeasurementError
        There are none.
    """
    if path is None:
        tables = published_tables()
    else:
        kind = kind_of(path)
        if kind is None:
            known = "; ".join(f"{name}: gpu, {', '.join(columns)}, time_us" for name, columns in NUMBERS.items())
            raise MeasurementError(f"{path}: holds no kernels; columns of them are {known}")
        tables = read_tables(path, kind)
    chosen = tuple(table for table in tables if gpu in (ALL_SYSTEMS, table.gpu))
    if not chosen:
        known = ", ".join(dict.fromkeys(table.gpu for table in tables))
        raise MeasurementError(f"--system {gpu}: no kernel of it is measured here; known are {known}")
    return chosen


def fit_and_texts(path: Path | None, gpu: str, out: Path | None, source: str) -> tuple[list[PartFit], dict[str, str]]:
    """The fits, and the calibration files that hold them, by name."""
    tables = tables_of(path, gpu)
    names = list(dict.fromkeys(table.gpu for table in tables))
    is_folder = out is not None and out.is_dir()
    if out is not None and not is_folder and len(names) > 1:
        raise InputError(
            f"--out {out}: one file holds one GPU, and these are {', '.join(names)}; add --system with one"
        )
    with bar("fitting") as advance:
        fits = fit_all(tables, advance)
    groups: dict[str, list[PartFit]] = {}
    for one in fits:
        groups.setdefault(calibration_of(one.gpu), []).append(one)
    if path is None and (is_folder or out is None):
        shipped = {name: catalogue.read_text(catalogue.find("calibrations", name)) for name in groups}
        return fits, {name: rewritten(shipped[name], some) for name, some in groups.items()}
    return fits, {name: as_toml(some, name, source or (path.name if path else "")) for name, some in groups.items()}


def write(texts: dict[str, str], out: Path) -> None:
    """The calibration files: into a folder by name, or the only one as a file."""
    from wsesim.report import files

    for name, text in texts.items():
        files.write(out / f"{name}.toml" if out.is_dir() else out, text)


def own_steps(path: Path, source: str) -> tuple[tuple[Prediction, ...], dict[str, str]]:
    """Measured steps of one's own beside predictions, and calibration files that hold how far off those were, by name.

    Rows with the use "calibration" count, or all where none says so.

    Raises
    ------
    MeasurementError
        No row can be simulated.
    """
    rows = [row for row in read_table(path) if row.use != "shown"]
    found = simulate_rows([row for row in rows if row.use == "calibration"] or rows)
    errors: dict[str, dict[str, list[float]]] = {}
    for one in found:
        if one.kind is not None:
            kinds = errors.setdefault(_calibration_name(one.measurement.cluster), {})
            kinds.setdefault(one.kind.key, []).append(one.log_error)
    if not errors:
        raise MeasurementError(f"{path}: no row can be simulated; {found[0].message if found else 'add rows of steps'}")
    return found, {name: _steps_toml(name, kinds, source or path.name) for name, kinds in errors.items()}


def _calibration_name(cluster: str) -> str:
    """Of the GPUs of a catalogue cluster."""
    gpu = layered("clusters", catalogue.find("clusters", cluster)).plain["gpu"]
    return calibration_of(str(gpu["name"] if isinstance(gpu, dict) else gpu))


def _steps_toml(name: str, kinds: dict[str, list[float]], source: str) -> str:
    """The shipped calibration of a GPU with steps of one's own."""
    lines = [f'extends = "{name}"', "", "[measured]  # measured over predicted time, geometric mean"]
    for key, errors in kinds.items():
        ratio, words = math.exp(add_up(errors) / len(errors)), plural(len(errors), "row")
        lines.append(
            f'"{key}" = {{ value = {ratio:.4g}, source = {json.dumps(source)}, status = "calibrated", note = "{words}" }}'
        )
    return "\n".join(lines) + "\n"


def step_sections(found: Sequence[Prediction], out: Path | None) -> list[Section]:
    """Each step, and how to use the file."""
    rows = []
    for one in found:
        given, error = one.measurement, f"{math.expm1(one.log_error):+.1%}" if one.predicted_s else one.message
        predicted = f"{one.predicted_s:.4g}" if one.predicted_s else "-"
        rows.append((given.id, one.kind.key if one.kind else "-", f"{given.iteration_s:.4g}", predicted, error))
    table = Table("Own steps", ("row", "~kind", "|measured s", "|predicted s", "|over"), tuple(rows))
    words = "a file holds the steps of one GPU; runs of these kinds have a narrower range with --set cluster.gpu.calibration"
    if out is not None:
        words = f'written to {out}; runs of these kinds have a narrower range with --set cluster.gpu.calibration="FILE"'
    return [Section("own steps", parts=(table, Note(""), Note(words)))]


def fit_table(fits: Sequence[PartFit]) -> Table:
    """Each fit, and how it does on what was left out."""
    rows = []
    for one in fits:
        numbers = ", ".join(f"{name} {one.values[name]:.3g}" for name in one.ranges)
        left = ("-", "-") if one.errors is None else (str(one.errors.n), f"{one.errors.median:.1%}")
        rows.append((one.gpu, one.key, str(one.num_fitted), *left, numbers))
    return Table("Fits", ("GPU", "fitted", "|rows", "|left out", "|median error", "~numbers"), tuple(rows))


def as_dict(fits: Sequence[PartFit], texts: dict[str, str], out: Path | None) -> dict[str, Any]:
    """What was fitted, how well, and the files that hold it, for programs."""
    return {"fits": [asdict(one) for one in fits], "out": None if out is None else str(out), "toml": texts}


def sections(fits: Sequence[PartFit], texts: dict[str, str], out: Path | None) -> list[Section]:
    """What was fitted, how well, and how to use it."""
    words = ""
    if out is not None:
        words = f'written to {out}; a GPU run uses a file with --set cluster.gpu.calibration="FILE"'
    elif len(texts) > 1:
        words = "--out FOLDER writes the calibration of every GPU, --system GPU --out FILE.toml that of one"
    return [Section("fits", parts=(fit_table(fits), Note(""), *([Note(words)] if words else [])))]

"""`wsesim calibrate`: reads measurements of steps or of kernels, fits, shows what was fitted and how well."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.layering import layered
from wsesim.config.loader import load, load_system
from wsesim.config.run import Run
from wsesim.errors import InputError, MeasurementError
from wsesim.machines.csv_table import LARGEST_TABLE_BYTES
from wsesim.machines.gpu.rows import read_steps
from wsesim.machines.wafer.rows import Measurement, published, read_log, read_table
from wsesim.report.pages.validation import row_dict, row_table
from wsesim.report.terminal import bar
from wsesim.units import add_up, show, unit_of_field
from wsesim.validate.calibrate import FORM_KEYS, LAYOUT_KEYS, RATE_KEYS, Fit, as_toml, fit
from wsesim.validate.gpu_calibrate import (
    FITTED,
    NUMBERS,
    KernelTable,
    PartFit,
    calibration_of,
    fit_all,
    kernels_as_toml,
    published_tables,
    read_tables,
    rewritten,
)
from wsesim.validate.gpu_predict import Prediction, simulate_rows
from wsesim.view import Note, Part, Section, Table, plural

# `wsesim calibrate`: reads measurements, fits, shows what was fitted and how well.


def _key(name: str) -> str:
    return name.lower().replace("-", "")


def _from_log(path: Path, run_name: str | None, system: str) -> list[Measurement]:
    if run_name is None:
        raise MeasurementError(
            f"{path}: a log does not say what was trained; add --run RUN with the run file it belongs to"
        )
    run = load(run_name)
    if _key(run.cluster.system.name) != system:
        raise MeasurementError(
            f"--run {run_name}: is for {run.cluster.system.name}, not for {system}; choose it with --system"
        )
    model = run.model.model_dump(exclude_none=True)
    return [
        Measurement(
            id=path.name,
            use="calibration",
            set="log",
            source=path.name,
            model=model,
            sequence_length=run.training.sequence_length,
            global_batch_size=run.training.global_batch_size,
            micro_batch_size=run.training.micro_batch_size,
            num_systems=run.cluster.num_systems,
            system=system,
            software_release=run.cluster.software_release,
            metric="samples_per_s",
            value=read_log(path),
            place=str(path),
            table=_table_of(run),
        )
    ]


def _table_of(run: Run) -> dict[str, Any]:
    """The run of a log as `from_table` takes it, with every override that its file makes."""
    parts = {"model": run.model, "training": run.training, "cluster": run.cluster}
    return {key: part.model_dump(exclude_none=True, exclude={"tokens", "steps"}) for key, part in parts.items()}


def _read(path: Path, run_name: str | None, system: str) -> list[Measurement]:
    if path.suffix.lower() != ".csv":
        return _from_log(path, run_name, system)
    if run_name is not None:
        raise MeasurementError(
            f"--run {run_name}: belongs to a log file; a table names its runs itself, leave --run out"
        )
    return read_table(path)


def fit_file(path: Path | None, system: str, run_name: str | None) -> Fit:
    """Fit one system generation to a table, a log, or the shipped measurements."""
    if path is None and run_name is not None:
        raise MeasurementError(
            f"--run {run_name}: belongs to a log file; name the log as MEASUREMENTS, or leave --run out"
        )
    spec, _ = load_system(system, where="--system")
    key = _key(spec.name)
    rows = published() if path is None else _read(path, run_name, key)
    chosen = [row for row in rows if row.is_fitted]
    if not any(row.system == key for row in chosen):
        raise MeasurementError(
            f"{path or 'the shipped table'}: no row marked calibration for system {key}; check the columns use and system"
        )
    with bar("fitting") as advance:
        return fit(chosen, spec.calibration, key, advance)


def as_text(fitted: Fit, source: str, system: str) -> str:
    """The calibration file; numbers that were not fitted keep the origin that they had."""
    printable = "".join(sign if sign.isprintable() else " " for sign in source)
    cut = len("calibration.")
    origins = load_system(system)[1].items()
    kept = {key[cut:]: origin for key, origin in origins if key.startswith("calibration.")}
    return as_toml(fitted, printable.replace("\\", "/").replace('"', "'"), kept)


def check_out(path: Path) -> None:
    """Refuse a file that could not be written or not be used, before the work starts.

    Raises
    ------
    InputError
        No folder to write it to, or a name that a run would not take for a file.
    """
    if path.suffix != ".toml":
        raise InputError(
            f"--out {path}: does not end in .toml, and a run would not find it; write for example {path}.toml"
        )
    try:
        finding = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        is_good = path.parent.is_dir() and not path.is_dir()
    except OSError as error:
        finding, is_good = f"cannot be written ({error.strerror})", False
    if not is_good:
        raise InputError(f"--out {path}: {finding}; choose a file in a folder that exists")


def as_dict(fitted: Fit, text: str, out: Path | None) -> dict[str, Any]:
    """What was fitted, how well, and the file that holds it, for programs."""
    keys = (*RATE_KEYS, *FORM_KEYS, *LAYOUT_KEYS)
    return {
        "fitted": list(fitted.fitted),
        "calibration": {key: getattr(fitted.calibration, key) for key in keys},
        "releases": dict(fitted.calibration.releases),
        "rows": [row_dict(one) for one in fitted.predictions],
        "mean_absolute_error": mean_absolute_error(fitted),
        "out": None if out is None else str(out),
        "toml": text,
    }


def mean_absolute_error(fitted: Fit) -> float:
    """Of the rows that were fitted. [-]"""
    return add_up(abs(one.error) for one in fitted.predictions) / len(fitted.predictions)


def sections(fitted: Fit, out: Path | None) -> list[Section]:
    """What was fitted, how well, and how to use it."""
    rows = []
    for key in (*RATE_KEYS, *FORM_KEYS, *LAYOUT_KEYS):
        value = show(getattr(fitted.calibration, key), unit_of_field(key))
        why = "no, too few rows; kept" if key in (*RATE_KEYS, "values_per_core") else "no, chosen; kept"
        rows.append((key, value, "yes" if key in fitted.fitted else why))
    for release, factor in fitted.calibration.releases.items():
        count = fitted.rows_of_release.get(release, 0)
        rows.append((f"releases.{release}", f"{factor:.4g}", f"yes, {count} row(s)" if count else "no; kept"))
    numbers = Table("Numbers of the calibration", ("number", "value", "~fitted"), tuple(rows))
    mean = f"mean absolute error on these {len(fitted.predictions)} rows: {mean_absolute_error(fitted):.2%}"
    parts: list[Part] = [numbers, Note(""), row_table(fitted.predictions), Note("")]
    parts.append(Note(f"{mean}; they were fitted and prove nothing", "key"))
    if out is not None:
        parts.append(Note(f'written to {out}; a run uses it with --set cluster.system.calibration="{out}"'))
    return [Section("fit", parts=tuple(parts))]


# `wsesim calibrate` on measured kernels of GPUs: fits them, shows how well, and how to use the fit.


ALL_SYSTEMS = "cs2"
"""What ``--system`` says where nobody names one."""


def kind_of(path: Path) -> str | None:
    """Which kernels a CSV file holds, by its columns; None where it holds none."""
    header = catalogue.read_text(path, LARGEST_TABLE_BYTES).partition("\n")[0]
    names = {name.strip() for name in header.split(",")}
    kinds = [kind for kind, needed in NUMBERS.items() if {"gpu", "time_us", *needed} <= names]
    return kinds[0] if kinds else None


def tables_of(path: Path | None, gpu: str) -> tuple[KernelTable, ...]:
    """Measured kernels of a file, or those that ship with wsesim; of one GPU where one is named."""
    if path is None:
        tables = published_tables()
    else:
        kind = kind_of(path)
        if kind not in FITTED:
            found = "kernels of experts, which nothing is fitted to" if kind else "no kernels"
            known = "; ".join(f"{name}: gpu, {', '.join(NUMBERS[name])}, time_us" for name in FITTED)
            raise MeasurementError(f"{path}: holds {found}; columns of what is fitted are {known}")
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
    return fits, {
        name: kernels_as_toml(some, name, source or (path.name if path else "")) for name, some in groups.items()
    }


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
    rows = [row for row in read_steps(path) if row.use != "shown"]
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


def kernels_as_dict(fits: Sequence[PartFit], texts: dict[str, str], out: Path | None) -> dict[str, Any]:
    """What was fitted, how well, and the files that hold it, for programs."""
    return {"fits": [asdict(one) for one in fits], "out": None if out is None else str(out), "toml": texts}


def kernel_sections(fits: Sequence[PartFit], texts: dict[str, str], out: Path | None) -> list[Section]:
    """What was fitted, how well, and how to use it."""
    words = ""
    if out is not None:
        words = f'written to {out}; a GPU run uses a file with --set cluster.gpu.calibration="FILE"'
    elif len(texts) > 1:
        words = "--out FOLDER writes the calibration of every GPU, --system GPU --out FILE.toml that of one"
    return [Section("fits", parts=(fit_table(fits), Note(""), *([Note(words)] if words else [])))]

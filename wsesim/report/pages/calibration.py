"""`wsesim calibrate`: reads measurements, fits, shows what was fitted and how well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsesim.config.entries import load_system
from wsesim.config.loader import load
from wsesim.config.run import Run
from wsesim.errors import InputError, MeasurementError
from wsesim.machines.wafer.rows import Measurement, published, read_log, read_table
from wsesim.report.pages.validation import row_dict, row_table
from wsesim.report.progress import bar
from wsesim.units import add_up, show, unit_of_field
from wsesim.validate.calibrate import FORM_KEYS, LAYOUT_KEYS, RATE_KEYS, Fit, as_toml, fit
from wsesim.view import Note, Part, Section, Table


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

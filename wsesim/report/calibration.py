"""`wsesim calibrate`: reads measurements, fits, shows what was fitted and how well."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wsesim.config.loader import load, load_system
from wsesim.errors import InputError, MeasurementError
from wsesim.report.progress import bar
from wsesim.report.validation import row_table
from wsesim.units import show, unit_of_field
from wsesim.validation.calibrate import RATE_KEYS, Fit, as_toml, fit
from wsesim.validation.measurements import Measurement, published, read_log, read_table


def _from_log(path: Path, run_name: str | None) -> list[Measurement]:
    if run_name is None:
        raise MeasurementError(
            f"{path}: a log does not say what was trained; add --run RUN with the run file it belongs to"
        )
    run = load(run_name)
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
            system=run.cluster.system.name.lower().replace("-", ""),
            software_release=run.cluster.software_release,
            metric="samples_per_s",
            value=read_log(path),
        )
    ]


def _read(path: Path, run_name: str | None) -> list[Measurement]:
    return read_table(path) if path.suffix == ".csv" else _from_log(path, run_name)


def fit_file(path: Path | None, system: str, run_name: str | None) -> Fit:
    """Fit one system generation to a table, a log, or the shipped measurements."""
    spec, _ = load_system(system)
    key = spec.name.lower().replace("-", "")
    rows = published() if path is None else _read(path, run_name)
    chosen = [row for row in rows if row.use == "calibration" and row.system == key]
    if not chosen:
        raise MeasurementError(
            f"{path or 'the shipped table'}: no row marked calibration for system {key}; check the columns use and system"
        )
    with bar("fitting") as advance:
        return fit(chosen, spec.calibration, advance)


def as_text(fitted: Fit, source: str) -> str:
    """The calibration file."""
    return as_toml(fitted, source.replace("\\", "/").replace('"', "'"))


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    InputError
        The folder does not exist, or nothing can be written there.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError as error:
        raise InputError(
            f"--out {path}: cannot be written ({error.strerror}); choose a folder that exists and can be written"
        ) from None


def print_fit(console: Console, fitted: Fit, text: str, out: Path | None) -> None:
    """What was fitted, how well, and how to use it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("number", "value", "fitted"):
        table.add_column(column)
    for key in (*RATE_KEYS, "lane_bytes_per_token"):
        value = show(getattr(fitted.calibration, key), unit_of_field(key))
        table.add_row(key, value, "yes" if key in fitted.fitted else "no, too few rows; kept")
    for release, factor in fitted.calibration.releases.items():
        rows = fitted.rows_of_release.get(release, 0)
        table.add_row(f"releases.{release}", f"{factor:.4g}", f"yes, {rows} row(s)" if rows else "no; kept")
    errors = [abs(one.error) for one in fitted.predictions]
    console.print(table, "", row_table(fitted.predictions), "")
    console.print(
        Text(
            f"mean absolute error on these {len(errors)} rows: {sum(errors) / len(errors):.2%}; they were fitted and prove nothing",
            style="bold",
        )
    )
    if out is None:
        console.print(Text(f"\n{text}", style="dim"))
    else:
        console.print(f'written to {out}; a run uses it with --set cluster.system.calibration="{out}"')

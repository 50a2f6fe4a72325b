"""`wsesim validate` and `wsesim calibrate`: published measurements against predictions; fits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, print_json, print_sections
from wsesim.errors import InputError

# `wsesim validate`: published measurements against predictions.


def validate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="SET",
            help="One set (see the output without it), cerebras or gpu for all of a kind, or a CSV file of your own.",
        ),
    ] = None,
    rows: Annotated[
        bool | None,
        typer.Option(
            "--rows/--no-rows", help="Print every row, or only the sets; GPU rows by default only of one set."
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Predict with this calibration: a catalogue name or a .toml file. Without SET, of wafer-scale systems.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Published measurement, prediction and error; exit code 1 past the stated tolerance.

    Without SET every row is simulated, those of GPU clusters too: 10 to 30 seconds.
    """
    from wsesim.report.pages import validation

    found = validation.gather(what, calibration)
    if json:
        print_json(validation.as_dict(found))
    else:
        print_sections(validation.sections(found, rows=rows))
    validation.check(found)


# `wsesim calibrate`: fit what is not public.


def calibrate(
    measurements: Annotated[
        Path | None,
        typer.Argument(
            metavar="MEASUREMENTS",
            help="CSV table of wafer-scale systems, of steps or of kernels of GPUs, as its columns say, or a log of the vendor's "
            "software with --run. Default: the shipped table.",
        ),
    ] = None,
    system: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="System generation to fit: a catalogue name or a .toml file; with kernels a GPU."
        ),
    ] = "cs2",
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Run file that a log file was measured with.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the calibration here; a run uses it with cluster.system.calibration."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Source to name in the file: a key of sources.toml, or your own words."),
    ] = "",
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu", help="Fit GPUs instead, to the measured kernels that ship with wsesim; --out may be a folder."
        ),
    ] = False,
    loss: Annotated[
        bool,
        typer.Option(
            "--loss", help="Fit the laws of loss and zero-shot accuracy instead, to MEASUREMENTS or the shipped models."
        ),
    ] = False,
    nested: Annotated[
        bool,
        typer.Option(
            "--nested", help="With --loss: choose the law's form anew for each model left out; about a minute."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Fit what is not public to measurements: at most three numbers of a wafer, and a factor per software release."""
    from wsesim.report.pages import calibration, gpu_validation

    is_table = measurements is not None and measurements.suffix.lower() == ".csv"
    if gpu or (is_table and measurements is not None and calibration.kind_of(measurements)):
        if run is not None:
            raise InputError(
                f"--run {run}: belongs to a log of a wafer-scale system; leave it out with kernels of GPUs"
            )
        _calibrate_kernels(measurements, system, source, out, json=json)
        return
    if is_table and measurements is not None and not loss and gpu_validation.is_table(measurements):
        _calibrate_steps(measurements, source, out, json=json)
        return
    if out is not None:
        calibration.check_out(out)
    if loss:
        _calibrate_loss(measurements, source, out, nested=nested, json=json)
    else:
        _calibrate_wafers(measurements, system, run, source, out, json=json)


def _calibrate_wafers(
    measurements: Path | None, system: str, run: str | None, source: str, out: Path | None, *, json: bool
) -> None:
    from wsesim.report import files
    from wsesim.report.pages import calibration

    fit = calibration.fit_file(measurements, system, run)
    text = calibration.as_text(fit, source or (str(measurements.name) if measurements else "usc-2024"), system)
    if out is not None:
        files.write(out, text)
    if json:
        print_json(calibration.as_dict(fit, text, out))
    else:
        print_sections(calibration.sections(fit, out))
        if out is None:
            typer.echo(f"\n{text}")


def _calibrate_kernels(measurements: Path | None, system: str, source: str, out: Path | None, *, json: bool) -> None:
    from wsesim.report.pages import calibration

    if out is not None and not out.is_dir():
        calibration.check_out(out)
    fits, texts = calibration.fit_and_texts(measurements, system, out, source)
    if out is not None:
        calibration.write(texts, out)
    if json:
        print_json(calibration.kernels_as_dict(fits, texts, out))
    else:
        print_sections(calibration.kernel_sections(fits, texts, out))
        if out is None and len(texts) == 1:
            typer.echo(next(iter(texts.values())))


def _calibrate_steps(measurements: Path, source: str, out: Path | None, *, json: bool) -> None:
    from wsesim.report.pages import calibration

    if out is not None and not out.is_dir():
        calibration.check_out(out)
    found, texts = calibration.own_steps(measurements, source)
    if out is not None and not out.is_dir() and len(texts) > 1:
        raise InputError(f"--out {out}: one file holds one GPU, and these are {', '.join(texts)}; name a folder")
    if out is not None:
        calibration.write(texts, out)
    if json:
        print_json({"rows": len(found), "out": None if out is None else str(out), "toml": texts})
        return
    print_sections(calibration.step_sections(found, out))
    for text in texts.values() if out is None else ():
        typer.echo(f"\n{text}")


def _calibrate_loss(measurements: Path | None, source: str, out: Path | None, *, nested: bool, json: bool) -> None:
    from wsesim.report import files
    from wsesim.report.pages import loss_laws

    fit = loss_laws.fit_file(measurements)
    text = loss_laws.as_text(fit, source)
    if out is not None:
        files.write(out, text)
    chosen = loss_laws.choices(fit) if nested else ()
    if json:
        print_json(loss_laws.fit_dict(fit, text, out, chosen))
    else:
        print_sections(loss_laws.fit_sections(fit, out, chosen))
        if out is None:
            typer.echo(f"\n{text}")

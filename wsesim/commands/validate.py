"""`wsesim validate` and `wsesim calibrate`: published measurements against predictions; fits."""

from __future__ import annotations

from pathlib import Path

import click

from wsesim.commands.common import A_PATH, command, json_option, print_json, print_sections
from wsesim.errors import InputError

# `wsesim validate`: published measurements against predictions.


@command("validate")
@click.argument(
    "what",
    required=False,
    metavar="[SET]",
    help="One set (see the output without it), cerebras or gpu for all of a kind, or a CSV file of your own.",
)
@click.option(
    "--rows/--no-rows", default=None, help="Print every row, or only the sets; GPU rows by default only of one set."
)
@click.option(
    "--calibration",
    metavar="NAME",
    help="Predict with this calibration: a catalogue name or a .toml file. Without SET, of wafer-scale systems.",
)
@json_option
def validate(what: str | None, rows: bool | None, calibration: str | None, json: bool) -> None:
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


@command("calibrate")
@click.argument(
    "measurements",
    type=A_PATH,
    required=False,
    metavar="[MEASUREMENTS]",
    help="CSV table of wafer-scale systems, of steps or of kernels of GPUs, as its columns say, or a log of the vendor's "
    "software with --run. Default: the shipped table.",
)
@click.option(
    "--system",
    default="cs2",
    metavar="NAME",
    help="System generation to fit: a catalogue name or a .toml file; with kernels a GPU.",
)
@click.option("--run", metavar="RUN", help="Run file that a log file was measured with.")
@click.option(
    "--out",
    type=A_PATH,
    metavar="FILE",
    help="Write the calibration here; a run uses it with cluster.system.calibration.",
)
@click.option(
    "--source", default="", metavar="TEXT", help="Source to name in the file: a key of sources.toml, or your own words."
)
@click.option(
    "--gpu",
    is_flag=True,
    help="Fit GPUs instead, to the measured kernels that ship with wsesim; --out may be a folder.",
)
@click.option(
    "--loss",
    is_flag=True,
    help="Fit the laws of loss and zero-shot accuracy instead, to MEASUREMENTS or the shipped models.",
)
@click.option(
    "--nested", is_flag=True, help="With --loss: choose the law's form anew for each model left out; about a minute."
)
@json_option
def calibrate(
    measurements: Path | None,
    system: str,
    run: str | None,
    out: Path | None,
    source: str,
    gpu: bool,
    loss: bool,
    nested: bool,
    json: bool,
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
            click.echo(f"\n{text}")


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
            click.echo(next(iter(texts.values())))


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
        click.echo(f"\n{text}")


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
            click.echo(f"\n{text}")

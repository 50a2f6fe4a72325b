"""`wsesim calibrate`: fit what is not public."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsesim.commands.common import AsJson, console, print_json


def calibrate(
    measurements: Annotated[
        Path | None,
        typer.Argument(
            metavar="MEASUREMENTS",
            help="CSV table, or a log of the vendor's software with --run. Default: the shipped table.",
        ),
    ] = None,
    system: Annotated[
        str, typer.Option(metavar="NAME", help="System generation to fit: a catalogue name or a .toml file.")
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
        typer.Option("--gpu", help="Fit the six constants of GPUs instead, to the measurements that ship with wsesim."),
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
    """Fit what is not public to measurements: at most four numbers, and a factor per software release."""
    from wsesim.report import files
    from wsesim.report.pages import calibration

    if out is not None:
        calibration.check_out(out)
    if gpu:
        from wsesim.report.pages import gpu_calibration

        gpu_calibration.refuse(
            {
                "MEASUREMENTS": measurements,
                "--run": run,
                "--source": source,
                "--system": "" if system == "cs2" else system,
            }
        )
        found, text = gpu_calibration.fit_and_text()
        if out is not None:
            files.write(out, text)
        if json:
            print_json(gpu_calibration.as_dict(found, text, out))
        else:
            gpu_calibration.print_fit(console(), found, text, out)
        return
    if loss:
        _calibrate_loss(measurements, source, out, nested=nested, json=json)
        return
    fit = calibration.fit_file(measurements, system, run)
    text = calibration.as_text(fit, source or (str(measurements.name) if measurements else "usc-2024"), system)
    if out is not None:
        files.write(out, text)
    if json:
        print_json(calibration.as_dict(fit, text, out))
    else:
        calibration.print_fit(console(), fit, text, out)


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
        loss_laws.print_fit(console(), fit, text, out, chosen)

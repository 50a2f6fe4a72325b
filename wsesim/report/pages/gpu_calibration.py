"""`wsesim calibrate --gpu`: fits the constants of GPUs, shows how well, and how to use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from wsesim.config.entries import load_gpu_calibration, origins_of
from wsesim.errors import InputError
from wsesim.report.columns import Columns, prose
from wsesim.report.pages.parts import plain_table
from wsesim.report.progress import bar
from wsesim.units import show, unit_of_field
from wsesim.validate.gpu_calibrate import COLLECTIVE_KEYS, KERNEL_KEYS, GPUFit, Residual, as_toml, fit_gpus, words

CALIBRATION = "gpu_kernels"
"""The catalogue entry that the fit starts from."""


def refuse(options: dict[str, object]) -> None:
    """Refuse options that belong to the fit of a wafer-scale system.

    Raises
    ------
    InputError
        Names the first.
    """
    for name, value in options.items():
        if value:
            raise InputError(
                f"--gpu fits to the measurements that ship with wsesim, and {name} {value} belongs to the fit of a "
                "wafer-scale system; leave one of the two out"
            )


def fit_and_text() -> tuple[GPUFit, str]:
    """The fit, and the file that holds it."""
    with bar("fitting") as advance:
        fit = fit_gpus(load_gpu_calibration(CALIBRATION), advance)
    return fit, as_toml(fit, origins_of("calibrations", CALIBRATION))


def residual_table(residuals: Sequence[Residual]) -> Columns:
    """Every measurement, with its error before and after."""
    table = plain_table("row", "use", "|measured", "|before", "|fitted", "|error", "|fitted")
    for one in residuals:
        times = (show(seconds, "s") for seconds in (one.measured_s, one.before_s, one.after_s))
        table.add_row(one.id, one.use[:5], *times, f"{one.before:+.1%}", f"{one.after:+.1%}")
    return table


def as_dict(fit: GPUFit, text: str, out: Path | None) -> dict[str, Any]:
    """What was fitted, how well, and the file that holds it, for programs."""
    keys = (*COLLECTIVE_KEYS, *KERNEL_KEYS)
    return {
        "fitted": list(keys),
        "calibration": {key: getattr(fit.calibration, key) for key in keys},
        "ranges": {key: list(fit.ranges[key]) for key in keys},
        "rows": [asdict(one) for one in fit.residuals],
        "out": None if out is None else str(out),
        "toml": text,
    }


def print_fit(console: Console, fit: GPUFit, text: str, out: Path | None) -> None:
    """What was fitted, how well, and how to use it."""
    table = plain_table("number", "value", "~one standard error")
    for key in (*COLLECTIVE_KEYS, *KERNEL_KEYS):
        unit = unit_of_field(key)
        low, high = (show(end, unit) for end in fit.ranges[key])
        table.add_row(key, show(getattr(fit.calibration, key), unit), f"{low} to {high}")
    console.print(table, "", residual_table(fit.residuals), "")
    followed = "; ".join(words(fit.of_kind(kind)) for kind in ("all-reduce", "step", "block"))
    console.print(prose(f"followed: {followed}. They were fitted and prove nothing", style="bold"))
    if out is None:
        console.print(Text(f"\n{text}"), soft_wrap=True)
    else:
        console.print(prose(f'written to {out}; a GPU run uses it with --set cluster.gpu.calibration="{out}"'))

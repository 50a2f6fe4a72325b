"""Errors of rows that nothing was fitted to, of which the ranges of answers are made: ``cluster_configs/errors``.

``python docs/generate/errors.py cluster_configs/errors/wafers.toml``, or the same of ``gpus.toml``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from wsesim.machines.gpu import rows as gpus
from wsesim.machines.wafer import rows as wafers
from wsesim.machines.wafer.checks import model_shape
from wsesim.validate.gpu_predict import Prediction, simulate_rows
from wsesim.validate.left_out import LeftOut, errors_of, published_left_out
from wsesim.validate.near import run_of


def wafer_errors(found: LeftOut) -> str:
    """The tables of left-out errors of ``cluster_configs/errors/wafers.toml``."""
    written = "written by `python docs/generate/errors.py`"
    told = [(row.id, error) for fold in found.fixed for row, error in zip(fold.rows, fold.errors, strict=True)]
    lines = [f"[rows]   # {written}: predicted / measured rate - 1 by the fit without the row's model"]
    lines += [f'"{name}" = {error:.4f}' for name, error in sorted(told) if error is not None]
    lines += ["", f"[left_out.known_release]   # {written}: ln(measured / predicted time), nested"]
    for model, errors in errors_of(found.nested).items():
        lines.append(f'"{model}" = [{", ".join(f"{error:.4f}" for error in errors)}]')
    lines += ["", *_measured_toml(written)]
    return "\n".join(lines) + "\n"


def _measured_toml(written: str) -> list[str]:
    """What rates were measured on: a run outside of it says so, without reading all rows."""
    rates = [row for row in wafers.published() if row.is_rate]
    lines = []
    for system in sorted({row.system for row in rates}):
        rows = [row for row in rates if row.system == system]
        models = {row.id: run_of(row).model for row in rows}
        numbers = {
            "num_systems": [row.num_systems for row in rows],
            "hidden_size": [models[row.id].hidden_size for row in rows],
            "sequence_length": [row.sequence_length for row in rows],
            "tokens_per_system_and_step": [
                row.global_batch_size // row.num_systems * row.sequence_length for row in rows
            ],
        }
        lines.append(f"[measured.{system}]   # {written}: least and most of the rates that ship")
        lines += [f"{key} = [{min(found)}, {max(found)}]" for key, found in numbers.items()]
        lines += [f"[measured.{system}.releases]   # layers, hidden size, heads, MLP size, key-value heads"]
        fixed: dict[str, set[tuple[int, ...]]] = {}
        for row in rows:
            if row.is_fitted and row.software_release is not None:
                fixed.setdefault(row.software_release, set()).add(model_shape(models[row.id]))
        for release, shapes in sorted(fixed.items()):
            lines.append(f'"{release}" = [{", ".join(str(list(shape)) for shape in sorted(shapes))}]')
        lines.append("")
    return lines[:-1]


def gpu_errors(predictions: Iterable[Prediction]) -> str:
    """The tables of errors of ``cluster_configs/errors/gpus.toml``: of rows that nothing was fitted to."""
    kinds: dict[str, dict[str, list[float]]] = {}
    for one in predictions:
        if one.measurement.use == "validation" and one.kind is not None:
            kinds.setdefault(one.kind.place, {}).setdefault(one.measurement.set, []).append(one.log_error)
    lines = [
        "# Written by `python docs/generate/errors.py`: ln(measured / predicted time) of rows that nothing was fitted to."
    ]
    for key, tables in kinds.items():
        lines.append(f'[left_out."{key}"]')
        lines += [f'"{name}" = [{", ".join(f"{error:.3f}" for error in errors)}]' for name, errors in tables.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    before = file.read_text(encoding="utf-8")
    if file.name == "gpus.toml":
        kept = before.split("# Written by", maxsplit=1)[0]
        found = gpu_errors(simulate_rows(gpus.published(), processes=1))
    else:
        kept = before.split("[left_out.", maxsplit=1)[0].split("[rows]", maxsplit=1)[0]
        found = wafer_errors(published_left_out())
    file.write_text(kept.rstrip() + "\n\n" + found, encoding="utf-8")

"""Reads tables of measurements and log files of the vendor's software.

A table is CSV with a header. Needed are `value` and a model (`model`, or `hidden_size` and
`num_layers`); everything else has a default. Column names of other tables that are in use
are understood as well (`ALIASES`).
"""

from __future__ import annotations

import csv
import io
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.errors import MeasurementError, did_you_mean

COLUMNS = {
    "use": "calibration, validation or context; calibration when left out",
    "set": "name of the set that the row is reported in",
    "id": "unique name of the row",
    "source": "key in sources.toml",
    "model": "catalogue name of the model",
    "hidden_size": "width, where the model is not in the catalogue",
    "num_layers": "blocks, where the model is not in the catalogue",
    "sequence_length": "tokens per sequence; 2048 when left out",
    "global_batch_size": "sequences per step",
    "micro_batch_size": "sequences per system and pass; auto when left out",
    "num_systems": "CS systems; 1 when left out",
    "system": "cs2 or cs3; cs2 when left out",
    "software_release": "release of the vendor's software",
    "metric": "samples_per_s (also: throughput), tokens_per_s, recommended_micro_batch_size or num_lanes",
    "value": "the measurement",
    "notes": "anything",
}
ALIASES = {
    "source_title": "source",
    "d_model": "hidden_size",
    "layers": "num_layers",
    "seq_len": "sequence_length",
    "global_batch_sequences": "global_batch_size",
    "n_systems": "num_systems",
    "release": "software_release",
    "num_csx": "num_systems",
    "batch_size": "global_batch_size",
    "max_sequence_length": "sequence_length",
}
IGNORED = ("kind", "url", "unit", "params")
METRICS = {
    "samples_per_s": "samples_per_s",
    "throughput": "samples_per_s",
    "tokens_per_s": "tokens_per_s",
    "recommended_micro_batch_size": "recommended_micro_batch_size",
    "recommended_micro_batch": "recommended_micro_batch_size",
    "num_lanes": "num_lanes",
}
LAYOUT_METRICS = ("recommended_micro_batch_size", "num_lanes")
"""Metrics of how a model lies on the wafer; they need no simulation."""
USES = ("calibration", "validation", "context")
_HEAD_WIDTHS = (128, 64, 80, 96)


@dataclass(frozen=True)
class Measurement:
    """One published figure and the configuration it was measured in."""

    id: str
    use: str
    set: str
    source: str
    model: dict[str, Any]
    sequence_length: int
    global_batch_size: int
    micro_batch_size: int | str
    num_systems: int
    system: str
    software_release: str | None
    metric: str
    value: float
    notes: str = ""

    @property
    def run_table(self) -> dict[str, Any]:
        """The configuration as a run file would hold it."""
        cluster: dict[str, Any] = {"name": self.system, "num_systems": self.num_systems}
        if self.software_release is not None:
            cluster["software_release"] = self.software_release
        return {
            "name": self.id,
            "model": dict(self.model),
            "training": {
                "sequence_length": self.sequence_length,
                "global_batch_size": self.global_batch_size,
                "micro_batch_size": self.micro_batch_size,
            },
            "cluster": cluster,
        }


def _heads(hidden_size: int) -> int:
    width = next((width for width in _HEAD_WIDTHS if hidden_size % width == 0), hidden_size)
    return hidden_size // width


def _words(label: str) -> str:
    """A model's label without signs, for comparison: ``"GPT-J 6B"`` and ``gpt-j-6b`` are the same."""
    return re.sub(r"[^a-z0-9.]", "", label.lower())


def _encoder(label: str) -> str | None:
    if not label.startswith("bert"):
        return None
    size = "base" if "base" in label else "large"
    return f"bert-{size}" if "pre" in label else f"bert-{size}-classifier"


def _known_model(label: str, hidden_size: int | None, num_layers: int | None) -> str | None:
    """Catalogue name of a model as papers write it; None where the shape has to do."""
    from wsesim.config.loader import load_model

    names = catalogue.names("models")
    plain = _words(label)
    same = [
        name
        for name in names
        if label == name or _words(name) == plain or _words(name) == plain.replace("llama2", "llama2")
    ]
    if same:
        return same[0]
    encoder = _encoder(plain)
    if encoder is not None and hidden_size in (None, 768, 1024):
        return encoder if encoder in names else None
    if hidden_size is None or num_layers is None:
        return None
    family = ("cerebras-gpt", "gpt3") if plain.startswith("gpt3") else ("gpt2",) if plain.startswith("gpt2") else ()
    for name in names:
        if name.startswith(family) and family:
            model = load_model(name)
            if (model.hidden_size, model.num_layers) == (hidden_size, num_layers):
                return name
    return None


def model_table(label: str, hidden_size: int | None, num_layers: int | None, place: str) -> dict[str, Any]:
    """The ``[model]`` table for a label and a shape.

    Raises
    ------
    MeasurementError
        Neither in the catalogue, nor with a width.
    """
    name = _known_model(label, hidden_size, num_layers)
    if name is not None:
        return {"name": name}
    if hidden_size is None:
        hint = did_you_mean(label, catalogue.names("models"))
        raise MeasurementError(
            f"{place}: model {label!r} is not in the catalogue{hint or '; add hidden_size and num_layers'}"
        )
    return {
        "name": label or f"GPT {hidden_size}",
        "hidden_size": hidden_size,
        "num_layers": num_layers or 64,
        "num_attention_heads": _heads(hidden_size),
        "vocab_size": 50_257,
        "max_position_embeddings": 2048,
    }


def _number(row: dict[str, str], key: str, place: str, default: float | None) -> float:
    text = row.get(key, "").strip()
    if not text:
        if default is None:
            raise MeasurementError(f"{place}: {key} is missing; {COLUMNS[key]}")
        return default
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise MeasurementError(f"{place}: {key} is {text!r}; write a plain number") from None
    if not 0 < value < float("inf"):
        raise MeasurementError(f"{place}: {key} is {text}; it must be more than 0")
    return value


def _release(row: dict[str, str]) -> str | None:
    stated = row.get("software_release", "").strip()
    if stated:
        return stated
    match = re.search(r"\bR(\d+(?:\.\d+)+)", row.get("notes", ""))
    return match[1] if match else None


def _measurement(row: dict[str, str], number: int, place: str) -> Measurement:
    metric = row.get("metric", "").strip() or "samples_per_s"
    hidden, depth = (_number(row, key, place, 0) for key in ("hidden_size", "num_layers"))
    length = int(_number(row, "sequence_length", place, 2048))
    systems = int(_number(row, "num_systems", place, 1))
    layout = METRICS[metric] in LAYOUT_METRICS
    batch = int(_number(row, "global_batch_size", place, systems if layout else None))
    micro = row.get("micro_batch_size", "").strip()
    use = row.get("use", "").strip() or "calibration"
    if use not in USES:
        raise MeasurementError(f"{place}: use is {use!r}; write one of {', '.join(USES)}")
    return Measurement(
        id=row.get("id", "").strip() or f"row-{number}",
        use=use,
        set=row.get("set", "").strip() or ("micro-batch" if layout else "all"),
        source=row.get("source", "").strip(),
        model=model_table(row.get("model", "").strip(), int(hidden) or None, int(depth) or None, place),
        sequence_length=length,
        global_batch_size=batch,
        micro_batch_size=int(_number(row, "micro_batch_size", place, 1)) if micro not in ("", "auto") else "auto",
        num_systems=systems,
        system=row.get("system", "").strip().lower().replace("-", "") or "cs2",
        software_release=_release(row),
        metric=METRICS[metric],
        value=_number(row, "value", place, None),
        notes=row.get("notes", "").strip(),
    )


def _header(names: list[str], place: str) -> list[str]:
    header = [ALIASES.get(name.strip(), name.strip()) for name in names]
    for name in header:
        if name not in COLUMNS and name not in IGNORED:
            raise MeasurementError(
                f"{place}: column {name!r} is not known{did_you_mean(name, COLUMNS) or '; known are ' + ', '.join(COLUMNS)}"
            )
    if "value" not in header:
        raise MeasurementError(
            f"{place}: has no column `value`; the first line must name the columns: {', '.join(COLUMNS)}"
        )
    return header


def read_table(path: Path) -> list[Measurement]:
    """Measurements of a CSV file.

    Rows of a metric that is not predicted (compile times, hardware facts) are passed over.

    Raises
    ------
    MeasurementError
        With file and line.
    """
    rows = list(csv.reader(io.StringIO(catalogue.read_text(path), newline="")))
    if not rows:
        raise MeasurementError(f"{path}: is empty; the first line must name the columns: {', '.join(COLUMNS)}")
    header = _header(rows[0], str(path))
    found = []
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise MeasurementError(
                f"{path}: line {number} has {len(cells)} cells, the header {len(header)}; correct the line"
            )
        row = dict(zip(header, cells, strict=True))
        if (row.get("metric", "").strip() or "samples_per_s") in METRICS and row.get("use", "") != "context":
            found.append(_measurement(row, number, f"{path}: line {number}"))
    if not found:
        raise MeasurementError(f"{path}: holds no row that can be used; metrics are {', '.join(METRICS)}")
    return found


_RATE = re.compile(r"Step=(\d+).*?\bRate=([0-9.]+) samples/sec(?:.*?GlobalRate=([0-9.]+) samples/sec)?")


def read_log(path: Path) -> float:
    """Samples per second from a log of the vendor's software.

    The median of the rates between log lines, without the first of them, which contains
    the start of the pipeline.

    Raises
    ------
    MeasurementError
        No line with a rate.
    """
    rates = [float(match[2]) for match in _RATE.finditer(catalogue.read_text(path))]
    if not rates:
        raise MeasurementError(
            f"{path}: holds no line such as `| Train Device=CSX, Step=100, Loss=7.9, Rate=492.40 samples/sec, ...`; "
            "give a log of the vendor's software, or a CSV table"
        )
    steady = rates[1:] if len(rates) > 1 else rates
    value = statistics.median(steady)
    if value <= 0:
        raise MeasurementError(f"{path}: the median rate is {value} samples/sec; give a log of a run that trains")
    return value


def published() -> list[Measurement]:
    """The measurements that ship with wsesim."""
    return read_table(catalogue.published() / "cerebras.csv")

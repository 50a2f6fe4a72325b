"""Reads tables of measurements and log files of the vendor's software.

A table is CSV with a header. Needed are `value` and a model (`model`, or `hidden_size` and
`num_layers`); everything else has a default. Column names of other tables that are in use
are understood as well (`ALIASES`).
"""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.errors import MeasurementError, did_you_mean
from wsesim.machines.csv_table import Row, read_rows

COLUMNS = {
    "use": "calibration when left out; validation, leave-one-out, small-step, unexplained, shown or context",
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
    "mode": "train or evaluation; train when left out",
    "metric": "samples_per_s (also: throughput), tokens_per_s, recommended_micro_batch_size, forced_micro_batch_size or num_lanes",
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
    "forced_micro_batch_size": "forced_micro_batch_size",
    "num_lanes": "num_lanes",
}
LAYOUT_METRICS = ("recommended_micro_batch_size", "forced_micro_batch_size", "num_lanes")
"""Metrics of how a model lies on the wafer; they need no simulation."""
USES = {
    "calibration": "numbers are fitted to it",
    "validation": "never fitted",
    "leave-one-out": "fitted, and reported with the error of a fit without its model",
    "small-step": "never fitted: streams and latency are nearly all of the step",
    "unexplained": "shown, neither fitted nor scored; the note says what is known",
    "shown": "shown, neither fitted nor scored: the source does not say on which system",
    "context": "passed over",
}
FITTED = ("calibration", "leave-one-out")
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
    place: str = ""
    mode: str = "train"
    table: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def is_fitted(self) -> bool:
        """Whether numbers are fitted to it."""
        return self.use in FITTED

    @property
    def is_rate(self) -> bool:
        """Whether it needs a simulation; others are of how a model lies on the wafer."""
        return self.metric not in LAYOUT_METRICS

    @property
    def run_table(self) -> dict[str, Any]:
        """The configuration as a run file would hold it; a log brings that of its own run file."""
        if self.table is not None:
            return self.table
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
                "mode": self.mode,
            },
            "cluster": cluster,
        }


def _heads(hidden_size: int) -> int:
    width = next((width for width in _HEAD_WIDTHS if hidden_size % width == 0), hidden_size)
    return hidden_size // width


def _words(label: str) -> str:
    """A model's label without signs, for comparison: ``"GPT-J 6B"`` and ``gpt-j-6b`` are the same."""
    return re.sub(r"[^a-z0-9.]", "", label.lower())


OTHER_NAMES = {
    "bloom": "bloom-176b",
    "gpt2small": "gpt2", "gpt2base": "gpt2", "gpt2117m": "gpt2", "gpt2124m": "gpt2",
    "gpt2345m": "gpt2-medium", "gpt2355m": "gpt2-medium", "gpt2762m": "gpt2-large", "gpt2774m": "gpt2-large",
    "gpt21.5b": "gpt2-xl", "gpt21542m": "gpt2-xl", "gpt21558m": "gpt2-xl",
    "gpt3small": "gpt3-125m", "gpt3medium": "gpt3-350m", "gpt3large": "gpt3-760m", "gpt3xl": "gpt3-1.3b",
    "gpt3": "gpt3-175b", "llama30b": "llama-33b",
}  # fmt: skip
"""What papers call a model, without signs, where that is not the catalogue's name."""
_CLASSIFIER_MARKS = ("classif", "sst", "mnli", "glue", "finetun")
_FEWEST_LETTERS = 4


def _encoder(label: str, hidden_size: int | None) -> str | None:
    """BERT by size and task; pre-training where the label names none."""
    if not label.startswith("bert"):
        return None
    size = next(
        (size for size in ("base", "large") if size in label), {768: "base", 1024: "large"}.get(hidden_size or 0)
    )
    task = "-classifier" if any(mark in label for mark in _CLASSIFIER_MARKS) else ""
    return None if size is None else f"bert-{size}{task}"


def _named_model(label: str, hidden_size: int | None) -> str | None:
    """Catalogue name that a label stands for."""
    names = catalogue.names("models")
    words = {_words(name): name for name in names} | OTHER_NAMES
    without_organisation = label.rsplit("/", 1)[-1] if re.fullmatch(r"[\w.-]+/[\w.-]+", label) else label
    short = re.split(r"[(,]", without_organisation)[0]
    encoder = _encoder(_words(label), hidden_size)
    if encoder is not None and label not in names:
        return encoder
    for text in (label, without_organisation, short, re.sub(r"(?i)[ _-]hf$", "", short)):
        if text in names:
            return text
        if _words(text) in words:
            return words[_words(text)]
    family = re.compile(re.escape(_words(short)) + r"\d+[a-z0-9.]*")  # "GPT-J" is gpt-j-6b, there is no other
    is_family = len(_words(short)) >= _FEWEST_LETTERS and _words(short)[-1].isalpha()
    begun = [name for name in names if is_family and family.fullmatch(_words(name))]
    return begun[0] if len(begun) == 1 else None


def _known_model(label: str, hidden_size: int | None, num_layers: int | None) -> str | None:
    """Catalogue name of a model as papers write it, if its shape is the stated one; None where the shape has to do."""
    from wsesim.config.loader import load_model

    def fits(name: str) -> bool:
        model = load_model(name)
        return hidden_size in (None, model.hidden_size) and num_layers in (None, model.num_layers)

    named = _named_model(label, hidden_size)
    if named is not None and fits(named):
        return named
    if hidden_size is None or num_layers is None:
        return None
    plain = _words(label)
    family = ("cerebras-gpt", "gpt3") if plain.startswith("gpt3") else ("gpt2",) if plain.startswith("gpt2") else ()
    return next((name for name in catalogue.names("models") if family and name.startswith(family) and fits(name)), None)


def _other_shape(name: str, hidden_size: int | None, num_layers: int | None, place: str) -> MeasurementError:
    from wsesim.config.loader import load_model

    model = load_model(name)
    return MeasurementError(
        f"{place}: model {name} has hidden_size {model.hidden_size} and num_layers {model.num_layers}, but the row states "
        f"{hidden_size or 'none'} and {num_layers or 'none'}; correct them, or leave them out"
    )


def model_table(
    label: str,
    hidden_size: int | None,
    num_layers: int | None,
    place: str,
    *,
    sequence_length: int = 2048,
    depth_matters: bool = True,
) -> dict[str, Any]:
    """The ``[model]`` table for a label and a shape.

    A label that the catalogue does not know is a GPT of the stated width and depth.

    Raises
    ------
    MeasurementError
        Neither in the catalogue, nor with a shape; or with another shape than in the catalogue.
    """
    name = _known_model(label, hidden_size, num_layers)
    if name is not None:
        return {"name": name}
    named = _named_model(label, hidden_size)
    if named is not None and (named == label or hidden_size is None or not named.startswith("gpt")):
        raise _other_shape(named, hidden_size, num_layers, place)
    if hidden_size is None or (num_layers is None and depth_matters):
        hint = did_you_mean(label, catalogue.names("models"))
        remedy = "; add num_layers" if hidden_size else "; add hidden_size and num_layers"
        raise MeasurementError(f"{place}: model {catalogue.value_shown(label)} is not in the catalogue{hint or remedy}")
    return {
        "name": label or f"GPT {hidden_size}",
        "hidden_size": hidden_size,
        "num_layers": num_layers or 64,
        "num_attention_heads": _heads(hidden_size),
        "vocab_size": 50_257,
        "max_position_embeddings": max(2048, sequence_length),
    }


def _with_positions(table: dict[str, Any], sequence_length: int) -> dict[str, Any]:
    """A model with more learned positions than it was published with, where a measurement had longer sequences."""
    from wsesim.config.loader import load_model

    if len(table) > 1:
        return table
    model = load_model(table["name"])
    too_few = (
        model.position_embedding == "learned" and (model.max_position_embeddings or sequence_length) < sequence_length
    )
    return table | ({"max_position_embeddings": sequence_length} if too_few else {})


def _release(row: Row) -> str | None:
    from wsesim.config.cluster import release_key

    stated = row.text("software_release")
    if stated:
        release_key(stated, f"{row.place}: software_release")
        return stated
    match = re.search(r"\bR(\d+(?:\.\d+)+)", row.text("notes"))
    return match[1] if match else None


def _measurement(row: Row) -> Measurement:
    place = row.place
    metric = row.text("metric", "samples_per_s")
    if metric not in METRICS:
        raise MeasurementError(
            f"{place}: metric {catalogue.value_shown(metric)} is not known"
            f"{did_you_mean(metric, METRICS) or '; known are ' + ', '.join(METRICS) + ', or mark the row as context'}"
        )
    hidden, depth = row.count("hidden_size", 0), row.count("num_layers", 0)
    length = row.count("sequence_length", 2048)
    systems = row.count("num_systems", 1)
    layout = METRICS[metric] in LAYOUT_METRICS
    batch = row.count("global_batch_size", systems if layout else None)
    use = row.choice("use", tuple(USES), "calibration")
    system = row.text("system").lower().replace("-", "") or "cs2"
    if system not in catalogue.names("clusters"):
        raise MeasurementError(f"{place}: system is {catalogue.value_shown(row.cells['system'])}; write cs2 or cs3")
    table = model_table(
        row.text("model"), hidden or None, depth or None, place, sequence_length=length, depth_matters=not layout
    )
    return Measurement(
        id=row.text("id", f"row-{row.number}"),
        use=use,
        set=row.text("set", "micro-batch" if layout else "all"),
        source=row.text("source"),
        model=_with_positions(table, length) if row.text("sequence_length") else table,
        sequence_length=length,
        global_batch_size=batch,
        micro_batch_size=row.count("micro_batch_size") if row.text("micro_batch_size", "auto") != "auto" else "auto",
        num_systems=systems,
        system=system,
        software_release=_release(row),
        metric=METRICS[metric],
        value=row.real("value"),
        notes=row.text("notes"),
        place=place,
        mode=row.choice("mode", ("train", "evaluation"), "train"),
    )


def read_table(path: Path) -> list[Measurement]:
    """Measurements of a CSV file.

    Rows that are marked as context (compile times, hardware facts) are passed over.
    """
    rows = read_rows(path, COLUMNS, ("value",), ALIASES, IGNORED)
    found = [_measurement(row) for row in rows if row.text("use") != "context"]
    if not found:
        raise MeasurementError(f"{path}: holds no row that can be used; metrics are {', '.join(METRICS)}")
    return found


LARGEST_LOG_BYTES = 200_000_000
LONGEST_LINE = 2000
_RATE = re.compile(r"Step=[0-9]{1,18}\b[^\n]*?\bRate=([0-9]{1,12}(?:\.[0-9]{0,12})?) samples/sec")


def read_log(path: Path) -> float:
    """Samples per second from a log of the vendor's software.

    The median of the rates between log lines, without the first of them, which contains
    the start of the pipeline. Lines of evaluations do not count.

    Raises
    ------
    MeasurementError
        No line with a rate.
    """
    text = catalogue.read_text(path, LARGEST_LOG_BYTES, "replace")
    lines = (line[:LONGEST_LINE] for line in text.split("\n") if "Rate=" in line and "Eval" not in line)
    rates = [float(match[1]) for match in map(_RATE.search, lines) if match]
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

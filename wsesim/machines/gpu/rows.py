"""Reads tables of measured training steps on GPU clusters.

A table is CSV with a header. Needed are `model`, `cluster`, `num_gpus`, `global_batch_size` and
`value`. A model of the catalogue needs no shape; what a row states is laid over the catalogue's.
Cells that are empty say nothing, and mean what they mean when a run file leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

from wsesim.config import catalogue
from wsesim.errors import MeasurementError
from wsesim.machines.csv_table import Row, read_rows
from wsesim.machines.gpu.parallelism import Operator

NEEDED = ("model", "cluster", "num_gpus", "global_batch_size", "value")
COLUMNS = {
    "id": "unique name of the row",
    "set": "name of the set that the row is reported in",
    "use": "calibration, validation, or shown: predicted and not scored; validation when left out",
    "source": "key in sources.toml",
    "model": "catalogue name of the model, or any name where the shape is given",
    "num_layers": "blocks",
    "hidden_size": "width",
    "num_attention_heads": "attention heads",
    "num_key_value_heads": "heads of keys and values",
    "intermediate_size": "width of the MLP",
    "gated_mlp": "true or false",
    "vocab_size": "rows of the token table, padding included",
    "position_embedding": "learned, rotary, alibi or none",
    "sequence_length": "tokens per sequence; 2048 when left out",
    "cluster": "catalogue name of the cluster",
    "num_gpus": "GPUs that the job used",
    "tensor_parallel_size": "GPUs that share each matrix, or auto",
    "pipeline_parallel_size": "stages of layers, or auto",
    "data_parallel_size": "copies of the model, or auto",
    "context_parallel_size": "GPUs that share each sequence, or auto",
    "expert_parallel_size": "GPUs that share the experts of a mixture, or auto",
    "virtual_pipeline_size": "model chunks of one stage, or auto",
    "zero_stage": "0, 1, 2, 3 or auto",
    "shard_group_size": "GPUs that share with zero_stage, or auto",
    "software_profile": "what the software did: a name of `wsesim list software`; that of the cluster when left out",
    "software": "switches of it that differ, as: attention = unfused; step_host_s = 0.5 s",
    "micro_batch_size": "sequences per copy of the model and pass; auto when left out",
    "global_batch_size": "sequences per step",
    "precision": "bfloat16, float16, float32, fp8, mxfp8 or nvfp4; bfloat16 when left out",
    "activation_recompute": "none, selective, full or auto; every 2, blocks 5, or operators as: attention + mlp",
    "sequence_parallel": "true, false or auto",
    "attention": "flash, flash_1, unfused, or a kernel by name",
    "overlap_gradient_reduction": "true or false",
    "overlap_pipeline_communication": "true or false",
    "fused_gradient_accumulation": "true or false",
    "reduction_precision": "16bit, 32bit, or 32bit_with_bfloat16",
    "account_for_embedding_and_loss": "true or false",
    "metric": "iteration_s or tokens_per_s_per_gpu; iteration_s when left out",
    "value": "the measurement",
    "published_metric": "what the source prints, where `value` was computed from it",
    "published_value": "the number that the source prints",
    "note": "anything",
}
METRICS = ("iteration_s", "tokens_per_s_per_gpu")
LAYER_METRICS = ("layer_forward_s", "layer_backward_s")
"""Of one block and micro-batch; in a table of their own, and only to fit kernels to."""
USES = ("calibration", "validation", "shown")

_SHAPE = (
    *("num_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size"),
)
_SIZES = (
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
    *("context_parallel_size", "expert_parallel_size", "virtual_pipeline_size", "shard_group_size"),
)
_WORDS = ("attention", "reduction_precision")
_SWITCHES = (
    *("overlap_gradient_reduction", "overlap_pipeline_communication"),
    *("fused_gradient_accumulation", "account_for_embedding_and_loss"),
)
RECOMPUTED_BLOCKS = ("every", "blocks")
_FLAGS = {"true": True, "false": False}
_STAGES = {"0": 0, "1": 1, "2": 2, "3": 3, "auto": "auto"}


@dataclass(frozen=True)
class GPUMeasurement:
    """One published training step and the configuration it was measured in.

    Attributes
    ----------
    model, training, parallelism
        The tables of a run file, as far as the row states them.
    cluster
        Catalogue name.
    num_gpus
        GPUs that the job used. [-]
    software
        Keys of the ``[cluster]`` table about software.
    metric, value
        What was measured, in the unit of the metric's name.
    published_metric, published_value
        What the source prints, where `value` was computed from it by the source's own formula.
    place
        File and line.
    """

    id: str
    set: str
    use: str
    source: str
    model: dict[str, Any]
    training: dict[str, Any]
    cluster: str
    num_gpus: int
    parallelism: dict[str, Any]
    metric: str
    value: float
    published_metric: str = ""
    published_value: float | None = None
    note: str = ""
    place: str = ""
    software: dict[str, Any] = field(default_factory=dict)

    @property
    def profile(self) -> str:
        """Software that the row names; empty where it leaves that to the cluster."""
        return str(self.software.get("software_profile", ""))

    @property
    def is_fitted(self) -> bool:
        """Whether constants were fitted to it, so that its error proves nothing."""
        return self.use == "calibration" and self.set in fitted_sets()

    @property
    def tokens(self) -> int:
        """Tokens of one step. [-]"""
        return int(self.training["global_batch_size"] * self.training["sequence_length"])

    @property
    def iteration_s(self) -> float:
        """Measured time of one step. [s]"""
        if self.metric == "tokens_per_s_per_gpu":
            return self.tokens / (self.value * self.num_gpus)
        return self.value


def run_table(row: GPUMeasurement) -> dict[str, Any]:
    """The configuration as a run file would hold it."""
    return {
        "name": row.id,
        "model": dict(row.model),
        "training": dict(row.training),
        "cluster": {"name": row.cluster, "num_gpus": row.num_gpus} | row.software,
        "parallelism": dict(row.parallelism),
    }


def _size(row: Row, key: str) -> int | str:
    return "auto" if row.text(key) == "auto" else row.count(key)


def _stated(row: Row, keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if row.text(key)]


def _model(row: Row) -> dict[str, Any]:
    table: dict[str, Any] = {"name": row.text("model", None)}
    table |= {key: row.count(key) for key in _stated(row, _SHAPE)}
    table |= {key: row.text(key) for key in _stated(row, ("position_embedding",))}
    return table | {key: _FLAGS[row.choice(key, _FLAGS, None)] for key in _stated(row, ("gated_mlp",))}


def _training(row: Row) -> dict[str, Any]:
    return {
        "sequence_length": row.count("sequence_length", 2048),
        "global_batch_size": row.count("global_batch_size"),
        "micro_batch_size": _size(row, "micro_batch_size") if row.text("micro_batch_size") else "auto",
        "precision": row.text("precision", "bfloat16"),
    }


def _recompute(text: str) -> str | dict[str, Any]:
    """What is computed again, as ``activation_recompute`` of a run file says it.

    Examples
    --------
    >>> _recompute("full"), _recompute("every 2"), _recompute("attention + mlp")
    ('full', {'every': 2}, {'operators': ['attention', 'mlp']})
    """
    word, _, number = text.partition(" ")
    if word in RECOMPUTED_BLOCKS and number.isdecimal():
        return {word: int(number)}
    names = [one.strip() for one in text.split("+")]
    return {"operators": names} if len(names) > 1 or text in get_args(Operator) else text


def _parallelism(row: Row) -> dict[str, Any]:
    table: dict[str, Any] = {key: _size(row, key) for key in _stated(row, _SIZES)}
    table |= {key: _STAGES[row.choice(key, _STAGES, None)] for key in _stated(row, ("zero_stage",))}
    table |= {key: row.text(key) for key in _stated(row, _WORDS)}
    table |= {key: _recompute(row.text(key)) for key in _stated(row, ("activation_recompute",))}
    switches: dict[str, dict[str, bool | str]] = {"sequence_parallel": {**_FLAGS, "auto": "auto"}}
    switches |= {key: dict(_FLAGS) for key in _SWITCHES}
    for key, known in switches.items():
        table |= {key: known[row.choice(key, known, None)]} if row.text(key) else {}
    return table


def _software(row: Row) -> dict[str, Any]:
    """What a row says of its software: a profile, and switches that differ."""
    table: dict[str, Any] = {"software_profile": row.text("software_profile")} if row.text("software_profile") else {}
    switches: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in row.text("software").split(";"))):
        key, equals, value = (one.strip() for one in part.partition("="))
        if not equals:
            raise MeasurementError(
                f"{row.place}: software has {catalogue.value_shown(part)}; write key = value, parted by ;"
            )
        switches[key] = _FLAGS.get(value, value)
    return table | ({"software": switches} if switches else {})


def _measurement(row: Row, metrics: tuple[str, ...]) -> GPUMeasurement:
    return GPUMeasurement(
        id=row.text("id", f"row-{row.number}"),
        set=row.text("set", "all"),
        use=row.choice("use", USES, "validation"),
        source=row.text("source"),
        model=_model(row),
        training=_training(row),
        cluster=row.text("cluster", None),
        num_gpus=row.count("num_gpus"),
        parallelism=_parallelism(row),
        metric=row.choice("metric", metrics, metrics[0]),
        value=row.real("value"),
        published_metric=row.text("published_metric"),
        published_value=row.real("published_value") if row.text("published_value") else None,
        note=row.text("note"),
        place=row.place,
        software=_software(row),
    )


def read_steps(path: Path, metrics: tuple[str, ...] = METRICS) -> tuple[GPUMeasurement, ...]:
    """Measurements of a CSV file.

    Raises
    ------
    MeasurementError
        With file and line.
    """
    found = tuple(_measurement(row, metrics) for row in read_rows(path, COLUMNS, NEEDED))
    if not found:
        raise MeasurementError(f"{path}: holds no row below the header; add one line per measurement")
    seen: dict[str, str] = {}
    for row in found:
        if row.id in seen:
            raise MeasurementError(
                f"{row.place}: id {catalogue.value_shown(row.id)} is that of {seen[row.id]}, too; rename one"
            )
        seen[row.id] = row.place
    return found


def published() -> tuple[GPUMeasurement, ...]:
    """The measurements of GPU clusters that ship with wsesim."""
    return read_steps(catalogue.published() / "gpus.csv")


@cache
def fitted_sets() -> frozenset[str]:
    """Published sets of which some rows were fitted; to steps of one's own nothing is."""
    return frozenset(row.set for row in published() if row.use == "calibration")


def published_layers() -> tuple[GPUMeasurement, ...]:
    """Measured times of single blocks that ship with wsesim."""
    return read_steps(catalogue.published() / "gpu_layers.csv", LAYER_METRICS)

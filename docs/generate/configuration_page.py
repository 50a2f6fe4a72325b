"""Writes ``docs/configuration.md``: ``python docs/generate/configuration_page.py docs/configuration.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wsesim.config.cluster import JobPriceSpec
from wsesim.config.goal import CandidateSpec, GoalSpec, LimitsSpec, PortfolioJobSpec, PortfolioSpec
from wsesim.config.json_schema import meanings, specs_of
from wsesim.config.layering import NAMED
from wsesim.config.model import ComputeLawSpec, LawSpec, LossLawSpec, ModelSpec, TaskSpec
from wsesim.config.spec import STATUSES, Spec
from wsesim.config.training import GPUReliabilitySpec, JobSpec, ReliabilitySpec, TrainingSpec
from wsesim.machines.gpu.parallelism import ParallelismSpec, RecomputeSpec
from wsesim.machines.gpu.spec import (
    AttentionKernelSpec,
    AttentionKernelsSpec,
    GPUCalibrationSpec,
    GPUClusterSpec,
    GPUSoftwareSpec,
    GPUSpec,
    NVLinkSpec,
    ProductSpec,
)
from wsesim.machines.wafer.spec import (
    CalibrationSpec,
    ClusterSpec,
    ExceptionSpec,
    InputSpec,
    MemoryXSpec,
    SimulationSpec,
    SwarmXSpec,
    SystemSpec,
    WaferSpec,
)
from wsesim.report.markdown import markdown_table
from wsesim.units import example_of

INTRODUCTION = """\
# Configuration

Every key of every file, with what it takes, its default and its meaning. This page is written by
`python docs/generate/configuration_page.py docs/configuration.md` from the code that reads the files; a test holds it to be
current. The same as JSON Schema, for editors: `wsesim schema` ([how to](how-to/editors.md)).

All files are [TOML](https://toml.io). A key that is not on this page is refused, with the nearest known key. Any key of a run
can be set on the command line: `--set cluster.num_systems=64`. A default "needed" is asked of a file that stands alone; a
table that names a catalogue entry, or lies over another file, may leave it out. No default at all: the key is optional.

## Numbers and units

A bare number is in the unit that the end of its key says, always SI: `_s` seconds, `_bytes` bytes (never bits),
`_bytes_per_s`, `_flop_per_s`, `_hz`, `_w` watts, `_usd`. A string may use another unit of the same kind:
"""

ORIGINS = """\
Prefixes are k, M, G, T, P, E (powers of 1000), for bytes and bits also Ki, Mi, Gi, Ti, Pi (powers of 1024), for seconds
also m, u, n. `[-]` is a plain number, for which `"20 %"` is 0.2, `"1.5T"` 1.5e12 and
`"4M tokens"` 4e6; in a length, `"8k"` is 8,192 tokens.
Units may be in any case where only one can be meant, words always: `"BF16"` is `"bfloat16"`, `"AdamW"` `"adamw"`.

In run files and in all files of the catalogue a value may be a table that says where it comes from:

```
power_w = { value = "23 kW", source = "my-data-sheet", status = "vendor", range = ["15 kW", "23 kW"], note = "at most" }
```

`source` is a key of `cluster_configs/sources.toml`, or words of your own; `range` is the lowest and highest value that is
possible. A `source` and `status` at the top of a file are for all its numbers. `status` is one of these:
"""

RUN_FILE = """\
## Run file

What is trained, how, and on which cluster: the tables `[model]` and `[cluster]`, nearly always `[training]`, on GPUs also
`[parallelism]`, and `[job]` for `wsesim lifetime`. `name` is the title of the run. `extends` names another run, a file or a
catalogue entry, whose keys this file overrides. `[run]` with a `path` to arguments of Megatron-LM gives the model, the batch and
the plan ([model files](model-files.md#megatron-lm)).
"""
UNITS_SHOWN = (
    *(("bytes", "B, bytes, b, bit"), ("bytes/s", "B/s, b/s, Bps, bps"), ("FLOP", "FLOP"), ("FLOP/s", "FLOP/s, FLOPS")),
    *(("Hz", "Hz"), ("s", "s, min, h, d, days, w, weeks, a, years"), ("W", "W"), ("1/s", "1/s, samples/s")),
    *(("USD", "USD"), ("USD/h", "USD/h"), ("USD/kWh", "USD/kWh"), ("kg/kWh", "kg/kWh, g/kWh")),
)
_GUARDS = (1e-15, 1e-9, 1e30)
"""Bounds that keep products from overflowing; no machine comes near them, and no reader needs them."""


class Section(NamedTuple):
    """A table of keys: its heading, what is said before it, and the spec that reads it."""

    title: str
    text: str
    spec: type[Spec]
    level: int = 3


SECTIONS = (
    Section(
        "[model]",
        "`name` of a catalogue entry (`wsesim list models`), or `path` of a [model file](model-files.md), or of the folder that "
        "holds a `config.json`, or all fields of a model, without a name if you like. Fields beside `name` or `path` override it. "
        "An option or a file that names another model takes nothing over from the one below. The same keys make a file of "
        "`cluster_configs/models/`.",
        ModelSpec,
    ),
    Section("[training]", "", TrainingSpec),
    Section(
        "[cluster]",
        "A wafer-scale cluster: `name` of a catalogue entry, and keys that override it. The same keys make a file of "
        "`cluster_configs/clusters/`.",
        ClusterSpec,
    ),
    Section("[cluster.system]", "Also a file of `cluster_configs/systems/`.", SystemSpec),
    Section("[cluster.system.wafer]", "", WaferSpec),
    Section(
        "[cluster.system.calibration]",
        "Also a file of `cluster_configs/calibrations/`, which `wsesim calibrate` writes.",
        CalibrationSpec,
    ),
    Section("[cluster.memoryx]", "", MemoryXSpec),
    Section("[cluster.swarmx]", "", SwarmXSpec),
    Section("[cluster.input]", "", InputSpec),
    Section("[cluster.simulation]", "", SimulationSpec),
    Section(
        "[[cluster.exceptions]]",
        "Systems or links that differ from the rest; any number of these tables. Each needs `systems` or `nodes`.",
        ExceptionSpec,
    ),
    Section(
        "[[cluster.job_prices]]",
        "What a provider asks for whole jobs, each trained on 20 tokens for each parameter; also on GPU clusters.",
        JobPriceSpec,
    ),
    Section("[cluster.reliability]", "", ReliabilitySpec),
    Section(
        "GPU cluster",
        "The table `[cluster]` of a GPU run: `name` of a catalogue entry, and keys that override it. The same keys make a file "
        "of `cluster_configs/clusters/`.",
        GPUClusterSpec,
    ),
    Section("[cluster.gpu]", "Also a file of `cluster_configs/gpus/`.", GPUSpec),
    Section("[cluster.gpu.calibration]", "Also a file of `cluster_configs/calibrations/`.", GPUCalibrationSpec),
    Section(
        "[cluster.gpu.calibration.products_16bit]", "The same keys for `products_fp8` and the others.", ProductSpec
    ),
    Section("[cluster.gpu.calibration.attention]", "", AttentionKernelsSpec),
    Section("[cluster.gpu.calibration.attention.cudnn]", "The same keys for the other kernels.", AttentionKernelSpec),
    Section("[cluster.gpu.calibration.nvlink]", "", NVLinkSpec),
    Section(
        "[cluster.software]",
        "Also a file of `cluster_configs/software/`, which `cluster.software_profile` names (`wsesim list software`).",
        GPUSoftwareSpec,
    ),
    Section("[cluster.reliability] of GPUs", "", GPUReliabilitySpec),
    Section(
        "[parallelism]",
        'GPU runs: this table, or `parallelism = "auto"`. What is `"auto"` is searched: a fast plan that fits. The word in '
        "place of the table also opens the keys whose default is 1.",
        ParallelismSpec,
    ),
    Section("[parallelism.activation_recompute]", "In place of a word.", RecomputeSpec),
    Section(
        "[job]", "What a job takes besides its steps, for `wsesim lifetime`; what is left out takes no time.", JobSpec
    ),
    Section(
        "Goal file",
        "For `wsesim plan`: a model, or a target loss or accuracy, and the clusters that may be used.",
        GoalSpec,
        2,
    ),
    Section("[limits]", "", LimitsSpec),
    Section("[[candidates]]", "", CandidateSpec),
    Section(
        "Law",
        "A file of `cluster_configs/laws/`: loss by parameters and tokens or by compute, and zero-shot accuracy by loss. "
        "`wsesim calibrate --loss` writes one.",
        LawSpec,
        2,
    ),
    Section("[loss]", "", LossLawSpec),
    Section("[compute]", "", ComputeLawSpec),
    Section("[tasks.NAME]", "", TaskSpec),
    Section("Portfolio file", "For `wsesim portfolio`: jobs that share a cluster.", PortfolioSpec, 2),
    Section("[[jobs]]", "Each has one of `run`, `model` and `duration_s`.", PortfolioJobSpec),
)


def heading(title: str, level: int) -> str:
    """A heading; names of tables as code."""
    name, bracket, rest = title.rpartition("]")
    return f"{'#' * level} " + (f"`{name}]`{rest}" if bracket else title)


def anchor(title: str) -> str:
    """Where a heading is found."""
    return "".join(sign for sign in title.lower() if sign.isalnum() or sign in "-_ ").replace(" ", "-")


def _bounds(raw: dict[str, Any]) -> str:
    """Limits of a number, in words."""
    at_least, above = raw.get("minimum"), raw.get("exclusiveMinimum")
    at_most, below = raw.get("maximum"), raw.get("exclusiveMaximum")
    if raw["type"] == "integer" and above is not None:
        at_least, above = above + 1, None
    if at_least in _GUARDS:
        at_least = None
    low = (
        f"from {_number(at_least)}" if at_least is not None else f"above {_number(above)}" if above is not None else ""
    )
    if at_most is not None and at_most not in _GUARDS:
        return f"{low} to {_number(at_most)}"
    return f"{low} to below {_number(below)}" if below is not None else low


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**6 else f"{value:g}"


def _link(spec: type[Spec], text: str) -> str:
    section = next(one for one in SECTIONS if one.spec is spec)
    return f"[{text}](#{anchor(section.title)})"


def _takes(spec: type[Spec], name: str, raw: dict[str, Any], unit: str) -> str:
    """What a key takes, in words."""
    inner = next(specs_of(spec.model_fields[name].annotation), None)
    if inner is not None:
        if raw.get("type") == "array":
            return _link(inner, "tables")
        if name in NAMED:
            return f"name, file or {_link(inner, 'table')}"
        words = [one for one in raw.get("anyOf", []) if "$ref" not in one and one.get("type") != "null"]
        return ", ".join([*(part for one in words for part in _words(name, one, unit)), _link(inner, "table")])
    if name in ("earliest_start", "deadline"):
        return "duration [s], date"
    options = [one for one in raw.get("anyOf", [raw]) if one.get("type") != "null"]
    return ", ".join(part for one in options for part in _words(name, one, unit))


def _words(name: str, raw: dict[str, Any], unit: str) -> Iterator[str]:
    kind = raw.get("type")
    if kind in ("integer", "number"):
        bounds = _bounds(raw)
        yield f"{'whole ' if kind == 'integer' else ''}number{' ' + bounds if bounds else ''} [{unit}]"
    elif kind == "array":
        yield "list of " + ", ".join(_words(name, raw["items"], unit)).replace("number", "numbers")
    elif kind == "boolean":
        yield "true, false"
    elif kind == "object":
        held = next((one for one in SECTIONS if one.title == f"[{name}]"), None)
        yield f"[table](#{anchor(held.title)})" if held else "table of numbers above 0 [-]"
    elif raw.get("format") == "date":
        yield "date"
    else:
        words = [raw["const"]] if "const" in raw else raw.get("enum", ())
        yield from (f'`"{word}"`' for word in words) if words else ("text",)


def _default(spec: type[Spec], name: str) -> str:
    field = spec.model_fields[name]
    value = field.default
    if field.is_required():
        return "needed"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"{value:,g}" if isinstance(value, int | float) else ""


def table(spec: type[Spec]) -> str:
    """All keys of a spec."""
    raw = spec.model_json_schema()["properties"]
    rows = [
        [f"`{name}`", _takes(spec, name, raw[name], unit), _default(spec, name), text.replace("``", "`")]
        for name, (text, unit) in ((name, meanings(spec)[name]) for name in spec.model_fields)
    ]
    return markdown_table(["key", "takes", "default", "meaning"], rows)


def _section(section: Section) -> str:
    parts = [heading(section.title, section.level), section.text, table(section.spec)]
    return "\n\n".join(part for part in parts if part) + "\n"


def page() -> str:
    """The whole page."""
    units = markdown_table(
        ["unit", "may be written in", "for example"],
        [[unit, names, f"`{example_of(unit)}`"] for unit, names in UNITS_SHOWN],
    )
    statuses = markdown_table(["status", "meaning"], [[f"`{name}`", text] for name, text in STATUSES.items()])
    parts = [INTRODUCTION, units + "\n", ORIGINS, statuses + "\n", RUN_FILE, *map(_section, SECTIONS)]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

"""Writes ``docs/validation.md``: ``python docs/generate/validation_page.py docs/validation.md``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from wsesim.config import catalogue
from wsesim.config.entries import load_system
from wsesim.machines.wafer.rows import Measurement, published
from wsesim.machines.wafer.system import CalibrationSpec
from wsesim.report.markdown import markdown_table
from wsesim.report.pages import gpu_validation, gpu_validation_part, loss_laws
from wsesim.report.pages.validation import set_cells
from wsesim.units import show, unit_of_field
from wsesim.validate.calibrate import FEWEST_ROWS, RATE_KEYS
from wsesim.validate.gpu_predict import Prediction as GPUPrediction
from wsesim.validate.losses import COMPUTE_TOLERANCE, LOSS_TOLERANCE, predict_losses
from wsesim.validate.predict import TOLERANCES, Prediction, predict_all, summarize

INTRODUCTION = """\
# Validation

What was measured, what wsesim says, and the difference. This page is written by
`python docs/generate/validation_page.py docs/validation.md` from the tables in `benchmarks/published`
and the shipped calibrations; a test holds it to be current. `wsesim validate` prints the same numbers.
Wafer-scale systems come first, [GPU clusters](#gpu-clusters) behind them.

How to read it:

- **calibration** rows were used to fit a number. They show how well the model can follow the data, and prove nothing.
- **validation** rows were never used in a fit. Only they say how far to trust a prediction.
- Error is (predicted - measured) / measured, on samples per second. Sets are never pooled.
- Tolerance is mean / worst. `wsesim validate` exits with 1 when a set misses it.
- The vendor's own compile-time estimate is stated by the vendor to be 10 to 25 % off.
"""

NOT_EXPLAINED = """\
## What is not explained

- **Few independent validation rows.** Seven rows of two models carry the validation, all on one CS-2. This table holds
  no measured scaling beyond two systems, one row of CS-3, and no sparse run. Predictions there are extrapolations of
  the mechanism, not tested ones.
- **Release 2.1 disagrees with itself** by about 8 %: BERT-large looks 4 % faster, LLaMA-7B 4 % slower than one
  common factor allows. The extra element-wise work of a gated MLP, rotary positions and RMS norms is not modelled
  apart from its working set, and would act in this direction.
- **BERT-large at 128 sequences** is predicted 6 % too fast, and within 3 % from 512 up: at this size four fifths
  of the step are the fixed time per weight matrix, and one number for all matrices is too coarse.
- **Releases 1.9 and 1.9.2** differ by 15 % on the same model. The first ran on two systems, the second on one. wsesim
  attributes the difference to the release; the data cannot tell it from a cost of the second system.
- **GPT 256M** gains 2 % from 128 to 1024 sequences, of which the model explains 0.4 %.
- **The micro-batch of the 175B model** is predicted as 33 and recommended as 35: lanes of whole width are too
  coarse for very wide models. Rates of models wider than 12,288 rest on this rule and should be taken with care:
  a model that needs 1.8 lanes is given one.
- **Two limits are not fitted but read off the same measurements**: the share of SRAM for activations (every value from
  0.857 to 0.934 gives the same micro-batches) and the most tokens of a micro-batch (518,144 to 524,287 agree with
  all rows). They are marked assumed and derived in `cluster_configs/systems/cs2.toml`.
- **The software release of the largest data set is not stated** by its authors. It is taken as 2.3, the newest of its
  time, and its rows fix the reference rate.
"""

LOSS_TEXT = f"""\
## Loss

By parameters and tokens, as `wsesim run` predicts it. The law has four fitted numbers ([model](model.md#loss-and-accuracy));
every model below is predicted by a law that was fitted without it, with a tolerance of {LOSS_TOLERANCE} nats per token. The
smallest model of a family lies at the edge of what is fitted, and is excepted. Published laws of other data (Hoffmann et al.
on MassiveText) miss every one of these rows by 0.31 or more.
"""
COMPUTE_TEXT = f"""\
By compute alone, for models trained on about 20 tokens per parameter: the law of the Cerebras-GPT paper,
L(f) = (f / 5.984e22)^-0.0737 + 0.5066 with f in FLOP as its authors count them. Two tables of losses are in print; the law
belongs to that of the release's read-me, which it was fitted to by its authors (so this is no prediction). Tolerance
{COMPUTE_TOLERANCE} nats per token.
"""
ACCURACY_TEXT = """\
## Zero-shot accuracy

Seven tasks, each with two fitted numbers over the Pile loss. OPT has no Pile loss in the table; it is shown and was not used.
"""


def _sets(predictions: Sequence[Prediction]) -> str:
    rows = [[*set_cells(one), "yes" if one.passes else "**no**"] for one in summarize(predictions)]
    header = ["set", "use", "n", "MAPE", "bias", "median", "worst", "tolerance", "kept"]
    return "## By set\n\n" + markdown_table(header, rows) + "\n"


def _rows(predictions: Sequence[Prediction]) -> str:
    rows = []
    for one in predictions:
        row = one.measurement
        rows.append(
            [
                row.id,
                row.use,
                str(row.model["name"]),
                row.system,
                str(row.num_systems),
                str(row.global_batch_size),
                row.software_release or "",
                row.metric,
                f"{row.value:,.5g}",
                f"{one.predicted:,.5g}",
                f"{one.error:+.1%}",
            ]
        )
    header = ["row", "use", "model", "system", "n", "batch", "release", "metric", "measured", "predicted", "error"]
    return "## By row\n\n" + markdown_table(header, rows) + "\n"


def _calibration(name: str, calibration: CalibrationSpec) -> str:
    rows = [
        [f"`{key}`", show(getattr(calibration, key), unit_of_field(key))]
        for key in (*RATE_KEYS, "lane_bytes_per_token")
    ]
    rows += [[f"`releases.{release}`", f"{factor:.4g}"] for release, factor in calibration.releases.items()]
    return f"### {name}\n\n" + markdown_table(["number", "value"], rows) + "\n"


def _releases(measurements: Sequence[Measurement]) -> str:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in measurements:
        if row.metric == "samples_per_s":
            group = counts.setdefault((row.system, row.software_release or ""), {"calibration": 0, "validation": 0})
            group[row.use] += 1
    rows = []
    for (system, release), group in sorted(counts.items()):
        verdict = "fitted and checked" if group["validation"] else "too few rows: fitted, not checked"
        rows.append([system, release, str(group["calibration"]), str(group["validation"]), verdict])
    header = ["system", "release", "rows fitted", "rows checked", ""]
    text = (
        "Rows that fix a release's factor are calibration. A release with one measured configuration cannot be fitted "
        "and checked both.\n"
    )
    return f"### Releases\n\n{text}\n" + markdown_table(header, rows) + "\n"


def _losses() -> str:
    found = predict_losses()
    of_loss, of_accuracy = loss_laws.rows_shown(found.shown)
    parts = [
        LOSS_TEXT,
        _markdown(loss_laws.HEADS_OF_LOSS, loss_laws.rows_of_loss(found.left_out)),
        COMPUTE_TEXT,
        _markdown(loss_laws.HEADS_BY_COMPUTE, loss_laws.rows_by_compute(found)),
        f"{ACCURACY_TEXT}\n{loss_laws.TITLE_OF_ACCURACY}; {loss_laws.WORDS_OF_ACCURACY}.\n",
        _markdown(loss_laws.HEADS_OF_ACCURACY, loss_laws.rows_of_accuracy(found.left_out)),
        "Shown only, by the shipped laws:\n",
        _markdown(loss_laws.HEADS_OF_LOSS, of_loss),
        _markdown(loss_laws.HEADS_OF_ACCURACY, of_accuracy),
    ]
    return "\n".join(parts)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table([head.lstrip("|~") for head in heads], [list(row) for row in rows]) + "\n"


def _sources(measurements: Sequence[Measurement]) -> str:
    keys = sorted({row.source for row in measurements})
    known = catalogue.sources()
    lines = [f"- `{key}`: {known[key].title}, {known[key].date}. <{known[key].url}>" for key in keys]
    return "## Sources\n\n" + "\n".join(lines) + "\n"


def page(gpus: Sequence[GPUPrediction]) -> str:
    """The whole page, with predictions of all published rows of GPU clusters."""
    measurements = published()
    predictions = predict_all(measurements)
    mean, worst = TOLERANCES["validation"]
    numbers = (
        "## What was fitted\n\n"
        f"Four numbers for CS-2: a generation needs {FEWEST_ROWS} rates of one release for that. CS-3 has one row, "
        "so it keeps the numbers of CS-2, marked assumed, and only the factor of its release is fitted.\n"
        f"Validation sets may be off by {mean:.0%} on average and {worst:.0%} at worst.\n"
    )
    parts = [
        INTRODUCTION,
        _sets(predictions),
        numbers,
        *(_calibration(name, load_system(name)[0].calibration) for name in ("cs2", "cs3")),
        _releases(measurements),
        NOT_EXPLAINED,
        _losses(),
        _rows(predictions),
        _sources(measurements),
        gpu_validation_part.part(gpus),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(gpu_validation.predict(gpu_validation.rows_of(None))), encoding="utf-8")

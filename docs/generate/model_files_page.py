"""Writes ``docs/model-files.md`` from the importers' own tables.

``python -m docs.generate.model_files_page docs/model-files.md``.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsesim.config.importers import huggingface, megatron, modelzoo, section
from wsesim.config.importers.families import ALIASES, FAMILIES, WRAPPERS
from wsesim.report.markdown import markdown_table

TABLE = Path(__file__).resolve().parents[2] / "tests" / "config" / "data" / "families.json"

INTRODUCTION = """\
# Model files

Which files of other tools are read, and what of them is and is not modelled. This page is written by
`python -m docs.generate.model_files_page docs/model-files.md` from the importers' own tables; a test holds it to be current.

A run file points to one of them, or to the folder that holds it: `[model] path = "config.json"`. How each key was understood, and
why others change nothing, says `wsesim explain config.json`; `wsesim import FILE` writes a run file from it. Every key is read, or
is harmless with a reason, or refuses the file. What is taken for keys left out, and from where, is said in a note of the answer:
the sequence length of a `config.json` is the longest that the model takes, up to 8,192 tokens, beyond which it is asked for; a
params file of the Model Zoo is trained with what its model takes.
"""

HUGGING_FACE = """\
## Hugging Face

`config.json` of these families, by `model_type`, or by `architectures` where it is missing. The counts are those of the package
itself, on the meta device, or of the published weights where it has no class; a test compares them to the last digit.

Windows of attention, latent attention, shared and leading dense experts, norms of queries and keys, biases and sinks are modelled.
Modules that predict several tokens are left out, with a note. Of models that also see pictures ({wrappers}) the language model in
`text_config` is read, with a note.
"""

REFUSED = """\
### Refused by name

A model of one of these families is named and refused in one sentence, since it {what}. Others are refused as not known; the fields
of `[model]` can then be written inline. A `model_type` gets a hint only where it is misspelt.
"""

ZOO = """\
## Cerebras Model Zoo

Params files of releases 1.6 and later, in the flat layout and around a `trainer`; of several phases the first. Read are decoders,
with mixtures under `moe`, windows, sandwich norms and their older spellings, and encoders that predict masked words, classify
texts or label tokens, and ESM-2. Names of models that are read, by their kind (files without a name are told by their keys):
"""

ZOO_TRAINING = """\
Of the training `max_sequence_length`, `batch_size`, `micro_batch_size`, precision, optimizer, `max_gradient_norm`, constant
sparsity and `max_steps` are taken, of the cluster `num_csx`, `num_workers_per_csx` and `num_wgt_servers`; servers of
activations are without effect, and named. `fixed_sparse_attention` counts as the full square. Keys of the optimizer, the data,
the run and callbacks are harmless with a reason (`wsesim explain params.yaml`), or named in a note: compressed weights, gradients
that are left out, sequences of different lengths, and whatever is not known. Weights that are frozen or of low rank are
refused by name, and so are files of these kinds:
"""

MEGATRON = """\
## Megatron-LM

`[run] path = "args.txt"`: the block of arguments that a run prints, or its launch script, whose variables are followed but
which is not executed. Model, batch, precision and plan of a GPU run come from it, on wafers the model and the batch; what the
run file states itself comes first. Branches of a script are followed where its own variables decide between them, and asked
about where only its start does. Every argument of releases 0.15 and 0.19 is read, harmless with a reason (`wsesim explain
args.txt`), named, or refused; one of which nothing is known is named in a note, and so are these, which change the time of a
step:
"""

OTHERS = """\
## Other files

The params.json beside the original weights of LLaMA and Mistral is read as what it is. Files that are mistaken
for these are named:
"""


def _counts() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in json.loads(TABLE.read_text(encoding="utf-8")):
        found[row["config"]["model_type"]].append(row)
    return found


def _family_rows() -> Iterator[list[str]]:
    counts = _counts()
    for name in sorted(FAMILIES):
        rows = counts.get(name, [])
        older = [alias for alias, family in ALIASES.items() if family == name]
        told = "; ".join(f"{row['name']} {row['parameters']:,}" for row in rows) or "by hand"
        by = (
            "transformers"
            if any("transformers" in row["source"] for row in rows)
            else "published weights"
            if rows
            else "a test"
        )
        yield [f"`{name}`" + "".join(f", `{alias}`" for alias in older), told, by]


def _grouped(table: dict[str, str]) -> Iterator[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, what in table.items():
        groups[what].append(name)
    for what, names in groups.items():
        yield [what, ", ".join(name if "/" in name else f"`{name}`" for name in names)]


def page() -> str:
    """The whole page."""
    wrappers = ", ".join(f"`{name}`" for name in WRAPPERS)
    others = [
        [", ".join(f"`{key}`" for key in sorted(keys)), what]
        for keys, what in (*section.JSON_FILES, *section.YAML_FILES)
    ]
    reasons: dict[str, None] = dict.fromkeys(reason for _, reason in huggingface.HARMLESS)
    parts = [
        INTRODUCTION,
        HUGGING_FACE.format(wrappers=wrappers),
        markdown_table(["`model_type`", "parameters of published shapes", "counted by"], _family_rows()),
        "",
        "Keys that change nothing fall under one of these reasons: " + "; ".join(reasons) + ".",
        "",
        REFUSED.format(what="has what is named beside it"),
        markdown_table(["it", "families"], _grouped(section.MODEL_TYPES)),
        "",
        ZOO,
        markdown_table(
            ["kind", "names"], _grouped({name: modelzoo.KINDS[kind] for name, kind in modelzoo.NAMES.items()})
        ),
        "",
        ZOO_TRAINING,
        markdown_table(["the model", "names"], _grouped(modelzoo.FOREIGN_NAMES)),
        "",
        MEGATRON,
        markdown_table(["flag", "what is said"], [[f"`{name}`", why] for name, why in megatron.MATTER.items()]),
        "",
        OTHERS,
        markdown_table(["keys", "it is"], others),
        "",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

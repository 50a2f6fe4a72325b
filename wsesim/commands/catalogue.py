"""`wsesim explain`, `list`, `import` and `schema`: what the catalogue holds, and files of others and of editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsesim.commands.common import A_PATH, command, json_option, print_json, print_sections

# `wsesim explain` and `wsesim list`: what the catalogue holds.


@command("explain")
@click.argument(
    "name",
    metavar="NAME",
    help="Catalogue entry: a system, GPU, cluster, model, calibration or run; or a model file such as config.json.",
)
@json_option
def explain(name: str, json: bool) -> None:
    """Every number of a catalogue entry: value, unit, status, source. Of a model file, how each field was understood."""
    from wsesim.report.pages import catalogue as report

    if report.is_file(name):
        found = report.of_file(name)
        if json:
            print_json(report.file_dict(found))
        else:
            print_sections(report.file_sections(found))
        return
    rows = report.gather(name)
    if json:
        print_json(report.as_dicts(rows))
    else:
        print_sections(report.sections(rows))


@command("list")
@click.argument(
    "kind", required=False, metavar="[KIND]", help="systems, gpus, clusters, models, runs, calibrations or laws."
)
@json_option
def list_(kind: str | None, json: bool) -> None:
    """What the catalogue holds."""
    from wsesim.report.pages import catalogue as report

    if json:
        print_json(report.titles(kind))
    else:
        print_sections(report.listing(kind))


# `wsesim import`: a model file, or the arguments of another tool, as a run file.


@command("import")
@click.argument(
    "file",
    type=A_PATH,
    metavar="FILE",
    help="A config.json or its folder, a Model Zoo params.yaml, or arguments of Megatron-LM (.txt, .log, .sh).",
)
@click.option(
    "--cluster",
    default="",
    metavar="NAME",
    help="Cluster of the run; left out, cs2, or one of A100 for a plan of GPUs.",
)
@click.option("--out", type=A_PATH, metavar="FILE", help="Write the run file here instead of to standard output.")
def import_(file: Path, cluster: str, out: Path | None) -> None:
    """A model file, or the arguments of Megatron-LM, as a run file of wsesim, with what was understood in its comments."""
    import tomli_w

    from wsesim.config.layering import import_model, model_file
    from wsesim.plugins import MACHINES

    where = str(file)
    found = import_model(model_file(file, where), where)
    usual = next(one.files.usual for one in MACHINES.known if one.files.spread is not None or not found.parallelism)
    tables: dict[str, Any] = {
        "model": found.model,
        "training": found.training | ({} if found.training.get("sequence_length") else {"sequence_length": 2048}),
        "cluster": {"name": cluster or usual, **found.cluster},
    }
    tables["training"].setdefault("global_batch_size", 256)
    if found.parallelism:
        tables["parallelism"] = found.parallelism
    comments = [f"# read from {file.name}: {found.kind}", *(f"# {note}" for note in found.notes)]
    text = "\n".join(comments) + "\n\n" + tomli_w.dumps(tables)
    if out is None:
        click.echo(text, nl=False)
    else:
        from wsesim.report.files import check_out, whole

        check_out(out, (".toml",))
        with whole(out) as file_out:
            file_out.write(text.encode())


# `wsesim schema`: JSON Schema of configuration files, for editors.


@command("schema")
@click.argument("kind", required=False, metavar="[KIND]", help="Kind of file; without it, all kinds are named.")
@click.option(
    "--out", type=A_PATH, metavar="PATH", help="Write to this file; without KIND, all schemas into this folder."
)
@json_option
def schema(kind: str | None, out: Path | None, json: bool) -> None:
    """JSON Schema of configuration files, for editors: keys, units, limits, meanings."""
    from wsesim.config import json_schema
    from wsesim.report.pages import catalogue as report

    if kind is None and out is None and json:
        print_json(report.as_dict())
    elif kind is None and out is None:
        print_sections([report.schema_listing()])
    elif out is None:
        print_json(json_schema.schema(str(kind)))
    elif json:
        print_json({"written": [str(path) for path in report.write(kind, out)]})
    else:
        for path in report.write(kind, out):
            click.echo(f"written to {path}", err=True)

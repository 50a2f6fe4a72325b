"""`wsesim import`: a model file, or the arguments of another tool, as a run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A config.json or its folder, a Model Zoo params.yaml, or arguments of Megatron-LM (.txt, .log, .sh).",
        ),
    ],
    cluster: Annotated[
        str, typer.Option(metavar="NAME", help="Cluster of the run; left out, cs2, or one of A100 for a plan of GPUs.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the run file here instead of to standard output.")
    ] = None,
) -> None:
    """A model file, or the arguments of Megatron-LM, as a run file of wsesim, with what was understood in its comments."""
    import tomli_w

    from wsesim.config.naming import import_model, model_file

    where = str(file)
    found = import_model(model_file(file, where), where)
    on_gpus = bool(found.parallelism)
    tables: dict[str, Any] = {
        "model": found.model,
        "training": found.training | ({} if found.training.get("sequence_length") else {"sequence_length": 2048}),
        "cluster": {"name": cluster or ("dgx_a100_80gb" if on_gpus else "cs2"), **found.cluster},
    }
    tables["training"].setdefault("global_batch_size", 256)
    if on_gpus:
        tables["parallelism"] = found.parallelism
    comments = [f"# read from {file.name}: {found.kind}", *(f"# {note}" for note in found.notes)]
    text = "\n".join(comments) + "\n\n" + tomli_w.dumps(tables)
    if out is None:
        typer.echo(text, nl=False)
    else:
        from wsesim.report.files import check_out, whole

        check_out(out, (".toml",))
        with whole(out) as file_out:
            file_out.write(text.encode())

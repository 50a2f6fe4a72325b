"""What commands share: their usual arguments, standard output as a console, JSON."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 100
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Run file, or the name of a catalogue run (`wsesim list runs`).")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, for example cluster.num_systems=64. Repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in SI units instead of tables.")]


def console() -> Console:
    """Standard output; plain text of a fixed width when it is not a terminal, and without styles under NO_COLOR."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Output(
        width=None if sys.stdout.isatty() else PLAIN_WIDTH,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,  # texts come from files
        emoji=False,
    )


def print_json(data: object) -> None:
    """`--json`: SI units, and no numbers that JSON does not know."""
    import json

    typer.echo(json.dumps(data, indent=2, allow_nan=False))

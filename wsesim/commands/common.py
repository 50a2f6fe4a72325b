"""What commands share: their usual arguments, standard output as a console, JSON, and what their help says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from wsesim.config.run import Run
    from wsesim.view import Section

# What the help of a command says beside its docstring: a summary in full, and examples.
#
# All examples are commands of the documentation, which a test runs.


EXAMPLES = {
    "run": (
        "wsesim run andromeda_13b --scaling",
        "wsesim run bert_large --set cluster.software_release=2.0",
        "wsesim run gpt3_13b_256xa100 --top 5",
    ),
    "compare": ("wsesim compare andromeda_13b --with dgx_a100_80gb:256 --same time",),
    "sensitivity": ("wsesim sensitivity andromeda_13b",),
    "trace": ("wsesim trace andromeda_13b --out step.json.gz",),
    "report": (
        "wsesim report andromeda_13b --out report.html",
        "wsesim report andromeda_13b --picture scaling --out scaling.pdf",
    ),
    "validate": ("wsesim validate usc-gpt", "wsesim validate my_rates.csv"),
    "calibrate": ("wsesim calibrate train.log --run andromeda_13b --out log_calibration.toml",),
    "explain": ("wsesim explain cs2", "wsesim explain config.json"),
    "list": ("wsesim list models",),
    "import": ("wsesim import args.txt --cluster selene --out imported.toml",),
    "schema": ("wsesim schema --out schemas",),
    "plan": (
        'wsesim plan --model cerebras-gpt-6.7b --deadline "7 weeks" --cluster cs2',
        "wsesim plan loss_goal.toml",
    ),
    "lifetime": ("wsesim lifetime andromeda_13b --replications 50",),
    "portfolio": ("wsesim portfolio my_portfolio.toml --policy deadline",),
    "sweep": ("wsesim sweep andromeda_13b --vary cluster.num_systems=1..8*2 --out out.csv",),
    "serve": ("wsesim serve",),
    "ledger list": ("wsesim ledger list sweep.csv.ledger",),
    "ledger export": ("wsesim ledger export sweep.csv.ledger --out sweep_again.csv",),
    "ledger clean": ("wsesim ledger clean sweep.csv.ledger --failures",),
}


def command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A function of its options as a command, whose help ends with examples of it.

    Its first paragraph stands in the list of commands in full, where click would cut it off.
    """

    def made(function: Callable[..., None]) -> click.Command:
        lines = EXAMPLES[name]
        # the sign in front keeps the lines as they are
        examples = "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
        said = " ".join((function.__doc__ or "").split("\n\n")[0].split())
        return click.command(name.split()[-1], short_help=said, epilog=examples)(function)

    return made


# What commands share: their usual arguments, standard output as a console, JSON.


PLAIN_WIDTH = 100


A_PATH = click.Path(path_type=Path)


def _run_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Names of catalogue runs, for the completion of a shell."""
    from wsesim.config import catalogue

    return [name for name in catalogue.names("runs") if name.startswith(incomplete)]


run_argument = click.argument(
    "run",
    metavar="RUN",
    help="Run file, or the name of a catalogue run (`wsesim list runs`).",
    shell_complete=_run_names,
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key, for example cluster.num_systems=64. Repeatable.",
)
limit_option = click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="JOBS",
    help="Simulate steps of up to so many jobs, search among twice as many plans; 500,000 if left out.",
)
SAID_FROM_S = 3.0
"""A run that takes longer says so before it starts. [s]"""


def limited(limit: int | None) -> None:
    """Set the limit of jobs for this process and those that it starts."""
    from wsesim.machines import machine

    machine.limit.set(limit or machine.MOST_JOBS)


@contextmanager
def told_first(run: Run) -> Iterator[None]:
    """Say what a large run takes before it starts, and that it still goes on while it does."""
    from wsesim.machines.machine import machine_of

    machine = machine_of(run)
    machine.check(run)
    work = machine.work(run)
    if work.time_s < SAID_FROM_S:
        yield
        return
    from rich.console import Console

    text = f"{run.place}: {work}; --limit refuses it"
    terminal = Console(stderr=True)
    if terminal.is_terminal:
        with terminal.status(text):
            yield
    else:
        terminal.print(text, soft_wrap=True, highlight=False)
        yield


class Form(StrEnum):
    """What an answer is printed as."""

    text = "text"
    json = "json"
    markdown = "markdown"
    csv = "csv"


class _Words(click.Choice[Form]):
    """Forms in any case, and ``md``."""

    def __init__(self, forms: type[Form]) -> None:
        super().__init__(forms, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Form:
        is_short = isinstance(value, str) and value.lower() == "md"
        return super().convert("markdown" if is_short else value, param, ctx)


format_option = click.option(
    "--format",
    "form",
    type=_Words(Form),
    default=Form.text,
    help="text, json, the same in Markdown (or md), or all figures in SI units as csv.",
)
paying_option = click.option(
    "--paying",
    metavar="owned|rented",
    help="Cost of owned devices (written off, with electricity and building) or of rented ones.",
)
page_option = click.option(
    "--out", type=A_PATH, metavar="FILE", help="Also write the answer with its picture as an .html page, works offline."
)
json_option = click.option("--json", is_flag=True, help="Print JSON in SI units instead of tables.")


def paying_settings(paying: str | None) -> list[str]:
    """`--paying` as the setting of a run file, which says what it may be."""
    return [] if paying is None else [f"cluster.paying={paying}"]


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


def print_sections(sections: Iterable[Section], form: Form = Form.text, *, beside: bool = False) -> None:
    """An answer on the terminal, in two columns where it is wide and they were asked for, or in Markdown."""
    if form is Form.markdown:
        from wsesim.report.markdown import written

        click.echo(written(sections), nl=False)
        return
    from wsesim.report.terminal import print_sections as shown

    shown(console(), sections, beside=beside)


def write_page(out: Path | None, sections: Sequence[Section], *words: object) -> None:
    """`--out` of commands that answer with a picture: nothing where it is left out.

    Parameters
    ----------
    words
        Of the command that makes the page again, options that are None left out.
    """
    if out is None:
        return
    import shlex

    from wsesim.report.write_report import write_page as write

    write(out, sections, shlex.join(["wsesim", *map(str, words), "--out", out.name]))


def print_figures(answers: Sequence[Mapping[str, Any]]) -> None:
    """`--format csv`: figures of answers as one table."""
    from wsesim.report.markdown import figures

    click.echo(figures(answers), nl=False)


def print_json(data: object) -> None:
    """`--json`: SI units, and no numbers that JSON does not know."""
    import json

    click.echo(json.dumps(data, indent=2, allow_nan=False))

"""Markdown of all commands with their arguments and options, from the help that they show themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from wsesim.report.markdown import markdown_table

INTRODUCTION = """\
# Commands

Written from the help of the commands: `wsesim COMMAND --help` shows the same.

Exit codes: 0 done; 1 the answer is no (it does not fit, a goal or a deadline cannot be met, a set misses its tolerance);
2 the input is wrong, with one message that says place, finding and remedy; 130 interrupted. Answers go to standard output,
progress and errors to standard error. Colours are left out in a pipe, and where `NO_COLOR` is set.
"""


def page(group: Any) -> str:
    """All commands of a command line."""
    return "\n".join([INTRODUCTION, *(section(name, command) for name, command in commands(group))])


def commands(group: Any, prefix: str = "wsesim") -> Iterator[tuple[str, Any]]:
    """Every command with its full name; those of groups one by one."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def section(name: str, command: Any) -> str:
    """One command: what it does, its arguments, its options."""
    context = command.make_context(name, [], resilient_parsing=True)
    records: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            word = parameter.make_metavar(context).strip("[]") if parameter.param_type_name == "argument" else record[0]
            records[parameter.param_type_name].append((word, record[1]))
    places = [
        parameter.get_usage_pieces(context)[0] for parameter in command.params if isinstance(parameter, click.Argument)
    ]
    parts = [f"## {name}", _text(command.help), f"```console\n{' '.join([name, *places])} [OPTIONS]\n```"]
    for kind, rows in records.items():
        if rows:
            parts.append(markdown_table([kind, "meaning"], [[f"`{word}`", _text(text)] for word, text in rows]))
    if command.epilog:
        parts.append(_examples(command.epilog))
    return "\n\n".join(parts) + "\n"


def _examples(epilog: str) -> str:
    """The end of the help, whose lines are indented below a title."""
    _, title, *lines = epilog.splitlines()
    return "\n".join([title, "", "```console", *map(str.strip, lines), "```"])


def _text(text: str) -> str:
    """A text of the help on one line, as Markdown."""
    said = " ".join(text.removesuffix("[required]").split())
    return said.replace("|", "\\|").replace("[", "\\[").replace("<", "&lt;")

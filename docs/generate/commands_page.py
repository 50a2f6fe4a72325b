"""Markdown of all commands with their arguments and options, from the help that they show themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from wsesim.report.markdown import markdown_table

INTRODUCTION = """\
# Commands

Written from the help of the commands: `wsesim COMMAND --help` shows the same.

Exit codes: 0 done; 1 the answer is no (it does not fit, a goal or a deadline cannot be met, a set misses its tolerance);
2 the input is wrong, with one message that says place, finding and remedy; 130 interrupted. Answers go to standard output,
progress and errors to standard error. Colours are left out in a pipe, and where `NO_COLOR` is set.
"""


def page(group: Any) -> str:
    """All commands of a command line, as `typer.main.get_command` gives it."""
    return "\n".join([INTRODUCTION, *(section(name, command) for name, command in commands(group))])


def commands(group: Any, prefix: str = "wsesim") -> Iterator[tuple[str, Any]]:
    """Every command with its full name; those of groups one by one."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
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
            word, text = record
            several = "..." if parameter.param_type_name == "argument" and parameter.nargs < 0 else ""
            records[parameter.param_type_name].append((_name(word) + several, text))
    places = [_place(*record) for record in records["argument"]]
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


def _name(word: str) -> str:
    """An argument or option with what it takes; `NAME <str>` of an argument says its name alone."""
    return word if word.startswith("-") else re.sub(r" <[^<>]+>$", "", word).strip("[]")


def _place(word: str, text: str) -> str:
    """An argument in the usage line; in brackets where it can be left out."""
    return word if "[required]" in text else f"[{word}]"


def _text(text: str) -> str:
    """A text of the help on one line, as Markdown."""
    said = " ".join(text.removesuffix("[required]").split())
    return said.replace("|", "\\|").replace("[", "\\[").replace("<", "&lt;")

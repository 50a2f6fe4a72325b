"""Every command, argument and option is in the reference of commands."""

from __future__ import annotations

from typing import Any

import click
import pytest
from generate.commands_page import commands, page, section

from wsesim.commands.cli import app

COMMANDS = dict(commands(app))


def test_every_command_has_a_section() -> None:
    text = page(app)
    assert {f"wsesim {name}" for name in app.list_commands(click.Context(app)) if name != "ledger"} <= set(COMMANDS)
    assert {"wsesim ledger list", "wsesim ledger export", "wsesim ledger clean"} <= set(COMMANDS)
    assert all(f"\n## {name}\n" in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_a_row_with_its_help(name: str) -> None:
    command: Any = COMMANDS[name]
    text = section(name, command)
    for parameter in command.params:
        row = next(
            line for line in text.splitlines() if line.startswith("| `") and names_of(parameter) & words_of(line)
        )
        assert row.count(" | ") == 1
        assert row.split(" | ")[1].strip(" |")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_of_itself(name: str) -> None:
    examples = section(name, COMMANDS[name]).split("Example")[1]
    lines = examples.split("```console\n")[1].split("\n```")[0].splitlines()
    assert lines
    assert all(line.startswith(name) for line in lines)
    assert max(map(len, lines)) <= 76, "the help indents them by four"


def names_of(parameter: Any) -> set[str]:
    if parameter.param_type_name == "option":
        return {name.lower() for name in parameter.opts}
    return {word.lower() for word in (parameter.metavar or parameter.name).strip("[].").split()}


def words_of(row: str) -> set[str]:
    return {word.strip("`,[].").lower() for word in row.split(" | ")[0].split()}


def test_usage_says_what_can_be_left_out() -> None:
    assert "wsesim run RUN [OPTIONS]" in section("wsesim run", COMMANDS["wsesim run"])
    assert "wsesim list [KIND] [OPTIONS]" in section("wsesim list", COMMANDS["wsesim list"])


def test_usage_says_what_may_be_repeated() -> None:
    assert "wsesim compare RUN... [OPTIONS]" in section("wsesim compare", COMMANDS["wsesim compare"])
    assert "wsesim report [RUN...] [OPTIONS]" in section("wsesim report", COMMANDS["wsesim report"])

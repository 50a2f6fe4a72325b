"""The exception tree, and what the command line makes of it: one message, one exit code."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import wsesim
from tests.front_door import call
from tests.test_cli import failing
from wsesim import errors
from wsesim.errors import did_you_mean

EVERY = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.WsesimError)]


@pytest.mark.parametrize("error", EVERY)
def test_wrong_input_exits_with_2_and_no_for_an_answer_with_1(error: type[errors.WsesimError]) -> None:
    assert error.exit_code == (2 if issubclass(error, errors.InputError) else 1)


@pytest.mark.parametrize("error", EVERY)
def test_the_tree_of_the_docstring_is_the_tree(error: type[errors.WsesimError]) -> None:
    tree = inspect.getdoc(errors) or ""
    (line,) = [line for line in tree.splitlines() if error.__name__ in line.split()]
    (root,) = [line for line in tree.splitlines() if "WsesimError" in line.split()]
    depth = (line.index(error.__name__) - root.index("WsesimError")) // 4
    assert depth == len(error.__mro__) - len(errors.WsesimError.__mro__)


@pytest.mark.parametrize("error", EVERY)
def test_the_command_line_prints_one_message_and_no_traceback(error: type[errors.WsesimError]) -> None:
    with failing(error("run.toml: training.tokens is -1; it must be more than 0")):
        outcome = call("list")
    assert outcome.code == error.exit_code
    assert outcome.err == "error: run.toml: training.tokens is -1; it must be more than 0\n"
    assert outcome.out == ""


def test_no_assert_guards_what_a_user_gives() -> None:
    """`python -O` leaves asserts out, and then answers in silence what should be refused."""
    package = Path(wsesim.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")}
    asserts = [
        f"{path}:{node.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


@pytest.mark.parametrize("error", EVERY)
def test_the_message_is_the_whole_error(error: type[errors.WsesimError]) -> None:
    assert str(error("place: finding; remedy")) == "place: finding; remedy"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("srm_bytes", "; did you mean sram_bytes?"),
        ("sram_byte", "; did you mean sram_bytes?"),
        ("clock", "; did you mean clock_hz?"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_a_near_word_is_suggested_and_a_far_one_is_not(word: str, hint: str) -> None:
    assert did_you_mean(word, ("sram_bytes", "clock_hz")) == hint


def test_nothing_is_near_where_nothing_is_known() -> None:
    assert did_you_mean("cs2", ()) == ""

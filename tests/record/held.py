"""The record as tests: a question whose answer changed fails, and says what changed."""

from __future__ import annotations

from tests.record import change, file
from tests.record.questions import QUESTIONS


def names_in(*folders: str) -> list[str]:
    """Questions of some folders of the record."""
    return [name for name in QUESTIONS if name.partition("/")[0] in folders]


def hold(name: str) -> None:
    """The answer is the recorded one."""
    found = list(change.changes(file.read(name), QUESTIONS[name].answer()))
    told = "\n".join(str(one) for one in found[:20])
    assert not found, f"{name}: {change.summary([(name, found)])}; `python -m tests.record --check` shows all\n{told}"

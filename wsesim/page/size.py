"""Whether a question is small enough for a page, before anything is worked out."""

from __future__ import annotations

from wsesim.config.run import Run
from wsesim.errors import InputError
from wsesim.machines.machine import machine_of
from wsesim.page import limits


def check_settings(lines: list[str]) -> None:
    """Refuse more text than anybody types."""
    if len(lines) > limits.MOST_SETTINGS:
        raise InputError(
            f"other keys: {len(lines)} lines are more than {limits.MOST_SETTINGS}; write a run file, and use `wsesim run`"
        )
    for line in lines:
        if len(line) > limits.LONGEST_SETTING:
            raise InputError(
                f"other keys: {line[:40]}... has {len(line)} characters, more than {limits.LONGEST_SETTING}; write it into a run "
                "file, and run it with `wsesim run`"
            )


def check_work(run: Run) -> None:
    """Refuse what would take longer than anybody waits in front of a page; called after the run was read."""
    machine_of(run).check_page(run)

"""The command, as a user calls it: in this process, or as one of its own."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import wsesim
from wsesim.commands import cli


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as strict JSON: NaN and infinity are refused."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def call(*words: object) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["wsesim", *map(str, words)]
    script = mock.patch.object(sys.modules["__main__"], "__package__", None)  # what its help is called after
    with script, mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
            code: Any = 0
        except SystemExit as stop:
            code = stop.code or 0
    return Outcome(code, out.getvalue(), err.getvalue())


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        """It says so."""
        return True


def on_terminal(width: int, *words: object) -> str:
    """What a command prints on a terminal of this width, without colours and styles."""
    out = _Terminal()
    place = {"COLUMNS": str(width), "LINES": "25", "TERM": "xterm-256color", "NO_COLOR": "1"}
    argv = ["wsesim", *map(str, words)]
    with (
        mock.patch.dict(os.environ, place),
        mock.patch.object(sys, "argv", argv),
        redirect_stdout(out),
        suppress(SystemExit),
    ):
        cli.main()
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def answer(*words: object) -> Outcome:
    """A command that works, and says nothing on standard error."""
    outcome = call(*words)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as people do."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    home = str(Path(wsesim.__file__).resolve().parent.parent)
    path = os.pathsep.join([home, *kept.get("PYTHONPATH", "").split(os.pathsep)])
    return subprocess.run(
        [sys.executable, "-m", "wsesim", *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **environment},
    )

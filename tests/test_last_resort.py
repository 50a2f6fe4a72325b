"""An error that nobody foresaw, anywhere: one message without content of the user, code 70, its traceback in a file."""

from __future__ import annotations

import inspect
import io
import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pytest
from starlette.testclient import TestClient

from tests.front_door import call
from tests.test_cli import TABLE
from tests.test_wrong_input import RUN
from wsesim import __version__, errors, sweep
from wsesim.page import work
from wsesim.page.server import application
from wsesim.page.service import Service
from wsesim.study import workers as sweep_workers

SECRET = "moonbase"
PORTFOLIO = """\
name = "moonbase"
start = 2026-01-01
[cluster]
name = "cs2"
[[jobs]]
name = "moonbase"
run = "run.toml"
systems = [2]
"""
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "run.toml", "--scaling", "--measured"),
    "compare": ("compare", "run.toml", "run.toml"),
    "sensitivity": ("sensitivity", "run.toml"),
    "trace": ("trace", "run.toml", "--out", "out.json"),
    "report": ("report", "run.toml", "--out", "out.html"),
    "validate": ("validate", "moonbase.csv"),
    "calibrate": ("calibrate", "moonbase.csv", "--out", "out.toml"),
    "explain": ("explain", "cs2"),
    "list": ("list", "runs"),
    "schema": ("schema", "run", "--out", "out.json"),
    "plan": ("plan", "--model", "gpt3-1.3b", "--cluster", "cs2", "--deadline", "30 d"),
    "lifetime": ("lifetime", "run.toml"),
    "portfolio": ("portfolio", "portfolio.toml"),
    "sweep": ("sweep", "run.toml", "--vary", "cluster.num_systems=1,2", "--out", "out.csv", "--workers", "1"),
    "ledger list": ("ledger", "list", "moonbase.ledger"),
    "ledger export": ("ledger", "export", "moonbase.ledger", "--out", "out.csv"),
    "ledger clean": ("ledger", "clean", "moonbase.ledger", "--failures"),
}
NO_FILE_OF_THE_USER = ("wsesim.commands.cli", "wsesim.errors", "wsesim.commands.common")


class Injected(Exception):
    """Nobody raises this but the tests."""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files to use, a state folder of its own, and a name in all of them that no message may have."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WSESIM_DEBUG", raising=False)
    Path("run.toml").write_text(RUN.replace('"tiny"', f'"{SECRET}"'))
    Path("portfolio.toml").write_text(PORTFOLIO)
    Path("moonbase.csv").write_text(TABLE)
    sweep("run.toml", {"cluster.num_systems": [1, 2]}, ledger="moonbase.ledger", workers=1)
    return tmp_path / "state" / "wsesim" / "faults"


def calls_of(words: tuple[str, ...]) -> int:
    """Calls of functions of wsesim that a command makes. [-]"""
    with failing_after(10**9) as count:
        call(*words)
    return count[0]


@contextmanager
def failing_after(number: int) -> Iterator[list[int]]:
    """The call of that number of any function of wsesim raises, whichever it is."""
    seen = [0]

    def look(frame: FrameType, event: str, _: Any) -> None:
        name, is_generator = frame.f_globals.get("__name__", ""), frame.f_code.co_flags & inspect.CO_GENERATOR
        if event == "call" and name.startswith("wsesim.") and name not in NO_FILE_OF_THE_USER and not is_generator:
            seen[0] += 1
            if seen[0] == number:
                raise Injected(f"{SECRET} in the text of an error")

    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def assert_told(err: str, command: str, folder: Path) -> None:
    """One message with the command, the version and a file that holds the traceback; nothing of the user's files."""
    message = err.splitlines()[-1]
    assert message.startswith(f"error: {command}: Injected, which is a fault of wsesim itself (version {__version__})")
    assert (err.count("error: "), SECRET in message, "Traceback" in err) == (1, False, False)
    (kept,) = [one for one in folder.iterdir() if str(one) in err]
    told = kept.read_text(encoding="utf-8")
    assert f"{SECRET} in the text of an error" in told
    assert told.startswith(f"{command}: ")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not [one for one in folder.iterdir() if one.suffix != ".txt"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_in_any_call_of_any_command(command: str, state: Path) -> None:
    """Its first call, its last, and one of those between: the output is whole or not there."""
    words = COMMANDS[command]
    before = set(Path().iterdir())
    assert call(*words).code in (0, 1)
    number = calls_of(words)
    made = {path: path.read_bytes() for path in set(Path().iterdir()) - before if path.suffix != ".ledger"}
    codes = []
    for at in (1, random.Random(command).randint(2, number), number):
        for path in made:
            path.unlink(missing_ok=True)
        with failing_after(at):
            outcome = call(*words)
        codes.append(outcome.code)
        if outcome.code == 70:
            assert_told(outcome.err, f"wsesim {command}", state)
        assert not [path for path in Path().iterdir() if path.suffix == ".part"]
        assert all(path not in made or path.stat().st_size > 0 for path in Path().iterdir())
    assert codes[0] == 70
    assert set(codes) <= {0, 1, 70}


def test_debugging_raises_instead(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSESIM_DEBUG", "1")
    with failing_after(1), pytest.raises(Injected):
        call(*COMMANDS["run"])
    assert not state.exists()


def test_a_fault_that_happens_again_has_one_file(state: Path) -> None:
    for _ in range(2):
        with failing_after(1):
            call(*COMMANDS["run"])
    assert len(list(state.iterdir())) == 1


def test_where_no_state_can_be_kept_the_traceback_is_a_temporary_file(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.parent.parent.write_text("a file where the folder should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with failing_after(1):
        outcome = call(*COMMANDS["run"])
    assert_told(outcome.err, "wsesim run", next(tmp_path.glob("wsesim-*/faults")))


def fail(*_: object, **__: object) -> None:
    raise Injected(f"{SECRET} in the text of an error")


@pytest.mark.parametrize("num_processes", [1, 2])
def test_an_error_in_a_worker_of_a_sweep_is_its_row_and_the_code(
    num_processes: int, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other points have their answers, and the table is written."""
    original = sweep_workers.Variations.run

    def run(self: Any, values: Any) -> Any:
        return fail() if list(values) == [2] else original(self, values)

    monkeypatch.setattr(sweep_workers.Variations, "run", run)
    outcome = call(*COMMANDS["sweep"][:4], "--out", "new.csv", "--workers", num_processes)
    assert outcome.code == 70
    told = [line for line in outcome.err.splitlines() if "job of the first point" not in line]  # says the model's name
    assert not [line for line in told if SECRET in line]
    assert "1 of 2 points have no answer" in outcome.err
    table = Path("new.csv").read_text(encoding="utf-8")
    assert (table.count("\n1,ok"), table.count("\n2,failed"), SECRET in table) == (1, 1, False)
    assert len(list(state.iterdir())) == 1
    assert str(next(state.iterdir())) in outcome.err


@pytest.fixture
def page(state: Path) -> Iterator[TestClient]:
    """A page without worker processes: work is done in this one."""
    service = Service(num_workers=1)
    with TestClient(application(service), base_url="http://127.0.0.1") as found:
        yield found


@pytest.mark.parametrize("address", ["/", "/run.toml", "/api/run", "/comparison", "/plan?answer=yes", "/health"])
def test_an_error_in_the_page(address: str, page: TestClient, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("answered", "compared", "make", "plan"):
        monkeypatch.setattr(Service, name, fail)
    monkeypatch.setattr(Service, "num_waiting", property(fail))
    with redirect_stderr(io.StringIO()) as told:
        answer = page.get(address)
    assert answer.status_code == 500
    assert_told(told.getvalue(), "wsesim serve", state)
    assert "a fault of wsesim itself" in answer.text
    assert SECRET not in answer.text
    if address.startswith("/api"):
        assert "a fault of wsesim itself" in json.loads(answer.text)["error"]


def test_an_error_in_a_worker_of_the_page(state: Path) -> None:
    with pytest.raises(errors.Fault) as error:
        work.done(fail)
    assert_told(f"error: {error.value}\n", "wsesim serve", state)


def test_an_error_for_which_no_request_waits(page: TestClient, state: Path) -> None:
    """Nobody looks at the outcome of what starts beside the server."""
    from wsesim.page import server

    with redirect_stderr(io.StringIO()) as told:
        server._unheard(mock.Mock(), {"exception": Injected(f"{SECRET} in the text of an error")})
    assert_told(told.getvalue(), "wsesim serve", state)


def test_debugging_shows_the_errors_of_the_page(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSESIM_DEBUG", "1")
    monkeypatch.setattr(Service, "make", fail)
    with pytest.raises(Injected):
        page.get("/run.toml")
    with pytest.raises(Injected):
        work.done(fail)

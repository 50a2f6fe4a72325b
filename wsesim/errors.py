"""Everything that can go wrong, as one tree::

WsesimError                 one message: place, finding, remedy
|-- InputError              the input is wrong             exit code 2
|   |-- ConfigError         a file or a key of it
|   |-- UnknownNameError    a name that the catalogue does not hold
|   `-- MeasurementError    a table of measurements or a log file
|-- AnswerIsNo              the input is right, the answer is no   exit code 1
|   |-- DoesNotFit          more than the machine holds
|   `-- PastTolerance       a prediction that misses its stated tolerance
`-- SimulationStuck         processes wait for one another for ever   exit code 1

Whatever else is raised is a fault of wsesim itself, and becomes a `Fault`: one message without anything of the user's
files in it, exit code 70, and a file with the whole traceback.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class WsesimError(Exception):
    """Root of the tree. `str(error)` is the whole message."""

    exit_code = 1


class InputError(WsesimError):
    """The input is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """One or several problems of one file, each with its key."""


class UnknownNameError(InputError):
    """A name that the catalogue does not hold."""


class MeasurementError(InputError):
    """A measurement table or log file that cannot be used."""


class AnswerIsNo(WsesimError):
    """The question was understood; the machine cannot do it."""


class DoesNotFit(AnswerIsNo):
    """More bytes, systems or layers than the machine holds."""


class PastTolerance(AnswerIsNo):
    """A prediction misses the published value by more than the stated tolerance."""


class SimulationStuck(WsesimError):
    """The event queue ran dry while processes were still waiting."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean sram_bytes?"``, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


class Fault(Exception):
    """An error that nobody foresaw. `str(error)` is the whole message; the traceback lies in a file."""

    exit_code = 70
    """``EX_SOFTWARE`` of sysexits.h."""


SIGN_OF_A_FAULT = "a fault of wsesim itself"
"""Words that every message of a `Fault` has, also where it is kept as text."""
MOST_FAULTS_KEPT = 50
"""Files in the folder of faults; older ones go. [-]"""


def is_debugging() -> bool:
    """Whether unforeseen errors are to be raised, with ``WSESIM_DEBUG=1``."""
    return os.environ.get("WSESIM_DEBUG", "") not in ("", "0")


def fault(command: str, error: BaseException, version: str) -> Fault:
    """What to say of an unforeseen error, whose traceback is written into a file.

    Parameters
    ----------
    command
        In which it happened, such as ``wsesim run``; without the words behind it, which are the user's.
    error
        Only its kind is told, for its text may quote files.
    version
        Of wsesim.
    """
    kept = _keep_traceback(command, error, version)
    where = f"the full traceback is in {kept}" if kept else "its traceback could be written nowhere"
    return Fault(
        f"{command}: {type(error).__name__}, which is {SIGN_OF_A_FAULT} (version {version}); {where}: please report it, "
        "or repeat the command with WSESIM_DEBUG=1 to see it here"
    )


def state_folder() -> Path:
    """The user's folder for what a program keeps about its own runs, by the conventions of the operating system.

    Raises
    ------
    RuntimeError
        The user has no home.
    """
    told = Path(os.environ.get("XDG_STATE_HOME", ""))
    if told.is_absolute():  # others are to be ignored, says the XDG Base Directory Specification
        return told / "wsesim"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "wsesim" / "State"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "wsesim"
    return Path.home() / ".local" / "state" / "wsesim"


def _keep_traceback(command: str, error: BaseException, version: str) -> Path | None:
    """Write a traceback into the user's state folder, else into one for temporary files; None where neither can be written.

    A fault that happens again replaces its file.
    """
    import hashlib
    import tempfile
    import traceback

    told = "".join(traceback.format_exception(error))
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    name = hashlib.sha256("\n".join([command, type(error).__name__, *places]).encode("utf-8", "replace")).hexdigest()
    text = f"{_circumstances(command, version)}\n{told}"
    for find in (state_folder, lambda: Path(tempfile.mkdtemp(prefix="wsesim-"))):
        with suppress(OSError, RuntimeError):
            return _written(find() / "faults", f"{name[:16]}.txt", text)
    return None


def _circumstances(command: str, version: str) -> str:
    import datetime
    import platform

    lines = (
        f"{command}: {sys.argv}",
        f"wsesim {version}, Python {platform.python_version()}, {platform.platform()}",
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    return "\n".join(lines) + "\n"


def _written(folder: Path, name: str, text: str) -> Path:
    """Write a file whole, for its owner alone, and drop the oldest beside it."""
    import tempfile

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(".part", f".{name}.", folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        Path(part).replace(folder / name)
    finally:
        Path(part).unlink(missing_ok=True)
    with suppress(OSError):  # another process drops them, too
        for old in sorted(folder.glob("*.txt"), key=lambda one: one.stat().st_mtime)[:-MOST_FAULTS_KEPT]:
            old.unlink(missing_ok=True)
    return folder / name


def need(package: str, extra: str, what: str) -> None:
    """Refuse what needs a package that is not installed.

    Raises
    ------
    InputError
        With the extra that brings it.
    """
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise InputError(f"{what} needs {package}, which is not installed; pip install 'wsesim[{extra}]'")

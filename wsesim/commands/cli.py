"""The command line: its commands, and what becomes of every failure."""

from __future__ import annotations

import codecs
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, NoReturn

import typer

from wsesim.commands.catalogue import explain, import_, list_, schema
from wsesim.commands.common import epilog, summary
from wsesim.commands.compare import compare, sensitivity
from wsesim.commands.plan import lifetime, plan, portfolio
from wsesim.commands.run import report, run, serve, trace
from wsesim.commands.sweep import ledger_app, sweep
from wsesim.commands.validate import calibrate, validate
from wsesim.errors import Fault, InputError, WsesimError, fault, is_debugging
from wsesim.version import __version__

_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "compare": compare,
    "sensitivity": sensitivity,
    "trace": trace,
    "report": report,
    "validate": validate,
    "calibrate": calibrate,
    "explain": explain,
    "list": list_,
    "import": import_,
    "schema": schema,
    "plan": plan,
    "lifetime": lifetime,
    "portfolio": portfolio,
    "sweep": sweep,
    "serve": serve,
}
"""In the order of the help."""
LONGEST_LINE = 2000
RARE_COLLECTIONS = 20_000
"""Objects between two looks for cycles: what a command imports stays, and looking at it takes 5 % of a run. [-]"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wsesim {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate training on clusters of wafer-scale systems."""


def _app_of(names: Iterable[str]) -> typer.Typer:
    """The command line with some of its commands; typer looks through the options of each."""
    made = typer.Typer(
        name="wsesim",
        help="Simulate training on clusters of wafer-scale systems: throughput, scaling, time to train.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    made.callback()(_options)
    for name in names:
        made.command(name=name, short_help=summary(_COMMANDS[name]), epilog=epilog(name))(_COMMANDS[name])
    return made


app = _app_of(_COMMANDS)
app.add_typer(ledger_app, name="ledger")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a terminal or a file cannot show."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join("+-" if sign == "±" else "?" for sign in error.object[error.start : error.end]), error.end


def _prepare_streams() -> None:
    """Let no character fail that the terminal cannot show, and no stream that was closed."""
    codecs.register_error("wsesim.in_ascii", _in_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="wsesim.in_ascii")


def _fail(message: str, exit_code: int) -> NoReturn:
    """One message on standard error; text from files can neither flood nor control the terminal."""
    lines = ("".join(sign if sign.isprintable() else "?" for sign in line) for line in message.split("\n"))
    cut = (line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "..." for line in lines)
    typer.echo(_wrapped("error: " + "\n".join(cut)), err=True)
    sys.exit(exit_code)


def _wrapped(text: str) -> str:
    """Words and numbers stay whole on a terminal; elsewhere lines are as long as they are."""
    if not sys.stderr.isatty():
        return text
    import shutil
    import textwrap

    wrap = textwrap.TextWrapper(
        shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return "\n".join(wrap.fill(line) for line in text.split("\n"))


def _ignore_output() -> None:
    """What is still in the buffers has nowhere to go."""
    with contextlib.suppress(OSError):  # standard output need not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point: every failure is one message on standard error and an exit code."""
    gc.set_threshold(RARE_COLLECTIONS)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # looking for them reads every installed package: 0.05 s
    _prepare_streams()
    try:
        first = sys.argv[1] if len(sys.argv) > 1 else ""
        (_app_of([first]) if first in _COMMANDS else app)()
    except WsesimError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _ignore_output()
        sys.exit(0)
    except MemoryError:
        _fail("out of memory; make the model, the cluster or the number of chunks smaller", InputError.exit_code)
    except Fault as error:
        _fail(str(error), error.exit_code)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NOWHERE_TO_WRITE:
            _ignore_output()
            place = error.filename or "standard output"
            _fail(f"{place}: cannot be written ({error.strerror}); check the free space", InputError.exit_code)
        if is_debugging():
            raise
        _fail(str(fault(_called(), error, __version__)), Fault.exit_code)


_NOWHERE_TO_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EBADF)
"""Errors of a file that is written; what else the system refuses in the middle of a command was not foreseen."""


def _called() -> str:
    """The command that was called, of the words that are no user's."""
    ledgers = {command.name for command in ledger_app.registered_commands}
    words = [word for word in sys.argv[1:] if word in _COMMANDS or word == "ledger"][:1]
    words += [word for word in sys.argv[2:] if words == ["ledger"] and word in ledgers][:1]
    return " ".join(["wsesim", *words])

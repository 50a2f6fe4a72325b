"""The command line: its commands, and what becomes of every failure."""

from __future__ import annotations

import codecs
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from wsesim.errors import Fault, InputError, WsesimError, fault, is_debugging
from wsesim.version import __version__

_COMMANDS = {
    "run": "run",
    "compare": "compare",
    "sensitivity": "compare",
    "trace": "run",
    "report": "run",
    "validate": "validate",
    "calibrate": "validate",
    "explain": "catalogue",
    "list": "catalogue",
    "import": "catalogue",
    "schema": "catalogue",
    "plan": "plan",
    "lifetime": "plan",
    "portfolio": "plan",
    "sweep": "sweep",
    "serve": "run",
    "ledger": "sweep",
}
"""In the order of the help: the module of each."""
LONGEST_LINE = 2000
RARE_COLLECTIONS = 20_000
"""Objects between two looks for cycles: what a command imports stays, and looking at it takes 5 % of a run. [-]"""


class _Commands(click.Group):
    """A command's module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  as click calls it
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        name = f"{cmd_name}_" if cmd_name in ("list", "import") else cmd_name
        found: click.Command = getattr(import_module(f"wsesim.commands.{module}"), name)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C ends a command as a shell expects it, without click's word about it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


INTERRUPTED = 130
"""Exit code of a program that was ended by Ctrl-C: 128 and the number of SIGINT."""


def _completion(shell: str) -> str:
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    found = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    return found(app, {}, "wsesim", "_WSESIM_COMPLETE").source()


def _show_completion(context: click.Context, _: click.Parameter, shell: str | None) -> None:
    if shell:
        click.echo(_completion(shell))
        context.exit()


def _install_completion(context: click.Context, _: click.Parameter, shell: str | None) -> None:
    """The script in the folder that the shell looks into; no file of the user's own is changed."""
    if not shell:
        return
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    place = {
        "bash": data / "bash-completion" / "completions" / "wsesim",
        "zsh": home / ".zfunc" / "_wsesim",
        "fish": home / ".config" / "fish" / "completions" / "wsesim.fish",
    }[shell]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(_completion(shell), encoding="utf-8")
    click.echo(f"{place}: written; a new {shell} completes wsesim")
    if shell == "zsh":
        click.echo("where it does not, ~/.zshrc needs: fpath+=~/.zfunc; autoload -Uz compinit; compinit")
    context.exit()


_SHELLS = ("bash", "zsh", "fish")
_Callback = Callable[[click.Context, click.Parameter, str | None], None]


def _completion_option(
    name: str, callback: _Callback, text: str
) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """An option that takes a shell, or the user's own where it names none."""
    own = Path(os.environ.get("SHELL") or "bash").stem
    return click.option(
        name,
        is_flag=False,
        flag_value=own if own in _SHELLS else "bash",
        type=click.Choice(_SHELLS, case_sensitive=False),
        expose_value=False,
        is_eager=True,
        callback=callback,
        help=text,
    )


@click.group(
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"], "show_default": True},
)
@click.version_option(
    __version__, prog_name="wsesim", message="%(prog)s %(version)s", help="Print the version and exit."
)
@_completion_option(
    "--install-completion", _install_completion, "Complete words of wsesim in this shell, or in the one named."
)
@_completion_option("--show-completion", _show_completion, "Print the script that does so.")
def app() -> None:
    """Simulate training on clusters of wafer-scale systems: throughput, scaling, time to train."""


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
    click.echo(_wrapped("error: " + "\n".join(cut)), err=True)
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
        app()
    except WsesimError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
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
    words = [word for word in sys.argv[1:] if word in _COMMANDS][:1]
    words += [word for word in sys.argv[2:] if words == ["ledger"] and word in ("list", "export", "clean")][:1]
    return " ".join(["wsesim", *words])

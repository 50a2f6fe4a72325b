"""Files are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wsesim.errors import InputError


def check_out(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file that could not be written, before anything is run.

    Raises
    ------
    InputError
        Another ending, or a place where nothing can be written.
    """
    if not path.name.endswith(tuple(endings)):
        raise InputError(
            f"--out {path}: ends in {path.suffix or 'nothing'}; name a file that ends in {' or '.join(endings)}"
        )
    if path.is_dir():
        raise InputError(f"--out {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: the folder {path.parent} does not exist; make it first")


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Write beside the old file; what is written takes its place when the block ends without a failure."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise InputError(
            f"--out {path}: cannot be written ({error.strerror or error}); choose a folder that exists and can be written"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a text; as `whole`."""
    with whole(path) as file:
        file.write(text.encode())

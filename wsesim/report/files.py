"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from wsesim.errors import InputError


def write(path: Path, text: str) -> None:
    """Write a file beside the old one, and put it in its place when it is complete.

    Raises
    ------
    InputError
        The folder does not exist, or nothing can be written there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise InputError(
            f"--out {path}: cannot be written ({error.strerror}); choose a folder that exists and can be written"
        ) from None
    finally:
        beside.unlink(missing_ok=True)

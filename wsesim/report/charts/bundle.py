"""Vega, Vega-Lite and vega-embed as one script that works offline, kept between processes.

vl-convert holds the libraries and takes 3 s of one core to put them into one script. That script is the same for ever
with the same version, so it is kept in the folder that the operating system has for such files; where nothing can be
written there, it is made again. Shipping it would save the first 3 s, and cost a megabyte of generated code in the
repository that has to follow the version of vl-convert, which draws the same pictures as SVG, PNG and PDF.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from wsesim.config import reading
from wsesim.errors import InputError

LARGEST_SCRIPT_BYTES = 20_000_000


@cache
def bundle(snippet: str) -> str:
    """All libraries, followed by `snippet`, which may use ``vegaEmbed``."""
    kept = _place(snippet)
    if kept is not None:
        try:
            return reading.text(kept, str(kept), LARGEST_SCRIPT_BYTES)
        except InputError:
            pass  # not made yet, or not readable
    import vl_convert

    made: str = vl_convert.javascript_bundle(snippet)
    if kept is not None:
        _keep(kept, made)
    return made


def is_kept(snippet: str) -> bool:
    """Whether `bundle` answers at once."""
    kept = _place(snippet)
    return kept is not None and kept.is_file()


def _place(snippet: str) -> Path | None:
    """Where the script is kept; None where there is no such folder."""
    told = hashlib.sha256(f"{metadata.version('vl-convert-python')}\n{snippet}".encode()).hexdigest()
    try:
        return _folder() / f"pictures-{told[:16]}.js"
    except RuntimeError:  # no home
        return None


def _folder() -> Path:
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "wsesim"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "wsesim" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wsesim"
    return Path.home() / ".cache" / "wsesim"


def _keep(place: Path, text: str) -> None:
    """Write the script beside its place, and move it there when it is complete."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(place)
    except OSError:
        with suppress(OSError):
            part.unlink()

"""Releases of the wafer-scale software, in order."""

from __future__ import annotations

import re
from functools import lru_cache

from wsesim.config import catalogue
from wsesim.errors import ConfigError


@lru_cache(maxsize=256)
def release_key(release: str, where: str = "cluster.software_release") -> tuple[int, ...]:
    """A software release as numbers that can be compared; "R2.0.3" and "2.0.3" are the same.

    Raises
    ------
    ConfigError
        Not a release.
    """
    match = re.fullmatch(r"[rR]?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})", release.strip())
    if match is None:
        raise ConfigError(f'{where} is {catalogue.value_shown(release)}; write a release such as "2.1"')
    return tuple(int(part) for part in match[1].split("."))

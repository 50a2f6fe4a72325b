"""Options such as ``--set cluster.num_systems=64``: keys of a run file, set for once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from wsesim.config import catalogue
from wsesim.config.layering import Table, merge
from wsesim.config.reading import toml
from wsesim.errors import ConfigError

_DEEPEST_KEY = 20


def parse_setting(text: str) -> tuple[list[str], Any]:
    """Read ``"cluster.num_systems=64"``; the value is TOML where it can be, else a string.

    Examples
    --------
    >>> parse_setting("cluster.num_systems=64")
    (['cluster', 'num_systems'], 64)
    >>> parse_setting("cluster.memoryx.egress_bytes_per_s=2.4 Tb/s")
    (['cluster', 'memoryx', 'egress_bytes_per_s'], '2.4 Tb/s')
    >>> parse_setting('cluster.system.calibration.releases."2.4"=0.9')
    (['cluster', 'system', 'calibration', 'releases', '2.4'], 0.9)
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    parts = [(quoted or plain).strip().strip("\"'") for quoted, plain in _KEY_PART.findall(key)]
    if not equals or not parts or not all(parts) or len(parts) > _DEEPEST_KEY:
        shown = catalogue.value_shown(text)[1:-1]
        raise ConfigError(f"--set {shown}: is not KEY=VALUE; write for example --set cluster.num_systems=64")
    number = None if parts[-1] in ("name", "software_release") else _PLAIN_NUMBER.fullmatch(value)
    if number is not None:  # as TOML reads it, thirty times as fast: a sweep has thousands
        return parts, float(value) if number[1] else int(value)
    try:
        read = toml(f"value = {value}", "--set")
    except ConfigError:
        return parts, value
    is_text = parts[-1] in ("name", "software_release") and not isinstance(read["value"], list | dict | str)
    return parts, value if is_text or len(read) > 1 else read["value"]


_PLAIN_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
"""An integer or a float without underscores, infinities and other bases."""


_KEY_PART = re.compile(r"""(?:^|\.)(?:\s*("[^"]*"|'[^']*')\s*(?=\.|$)|([^.]*))""")
"""One part of a dotted key; quotes hold dots together, as in TOML."""


Setting = tuple[list[str], Any]
"""Parts of a dotted key, and its value."""


def settings_table(settings: Iterable[Setting]) -> Table:
    """Settings as one table; names come first, so that overrides of what they name stay."""
    table: Table = {}
    for parts, value in sorted(settings, key=lambda setting: len(setting[0])):
        inner: Any = value
        for part in reversed(parts):
            inner = {part: inner}
        table = merge(table, inner)
    return table

"""`wsesim list`: what the catalogue holds."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from wsesim.config import catalogue
from wsesim.errors import UnknownNameError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.report.columns import Column, Columns, prose


def _kinds(kind: str | None) -> tuple[str, ...]:
    MACHINES.load_others()
    known = catalogue.kinds()
    if kind is None:
        return known
    if kind not in known:
        hint = did_you_mean(kind, known) or f"; kinds are {', '.join(known)}"
        raise UnknownNameError(f"{kind!r} is not a kind of catalogue entry{hint}")
    return (kind,)


def as_dict(kind: str | None) -> dict[str, Any]:
    """Names and titles by kind."""
    return {one: {name: _title(one, name) for name in catalogue.names(one)} for one in _kinds(kind)}


def _title(kind: str, name: str) -> str:
    raw = catalogue.read_toml(catalogue.find(kind, name))
    return str(raw.get("name", f"releases {', '.join(raw['releases'])}" if "releases" in raw else "of GPUs"))


def print_catalogue(console: Console, kind: str | None) -> None:
    """Names and titles by kind."""
    for one, entries in as_dict(kind).items():
        table = Columns([Column(least=28), Column(is_prose=True, style="dim")])
        for name, title in entries.items():
            table.add_row(name, title)
        console.print(Text(one, style="bold"), table, "")
    console.print(prose("`wsesim explain NAME` shows every number of an entry with its source", style="dim"))

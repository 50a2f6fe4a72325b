"""Turns what pydantic finds into messages that say place, finding and remedy."""

from __future__ import annotations

import re
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from wsesim.config.provenance import Origin
from wsesim.errors import did_you_mean
from wsesim.units import example_of, unit_of_field

_LONGEST_VALUE = 60


def _spec_at(spec: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The spec class that holds the last key of a path."""
    for part in path[:-1]:
        field = spec.model_fields.get(str(part))
        if field is None:
            continue
        for option in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                spec = option
    return spec


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def _finding(problem: Any, spec: type[BaseModel], path: tuple[int | str, ...]) -> str:
    kind, context, value = problem["type"], problem.get("ctx", {}), _shown(problem.get("input"))
    owner = _spec_at(spec, path)
    field = str(path[-1]) if path else ""
    example = example_of(unit_of_field(field))
    if kind == "extra_forbidden":
        hint = did_you_mean(field, owner.model_fields)
        return f"is not a known key{hint or '; known are ' + ', '.join(owner.model_fields)}"
    if kind == "missing":
        return f"is missing; add it, for example {field} = {example}"
    if kind == "literal_error":
        return f"is {value}; use {context['expected']}"
    limits = {
        "greater_than": ("more than", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("less than", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in limits:
        words, key = limits[kind]
        return f"is {value}; it must be {words} {context[key]:g}"
    if kind.startswith(("int_", "float_", "finite_")):
        whole = "a whole number" if kind.startswith("int_") else "a number"
        return f"is {value}; write {whole}, for example {example}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"is {value}; write a table of keys"
    return f"is {value}: {problem['msg']}; see docs/glossary.md for what it means"


def _choice(path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A path without the names that pydantic gives to members of a union."""
    noise = re.compile(r"^(int|float|str|literal\[.*\]|constrained-.*|tuple\[.*\])$")
    return tuple(part for part in path if not (isinstance(part, str) and noise.match(part)))


def describe(error: ValidationError, spec: type[BaseModel], key: str, place: str, origins: dict[str, Origin]) -> str:
    """All problems of one table, one line each.

    Parameters
    ----------
    error
        What pydantic found.
    spec
        The class that refused.
    key
        Dotted key of the table in the file.
    place
        The file that was read.
    origins
        Origins of the table's numbers: a number that came from another file is reported there.
    """
    lines: dict[str, str] = {}
    for problem in error.errors():
        path = _choice(tuple(problem["loc"]))
        if problem["type"] == "value_error":
            text = re.sub(r"^Value error, ", "", problem["msg"])
            match = re.match(r"^\[([^\]]+)\] (.*)$", text, re.DOTALL)
            path, finding = (*path, *((match[1],) if match else ())), match[2] if match else text
            joined = " " if not finding.startswith("'") else " is "
            finding = joined.strip() + " " + finding if joined.strip() else finding
        else:
            finding = _finding(problem, spec, path)
        dotted = ".".join(str(part) for part in path)
        origin = origins.get(dotted)
        where = origin.place if origin is not None and origin.place else place
        lines.setdefault(f"{where}: {key}.{dotted}" if dotted else f"{where}: {key}", finding)
    return "\n".join(f"{where} {finding}" for where, finding in lines.items())

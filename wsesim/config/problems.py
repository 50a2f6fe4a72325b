"""Turns what pydantic finds into messages that say place, finding and remedy."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from wsesim.config.catalogue import value_shown
from wsesim.config.spec import Unreadable, options_of
from wsesim.errors import did_you_mean
from wsesim.plugins import MACHINES
from wsesim.units import EXAMPLES, example_for, unit_of_field

_MOST_PROBLEMS = 20


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


def _example(owner: type[BaseModel], name: str) -> str:
    """A well-formed value of a field; a table's own header where the field is a table."""
    field = owner.model_fields.get(name)
    options = options_of(field.annotation) if field is not None else ()
    if any(isinstance(option, type) and issubclass(option, BaseModel) for option in options):
        return f"[{name}] with {', '.join(list(options[0].model_fields)[:3])}"
    inner = typing.get_args(options[0])[:1] if options and typing.get_origin(options[0]) is tuple else ()
    if inner and isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
        return f"[[{name}]] with {', '.join(list(inner[0].model_fields)[:3])}"
    if any(typing.get_origin(option) is dict for option in options):
        return f"[{name}]"
    unit = unit_of_field(name)
    if unit != "-" or int in options or name in EXAMPLES:
        return f"{name} = {example_for(name)}"
    return f"{name} = {'0.5' if float in options else 'true' if bool in options else chr(34) + 'a text' + chr(34)}"


def of_other_kinds(field: str) -> set[str]:
    """What other kinds of clusters call the same thing."""
    alike = [{getattr(one.files.cluster, word) for one in MACHINES.known} for word in ("count", "limit", "price")]
    return {name for names in alike if field in names for name in names} - {field}


_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_WANTED = {
    "int_": "a whole number",
    "float_": "a number",
    "finite_": "a number",
    "bool_": "true or false",
    "string_type": "a text in quotes",
    "model_": "a table of keys",
    "dict_type": "a table of keys",
    "tuple_type": "a list, [...]",
    "list_type": "a list, [...]",
}


def _one_of(owner: type[BaseModel], name: str) -> str:
    """All words that a field takes, where they come from more than one literal."""
    field = owner.model_fields.get(name)
    words = [repr(option) for option in options_of(field.annotation) if isinstance(option, str)] if field else []
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else ""


def _limit(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def _finding(problem: Any, spec: type[BaseModel], path: tuple[int | str, ...]) -> str:
    kind, context, value = problem["type"], problem.get("ctx", {}), value_shown(problem.get("input"))
    owner, field = _spec_at(spec, path), str(path[-1]) if path else ""
    if isinstance(problem.get("input"), Unreadable):
        return str(problem["input"].finding)
    if kind == "extra_forbidden":
        others = of_other_kinds(field) & owner.model_fields.keys()
        near = f"; did you mean {others.pop()}?" if others else ""
        hint = near or did_you_mean(field, owner.model_fields)
        return f"is not a known key{hint or '; known are ' + ', '.join(owner.model_fields)}"
    if kind == "missing":
        return f"is missing; add it, for example {_example(owner, field)}"
    if kind == "literal_error":
        return f"is {value}; use {_one_of(owner, field) or context['expected']}"
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        if context[key] == 0 or (key == "ge" and context[key] > 0 and problem["input"] <= 0):
            return f"is {value}; it must be {'at least' if (key, context[key]) == ('ge', 0) else 'more than'} 0"
        return f"is {value}; it must be {words} {_limit(context[key])}"
    if kind in ("string_too_short", "string_too_long"):
        bounds = {"min_length": "at least", "max_length": "at most"}
        return f"is {value}; write " + "".join(
            f"{words} {context[key]} character(s)" for key, words in bounds.items() if key in context
        )
    if kind == "too_short" and not problem.get("input"):
        return f"is empty; add one, for example {_example(owner, field)}"
    wanted = next((words for start, words in _WANTED.items() if kind.startswith(start)), "")
    if wanted:
        example = (
            f", for example {_example(owner, field)}" if "number" in wanted and field in owner.model_fields else ""
        )
        return f"is {value}; write {wanted}{example}"
    return f"is {value}: {problem['msg']}; see docs/configuration.md for what it means"


def _choice(path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A path without the names that pydantic gives to members of a union."""
    noise = re.compile(r"^(int|float|str|bool|literal\[.*\]|constrained-.*|tuple\[.*\])$")
    return tuple(part for part in path if not (isinstance(part, str) and noise.match(part)))


def place_of(dotted: str, places: Mapping[str, str], otherwise: str) -> str:
    """The file that a key was read from; of a key that is missing, the file that holds its neighbours."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        key = ".".join(parts[:length])
        if key in places:
            return places[key]
        around = {place for name, place in places.items() if name.startswith(f"{key}.")}
        if len(around) == 1:
            return around.pop()
    return otherwise


def _problems(error: ValidationError, spec: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Dotted key and finding of every problem."""
    found = error.errors()
    paths = [_choice(tuple(problem["loc"])) for problem in found]
    for problem, path in zip(found, paths, strict=True):
        if problem["type"] == "too_short" and any(other[: len(path)] == path for other in paths if other != path):
            continue  # pydantic counts only the entries that are well-formed
        if problem["type"] != "value_error":
            yield ".".join(map(str, path)), _finding(problem, spec, path)
            continue
        text = problem["msg"].removeprefix("Value error, ")
        match = re.match(r"^\[([^\]]+)\] (.*)$", text, re.DOTALL)
        yield ".".join(map(str, (*path, *((match[1],) if match else ())))), match[2] if match else text


def describe(error: ValidationError, spec: type[BaseModel], key: str, place: str, places: Mapping[str, str]) -> str:
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
    places
        Where each key of the table was read, for those that came from another file or an option.
    """
    lines: dict[str, str] = {}
    for dotted, finding in _problems(error, spec):
        if len(lines) == _MOST_PROBLEMS:
            lines[f"{place}: and {error.error_count() - _MOST_PROBLEMS} more problems"] = ""
            break
        where = f"{place_of(dotted, places, place)}: {key}" + (f".{dotted}" if dotted else "")
        lines.setdefault(where, (":" if finding[:1] in "'\"" else "") + " " + finding)
    return "\n".join(where + finding for where, finding in lines.items())

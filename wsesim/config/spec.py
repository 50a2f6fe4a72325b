"""The base of every spec: frozen, quantities with units, where each number comes from, and what is said of wrong ones."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from wsesim.config.catalogue import sources, value_shown
from wsesim.errors import ConfigError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.units import EXAMPLES, example_for, parse_quantity, read_quantity, unit_of_field

# Where every number comes from: the table that lies beside the plain floats.
#
# In a file a number is either a bare value or a table with its origin::
#
#     io_bytes_per_s = { value = "1.2 Tb/s", source = "cs2-datasheet", note = "12 x 100GbE" }
#     power_w        = { value = "23 kW", range = ["15 kW", "23 kW"], source = "toms-hardware-andromeda" }
#
# A file may name one `source` and `status` for all its numbers.


STATUSES = {
    "vendor": "stated by the maker",
    "published": "a paper's or model card's own description",
    "measured": "measured by a third party",
    "derived": "computed from published figures",
    "calibrated": "fitted to published measurements by `wsesim calibrate`",
    "assumed": "not public; our assumption",
    "user": "set in the run file or on the command line",
}

_ORIGIN_KEYS = ("value", "source", "status", "note", "range")


@dataclass(frozen=True)
class Origin:
    """One number with its unit, its source and how far to trust it."""

    key: str
    value: Any
    unit: str
    status: str
    source: str
    note: str = ""
    low: float | None = None
    high: float | None = None
    place: str = ""


def status_of(origin: Origin) -> str:
    """Status of a number: its own, else that of its source."""
    if origin.status:
        return origin.status
    source = sources().get(origin.source)
    return source.status if source is not None else "user"


def is_number_table(value: Any) -> bool:
    """Whether a TOML value is ``{ value = ..., source = ... }``."""
    return isinstance(value, dict) and "value" in value


def _bounds(key: str, raw: Any, unit: str, place: str) -> tuple[float | None, float | None]:
    if raw is None:
        return None, None
    wrong = f"{place}: {key}.range is {value_shown(raw)}; write two numbers, [lowest, highest]"
    if not isinstance(raw, list) or len(raw) != 2 or any(isinstance(end, bool) for end in raw):
        raise ConfigError(wrong)
    try:
        low, high = (parse_quantity(end, unit) if isinstance(end, str) else float(end) for end in raw)
    except ValueError as error:
        raise ConfigError(f"{place}: {key}.range: {error}") from None
    except (TypeError, OverflowError):
        raise ConfigError(wrong) from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(wrong)
    return low, high


def _words(key: str, raw: dict[str, Any], names: tuple[str, ...], place: str) -> dict[str, str]:
    """The texts that stand beside a number, or at the top of a file."""
    for name in names:
        if not isinstance(raw.get(name, ""), str):
            raise ConfigError(f"{place}: {key}{name} is {value_shown(raw[name])}; write a text in quotes")
    found = {name: raw[name] for name in names if name in raw}
    status = found.get("status", "")
    if status and status not in STATUSES:
        raise ConfigError(f"{place}: {key}status is {value_shown(status)}; use one of {', '.join(STATUSES)}")
    return found


def _origin(key: str, raw: dict[str, Any], defaults: dict[str, str], place: str) -> Origin:
    unknown = sorted(set(raw) - set(_ORIGIN_KEYS))
    if unknown:
        hint = did_you_mean(unknown[0], _ORIGIN_KEYS)
        raise ConfigError(
            f"{place}: {key}.{unknown[0]} is not a known key{hint or '; a number has ' + ', '.join(_ORIGIN_KEYS)}"
        )
    words = {**defaults, **_words(f"{key}.", raw, ("source", "status", "note"), place)}
    unit = unit_of_field(key)
    low, high = _bounds(key, raw.get("range"), unit, place)
    status, source, note = (words.get(name, "") for name in ("status", "source", "note"))
    return Origin(key, raw["value"], unit, status, source, note, low, high, place)


def _is_quantity(key: str, value: Any, *, is_marked: bool = False) -> bool:
    """Whether a value is a number, or a string with the unit that the key promises.

    A string without unit may as well be a name; it is a number only where the file marks it as one.
    """
    if isinstance(value, str):
        unit = unit_of_field(key)
        try:
            return (unit != "-" or is_marked) and parse_quantity(value, unit) is not None
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def unwrap(
    raw: dict[str, Any], place: str, defaults: dict[str, str] | None = None, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """Split a raw table into plain values and the origins of its numbers.

    Parameters
    ----------
    raw
        As `tomllib` reads it.
    place
        File, for messages.
    defaults
        ``source`` and ``status`` of numbers that do not state their own; at the top of a file
        they are taken out of `raw`.
    prefix
        Dotted key of `raw` inside the file.

    Returns
    -------
    tuple
        The same nesting with plain values, and dotted key -> `Origin`.
    """
    at_top = defaults is None
    given = _words("", raw, ("source", "status"), place) if at_top else dict(defaults or {})
    plain: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, value in raw.items():
        if at_top and name in ("source", "status"):
            continue
        key = f"{prefix}{name}"
        if is_number_table(value):
            plain[name] = value["value"]
            origin = _origin(key, value, given, place)
            if _is_quantity(key, value["value"], is_marked=True):
                origins[key] = origin
        elif isinstance(value, dict):
            plain[name], below = unwrap(value, place, given, f"{key}.")
            origins |= below
        else:
            plain[name] = value
            if _is_quantity(key, value):
                origins[key] = _origin(key, {"value": value}, given, place)
    return plain, origins


# Turns what pydantic finds into messages that say place, finding and remedy.


_MOST_PROBLEMS = 20


def spec_at(spec: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
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
    table = table_of(field) if field else None
    words += [f"a table of {', '.join(table.model_fields)}"] if table else []
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else ""


def _limit(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def _finding(problem: Any, spec: type[BaseModel], path: tuple[int | str, ...]) -> str:
    kind, context, value = problem["type"], problem.get("ctx", {}), value_shown(problem.get("input"))
    owner, field = spec_at(spec, path), str(path[-1]) if path else ""
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
    noise = re.compile(r"^(int|float|str|bool|literal\[.*\]|constrained-.*|tuple\[.*\]|function-.*)$")
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
        if isinstance(problem["input"], Mapping) and problem["type"] == "literal_error":
            inside = (other["type"] for other, at in zip(found, paths, strict=True) if at[: len(path)] == path)
            if any(kind != "literal_error" for kind in inside):
                continue  # where a word may be a table, too: what is wrong in the table says more
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


# The base of every spec: frozen, refuses unknown keys, reads quantities with units.


Positive = Annotated[float, Field(gt=0, ge=1e-15, le=1e30)]
NotNegative = Annotated[float, Field(ge=0, le=1e30)]
Share = Annotated[float, Field(gt=0, ge=1e-9, le=1)]
PUE = Annotated[float, Field(ge=1, le=10)]
"""The bounds are far beyond any machine, and far enough from those of floats that no product overflows."""


def options_of(annotation: Any) -> tuple[Any, ...]:
    """Members of a union, of an annotated type or of a literal, flattened."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return options_of(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(option for part in typing.get_args(annotation) for option in options_of(part))
    if origin is typing.Literal:
        return typing.get_args(annotation)
    return (annotation,)


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The spec of a field that is a table; of none that is a list of them."""
    found = [one for one in options_of(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    return found[0] if found and typing.get_origin(field.annotation) is not tuple else None


def _read_number(name: str, value: Any, options: tuple[Any, ...]) -> Any:
    """One raw value of a numeric field, as a number; words that the field allows stay."""
    if isinstance(value, bool):
        raise ValueError(f"is {value_shown(value)}; write a number")
    if not isinstance(value, str) or value in options:
        return value
    word = _in_any_case(value, options)
    if word in options:
        return word
    words = [option for option in options if isinstance(option, str)]
    try:
        number = read_quantity(name, value)
    except ValueError as error:
        raise ValueError(f"{error}{', or one of ' + ', '.join(map(repr, words)) if words else ''}") from None
    return int(number) if number.is_integer() and int in options else number


SPELLINGS = {
    "bf16": "bfloat16", "bfloat": "bfloat16", "fp16": "float16", "half": "float16", "f16": "float16", "fp32": "float32",
    "f32": "float32", "single": "float32", "full": "float32", "cb16": "cbfloat16", "cbf16": "cbfloat16", "fp8": "float8",
    "e4m3": "float8", "adam_w": "adamw", "ln": "layernorm", "layer_norm": "layernorm", "rms_norm": "rmsnorm",
    "rope": "rotary", "train": "train", "training": "train", "eval": "evaluation", "float8": "fp8",
}  # fmt: skip
"""Other words for the same, in lower case."""


def _in_any_case(value: str, options: tuple[Any, ...]) -> str:
    """The word that a field takes for one in other letters, or in another common spelling."""
    known = {option.lower(): option for option in options if isinstance(option, str)}
    lower = value.strip().lower()
    for word in (lower, lower.replace("-", "_").replace(" ", "_"), SPELLINGS.get(lower.replace("-", "_"), "")):
        if word in known:
            return known[word]
    return value


class Unreadable:
    """Stands for a quantity that could not be read: the field refuses it, together with all other problems."""

    def __init__(self, finding: str) -> None:
        self.finding = finding

    def __repr__(self) -> str:
        return self.finding


class Spec(BaseModel):
    """A frozen description. Numeric fields also take strings with units."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _quantities(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        read = dict(raw)
        for name, options in numeric_fields(cls).items():
            if name in raw:
                try:
                    read[name] = _read_number(name, raw[name], options)
                except ValueError as error:
                    read[name] = Unreadable(str(error))
        for name, options in word_fields(cls).items():
            if isinstance(read.get(name), str):
                read[name] = _in_any_case(read[name], options)
        return read


@lru_cache(maxsize=256)
def word_fields(spec: type[Spec]) -> dict[str, tuple[Any, ...]]:
    """Fields of a spec that take one of a few words, and these."""
    options = {name: options_of(field.annotation) for name, field in spec.model_fields.items()}
    numeric = numeric_fields(spec)
    return {
        name: kinds
        for name, kinds in options.items()
        if name not in numeric and str not in kinds and any(isinstance(kind, str) for kind in kinds)
    }


@lru_cache(maxsize=256)
def numeric_fields(spec: type[Spec]) -> dict[str, tuple[Any, ...]]:
    """Fields of a spec that take numbers, and what each of them takes."""
    options = {name: options_of(field.annotation) for name, field in spec.model_fields.items()}
    return {name: kinds for name, kinds in options.items() if (float in kinds or int in kinds) and bool not in kinds}

"""The base of every spec: frozen, refuses unknown keys, reads quantities with units."""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wsesim.config.catalogue import value_shown
from wsesim.units import read_quantity

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

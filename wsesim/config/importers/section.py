"""What all importers of foreign files share: reading a mapping key by key, and remembering what became of each key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from wsesim.errors import ConfigError, did_you_mean

REQUIRED: Final = object()
"""Default of a key that must be there."""

_LONGEST_VALUE, _LONGEST_KEY = 40, 100
_LARGEST_NUMBER = 10**18
_DEEPEST = 4


class Understood(NamedTuple):
    """How one field of wsesim came out of a foreign file.

    Attributes
    ----------
    field
        Dotted, such as ``model.hidden_size``.
    keys
        Of the file, that were looked at.
    is_default
        Whether none of them is in the file.
    """

    field: str
    value: Any
    keys: tuple[str, ...]
    is_default: bool


_SAID = {
    "position_embedding": "{} positions",
    "normalization": "{}",
    "tie_embeddings": "tied embeddings",
    "gated_mlp": "a gated MLP",
    "qkv_bias": "biases of queries, keys and values",
    "parallel_block": "parallel blocks",
}


_NOT_SAID = frozenset({"final_norm", "pooler", "num_labels", "embedding_norm", "masked_positions", "attention_dropout"})
"""Fields of which no reader would expect anything else."""


def defaults_said(understood: Iterable[Understood]) -> str:
    """What of a model's shape no key of the file says; nothing where all is said, or nothing is switched on."""
    words = []
    for one in understood:
        table, _, name = one.field.partition(".")
        if name in _NOT_SAID or table != "model" or not one.is_default or not one.keys:
            continue
        if one.value not in (False, 0, "none"):
            words.append(_SAID[name].format(one.value) if name in _SAID else f"{name} = {one.value}")
    return ", ".join(words)


@dataclass(frozen=True)
class Imported:
    """What was read from a foreign file.

    Attributes
    ----------
    kind
        What the file is, in words.
    model, training, cluster, parallelism
        Fields of the tables of a run file.
    understood
        How each field came about.
    harmless
        Keys that were passed over, and why.
    notes
        What a reader of the answer has to know.
    longest_sequence
        Tokens that the model takes, where the file says so but does not train with so many. [-]
    """

    kind: str
    model: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    parallelism: dict[str, Any] = field(default_factory=dict)
    understood: tuple[Understood, ...] = ()
    harmless: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    longest_sequence: int | None = None


def value_shown(value: Any) -> str:
    """Quote a value of a foreign file in a message: short, whatever it holds."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        return "a number of absurd size"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


class Section:
    """One mapping of a foreign file: reads keys by type, and notes every problem with its place.

    A read that fails notes its problem and goes on, so that all problems of a file come together. Every key that is asked
    for counts as read; `unread` are the others.

    Examples
    --------
    >>> problems = []
    >>> section = Section({"n_layer": "twelve"}, "config.json", problems)
    >>> section.count("n_layer")
    >>> problems
    ["config.json: n_layer is 'twelve'; write a whole number of at least 1"]
    """

    def __init__(
        self,
        values: Mapping[Any, Any],
        place: str,
        problems: list[str],
        prefix: str = "",
        asked: list[tuple[str, bool]] | None = None,
    ) -> None:
        self.values = values
        self.place = place
        self.problems = problems
        self.prefix = prefix
        self.asked: list[tuple[str, bool]] = [] if asked is None else asked

    def get(self, name: str) -> Any:
        """A value as it stands; the key counts as read."""
        value = self.values.get(name)
        self.asked.append((self.prefix + name, name in self.values))
        return value

    def has(self, name: str) -> bool:
        """Whether the key is there and not null."""
        return self.get(name) is not None

    def problem(self, name: str, finding: str) -> None:
        """Note one finding, with its remedy, about one key."""
        self.problems.append(f"{self.place}: {self.prefix}{name} {finding}")

    def raw(self, names: Iterable[str], default: Any = None, null: bool = False) -> tuple[str, Any]:
        """Return the spelling that the file uses for a key, and its value as it stands.

        An explicit null is like a key left out, except where `null` makes it a value of its own.
        """
        spellings = tuple(names)
        found = {name: self.get(name) for name in spellings}
        known = [name for name in spellings if name in self.values and (null or found[name] is not None)]
        if not known:
            if default is REQUIRED:
                self.problem(spellings[0], "is missing; add it")
            return spellings[0], None if default is REQUIRED else default
        if any(found[name] != found[known[0]] for name in known[1:]):
            self.problem(known[0], f"and {known[1]} name the same thing but differ; keep one of them")
        return known[0], found[known[0]]

    def count(self, *names: str, default: Any = REQUIRED, null: bool = False, at_least: int = 1) -> int | None:
        """Read a whole number."""
        name, value = self.raw(names, default, null)
        if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_NUMBER:
            value = int(value)
        if value is None or (type(value) is int and value >= at_least):
            return value
        self.problem(name, f"is {value_shown(value)}; write a whole number of at least {at_least}")
        return None

    def share(self, *names: str, default: Any = None) -> float | None:
        """Read a number from 0 to below 1."""
        name, value = self.raw(names, default)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1):
            return None if value is None else float(value)
        self.problem(name, f"is {value_shown(value)}; write a number from 0 to below 1, such as 0.1")
        return None

    def flag(self, *names: str, default: Any = REQUIRED) -> bool:
        """Read a switch."""
        name, value = self.raw(names, default)
        if value is not None and not isinstance(value, bool):
            self.problem(name, f"is {value_shown(value)}; write true or false")
        return value is True

    def text(self, *names: str, default: Any = REQUIRED) -> str | None:
        """Read a word, whatever it is, in lower case."""
        name, value = self.raw(names, default)
        if value is None or isinstance(value, str):
            return None if value is None else value.lower()
        self.problem(name, f"is {value_shown(value)}; write a word")
        return None

    def word(self, *names: str, known: Iterable[str], default: Any = REQUIRED) -> str | None:
        """Read one of the known words, in upper or lower case."""
        name, value = self.raw(names, default)
        words = tuple(known)
        if value is None or (isinstance(value, str) and value.lower() in words):
            return None if value is None else str(value).lower()
        hint = did_you_mean(value.lower(), words) if isinstance(value, str) else ""
        finding = f"is {value_shown(value)}, which is not supported{hint}"
        self.problem(name, f"{finding}; known are {', '.join(words)}")
        return None

    def section(self, name: str) -> Section:
        """Open the mapping under a key; an empty one where the key is left out."""
        value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.problem(name, f"is {value_shown(value)}; write a mapping of keys")
        inner = value if isinstance(value, Mapping) else {}
        return Section(inner, self.place, self.problems, f"{self.prefix}{name}.", self.asked)

    def refuse(self, names: Iterable[str], remedy: str) -> None:
        """Note every key of `names` that is switched on."""
        for name in names:
            value = self.get(name)
            if value:
                self.problem(name, f"is {value_shown(value)}, whose parameters are not modelled; {remedy}")

    def unread(self) -> dict[str, Any]:
        """Keys that nobody asked for, dotted, with their values; of a section that was opened the keys inside it."""
        asked = {name for name, _ in self.asked}
        opened = {name.rpartition(".")[0] for name in asked}
        return {
            name: value
            for name, value, is_open in _flat(self.values, self.prefix, opened)
            if not is_open and name not in asked
        }


def _flat(values: Mapping[Any, Any], prefix: str, opened: set[str]) -> Iterator[tuple[str, Any, bool]]:
    """All keys, and whether what lies below was opened key by key."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        is_open = isinstance(value, Mapping) and name in opened and name.count(".") < _DEEPEST
        yield name, value, is_open
        if is_open:
            yield from _flat(value, name + ".", opened)


class Fields:
    """Reads fields one after another and remembers from which keys each came."""

    def __init__(self, section: Section, table: str, given: Iterable[str] = ()) -> None:
        self.section = section
        self.table = table
        self.given = frozenset(given)
        self.found: dict[str, Any] = {}
        self.understood: list[Understood] = []

    def read(self, name: str, entry: Any) -> None:
        """Read one field: a constant, or a function of the section; what a run file gives itself is not asked for."""
        before, problems = len(self.section.asked), len(self.section.problems)
        value = entry(self.section) if callable(entry) else entry
        if name in self.given:
            del self.section.problems[problems:]
            return
        asked = dict.fromkeys(self.section.asked[before:])
        there = tuple(dict.fromkeys(key for key, is_there in asked if is_there))
        keys = there or tuple(dict.fromkeys(key for key, _ in asked))
        if value is not None:
            self.found[name] = value
            self.understood.append(Understood(f"{self.table}.{name}", value, keys, not there))

    def drop(self, name: str) -> None:
        """Forget a field that another one makes meaningless."""
        self.found.pop(name, None)
        self.understood = [one for one in self.understood if one.field != f"{self.table}.{name}"]


Reasons = Iterable[tuple[str, str]]
"""Patterns of keys, and why these keys change nothing that wsesim works out."""


def pass_over(section: Section, reasons: Reasons, remedy: Callable[[Any], str]) -> dict[str, str]:
    """Why each key that was not read is harmless; what is neither read nor harmless is a problem, with `remedy`.

    A switch that is off adds nothing, and a bare word names something; both are harmless whatever they belong to, but for words
    that say of what kind a part of the model is.
    """
    compiled = [(re.compile(pattern), reason) for pattern, reason in reasons]
    harmless: dict[str, str] = {}
    for name, value in section.unread().items():
        last = name.rpartition(".")[2]
        why = next((reason for pattern, reason in compiled if pattern.fullmatch(last) or pattern.fullmatch(name)), None)
        if why is None and is_off(value):
            why = "switched off"
        if why is None and isinstance(value, str):
            why = _why_a_word(last, value.lower())
        if why is None and isinstance(value, float) and not value.is_integer():
            why = "a coefficient, which counts nothing"
        if why is None:
            section.problems.append(f"{section.place}: {_printable(name)} {remedy(value)}")
        else:
            harmless[name] = why
    return harmless


_SHAPES = re.compile(
    r"(?:.*_)?(?:attention|attn|mlp|ffn|moe|experts?|norm|layernorm|mixer|blocks?|layers?|ssm|position|embeddings?)(?:_.*)?"
    r"_?(?:type|kind|class|cls|style|variant|mode|pattern|arch)s?"
)
"""Keys that say of what kind a part of the model is."""
_USUAL = frozenset(
    (
        *(
            "default",
            "standard",
            "none",
            "null",
            "full",
            "full_attention",
            "global",
            "causal",
            "softmax",
            "dense",
            "mha",
            "gqa",
        ),
        *(
            "mqa",
            "multi_head",
            "multihead",
            "self",
            "self_attention",
            "scaled_dot_product",
            "dot_product",
            "eager",
            "sdpa",
        ),
        *("flash", "flash_attention", "flash_attention_2", "gated", "float32", "bfloat16", "float16"),
    )
)
"""Kinds that every model here is of."""


def _why_a_word(key: str, value: str) -> str | None:
    """Why a word of an unknown key is harmless; None where it may say of what kind a part of the model is."""
    if not _SHAPES.fullmatch(key.lower()):
        return "a word, which counts nothing"
    return "the kind that is taken" if value in _USUAL else None


def _printable(name: str) -> str:
    """A key of a foreign file in a message, whatever it holds."""
    return "".join(sign if sign.isprintable() else "?" for sign in name[:_LONGEST_KEY])


def is_off(value: Any) -> bool:
    """Whether a value adds nothing: null, false, 0, or empty."""
    return value is None or value is False or (isinstance(value, int | float) and value == 0) or value in ("", [], {})


def raise_problems(problems: Iterable[str]) -> None:
    """One error with all problems of a file, if there are any."""
    lines = dict.fromkeys(problems)
    if lines:
        raise ConfigError("\n".join(lines))


def model_name(path: Path, anonymous: Iterable[str]) -> str:
    """Name a model after its file, or after the folder of a file that is called like all others.

    Examples
    --------
    >>> model_name(Path("models/gpt2-xl/config.json"), ["config"])
    'gpt2-xl'
    """
    named = path.absolute().parent.name if path.stem.lower() in anonymous else path.stem
    return (named or path.stem)[:200]

"""Quantities with units at the edge; plain SI floats inside.

The only module that knows that a gigabyte is 1e9 bytes. A field says its unit by the end of
its name (``sram_bytes``, ``io_bytes_per_s``); a string may use any unit of the same kind
("40 GB", "1.2 Tb/s"); a bare number is taken in the field's own unit.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import TypeVar

T = TypeVar("T")
_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SMALL = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_DAY_S = 86_400.0
_TIMES = (
    ("min", 60.0),
    ("h", 3600.0),
    ("d day days", _DAY_S),
    ("a year years", 365.0 * _DAY_S),
    ("month months", 365.0 / 12.0 * _DAY_S),
    ("w week weeks wk wks", 7.0 * _DAY_S),
    ("hr hrs", 3600.0),
    ("mins", 60.0),
    ("secs sec second seconds", 1.0),
    ("minute minutes", 60.0),
    ("hour hours", 3600.0),
)
"""Times as people write them. [s]"""


def _table() -> dict[str, tuple[str, float]]:
    """Every accepted unit: its kind, and its size in the SI unit of that kind."""
    units: dict[str, tuple[str, float]] = {}
    for prefix, factor in {**_DECIMAL, **_BINARY}.items():
        for name, size in (("B", 1.0), ("byte", 1.0), ("bytes", 1.0), ("b", 0.125), ("bit", 0.125)):
            units[prefix + name] = ("bytes", factor * size)
            for per in ("/s", "ps"):
                units[prefix + name + per] = ("bytes/s", factor * size)
    for prefix, factor in _DECIMAL.items():
        for name in ("FLOP", "flop"):
            units[prefix + name] = ("FLOP", factor)
            units[f"{prefix}{name}/s"] = ("FLOP/s", factor)
        units[prefix + "FLOPS"] = ("FLOP/s", factor)
        units[prefix + "Hz"] = ("Hz", factor)
        units[prefix + "W"] = ("W", factor)
        units[prefix + "J"] = ("J", factor)
        units[prefix + "Wh"] = ("J", 3600.0 * factor)
        units[prefix + "USD"] = ("USD", factor)
        units[prefix + "USD/h"] = ("USD/h", factor)
        units[prefix + "USD/kWh"] = ("USD/kWh", factor)
    for prefix, factor in {**_SMALL, "": 1.0}.items():
        units[prefix + "s"] = ("s", factor)
    for names, size in _TIMES:
        units |= dict.fromkeys(names.split(), ("s", size))
    units |= {
        **dict.fromkeys(("1/s", "samples/s", "parameters/s", "tokens/s"), ("1/s", 1.0)),
        "kg": ("kg", 1.0),
        "t": ("kg", 1000.0),
        "kg/kWh": ("kg/kWh", 1.0),
        "g/kWh": ("kg/kWh", 0.001),
        "%": ("-", 0.01),
    }
    return units


UNITS = _table()

PLAIN = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12, "thousand": 1e3, "million": 1e6, "billion": 1e9}
PLAIN |= {"trillion": 1e12}
"""Sizes of plain numbers as people write them, 20B or 1.5T, in lower case. [-]"""
NOUNS = frozenset(
    {"token", "tokens", "parameter", "parameters", "param", "params", "sequence", "sequences", "sample", "samples"}
    | {"step", "steps", "system", "systems", "gpu", "gpus", "layer", "layers", "head", "heads"}
)
"""What may stand behind a plain number."""
_OF_TOKENS, _OF_SEQUENCES = frozenset({"token", "tokens"}), frozenset({"sequence", "sequences", "sample", "samples"})
_COUNTED = {
    **dict.fromkeys(("tokens", "global_batch_tokens", "sequence_length", "sliding_window"), _OF_TOKENS),
    **dict.fromkeys(("max_position_embeddings", "vocab_size"), _OF_TOKENS),
    **dict.fromkeys(("global_batch_size", "batch_size_per_system", "micro_batch_size"), _OF_SEQUENCES),
    **dict.fromkeys(("num_systems", "max_systems"), frozenset({"system", "systems"})),
    **dict.fromkeys(("num_gpus", "max_gpus", "gpus_per_node"), frozenset({"gpu", "gpus"})),
    "steps": frozenset({"step", "steps"}),
}
"""What some fields count, as people say it behind the number."""
OF_LENGTHS = frozenset({"sequence_length", "max_position_embeddings", "sliding_window"})
"""Fields whose k is 1024: a context of 8k has 8,192 tokens."""
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")

EXAMPLES = {
    "deadline_s": '"30 d"',
    "sequence_length": "2048", "global_batch_size": "256", "batch_size_per_system": "90", "micro_batch_size": "4",
    "num_layers": "24", "hidden_size": "2048", "num_attention_heads": "16", "num_key_value_heads": "8", "head_dim": "128",
    "intermediate_size": "8192", "vocab_size": "50_257", "max_position_embeddings": "2048", "num_systems": "4",
    "num_gpus": "64", "gpus_per_node": "8", "steps": "100_000", "tokens": '"300 B"', "global_batch_tokens": '"4 M"',
    "num_experts": "8", "experts_per_token": "2", "moe_intermediate_size": "1408", "sliding_window": "4096",
    "published_parameters": '"13 B"', "tensor_parallel_size": "8", "pipeline_parallel_size": "4", "data_parallel_size": "8",
    "masked_positions": "77", "max_systems": "64", "max_gpus": "1024",
}  # fmt: skip
"""A value that fits each field, for messages."""

_ENDS = {
    "bytes": "_bytes_per_parameter _bytes_per_weight _bytes_per_gradient _bytes_per_token _bytes",
    "USD/h": "_usd_per_system_hour _usd_per_gpu_hour",
    "W": "_w_per_gpu _w",
    "USD": "_usd_per_gpu _usd",
    "USD/kWh": "_usd_per_kwh",
    "kg/kWh": "_kg_per_kwh",
    "kg": "_kg",
    "USD/J": "_usd_per_j",
    "bytes/s": "_bytes_per_s",
    "FLOP/s": "_flop_per_s",
    "1/s": "_samples_per_s _parameters_per_s _tokens_per_s",
    "FLOP": "_flop",
    "Hz": "_hz",
    "s": "_s",
    "J": "_j",
}
_SUFFIXES = sorted(((end, unit) for unit, ends in _ENDS.items() for end in ends.split()), key=lambda one: -len(one[0]))
"""Ends of names of fields and their units, the longest first."""

_QUANTITY = re.compile(r"^\s*([-+]?[0-9][0-9_,]*(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*$")


@lru_cache(maxsize=4096)
def unit_of_field(name: str) -> str:
    """SI unit that the end of a field's name promises; ``"-"`` for a plain number.

    Examples
    --------
    >>> unit_of_field("io_bytes_per_s")
    'bytes/s'
    >>> unit_of_field("num_cores")
    '-'
    """
    dotted = "_" + name.rsplit(".", 1)[-1]
    return next((unit for suffix, unit in _SUFFIXES if dotted.endswith(suffix)), "-")


def read_quantity(name: str, text: str) -> float:
    """Read a quantity of a field, whose name says its unit.

    Examples
    --------
    >>> read_quantity("io_bytes_per_s", "1.2 Tb/s"), read_quantity("tokens", "1.5T tokens"), read_quantity("sequence_length", "8k")
    (150000000000.0, 1500000000000.0, 8192.0)
    """
    unit = unit_of_field(name)
    thousand = 1024.0 if name in OF_LENGTHS else 1000.0
    noun = text.lower().split()[-1:]
    if name in _COUNTED and not _COUNTED[name].issuperset(NOUNS.intersection(noun)):
        counted = max(_COUNTED[name])
        raise ValueError(f"{text!r} counts {noun[0]}, and {name} {counted}; write for example {example_for(name)}")
    return parse_quantity(text, unit, example_for(name), thousand)


def example_for(name: str) -> str:
    """One well-formed value of a field, for messages.

    Examples
    --------
    >>> example_for("sequence_length"), example_for("power_w")
    ('2048', '"23 kW"')
    """
    return EXAMPLES.get(name) or example_of(unit_of_field(name))


def _plain(words: str, thousand: float) -> float | None:
    """What the words behind a plain number stand for: ``B tokens`` is 1e9. [-]"""
    parts = words.lower().split()
    if parts and parts[-1] in NOUNS:
        parts.pop()
    size = thousand if parts == ["k"] else 1.0 if not parts else PLAIN.get(parts[0])
    return size if len(parts) < 2 else None


def means_tokens(text: str) -> bool:
    """Whether the size of a batch is said in tokens: with the word, or in millions, of which no batch has sequences.

    Examples
    --------
    >>> means_tokens("4M tokens"), means_tokens("2M"), means_tokens("1k"), means_tokens("2 million sequences")
    (True, True, False, False)
    """
    match = _QUANTITY.match(text)
    words = match[2].lower().split() if match else []
    in_tokens = words[-1:] in (["token"], ["tokens"])
    return in_tokens or (len(words) == 1 and PLAIN.get(words[0], 0.0) >= PLAIN["m"])


def _unit(word: str, wanted: str) -> tuple[str, float]:
    """Kind and size of a unit, in whatever case where only one unit of the wanted kind can be meant."""
    known = UNITS.get(word)
    if known is not None:
        return known
    near = {found for name, found in UNITS.items() if name.lower() == word.lower() and found[0] == wanted}
    return near.pop() if len(near) == 1 else ("", 0.0)


def _dollars(text: str) -> str:
    """Money as people write it, without its sign and with its size as a number: $100k, 2 million dollars.

    Examples
    --------
    >>> _dollars("$100k"), _dollars("1.5 million dollars"), _dollars("2 MUSD")
    ('100000 USD', '1500000 USD', '2000000 USD')
    """
    found = _MONEY.fullmatch(text.strip())
    if found is None or (found["size"] or "").lower() not in PLAIN | {"": 1.0}:
        return text
    size = PLAIN.get((found["size"] or "").lower(), 1.0)
    return f"{float(found['number'].replace('_', '').replace(',', '')) * size:.15g} USD"


_MONEY = re.compile(
    r"(?:\$|USD\s*)?\s*(?P<number>\d[\d_,]*(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?P<size>[A-Za-z]+?)?\s*(?:\$|USD|dollars?)?",
    re.IGNORECASE,
)


def _added_times(text: str) -> float | None:
    """Several durations in a row as one, each with its unit; None for what is none. [s]

    Examples
    --------
    >>> _added_times("1 h 30 min"), _added_times("7 weeks"), _added_times("3 days 4")
    (5400.0, None, None)
    """
    parts = [found.groups() for found in _DURATION.finditer(text)]
    if len(parts) < 2 or _DURATION.sub("", text).strip():
        return None
    sizes = [(float(number), _unit(word, "s")) for number, word in parts]
    return (
        math.fsum(number * size for number, (_, size) in sizes) if all(kind == "s" for _, (kind, _) in sizes) else None
    )


_DURATION = re.compile(r"(?:\band\b|,)?\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def parse_quantity(text: str, unit: str, example: str = "", thousand: float = 1000.0) -> float:
    """Read ``"1.2 Tb/s"`` as a float in the wanted SI unit, as `unit_of_field` names it.

    Parameters
    ----------
    thousand
        What a k behind a plain number is. [-]

    Raises
    ------
    ValueError
        Not a number, an unknown unit, or a unit of another kind; the message says which.

    Examples
    --------
    >>> parse_quantity("1.2 Tb/s", "bytes/s")
    150000000000.0
    >>> parse_quantity("1 GiB", "bytes"), parse_quantity("1 week 2 days", "s") / 86400
    (1073741824.0, 9.0)
    """
    example = example or example_of(unit)
    if unit == "USD":
        text = _dollars(text)
    if unit == "s" and (added := _added_times(text)) is not None:
        return added
    match = _QUANTITY.match(text)
    if unit == "s" and _DATE.match(text.strip()):
        raise ValueError(
            f"{text!r} is a date; write it as 2026-03-01 where there is a start, or a time, for example {example}"
        )
    if match is None:
        kind = "number" if unit == "-" else "number with a unit"
        raise ValueError(f"{text!r} is not a {kind}; write for example {example}")
    value = float(match[1].replace("_", "").replace(",", ""))
    if not match[2]:
        return value
    plain = _plain(match[2], thousand) if unit == "-" else None
    if plain is not None:
        return value * plain
    kind, size = _unit(match[2], unit)
    if not kind:
        raise ValueError(f"{text!r} has the unknown unit {match[2]!r}; write for example {example}")
    if kind != unit:
        wanted = "a plain number" if unit == "-" else unit
        raise ValueError(f"{text!r} is in {kind}, wanted {wanted}; write for example {example}")
    return value * size


def example_of(unit: str) -> str:
    """One well-formed quantity of a kind, for error messages."""
    examples = {
        "bytes": '"40 GB"',
        "bytes/s": '"1.2 Tb/s"',
        "FLOP/s": '"7.5 PFLOP/s"',
        "Hz": '"1.1 GHz"',
        "s": '"1.5 h"',
        "W": '"23 kW"',
        "J": '"5 MWh"',
        "USD": '"1.5 MUSD"',
        "1/s": '"500 samples/s"',
        "FLOP": '"2.3e22 FLOP"',
        "USD/h": '"45 USD/h"',
        "USD/kWh": '"0.08 USD/kWh"',
        "kg/kWh": '"385 g/kWh"',
        "kg": '"25 t"',
    }
    return examples.get(unit, "16")


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {steps[-1][1]}"
    size, name = next(((s, n) for s, n in steps if abs(value) >= s * 0.9995), steps[-1])
    number = value / size
    digits = max(0, 2 - math.floor(math.log10(max(abs(number), 1e-9))))
    return f"{number:,.{digits}f} {name}"


def add_up(values: Iterable[T]) -> T:
    """Sum from the first value to the last, each added as it is: the same on every Python.

    `sum` rounds floats in another way from Python 3.12 on. Arrays are added element by element; of nothing, it is 0.

    Examples
    --------
    >>> add_up([1e16, 1.0, -1e16]), add_up([])
    (0.0, 0)
    """
    return reduce(operator.add, values, 0)  # type: ignore[return-value]


def show(value: float, unit: str) -> str:
    """A value in its SI unit, for people: three figures and a prefix.

    Examples
    --------
    >>> show(150e9, "bytes/s")
    '150 GB/s'
    >>> show(0.00125, "s")
    '1.25 ms'
    """
    if unit == "s":
        return show_duration(value)
    if unit in ("-", ""):
        return f"{value:,.6g}" if abs(value) < 1e15 else f"{value:.4g}"
    if unit == "kg" and abs(value) >= 1000.0:
        return _scaled(value / 1000.0, ((1.0, "t"),))
    if unit in ("USD/h", "1/s", "USD/kWh", "kg/kWh", "kg"):
        return f"{value:,.4g} {unit}"
    name = {"bytes": "B", "bytes/s": "B/s"}.get(unit, unit)
    steps = tuple((size, prefix + name) for prefix, size in reversed(_DECIMAL.items()))
    return _scaled(value, steps)


def show_duration(value_s: float) -> str:
    """A duration with the unit that people would choose.

    Examples
    --------
    >>> show_duration(93_600.0)
    '1.08 days'
    """
    steps = (
        (365.0 * _DAY_S, "years"),
        (_DAY_S, "days"),
        (3600.0, "h"),
        (60.0, "min"),
        (1.0, "s"),
        (1e-3, "ms"),
        (1e-6, "us"),
        (1e-9, "ns"),
    )
    return _scaled(value_s, steps)

"""JSON Schema of every kind of file, with the meaning of each key from the docstrings of the specs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from wsesim.config.cluster import AnyCluster
from wsesim.config.goal import CandidateSpec, GoalSpec, LimitsSpec, PortfolioJobSpec, PortfolioSpec
from wsesim.config.layering import NAMED
from wsesim.config.model import LawSpec, ModelSpec
from wsesim.config.spec import STATUSES, Spec, numeric_fields
from wsesim.config.training import JobSpec, TrainingSpec
from wsesim.errors import UnknownNameError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.units import NOUNS, UNITS, unit_of_field

# What configuration keys mean: read from the docstrings of the specs, their one home.


_UNIT = re.compile(r"\s*\[([^\[\]]+)\]$")
_HEADING = "Attributes\n----------\n"


class Meaning(NamedTuple):
    """What one key means, and its unit; empty where it is no number."""

    text: str
    unit: str


@lru_cache(maxsize=64)
def meanings(spec: type[Spec]) -> dict[str, Meaning]:
    """Meaning of every key, from the ``Attributes`` sections of the docstrings of a spec and of its bases.

    Examples
    --------
    >>> from wsesim.machines.wafer.spec import SwarmXSpec
    >>> meanings(SwarmXSpec)["hop_latency_s"]
    Meaning(text='One hop, down or up.', unit='s')
    """
    inherited: dict[str, Meaning] = {}
    for base in spec.__bases__:
        if issubclass(base, Spec):
            inherited |= {key: one for key, one in meanings(base).items() if key in spec.model_fields}
    section = inspect.cleandoc(spec.__doc__ or "").partition(_HEADING)[2]
    entries = re.split(r"\n(?=\S)", section)
    own = {name: _meaning(" ".join(text.split())) for name, _, text in (one.partition("\n") for one in entries) if name}
    return inherited | own


def _meaning(text: str) -> Meaning:
    unit = _UNIT.search(text)
    return Meaning(_UNIT.sub("", text), unit[1] if unit else "")


def summary(spec: type[Spec]) -> str:
    """First paragraph of a spec's docstring."""
    return " ".join(inspect.cleandoc(spec.__doc__ or "").split("\n\n")[0].split())


def specs_of(annotation: object) -> Iterator[type[Spec]]:
    """Specs that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
        return
    for part in get_args(annotation):
        yield from specs_of(part)


# JSON Schema of every kind of file: editors complete keys and underline what wsesim would refuse.
#
# Draft 7, which editors of TOML know. A schema knows keys, units and limits. What takes two keys or another file to
# see (sizes that divide each other, names of the catalogue) is left to the commands.


Schema = dict[str, Any]
_DRAFT = "http://json-schema.org/draft-07/schema#"
_NUMBER = r"^\s*[-+]?[0-9][0-9_,]*(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*"
_TEXT: Schema = {"type": "string"}
_EXTENDS: Schema = {"type": "string", "description": "File or catalogue entry; keys beside it override what it has."}
_SOURCE: Schema = {"type": "string", "description": "Key of cluster_configs/sources.toml, or words of your own."}
_STATUS: Schema = {
    "enum": list(STATUSES),
    "description": "; ".join(f"{name}: {text}" for name, text in STATUSES.items()),
}
_ORIGIN: Schema = {"source": {"$ref": "#/definitions/Source"}, "status": {"$ref": "#/definitions/Status"}}
_TOP = {"extends": _EXTENDS, **_ORIGIN}
"""Keys at the top of run files and of files of the catalogue."""
_TABLES_OF_A_RUN: dict[str, type[Spec]] = {"model": ModelSpec, "training": TrainingSpec, "cluster": AnyCluster}
"""Tables that goals and portfolios hold as well."""
_WITHOUT_ORIGINS = (GoalSpec, LimitsSpec, CandidateSpec, PortfolioSpec, PortfolioJobSpec)
"""Tables whose numbers cannot be written with their origin, and that lie over no other table."""


class Kind(NamedTuple):
    """A kind of file: what it is, and how its schema is put together."""

    text: str
    build: Callable[[Definitions], Schema]


class Definitions:
    """Tables that a schema refers to, by name."""

    def __init__(self) -> None:
        self.tables: Schema = {"Source": _SOURCE, "Status": _STATUS}

    def reference(self, spec: type[Spec]) -> Schema:
        """A reference to the table of a spec."""
        return self.named(spec.__name__.removesuffix("Spec"), lambda: self.table(spec))

    def named(self, name: str, build: Callable[[], Schema]) -> Schema:
        """A reference to a table by its name; the table is built once."""
        if name not in self.tables:
            self.tables[name] = build()
        return {"$ref": f"#/definitions/{name}"}

    def table(self, spec: type[Spec]) -> Schema:
        """The table of a spec; nothing is required where another table may lie below."""
        raw = spec.model_json_schema()
        keys = {name: self._key(spec, name, one) for name, one in raw["properties"].items()}
        if spec in _parts():
            keys["extends"] = _EXTENDS
        found = {"type": "object", "description": summary(spec), "properties": keys, "additionalProperties": False}
        return found | {"required": raw["required"]} if spec in _WITHOUT_ORIGINS and "required" in raw else found

    def _key(self, spec: type[Spec], name: str, raw: Schema) -> Schema:
        """What one key takes, with its meaning and unit."""
        options = self._options(spec, name, raw)
        text, unit = meanings(spec).get(name, Meaning(name.replace("_", " "), unit_of_field(name)))
        words: Schema = {"description": f"{text} [{unit}]" if unit else text}
        if isinstance(raw.get("default"), int | float | str):
            words["default"] = raw["default"]
        return words | ({"anyOf": options} if len(options) > 1 or "$ref" in options[0] else options[0])

    def _options(self, spec: type[Spec], name: str, raw: Schema) -> list[Schema]:
        inner = next(specs_of(spec.model_fields[name].annotation), None)
        if inner is not None:
            table = self.reference(inner)
            if "additionalProperties" in raw:
                return [{"type": "object", "additionalProperties": table}]
            if raw.get("type") == "array":
                return [{"type": "array", "items": table}]
            if name in NAMED:
                return [_TEXT, table]
            return [_bare(one) for one in raw.get("anyOf", []) if "$ref" not in one and one.get("type") != "null"] + [
                table
            ]
        if raw.get("type") == "object" and "additionalProperties" in raw and name not in _TABLES_OF_A_RUN:
            return [{"type": "object", "additionalProperties": self._with_origin([raw["additionalProperties"]], "-")}]
        options = [_bare(one) for one in raw.get("anyOf", [raw]) if one.get("type") != "null"]
        if any(one.get("type") == "object" for one in options):
            return [self.of_a_run(name)]
        if name in numeric_fields(spec):
            options.append(self._quantity(unit_of_field(name)))
        is_list = any(one.get("type") == "array" for one in options)
        return options if is_list or spec in _WITHOUT_ORIGINS else [self._with_origin(options, unit_of_field(name))]

    def _quantity(self, unit: str) -> Schema:
        """A string with a unit of the wanted kind."""
        names = sorted((name for name, (kind, _) in UNITS.items() if kind == unit), key=len)
        plain = (
            rf"|([kKmMbBgGtT]|bn|thousand|million|billion|trillion)?\s*({'|'.join(sorted(NOUNS))})?"
            if unit == "-"
            else ""
        )
        pattern = f"{_NUMBER}({'|'.join(map(re.escape, names))}{plain})?\\s*$"
        return self.named(
            f"Quantity_in_{'numbers' if unit == '-' else unit.replace('/', '_per_')}",
            lambda: _TEXT | {"pattern": pattern},
        )

    def _with_origin(self, options: list[Schema], unit: str) -> Schema:
        """A value, or a table with the value and where it comes from."""
        bound = {"anyOf": [{"type": "number"}, self._quantity(unit)]}
        table = {
            "type": "object",
            "properties": {
                "value": {"anyOf": options},
                **_ORIGIN,
                "note": _TEXT,
                "range": {"type": "array", "items": bound, "minItems": 2, "maxItems": 2},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
        return {"anyOf": [*options, table]}

    def of_a_run(self, name: str) -> Schema:
        """One of the tables ``[model]``, ``[training]`` and ``[cluster]``."""
        extra: Schema = {
            "path": _TEXT
            | {"description": "A config.json or its folder, a Model Zoo params.yaml, or arguments of Megatron-LM."}
        }
        if name == "cluster":
            return self.named("RunCluster", self._any_cluster)
        table = self.table(_TABLES_OF_A_RUN[name])
        if name == "model":
            table["properties"] |= extra
        return self.named(f"Run{name.title()}", lambda: table)

    def _any_cluster(self) -> Schema:
        """Keys of all kinds of clusters: their names say which kind it is."""
        tables = [self.table(one.files.cluster)["properties"] for one in MACHINES.known]
        ways: dict[str, list[Schema]] = {}
        for key, way in ((key, way) for table in reversed(tables) for key, way in table.items()):
            if way not in ways.setdefault(key, []):
                ways[key].insert(0, way)
        return {
            "type": "object",
            "description": "Name of a catalogue cluster, and keys that override it.",
            "properties": {
                key: several[0] if len(several) == 1 else {"anyOf": several} for key, several in ways.items()
            },
            "additionalProperties": False,
        }


def _bare(raw: Schema) -> Schema:
    """What pydantic says of a value, without its title and default."""
    return {key: value for key, value in raw.items() if key not in ("title", "default", "description", "anyOf")}


def _file(spec: type[Spec]) -> Callable[[Definitions], Schema]:
    """A file that holds the table of one spec, whole or over another file."""

    def build(definitions: Definitions) -> Schema:
        table = definitions.table(spec)
        table["properties"] |= _TOP
        return table | {"if": {"not": {"required": ["extends"]}}, "then": _complete(spec)}

    return build


def _complete(spec: type[Spec]) -> Schema:
    """What a table needs that lies over no other one."""
    inner = {
        name: _complete(nested)
        for name, field in spec.model_fields.items()
        if name not in NAMED
        for nested in specs_of(field.annotation)
        if isinstance(field.annotation, type)
    }
    return {
        "required": [name for name, field in spec.model_fields.items() if field.is_required()],
        "properties": {name: needs for name, needs in inner.items() if needs["required"]},
    }


def _run(definitions: Definitions) -> Schema:
    spreads = (one.files.spread for one in MACHINES.known if one.files.spread is not None)
    keys = {
        "name": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Title of the run."},
        **{name: definitions.of_a_run(name) for name in _TABLES_OF_A_RUN},
        "parallelism": {"anyOf": [{"const": "auto"}, *map(definitions.reference, spreads)]},
        "run": {
            "type": "object",
            "description": "A file of another tool that gives the model, the batch and the plan.",
            "properties": {
                "path": _TEXT | {"description": "Arguments of Megatron-LM: printed lines, or a launch script."}
            },
            "required": ["path"],
            "additionalProperties": False,
        },
        "job": definitions.reference(JobSpec),
        **_TOP,
    }
    needs: Schema = {"required": ["cluster"], "properties": {"cluster": {"required": ["name"]}}}
    needs |= {"anyOf": [{"required": ["model"]}, {"required": ["run"]}]}
    return {
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
        "if": {"not": {"required": ["extends"]}},
        "then": needs,
    }


def _parts() -> list[type[Spec]]:
    """Specs of what a key of another table may name: it lies over the entry that it extends."""
    return [spec for one in MACHINES.known for _, spec in one.files.schemas.values() if spec is not one.files.cluster]


def kinds() -> dict[str, Kind]:
    """Every kind of file that has a schema."""
    MACHINES.load_others()
    machines = {
        key: Kind(text, _file(spec)) for one in MACHINES.known for key, (text, spec) in one.files.schemas.items()
    }
    return {
        "run": Kind("a run: what is trained, how, and on which cluster", _run),
        **machines,
        "model": Kind("a model", _file(ModelSpec)),
        "law": Kind("laws of loss and of zero-shot accuracy", _file(LawSpec)),
        "goal": Kind("a goal for `wsesim plan`", lambda definitions: definitions.table(GoalSpec)),
        "portfolio": Kind("jobs for `wsesim portfolio`", lambda definitions: definitions.table(PortfolioSpec)),
    }


def schema(kind: str) -> Schema:
    """JSON Schema of one kind of file.

    Raises
    ------
    UnknownNameError
        There is no such kind.

    Examples
    --------
    >>> schema("system")["properties"]["power_w"]["description"]
    'Electric power of one system. [W]'
    """
    known = kinds()
    if kind not in known:
        hint = did_you_mean(kind, known) or f"; kinds are {', '.join(known)}"
        raise UnknownNameError(f"{kind!r} is not a kind of file{hint}")
    text, build = known[kind]
    definitions = Definitions()
    built = build(definitions)
    return {"$schema": _DRAFT, "title": f"wsesim: {text}", **built, "definitions": definitions.tables}

"""The catalogue: what it holds, every number of an entry or a model file with its origin, and schemas of its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsesim.config import catalogue
from wsesim.config.json_schema import kinds, schema
from wsesim.config.layering import Layered, import_model, model_file
from wsesim.config.loader import build, load_any, load_any_cluster, load_model, load_part, origins_of
from wsesim.config.model import ModelSpec
from wsesim.config.spec import Origin
from wsesim.errors import InputError, UnknownNameError, did_you_mean
from wsesim.plugins import MACHINES
from wsesim.report import files
from wsesim.results.job import show_count
from wsesim.results.result import status_of
from wsesim.units import parse_quantity, show, unit_of_field
from wsesim.view import Note, Section, Table, notes
from wsesim.workload.transformer import active_parameter_count, parameter_count

if TYPE_CHECKING:
    from wsesim.config.importers.section import Imported

# The catalogue: what it holds, and every number of an entry or a model file with its origin.


@dataclass(frozen=True)
class ExplainedNumber:
    """One number of an entry."""

    kind: str
    key: str
    origin: Origin

    @property
    def value(self) -> Any:
        """In the SI unit of its key."""
        raw, unit = self.origin.value, unit_of_field(self.key)
        return parse_quantity(raw, unit) if isinstance(raw, str) else raw

    @property
    def range_si(self) -> list[float] | None:
        """Bounds in the same unit, where there are some."""
        return None if self.origin.low is None or self.origin.high is None else [self.origin.low, self.origin.high]


def gather(name: str) -> list[ExplainedNumber]:
    """Numbers of every entry with this name."""
    kinds = [kind for kind in catalogue.kinds() if name in catalogue.names(kind)]
    if not kinds:
        MACHINES.load_others()
        kinds = [kind for kind in catalogue.kinds() if name in catalogue.names(kind)]
    if not kinds:
        known = [entry for kind in catalogue.kinds() for entry in catalogue.names(kind)]
        raise UnknownNameError(
            f"{name!r} is not in the catalogue{did_you_mean(name, known) or '; `wsesim list` shows what there is'}"
        )
    parts = {one.files.folder for one in MACHINES.known}
    if not {"clusters", *parts}.isdisjoint(kinds):
        kinds = [kind for kind in kinds if kind != "calibrations"]
    if "clusters" in kinds:
        kinds = [kind for kind in kinds if kind not in parts]
    return [row for kind in kinds for row in of_kind(kind, name)]


def of_kind(kind: str, name: str) -> list[ExplainedNumber]:
    """Numbers of one entry."""
    return [ExplainedNumber(kind, key, origin) for key, origin in origins_of(kind, name).items()]


def as_dicts(rows: Sequence[ExplainedNumber]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "kind": row.kind,
            "key": row.key,
            "value": row.value,
            "unit": unit_of_field(row.key),
            "range": row.range_si,
            "status": status_of(row.origin),
            "source": row.origin.source,
            "note": row.origin.note,
            "file": row.origin.place,
        }
        for row in rows
    ]


def shown(row: ExplainedNumber) -> str:
    """Its value with its unit, to be read."""
    unit = unit_of_field(row.key)
    return show(row.value, unit) if isinstance(row.value, int | float) else str(row.value)


def below(row: ExplainedNumber) -> str:
    """Its range, and what is to be said of it."""
    unit, bounds = unit_of_field(row.key), row.range_si
    words = [f"{show(bounds[0], unit)} to {show(bounds[1], unit)}"] if bounds else []
    return "; ".join([*words, *([row.origin.note] if row.origin.note else [])])


def is_file(name: str) -> bool:
    """Whether a model file is meant, and no entry of the catalogue."""
    return (
        bool(name.strip())
        and catalogue.exists(Path(name))
        and (Path(name).suffix != ".toml")
        and not any(name in catalogue.names(kind) for kind in catalogue.KINDS)
    )


def of_file(name: str) -> Imported:
    """What a model file, or a folder with one, says."""
    return import_model(model_file(Path(name), name), name)


def file_dict(found: Imported) -> dict[str, Any]:
    """For programs."""
    return {
        "kind": found.kind,
        "model": _model_dict(found),
        "understood": [one._asdict() | {"keys": list(one.keys)} for one in found.understood],
        "harmless": dict(found.harmless),
        "notes": list(found.notes),
    }


def _model_dict(found: Imported) -> dict[str, Any]:
    model = build(ModelSpec, Layered(found.model), "model", found.model["name"])
    length = found.training.get("sequence_length")
    sizes = {"parameters": parameter_count(model, length), "active_parameters": active_parameter_count(model, length)}
    return {"name": model.name} | sizes


def file_sections(found: Imported) -> list[Section]:
    """What the file is, its model, each field with the keys it came from, and what was passed over and why."""
    model = _model_dict(found)
    active = model["active_parameters"]
    size = f"{model['parameters']:,} parameters" + (f", {active:,} active" if active < model["parameters"] else "")
    rows = []
    for one in found.understood:
        keys = ", ".join(one.keys)
        origin = (
            f"default; the file has no {keys}" if one.is_default and keys else keys or "the same in all of its kind"
        )
        value = " ".join(map(str, one.value)) if isinstance(one.value, tuple) else str(one.value)
        rows.append((one.field, value, origin))
    reasons: dict[str, list[str]] = {}
    for key, why in found.harmless.items():
        reasons.setdefault(why, []).append(key)
    passed = [f"{why}: {', '.join(keys)}" for why, keys in reasons.items()]
    head = (Note(f"{found.kind}: {model['name']}, {size}"), *notes(found.notes, "note"), Note(""))
    table = Table("Fields of the model", ("field", "value", "~understood from"), tuple(rows))
    told = (Note(""), Note("Keys that change nothing:"), *notes(passed, "aside")) if passed else ()
    return [Section("file", parts=(*head, table, *told))]


def sections(rows: Sequence[ExplainedNumber]) -> list[Section]:
    """Numbers by key, then the sources they name."""
    cells = tuple((row.key, shown(row), status_of(row.origin), row.origin.source) for row in rows)
    numbers = Table("Numbers", ("number", "value", "status", "~source"), cells, tuple(map(below, rows)))
    sources = catalogue.sources()
    keys = sorted({key for row in rows for key in row.origin.source.split(", ")})
    told = [
        f"{key}: {', '.join(filter(None, (one.title, one.date)))}. {one.url}".strip()
        for key in keys
        if (one := sources.get(key))
    ]
    return [Section("numbers", parts=(numbers, Note(""), *notes(told, "aside")))]


def _kinds(kind: str | None) -> tuple[str, ...]:
    MACHINES.load_others()
    known = catalogue.kinds()
    if kind is None:
        return known
    if kind not in known:
        hint = did_you_mean(kind, known) or f"; kinds are {', '.join(known)}"
        raise UnknownNameError(f"{kind!r} is not a kind of catalogue entry{hint}")
    return (kind,)


def titles(kind: str | None) -> dict[str, Any]:
    """Names and titles of entries by kind."""
    return {one: {name: _title(one, name) for name in catalogue.names(one)} for one in _kinds(kind)}


def _title(kind: str, name: str) -> str:
    raw = catalogue.read_toml(catalogue.find(kind, name))
    return str(raw.get("name", f"releases {', '.join(raw['releases'])}" if "releases" in raw else "of GPUs"))


def size(kind: str, name: str) -> str:
    """How large an entry is, in a few words; empty where that is no question."""
    folders = {one.files.folder: one for one in MACHINES.known}
    if kind == "models":
        return _parameters(load_model(name))
    if kind in folders:
        machine = folders[kind]
        return str(machine.words.size_of_one(load_part(machine.files.key, name)[0]))
    if kind == "clusters":
        cluster = load_any_cluster(name)[0]
        return f"up to {MACHINES[cluster.machine].words.count(cluster, int(getattr(cluster, cluster.limit)))}"
    if kind == "runs":
        run = load_any(name)
        return f"{_parameters(run.model)} on {MACHINES[run.machine].words.count(run.cluster)}"
    return ""


def _parameters(model: ModelSpec) -> str:
    number, active = parameter_count(model, None), active_parameter_count(model, None)
    return f"{show_count(number)} parameters" + (f", {show_count(active)} active" if active < number else "")


def listing(kind: str | None) -> list[Section]:
    """Names, titles and sizes by kind."""
    found = []
    for one, entries in titles(kind).items():
        rows = tuple((name, title, size(one, name)) for name, title in entries.items())
        has_sizes = any(words for _, _, words in rows)
        heads = ("name", "~called", "~size") if has_sizes else ("", "~")
        table = Table(one, heads, rows if has_sizes else tuple(row[:2] for row in rows), least=28)
        found.append(Section(one, parts=(Note(one, "key"), table, Note(""))))
    words = "`wsesim explain NAME` shows every number of an entry with its source"
    return [*found, Section("more", parts=(Note(words, "aside"),))]


# `wsesim schema`: which kinds of files have a schema, and where schemas are written.


def schema_listing() -> Section:
    """Every kind of file, and what it describes."""
    table = Table("kinds of files", ("", "~"), tuple(as_dict().items()))
    words = "`wsesim schema KIND` prints a schema, `wsesim schema --out FOLDER` writes all"
    return Section("kinds", parts=(Note("kinds of files", "key"), table, Note(""), Note(words, "aside")))


def as_dict() -> dict[str, str]:
    """Every kind of file, and what it describes."""
    return {kind: text for kind, (text, _) in kinds().items()}


def write(kind: str | None, out: Path) -> Iterator[Path]:
    """Write one schema to a file, or all into a folder, which is made; where they were written."""
    if kind is not None:
        files.write(out, _text(kind))
        yield out
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {out}: is no folder, and none can be made ({error.strerror}); choose another one"
        ) from None
    for name in kinds():
        path = out / f"{name}.schema.json"
        files.write(path, _text(name))
        yield path


def _text(kind: str) -> str:
    return json.dumps(schema(kind), indent=1) + "\n"

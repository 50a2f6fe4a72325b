"""Tables of a run over what they name: entries of the catalogue, .toml files, and models of other tools."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.config import catalogue
from wsesim.config.layering import NAMED, Layered, Table, existing, layer, layered, nested, put, resolve, sub
from wsesim.errors import ConfigError
from wsesim.plugins import MACHINES

if TYPE_CHECKING:
    from wsesim.config.importers.section import Imported

_SHAPE = frozenset({"num_layers", "hidden_size", "num_attention_heads", "vocab_size"})
"""A table with one of these describes a model of its own where the catalogue does not know its name."""


def machine_table(table: Layered, folder: Path, prefix: str = "") -> Layered:
    """A system or GPU file with its calibration in place."""
    return nested(table, "calibration", "calibrations", folder, prefix)


def _with_machine(base: Layered, own: Layered, folder: Path, key: str) -> Layered:
    """A cluster table whose `system` or `gpu` is a whole table; a name in `own` picks another one."""
    named = own.plain.get(key)
    if isinstance(named, str):
        places = {key: own.place_of(key, "")}
        base = Layered(base.plain | {key: named}, base.origins, base.places | places)
    base = nested(base, key, NAMED[key], folder, "cluster.")
    if not isinstance(base.plain.get(key), dict):
        return base
    return put(base, key, machine_table(sub(base, key), folder, f"cluster.{key}."))


def _own_machine(own: Layered, folder: Path, key: str) -> Layered:
    """What a run file says of its `system` or `gpu` itself; a mere name went into the table below."""
    machine = own.plain.get(key)
    if isinstance(machine, str):
        return own.without(key)
    if isinstance(machine, dict) and ("extends" in machine or isinstance(machine.get("calibration"), str)):
        filled = nested(own, key, NAMED[key], folder, "cluster.")
        return put(filled, key, machine_table(sub(filled, key), folder, f"cluster.{key}."))
    return own


def cluster_table(own: Layered, folder: Path, place: str) -> Layered:
    """The ``[cluster]`` table laid over the catalogue entry it names."""
    name = own.plain.get("name")
    base = Layered({})
    known = catalogue.names("clusters")
    where = f"{own.place_of('name', place)}: cluster.name"
    if name is None:
        raise ConfigError(f"{place}: cluster.name is missing; name one of {', '.join(known)}")
    if not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write one of {', '.join(known)} in quotes")
    if name not in known:
        MACHINES.load_others()
    if name in known or not any(one.files.whole <= own.plain.keys() for one in MACHINES.known):
        base = layered("clusters", resolve("clusters", name, folder, where))
        own = own.without("name")
    keys = [one.files.key for one in MACHINES.known]
    for key in keys:
        base = _with_machine(base, own, folder, key)
        own = _own_machine(own, folder, key)
    if "software_profile" in own.plain:
        base = base.without("software")
    table = own.over(base)
    named = [key for key in keys if key in table.plain]
    if len(named) > 1:
        first, second = named[:2]
        raise ConfigError(
            f"{table.place_of(second, place)}: cluster.{second} stands beside cluster.{first}, and a cluster is built of one "
            "of them; drop the other, or name a cluster of the kind that you want"
        )
    complete = next((one.files.complete for one in MACHINES.known if one.files.key in named), None)
    return table if complete is None else complete(table, folder, place)


def import_model(path: Path, where: str, given: Iterable[str] = ()) -> Imported:
    """What a foreign file says; `given` are fields of the model that it is not asked for."""
    from wsesim.config.importers.huggingface import read_huggingface
    from wsesim.config.importers.megatron import SUFFIXES, read_megatron
    from wsesim.config.importers.modelzoo import read_modelzoo

    if path.suffix == ".json":
        return read_huggingface(path, given)
    if path.suffix in (".yaml", ".yml"):
        return read_modelzoo(path, given)
    if path.suffix in SUFFIXES:
        return read_megatron(path, given)
    raise ConfigError(
        f"{where} is {catalogue.shown(path)!r}, which ends in {path.suffix}; give a Hugging Face config.json, a Model Zoo "
        "params.yaml, or arguments of Megatron-LM in a .txt or .sh"
    )


IN_FOLDERS = ("config.json", "params.json", "params.yaml")


def model_file(path: Path, where: str) -> Path:
    """The model's file in a folder, as people download them; any other path as it is."""
    if not path.is_dir():
        return path
    found = next((path / name for name in IN_FOLDERS if (path / name).is_file()), None)
    if found is None:
        raise ConfigError(
            f"{where} is a folder without {', '.join(IN_FOLDERS[:-1])} or {IN_FOLDERS[-1]}; name a file in it"
        )
    return found


class Along(NamedTuple):
    """What came with a model beside its own fields.

    Attributes
    ----------
    training, cluster
        Fields of these tables.
    notes
        How it was understood.
    longest_sequence
        Tokens that the model takes, where nothing says how many it is trained with. [-]
    parallelism
        Of a GPU run.
    """

    training: Layered
    cluster: Table
    notes: tuple[str, ...] = ()
    longest_sequence: int | None = None
    parallelism: Layered = Layered({})


def _imported(own: Layered, word: Any, folder: Path, where: str) -> tuple[Layered, Along]:
    if not isinstance(word, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(word)}; write the path of a file")
    path = model_file(existing(word, folder, where), where)
    imported = import_model(path, where, own.plain)
    read = {"status": "user", "source": path.name}
    base = layer({**imported.model, **read}, catalogue.shown(path))
    given = layer({**imported.training, **read}, catalogue.shown(path))
    plan = layer({**imported.parallelism, **read} if imported.parallelism else {}, catalogue.shown(path))
    along = Along(given, imported.cluster, imported.notes, imported.longest_sequence, plan)
    return own.without("path").over(base), along


_DEFAULTS = {
    "position_embedding": "learned positions",
    "normalization": "layer norm",
    "tie_embeddings": "tied embeddings",
    "gated_mlp": "an MLP of two matrices",
    "intermediate_size": "4 times as wide as the model",
}


def _inline(own: Layered, place: str) -> tuple[Layered, Along]:
    """A model whose shape stands in the run file: a name is not needed, and what it leaves out is as GPT-2 has it."""
    if "name" not in own.plain and not _SHAPE.isdisjoint(own.plain):
        own = replace(own, plain={"name": Path(place).stem or "model"} | own.plain)
    left_out = [words for key, words in _DEFAULTS.items() if key not in own.plain]
    is_shape = own.plain.keys() >= _SHAPE and own.plain.get("causal", True) is True
    notes = (
        (f"[model] does not say, and was taken as in GPT-2: {', '.join(left_out)}",) if left_out and is_shape else ()
    )
    return own, Along(Layered({}), {}, notes)


def names_model(name: str, table: Table) -> bool:
    """Whether the name in a ``[model]`` table is that of something to be read, not what a shape of its own is called.

    Examples
    --------
    >>> names_model("gpt2", {}), names_model("mine", {"num_layers": 4, "hidden_size": 64})
    (True, False)
    """
    return name in catalogue.names("models") or name.endswith(".toml") or _SHAPE.isdisjoint(table)


def model_table(own: Layered, folder: Path, place: str) -> tuple[Layered, Along]:
    """The ``[model]`` table laid over what it names, and what came with it."""
    if "path" in own.plain:
        return _imported(own, own.plain["path"], folder, f"{own.place_of('path', place)}: model.path")
    name = own.plain.get("name")
    where = f"{own.place_of('name', place)}: model.name"
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write a name in quotes")
    if name is not None and names_model(name, own.plain):
        base = layered("models", resolve("models", name, folder, where))
        return own.without("name").over(base), Along(Layered({}), {})
    return _inline(own, place)

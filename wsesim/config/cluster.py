"""What clusters of every kind of machine have in common: prices, releases, and what a kind is called in files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, cast

from wsesim.config import catalogue
from wsesim.config.catalogue import value_shown
from wsesim.config.layering import Layered, Table
from wsesim.config.model import ModelSpec
from wsesim.config.spec import PUE, NotNegative, Positive, Spec
from wsesim.config.training import JobSpec, TrainingSpec
from wsesim.errors import ConfigError
from wsesim.plugins import MACHINES, imported

# Releases of the wafer-scale software, in order.


@lru_cache(maxsize=256)
def release_key(release: str, where: str = "cluster.software_release") -> tuple[int, ...]:
    """A software release as numbers that can be compared; "R2.0.3" and "2.0.3" are the same."""
    match = re.fullmatch(r"[rR]?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})", release.strip())
    if match is None:
        raise ConfigError(f'{where} is {catalogue.value_shown(release)}; write a release such as "2.1"')
    return tuple(int(part) for part in match[1].split("."))


# What clusters of every kind of machine have in common, and what a kind of machine is called in files.


T = TypeVar("T")
Paying = Literal["rented", "owned"]
"""Ways of paying for devices."""


class AnyCluster(Spec):
    """A cluster of some kind of machine; names of keys say how it counts, what it draws and what it costs.

    A cluster has a `name` besides the fields that are named here. It may have `amortization_s`, `pue`,
    `electricity_usd_per_kwh`, `carbon_kg_per_kwh` and `job`, as those of other kinds of machines.

    Attributes
    ----------
    machine
        Name of the kind of machine in `wsesim.plugins.MACHINES`.
    count, limit
        Keys of the devices that a job uses, and of those that there are.
    power
        Keys of what one device draws, its share of the rest of the cluster included; they add up.
    price, bought
        Keys of what one device costs for an hour, and of what it costs to buy.
    """

    machine: ClassVar[str]
    count: ClassVar[str]
    limit: ClassVar[str]
    power: ClassVar[tuple[str, ...]]
    price: ClassVar[str]
    bought: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """Its name."""
        return str(getattr(self, "name", self.machine))

    @property
    def device(self) -> str:
        """What one of its devices is called: as what it is built of."""
        return str(getattr(getattr(self, MACHINES[self.machine].files.key), "name", self.machine))

    @property
    def num_devices(self) -> int:
        """Devices that the job uses. [-]"""
        return int(getattr(self, self.count))

    @property
    def max_devices(self) -> int:
        """Devices that there are. [-]"""
        return int(getattr(self, self.limit))

    def number(self, key: str) -> float | None:
        """A number by its dotted key below ``[cluster]``; None where it is left out."""
        found: Any = self
        for part in key.split("."):
            found = getattr(found, part, None)
        return None if found is None else float(found)

    def on_devices(self, number: int) -> Self:
        """The same cluster with a job on another number of its devices."""
        return self.model_copy(update={self.count: number})


class JobPriceSpec(Spec):
    """What a provider asks for a whole job: a model trained on 20 tokens for each of its parameters.

    Attributes
    ----------
    parameters
        Of the model, as its name says it. [-]
    price_usd
        Of the job. [USD]
    source
        Who states it: a key of ``cluster_configs/sources.toml``, or a text.
    """

    parameters: Positive
    price_usd: Positive
    source: str = ""


class PaidCluster(AnyCluster):
    """A cluster whose devices are rented by the hour, or bought, fed and cooled.

    Attributes
    ----------
    paying
        What a job's cost is: "rented", the price of an hour, or "owned", devices written off over `amortization_s` and the
        electricity of the building. Left out, a price of an hour that the run itself sets, else owned where a purchase
        price is known, else rented.
    job_prices
        Prices of whole jobs, which count in place of that of an hour where a rented job is such a job.
    amortization_s
        Time over which a purchase price is spread. [s]
    pue
        Power of the facility over that of the devices, for cooling and losses; 1 where left out. [-]
    electricity_usd_per_kwh
        Price of electricity; left out, no cost of it is stated. [USD/kWh]
    carbon_kg_per_kwh
        CO2 equivalent of electricity; left out, none is stated. [kg/kWh]
    """

    paying: Paying | None = None
    job_prices: tuple[JobPriceSpec, ...] = ()
    amortization_s: Positive | None = None
    pue: PUE | None = None
    electricity_usd_per_kwh: NotNegative | None = None
    carbon_kg_per_kwh: NotNegative | None = None


class AnySpread(Spec):
    """How a model is spread over devices, for machines that leave a choice."""

    def on_other_devices(self) -> Self:
        """The same spread where the number of devices is another one."""
        return self

    def left_open(self) -> Self:
        """The same spread with everything left open that the machine chooses."""
        return self

    def copies(self, num_devices: int) -> int | None:
        """Copies of the model on so many devices; None where a search decides. [-]"""
        return num_devices


Contradicts = Callable[[Layered, Mapping[str, Layered], str], list[str]]
"""Takes the table of a run file, its parts laid over what they name, and how messages name the file; gives messages."""


def no_spread(table: Layered, tables: Mapping[str, Layered], place: str) -> list[str]:
    """Refuse a table ``[parallelism]`` where a machine leaves no choice."""
    if "parallelism" not in table.plain:
        return []
    where, name = table.place_of("parallelism", place), value_shown(tables["cluster"].plain.get("name"))
    finding = f"is for GPU clusters; {name} leaves no choice of how a model is spread"
    return [f"{where}: parallelism {finding}; remove the table, or name a GPU cluster"]


class Addressed(Generic[T]):
    """A field that holds a thing or its address, ``module:name``, whose module is imported when the field is first read.

    What names a kind of machine in a file is asked of every kind, its specs only of the one that a file names.
    """

    def __init__(self, *default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: object | None, kind: type) -> T:
        if owner is None:  # a dataclass asks for the default
            for default in self.default:
                return default
            raise AttributeError(self.name)
        held = vars(owner)[self.name]
        return cast("T", imported(held) if isinstance(held, str) else held)

    def __set__(self, owner: object, value: T | str) -> None:
        vars(owner)[self.name] = value


@dataclass(frozen=True, kw_only=True)
class Files:
    """What files say of a kind of machine; classes, functions and `schemas` may be addresses, ``module:name``.

    Attributes
    ----------
    cluster, part
        Specs of a cluster, and of what it is built of.
    key, folder
        The key of a cluster that names this part, and so the kind of machine; and the catalogue's folder of such parts.
    whole
        A cluster table with all of these keys describes a cluster of its own.
    spread
        Spec of the table ``[parallelism]``, where there is one.
    from_cluster
        Tables of a cluster that lie below tables of a run, by the run's.
    training
        What a ``[training]`` table has where it is silent.
    software
        Keys of a cluster that say what the software does, which belongs to a run rather than to its cluster.
    strange
        What the ``[training]`` of a job from other machines may hold and these have not: values by key; of a key without
        values, all. A job that is put here goes on without it.
    schemas
        Kinds of files that describe such machines: what each is, and its spec.
    contradicts
        What is set in a run file but belongs to other kinds of machines.
    usual
        Cluster of the catalogue for a foreign file that names none, where it describes such a run.
    catalogue
        Folder of a catalogue of its own, laid out as ours; None for what ours holds.
    complete
        Lays a cluster's table over what it names besides its part; takes the folder of its file and how messages name it.
    """

    cluster: Addressed[type[AnyCluster]] = Addressed()
    part: Addressed[type[Spec]] = Addressed()
    key: str
    folder: str
    whole: frozenset[str]
    schemas: Addressed[Mapping[str, tuple[str, type[Spec]]]] = Addressed()
    spread: Addressed[type[AnySpread] | None] = Addressed(None)
    from_cluster: Mapping[str, str] = field(default_factory=lambda: {"job": "job"})
    training: Mapping[str, str] = field(default_factory=dict)
    software: tuple[str, ...] = ()
    strange: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contradicts: Addressed[Contradicts] = Addressed(no_spread)
    usual: str = ""
    catalogue: Path | None = None
    complete: Addressed[Callable[[Layered, Path, str], Layered] | None] = Addressed(None)

    def takes(self, key: str, value: object) -> bool:
        """Whether a key of ``[training]`` goes along when the job of other machines is put here."""
        strange = self.strange.get(key)
        return strange is None or (bool(strange) and value not in strange)

    def knows(self, setting: str) -> bool:
        """Whether runs on such machines have the key of a setting, as far as its first parts tell."""
        table, _, rest = setting.partition("=")[0].strip().partition(".")
        key = rest.split(".")[0].strip()
        return table not in ("cluster", "parallelism") or (
            table in self.tables and (table != "cluster" or key in self.cluster.model_fields)
        )

    @property
    def tables(self) -> dict[str, type[Spec]]:
        """Spec of each table of a run."""
        spread = {} if self.spread is None else {"parallelism": self.spread}
        return {"model": ModelSpec, "training": TrainingSpec, "cluster": self.cluster, **spread, "job": JobSpec}


def count_keys() -> tuple[str, ...]:
    """What each kind of machine, of installed packages too, calls the number of its devices."""
    return tuple(one.files.cluster.count for one in MACHINES.values())


def files_of(cluster: Table) -> Files:
    """Files of the kind of machine that a cluster's table is of, by what it is built of; ours where nothing says so."""
    found: list[Files] = [one.files for one in MACHINES.known]
    return next((one for one in found if one.key in cluster), found[0])

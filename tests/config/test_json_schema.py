"""Schemas take every file that ships and refuse what `wsesim` would refuse; every key has a meaning."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from wsesim.config import catalogue
from wsesim.config.cluster import AnySpread, PaidCluster
from wsesim.config.json_schema import kinds, meanings, schema, specs_of
from wsesim.config.spec import Spec, numeric_fields
from wsesim.errors import UnknownNameError
from wsesim.units import unit_of_field

ROOT = Path(__file__).resolve().parents[2]
RUN = {
    "model": {"name": "gpt2"},
    "training": {"sequence_length": 1024, "global_batch_size": 8},
    "cluster": {"name": "cs2"},
}


@cache
def validator(kind: str) -> Draft7Validator:
    return Draft7Validator(schema(kind))


def problems(kind: str, raw: dict[str, Any]) -> list[str]:
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator(kind).iter_errors(raw)]


def files() -> Iterator[tuple[str, Path]]:
    """Every file that ships, and its kind."""
    for folder in catalogue.KINDS:
        for path in sorted((ROOT / "cluster_configs" / folder).glob("*.toml")):
            yield kind_of(folder, path), path
    yield "portfolio", ROOT / "docs/examples/portfolio.toml"


def kind_of(folder: str, path: Path) -> str:
    kind = folder.removesuffix("s")
    if kind == "calibration":
        return "gpu-calibration" if "[nvlink]" in path.read_text(encoding="utf-8") else kind
    return "gpu-cluster" if kind == "cluster" and is_of_gpus(path) else kind


def is_of_gpus(path: Path) -> bool:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return "gpu" in raw or ("extends" in raw and is_of_gpus(path.with_name(f"{raw['extends']}.toml")))


def every_spec() -> list[type[Spec]]:
    found: list[type[Spec]] = []
    for one in (*Spec.__subclasses__(), *PaidCluster.__subclasses__(), *AnySpread.__subclasses__()):
        for spec in (one, *(inner for field in one.model_fields.values() for inner in specs_of(field.annotation))):
            if spec not in found and spec.model_fields and spec.__module__.startswith("wsesim."):
                found.append(spec)
    return found


@pytest.mark.parametrize("kind", kinds())
def test_schemas_are_valid(kind: str) -> None:
    Draft7Validator.check_schema(schema(kind))
    json.dumps(schema(kind), allow_nan=False)


@pytest.mark.parametrize(("kind", "path"), [pytest.param(kind, path, id=path.name) for kind, path in files()])
def test_every_file_that_ships_keeps_its_schema(kind: str, path: Path) -> None:
    assert problems(kind, tomllib.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": {"name": "cs2", "num_sytems": 4}},  # no such key
        {"cluster": {}},  # no name
        {"training": {"sequence_length": 0}},  # below the limit
        {"training": {"optimizer": "adamm"}},  # no such word
        {"training": {"tokens": "chinchila"}},
        {"cluster": {"name": "cs2", "swarmx": {"hop_latency_s": "10 GB"}}},  # unit of another kind
        {"cluster": {"name": "cs2", "swarmx": {"hop_latency_s": {"value": 1e-6, "sorce": "none"}}}},
        {"cluster": {"name": "cs2", "swarmx": {"hop_latency_s": {"value": 1e-6, "status": "guessed"}}}},
        {"cluster": {"name": "cs2", "swarmx": {"hop_latency_s": True}}},
        {"parallelism": "best"},
        {"parallelism": {"zero_stage": 4}},
        {"modell": {}},
    ],
)
def test_wrong_runs_are_refused(changes: dict[str, Any]) -> None:
    assert problems("run", RUN) == []
    assert problems("run", RUN | changes) != []


def test_other_wrong_files_are_refused() -> None:
    assert problems("system", {"name": "half a system"}) != []
    assert problems("goal", {"name": "nothing to choose from", "model": {"name": "gpt2"}}) != []
    assert problems("portfolio", {"cluster": {"name": "andromeda"}, "jobs": [{"run": "gpt2"}]}) != []
    assert problems("cluster", {"name": "of GPUs", "extends": "cs2", "num_gpus": 8}) != []


@pytest.mark.parametrize(
    "value", [1e-6, "1 us", "1us", "0.000001", {"value": "1 us", "source": "mine", "range": ["0 s", 1e-3], "note": "x"}]
)
def test_numbers_are_taken_bare_with_units_and_with_their_origin(value: Any) -> None:
    assert problems("run", RUN | {"cluster": {"name": "cs2", "swarmx": {"hop_latency_s": value}}}) == []


def test_a_file_that_extends_another_may_leave_out_what_that_one_has() -> None:
    assert problems("run", {"extends": "andromeda_13b", "cluster": {"num_systems": 8}}) == []
    assert problems("system", {"name": "faster", "extends": "cs3", "power_w": "25 kW"}) == []


def test_an_unknown_kind_is_named_with_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean system"):
        schema("sytem")


@pytest.mark.parametrize("spec", every_spec(), ids=lambda spec: spec.__name__)
def test_every_key_has_a_meaning_and_its_own_unit(spec: type[Spec]) -> None:
    assert list(meanings(spec)) == [*dict.fromkeys(meanings(spec))]
    assert set(meanings(spec)) == set(spec.model_fields)
    for name, (text, unit) in meanings(spec).items():
        assert text.endswith((".", '"')), name
        if name in numeric_fields(spec):  # a name without a unit leaves the unit to the text
            assert unit == unit_of_field(name) or (unit and unit_of_field(name) == "-"), name

"""Every file of the catalogue loads, simulates, and says of every number what it is and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders import wafer_clusters, wafer_runs
from wsesim import load
from wsesim.config import catalogue
from wsesim.config.cluster import release_key
from wsesim.config.loader import (
    load_any,
    load_any_cluster,
    load_cluster,
    load_gpu,
    load_gpu_calibration,
    load_law,
    load_model,
    load_software,
    load_system,
    origins_of,
)
from wsesim.config.spec import STATUSES, Origin
from wsesim.machines.wafer.simulation import run_schedule
from wsesim.report.pages.catalogue import gather
from wsesim.results.result import status_of
from wsesim.units import parse_quantity, unit_of_field

EVERY = [(kind, name) for kind in catalogue.KINDS for name in catalogue.names(kind)]
NO_SOURCE = "none"
"""Source of a number that nobody publishes; it has to be assumed, and its note says why."""

each_entry = pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{kind}/{name}" for kind, name in EVERY])
each_run = pytest.mark.parametrize("name", catalogue.names("runs"))
each_wafer_run = pytest.mark.parametrize("name", wafer_runs())


def numbers(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all numbers of a file as it stands, booleans left out."""
    for key, value in table.items():
        if isinstance(value, dict) and "value" not in value:
            yield from numbers(value, f"{prefix}{key}.")
            continue
        bare = value["value"] if isinstance(value, dict) else value
        has_digits = isinstance(bare, str) and bare[0].isdigit() and value is not bare
        if has_digits or (isinstance(bare, int | float) and not isinstance(bare, bool)):
            yield f"{prefix}{key}"


def origins(kind: str, name: str) -> dict[str, Origin]:
    found = origins_of(kind, name)
    assert found, "no numbers"
    return found


@each_entry
def test_every_file_loads(kind: str, name: str) -> None:
    readers = {
        "systems": load_system,
        "gpus": load_gpu,
        "clusters": load_any_cluster,
        "models": load_model,
        "software": load_software,
        "runs": load,
        "laws": load_law,
    }
    if kind in readers:
        assert readers[kind](name)
    elif name not in catalogue.names("systems"):
        assert load_gpu_calibration(name)
        machines = [catalogue.read_toml(catalogue.find("gpus", gpu)) for gpu in catalogue.names("gpus")]
        assert name in {machine["calibration"] for machine in machines}, "a calibration that nothing uses"


@each_wafer_run
def test_every_run_simulates(name: str) -> None:
    run = load(name)
    simulation = run_schedule(run)
    assert simulation.is_steady
    assert simulation.step_time_s > 0
    assert simulation.plan.micro_batch_size * simulation.plan.num_micro_batches * run.cluster.num_systems == (
        run.training.global_batch_size
    )


@each_entry
def test_every_number_has_a_status(kind: str, name: str) -> None:
    for key, origin in origins(kind, name).items():
        status = status_of(origin)
        assert status in STATUSES, key
        assert status != "user" or kind == "runs", f"{key} has neither a status nor a source that gives one"


@each_entry
def test_every_number_has_a_source_that_is_listed(kind: str, name: str) -> None:
    for key, origin in origins(kind, name).items():
        if status_of(origin) == "user":
            assert origin.source.startswith("cluster_configs/runs/"), key
        elif origin.source == NO_SOURCE:
            assert status_of(origin) == "assumed", f"{key}: no source, but {status_of(origin)}"
        else:
            unknown = set(origin.source.split(", ")) - catalogue.sources().keys()
            assert not unknown, f"{key}: {unknown} is not in sources.toml"


@each_entry
def test_numbers_that_are_not_public_say_why(kind: str, name: str) -> None:
    for key, origin in origins(kind, name).items():
        is_fitted = ".calibration." in f".{origin.key}" or kind == "calibrations" or "/calibrations/" in origin.place
        if status_of(origin) in ("calibrated", "assumed") and not is_fitted:
            assert origin.note, f"{key} of {origin.place} has no note"


@each_entry
def test_no_number_of_a_file_is_lost(kind: str, name: str) -> None:
    """What stands in the file is what `wsesim explain` lists, in its own unit."""
    raw = catalogue.read_toml(catalogue.find(kind, name))
    listed = origins(kind, name)
    prefix = "calibration." if kind == "calibrations" else ""
    for key in numbers(raw):
        assert key.removeprefix(prefix) in listed, key
    for row in gather(name):
        if row.kind == kind:
            assert isinstance(row.value, int | float), row.key


@each_entry
def test_ranges_hold_their_value(kind: str, name: str) -> None:
    for key, origin in origins(kind, name).items():
        if origin.low is None or origin.high is None:
            continue
        unit = unit_of_field(key)
        value = parse_quantity(origin.value, unit) if isinstance(origin.value, str) else float(origin.value)
        assert origin.low <= value <= origin.high, key


OF_SIZE = ("num_systems", "num_gpus", "max_gpus", "year")
"""Numbers that say how much there is, or when."""


@pytest.mark.parametrize("name", catalogue.names("clusters"))
def test_what_is_assumed_or_fitted_states_its_range(name: str) -> None:
    training = {"sequence_length": 2048, "global_batch_size": 64}
    run = load_any({"model": {"name": "cerebras-gpt-111m"}, "training": training, "cluster": {"name": name}})
    for key, origin in run.origins.items():
        if key.startswith("cluster.") and status_of(origin) in ("assumed", "calibrated") and not key.endswith(OF_SIZE):
            assert origin.low is not None, f"{origin.place}: {key}"
            assert origin.high is not None, f"{origin.place}: {key}"


def test_every_source_is_complete_and_in_use() -> None:
    origins = [origin for kind, name in EVERY for origin in origins_of(kind, name).values()]
    used = {source for origin in origins for source in origin.source.split(", ")}
    for key, source in catalogue.sources().items():
        assert source.title, key
        assert source.status in STATUSES, key
        if key != NO_SOURCE:
            assert source.url.startswith(("https://", "http://", "doi:")) or source.url == "", key
            assert source.date[:4].isdigit(), key
    assert used - {NO_SOURCE} - {origin for origin in used if origin.startswith("cluster_configs/")} <= (
        catalogue.sources().keys()
    )


@pytest.mark.parametrize(
    ("name", "system", "num_systems", "max_systems"),
    [
        ("cs2", "CS-2", 1, 192),
        ("cs3", "CS-3", 1, 2048),
        ("andromeda", "CS-2", 16, 16),
        ("condor_galaxy_1", "CS-2", 64, 64),
        ("condor_galaxy_3", "CS-3", 64, 64),
        ("cs2_192", "CS-2", 192, 192),
        ("cs3_2048", "CS-3", 2048, 2048),
    ],
)
def test_the_clusters_that_people_ask_for(name: str, system: str, num_systems: int, max_systems: int) -> None:
    cluster, _ = load_cluster(name)
    assert (cluster.system.name, cluster.num_systems, cluster.max_systems) == (system, num_systems, max_systems)


def test_every_system_has_its_calibration_and_the_releases_are_in_order() -> None:
    for name in catalogue.names("systems"):
        system, found = load_system(name)
        assert any(key.startswith("calibration.releases.") for key in found)
        releases = list(system.calibration.releases)
        assert releases == sorted(releases, key=release_key)


@pytest.mark.parametrize("name", wafer_clusters())
def test_links_are_no_slower_than_the_ports_that_hang_on_them(name: str) -> None:
    """The vendor says that the fabric keeps up with a system's port; a slower link would be a slip of the pen."""
    cluster, _ = load_cluster(name)
    assert cluster.swarmx.link_bytes_per_s >= cluster.system.wafer.io_bytes_per_s
    assert cluster.memoryx.egress_bytes_per_s >= cluster.system.wafer.io_bytes_per_s


@each_run
def test_every_run_has_a_name_of_its_own(name: str) -> None:
    run = load(name)
    assert [other for other in catalogue.names("runs") if load(other).name == run.name] == [name]
    assert run.place == f"cluster_configs/runs/{name}.toml"

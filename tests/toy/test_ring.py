"""A kind of machine that wsesim knows nothing of goes through every command, from a package of its own."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wsesim
from tests.front_door import call
from wsesim.plugins import MACHINES

RUN = "tiny_on_a_ring"
FILE = Path(__file__).with_name("machine.py")
ENTRY_POINTS = "[wsesim.machines]\nring = tests.toy.machine:RING\n"
PLAN = ["plan", "--model", "cerebras-gpt-111m", "--deadline", "30 d", "--cluster", "small_ring"]
PORTFOLIO = """\
cluster = { name = "small_ring" }

[[jobs]]
name = "first"
systems = [2, 4]
model = { name = "cerebras-gpt-111m" }
training = { sequence_length = 2048, global_batch_size = 128 }
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that names the machine, as pip would install it."""
    about = tmp_path / "site" / "toy_ring-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-ring\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setattr(sys, "path", [str(about.parent), *sys.path])
    monkeypatch.chdir(tmp_path)
    forget()
    yield
    forget()


def forget() -> None:
    """Look for installed packages again."""
    MACHINES.__dict__.pop("_theirs", None)
    MACHINES._read.pop("ring", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", RUN, "--scaling", "--measured"], "8 Tile One tiles (a small ring)"),
        (["run", RUN, "--json"], '"kind": "ring"'),
        (["run", RUN, "--set", "cluster.num_tiles=3"], "3 Tile One tiles"),
        (["compare", RUN, "cerebras_gpt_111m"], "Tile One"),
        (["compare", RUN, "--with", "small_ring:1"], "on 1 tile of a small ring"),
        (["compare", RUN, RUN, "--same", "time"], "8 make it, 0.0% below"),
        (["sweep", RUN, "--vary", "cluster.num_tiles=1..3", "--out", "ring.csv"], ""),
        (PLAN, "a small ring"),
        (["trace", RUN, "--out", "ring.json"], "2 events"),
        (["report", RUN, "--gpu-cluster", "none", "--out", "ring.html"], "ring.html"),
        (["report", RUN, "--picture", "breakdown", "--out", "ring.svg"], "ring.svg"),
        (["sensitivity", RUN], "10% better"),
        (["lifetime", RUN, "--replications", "3"], "3 replications"),
        (["explain", "small_ring"], "tile.memory_bytes"),
        (["explain", "tile_one"], "memory_bytes"),
        (["list", "tiles"], "Tile One"),
        (["list", "clusters"], "a small ring"),
        (["schema", "ring"], "num_tiles"),
        (["validate", "ring"], "no rows"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_every_command_takes_it(words: list[str], said: str) -> None:
    found = call(*words)
    assert (found.code, found.err.count("error")) == (0, 0), found.err
    assert said in found.out


def test_jobs_share_it() -> None:
    Path("jobs.toml").write_text(PORTFOLIO)
    assert "8 Tile One tiles (a small ring)" in call("portfolio", "jobs.toml").out


@pytest.mark.parametrize("key", ["num_tiles", "num_devices"])
def test_a_goal_tries_the_sizes_that_its_own_key_names(key: str) -> None:
    what = 'model = { name = "cerebras-gpt-111m" }\nlimits = { deadline_s = "30 d" }\n'
    Path("goal.toml").write_text(f'{what}[[candidates]]\ncluster = "small_ring"\n{key} = 4\n')
    found = json.loads(call("plan", "goal.toml", "--json").out)
    assert (found["num_options"], found["fastest"]["num_devices"]) == (1, 4)


def test_its_job_is_put_on_as_many_as_the_place_says() -> None:
    words = ("compare", RUN, "--with", "small_ring:4", "--set", "cluster.num_tiles=2", "--json")
    assert [one["num_devices"] for one in json.loads(call(*words).out)["runs"]] == [2, 4]


def test_it_is_drawn() -> None:
    from wsesim.report.charts.machine import chart

    assert "8 Tile One tiles" in chart(wsesim.load(RUN).cluster).description


def test_the_page_takes_it() -> None:
    from wsesim.page.run_file import clusters
    from wsesim.page.state import RunState
    from wsesim.page.work import main, run_file

    clusters.cache_clear()
    state = RunState(cluster="small_ring", systems="4", model="cerebras-gpt-111m", batch="16", gpus="none")
    assert main(state).said.startswith("4 Tile One tiles")
    assert "num_tiles = 4" in run_file(state)
    clusters.cache_clear()


def test_the_page_starts_from_its_run() -> None:
    from wsesim.page.form import ready_runs, ready_state
    from wsesim.page.run_file import clusters

    clusters.cache_clear()
    ready_runs.cache_clear()
    state = ready_state(RUN)
    assert (state.cluster, state.systems, state.batch, state.settings) == ("small_ring", "8", "16", "")
    clusters.cache_clear()
    ready_runs.cache_clear()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", RUN, "--set", "cluster.num_tiles=99"], 1, "there are 16"),
        (["run", RUN, "--set", "model.name=gpt3-175b"], 1, "a tile has 64.0 GB"),
        (["run", RUN, "--set", "cluster.num_systems=4"], 2, "did you mean num_tiles"),
        ([*PLAN, "--set", "cluster.num_tiles=4"], 2, "clusters and their sizes are candidates"),
        (["run", RUN, "--layers"], 2, "is a ring run, and --layers is for wafer-scale runs"),
        (["run", RUN, "--top", "2"], 2, "compares plans of GPU runs"),
    ],
)
def test_what_it_cannot_is_said_in_its_words(words: list[str], code: int, said: str) -> None:
    found = call(*words)
    assert (found.code, said in found.err) == (code, True), found.err


def test_its_figures_are_those_of_pencil_and_paper() -> None:
    result = wsesim.simulate(wsesim.load(RUN, ["cluster.num_tiles=1"]))
    assert result.mfu == pytest.approx(0.4)
    assert result.breakdown_s["shuttle"] == 0.0
    assert wsesim.scaling_efficiency(result) == (1.0, 1.0)
    assert json.dumps(result.to_dict())


def test_it_is_one_short_file_that_names_no_other_machine() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert not any(word in name.lower() for name in names for word in ("gpu", "wafer"))

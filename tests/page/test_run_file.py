"""A state as a run file: what it says, and that it never makes the server read a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from wsesim import load
from wsesim.errors import WsesimError
from wsesim.page.form import beside
from wsesim.page.run_file import FIELDS, goal_of, gpu_run_of, gpu_table, run_of, wafer_table
from wsesim.page.state import GoalState, RunState
from wsesim.page.work import main

SECRET = "secret.toml"
opened: list[str] | None = None


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if opened is not None and event in ("open", "os.stat", "os.listdir"):
        opened.append(str(arguments[0]))


sys.addaudithook(watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Files that were opened meanwhile."""
    global opened
    opened = []
    try:
        yield opened
    finally:
        opened = None


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elsewhere") / SECRET
    path.write_text('name = "secret"\nhidden_size = 16\n', encoding="utf-8")
    return path


REFERENCES = (
    *(
        "cluster.system={}",
        "cluster.system.extends={}",
        'cluster.system={{extends="{}"}}',
        'cluster.system={{value="{}"}}',
    ),
    *(
        "cluster.system.calibration={}",
        'cluster.system={{calibration={{value="{}", source="none"}}}}',
        "cluster.gpu={}",
    ),
    *("model.path={}", 'model={{path={{value="{}"}}}}', 'model.path={{value="{}"}}', "extends={}", "model.extends={}"),
    *(
        "cluster.extends={}",
        "cluster.path={}",
        "training.extends={}",
        "job.path={}",
        'cluster.exceptions=[{{path="{}"}}]',
    ),
    *(
        'cluster.system={{value={{extends="{}"}}}}',
        'model={{name={{value="{}"}}}}',
        'cluster={{name="{}"}}',
        "model.name={}",
    ),
)


@pytest.mark.parametrize("line", REFERENCES)
@pytest.mark.parametrize("field", ["settings", "model", "cluster", "gpus"])
def test_no_file_is_read(line: str, field: str, secret: Path) -> None:
    text = line.format(secret) if field == "settings" else str(secret)
    state = RunState.of([(field, text)])
    for build in (run_of, gpu_run_of):
        with watched() as names, suppress(WsesimError):
            build(state)
        assert not [name for name in names if SECRET in name]


KEYS = st.sampled_from(
    ["name", "path", "extends", "system", "gpu", "calibration", "value", "source", "model", "cluster"]
)
TABLES = st.recursive(
    st.just(f"../{SECRET}"),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, TABLES, min_size=1, max_size=3))
def test_no_nesting_of_tables_reads_a_file(table: dict[str, object]) -> None:
    for top in ("model", "cluster", "cluster.system", "job"):
        with watched() as names, suppress(WsesimError):
            run_of(RunState(settings=f"{top}={inline(table)}"))
        assert not [name for name in names if SECRET in name]


def inline(value: object) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else f'"{value}"'


@pytest.mark.parametrize("name", ["/etc/passwd", "../andromeda", "andromeda.toml", "./cs2", "cs2\x00"])
def test_goals_take_clusters_of_the_catalogue_only(name: str) -> None:
    with pytest.raises(WsesimError, match="is not in the catalogue"):
        goal_of(GoalState(candidates=(name,)))


STATES = (
    RunState(),
    RunState(systems="16", batch="1000", batch_of="all"),
    RunState(
        model="mixtral-8x7b", cluster="cs3", systems="64", weight_sparsity="50 %", tokens="1e12", precision="float16"
    ),
    RunState(
        settings="cluster.memoryx.egress_bytes_per_s=1 Tb/s\ncluster.exceptions=[{systems=[0], speed=0.5}]\njob.seed=3"
    ),
    RunState(settings="parallelism.zero_stage=1"),
)


@pytest.mark.parametrize("state", STATES)
def test_files_that_are_taken_away_are_the_runs(state: RunState, tmp_path: Path) -> None:
    for build, table in ((run_of, wafer_table), (gpu_run_of, gpu_table)):
        file = tmp_path / "taken.toml"
        file.write_text(tomli_w.dumps(table(state)), encoding="utf-8")
        taken, shown = load(file), build(state)
        assert (taken.model, taken.training, taken.cluster, taken.job) == (
            shown.model,
            shown.training,
            shown.cluster,
            shown.job,
        )


def test_a_batch_of_all_is_dealt_out_and_one_of_each_system_grows_with_them() -> None:
    states = [RunState(batch="1080", batch_of="all", systems=number) for number in ("7", "12", "16")]
    assert [run_of(state).training.global_batch_size for state in states] == [1080, 1080, 1080]
    states = [RunState(batch=text, systems="16") for text in ("120", "120.0", "1.2e2")]
    assert [run_of(state).training.global_batch_size for state in states] == [1920, 1920, 1920]
    assert [gpu_run_of(state).training.global_batch_size for state in states] == [2048, 2048, 2048]


def test_gpus_do_not_depend_on_the_number_of_systems_where_the_batch_is_one_of_all() -> None:
    tables = [gpu_table(RunState(batch="1080", batch_of="all", systems=number)) for number in ("7", "12", "")]
    assert tables[0] == tables[1] == tables[2]


def test_gpus_have_keys_of_their_own() -> None:
    state = RunState(
        settings="gpus.cluster.price_usd_per_gpu_hour=2\ngpus.training.global_batch_size=1000", gpus="selene"
    )
    assert gpu_table(state)["cluster"]["price_usd_per_gpu_hour"] == 2
    assert gpu_table(state)["training"]["global_batch_size"] == 1000
    assert "gpus" not in wafer_table(state)


def test_a_run_of_steps_has_no_tokens() -> None:
    state = RunState(tokens="", settings="training.steps=1000")
    assert run_of(state).training.steps == gpu_run_of(state).training.steps == 1000


WRONG = {
    "systems": ["abc", "", "0", "-3", "1.5", "17", "1e99", "9" * 5000],
    "batch": ["", "x", "0", "-1", "1e30", "0.5"],
    "sequence_length": ["", "0", "2 GB", "2049", "nan"],
    "tokens": ["lots", "0", "-1", "inf"],
    "precision": ["fp4", ""],
    "weight_sparsity": ["1", "2", "-0.1", "half"],
    "model": ["cerebras-gpt-13", "", "../x"],
    "cluster": ["nowhere", "", "selene"],
    "settings": [
        "training=1",
        "gpus=1",
        "gpus.cluster.name=selene",
        "a",
        "=3",
        "model.num_layerss=3",
        "cluster.num_systems=3",
        "x" * 400,
        "\n".join(["job.seed=1"] * 60),
    ],
}


@pytest.mark.parametrize(("field", "text"), [(field, text) for field, texts in WRONG.items() for text in texts])
def test_what_is_wrong_is_said_beside_its_control(field: str, text: str) -> None:
    with pytest.raises(WsesimError) as refused:
        main(RunState.of([(field, text)]))
    problems = beside(str(refused.value), FIELDS, "settings")
    assert field in problems or (field, text) in (("cluster", "selene"),)
    assert len(str(refused.value)) < 3000


def test_messages_are_those_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for state in (RunState(sequence_length="0", systems="x"), RunState(settings="cluster.swarmx.fan_outt=3")):
        Path("run.toml").write_text(tomli_w.dumps(wafer_table(state)), encoding="utf-8")
        with pytest.raises(WsesimError) as of_page:
            run_of(state)
        with pytest.raises(WsesimError) as of_file:
            load("run.toml")
        assert str(of_page.value) == str(of_file.value)

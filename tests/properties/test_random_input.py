"""Whatever is typed: a run, or one `WsesimError` with exit code 1 or 2, within a second or so; never anything else."""

from __future__ import annotations

import datetime
import io
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from rich.console import Console

from tests.builders import TINY, Table, between, laid_over
from tests.front_door import call
from wsesim import Run, from_table, load, simulate
from wsesim.config.model import ModelSpec
from wsesim.config.run import parse_setting
from wsesim.config.spec import options_of
from wsesim.config.training import TrainingSpec
from wsesim.engine.repeat import MOST_MICRO_BATCHES
from wsesim.errors import WsesimError
from wsesim.machines.wafer.checks import check
from wsesim.machines.wafer.rows import COLUMNS, read_log, read_table
from wsesim.machines.wafer.simulation import run_schedule
from wsesim.machines.wafer.spec import ClusterSpec, ExceptionSpec
from wsesim.report.json import result_dict
from wsesim.report.pages.run import sections
from wsesim.report.terminal import print_sections

MOST_WORK = 400
"""Passes, times pieces, times classes of systems, up to which a run is simulated here. [-]"""

few = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


def paths(spec: type[BaseModel], prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every key that a run file may have."""
    for name, field in spec.model_fields.items():
        inner = [one for one in options_of(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
        yield (*prefix, name)
        if inner:
            yield from paths(inner[0], (*prefix, name))


KEYS = [
    ("name",),
    *paths(ModelSpec, ("model",)),
    *paths(TrainingSpec, ("training",)),
    *paths(ClusterSpec, ("cluster",)),
    ("cluster", "system", "calibration", "releases", "2.3"),
    ("cluster", "system", "calibration", "releases", "9.9"),
]
UNITS = ["B", "GB", "GiB", "Tb/s", "GB/s", "GHz", "s", "us", "h", "kW", "MUSD", "USD/h", "samples/s", "%", "parsec", ""]

whole = st.one_of(st.integers(-3, 20), st.integers(0, 40).map(lambda power: 10**power), st.integers())
real = st.one_of(between(1e-15, 1e30), st.floats(), st.sampled_from([0.0, -0.0, 1e-300, 1e308, math.nan, math.inf]))
quantity = st.tuples(between(1e-15, 1e30), st.sampled_from(UNITS)).map(lambda parts: f"{parts[0]:.3g} {parts[1]}")
word = st.one_of(
    st.text(max_size=12), st.sampled_from(["auto", "cs2", "cs3", "2.1", "9.9", "gpt2", "mine.toml", ".", "none"])
)
leaf = st.one_of(whole, real, quantity, word, st.booleans(), st.dates(), st.just(datetime.time()))
number_table = st.fixed_dictionaries(
    {"value": leaf},
    optional={
        "status": st.sampled_from(["assumed", "vendor", "sure", 3]),
        "range": st.lists(leaf, max_size=3),
        "source": word,
    },
)
value = st.recursive(
    leaf | number_table,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(word | st.sampled_from(["extends", "value"]), inner, max_size=3)
    ),
    max_leaves=5,
)
exceptions = st.lists(
    st.dictionaries(
        st.sampled_from([*ExceptionSpec.model_fields, "sped"]), value | st.lists(st.integers(-1, 5)), max_size=4
    ),
    max_size=3,
)
key = st.sampled_from(KEYS) | st.lists(word, min_size=1, max_size=4).map(tuple)
change = st.tuples(key, value) | st.tuples(st.just(("cluster", "exceptions")), exceptions)
numeric_change = st.tuples(st.sampled_from(KEYS), real | st.integers(1, 10**12) | st.integers(1, 300))


def changed(table: Table, changes: list[tuple[tuple[str, ...], Any]]) -> Table:
    for path, new in changes:
        nested: Any = new
        for part in reversed(path):
            nested = {part: nested}
        table = laid_over(table, nested)
    return table


@contextmanager
def one_message_within_bounds() -> Iterator[None]:
    """A block that works, or raises one `WsesimError` that would be told well."""
    told = None
    try:
        yield
    except WsesimError as error:
        told = error
    if told is not None:
        assert told.exit_code in (1, 2)
        assert str(told)
        assert "is a fault of wsesim" not in str(told)


def work_of(run: Run) -> int:
    sizes = run.cluster.simulation.chunks_per_layer * len(run.cluster.exceptions or "1")
    return (run.model.num_layers + 2) * sizes


def answer(run: Run) -> None:
    """The whole answer of a run that is small enough for a test, as strict JSON and as tables; else its checks."""
    check(run)
    wafer, simulation = run.cluster.system.wafer, run.cluster.simulation
    room = min(wafer.weight_buffer_bytes, wafer.gradient_buffer_bytes) / run.cluster.memoryx.wire_bytes_per_weight
    if work_of(run) > MOST_WORK or room < 1e5 or simulation.max_steps > 50:
        return
    result = simulate(run)
    json.dumps(result_dict(result, layers=True), allow_nan=False)
    print_sections(Console(file=io.StringIO(), markup=False), sections(result))


@few
@given(changes=st.lists(change, min_size=1, max_size=3))
@example(changes=[(("training", "precision"), {"value": "float32", "status": "assumed"})])
@example(changes=[(("cluster", "exceptions"), [{"systems": [0], "speed": 0.5}, {"systems": [0], "speed": 0.5}])])
@example(changes=[(("model", "num_layers"), 16**5000)])
@example(changes=[(("cluster", "system"), {"extends": "cs3"}), (("cluster", "system", "power_w"), "1 kW")])
def test_random_values_in_random_places(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    with one_message_within_bounds():
        answer(from_table(changed(TINY, changes)))


@settings(few, max_examples=120)
@given(changes=st.lists(numeric_change, min_size=1, max_size=3))
@example(changes=[(("cluster", "swarmx", "hop_latency_s"), 1e30), (("cluster", "num_systems"), 2)])
@example(changes=[(("cluster", "memoryx", "egress_bytes_per_s"), 1e-15)])
@example(changes=[(("cluster", "system", "power_w"), 1e30), (("cluster", "memoryx", "optimizer_bytes_per_s"), 1e-15)])
def test_numbers_of_every_magnitude(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    """No product of what the specs let through overflows, and no quotient is a division by zero."""
    with one_message_within_bounds():
        answer(from_table(changed(TINY, changes)))


@settings(few, max_examples=40)
@given(
    batch=st.integers(1, 10**9),
    num_systems=st.sampled_from([1, 2, 3, 7, 16, 64, 192]),
    micro=st.none() | st.sampled_from([1, 2, 3, 5, 60]),
    norm=st.sampled_from([0.0, 1.0]),
    speed=st.none() | between(0.3, 3.0),
)
@example(batch=999_999_937, num_systems=1, micro=None, norm=1.0, speed=None)
@example(batch=999_999_937, num_systems=192, micro=1, norm=0.0, speed=0.5)
def test_any_batch_up_to_a_billion_is_quick(
    batch: int, num_systems: int, micro: int | None, norm: float, speed: float | None
) -> None:
    """Primes, products of primes, one sequence at a time: work grows with layers, not with the batch."""
    step = num_systems * (micro or 1)
    top: Table = {
        "training": {"global_batch_size": max(1, batch // step) * step, "micro_batch_size": micro or "auto"},
        "cluster": {"num_systems": num_systems},
    }
    top["training"]["max_gradient_norm"] = norm
    if speed is not None:
        top["cluster"]["exceptions"] = [{"systems": [num_systems - 1], "speed": speed}]
    result = simulate(from_table(laid_over(TINY, top)))
    # a batch that does not divide is dealt out evenly: micro-batches differ by at most one sequence
    passes = result.num_micro_batches * num_systems
    assert 0 <= result.micro_batch_size * passes - top["training"]["global_batch_size"] < passes


@pytest.mark.parametrize("worker_samples_per_s", [22_431.0, 30_000.0, 1e6])
def test_input_workers_do_not_make_work_grow_with_the_batch(worker_samples_per_s: float) -> None:
    """A worker about as fast as the wafer makes every other micro-batch wait."""
    top = {
        "training": {"global_batch_size": 3 * 3 * 400, "micro_batch_size": 3},
        "cluster": {
            "num_systems": 3,
            "input": {"prefetch_micro_batches": 1, "worker_samples_per_s": worker_samples_per_s},
        },
    }
    run = from_table(laid_over(TINY, top))
    simulation = run_schedule(run)
    assert simulation.num_simulated_micro_batches <= MOST_MICRO_BATCHES
    # micro-batches that repeat in pairs are not seen to repeat: a mean stands for them, and the run says so
    whole = run_schedule(run, skip_micro_batches=False)
    assert simulation.step_time_s == pytest.approx(whole.step_time_s, rel=1e-9 if simulation.is_steady else 1e-2)


@settings(few, max_examples=200)
@given(text=st.text(max_size=60) | st.tuples(key.map(".".join), word | value.map(repr)).map("=".join))
@example(text="cluster.num_systems=4\nfoo=3")
@example(text='cluster.system.calibration.releases."2.4"=0.9')
@example(text="cluster.num_systems=" + "9" * 5000)
@example(text="a." * 2000 + "a=1")
@example(text="x=" + "[" * 5000)
@example(text="training.tokens=1979-02-30")
@example(text="=")
@example(text='"=1')
@example(text="''=1")
def test_random_settings(text: str) -> None:
    with one_message_within_bounds():
        parts, _ = parse_setting(text)
        assert parts
        assert all(parts)
        answer(from_table(TINY, settings=[text]))


TOML = json.dumps(TINY["model"]).replace('": ', " = ").replace(', "', "\n").strip("{}").removeprefix('"')
GOOD = f"[model]\n{TOML}\n[training]\nsequence_length = 128\nglobal_batch_size = 16\n[cluster]\nname = 'cs2'\n"


@st.composite
def broken(draw: st.DrawFn, text: str) -> bytes:
    """A text with pieces cut out, doubled, or replaced by any bytes."""
    content = text.encode()
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, len(content))), draw(st.integers(0, 12))
        new = draw(
            st.binary(max_size=8) | st.sampled_from([b"[", b"]", b"=", b"\n", b'"', b",", b"{", b"1e999", b"nan"])
        )
        content = content[:start] + new + content[start + length * draw(st.integers(0, 1)) :]
    return content


def in_a_file(suffix: str, content: bytes, also: dict[str, bytes] | None = None) -> Path:
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    for name, more in (also or {}).items():
        (folder / name).write_bytes(more)
    path = folder / f"x{suffix}"
    path.write_bytes(content)
    return path


FOLDER = ""


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FOLDER  # hypothesis refuses fixtures of a single test
    FOLDER = str(tmp_path_factory.mktemp("random"))


@few
@given(content=st.binary(max_size=200) | st.text().map(str.encode) | broken(GOOD))
@example(content=GOOD.encode())
def test_random_run_files(content: bytes) -> None:
    path = in_a_file(".toml", content)
    with one_message_within_bounds():
        answer(load(path))


HF = '{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}'
ZOO = """
model: {hidden_size: 64, num_hidden_layers: 2, num_heads: 4, vocab_size: 100, max_position_embeddings: 128}
train_input: {batch_size: 16, max_sequence_length: 128, micro_batch_size: 4}
optimizer: {optimizer_type: AdamW}
runconfig: {max_steps: 100, num_csx: 2}
"""


@few
@given(content=st.binary(max_size=100) | broken(HF) | broken(ZOO), suffix=st.sampled_from([".json", ".yaml"]))
@example(content=HF.encode(), suffix=".json")
@example(content=ZOO.encode(), suffix=".yaml")
def test_random_model_files(content: bytes, suffix: str) -> None:
    run = f"[model]\npath = 'm{suffix}'\n[training]\nsequence_length = 128\n[cluster]\nname = 'cs2'\n"
    path = in_a_file(
        ".toml", run.replace("128\n", "128\nglobal_batch_size = 16\n", 1).encode(), {f"m{suffix}": content}
    )
    with one_message_within_bounds():
        answer(load(path))


ROWS = (
    "use,model,hidden_size,num_layers,global_batch_size,metric,value\n,cerebras-gpt-111m,,,120,,690\n,own,256,2,16,,5\n"
)


@few
@given(content=st.binary(max_size=100) | broken(ROWS) | broken(f"{','.join(COLUMNS)}\n{',' * (len(COLUMNS) - 1)}\n"))
@example(content=ROWS.encode())
def test_random_tables(content: bytes) -> None:
    path = in_a_file(".csv", content)
    with one_message_within_bounds():
        for row in read_table(path):
            assert row.value > 0
            assert math.isfinite(row.value)
            answer(from_table(row.run_table))


LOG = "| Train Device=CSX, Step=100, Loss=7.9, Rate=492.40 samples/sec, GlobalRate=492.40 samples/sec\n" * 3


@few
@given(content=st.binary(max_size=100) | broken(LOG))
def test_random_logs(content: bytes) -> None:
    path = in_a_file(".log", content)
    with one_message_within_bounds():
        rate = read_log(path)
        assert 0 < rate < math.inf


COMMAND_WORDS = ["run", "list", "explain", "--set", "--json", "--help", "--", "-h", "--layers"]


@settings(few, max_examples=60)
@given(words=st.lists(st.text(max_size=10) | st.sampled_from(COMMAND_WORDS), max_size=4))
@example(words=["run", "\udcff"])
@example(words=["explain", "x" * 5000])
@example(words=["--set"])
def test_random_command_lines(words: list[str]) -> None:
    if words[:1] in (["calibrate"], ["validate"]):
        return  # without arguments they work for a minute
    outcome = call(*words)
    assert outcome.code in (0, 1, 2)
    assert "Traceback" not in outcome.err
    assert outcome.err == "" or outcome.code != 0

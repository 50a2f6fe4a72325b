"""The file of a timeline: small, whole, the same every time."""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import tiny_run
from tests.front_door import call
from tests.timeline.checker import nanoseconds
from wsesim import simulate
from wsesim.report import chrome_trace
from wsesim.study.timeline import Timeline, timeline_of

RUN = "cerebras_gpt_111m"


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    """Of a small run."""
    return timeline_of(simulate(tiny_run()))


def advance(text: str = "", count: int = 1) -> None:
    """Nobody looks."""


def test_gzip_holds_the_same(timeline: Timeline, tmp_path: Path) -> None:
    plain, packed, again = tmp_path / "a.json", tmp_path / "b.json.gz", tmp_path / "c.json.gz"
    sizes = [chrome_trace.write(timeline, path, advance) for path in (plain, packed, again)]
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.read_bytes() == again.read_bytes()
    assert sizes == [path.stat().st_size for path in (plain, packed, again)]
    assert sizes[1] < sizes[0] / 5


def test_names_from_files_are_text(tmp_path: Path) -> None:
    name = 'a "b" \\ \n </script> \u2028 \U0001f600'
    path = tmp_path / "a.json"
    run = tiny_run(model={"name": name})
    chrome_trace.write(timeline_of(simulate(run)), path, advance)
    assert json.loads(path.read_text())["otherData"]["run"] == run.name


def test_a_failure_leaves_the_old_file(timeline: Timeline, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def broken(_: Timeline) -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    with mock.patch.object(chrome_trace, "pieces", broken), pytest.raises(KeyboardInterrupt):
        chrome_trace.write(timeline, path, advance)
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


@given(st.integers(0, 10**14))
def test_microseconds_are_read_as_the_nanoseconds_they_were(time_ns: int) -> None:
    value = float(chrome_trace._us(time_ns))
    assert nanoseconds(value) == time_ns
    assert value == pytest.approx(time_ns / 1000.0, rel=1e-12, abs=1e-4)  # a tenth of a nanosecond


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "step.json.gz"
    outcome = call("trace", RUN, "--out", path, "--steps", 2, "--layers", "0..1", "--set", "cluster.num_systems=2")
    assert outcome.code == 0
    assert outcome.err == ""
    assert f"{path}: " in outcome.out
    assert "2 steps" in outcome.out
    entries = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    layers = {entry["args"]["layer"] for entry in entries if entry["ph"] == "X" and "layer" in entry["args"]}
    assert layers == {1, 2}
    assert sum(entry.get("cat") == "step" for entry in entries) == 2
    assert any(entry["args"].get("name") == "2 x wafer" for entry in entries if entry["ph"] == "M")


def test_gpu_runs_have_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "step.json"
    assert call("trace", f"{RUN}_gpu", "--out", path).code == 0
    names = [
        entry["args"]["name"]
        for entry in json.loads(path.read_text())["traceEvents"]
        if entry["ph"] == "M" and "name" in entry["args"]
    ]
    assert "stage 0: 8 x GPU" in names


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--out", "step.txt"), "--out step.txt: ends in .txt; name a file that ends in .json or .gz"),
        (("--out", "nowhere/step.json"), "--out nowhere/step.json: the folder nowhere does not exist; make it first"),
        (("--out", "folder.json"), "--out folder.json: is a folder; name a file in it"),
        (("--out", "a.json", "--layers", "0..10"), "blocks are 0..9"),
        (("--out", "a.json", "--steps", "0"), "--steps"),
        (("--out", "a.json", "--steps", "101"), "--steps"),
        ((), "--out"),
    ],
)
def test_bad_input_is_refused_before_anything_is_run(
    words: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    with mock.patch("wsesim.machines.simulation.simulate", side_effect=AssertionError("run")):
        outcome = call("trace", RUN, *words)
    assert outcome.code == 2
    assert expected in outcome.err
    assert [one.name for one in tmp_path.iterdir()] == ["folder.json"]


def test_a_full_disk_is_one_message(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch("wsesim.report.files.os.fsync", side_effect=full):
        outcome = call("trace", RUN, "--out", tmp_path / "a.json")
    assert outcome.code == 2
    assert "a.json: cannot be written (No space left on device)" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_the_sender_says_what_holds_it_up(tmp_path: Path) -> None:
    """One slow wafer keeps its weights: the others have room, MemoryX has to wait for it."""
    path, small = tmp_path / "step.json", "cluster.system.wafer.weight_buffer_bytes=0.3 GB"
    assert call("trace", "straggler_13b", "--out", path, "--set", small).code == 0
    entries = json.loads(path.read_text())["traceEvents"]
    sender = next(one for one in entries if one["ph"] == "M" and one["args"].get("name") == "MemoryX sends")
    own = [one for one in entries if one["ph"] == "X" and one["tid"] == sender["tid"]]
    waits = {one["name"] for one in own if one["args"]["kind"] == "wait"}
    assert "weight buffer full (CS 3)" in waits
    assert "waits until the pass before is over" in waits
    assert {one["args"]["chunk"] for one in own if one["name"] == "block.3 forward weights"} >= {0, 1, 2, 3}


def test_parts_fold_and_steps_end_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "step.json"
    assert call("trace", RUN, "--out", path, "--steps", 2).code == 0
    entries = json.loads(path.read_text())["traceEvents"]
    parts = [one["args"]["name"] for one in entries if one["name"] == "process_name"]
    assert parts[1:] == ["MemoryX to the wafers", "CS system", "the wafers to MemoryX"]
    assert sum(one["ph"] == "i" for one in entries) == 2

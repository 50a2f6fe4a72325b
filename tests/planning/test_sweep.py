"""Sweeps give what single runs give, run nothing twice, and keep what is refused as rows."""

from __future__ import annotations

import csv
import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import wsesim
from tests.builders import TINY
from tests.front_door import call
from wsesim.config.variations import Variations
from wsesim.errors import InputError
from wsesim.report.pages import sweep as report
from wsesim.study import sweep as module
from wsesim.study.ledger import Ledger
from wsesim.study.workers import Here, answers_of, evaluate

TWO = {"cluster.num_systems": "1..4", "training.weight_sparsity": [0.0, 0.5]}


def test_every_row_is_what_the_run_alone_gives() -> None:
    result = wsesim.sweep("cerebras_gpt_111m", {"cluster.num_systems": "1..3", "model.num_layers": "4,6"}, workers=1)
    assert [(row["cluster.num_systems"], row["model.num_layers"]) for row in result] == [
        (systems, layers) for systems in (1, 2, 3) for layers in (4, 6)
    ]
    for row in result:
        if row["status"] == "ok":
            settings = [f"{key}={row[key]}" for key in result.keys]
            alone = answers_of(wsesim.simulate(wsesim.load("cerebras_gpt_111m", settings)))
            assert {name: row.get(name) for name in alone} == {
                name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
                for name, value in alone.items()
            }


def test_what_does_not_fit_is_a_row() -> None:
    result = wsesim.sweep(TINY, {"cluster.num_systems": [1, 3, 4, 10**6, "many"]}, workers=1)
    assert [row["status"] for row in result] == ["ok", "ok", "ok", "refused", "refused"]
    assert "more than the fabric" in result.rows[3]["message"]
    assert "is not a number" in result.rows[4]["message"]
    assert result.rows[0]["message"] == ""


def test_gpu_runs_are_rows_too() -> None:
    vary = {"training.global_batch_size": [256, 512, 0]}
    result = wsesim.sweep("gpt3_13b_256xa100", vary, workers=1)
    assert [row["status"] for row in result] == ["ok", "ok", "refused"]
    assert result.rows[0]["kind"] == "gpu"
    alone = wsesim.simulate(wsesim.load("gpt3_13b_256xa100", ["training.global_batch_size=256"]))
    assert result.rows[0]["step_time_s"] == alone.step_time_s


def test_an_error_of_the_simulator_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from wsesim.study import workers

    real = workers.simulate_many

    def simulate_many(runs: Any) -> Any:
        if any(run.cluster.num_systems == 2 for run in runs):
            raise ZeroDivisionError("somewhere")
        return real(runs)

    monkeypatch.setattr(workers, "simulate_many", simulate_many)
    result = wsesim.sweep(TINY, TWO, workers=1)
    assert [row["status"] for row in result if row["cluster.num_systems"] == 2] == ["failed"] * 2
    assert result.count("ok") == 6
    assert "ZeroDivisionError, which is a fault of wsesim" in result.rows[2]["message"]


def test_batches_become_smaller_so_that_workers_end_together() -> None:
    sparsities = [place / 2000 for place in range(1500)]
    points = module._points(
        Variations.of(TINY, [], ["training.weight_sparsity"]), {"training.weight_sparsity": sparsities}
    )
    with Ledger(None) as book:
        sizes = [len(batch.points) for batch in module._Job(points, book).batches(2)]
    assert sum(sizes) == 1500
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 188  # an eighth
    assert sizes[-1] <= module.AT_ONCE[0]


def test_rows_are_encoded_where_they_are_evaluated() -> None:
    runs = Variations.of(TINY, [], ["cluster.num_systems"])
    found = evaluate(pickle.dumps(runs), wsesim.__version__, [[1], [3]])
    assert [json.loads(one.encoded) for one in found] == [one.answers for one in found]


def test_nothing_is_run_twice(tmp_path: Path) -> None:
    first = wsesim.sweep(TINY, TWO, out=tmp_path / "a.csv", workers=1)
    again = wsesim.sweep(TINY, TWO, out=tmp_path / "a.csv", workers=1)
    assert (first.num_evaluated, again.num_evaluated) == (8, 0)
    assert again.rows == first.rows
    book = tmp_path / "a.csv.ledger"
    other_way = {"cluster.num_systems": [4, 2, 8], "cluster.name": ["cs2"]}
    more = wsesim.sweep(TINY, other_way, ledger=book, settings=["training.weight_sparsity=50 %"], workers=1)
    assert more.num_evaluated == 1
    with Ledger(book) as ledger:
        assert set(ledger.evaluations().values()) == {1}
        assert len(ledger.entries()) == 2


def test_equal_points_are_run_once(tmp_path: Path) -> None:
    vary = {"cluster.system.wafer.io_bytes_per_s": ["1.2 Tb/s", "150 GB/s", 150e9]}
    result = wsesim.sweep(TINY, vary, workers=1)
    assert result.num_evaluated == 1
    assert len({row["step_time_s"] for row in result}) == 1
    assert [row["cluster.system.wafer.io_bytes_per_s"] for row in result] == vary["cluster.system.wafer.io_bytes_per_s"]


def test_two_sweeps_share_a_ledger(tmp_path: Path) -> None:
    vary = {"model.num_layers": "1..15", "training.weight_sparsity": "0.0..0.9+0.1"}
    found: list[wsesim.SweepResult] = []

    def one() -> None:
        found.append(wsesim.sweep(TINY, vary, ledger=tmp_path / "a.ledger", workers=1))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0].rows == found[1].rows
    assert found[0].num_evaluated + found[1].num_evaluated == 150
    with Ledger(tmp_path / "a.ledger") as ledger:
        assert list(ledger.evaluations().values()) == [1] * 150


def test_processes_and_any_executor_give_the_same() -> None:
    vary = {"model.num_layers": "1..5", "training.weight_sparsity": "0.0..0.9+0.1"}
    here = wsesim.sweep(TINY, vary, workers=1)
    assert wsesim.sweep(TINY, vary, workers=2).rows == here.rows
    with ThreadPoolExecutor(1) as executor:
        assert wsesim.sweep(TINY, vary, executor=executor).rows == here.rows


def test_a_run_can_be_varied() -> None:
    run = wsesim.load("cerebras_gpt_111m", ["cluster.num_systems=2"])
    (row,) = wsesim.sweep(run, {"training.weight_sparsity": [0.0]}, workers=1)
    assert row["step_time_s"] == pytest.approx(wsesim.simulate(run).step_time_s, rel=1e-12)


class Dying(Here):
    """Dies at one point; with a whole batch it is the batch that is lost."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Die at a point."""
        if any(point[0] == 2 for point in args[2]):
            return super().submit(_die)
        return super().submit(fn, *args, **kwargs)


def _die() -> None:
    raise BrokenProcessPool("killed")


def test_a_point_that_kills_its_worker_is_a_row() -> None:
    result = wsesim.sweep(TINY, {"cluster.num_systems": [1, 2, 4, 8]}, executor=Dying())
    assert [row["status"] for row in result] == ["ok", "failed", "ok", "ok"]
    assert "died" in result.rows[1]["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "cluster.num_system=1"], "did you mean cluster.num_systems?"),
        (["--vary", "cluster.num_gpus=1"], "did you mean cluster.num_systems?"),
        (["--vary", "cluster.num_systems=4..1"], "ends before it starts"),
        (["--vary", "name=a", "--out", "a.txt"], "ends in .csv or .parquet"),
        (["--vary", "name=a", "--out", "no/a.csv"], "does not exist"),
        (["--vary", "name=a", "--executor", "slurm"], "use local, dask, or dask://HOST:PORT"),
        (["--vary", "name=a", "--workers", "0"], "at least 1"),
        (["--vary", "name=a", "--ledger", "."], "is a folder"),
        (["--vary", "name=a", "--set", "nonsense"], "is not KEY=VALUE"),
    ],
)
def test_wrong_input_is_one_message(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in arguments else ["--out", "a.csv"]
    done = call("sweep", "andromeda_13b", *arguments, *out)
    assert done.code == 2, done.err
    assert words in done.err
    assert done.out == ""
    assert not list(tmp_path.iterdir())


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vary = ["--vary", "cluster.num_systems=1,17,12", "--vary", "training.weight_sparsity=0.0,0.5"]
    done = call("sweep", "andromeda_13b", *vary, "--out", "a.csv")
    assert (done.code, done.out) == (0, "")
    assert "6 points, 4 with an answer, 2 without" in done.err
    with Path("a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "ok", "refused", "refused", "ok", "ok"]
    assert float(rows[4]["step_time_s"]) == pytest.approx(7.738, abs=1e-3)
    assert call("ledger", "export", "a.csv.ledger", "--out", "b.csv").code == 0
    assert Path("b.csv").read_bytes() == Path("a.csv").read_bytes()
    assert "andromeda_13b" in call("ledger", "list", "a.csv.ledger").out
    assert '"finished": 6' in call("ledger", "list", "a.csv.ledger", "--json").out
    assert call("ledger", "clean", "a.csv.ledger").code == 2
    assert "2 points removed" in call("ledger", "clean", "a.csv.ledger", "--failures").err
    assert call("sweep", "andromeda_13b", "--vary", "cluster.num_systems=17", "--out", "a.csv").code == 1


def test_tables(tmp_path: Path) -> None:
    pandas, parquet = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    vary = {"training.micro_batch_size": ["auto", 1, 3]}
    result = wsesim.sweep(TINY, vary, out=tmp_path / "a.parquet", workers=1)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == result.columns
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert table["training.micro_batch_size"] == ["auto", "1", "3"]
    assert table["step_time_s"] == [row.get("step_time_s") for row in result]


def test_a_missing_extra_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'wsesim\[parquet\]'"):
        wsesim.sweep(TINY, TWO, out=tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"pip install 'wsesim\[dask\]'"):
        wsesim.sweep(TINY, TWO, executor="dask")


LIMITED = """
import resource, sys
from wsesim.commands.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@pytest.mark.parametrize(("limit", "words"), [(4096, "ledger: cannot be written"), (100_000, "--out big.csv: cannot")])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, limit: int, words: str) -> None:
    pytest.importorskip("resource")

    def sweep(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
        head = ["-m", "wsesim"] if limit is None else ["-c", LIMITED, str(limit)]
        command = [sys.executable, *head, "sweep", "cerebras_gpt_111m", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    small = ["--vary", "cluster.num_systems=1,2", "--out", "big.csv"]
    assert sweep(*small).returncode == 0
    before = (tmp_path / "big.csv").read_bytes()
    large = ["--vary", "training.weight_sparsity=0.0..0.6+0.001", "--out", "big.csv", "--workers", "2"]
    if limit > 4096:  # the ledger has all, and only the table is too large
        assert sweep(*large, "--ledger", "big.csv.ledger").returncode == 0
        (tmp_path / "big.csv").write_bytes(before)
    done = sweep(*large, limit=limit)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "big.csv").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {
        "big.csv",
        *(f"big.csv.ledger{end}" for end in ("", "-wal", "-shm")),
    }
    assert "2 were in the ledger" in sweep(*small).stderr


@pytest.mark.parametrize(("finished", "words"), [(0, "before any point was finished"), (2, "2 points are in")])
def test_an_interrupted_sweep_says_what_is_kept(
    finished: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, progress: module.Progress, **__: object) -> None:
        if finished:
            progress(finished, 4, "")
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "sweep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report.run_sweep("cerebras_gpt_111m", ["cluster.num_systems=1..4"], (), tmp_path / "a.csv", None, "local", 1)
    assert words in capsys.readouterr().err


def test_it_ends_with_the_fastest_point_and_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = call("sweep", "andromeda_13b", "--vary", "cluster.num_systems=15..18", "--out", "out.csv").err
    assert "2 x " in said
    assert "(and 1 like it)" in said
    *_, fastest, following, pictures = said.splitlines()
    assert fastest.strip().startswith("fastest: num_systems 16: ")
    assert following.strip() == "next: wsesim run andromeda_13b --set cluster.num_systems=16"
    assert pictures.endswith("wsesim report --ledger out.csv.ledger --out out.html")

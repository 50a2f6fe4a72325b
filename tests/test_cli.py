"""The command line: answers on standard output, messages on standard error, exit codes, JSON as agreed."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import wsesim
from tests.front_door import Outcome, answer, call, process
from wsesim.commands import cli

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("systems", "gpus", "clusters", "models", "runs", "calibrations", "laws", "software")
ESCAPE = "\x1b"
LOG_LINE = "| Train Device=CSX, Step=100, Loss=7.9, Rate=492.40 samples/sec, GlobalRate=492.40 samples/sec\n"
TABLE = "model,num_systems,global_batch_size,software_release,value\ncerebras-gpt-111m,1,120,2.1,690\n"


def names(kind: str) -> list[str]:
    """Entries of the catalogue."""
    return sorted(path.stem for path in (ROOT / "cluster_configs" / kind).glob("*.toml"))


@contextmanager
def failing(error: BaseException) -> Iterator[None]:
    """Every command ends in this error."""
    failing_app = mock.Mock(side_effect=error)
    with mock.patch.object(cli, "app", failing_app):
        yield


# wsesim run

STRAGGLER = ["cerebras_gpt_111m", "--set", "cluster.num_systems=12"]
STRAGGLER += ["--set", "cluster.exceptions=[{ systems = [3], speed = 0.8 }]"]
"""Ten layers on twelve systems, one of which is slow."""

NUMBER = (int, float)
CONTRACT: dict[str, Any] = {
    "name": str,
    "kind": str,
    "num_devices": int,
    "step_time_s": float,
    "samples_per_s": float,
    "tokens_per_s": float,
    "model_flop_per_s": float,
    "mfu": float,
    "hfu": float,
    "micro_batch_size": int,
    "num_micro_batches": int,
    "breakdown_s": {"*": float},
    "bottleneck": str,
    "utilization": {"wafer": float, "*": float},
    "memory": {"*": NUMBER},
    "scaling_efficiency": float,
    "training": {
        "steps": int,
        "tokens": float,
        "time_s": float,
        "energy_j": float,
        "cost_usd": float,
        "predicted_loss": float,
        "predicted_accuracy": dict,
    },
    "assumptions": [{"key": str, "value": NUMBER, "status": str, "source": str}],
    "simulator": {"version": str, "events": int, "wall_s": float},
}
"""What `--json` promises; more keys may come, none of these may go or change its type."""


def check_contract(data: Any, contract: Any, key: str = "") -> None:
    if isinstance(contract, dict):
        assert isinstance(data, dict), key
        every = contract.get("*")
        assert contract.keys() - {"*"} <= data.keys(), key
        for name, value in data.items():
            if name in contract or every is not None:
                check_contract(value, contract.get(name, every), f"{key}.{name}")
    elif isinstance(contract, list):
        assert isinstance(data, list), key
        for place, value in enumerate(data):
            check_contract(value, contract[0], f"{key}.{place}")
    else:
        assert isinstance(data, contract), (key, data)
        assert not isinstance(data, bool), key


@pytest.mark.parametrize("words", [["cerebras_gpt_111m"], ["sparse_6.7b_cs3"], STRAGGLER], ids=" ".join)
def test_json_keeps_its_contract(words: list[str]) -> None:
    data = answer("run", *words, "--json").json
    check_contract(data, CONTRACT)
    assert data["kind"] == "wafer_scale"
    assert data["simulator"]["version"] == wsesim.__version__
    assert sum(data["breakdown_s"].values()) == pytest.approx(data["step_time_s"], rel=1e-9)
    assert data["samples_per_s"] * data["step_time_s"] == pytest.approx(
        data["num_devices"] * data["micro_batch_size"] * data["num_micro_batches"]
    )
    executed = 0.3 if words[0].startswith("sparse") else 1.0  # seven of ten weights are zero; attention is not sparse
    assert data["mfu"] * executed <= data["hfu"] * (1 + 1e-9)
    assert data["mfu"] > 0
    assert data["assumptions"], "a run rests on numbers that are not public"


def test_json_of_an_encoder_has_no_loss() -> None:
    assert answer("run", "bert_large", "--json").json["training"]["predicted_loss"] is None


def without_wall_time(outcome: Outcome) -> Any:
    data = outcome.json
    data["simulator"].pop("wall_s")
    return data


def test_a_name_and_a_path_are_the_same_run() -> None:
    for name in ("cerebras_gpt_111m", "cerebras_gpt_1.3b"):  # a dot in a name is no suffix
        by_name = without_wall_time(answer("run", name, "--json"))
        assert without_wall_time(answer("run", ROOT / "cluster_configs" / "runs" / f"{name}.toml", "--json")) == by_name


def test_a_catalogue_path_works_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Cerebras-GPT 111M" in answer("run", "cluster_configs/runs/cerebras_gpt_111m.toml").out


def test_one_option_scales_the_job() -> None:
    scaled = answer("run", "bert_large", "--json", "--set", "cluster.num_systems=64").json
    assert scaled["num_devices"] == 64
    assert scaled["micro_batch_size"] * scaled["num_micro_batches"] == 2048 // 64
    # 32 sequences for each wafer leave its time per matrix: far less than 64 times as fast
    assert scaled["samples_per_s"] > 2 * answer("run", "bert_large", "--json").json["samples_per_s"]


def test_settings_are_read_as_toml_and_the_last_one_counts() -> None:
    words = ["--set", "cluster.num_systems=2", "--set", "training.global_batch_size=240"]
    words += [
        "--set",
        "cluster.num_systems=4",
        "--set",
        "cluster.memoryx.egress_bytes_per_s=2.4 Tb/s",
        "--set",
        "name=12",
    ]
    data = answer("run", "cerebras_gpt_111m", "--json", *words).json
    assert (data["num_devices"], data["name"]) == (4, "12")


@pytest.mark.parametrize("reverse", [False, True])
def test_overrides_of_a_named_system_stay_whatever_the_order(reverse: bool) -> None:
    """`cluster.system=cs3` must not drop `cluster.system.power_w`, nor the other way round."""
    settings = ["cluster.system=cs3", "cluster.system.power_w=1 kW", "cluster.overhead_power_w=0"]
    settings = settings[::-1] if reverse else settings
    words = [word for setting in settings for word in ("--set", setting)]
    data = answer("run", "cerebras_gpt_111m", "--json", *words).json
    assert data["training"]["energy_j"] == pytest.approx(1000.0 * data["training"]["time_s"])
    assert any(one["key"] == "cluster.system.purchase_price_usd" for one in data["assumptions"]), "not the CS-3"


def test_steps_replace_the_tokens_of_the_file_and_tokens_the_steps() -> None:
    assert answer("run", "cerebras_gpt_111m", "--json", "--set", "training.steps=5").json["training"]["steps"] == 5
    data = answer("run", "bert_large", "--json", "--set", "training.tokens=2_621_440").json
    assert data["training"]["steps"] == 10


@pytest.mark.parametrize("release", ["2.1", '"2.1"', "R2.1"])
def test_a_release_needs_no_quotes_on_the_command_line(release: str) -> None:
    setting = f"cluster.software_release={release}"
    assert "software release 2.1" in answer("run", "cerebras_gpt_111m", "--set", setting).out


@pytest.mark.parametrize(("release", "instead"), [("9.9", "2.3"), ("0.1", "1.7")])
def test_a_release_that_was_never_measured_is_said(release: str, instead: str) -> None:
    setting = f"cluster.software_release={release}"
    notes = answer("run", "cerebras_gpt_111m", "--json", "--set", setting).json["notes"]
    assert any(f"{release} is not calibrated" in note and f"{instead} is used in its place" in note for note in notes)


def test_both_engines_give_the_same_answer() -> None:
    words = ["run", "cerebras_gpt_111m", "--json", "--engine"]
    one, other = (answer(*words, engine).json for engine in ("simpy", "recurrence"))
    for key in ("step_time_s", "breakdown_s", "utilization", "training"):
        assert one[key] == other[key]


def test_tables() -> None:
    out = answer("run", "andromeda_13b", "-v").out
    for words in (
        "samples/s",
        "step time",
        "MFU",
        "Where the time goes",
        "MemoryX",
        "time to train",
        "cost",
        "assumed",
    ):
        assert words in out
    assert max(map(len, out.splitlines())) <= 100


def test_layers_and_links() -> None:
    plain = answer("run", *STRAGGLER).out
    more = answer("run", *STRAGGLER, "--layers", "--links").out
    assert "block.9" not in plain
    for words in ("embedding", "block.0", "block.9", "head", "forward", "backward", "memoryx", "swarmx.1.0", "cs.11"):
        assert words in more


def test_layers_and_links_as_json() -> None:
    data = answer("run", *STRAGGLER, "--json", "--layers", "--links").json
    assert "layers" not in answer("run", "cerebras_gpt_111m", "--json").json
    assert {row["layer"] for row in data["layers"]} == {"embedding", "head"} | {f"block.{n}" for n in range(10)}
    spent = sum(sum(row["times_s"].values()) for row in data["layers"])
    # layers also wait for what no layer is charged with, so they cannot take more than the step
    assert 0.9 * data["step_time_s"] < spent <= data["step_time_s"] * (1 + 1e-9)
    children = [row["child"] for row in data["links"]]
    assert len(children) == len(set(children)), "every node hangs on one link"
    assert {f"cs.{n}" for n in range(12)} <= set(children)
    for row in data["links"]:
        assert 0 < row["utilization_down"] <= 1
        # weights of 2 bytes pass twice, but the embedding's once; gradients of 4 bytes once
        assert 0 < row["up_bytes"] <= 2 * row["down_bytes"]


# wsesim validate


def test_validate_a_set() -> None:
    out = answer("validate", "micro-batch").out
    assert "mbs-01" in out
    assert "MISSED" not in out
    assert "mbs-01" not in answer("validate", "micro-batch", "--no-rows").out


def test_validate_as_json() -> None:
    data = answer("validate", "micro-batch", "--json").json
    assert data["losses"] == []
    assert [row["set"] for row in data["rows"]] == ["micro-batch"] * len(data["rows"])
    (summary,) = data["sets"]
    assert summary["n"] == len(data["rows"])
    assert summary["passes"] is True
    losses = answer("validate", "pile-loss", "--json").json
    assert losses["rows"] == []
    assert len(losses["losses"]) == 7


def test_validate_own_measurements(tmp_path: Path) -> None:
    """A table within the tolerance is fine, one beyond it is answered with exit code 1 after the report."""
    path = tmp_path / "mine.CSV"
    path.write_text(TABLE)
    predicted = call("validate", path, "--json").json["rows"][0]["predicted"]
    path.write_text(TABLE.replace("690", f"{predicted * 1.01:.6g}"))
    assert "-1.0%" in answer("validate", path).out
    path.write_text(TABLE.replace("690", f"{predicted * 2:.6g}"))
    missed = call("validate", path)
    assert (missed.code, "MISSED" in missed.out) == (1, True)
    assert missed.err.startswith("error: past the stated tolerance: all (calibration): 50.0% mean")


def test_texts_of_a_table_are_not_markup(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,model,global_batch_size,value\n[/red]:smile:,cerebras-gpt-111m,120,690\n")
    assert "[/red]:smile:" in call("validate", path).out


# wsesim calibrate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rate(*words: str) -> float:
    return float(answer("run", *words, "--json").json["samples_per_s"])


def test_calibrate_with_a_log(here: Path) -> None:
    """A run with the fitted file runs at the rate of the log."""
    Path("train.log").write_text("Waiting\n" + LOG_LINE.replace("492.40", "3.0") + 3 * LOG_LINE)
    words = ["train.log", "--run", "cerebras_gpt_111m", "--out", "mine.toml"]
    outcome = answer("calibrate", *words)
    assert "written to mine.toml" in outcome.out
    assert sorted(path.name for path in here.iterdir()) == ["mine.toml", "train.log"]
    # four figures of the factor are kept
    fitted = rate("cerebras_gpt_111m", "--set", "cluster.system.calibration=mine.toml")
    assert fitted == pytest.approx(492.4, rel=1e-3)
    assert rate("cerebras_gpt_111m") != pytest.approx(492.4, rel=1e-2)


def test_a_log_is_fitted_with_all_that_its_run_says(here: Path) -> None:
    """Sparsity, precision and odd systems of the run file count, not only its batch."""
    Path("train.log").write_text(LOG_LINE)
    Path("odd.toml").write_text(
        'extends = "cerebras_gpt_111m"\n[training]\nweight_sparsity = 0.7\nprecision = "float32"\n'
        "[cluster]\nnum_systems = 2\n[[cluster.exceptions]]\nsystems = [1]\nspeed = 0.5\n"
    )
    answer("calibrate", "train.log", "--run", "odd.toml", "--out", "mine.toml")
    assert rate("odd.toml", "--set", "cluster.system.calibration=mine.toml") == pytest.approx(492.4, rel=1e-3)


def test_calibrate_with_a_table(here: Path) -> None:
    Path("mine.csv").write_text(TABLE + "cerebras-gpt-111m,1,240,2.4,800\n")
    out = answer("calibrate", "mine.csv", "--out", "mine.toml", "--source", 'a "lab", 2025').out
    assert "releases.2.4" in out
    text = Path("mine.toml").read_text()
    assert "source = \"a 'lab', 2025\"" in text
    settings = ["--set", "cluster.system.calibration=mine.toml", "--set", "cluster.software_release=2.1"]
    assert rate("cerebras_gpt_111m", *settings) == pytest.approx(690, rel=1e-3)


def test_calibrate_shows_the_file_where_it_does_not_write_it(here: Path) -> None:
    Path("mine.csv").write_text(TABLE)
    assert "[releases]" in answer("calibrate", "mine.csv").out
    assert [path.name for path in here.iterdir()] == ["mine.csv"]


def test_a_file_written_by_calibrate_has_ordinary_permissions(here: Path) -> None:
    Path("mine.csv").write_text(TABLE)
    answer("calibrate", "mine.csv", "--out", "mine.toml")
    Path("other.toml").touch()
    assert Path("mine.toml").stat().st_mode == Path("other.toml").stat().st_mode


# wsesim explain, list, --version, --help


def test_explain() -> None:
    out = answer("explain", "cs2").out
    for words in ("wafer.num_cores", "850,000", "vendor", "cerebras-2021-weight-streaming", "https://", "20.0 us"):
        assert words in out
    rows = answer("explain", "cs2", "--json").json
    row = next(row for row in rows if row["key"].endswith("wafer.io_bytes_per_s"))
    assert (row["value"], row["unit"], row["status"]) == (150e9, "bytes/s", "vendor")
    assert row["file"] == "cluster_configs/systems/cs2.toml"


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_listed_and_explained(kind: str) -> None:
    listed = answer("list", kind, "--json").json
    assert list(listed) == [kind]
    assert sorted(listed[kind]) == names(kind)
    shown = answer("list", kind).out
    for name in listed[kind]:
        assert name in shown
    for name in names(kind)[:: 1 if kind != "models" else 9]:
        assert any(row["kind"] for row in answer("explain", name, "--json").json)


def test_list_is_the_whole_catalogue() -> None:
    assert list(answer("list", "--json").json) == list(KINDS)


def test_version_and_help() -> None:
    assert answer("--version").out == f"wsesim {wsesim.__version__}\n"
    for command in ("run", "validate", "calibrate", "explain", "list"):
        assert command in answer("--help").out
        assert "Usage" in answer(command, "--help").out


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["rnu"], "--help"),
        (["run"], "--help"),
        (["run", "cerebras_gpt_111m", "more"], "--help"),
        (["run", "cerebras_gpt_111m", "--jsno"], "--json"),
        (["run", "cerebras_gpt_111m", "--set"], "--set"),
        (["explain"], "--help"),
        (["--versoin"], "--version"),
    ],
)
def test_a_wrong_command_line_is_told_on_standard_error(words: list[str], remedy: str) -> None:
    outcome = call(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert remedy in outcome.err


# Streams


def test_pipes_get_plain_text_and_no_escape_codes() -> None:
    done = process("run", "cerebras_gpt_111m", "--layers")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Where the time goes" in done.stdout
    assert ESCAPE not in done.stdout


def test_wrong_input_in_a_process_of_its_own() -> None:
    done = process("run", "cerebras_gpt_111", NO_COLOR="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: run 'cerebras_gpt_111' is not in the catalogue; did you mean cerebras_gpt_111m?\n"


def test_no_color_wins_over_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert ESCAPE in answer("list").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert ESCAPE not in answer("list").out


def test_characters_that_the_terminal_does_not_know_are_replaced() -> None:
    done = process("run", "cerebras_gpt_111m", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "gemm" in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m wsesim explain cs2_192 | true; exit ${{PIPESTATUS[0]}}"
    home = str(Path(wsesim.__file__).resolve().parent.parent)
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": home}
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_output_is_no_traceback() -> None:
    home = str(Path(wsesim.__file__).resolve().parent.parent)
    for command in (f"{sys.executable} -m wsesim list >&-", f"{sys.executable} -m wsesim list >/dev/full"):
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": home}
        )
        assert done.returncode in (0, 2)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 0, ""),
        (MemoryError(), 2, "out of memory; make the model"),
        (OSError(28, "No space left on device"), 2, "standard output: cannot be written (No space left on device)"),
    ],
)
def test_what_the_system_refuses_is_one_message(error: BaseException, code: int, words: str) -> None:
    with failing(error):
        outcome = call("list")
    assert outcome.code == code
    assert words in outcome.err
    assert outcome.err.count("\n") == (1 if words else 0)


def test_a_message_cannot_flood_or_control_the_terminal() -> None:
    with failing(wsesim.errors.ConfigError("a\x1b[31m" + "x" * 100_000)):
        outcome = call("list")
    assert ESCAPE not in outcome.err
    assert len(outcome.err) < 3000


def test_the_published_table_is_one_that_the_command_takes(here: Path) -> None:
    """A user starts from the shipped table: its header is the one that is documented."""
    with (ROOT / "benchmarks" / "published" / "cerebras.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    chosen = [row for row in rows[1:] if row[rows[0].index("set")] == "micro-batch"]
    with Path("mine.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([rows[0], *chosen])
    assert len(answer("validate", "mine.csv", "--json").json["rows"]) == len(chosen)


def test_help_names_every_column_of_a_table() -> None:
    outcome = call("validate", "nowhere.csv")
    assert outcome.code == 2
    assert re.match(r"error: nowhere\.csv: there is no such file; check the path", outcome.err)


def test_an_accuracy_is_planned_from_the_command_line() -> None:
    words = ("plan", "--target-accuracy", "hellaswag=0.3", "--deadline", "5 d", "--cluster", "andromeda")
    told = answer(*words, "--json").json
    assert told["target_accuracy"] == {"hellaswag": 0.3}
    assert told["fastest"]["predicted_accuracy"]["hellaswag"] == pytest.approx(0.3, abs=1e-3)
    assert "zero-shot accuracy of hellaswag 0.3" in answer(*words).out
    assert "is no task with a share" in call("plan", "--target-accuracy", "hellaswag").err


def test_a_table_of_trained_models_is_held_against_the_laws(tmp_path: Path) -> None:
    table = tmp_path / "models.csv"
    table.write_text("family,size,tokens,pile_test_loss,hellaswag\nPythia,1.4B deduped,3e11,1.80,0.40\n")
    (row,) = answer("validate", str(table), "--json").json["shown"]
    assert row["loss_error"] == pytest.approx(-0.007, abs=1e-3)
    table.write_text("model,tokens,pile_test_loss\npythia-1.4b,3e11,2.5\n")
    assert "loss of pythia-1.4b" in call("validate", str(table)).err


def test_the_laws_are_fitted_by_a_command(tmp_path: Path) -> None:
    out = tmp_path / "pile.toml"
    told = answer("calibrate", "--loss", "--out", str(out), "--json").json
    assert out.read_text(encoding="utf-8") == (ROOT / "cluster_configs" / "laws" / "pile.toml").read_text("utf-8")
    assert len(told["left_out"]) == 17

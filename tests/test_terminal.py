"""Plain where no terminal shows it, coloured where one does or is forced, whole words in messages; JSON everywhere."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.front_door import answer, call, process
from tests.test_cli import ESCAPE, TABLE
from tests.test_docs import glossary_words

termios = pytest.importorskip("termios")
import fcntl  # noqa: E402
import pty  # noqa: E402


def on_terminal(columns: int, *words: str, **environment: str) -> str:
    """What a command shows on a terminal of so many columns, standard error with it."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    shown = {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
    with subprocess.Popen([sys.executable, "-m", "wsesim", *words], stdout=other, stderr=other, env=shown):
        os.close(other)
        found = b""
        while True:
            try:
                found += os.read(main, 65536) or b""
            except OSError:  # the command has ended
                break
    os.close(main)
    return found.decode().replace("\r\n", "\n")


def test_a_pipe_gets_plain_text_unless_colours_are_forced() -> None:
    def has_colours(**environment: str) -> bool:
        return ESCAPE in process("list", "systems", **environment).stdout

    assert not has_colours(TERM="xterm-256color")
    assert has_colours(TERM="xterm-256color", FORCE_COLOR="1")
    assert not has_colours(TERM="xterm-256color", FORCE_COLOR="1", NO_COLOR="1")
    assert not has_colours(TERM="dumb", FORCE_COLOR="1")


def test_a_terminal_gets_colours_unless_it_cannot_show_them() -> None:
    words = ("explain", "cs2")
    coloured, plain = on_terminal(80, *words), on_terminal(80, *words, NO_COLOR="1")
    assert ESCAPE in coloured
    assert ESCAPE not in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert ESCAPE not in on_terminal(80, *words, TERM="dumb")


def test_a_message_is_broken_between_words_on_a_terminal() -> None:
    shown = on_terminal(60, "run", "andromeda_13b", "--set", "cluster.num_systems=300")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 60
    assert (
        " ".join(lines)
        == " ".join(call("run", "andromeda_13b", "--set", "cluster.num_systems=300").err.split("\n")).strip()
    )


def test_every_command_that_answers_has_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(TABLE)
    swept = answer("sweep", "cerebras_gpt_111m", "--vary", "cluster.num_systems=1..3", "--out", "a.csv", "--json").json
    assert (swept["points"], swept["ok"], swept["ledger"]) == (3, 3, "a.csv.ledger")
    assert swept["messages"] == []
    exported = answer("ledger", "export", "a.csv.ledger", "--out", "b.csv", "--json").json
    assert exported == {"ledger": "a.csv.ledger", "out": "b.csv", "points": 3}
    assert answer("ledger", "list", "a.csv.ledger", "--json").json["rows"] == 3
    assert answer("ledger", "clean", "a.csv.ledger", "--failures", "--json").json["removed"] == 0
    fitted = answer("calibrate", "mine.csv", "--out", "mine.toml", "--json").json
    assert fitted["fitted"] == ["releases.2.1"]
    assert fitted["rows"][0]["error"] == pytest.approx(0.0, abs=1e-3)
    assert fitted["toml"] == Path("mine.toml").read_text()
    traced = answer("trace", "cerebras_gpt_111m", "--out", "t.json", "--json").json
    assert traced["events"] > 0
    assert traced["size_bytes"] == Path("t.json").stat().st_size
    assert "run" in answer("schema", "--json").json
    told = {key for one in (swept, exported, fitted, traced) for key in one}
    assert told <= glossary_words(), told - glossary_words()


def test_a_sweep_without_any_answer_tells_so_after_its_json(tmp_path: Path) -> None:
    words = ["--vary", "cluster.num_systems=5000,6000", "--out", str(tmp_path / "a.csv"), "--json"]
    outcome = call("sweep", "cerebras_gpt_111m", *words)
    assert outcome.code == 1
    assert [one["points"] for one in outcome.json["messages"]] == [1, 1]
    assert "none of the 2 points" in outcome.err


def test_scaling_and_measurements_as_json() -> None:
    data = answer("run", "cerebras_gpt_111m", "--scaling", "--measured", "--json").json
    weak, strong = data["scaling"]["curves"]
    assert (weak["kind"], strong["kind"]) == ("weak", "strong")
    assert weak["points"][0]["tokens_per_s"] == pytest.approx(data["tokens_per_s"])
    assert all(
        one["error"] == one["predicted_tokens_per_s"] / one["measured_tokens_per_s"] - 1 for one in data["measured"]
    )
    json.dumps(data, allow_nan=False)


def test_the_help_is_whole_at_80_columns() -> None:
    shown = on_terminal(80, "--help")
    assert "..." not in shown.replace("[ARGS]...", "")
    assert max(map(len, shown.splitlines())) <= 80
    assert "--json " in on_terminal(80, "run", "--help")


def test_schemas_that_are_written_are_told_as_json(tmp_path: Path) -> None:
    told = answer("schema", "--out", tmp_path / "schemas", "--json").json
    assert {Path(name) for name in told["written"]} == set((tmp_path / "schemas").iterdir())


def test_a_range_can_be_read_in_ascii() -> None:
    words = ("plan", "--model", "cerebras-gpt-111m", "--deadline", "1 h", "--cluster", "andromeda")
    shown = process(*words, PYTHONIOENCODING="ascii").stdout
    assert re.search(r"4\.\d+ min \(3\.\d+ to 5\.\d+\)", shown)
    assert "?" not in shown

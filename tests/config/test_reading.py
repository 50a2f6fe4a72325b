"""Hostile files: whatever its kind, size or depth, every reader refuses it in one message and at once."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import wsesim
from tests.test_cli import Outcome, call
from tests.test_wrong_input import RUN
from wsesim.config import catalogue
from wsesim.errors import ConfigError

AT_ONCE_S, NEVER_S = 20.0, 120.0
"""Time of a core in which every file is refused, of which the slowest here takes 6 s; and on the clock, where something else
keeps the cores busy. [s]"""

COMMANDS = {
    "run": ("run", "{}.toml"),
    "compare": ("compare", "andromeda_13b", "{}.toml"),
    "trace": ("trace", "{}.toml", "--out", "out.json"),
    "report": ("report", "{}.toml", "--out", "out.html"),
    "report of a ledger": ("report", "--ledger", "{}.ledger", "--out", "out.html"),
    "report of a table": ("report", "--ledger", "{}.csv", "--out", "out.html"),
    "report of Parquet": ("report", "--ledger", "{}.parquet", "--out", "out.html"),
    "sweep": ("sweep", "{}.toml", "--vary", "cluster.num_systems=1,2", "--out", "out.csv"),
    "sweep with a ledger": ("sweep", "andromeda_13b", "--vary", "name=a", "--out", "out.csv", "--ledger", "{}.ledger"),
    "lifetime": ("lifetime", "{}.toml"),
    "plan": ("plan", "{}.toml"),
    "plan with a cluster": ("plan", "--model", "gpt2", "--cluster", "{}.toml"),
    "portfolio": ("portfolio", "{}.toml"),
    "validate": ("validate", "{}.csv"),
    "calibrate": ("calibrate", "{}.csv", "--out", "out.toml"),
    "calibrate by a log": ("calibrate", "{}.log", "--run", "andromeda_13b", "--out", "out.toml"),
    "calibrate by a run": ("calibrate", "train.log", "--run", "{}.toml", "--out", "out.toml"),
    "ledger list": ("ledger", "list", "{}.ledger"),
    "ledger export": ("ledger", "export", "{}.ledger", "--out", "out.csv"),
    "ledger clean": ("ledger", "clean", "{}.ledger", "--failures"),
    "config.json": ("run", "andromeda_13b", "--set", "model.path={}.json"),
    "params.yaml": ("run", "andromeda_13b", "--set", "model.path={}.yaml"),
    "calibration": ("run", "andromeda_13b", "--set", "cluster.system.calibration={}.toml"),
}
ENDINGS = (".toml", ".json", ".yaml", ".csv", ".log", ".ledger", ".parquet")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless_links(path: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (pipe, "is a pipe"),
    "links": (endless_links, "no such"),
    "device": (device, "is a device"),
    "folder": (Path.mkdir, "is a folder"),
    "socket": (listening, "is a socket"),
}


@contextmanager
def at_once() -> Iterator[None]:
    """What takes longer than anybody would wait is stopped."""

    def stop(_: int, __: FrameType | None) -> None:
        raise TimeoutError

    timers = {signal.SIGALRM: (signal.ITIMER_REAL, NEVER_S), signal.SIGPROF: (signal.ITIMER_PROF, AT_ONCE_S)}
    before = {number: signal.signal(number, stop) for number in timers}
    for which, limit_s in timers.values():
        signal.setitimer(which, limit_s)
    try:
        yield
    finally:
        for number, (which, _) in timers.items():
            signal.setitimer(which, 0.0)
            signal.signal(number, before[number])


def refused(*words: str) -> Outcome:
    """One message, at once, and nothing written."""
    before = set(Path().iterdir())
    with at_once():
        outcome = call(*words)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert set(Path().iterdir()) == before
    return outcome


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_only_regular_files_are_read(command: str, kind: str) -> None:
    make, finding = KINDS[kind]
    for ending in ENDINGS:
        make(Path(f"{kind}{ending}"))
    err = refused(*(word.format(kind) for word in COMMANDS[command])).err
    assert finding in err or kind == "links"
    assert kind != "links" or any(words in err for words in ("no such", "Too many levels"))


def test_what_a_file_names_is_looked_at_as_well() -> None:
    pipe(Path("pipe.toml"))
    for text in (
        'extends = "pipe.toml"\n',
        RUN.replace('"cs2"', '"pipe.toml"'),
        RUN.replace('name = "tiny"', 'path = "pipe.json"'),
    ):
        Path("run.toml").write_text(text, encoding="utf-8")
        Path("pipe.json").unlink(missing_ok=True)
        pipe(Path("pipe.json"))
        assert "is a pipe" in refused("run", "run.toml").err


def test_what_lies_beside_a_ledger_is_looked_at_as_well() -> None:
    call("sweep", "cerebras_gpt_111m", "--vary", "cluster.num_systems=1", "--out", "out.csv")
    pipe(Path("out.csv.ledger-wal"))
    assert "out.csv.ledger-wal: is a pipe" in refused("ledger", "list", "out.csv.ledger").err


HOSTILE: dict[str, str] = {
    "dotted keys inside one another": ".".join("a" * 45) + " = { " + ".".join("b" * 45) + " = 1 }",
    "dotted keys of words with spaces": ".".join(['"a b"'] * 1500) + " = 1",
    "dotted keys of escapes": ".".join([r'"\u0061."'] * 1500) + " = 1",
    "a table below a table": "\n".join("[" + ".".join(["a"] * depth) + "]" for depth in range(1, 48))
    + "\nb.b.b.b = 1\n",
    "many deep tables": "".join(f"[t{number}.{'.'.join('a' * 45)}]\n" for number in range(4000)),
    "quotes that are not closed": '"' + '\\"' * 450_000,
    "quotes and quotes": "a = " + "'" * 900_001,
    "texts of three quotes": "a = " + '"""\\' * 200_000,
    "tables in lists in tables": "a = " + "[{a = " * 200 + "1" + "}]" * 200,
    "a text of digits": RUN + f"overhead_power_w = '{'9' * 900_000} W'\n",
    "a number of digits": RUN + f"overhead_power_w = 0x{'9' * 900_000}\n",
    "a long key": RUN + "k" * 900_000 + " = 1\n",
    "keys that are not known": RUN + "".join(f"unknown_{number} = 1\n" for number in range(45_000)),
    "a system named twice": RUN
    + f"[[cluster.exceptions]]\nspeed = 0.5\nsystems = [{', '.join(map(str, range(140_000)))}, 9]\n",
    "systems that are none": RUN + f"[[cluster.exceptions]]\nspeed = 0.5\nsystems = [{'-1,' * 100_000}]\n",
    "nodes that are none": RUN
    + f"[[cluster.exceptions]]\nlink_latency_s = 1\nnodes = [{', '.join(map(repr, map(str, range(60_000))))}]\n",
    "layers of stages": RUN + f"[parallelism]\nlayers_per_stage = [{'1,' * 400_000}]\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_at_once(name: str) -> None:
    Path("hostile.toml").write_text(HOSTILE[name], encoding="utf-8")
    with at_once():
        outcome = call("run", "hostile.toml")
    assert outcome.code == 2
    assert len(outcome.err) < 60_000
    assert "Traceback" not in outcome.err


def test_every_system_of_the_largest_cluster_may_be_named() -> None:
    """The work of naming systems is linear in their number."""
    number = 100_000
    text = RUN.replace("num_systems = 2", f"num_systems = {number}\nmax_systems = {number}").replace(
        "_size = 16", f"_size = {number}"
    )
    Path("run.toml").write_text(
        f"{text}[[cluster.exceptions]]\nspeed = 0.5\nsystems = {list(range(number))}\n", encoding="utf-8"
    )
    with at_once():
        assert call("run", "run.toml", "--engine", "recurrence").code == 0


YAML: dict[str, str] = {
    "base 60": "a: " + ":".join(["1"] * 90_000),
    "base 60 by a tag": "a: !!int '" + ":".join(["1"] * 90_000) + "'",
    "a fraction in base 60": "a: " + ":".join(["1"] * 90_000) + ".5",
    "many values": "a: [" + "1," * 90_000 + "]",
    "many levels": "- " * 90_000 + "a",
    "many keys": "? " * 90_000 + "a",
    "many anchors": "\n".join(f"a{number}: &a{number} {{}}" for number in range(10_000)),
    "digits": "a: " + "1" * 190_000,
    "directives": "%A\n" * 60_000 + "--- 1",
}


@pytest.mark.parametrize("name", YAML)
def test_hostile_yaml_is_refused_at_once(name: str) -> None:
    Path("params.yaml").write_text(YAML[name], encoding="utf-8")
    with at_once():
        outcome = call("run", "andromeda_13b", "--set", "model.path=params.yaml")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_numbers_in_base_60_are_texts() -> None:
    Path("a.yaml").write_text("a: 1:30\nb: 1:30.5\nc: 90\nd: 2001-01-01\n1:30: 2\n", encoding="utf-8")
    found = catalogue.yaml_value(Path("a.yaml"), "a.yaml")
    assert {key: found[key] for key in "abc"} == {"a": "1:30", "b": "1:30.5", "c": 90}
    assert found["1:30"] == 2


@pytest.mark.parametrize("text", ["[" * 400 + "]" * 400, "[" * 10**5, '{"a":' * 60 + "1" + "}" * 60])
def test_hostile_json_is_refused_at_once(text: str) -> None:
    Path("config.json").write_text(text, encoding="utf-8")
    assert "nested too deeply" in refused("run", "andromeda_13b", "--set", "model.path=config.json").err


def test_depth_and_number_are_counted() -> None:
    def nested(depth: int) -> object:
        return [nested(depth - 1)] if depth else 1

    catalogue.check_value(nested(catalogue.DEEPEST), "a file")
    with pytest.raises(ConfigError, match="more than 50 levels"):
        catalogue.check_value(nested(catalogue.DEEPEST + 1), "a file")
    with pytest.raises(ConfigError, match="more than 500,000 values"):
        catalogue.check_value([[0] * 1000] * 500, "a file")
    catalogue.check_value(json.loads("[" * 40 + "]" * 40), "a file")


@pytest.mark.parametrize("largest", [0, 9, 10])
def test_no_more_is_read_than_the_limit(largest: int) -> None:
    Path("ten").write_bytes(b"0123456789")
    if largest == 10:
        assert catalogue.content(Path("ten"), "ten", largest) == b"0123456789"
    else:
        with pytest.raises(ConfigError, match="ten: is larger than"):
            catalogue.content(Path("ten"), "ten", largest)


def test_a_file_that_is_swapped_for_a_pipe_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its kind and its opening."""
    Path("file").write_bytes(b"")
    pipe(Path("pipe"))
    regular = Path("file").stat()
    monkeypatch.setattr(Path, "stat", lambda _: regular)
    start_s = time.monotonic()
    with at_once(), pytest.raises(ConfigError, match="is a pipe"):
        catalogue.content(Path("pipe"), "pipe")
    assert time.monotonic() - start_s < 5.0


READERS = {
    "wsesim/config/catalogue.py": "the one place",
    "wsesim/page/server.py": "the page's own style and script",
    "wsesim/report/charts/render.py": "the report's own script",
    "wsesim/report/html.py": "the report's own templates",
    "wsesim/report/write_report.py": "the first bytes of what is a regular file, to name a ledger for what it is",
    "wsesim/validate/gpu_predict.py": "its own table of the catalogue, which it writes anew",
    "wsesim/study/ledger.py": "SQLite reads it; the first bytes, after a look at its kind; JSON in its rows",
}
PARSERS = ("json.loads", "json.load", "tomllib.loads", "tomllib.load", "yaml.safe_load", "csv.reader", "csv.DictReader")


def test_no_file_is_read_anywhere_else() -> None:
    """Whoever opens or parses a file without the limits is found here."""
    package = Path(wsesim.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        name = path.relative_to(package.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and reads(node):
                found.add(name)
    assert found <= READERS.keys(), found - READERS.keys()


def reads(node: ast.Call) -> bool:
    """Whether a call opens a file for reading, or parses a text."""
    if isinstance(node.func, ast.Name):
        return node.func.id == "open"
    if not isinstance(node.func, ast.Attribute):
        return False
    name, of = node.func.attr, ast.unparse(node.func.value)
    writes = any(isinstance(one, ast.Constant) and str(one.value)[:1] in "wxa" for one in node.args[:1])
    opens = name in ("open", "read_text", "read_bytes") and of not in ("os", "webbrowser", "catalogue")
    return (opens and not writes) or f"{of}.{name}" in PARSERS

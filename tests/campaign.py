"""`python -m tests.campaign --minutes N`: what no test thinks of, thrown at wsesim for as long as there is time.

Random, nearly right and hostile runs and importers' files, in this process; sweeps that are killed and go on; ledgers with
flipped bits; full disks; an error in any call of any command. Prints a table of tried and failed, and what failed; exit
code 1 where anything did. `--seed` repeats a campaign, `--only importers` throws one kind alone: a fuzz of the importers.
It is thrown at the wsesim that Python finds: beside a copy of `tests/` alone that is the installed one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import wsesim
from tests.config import test_reading
from tests.config.test_reading import HOSTILE, YAML, at_once
from tests.properties.test_random_input import GOOD, HF, LOG, ROWS, ZOO
from tests.test_cli import call
from tests.test_last_resort import COMMANDS, PORTFOLIO, TABLE, failing_after
from tests.test_wrong_input import RUN
from wsesim.config.run import Run
from wsesim.errors import InputError, WsesimError
from wsesim.machines.machine import machine_of
from wsesim.study.ledger import Ledger
from wsesim.study.sweep import sweep

SHOWN = 10
"""Failures that are shown whole. [-]"""
PIECES = (
    "[",
    "]",
    "{",
    "}",
    "=",
    ":",
    "\n",
    '"',
    "'",
    ",",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "1e999",
    "nan",
    "-1",
    "0",
    "9" * 30,
)


MOST_JOBS = 3000
"""Jobs of a step up to which what was read is simulated, too. [-]"""
BY_COMMAND = 0.1
"""Share of the files that go through the command; the others are read in this process, which is ten times as fast. [-]"""
PATIENCE_S = 1800.0
"""On the clock, for one try: a campaign runs for long, beside other work; time of the processor is what is limited. [s]"""
DATA = Path(__file__).resolve().parent / "config" / "data"


class Failed(Exception):
    """What should not happen."""


def outcome(*words: str) -> int:
    """The exit code of a command, which is one that is agreed, within its time and without a traceback."""
    with at_once():
        found = call(*words)
    if found.code not in (0, 1, 2) or "Traceback" in found.err or (found.code and not found.err):
        raise Failed(f"{' '.join(words)}: exit code {found.code}: {found.err[-2000:]}")
    return found.code


def changed(text: str, dice: random.Random) -> bytes:
    """A text with pieces cut out, doubled, moved, or replaced by others and by any bytes."""
    content = text.encode()
    for _ in range(dice.randint(0, 6)):
        start, length = dice.randint(0, len(content)), dice.choice((0, 1, 3, 10, 40))
        piece = dice.choice((dice.choice(PIECES).encode(), dice.randbytes(3), content[start : start + length] * 2, b""))
        content = content[:start] + piece + content[start + length :]
    return content


def read(word: str | dict[str, object]) -> None:
    """A run is read, checked and, where it is small, simulated; or refused in one message."""
    with at_once():
        try:
            run = wsesim.load(word)
            machine = machine_of(run)
            machine.check(run)
            if machine.work(run).num_jobs <= MOST_JOBS:
                check_answer(run)
        except WsesimError as error:
            if error.exit_code not in (1, 2) or not str(error) or "is a fault of wsesim" in str(error):
                raise Failed(f"exit code {error.exit_code}: {error}") from error


def check_answer(run: Run) -> None:
    """Numbers that can be."""
    step_s = machine_of(run).step_time_s(run)
    if not (math.isfinite(step_s) and step_s > 0.0):
        raise Failed(f"a step takes {step_s} s")


def runs(dice: random.Random) -> None:
    """Run files that are nearly right."""
    Path("run.toml").write_bytes(changed(dice.choice((GOOD, RUN, GPU_RUN)), dice))
    if dice.random() < BY_COMMAND:
        outcome("run", "run.toml", "--json")
    else:
        read("run.toml")


GPU_RUN = (
    RUN.replace('"cs2"\nnum_systems = 2', '"dgx_a100_80gb"\nnum_gpus = 8')
    + "[parallelism]\npipeline_parallel_size = 2\n"
)


def valid(dice: random.Random) -> None:
    """Runs of any shape, batch and machine, each key a value that it may have."""
    heads, chosen = (
        2 ** dice.randint(0, 6),
        dice.choice(("cs2", "cs3", "andromeda", "dgx_h100", "dgx_a100_80gb", "aws_p5")),
    )
    count = "num_systems" if chosen in ("cs2", "cs3", "andromeda") else "num_gpus"
    model: dict[str, object] = {
        "num_layers": dice.randint(1, 40),
        "hidden_size": heads * 64 * dice.randint(1, 3),
        "num_attention_heads": heads,
        "num_key_value_heads": 2 ** dice.randint(0, int(math.log2(heads))),
        "vocab_size": dice.randint(2, 300_000),
        "position_embedding": dice.choice(("rotary", "alibi", "none")),
        "gated_mlp": dice.random() < 0.5,
        "tie_embeddings": dice.random() < 0.5,
        "sliding_window": dice.choice((None, 64, 4096)),
        "qk_norm": dice.choice(("none", "head", "width")),
    }
    if dice.random() < 0.3:
        model |= {"num_experts": dice.choice((2, 8, 60)), "experts_per_token": dice.choice((1, 2))}
        model |= {"first_k_dense_replace": dice.randint(0, 2)}
    training = {"sequence_length": 2 ** dice.randint(5, 15), "global_batch_size": dice.randint(1, 5000)}
    training |= {"max_gradient_norm": dice.choice((0.0, 1.0)), "optimizer": dice.choice(("adamw", "sgd", "Lion"))}
    cluster = {"name": chosen, count: dice.choice((1, 2, 3, 8, 16, 60))}
    model = {key: value for key, value in model.items() if value is not None}
    read({"model": model, "training": training, "cluster": cluster})


def samples() -> list[tuple[str, str]]:
    """Names and texts of files that importers read, of every kind."""
    families = json.loads((DATA / "families.json").read_text(encoding="utf-8"))
    found = [("config.json", HF), ("params.yaml", ZOO)]
    found += [("config.json", json.dumps(row["config"])) for row in families]
    found += [("params.yaml", path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("*.yaml"))]
    meta = {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128_256}
    found += [("params.json", json.dumps(meta | {"ffn_dim_multiplier": 1.3, "multiple_of": 1024, "norm_eps": 1e-5}))]
    return found + [(path.name, path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("megatron*"))]


SAMPLES = samples()


def importers(dice: random.Random) -> None:
    """Model files, arguments, tables and logs."""
    if dice.random() < BY_COMMAND:
        name, text = dice.choice((("table.csv", ROWS), ("train.log", LOG), *SAMPLES))
        Path(name).write_bytes(changed(text, dice))
        words: dict[str, tuple[str, ...]] = {
            ".csv": ("validate", name),
            ".log": ("calibrate", name, "--run", "cerebras_gpt_111m", "--out", "out.toml"),
        }
        outcome(*words.get(Path(name).suffix, ("explain", f"./{name}")))
        return
    name, text = dice.choice(SAMPLES)
    Path(name).write_bytes(changed(text, dice))
    if name.startswith("megatron"):
        read({"run": {"path": name}, "cluster": {"name": dice.choice(("selene", "cs2"))}})
    else:
        batch = {"sequence_length": 128, "global_batch_size": 16}
        read({"model": {"path": name}, "training": batch, "cluster": {"name": "cs2", "num_systems": 1}})


def hostile(dice: random.Random) -> None:
    """Files that were made to hang."""
    if dice.random() < 0.5:
        Path("hostile.toml").write_text(HOSTILE[dice.choice(sorted(HOSTILE))], encoding="utf-8")
        outcome("run", "hostile.toml")
    else:
        Path("params.yaml").write_text(YAML[dice.choice(sorted(YAML))], encoding="utf-8")
        outcome("run", "cerebras_gpt_111m", "--set", "model.path=params.yaml")


def faults(dice: random.Random) -> None:
    """An error in some call of some command: one message, or it was foreseen."""
    words = COMMANDS[dice.choice(sorted(COMMANDS))]
    with failing_after(dice.randint(1, dice.choice((10, 1000, 20_000)))):
        found = call(*words)
    if found.code not in (0, 1, 70) or "Traceback" in found.err or list(Path().glob("*.part")):
        raise Failed(f"{' '.join(words)}: exit code {found.code}: {found.err[-2000:]}")


def ledgers(dice: random.Random) -> None:
    """A flipped bit of a ledger: refused, or a repeated sweep has the same answers."""
    good = sweep("run_of_campaign.toml", {"cluster.num_systems": [1, 2]}, ledger="good.ledger", workers=1)
    content = bytearray(Path("good.ledger").read_bytes())
    place = dice.choice([place for place, byte in enumerate(content) if byte])
    content[place] ^= 1 << dice.randrange(8)
    for end in ("", "-wal", "-shm"):
        Path(f"bad.ledger{end}").unlink(missing_ok=True)
    Path("bad.ledger").write_bytes(content)
    with contextlib.suppress(InputError):
        with Ledger(Path("bad.ledger"), read_only=True) as ledger:
            ledger.look_through()
        again = sweep("run_of_campaign.toml", {"cluster.num_systems": [1, 2]}, ledger="bad.ledger", workers=1)
        if again.rows != good.rows:
            raise Failed(f"bit in byte {place} of a ledger is believed")


SWEEP = (
    "sweep",
    "run_of_campaign.toml",
    "--vary",
    "training.weight_sparsity=0..0.5+0.02",
    "--vary",
    "cluster.num_systems=1,2",
)


def kills(dice: random.Random) -> None:
    """A sweep that is killed at any time goes on, and ends with a whole table."""
    for end in ("", ".ledger", ".ledger-wal", ".ledger-shm"):
        Path(f"killed.csv{end}").unlink(missing_ok=True)
    words = [sys.executable, "-m", "wsesim", *SWEEP, "--out", "killed.csv"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(dice.uniform(0.0, 2.5))
    process.send_signal(dice.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
    process.wait(60)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    lines = len(Path("killed.csv").read_text(encoding="utf-8").splitlines()) if done.returncode == 0 else 0
    if lines != 53:
        raise Failed(f"a sweep that was killed: exit code {done.returncode}, {lines} lines: {done.stderr[-2000:]}")


def full_disks(dice: random.Random) -> None:
    """Files that may not grow beyond some size, as on a full disk: one message, nothing half-written."""
    resource = __import__("resource")
    size = dice.choice((0, 1000, 4096, 20_000, 100_000))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    name, words = dice.choice(
        (
            ("full.csv", SWEEP),
            ("full.html", ("report", "run_of_campaign.toml")),
            ("full.json", ("trace", "run_of_campaign.toml")),
        )
    )
    for path in Path().glob("full.*"):
        path.unlink()
    command = [sys.executable, "-m", "wsesim", *words, "--out", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, preexec_fn=limit)
    is_whole = done.returncode in (0, 1, 2) and "Traceback" not in done.stderr
    if (
        not is_whole
        or (done.returncode and Path(name).exists() and name != "full.csv")
        or list(Path().glob(".full*.part"))
    ):
        raise Failed(f"{' '.join(command)} with {size} bytes: exit code {done.returncode}: {done.stderr[-2000:]}")


KINDS: dict[str, tuple[Callable[[random.Random], None], float]] = {
    "valid runs": (valid, 0.1),
    "nearly right run files": (runs, 0.2),
    "importers' files": (importers, 0.25),
    "hostile files": (hostile, 0.05),
    "errors in calls": (faults, 0.1),
    "flipped bits in ledgers": (ledgers, 0.1),
    "killed sweeps": (kills, 0.15),
    "full disks": (full_disks, 0.05),
}
"""What is thrown, and its share of the time."""


def prepare() -> None:
    """Files that the commands take."""
    for name in ("run.toml", "run_of_campaign.toml"):
        Path(name).write_text(RUN, encoding="utf-8")
    Path("portfolio.toml").write_text(PORTFOLIO, encoding="utf-8")
    Path("moonbase.csv").write_text(TABLE, encoding="utf-8")
    sweep("run_of_campaign.toml", {"cluster.num_systems": [1, 2]}, ledger="moonbase.ledger", workers=1)


def campaign(minutes: float, seed: int, only: str = "") -> tuple[Counter[str], list[tuple[str, str]]]:
    """How often each kind was tried, and what failed."""
    dice, spent_s = random.Random(seed), {name: 0.0 for name in KINDS if only in name}
    tried: Counter[str] = Counter()
    failed: list[tuple[str, str]] = []
    until_s = time.monotonic() + 60.0 * minutes
    while time.monotonic() < until_s:
        kind = min(spent_s, key=lambda name: spent_s[name] / KINDS[name][1])
        start_s = time.monotonic()
        try:
            if kind == "errors in calls":
                Path("run.toml").write_text(RUN, encoding="utf-8")
            KINDS[kind][0](dice)
        except (Exception, SystemExit):
            failed.append((kind, traceback.format_exc()))
        tried[kind] += 1
        spent_s[kind] += time.monotonic() - start_s
    return tried, failed


def main() -> int:
    """The table."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help=f"a part of one of the names: {', '.join(KINDS)}")
    asked = parser.parse_args()
    if not any(asked.only in name for name in KINDS):
        parser.error(f"--only {asked.only} is none of {', '.join(KINDS)}")
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    home = Path(__file__).resolve().parent.parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")])
    test_reading.NEVER_S = PATIENCE_S
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        os.chdir(folder)
        prepare()
        tried, failed = campaign(asked.minutes, seed, asked.only)
        os.chdir(home)
    for kind, text in failed[:SHOWN]:
        print(f"{kind}:\n{text}")
    failures = Counter(kind for kind, _ in failed)
    print(f"wsesim {wsesim.__version__} of {Path(wsesim.__file__).parent}, Python {sys.version.split()[0]}")
    print(f"{'seed ' + str(seed):28}{'tried':>9}{'failed':>9}")
    for kind in tried:
        print(f"{kind:28}{tried[kind]:>9,}{failures[kind]:>9,}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

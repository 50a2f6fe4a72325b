"""`python -m tests.campaign --minutes N`: what no test thinks of, thrown at wsesim for as long as there is time.

Random, nearly right and hostile runs and importers' files, in this process; sweeps that are killed and go on; ledgers with
flipped bits; full disks; an error in any call of any command. Prints a table of tried and failed, and what failed; exit
code 1 where anything did. `--seed` repeats a campaign.
"""

from __future__ import annotations

import argparse
import contextlib
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

from tests.config.test_reading import HOSTILE, YAML, at_once
from tests.properties.test_random_input import GOOD, HF, LOG, ROWS, ZOO
from tests.test_cli import call
from tests.test_last_resort import COMMANDS, PORTFOLIO, TABLE, failing_after
from tests.test_wrong_input import RUN
from wsesim.errors import InputError
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


def runs(dice: random.Random) -> None:
    """Run files that are nearly right."""
    Path("run.toml").write_bytes(changed(dice.choice((GOOD, RUN)), dice))
    outcome("run", "run.toml", "--json", "--engine", dice.choice(("recurrence", "simpy")))


def importers(dice: random.Random) -> None:
    """Model files, tables and logs."""
    name, text = dice.choice((("config.json", HF), ("params.yaml", ZOO), ("table.csv", ROWS), ("train.log", LOG)))
    Path(name).write_bytes(changed(text, dice))
    if name.endswith((".json", ".yaml")):
        outcome("run", "cerebras_gpt_111m", "--set", f"model.path={name}")
    elif name == "table.csv":
        outcome("validate", name)
    else:
        outcome("calibrate", name, "--run", "cerebras_gpt_111m", "--out", "out.toml")


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
    "training.weight_sparsity=0..0.5+0.01",
    "--vary",
    "cluster.num_systems=1,2",
)


def kills(dice: random.Random) -> None:
    """A sweep that is killed at any time goes on, and ends with a whole table."""
    for end in ("", ".ledger", ".ledger-wal", ".ledger-shm"):
        Path(f"killed.csv{end}").unlink(missing_ok=True)
    words = [sys.executable, "-m", "wsesim", *SWEEP, "--out", "killed.csv"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(dice.uniform(0.0, 4.0))
    process.send_signal(dice.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
    process.wait(60)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    lines = len(Path("killed.csv").read_text(encoding="utf-8").splitlines()) if done.returncode == 0 else 0
    if lines != 103:
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
    "nearly right run files": (runs, 0.3),
    "importers' files": (importers, 0.25),
    "hostile files": (hostile, 0.1),
    "errors in calls": (faults, 0.15),
    "flipped bits in ledgers": (ledgers, 0.1),
    "killed sweeps": (kills, 0.05),
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


def campaign(minutes: float, seed: int) -> tuple[Counter[str], list[tuple[str, str]]]:
    """How often each kind was tried, and what failed."""
    dice, spent_s = random.Random(seed), dict.fromkeys(KINDS, 0.0)
    tried: Counter[str] = Counter()
    failed: list[tuple[str, str]] = []
    until_s = time.monotonic() + 60.0 * minutes
    while time.monotonic() < until_s:
        kind = min(KINDS, key=lambda name: spent_s[name] / KINDS[name][1])
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
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    home = Path(__file__).resolve().parent.parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        os.chdir(folder)
        prepare()
        tried, failed = campaign(asked.minutes, seed)
        os.chdir(home)
    for kind, text in failed[:SHOWN]:
        print(f"{kind}:\n{text}")
    failures = Counter(kind for kind, _ in failed)
    print(f"{'seed ' + str(seed):28}{'tried':>9}{'failed':>9}")
    for kind in KINDS:
        print(f"{kind:28}{tried[kind]:>9,}{failures[kind]:>9,}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

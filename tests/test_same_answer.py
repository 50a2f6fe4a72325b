"""The same question has the same answer, to the last byte, with any hash seed; by command on any Python and any versions.

``python -m tests.test_same_answer PYTHON...`` asks each interpreter, of environments in which wsesim is installed, and says where
their answers differ from those of the one that runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SEEDS = ("1", "4242")
QUESTIONS = {
    "run a wafer": ("run", "andromeda_13b", "--json", "--layers", "--scaling"),
    "run GPUs": ("run", "gpt_1t_3072xa100", "--json", "--top", "3"),
    "live": ("lifetime", "andromeda_13b", "--json", "--replications", "20"),
    "sweep": ("sweep", "andromeda_13b", "--vary", "cluster.num_systems=1..6", "--out", "points.csv"),
    "print": ("report", "andromeda_13b", "--out", "report.pdf"),
}


def ask(python: str, words: tuple[str, ...], seed: str) -> bytes:
    """Output of one command, or the file that it writes, without the time that it took."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        if python != sys.executable:
            del environment["PYTHONPATH"]
        command = [python, "-W", "ignore", "-m", "wsesim", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
        written = sorted(Path(folder).iterdir())
        return written[0].read_bytes() if written else _without_wall(done.stdout)


def _without_wall(text: bytes) -> bytes:
    answer = json.loads(text)
    if isinstance(answer, dict):
        answer.get("simulator", {}).pop("wall_s", None)
        answer.pop("wall_s", None)
    return json.dumps(answer, sort_keys=True).encode()


@pytest.mark.parametrize("question", ["run a wafer", "run GPUs", "live", "sweep", "print"])
def test_no_answer_depends_on_the_hash_seed(question: str) -> None:
    assert len({ask(sys.executable, QUESTIONS[question], seed) for seed in SEEDS}) == 1


def differences(pythons: list[str]) -> Iterator[str]:
    """One line for every question that an interpreter answers in another way."""
    for question, words in QUESTIONS.items():
        own = ask(sys.executable, words, SEEDS[0])
        for python in pythons:
            if ask(python, words, SEEDS[1]) != own:
                yield f"{python}: {question} ({' '.join(words)}) has another answer"


if __name__ == "__main__":
    found = list(differences(sys.argv[1:]))
    print("\n".join(found) or f"{len(QUESTIONS)} questions, the same answers of {len(sys.argv)} interpreters")
    sys.exit(bool(found))

"""How much memory a run takes above the imports: ``python -m benchmarks.speed.memory RUN [KEY=VALUE ...]`` prints bytes.

The peak resident size is that of a process of its own, which has simulated and shown a small run of each kind before: what that
left behind, code above all, does not count.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

MOST_BYTES = 200e6
"""Above the imports, of any run of the catalogue. [bytes]"""
SMALL = ("cerebras_gpt_111m", "cerebras_gpt_111m_gpu")
"""Runs that import what others need."""


def peak_bytes() -> float:
    """The largest resident size of this process so far. [bytes]

    Linux keeps in `ru_maxrss` that of the process that started this one, if it was larger; its own is `VmHWM`.
    """
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        kibibytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kibibytes) * 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def answer(name: str, settings: tuple[str, ...] = ()) -> None:
    """What ``wsesim run`` does."""
    from rich.console import Console

    from wsesim.config.loader import load_any
    from wsesim.machines.simulation import simulate
    from wsesim.report.pages.run import sections
    from wsesim.report.terminal import print_sections

    print_sections(Console(file=io.StringIO(), markup=False), sections(simulate(load_any(name, settings))))


def above_imports_bytes(name: str, settings: tuple[str, ...] = ()) -> float:
    """Peak resident size of a run above that of the small runs. [bytes]"""
    words = [sys.executable, "-m", "benchmarks.speed.memory", name, *settings]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    for small in SMALL:
        answer(small)
    before = peak_bytes()
    answer(sys.argv[1], tuple(sys.argv[2:]))
    print(peak_bytes() - before)

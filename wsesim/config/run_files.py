"""Where a run file lies, and the run files that it extends."""

from __future__ import annotations

from pathlib import Path

from wsesim.config import catalogue
from wsesim.config.layering import Layered, existing, extended, extending, read


def run_path(word: str | Path, where: str = "") -> Path:
    """The file that a command line names: a path, or the name of a catalogue run."""
    path = Path(word)
    if catalogue.exists(path):
        return path
    parts = path.parts
    if "cluster_configs" in parts:
        inside = catalogue.root().joinpath(*parts[parts.index("cluster_configs") + 1 :])
        return next((one for one in (inside, inside.with_name(f"{inside.name}.toml")) if catalogue.exists(one)), path)
    if len(parts) == 1 and path.suffix != ".toml":
        return catalogue.find("runs", path.name, where)
    return path


def layered_run(word: str | Path) -> tuple[Layered, Path, str]:
    """Table of a run file over the runs it extends, its folder, and how messages name it."""
    path = run_path(word)
    return extending(path, _below), path.parent, catalogue.shown(path)


def _below(word: str, folder: Path, where: str) -> Path:
    """The run that a run file lies over: a path as seen from its folder, or whatever a command line may name."""
    near = folder / word
    return near if catalogue.exists(near) else existing(str(run_path(word, where)), Path(), where)


def run_files(word: str | Path) -> list[Path]:
    """A run file, and those that it extends one after another; of a run that can be read."""
    found = [run_path(word)]
    while (below := extended(found[-1], read(found[-1]), _below)) is not None:
        found.append(below)
    return found

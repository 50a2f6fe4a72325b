"""Files of the record: JSON in which a small table or list takes one line, so that a change is one line too."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.record.change import MISSING
from tests.record.question import ROOT

HOME = ROOT / "tests" / "record" / "answers"
WIDTH = 132
"""Of a line that holds a whole table or list. [-]"""
LARGEST_BYTES = 150_000


def path_of(name: str) -> Path:
    """File of a question."""
    return HOME / f"{name}.json"


def read(name: str) -> Any:
    """The recorded answer; MISSING where there is none."""
    path = path_of(name)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else MISSING


def write(name: str, answer: Any) -> None:
    """Write it whole or not at all."""
    written = shown(answer) + "\n"
    size = len(written.encode())
    if size > LARGEST_BYTES:
        raise SystemExit(f"{name}: {size:,} bytes are more than a file of the record may have, {LARGEST_BYTES:,}")
    for place in (str(ROOT), tempfile.gettempdir(), str(Path.home())):
        if f"{place}/" in written:
            raise SystemExit(f"{name}: {place} is a place of this machine; ask in a way that does not show it")
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(written)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def shown(data: Any, indent: int = 0) -> str:
    """As JSON."""
    flat = json.dumps(data, ensure_ascii=False)
    is_flat = not isinstance(data, dict | list) or (len(flat) + indent <= WIDTH and not _holds_lines(data))
    if is_flat or not data:
        return flat
    space = " " * (indent + 1)
    if isinstance(data, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {shown(value, indent + 1)}" for key, value in data.items()]
    else:
        parts = [shown(value, indent + 1) for value in data]
    start, end = "{}" if isinstance(data, dict) else "[]"
    return f"{start}\n{space}" + f",\n{space}".join(parts) + f"\n{' ' * indent}{end}"


def _holds_lines(data: Any) -> bool:
    """Texts of several words below each other are lines of text, and stay below each other."""
    if isinstance(data, dict):
        return any(_holds_lines(value) for value in data.values())
    return isinstance(data, list) and any((isinstance(one, str) and " " in one) or _holds_lines(one) for one in data)

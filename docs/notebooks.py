"""Pages of the site from the executed notebooks in ``examples``: what their cells say and show, as Markdown.

A notebook is written by ``tests/notebooks.py``, which knows text, code, what was printed and answers as HTML.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "examples"


def pages() -> dict[str, str]:
    """Markdown of every notebook by the name of its page."""
    return {f"examples/{path.stem}.md": page(path) for path in sorted(FOLDER.glob("*.ipynb"))}


def page(path: Path) -> str:
    """One notebook, and below its title where to get it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    files = f'<a href="{path.name}" download>notebook</a>, <a href="{path.stem}.py" download>script</a>'
    title, text = "\n\n".join(map(_cell, cells)).split("\n", 1)
    return f"{title}\n\nTo run it yourself: {files}.\n{text}\n"


def _cell(cell: dict[str, Any]) -> str:
    """A cell with what it shows."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    return "\n\n".join([f"```python\n{source}\n```", *map(_output, cell["outputs"])])


def _output(output: dict[str, Any]) -> str:
    """What was printed, or an answer as its notebook shows it; Markdown would end HTML at an empty line."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```"
    return re.sub(r"\n\s*\n", "\n", "".join(output["data"]["text/html"]).strip())

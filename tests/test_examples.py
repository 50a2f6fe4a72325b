"""Examples run, and the notebooks beside them show what they give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.notebooks import FOLDER, as_text, sources

SHOWN = {
    "scale_a_job": ["304,603 tokens/s", "16 systems:   406,137 tokens/s, 100.0% of linear", "one slow system"],
    "compare_with_gpus": ["2.25x more", "200 x A100 SXM 80 GB", "zero_stage = 2"],
    "plan_a_quarter": ["Andromeda: 2 is the least", "10.2 days on average", "12 systems, done after 10.9 days"],
}
"""A few things that each example shows."""


def test_every_example_has_its_notebook() -> None:
    assert [path.stem for path in sources()] == sorted(SHOWN)
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(SHOWN)


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_the_notebook_is_what_the_example_gives(source: Path) -> None:
    """`python -m tests.notebooks` writes them again."""
    kept = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert as_text(source) == kept
    cells = [cell for cell in json.loads(kept)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    shown = "".join(
        "".join(text)
        for cell in cells
        for output in cell["outputs"]
        for text in output.get("data", {"text": output.get("text")}).values()
    )
    for words in SHOWN[source.stem]:
        assert words in shown
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|work|Users)/", kept)

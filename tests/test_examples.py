"""Examples run, and the notebooks beside them show what they give."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from tests.notebooks import FOLDER, as_text, cells, sources

SHOWN = {
    "scale_a_job": ["285,850 tokens/s", "16 systems:   381,134 tokens/s, 100.0% of linear", "one slow system"],
    "compare_with_gpus": ["2.22x more", "112 A100 SXM 80 GB GPUs", "zero_stage = 3"],
    "plan_a_quarter": [
        "2 CS-2 systems (Andromeda) is the least",
        "10.5 days on average",
        "systems, done after 15.5 days",
    ],
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
    ran = [cell for cell in json.loads(kept)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in ran] == list(range(1, len(ran) + 1))
    shown = "".join(
        "".join(text)
        for cell in ran
        for output in cell["outputs"]
        for text in output.get("data", {"text": output.get("text")}).values()
    )
    for words in SHOWN[source.stem]:
        assert words in shown
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|work|Users)/", kept)


def test_every_notebook_is_a_page_of_the_site() -> None:
    docs = FOLDER.parent
    pages = runpy.run_path(str(docs / "notebooks.py"))["pages"]()
    site = (docs.parent / "mkdocs.yml").read_text(encoding="utf-8")
    for source in sources():
        page = pages[f"examples/{source.stem}.md"]
        assert f": examples/{source.stem}.md\n" in site
        assert page.startswith("# ")
        assert f'href="{source.stem}.ipynb"' in page
        for kind, cell in cells(source.read_text(encoding="utf-8")):
            assert kind == "markdown" or f"```python\n{cell}\n```" in page
        for words in SHOWN[source.stem]:
            assert words in page
    answers = re.findall(r'^<div class="wsesim">.*?^</div>$', "".join(pages.values()), re.MULTILINE | re.DOTALL)
    assert answers
    assert all("\n\n" not in answer for answer in answers), "Markdown would end the HTML there"

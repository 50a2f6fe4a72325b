"""docs/validation.md says what wsesim says today."""

from __future__ import annotations

from pathlib import Path

from wsesim.report.validation_page import page

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_page_is_current() -> None:
    written = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m wsesim.report.validation_page docs/validation.md"

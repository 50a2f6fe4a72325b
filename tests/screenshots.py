"""Pictures of everything that is shown in a browser: `python -m tests.screenshots FOLDER [PAGE.html...]`.

Reports, or the pages that are named, at four widths, light and dark, at their top and as a whole, and as they are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser import chromium, errors, overflow_px, print_pdf, screenshot, show_at, wait_for_pictures, why_not
from tests.front_door import answer
from wsesim import sweep

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS_PX = (360, 800, 1280, 1920)
HEIGHT_PX = 900
LONGEST_PX = 16_000
"""Chromium draws no higher window. [px]"""
WAFERS, GPUS = "andromeda_13b", "gpt3_13b_256xa100"


def reports(folder: Path) -> Iterator[Path]:
    """A report of each kind."""
    table = folder / "sweep.csv"
    sweep(WAFERS, {"cluster.num_systems": "1..8", "training.weight_sparsity": "0.0..0.6+0.2"}, out=table, workers=1)
    for name, wanted in {
        "wafers": (WAFERS,),
        "gpus": (GPUS,),
        "both": (WAFERS, GPUS),
        "sweep": ("--ledger", table),
    }.items():
        out = folder / f"{name}.html"
        answer("report", *wanted, "--out", out)
        yield out


def look_at(driver: Chrome, address: str, folder: Path, name: str) -> None:
    """One page at all widths and in both themes; says what the browser complains about."""
    for width in WIDTHS_PX:
        for is_dark in (False, True):
            show_at(driver, width, HEIGHT_PX, is_dark=is_dark)
            driver.get(address)
            wait_for_pictures(driver)
            file = folder / f"{name}-{width}-{'dark' if is_dark else 'light'}.png"
            screenshot(driver, file)
            length = driver.execute_script("return document.documentElement.scrollHeight")
            show_at(driver, width, min(length, LONGEST_PX), is_dark=is_dark)
            wait_for_pictures(driver)
            screenshot(driver, file.with_stem(f"{file.stem}-whole"))
            for problem in (*errors(driver), *([f"{overflow_px(driver)} px too wide"] if overflow_px(driver) else [])):
                print(f"{file.name}: {problem}", file=sys.stderr)
    print_pdf(driver, folder / f"{name}.pdf")


def main(folder: Path, pages: list[Path]) -> None:
    """Make all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as driver:
        for page in pages or reports(folder):
            look_at(driver, page.resolve().as_uri(), folder, page.stem)


if __name__ == "__main__":
    reason = why_not()
    if reason or len(sys.argv) < 2:
        sys.exit(reason or __doc__)
    main(Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]])

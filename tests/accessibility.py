"""Faults that axe-core finds: `python -m tests.accessibility AXE.min.js ADDRESS_OR_FILE...`, light and dark, in three widths.

axe-core is `npm install axe-core` in any folder; it is not a part of the repository. Also told: pages that scroll sideways at
390 px, and pictures without alternative text. Ends with 1 where anything above minor is found.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.browser import chromium, overflow_px, show_at, why_not

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS_PX = (390, 1024, 1440)
SETTLE_S = 4.0
"""For pictures that are drawn, and answers that come later. [s]"""
FAULTS = """
const done = arguments[arguments.length - 1];
const broken = (error) => done([{ id: String(error), impact: "broken", nodes: [] }]);
axe.run(document, { resultTypes: ["violations"] }).then((found) => done(found.violations), broken);
"""
NAMELESS = """
return [...document.querySelectorAll("img, svg, canvas, [role=img], object, iframe")].filter((one) =>
  !one.closest("[aria-hidden=true], [role=img][aria-label], [hidden], a, button, label, [role=button]")
  && !one.getAttribute("aria-label") && !one.getAttribute("alt")
  && one.getAttribute("alt") !== "" && !one.getAttribute("aria-labelledby") && !one.querySelector("title")
).map((one) => one.outerHTML.slice(0, 120));
"""
OPEN = "document.querySelectorAll('details').forEach((one) => { one.open = true; });"


def faults(driver: Chrome, axe: str) -> Iterator[str]:
    """What is wrong with the page that is shown, a line each."""
    driver.execute_script(axe)
    found: list[dict[str, Any]] = driver.execute_async_script(FAULTS)
    for one in found:
        if one["impact"] != "minor":
            where = "; ".join(
                f"{node['html'][:110]} ({' '.join(map(str, node['target']))})" for node in one["nodes"][:3]
            )
            yield f"{one['impact']}: {one['id']} x{len(one['nodes'])}: {where}"
    yield from (f"without alternative text: {one}" for one in driver.execute_script(NAMELESS))
    if overflow_px(driver) > 0:
        yield f"{overflow_px(driver)} px wider than the window"


def main(axe: str, addresses: list[str]) -> int:
    """The number of faults."""
    count = 0
    with chromium() as driver:
        driver.set_script_timeout(120)
        driver.set_page_load_timeout(120)
        for address in addresses:
            for width in WIDTHS_PX:
                for is_dark in (False, True):
                    show_at(driver, width, is_dark=is_dark)
                    driver.get(address)
                    driver.execute_script(OPEN)
                    time.sleep(SETTLE_S)
                    for fault in faults(driver, axe):
                        count += 1
                        print(f"{address} {width} px {'dark' if is_dark else 'light'}: {fault}")
    return count


if __name__ == "__main__":
    reason = why_not()
    if reason or len(sys.argv) < 3:
        sys.exit(reason or __doc__)
    pages = [word if "://" in word else Path(word).resolve().as_uri() for word in sys.argv[2:]]
    sys.exit(min(1, main(Path(sys.argv[1]).read_text(encoding="utf-8"), pages)))

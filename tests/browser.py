"""A headless Chromium for tests and screenshots; nothing on the network can be reached from it."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--force-color-profile=srgb", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
PATIENCE_S = 20.0
"""For a page that works. [s]"""


def why_not() -> str:
    """Why no browser can be started here; empty where one can."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    if not any(map(shutil.which, BROWSERS)):
        return "there is no chromium"
    return "" if shutil.which("chromedriver") else "there is no chromedriver"


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A browser with a profile of its own, which is gone afterwards."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with TemporaryDirectory(prefix="wsesim-browser-", ignore_cleanup_errors=True) as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.set_page_load_timeout(PATIENCE_S)
            yield driver
        finally:
            driver.quit()


def show_at(driver: Chrome, width: int, height: int = 900, *, is_dark: bool = False) -> None:
    """The size of the window, also below what a window may have, and the theme that the reader prefers."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})


def errors(driver: Chrome) -> list[str]:
    """What the browser complained about since it was last asked."""
    logged: list[dict[str, Any]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [one["message"] for one in logged if one["level"] in ("SEVERE", "WARNING")]


def overflow_px(driver: Chrome) -> int:
    """By how much the page is wider than its window. [px]"""
    width: int = driver.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width


def screenshot(driver: Chrome, file: Path) -> None:
    """The window as PNG."""
    file.write_bytes(base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]))


def is_drawn(driver: Chrome) -> bool:
    """Whether every picture of the page shows something."""
    drawn: bool = driver.execute_script(
        "return [...document.querySelectorAll('.picture')].every((one) => one.querySelector('svg, canvas'))"
    )
    return drawn


def wait_for_pictures(driver: Chrome) -> None:
    """Until all are drawn."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, PATIENCE_S).until(is_drawn)


def print_pdf(driver: Chrome, file: Path) -> None:
    """The page as it is printed."""
    made = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": False})
    file.write_bytes(base64.b64decode(made["data"]))

"""The page in a real browser: load, move, share, err and recover."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import uvicorn

from tests.browser import errors, overflow_px, show_at, wait_for_pictures
from wsesim import load, simulate
from wsesim.config.loader import load_any_cluster
from wsesim.page.run_file import run_of
from wsesim.page.server import application, bound
from wsesim.page.service import Service
from wsesim.page.state import RunState
from wsesim.plugins import MACHINES
from wsesim.report.pages.run import tiles

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PATIENCE_S = 30.0
QUERY = "model=cerebras-gpt-111m&cluster=cs2&systems=4&batch=120&num_gpus=16"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the page is served for the tests of this file."""
    listening = bound("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(Service(1)), log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def until(driver: Chrome, seen: Callable[[], bool]) -> None:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.wait import WebDriverWait

    waiting = WebDriverWait(driver, PATIENCE_S, 0.01, ignored_exceptions=[StaleElementReferenceException])
    waiting.until(lambda _: seen())


def text_of(driver: Chrome, selector: str) -> str:
    found: str = driver.execute_script(f"return (document.querySelector({selector!r}) || {{}}).textContent || ''")
    return found


def throughput(systems: int) -> str:
    state = RunState(model="cerebras-gpt-111m", cluster="cs2", systems=str(systems), batch="120")
    return tiles(simulate(run_of(state)))[0].value


def test_loads_moves_and_shares(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show_at(browser, 1280)
    browser.get(f"{address}/?{QUERY}")
    until(browser, lambda: throughput(4) in text_of(browser, "#answer"))
    wait_for_pictures(browser)
    until(browser, lambda: "A100 SXM 40 GB" in text_of(browser, "#comparison"))
    assert not errors(browser)

    slider = browser.find_element(By.ID, "slider")
    wanted = [throughput(systems) for systems in (5, 6)]
    started_s = time.perf_counter()
    slider.send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda: wanted[0] in text_of(browser, "#answer"))
    print(f"\nan answer after a key: {1e3 * (time.perf_counter() - started_s):.0f} ms")
    slider.send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda: wanted[1] in text_of(browser, "#answer"))
    assert browser.find_element(By.ID, "systems").get_attribute("value") == "6"
    assert wanted[1] in text_of(browser, "#said")
    assert browser.switch_to.active_element == slider, "the control keeps the focus"
    until(browser, lambda: "systems=6" in browser.current_url)
    wait_for_pictures(browser)
    assert not errors(browser)

    shared = browser.current_url
    browser.get("about:blank")
    browser.get(shared)
    until(browser, lambda: wanted[1] in text_of(browser, "#answer"))
    assert browser.find_element(By.ID, "slider").get_attribute("value") == "6"


def test_back_undoes_a_change(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    def shows(systems: int, precision: str) -> None:
        until(browser, lambda: throughput(systems) in text_of(browser, "#answer"))
        until(browser, lambda: browser.execute_script("return document.readyState") == "complete")
        values = [
            browser.find_element(By.ID, name).get_attribute("value") for name in ("systems", "slider", "precision")
        ]
        assert values == [str(systems), str(systems), precision]
        assert ("precision=float16" in browser.current_url) == (precision == "float16")
        assert f"on {systems} CS-2 system" in browser.title

    browser.get(f"{address}/?{QUERY}&gpus=none")
    browser.find_element(By.ID, "slider").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    until(browser, lambda: "systems=6" in browser.current_url)
    Select(browser.find_element(By.ID, "precision")).select_by_value("float16")
    until(browser, lambda: "precision=float16" in browser.current_url)
    shows(6, "float16")
    for step, systems, precision in (("back", 6, "cbfloat16"), ("back", 4, "cbfloat16"), ("forward", 6, "cbfloat16")):
        getattr(browser, step)()
        shows(systems, precision)
    browser.get(f"{address}/plan")
    browser.back()
    shows(6, "cbfloat16")


def test_a_ready_run_is_a_click_away(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By

    browser.get(f"{address}/?{QUERY}&gpus=none")
    browser.find_element(By.CSS_SELECTOR, ".ready summary").click()
    browser.find_element(By.PARTIAL_LINK_TEXT, "Cerebras-GPT 111M as trained").click()
    until(browser, lambda: f"on {load('cerebras_gpt_111m').num_devices} CS-2 system" in browser.title)
    assert tiles(simulate(load("cerebras_gpt_111m")))[0].value in text_of(browser, "#answer")


def test_a_baseline_is_pinned_and_removed(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(f"{address}/?{QUERY}&gpus=none")
    browser.find_element(By.ID, "pin").send_keys(Keys.ENTER)
    until(browser, lambda: "pinned=" in browser.current_url)
    assert browser.switch_to.active_element.get_attribute("id") == "pin", "the focus stays"
    browser.find_element(By.ID, "slider").send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda: "Number of CS systems: 4" in text_of(browser, ".pin"))
    assert "faster than" in text_of(browser, "#answer .ws-tiles")
    assert "faster than" in text_of(browser, "#said")
    assert "pinned=" in browser.current_url
    browser.find_element(By.CSS_SELECTOR, "[data-fold=machine] summary").click()
    until(browser, lambda: "CS-2 systems" in text_of(browser, "#machine"))
    browser.find_element(By.ID, "slider").send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda: "6 CS-2 systems" in text_of(browser, "#machine"))
    browser.find_element(By.ID, "pin").click()
    until(browser, lambda: "pinned=" not in browser.current_url)
    assert text_of(browser, ".ws-change") == ""
    assert not [one for one in errors(browser) if "htmx:sendAbort" not in one and "htmx:afterRequest" not in one]


def test_nonsense_is_answered_and_mended(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(f"{address}/?{QUERY}&gpus=none")
    field = browser.find_element(By.ID, "sequence_length")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("nonsense")
    until(browser, lambda: "cannot be simulated" in text_of(browser, "#refused"))
    assert "Sequence: 'nonsense' is not a number" in text_of(browser, "#problem-sequence_length")
    assert throughput(4) in text_of(browser, "#answer"), "the last answer stays"
    assert browser.find_element(By.CSS_SELECTOR, ".stale-note").is_displayed()
    assert field.get_attribute("aria-invalid") == "true"
    errors(browser)  # the browser tells of the status 400
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("4096")
    until(browser, lambda: "use 2,048" in text_of(browser, "#refused .button"))
    browser.find_element(By.CSS_SELECTOR, "#refused .button").send_keys(Keys.ENTER)
    until(browser, lambda: text_of(browser, "#refused") == "")
    assert (field.get_attribute("value"), browser.switch_to.active_element) == ("2048", field)
    until(browser, lambda: throughput(4) in text_of(browser, "#answer"))
    assert text_of(browser, "#problem-sequence_length") == ""
    assert field.get_attribute("aria-invalid") is None


def test_controls_follow_the_model_and_the_cluster(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    browser.get(f"{address}/?{QUERY}&gpus=none")
    until(browser, lambda: throughput(4) in text_of(browser, "#answer"))
    Select(browser.find_element(By.ID, "model")).select_by_value("gpt2-medium")
    until(browser, lambda: "sequence_length=1024" in browser.current_url)
    assert "on 4 CS-2 systems" in browser.title
    Select(browser.find_element(By.ID, "release")).select_by_value("2.0")
    until(browser, lambda: "software release 2.0" in text_of(browser, "#answer"))
    Select(browser.find_element(By.ID, "cluster")).select_by_value("cs3")
    until(browser, lambda: "CS-3" in browser.title)
    cluster, _ = load_any_cluster("cs3")
    releases = [one.get_attribute("value") for one in Select(browser.find_element(By.ID, "release")).options]
    assert releases == ["", *MACHINES[cluster.machine].software_choices(cluster)]
    browser.find_element(By.CSS_SELECTOR, "input[name=paying][value=rented] + span").click()
    until(browser, lambda: "paying=rented" in browser.current_url)


def test_a_lost_server_is_said_and_found_again(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(f"{address}/?{QUERY}&gpus=none")
    until(browser, lambda: throughput(4) in text_of(browser, "#answer"))
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", network | {"offline": True})
    browser.find_element(By.ID, "slider").send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda: "does not answer" in text_of(browser, "#lost"))
    assert throughput(4) in text_of(browser, "#answer")
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", network | {"offline": False})
    until(browser, lambda: throughput(5) in text_of(browser, "#answer"))
    assert text_of(browser, "#lost") == ""
    errors(browser)


def test_a_goal_is_planned(browser: Chrome, address: str) -> None:
    from selenium.webdriver.common.by import By

    browser.get(f"{address}/plan?model=cerebras-gpt-111m&deadline=1+h&candidates=andromeda")
    until(browser, lambda: "It can be met" in text_of(browser, "#answer"))
    wait_for_pictures(browser)
    assert browser.find_elements(By.CSS_SELECTOR, "#answer .picture svg")
    errors(browser)
    browser.find_element(By.CSS_SELECTOR, "#form button").click()
    until(browser, lambda: "answer=yes" in browser.current_url)
    until(browser, lambda: "It can be met" in text_of(browser, "#answer"))
    browser.refresh()
    assert "It can be met" in text_of(browser, "#answer")
    assert not errors(browser)


@pytest.mark.parametrize("width", [320, 360, 800, 1280])
def test_nothing_is_wider_than_the_window(browser: Chrome, address: str, width: int) -> None:
    show_at(browser, width, is_dark=width == 360)
    for path in (f"/?{QUERY}", f"/?{QUERY}&settings={'x' * 200}", "/plan"):
        browser.get(address + path)
        assert overflow_px(browser) <= 0

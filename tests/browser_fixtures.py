"""A real Chromium and a window with a logged-in user."""

from __future__ import annotations

import importlib.resources
import json
import shutil
from collections.abc import Iterator, Sequence

import pytest
from api_fixtures import Service
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service as DriverService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from web_fixtures import Walker

PATIENCE_S = 30


def program(*names: str) -> str:
    """Return the path of the first program found on PATH; fail with how to install it if none."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.fail(
        f"The page tests need {names[0]}, which is not on PATH: install it, on Debian with "
        "`apt-get install chromium chromium-driver`."
    )


def open_chromium(*arguments: str) -> webdriver.Chrome:
    """Start a headless Chromium; the caller must quit it."""
    options = Options()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=DriverService(program("chromedriver")))


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    """Provide one Chromium for all tests of a module."""
    driver = open_chromium("--disable-gpu")
    yield driver
    driver.quit()


def waiting(
    driver: webdriver.Chrome,
    ignored: Sequence[type[Exception]] | None = None,
    *,
    every_s: float = 0.05,
) -> WebDriverWait[webdriver.Chrome]:
    """Wait that polls ten times as often as Selenium's default, as most waits take tens of ms."""
    return WebDriverWait(driver, PATIENCE_S, poll_frequency=every_s, ignored_exceptions=ignored)


class Browser:
    """A browser window of a logged-in user, by default a reviewer."""

    def __init__(self, driver: webdriver.Chrome, service: Service, role: str = "reviewer") -> None:
        self.driver = driver
        self.service = service
        self.url = service.url
        self.look(1440, "light")
        self.log_in(role)

    def log_in(self, role: str) -> None:
        """Replace the current session by one of the role, without using the login form here."""
        self.driver.get("about:blank")  # a page still loading could restore the old session
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        with Walker(self.service, role) as walker:
            kept = [
                {"name": name, "value": value, "url": self.url, "httpOnly": True}
                for name, value in walker.client.cookies.items()
            ]
        self.driver.execute_cdp_cmd("Network.setCookies", {"cookies": kept})

    def open(self, path: str) -> None:
        self.driver.get(f"{self.url}{path}")
        # On a busy machine, get() sometimes returns before the whole page has loaded.
        waiting(self.driver).until(
            lambda driver: driver.execute_script("return document.readyState") == "complete"
        )

    def look(self, width: int, scheme: str, height: int = 900) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait_for(self, path: str) -> None:
        waiting(self.driver).until(
            lambda driver: driver.current_url.startswith(f"{self.url}{path}")
        )

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait for the text; elements of the previous page may go stale while the next loads."""
        waiting(self.driver, [StaleElementReferenceException]).until(
            lambda driver: (
                driver.execute_script("return document.readyState") == "complete"
                and any(
                    text in found.text for found in driver.find_elements(By.CSS_SELECTOR, selector)
                )
            )
        )

    def wait_until_found(self, selector: str) -> None:
        waiting(self.driver).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector))

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def complaints(self) -> list[str]:
        """Return the console's messages: blocked scripts, missing files, exceptions."""
        return [line["message"] for line in self.driver.get_log("browser")]


def assert_fits(browser: Browser, page: str) -> None:
    """Assert that the page does not scroll horizontally."""
    beyond = browser.driver.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert beyond <= 0, page


def violations(browser: Browser) -> list[dict[str, object]]:
    """Return axe-core's violations on the current page, contrast included: rules and elements."""
    browser.driver.execute_script(
        importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    )
    found, passed = browser.driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run({resultTypes: ['violations']}).then("
        "(r) => done([r.violations, r.passes.map((item) => item.id)]));"
    )
    assert "color-contrast" in passed  # the contrast rule did run
    return [
        {"rule": item["id"], "where": [node["html"][:150] for node in item["nodes"][:3]]}
        for item in found
    ]


def assert_accessible(browser: Browser, page: str) -> None:
    """Assert that axe-core finds no violation and the page does not scroll horizontally."""
    assert_fits(browser, page)
    found = violations(browser)
    assert found == [], (page, json.dumps(found, indent=1))


def drop(browser: Browser, name: str, content: bytes, onto: str = ".drop") -> None:
    """Drop a file on the element that the selector ``onto`` matches, as with a mouse."""
    browser.driver.execute_script(
        """
        const [name, bytes, onto] = arguments;
        const moved = new DataTransfer();
        moved.items.add(new File([new Uint8Array(bytes)], name));
        const zone = document.querySelector(onto);
        for (const kind of ["dragenter", "dragover", "drop"]) {
          const options = { dataTransfer: moved, bubbles: true, cancelable: true };
          zone.dispatchEvent(new DragEvent(kind, options));
        }
        """,
        name,
        list(content),
        onto,
    )

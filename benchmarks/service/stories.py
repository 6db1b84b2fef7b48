"""Clicks, keys and seconds of daily tasks of detchar staff, in a real Chromium.

    python -m benchmarks.service.stories http://127.0.0.1:8000 data/admin-token

The service should have the demonstration with its map. Everything is clustered first, so that there
are ten clusters to review. Counted are clicks, command keys (without typed text), and the seconds
from the first of them until the last page shows the result. There is no thinking time: the seconds
are those of the service and the browser. Decisions are stored: use a separate data folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import httpx
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import url_changes
from selenium.webdriver.support.ui import Select, WebDriverWait

from benchmarks.machine import heading

REVIEWED = 10
PATIENCE_S = 120
_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)


@dataclass
class Reviewer:
    """A simulated reviewer, whose clicks and keys are counted."""

    driver: webdriver.Chrome
    url: str
    clicks: int = 0
    keys: int = 0

    def open(self, path: str) -> None:
        self.driver.get(f"{self.url}{path}")

    def click(self, selector: str) -> None:
        self.clicks += 1
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list: one click opens it, one selects."""
        self.clicks += 2
        Select(self.driver.find_element(By.CSS_SELECTOR, selector)).select_by_value(value)

    def press(self, *keys: str) -> None:
        self.keys += len(keys)
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def type(self, text: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(text).perform()

    def wait(self, is_so: Callable[[], bool]) -> None:
        WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.02).until(
            lambda driver: (
                driver.execute_script("return document.readyState") == "complete" and is_so()
            )
        )

    def text(self, selector: str) -> str:
        found = self.driver.execute_script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )
        return str(found)


def review_clusters(reviewer: Reviewer) -> str:
    """Review with the keyboard from the first cluster on; a decision opens the next."""
    reviewer.open("/ui/clusters")
    reviewer.click(".group a.cover")
    for number in range(REVIEWED):
        before = reviewer.driver.current_url
        reviewer.wait(lambda: reviewer.text("h1").startswith("Cluster of"))
        if number % 2:
            reviewer.press("d")
        else:
            reviewer.press("n")
            reviewer.type(f"Story_{int(time.time())}_{number}")
            reviewer.press(Keys.ENTER)
            reviewer.wait(lambda: reviewer.text("h1").startswith("Story_"))
            reviewer.press("A")  # the suggested name, for every member
        WebDriverWait(reviewer.driver, PATIENCE_S, poll_frequency=0.02).until(url_changes(before))
    reviewer.wait(lambda: reviewer.text("h1").startswith("Cluster of"))
    return (
        f"{REVIEWED} clusters: each second one a new class of all its members, the rest dismissed"
    )


def table_of_whistles(reviewer: Reviewer) -> str:
    """Export rows from the catalogue."""
    reviewer.open("/ui/glitches")
    reviewer.driver.find_element(By.LINK_TEXT, "Table").click()
    reviewer.clicks += 1
    reviewer.wait(lambda: bool(reviewer.text("table")))
    reviewer.click("input[name=ifo][value=L1]")
    reviewer.choose("#label", "Whistle")
    reviewer.click("input[name=snr_min]")
    reviewer.type("8")
    reviewer.press(Keys.ENTER)
    reviewer.wait(lambda: "snr_min=8" in reviewer.driver.current_url)
    rows = reviewer.driver.find_elements(By.CSS_SELECTOR, "tbody tr")
    return f"{len(rows)} Whistles of L1 with SNR over 8, as a table (a run: two clicks more)"


def label_by_lasso(reviewer: Reviewer) -> str:
    """Label glitches on the map."""
    reviewer.open("/ui/map")
    reviewer.wait(lambda: bool(reviewer.driver.find_elements(By.CSS_SELECTOR, "#map[data-ready]")))
    reviewer.click("#mode-lasso")
    sheet = reviewer.driver.find_element(By.CSS_SELECTOR, "#points")
    half = (sheet.size["width"] // 2 - 4, sheet.size["height"] // 2 - 4)
    corners = [(-half[0], -half[1]), (0, -half[1]), (0, 0), (-half[0], 0), (-half[0], -half[1])]
    loop = webdriver.ActionChains(reviewer.driver, duration=20)
    loop.move_to_element_with_offset(sheet, *corners[0]).click_and_hold()
    for x, y in corners[1:]:
        loop.move_to_element_with_offset(sheet, x, y)
    loop.release().perform()
    reviewer.clicks += 1
    reviewer.wait(lambda: "selected" in reviewer.text("#selection-heading"))
    chosen = reviewer.text("#selection-heading")
    reviewer.click("#class_name")
    reviewer.type("Whistle")
    reviewer.click("#bulk button[value=label]")
    reviewer.wait(lambda: "labelled" in reviewer.text("#bulk-status"))
    return f"{chosen}, labelled"


def time_to_glitch(reviewer: Reviewer) -> str:
    """Open the page of the glitch at a GPS time, which links to the logbook of the day."""
    reviewer.open("/ui/glitches")
    gps_time = reviewer.driver.execute_script(
        "return document.body.innerText.match(/\\b1[0-4]\\d{8}\\b/)[0]"
    )
    reviewer.press("/")
    reviewer.type(gps_time)
    reviewer.press(Keys.ENTER)
    reviewer.wait(lambda: "/ui/glitches/" in reviewer.driver.current_url)
    return f"the page of the glitch at {gps_time}"


def cluster_everything(client: httpx.Client) -> None:
    settings = {"scope": "everything", "simulated": True}
    answer = client.post("/clusters/runs", json=settings)
    answer.raise_for_status()
    address = f"/jobs/{answer.json()['id']}"
    while (job := client.get(address).json())["state"] in {"queued", "running"}:
        time.sleep(0.5)
    if job["state"] != "succeeded":
        raise SystemExit(f"The clustering ended as {job['state']}: {job['detail']}")


def main() -> None:
    url, token_file = sys.argv[1:]
    token = Path(token_file).read_text(encoding="utf-8").strip()
    print(heading(), flush=True)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S) as client:
        cluster_everything(client)
    options = Options()
    options.binary_location = which("chromium") or which("google-chrome") or "chromium"
    for argument in (*_ARGUMENTS, "--window-size=1440,900"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(which("chromedriver")))
    try:
        driver.get(f"{url}/ui/login")
        driver.find_element(By.ID, "token").send_keys(token + "\n")
        first = Reviewer(driver, url)
        first.wait(lambda: "/ui/login" not in driver.current_url)
        print(f"{'clicks':>6} {'keys':>5} {'s':>6}  story")
        for story in (review_clusters, table_of_whistles, label_by_lasso, time_to_glitch):
            reviewer, start = Reviewer(driver, url), time.perf_counter()
            done = story(reviewer)
            seconds = time.perf_counter() - start
            print(f"{reviewer.clicks:6} {reviewer.keys:5} {seconds:6.1f}  {done}")
    finally:
        driver.quit()


if __name__ == "__main__":
    main()

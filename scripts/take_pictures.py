"""Retake the screenshots of the documentation from a running service.

    python scripts/take_pictures.py http://127.0.0.1:8000 data/admin-token
    python scripts/take_pictures.py http://127.0.0.1:8000 data/admin-token map jobs   # only these

The service should contain the clustered demonstration and GW150914, uploaded as in
docs/first-steps.md. A screenshot without data is reported and left unchanged. Needs the extra
`dev`, Chromium and its driver.
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

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
PATIENCE_S = 60.0
Find = Callable[[httpx.Client], str | None]


@dataclass(frozen=True)
class Picture:
    """A screenshot: the page, the size of the browser window in CSS pixels, the colour scheme."""

    find: Find  # returns the path of the page, None without data
    height: int
    width: int = 1440
    scheme: str = "light"


def at(path: str) -> Find:
    """Return a finder for a fixed path."""
    return lambda _: path


def first(listed: str, page: str, query: str = "") -> Find:
    """Return a finder for the page of the first item of ``listed``, a list of the API."""

    def find(client: httpx.Client) -> str | None:
        items = client.get(listed).raise_for_status().json()["items"]
        return f"{page}/{items[0]['id']}{query}" if items else None

    return find


_CLUSTER = first("/clusters?limit=1", "/ui/clusters")
_EVENT = "/glitches?origin=upload&gps_start=1126259462&gps_end=1126259463&limit=1"
PICTURES = {
    "batch": Picture(at("/ui/batch"), 520),
    "catalogue": Picture(at("/ui/glitches"), 800),
    "catalogue-table": Picture(at("/ui/glitches?view=table&ifo=L1&label=Whistle"), 1000),
    "checkpoints": Picture(at("/ui/checkpoints"), 900),
    "cluster": Picture(_CLUSTER, 1200),
    "cluster-dark-narrow": Picture(_CLUSTER, 1100, 800, "dark"),
    "clusters": Picture(at("/ui/clusters"), 760),
    "clusters-dark": Picture(at("/ui/clusters"), 760, scheme="dark"),
    "clusters-narrow": Picture(at("/ui/clusters"), 900, 800),
    "first-cluster": Picture(at("/ui/clusters"), 1000),
    "glitch": Picture(first(_EVENT, "/ui/glitches"), 1000),
    "job": Picture(first("/jobs?kind=demo&limit=1", "/ui/jobs"), 860),
    "jobs": Picture(at("/ui/jobs"), 520),
    "label-audit": Picture(at("/ui/label-audit"), 900),
    "map": Picture(at("/ui/map"), 900),
    "residual": Picture(first(_EVENT, "/ui/glitches", "?show=residual"), 620),
    "tokens": Picture(at("/ui/tokens"), 430),
    "upload": Picture(at("/ui/upload"), 720),
}


def main() -> int:
    """Take the named screenshots, or all; return 1 if one could not be taken."""
    url, token_file, *names = sys.argv[1:]
    token = Path(token_file).read_text(encoding="utf-8").strip()
    driver = _chromium()
    missing = []
    try:
        driver.get(f"{url}/ui/login")
        driver.find_element(By.ID, "token").send_keys(token + "\n")
        _until(driver, lambda: "/ui/login" not in driver.current_url)
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            for name in names or PICTURES:
                picture = PICTURES[name]
                page = picture.find(client)
                if page is None:
                    missing.append(name)
                    continue
                _look(driver, picture)
                driver.get(f"{url}{page}")
                _until(driver, lambda: _is_drawn(driver))
                driver.save_screenshot(str(FOLDER / f"{name}.png"))
    finally:
        driver.quit()
    if missing:
        print(f"Nothing to show for {', '.join(missing)}: left as they were.", file=sys.stderr)  # noqa: T201 - output of the command
    return 1 if missing else 0


def _chromium() -> webdriver.Chrome:
    options = Options()
    options.binary_location = which("chromium") or which("google-chrome") or "chromium"
    for argument in (
        "--headless=new",
        "--hide-scrollbars",
        "--no-sandbox",
        "--disable-dev-shm-usage",
    ):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=Service(which("chromedriver")))


def _look(driver: webdriver.Chrome, picture: Picture) -> None:
    size = {"width": picture.width, "height": picture.height}
    screen = {"screenWidth": picture.width, "screenHeight": picture.height}
    shown = {**size, **screen, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shown)
    scheme = {"name": "prefers-color-scheme", "value": picture.scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def _is_drawn(driver: webdriver.Chrome) -> bool:
    """Are the pictures in the window and the points of the map loaded?"""
    script = """
      const inSight = (one) =>
        one.checkVisibility() && one.getBoundingClientRect().top < innerHeight;
      const map = document.querySelector("#map");
      return document.readyState === "complete" && (!map || "ready" in map.dataset)
        && [...document.images].filter(inSight).every((one) => one.complete && one.naturalWidth);
    """
    return bool(driver.execute_script(script))


def _until(driver: webdriver.Chrome, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"{driver.current_url} was not drawn within {PATIENCE_S:.0f} s.")
        time.sleep(0.2)
    time.sleep(1.0)  # for drawing after the last picture has loaded


if __name__ == "__main__":
    raise SystemExit(main())

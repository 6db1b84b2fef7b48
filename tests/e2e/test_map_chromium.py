"""The map in a real Chromium with software WebGL: drawing, colours, selection, labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
import zstandard
from api_fixtures import Service
from browser_fixtures import Browser, assert_accessible, open_chromium, waiting
from cluster_helpers import store_run
from map_helpers import store_kinds, work
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from web_fixtures import service

from app.core.engine import make_session_factory
from app.map.columns import FOLDER, pack, unpack

__all__ = ["service"]

COUNT = 14
PICTURES_EVERY_S = 0.5  # polling interval, long because each check copies the canvas
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NO_GL = ("--disable-gpu", "--disable-3d-apis")
GROUND = "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    driver = open_chromium(*SOFTWARE_GL)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[UUID]:
    """Store glitches alternately in two groups, without drawing their map."""
    return store_kinds(service, COUNT)


@pytest.fixture(scope="module")
def drawn(service: Service, glitches: list[UUID]) -> list[UUID]:
    with service.client("submitter") as client:
        assert work(service, client.post("/map", json={}).json()["id"]).state == "succeeded"
    return glitches


@pytest.fixture
def browser(chromium: webdriver.Chrome, service: Service, drawn: list[UUID]) -> Iterator[Browser]:
    opened = Browser(chromium, service)
    opened.complaints()
    yield opened
    opened.driver.execute_script("sessionStorage.clear()")  # the selection
    # The library compiles code from strings, which only this page allows: no policy violation.
    assert [line for line in opened.complaints() if "GPU stall" not in line] == []


def open_map(browser: Browser) -> None:
    browser.open("/ui/map")
    browser.wait_until_found("#map[data-ready]")
    browser.wait_for_text("#map-counts", f"/ {COUNT} in view")


def colours_drawn(browser: Browser) -> set[str]:
    """Return the colours ("red,green,blue") of the opaque pixels of the canvas."""
    found = browser.driver.execute_script(
        """
        const canvas = document.querySelector("#points");
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const context = copy.getContext("2d");
        context.drawImage(canvas, 0, 0);
        const { data } = context.getImageData(0, 0, copy.width, copy.height);
        const found = new Set();
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] > 200) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
        }
        return [...found];
        """
    )
    return set(found)


def darkest(browser: Browser) -> int:
    """Return the sum of red, green and blue of the darkest pixel of the canvas."""
    return min(sum(map(int, one.split(","))) for one in colours_drawn(browser))


def place_of(browser: Browser, index: int) -> tuple[float, float]:
    """Return a point's offset in pixels from the centre of the canvas, which the map fills."""
    x, y = browser.driver.execute_async_script(
        """
        const done = arguments[1];
        import(document.querySelector("script[src*='map.js']").src.replace("map.js", "map-data.js"))
          .then(async ({ Catalogue }) => {
            const catalogue = await Catalogue.load("/ui/map/points", "/ui/map/ids/");
            done(["x", "y"].map((axis) => {
              const [low, high] = [Math.min(...catalogue[axis]), Math.max(...catalogue[axis])];
              return (2 * catalogue[axis][arguments[0]] - low - high) / (high - low);
            }));
          });
        """,
        index,
    )
    size = browser.find("#points").size
    return 0.94 * x * size["width"] / 2, -0.94 * y * size["height"] / 2


def drag(browser: Browser, points: list[tuple[float, float]]) -> None:
    """Drag the mouse along points given as offsets in pixels from the centre of the canvas."""
    sheet = browser.find("#points")
    hand = webdriver.ActionChains(browser.driver, duration=30)
    hand.move_to_element_with_offset(sheet, *map(round, points[0])).click_and_hold()
    for before, after in pairwise(points):
        for step in range(1, 6):
            share = step / 5
            x, y = (a + (b - a) * share for a, b in zip(before, after, strict=True))
            hand.move_to_element_with_offset(sheet, round(x), round(y))
    hand.release().perform()


def test_points_are_drawn_in_the_chosen_colours(browser: Browser) -> None:
    open_map(browser)
    waiting(browser.driver, every_s=PICTURES_EVERY_S).until(
        lambda _: len(colours_drawn(browser)) >= 2
    )
    by_label = colours_drawn(browser)
    Select(browser.find("#colour-by")).select_by_value("ifo")
    browser.wait_for_text("#legend-heading", "Detector")
    waiting(browser.driver, every_s=PICTURES_EVERY_S).until(
        lambda _: len(colours_drawn(browser) - by_label) >= 2
    )
    names = [one.text for one in browser.driver.find_elements(By.CSS_SELECTOR, ".legend .name")]
    assert sorted(names) == ["H1", "L1"]
    for value, title in (
        ("gps_time", "Time"),
        ("p_value", "Novelty"),
        ("cluster", "Cluster"),
        ("origin", "Origin"),
        ("run", "Observing run"),
        ("snr", "SNR"),
        ("peak_frequency", "Peak frequency"),
    ):
        Select(browser.find("#colour-by")).select_by_value(value)
        browser.wait_for_text("#legend-heading", title)


def columns_drawn(browser: Browser) -> tuple[float, float]:
    """Return the first and last column of the canvas with a point, as shares of its width."""
    first, last = browser.driver.execute_script(
        """
        const canvas = document.querySelector("#points");
        const { width, height } = canvas;
        const copy = new OffscreenCanvas(width, height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        let [first, last] = [width, 0];
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] < 200 || data[i] + data[i + 1] + data[i + 2] > 600) continue;
          const column = (i / 4) % width;
          [first, last] = [Math.min(first, column), Math.max(last, column)];
        }
        return [first / width, last / width];
        """
    )
    return first, last


def test_points_at_the_sides_are_drawn_in_a_page_wider_than_the_screen(browser: Browser) -> None:
    """Points at both edges are drawn if the page is wider than the screen (here 800 pixels).

    This happens if the page is zoomed out or its window spans two screens.
    """
    assert browser.driver.execute_script("return screen.availWidth < innerWidth")
    open_map(browser)
    waiting(browser.driver).until(lambda _: columns_drawn(browser)[0] < 0.1)
    assert columns_drawn(browser)[1] > 0.9

    browser.driver.execute_script("window.dispatchEvent(new Event('resize'))")
    Select(browser.find("#colour-by")).select_by_value("ifo")
    waiting(browser.driver).until(lambda _: len(colours_drawn(browser)) > 1)
    first, last = columns_drawn(browser)
    assert first < 0.1
    assert last > 0.9


def is_in_sight(browser: Browser, selector: str) -> bool:
    return bool(
        browser.driver.execute_script(
            "const at = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return at.bottom > 0 && at.top < innerHeight",
            selector,
        )
    )


def test_a_lasso_selects_one_kind_which_is_labelled_and_taken_back(
    browser: Browser, service: Service, drawn: list[UUID]
) -> None:
    open_map(browser)
    places = [place_of(browser, index) for index in range(COUNT)]  # ids are in the points' order
    xs, ys = zip(*places[::2], strict=True)
    left, right, top, bottom = min(xs) - 9, max(xs) + 9, min(ys) - 9, max(ys) + 9
    at_first = darkest(browser)
    browser.find("#mode-lasso").click()
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 2)]
    drag(browser, corners)
    browser.wait_for_text("#selection-heading", f"{COUNT // 2} glitches selected")
    assert browser.find("#make-up").text == f"Unlabelled {COUNT // 2}"
    assert is_in_sight(browser, "#download")  # the actions are visible with the map
    assert is_in_sight(browser, "#points")
    # Selected points stay as dark as before, and the others are drawn lighter.
    waiting(browser.driver, every_s=PICTURES_EVERY_S).until(lambda _: darkest(browser) <= at_first)
    waiting(browser.driver).until(
        lambda driver: len(driver.find_elements(By.CSS_SELECTOR, "#shown .card")) == COUNT // 2
    )
    browser.wait_for_text(".legend", f"{COUNT // 2} / {COUNT}")
    detectors = {
        one.text for one in browser.driver.find_elements(By.CSS_SELECTOR, "#shown .card .ifo")
    }
    assert detectors == {"H1"}  # the other group is in L1
    browser.find("#class_name").send_keys("whist")  # part of a name is enough
    browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})  # the session ends
    browser.find("#bulk button[value=label]").click()
    browser.wait_until_found("#token:focus")
    browser.find("#token").send_keys(service.tokens["reviewer"], Keys.ENTER)
    browser.wait_for_text("#selection-heading", f"{COUNT // 2} glitches selected")
    browser.wait_for_text(".note.warn", "What you typed and chose is here again.")
    assert browser.find("#class_name").get_property("value") == "whist"
    browser.find("#bulk button[value=label]").click()
    browser.wait_for_text("#bulk-status", f"{COUNT // 2} glitches labelled Whistle.")
    browser.wait_for_text(".legend", "Whistle")
    browser.wait_for_text("#shown .card .name", "Whistle")
    open_map(browser)
    browser.wait_for_text(".legend", "Whistle")  # also after a reload
    assert "by reviewer" in browser.find(".acts-done").text
    browser.find(".acts-done button").click()
    browser.wait_for_text(".note.good", "Undone")
    browser.wait_until_found("#map[data-ready]")
    browser.wait_for_text(".legend", f"{COUNT // 2} / {COUNT}")  # the selection remains
    browser.find("#drop-selection").click()
    browser.wait_for_text(".legend", f"{COUNT} / {COUNT}")
    assert "Whistle" not in browser.find(".legend").text


def test_the_keyboard_alone_filters_selects_and_reads(browser: Browser) -> None:
    open_map(browser)
    browser.find("#from").send_keys("1200000000", Keys.TAB, "1200005500", Keys.ENTER)
    browser.wait_for_text("#map-counts", f"6 / {COUNT} in view")
    browser.driver.execute_script("document.querySelector('#select-shown').focus()")
    browser.press(Keys.ENTER)
    browser.wait_for_text("#selection-heading", "6 glitches selected")
    assert browser.focused().get_attribute("id") == "selection"
    browser.driver.execute_script("document.querySelector('#look-table').focus()")
    browser.press(Keys.SPACE)
    waiting(browser.driver).until(
        lambda driver: len(driver.find_elements(By.CSS_SELECTOR, "#shown tbody tr")) == 6
    )
    Select(browser.find("#origin")).select_by_visible_text("simulated")
    browser.find("#snr-most").send_keys("9", Keys.ENTER)
    browser.wait_for_text("#map-counts", f"1 / {COUNT} in view")
    browser.find("#snr-least").send_keys("10", Keys.ENTER)
    browser.wait_for_text("#filter-error", "exchange them")
    browser.find("#clear-filters").click()
    browser.find("#p-most").send_keys("2", Keys.ENTER)
    browser.wait_for_text("#filter-error", "from 0 to 1")
    browser.find("#p-most").clear()
    browser.find("#from").clear()
    browser.find("#from").send_keys("2018-01-15 at noon", Keys.ENTER)
    browser.wait_for_text("#filter-error", "is not a time")
    browser.find("#clear-filters").click()
    browser.wait_for_text("#map-counts", f"{COUNT} / {COUNT} in view")
    entry = browser.find(".legend button")
    browser.driver.execute_script("arguments[0].focus()", entry)
    browser.press(Keys.ENTER)
    browser.wait_for_text("#map-counts", f"0 / {COUNT} in view")  # no glitch has a label
    assert browser.focused().get_attribute("aria-pressed") == "false"


def test_a_stretch_of_time_is_brushed_and_dropped(browser: Browser) -> None:
    open_map(browser)
    times = browser.find("#times")
    width = times.size["width"]
    hand = webdriver.ActionChains(browser.driver, duration=30)
    hand.move_to_element_with_offset(times, -width // 2 + 3, 0).click_and_hold()
    hand.move_to_element_with_offset(times, -20, 0).move_to_element_with_offset(times, 0, 0)
    hand.release().perform()
    browser.wait_for_text("#map-counts", f"{COUNT // 2 - 1} / {COUNT} in view")
    assert browser.find("#until").get_attribute("value")
    times.click()
    browser.wait_for_text("#map-counts", f"{COUNT} / {COUNT} in view")


def test_pointing_shows_a_card_and_a_click_opens_the_glitch(
    browser: Browser, drawn: list[UUID]
) -> None:
    open_map(browser)
    x, y = place_of(browser, 3)
    sheet = browser.find("#points")
    hand = webdriver.ActionChains(browser.driver, duration=50)
    hand.move_to_element_with_offset(sheet, round(x) + 30, round(y) + 30)
    hand.move_to_element_with_offset(sheet, round(x), round(y)).perform()
    browser.wait_until_found("#hover:not([hidden]) .card")
    shown = browser.find("#hover a.cover").get_attribute("href")
    assert UUID(shown.rpartition("/")[2]) in drawn[1::2]  # its group: points may overlap
    hand = webdriver.ActionChains(browser.driver)
    hand.click().perform()
    browser.wait_for("/ui/glitches/")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (800, "dark")])
def test_the_map_is_accessible_and_fits(*, browser: Browser, width: int, scheme: str) -> None:
    browser.look(width, scheme)
    open_map(browser)
    browser.find("#select-shown").click()
    browser.wait_until_found("#shown .card")
    for look in ("cards", "table"):
        browser.find(f"#look-{look}").click()
        browser.wait_until_found("#shown .card" if look == "cards" else "#shown table")
        assert_accessible(browser, look)


def names_follow_the_window(browser: Browser) -> None:
    """Assert that a name keeps its relative horizontal position when the window changes shape."""

    def across() -> float:
        share: float = browser.driver.execute_script(
            "const name = document.querySelector('.names span');"
            "return parseFloat(name.style.left) / name.parentElement.parentElement.clientWidth"
        )
        return share

    before = across()
    browser.look(1440, "light")
    waiting(browser.driver).until(lambda _: across() == pytest.approx(before, abs=0.02))
    browser.look(800, "light", height=1600)
    waiting(browser.driver).until(lambda _: across() == pytest.approx(before, abs=0.02))


def test_a_selection_is_named_downloaded_and_made_a_cluster(
    browser: Browser, service: Service, drawn: list[UUID]
) -> None:
    browser.look(800, "light", height=1600)  # the whole map also fits in a tall window
    open_map(browser)
    with make_session_factory(service.engine).begin() as session:
        store_run(session)
    Select(browser.find("#ifo")).select_by_visible_text("L1")
    Select(browser.find("#origin")).select_by_visible_text("uploaded")
    browser.find("#map-filters button.main").click()
    chosen = [index for index in range(1, COUNT, 2) if index % 5]
    browser.wait_for_text("#map-counts", f"{len(chosen)} / {COUNT} in view")
    browser.find("#select-shown").click()
    browser.wait_for_text("#selection-heading", f"{len(chosen)} glitches selected")
    browser.find("#class_name").send_keys("Thunder")
    browser.find("#bulk button[value=label]").click()
    browser.wait_for_text("#bulk-status", "There is no class")
    browser.find("#bulk button[value=new-class]").click()
    browser.wait_for_text("#bulk-status", f"{len(chosen)} glitches labelled Thunder.")
    browser.wait_for_text(".names", "Thunder")
    names_follow_the_window(browser)
    csv = browser.driver.execute_async_script(
        """
        const [done, form] = [arguments[0], document.querySelector("#download")];
        form.addEventListener("submit", (event) => {
          event.preventDefault();
          fetch(form.action, { method: "POST", body: new FormData(form, event.submitter) })
            .then((answer) => answer.text()).then(done);
        });
        form.querySelector("button[value=csv]").click();
        """
    )
    assert len(csv.splitlines()) == len(chosen) + 1
    browser.find("#bulk-undo button").click()
    browser.wait_for_text(".note.good", "Undone")
    browser.find("#drop-selection").click()
    browser.wait_for_text(".legend", f"{COUNT} / {COUNT}")
    browser.find("#select-shown").click()
    browser.wait_for_text("#selection-heading", f"{COUNT} glitches selected")
    browser.find("#bulk button[value=cluster]").click()
    browser.wait_for_text("#bulk-status", "are simulated and others are not")
    Select(browser.find("#origin")).select_by_visible_text("uploaded")
    browser.find("#map-filters button.main").click()
    browser.find("#select-shown").click()
    browser.wait_for_text("#selection-heading", f"{COUNT - 3} glitches selected")
    browser.find("#bulk button[value=cluster]").click()
    browser.wait_for("/ui/clusters/")
    browser.wait_for_text("h1", f"{COUNT - 3} glitches")
    browser.wait_for_text(".note.good", "The selection is a cluster now")
    browser.press("u")
    browser.wait_for("/ui/map")
    browser.wait_for_text(".note.good", "The cluster was removed")
    browser.wait_for_text("#selection-heading", f"{COUNT - 3} glitches selected")  # to make again
    browser.complaints()  # drop the messages of the expected refusals


def test_without_webgl_the_page_says_so_and_the_table_works(
    service: Service, drawn: list[UUID]
) -> None:
    driver = open_chromium(*NO_GL)
    try:
        browser = Browser(driver, service, "reader")
        open_map(browser)
        browser.wait_for_text("#map-failure", "offers no WebGL")
        browser.find("#select-shown").click()
        browser.wait_for_text("#selection-heading", f"{COUNT} glitches selected")
        browser.find("#look-table").click()
        waiting(driver).until(
            lambda _: len(driver.find_elements(By.CSS_SELECTOR, "#shown tbody tr")) == COUNT
        )
        assert not driver.find_elements(By.CSS_SELECTOR, "#bulk")  # readers cannot label
    finally:
        driver.quit()


def test_without_scripts_the_page_says_so(browser: Browser) -> None:
    """Without scripts the page explains that, instead of showing "loading" for ever."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open("/ui/map")
        assert "works without" in browser.find("main .note.warn").text
        assert not browser.find("#map").is_displayed()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_sample_of_many_points_is_drawn_first(browser: Browser, service: Service) -> None:
    open_map(browser)
    folder = service.settings.data_dir / FOLDER
    kept = max(folder.glob("*.points.zst"), key=lambda path: path.stat().st_mtime)
    before = kept.read_bytes()
    header, columns = unpack(zstandard.ZstdDecompressor().decompress(before))
    many = 60_000
    repeated = {name: column[np.arange(many) % COUNT] for name, column in columns.items()}
    browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    try:
        buffer = pack(header | {"n_points": many}, repeated)
        kept.write_bytes(zstandard.ZstdCompressor().compress(buffer))
        browser.open("/ui/map")
        browser.wait_until_found("#map[data-ready]")
        browser.wait_for_text("#map-counts", "60,000 / 60,000 in view")
        marks = "return performance.getEntriesByName('map-drawn').length"
        assert browser.driver.execute_script(marks) == 2
    finally:
        kept.write_bytes(before)
        browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})

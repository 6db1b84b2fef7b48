"""The pages in a real Chromium: scripts, keyboard, accessibility, widths and colour schemes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from api_fixtures import Service, picture
from browser_fixtures import Browser, assert_accessible, chromium, violations, waiting
from cluster_helpers import store_cluster, store_run
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from web_fixtures import glitches, service

from app.core.engine import make_session_factory
from app.glitches.records import GlitchRecord

__all__ = ["chromium", "glitches", "service"]

LOOKS = ((1440, "light"), (800, "dark"), (390, "light"))  # each width once


@pytest.fixture(scope="module")
def cluster(service: Service, glitches: list[GlitchRecord]) -> str:
    """Provide the path of a flagged cluster of unlabelled glitches that no other test labels."""
    members = [glitches[index].id for index in (0, 10, 20, 40, 50)]
    with make_session_factory(service.engine)() as session:
        made = store_cluster(session, store_run(session), members).id
        session.commit()
    return f"/ui/clusters/{made}"


@pytest.fixture
def browser(
    chromium: webdriver.Chrome, service: Service, glitches: list[GlitchRecord]
) -> Iterator[Browser]:
    opened = Browser(chromium, service)
    opened.complaints()
    yield opened
    assert opened.complaints() == []


def paths(glitches: list[GlitchRecord]) -> list[str]:
    return [
        *(
            "/ui/glitches",
            "/ui/glitches?ifo=H1&snr_min=x",
            "/ui/glitches?view=table&column=class&column=time&column=confidence",
            "/ui/digest?days=7",
            "/ui/upload",
            "/ui/classes",
            "/ui/checkpoints",
        ),
        *(f"/ui/glitches/{glitches[0].id}", f"/ui/glitches/{glitches[1].id}"),
    ]


@pytest.mark.parametrize("look", ["", "&view=table"])
def test_glitches_are_chosen_as_pictures_and_as_rows(
    browser: Browser, glitches: list[GlitchRecord], look: str
) -> None:
    browser.open(f"/ui/glitches?label=-{look}")
    boxes = browser.driver.find_elements(By.CSS_SELECTOR, "input[name=member]")
    assert len(boxes) == 6
    count = browser.find("#chosen-count")
    assert count.text.startswith("None chosen")
    boxes[0].click()
    assert count.text == "1 chosen"
    every = browser.find("#choose-all")
    assert every.get_property("indeterminate")
    every.click()
    assert count.text == "6 chosen"
    every.click()
    for box in boxes[:2]:
        box.click()
    browser.find("#class_name").send_keys("tomt", Keys.ENTER)
    browser.wait_for_text(".note.good", "label")
    browser.find(".note.good button").click()
    browser.wait_for_text(".note.good", "Undone")
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, "input[name=member]")) == 6


def test_rows_are_copied_without_formulas_and_names_of_columns_stay(
    browser: Browser, glitches: list[GlitchRecord]
) -> None:
    browser.look(1440, "light", height=300)
    browser.open(f"/ui/glitches?view=table&ifo={glitches[0].ifo}")
    assert browser.driver.title.startswith(f"{glitches[0].ifo} · ")
    copied = browser.driver.execute_async_script(
        "const done = arguments[0];"
        "navigator.clipboard.writeText = async (text) => done(text);"
        "document.querySelectorAll('#glitches tbody td:not(.number)')[1].textContent = '=1+1';"
        "document.querySelector('#copy-table').click()"
    )
    assert "'=1+1" in copied.splitlines()[1].split("\t")
    top = browser.driver.execute_script(
        "document.querySelector('#glitches tbody tr:last-child').scrollIntoView();"
        "return document.querySelector('#glitches thead th').getBoundingClientRect().top"
    )
    assert top == 0


def test_results_are_announced_to_screen_readers(browser: Browser) -> None:
    """A result is inserted into the status element after the page has loaded.

    Screen readers announce changes of a status, not the text that it has when the page loads.
    """
    watch = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {
            "source": "addEventListener('DOMContentLoaded', () => new MutationObserver("
            "(found) => { window.told = found[0].target.textContent; })"
            ".observe(document.querySelector('.toast'), {childList: true, subtree: true}));"
        },
    )
    try:
        browser.open("/ui/glitches?done=undone")
        waiting(browser.driver).until(
            lambda driver: driver.execute_script("return window.told?.startsWith('Undone')")
        )
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", watch)


def test_a_login_leaves_the_address_bar_clean(browser: Browser, service: Service) -> None:
    browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.open("/ui/login")
    field = browser.find("#token")
    field.send_keys(service.tokens["reviewer"])
    field.submit()
    browser.wait_for("/ui/clusters")
    assert browser.driver.current_url == f"{browser.url}/ui/clusters"
    assert browser.driver.execute_script("return document.referrer") == ""
    assert browser.driver.execute_script("return document.cookie") == ""  # HttpOnly


def test_the_longest_names_fit_every_screen(
    browser: Browser, glitches: list[GlitchRecord], cluster: str
) -> None:
    glitch = f"/ui/glitches/{glitches[0].id}"
    for width, path, name in (
        (390, "/ui/glitches", ".card .name"),
        (390, glitch, "h1"),
        (390, glitch, "#neighbours ~ .muted"),
        (390, "/ui/clusters?state=all", ".group .name"),
        (390, cluster, ".badge"),
        (390, cluster, ".likenesses li > :not(.frame)"),
        (390, "/ui/classes", ".badge"),
        (390, "/ui/classes/Blip", ".lead"),
        (1000, "/ui/classes", ".what"),
        (1000, "/ui/glitches?view=table", "#glitches tbody th a"),
    ):
        browser.look(width, "light")
        browser.open(path)
        assert browser.driver.find_elements(By.CSS_SELECTOR, name), path
        too_wide = browser.driver.execute_script(
            "for (const one of document.querySelectorAll(arguments[0]))"
            " one.textContent = 'K'.repeat(64);"
            "return Math.max(...[...document.querySelectorAll('html, .scroll')]"
            ".map((one) => one.scrollWidth - one.clientWidth))",
            name,
        )
        assert too_wide <= 0, path


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_is_accessible_and_fits(
    *, browser: Browser, glitches: list[GlitchRecord], cluster: str, width: int, scheme: str
) -> None:
    """On every page axe-core finds no violation, and the page does not scroll horizontally."""
    browser.look(width, scheme)
    also = ("/ui/clusters", "/ui/clusters?min_size=900", "/ui/glitches?label=Pizzicato", "/ui/no")
    for path in (*paths(glitches), *also, cluster, f"/ui/classes/{'K' * 64}"):
        browser.open(path)
        assert_accessible(browser, path)
    # The console reports the 400 of a refused filter and the 404 of an unknown class or page; any
    # other message is an error.
    answers = ("400 (Bad Request)", "404 (Not Found)")
    assert all(any(answer in line for answer in answers) for line in browser.complaints())


@pytest.mark.parametrize("width", [390, 800])
def test_no_table_of_a_page_is_scrolled_sideways(
    browser: Browser, service: Service, glitches: list[GlitchRecord], width: int
) -> None:
    """Tables fit a narrow screen; on a phone each row becomes a block with labelled cells."""
    with service.client("submitter") as client:
        client.post("/clusters/runs", json={}).raise_for_status()
    browser.look(width, "light")
    for path in ("/ui/classes", "/ui/jobs", "/ui/tokens", "/ui/glitches?view=table"):
        browser.open(path)
        too_wide = browser.driver.execute_script(
            "const name = document.querySelector('#glitches tbody th a');"
            "const novelty = document.querySelector('#glitches .novelty');"
            "if (name) name.textContent = 'High_Frequency_Burst';"
            "if (novelty) [novelty.className, novelty.textContent]"
            " = ['novelty novel', 'novel, p = 0.0028'];"
            "const frames = [document.documentElement, ...document.querySelectorAll('.scroll')];"
            "return frames.map((one) => one.scrollWidth - one.clientWidth)"
        )
        assert len(too_wide) > 1, path
        assert max(too_wide) <= 0, (path, too_wide)


def test_a_page_at_four_times_its_size_is_not_scrolled_sideways(
    browser: Browser, cluster: str
) -> None:
    browser.look(320, "light")
    for path in ("/ui/clusters", "/ui/checkpoints", "/ui/glitches", cluster):
        browser.open(path)
        wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 320, path


@pytest.mark.parametrize("width", [390, 620])
def test_rows_of_the_catalogue_stand_by_themselves_on_a_phone(
    browser: Browser, glitches: list[GlitchRecord], width: int
) -> None:
    """With many columns each row fits a phone, its class links to the glitch, and sorting works."""
    columns = "detector", "time", "snr", "frequency", "q", "quality", "novelty", "channel", "id"
    browser.look(width, "light")
    browser.open(f"/ui/glitches?view=table&column={'&column='.join(columns)}")
    frame = browser.find(".scroll")
    assert frame.get_property("scrollWidth") <= frame.get_property("clientWidth")
    rows = browser.driver.find_elements(By.CSS_SELECTOR, "#glitches tbody tr")
    assert len(rows) == 48
    assert all("None" not in row.text for row in rows)
    name = rows[0].find_element(By.CSS_SELECTOR, "th a")
    assert name.get_attribute("href").startswith(f"{browser.url}/ui/glitches/")
    browser.driver.find_element(By.LINK_TEXT, "SNR").click()
    browser.wait_for("/ui/glitches?")
    assert "sort=" in browser.driver.current_url


def test_an_open_menu_does_not_widen_a_phone(
    browser: Browser, glitches: list[GlitchRecord]
) -> None:
    browser.look(390, "light")
    for menu in ("nav details.menu", "details.who"):
        browser.open("/ui/classes")
        browser.find(f"{menu} summary").click()
        left, right, page = browser.driver.execute_script(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [box.left, box.right, document.documentElement.scrollWidth]",
            f"{menu} .menu-panel",
        )
        assert left >= 0, menu
        assert right <= page <= 390, menu


def test_a_phone_shows_a_class_and_the_members_before_what_else_is_known(
    browser: Browser, cluster: str
) -> None:
    browser.look(390, "light")

    def order(*selectors: str) -> list[str]:
        found: list[str] = browser.driver.execute_script(  # at once: loading moves elements
            "const top = (one) => document.querySelector(one).getBoundingClientRect().top;"
            "return arguments[0].sort((one, other) => top(one) - top(other))",
            selectors,
        )
        return found

    browser.open(cluster)
    shown = ["#decision", "#members", "#history", "#facts"]
    assert order(*reversed(shown)) == shown
    browser.open("/ui/classes/Koi_Fish")
    shown = ["#looks", "#change", "#history"]
    assert order(*reversed(shown)) == shown
    assert browser.find("a.to-decision").get_attribute("href").endswith("#change")


def test_a_page_is_printed_light_and_without_what_is_pressed(
    browser: Browser, cluster: str
) -> None:
    browser.look(1440, "dark")
    browser.open(cluster)
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    on_screen = browser.driver.execute_script(ground)
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    try:
        assert browser.driver.execute_script(ground) != on_screen
        assert browser.find("h1").is_displayed()
        for selector in ("header", "#decision", ".choose", ".chosen-count"):
            assert not browser.find(selector).is_displayed(), selector
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_rendered_api_has_the_colours_of_the_pages(browser: Browser) -> None:
    def is_light() -> bool:
        colour = browser.driver.execute_script(
            "const path = document.querySelector('.swagger-ui .opblock-summary-path');"
            "return getComputedStyle(path).color;"
        )
        red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
        return red + green + blue > 3 * 128

    browser.look(1440, "dark")
    browser.open("/docs")
    browser.wait_until_found(".swagger-ui .opblock-summary-path")
    assert is_light()
    browser.look(1440, "light")
    waiting(browser.driver).until(lambda _: not is_light())  # applied with the next frame


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_rendered_api_is_accessible(browser: Browser, width: int, scheme: str) -> None:
    browser.look(width, scheme)
    browser.open("/docs")
    browser.wait_until_found(".swagger-ui section.models h4[aria-level]")
    assert violations(browser) == []


def test_no_page_asks_the_network_for_anything_else(
    browser: Browser, glitches: list[GlitchRecord]
) -> None:
    for path in paths(glitches)[2:]:
        browser.open(path)
        addresses = browser.driver.execute_script(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        )
        assert addresses
        assert all(name.startswith(browser.url) for name in addresses)


def test_the_clock_switches_in_place_and_is_remembered(browser: Browser) -> None:
    browser.open("/ui/glitches")
    shown = browser.find(".card time")
    assert shown.text.startswith("12000")
    browser.driver.execute_script("window.mark = 1")
    browser.find("form.clock button[value=utc]").click()
    assert browser.find(".card time").text.startswith("2018-01-1")
    assert browser.find("form.clock button[value=utc]").get_attribute("aria-pressed") == "true"
    assert browser.driver.execute_script("return window.mark") == 1  # no reload
    browser.open("/ui/glitches")
    assert browser.find(".card time").text.startswith("2018-01-1")


def test_filters_leave_a_clean_address(browser: Browser) -> None:
    browser.open("/ui/glitches")
    browser.find("input[name=snr_min]").send_keys("60")
    browser.find("input[value=L1]").click()
    browser.find("details.filters form button").click()
    browser.wait_for("/ui/glitches?")
    assert browser.driver.current_url == f"{browser.url}/ui/glitches?ifo=L1&snr_min=60"
    assert browser.find("h1").text == "4 glitches"
    browser.driver.back()
    browser.wait_for_text("h1", "60 glitches")
    assert browser.find("input[name=start]").is_enabled()
    assert not browser.find("input[value=L1]").is_selected()
    assert browser.find("input[name=snr_min]").get_property("value") == ""


def test_the_keyboard_alone_reaches_a_glitch_and_labels_it(browser: Browser) -> None:
    browser.open("/ui/glitches")
    browser.press(Keys.TAB)
    assert browser.focused().get_attribute("textContent") == "Skip to the content"
    browser.press("/")
    assert browser.focused().get_attribute("id") == "search"
    browser.press("walker0030", Keys.ENTER)
    browser.wait_for("/ui/glitches/")
    assert "Unlabelled" in browser.find("h1").text
    field = browser.find("#class_name")
    for _ in range(60):
        if browser.focused() == field:
            break
        browser.press(Keys.TAB)
    assert browser.focused() == field
    outline = browser.driver.execute_script("return getComputedStyle(arguments[0]).outline", field)
    assert "none" not in outline  # the focus is visible
    browser.press("Tomte", Keys.ENTER)
    browser.wait_for_text(".note.good", "The label was added.")
    assert browser.find("h1").text == "Tomte"


def test_the_arrows_walk_through_the_cards(browser: Browser) -> None:
    browser.open("/ui/glitches")
    covers = browser.driver.find_elements(By.CSS_SELECTOR, "a.cover")
    browser.driver.execute_script("arguments[0].focus()", covers[0])
    browser.press(Keys.ARROW_RIGHT)
    assert browser.focused() == covers[1]
    top = covers[1].location["y"]
    browser.press(Keys.ARROW_DOWN)
    assert browser.focused().location["y"] > top
    assert browser.focused().location["x"] == covers[1].location["x"]
    browser.press(Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert browser.focused() == covers[0]
    browser.press(Keys.ARROW_LEFT)
    assert browser.focused() == covers[0]


def test_pictures_are_really_drawn(browser: Browser, glitches: list[GlitchRecord]) -> None:
    browser.open(f"/ui/glitches/{glitches[1].id}")
    waiting(browser.driver).until(
        lambda driver: driver.execute_script(
            "return [...document.querySelectorAll('.card img')].slice(0, 4)"
            ".every((image) => image.complete && image.naturalWidth === 285)"
        )
    )
    drawn = browser.driver.execute_script(
        "return performance.getEntriesByType('resource')"
        ".filter((entry) => entry.name.includes('/views/') && entry.responseStatus === 200).length"
    )
    assert drawn == 4


def test_pages_work_without_scripts(chromium: webdriver.Chrome, service: Service) -> None:
    """Login, the switch of the clock and logout work with scripts disabled."""
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser = Browser(chromium, service)
        browser.open("/ui/classes")
        for clock in ("utc", "gps"):
            browser.find(f"form.clock button[value={clock}]").click()
            browser.wait_until_found(f"form.clock button[value={clock}][aria-pressed=true]")
        browser.find(".who summary").click()
        browser.find(".logout button").click()
        browser.wait_for("/ui/login?done=logged-out")
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_service_answers_the_link_that_it_gives(service: Service) -> None:
    """The page link in the response of POST /embed leads to a page of this service."""
    with service.client("submitter") as client:
        files = {"file": ("L1_linked1234_spectrogram_1.0.png", picture(90), "image/png")}
        page = client.post("/embed", files=files).json()["glitch"]["links"]["page"]
    assert httpx.get(page).headers["location"].startswith("/ui/login?next=%2Fui%2Fglitches%2F")


def test_a_flagged_cluster_is_named_with_the_keyboard_and_undone(
    browser: Browser, glitches: list[GlitchRecord], cluster: str
) -> None:
    """A cluster named with the keyboard gives its members and the classes the name until undo."""
    browser.open("/ui/clusters")
    assert browser.find("h1").text == "1 cluster to review"
    browser.find(".group a.cover").click()
    browser.wait_for(cluster)
    browser.press("n")
    assert browser.focused().get_attribute("id") == "new_class"
    browser.press("Odd_Whistle", Keys.ENTER)
    browser.wait_for_text("h1", "Odd_Whistle: cluster of 5 glitches")
    suggested = browser.driver.find_elements(By.CSS_SELECTOR, ".card .suggested")
    assert [one.text for one in suggested] == ["suggested: Odd_Whistle"] * 5
    browser.find(".card .cover").send_keys("x", "a")
    browser.wait_for_text(".card .name", "Odd_Whistle")
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, ".card .suggested")) == 4
    browser.press("A")
    browser.wait_for_text(".note.good", "The suggestions were accepted as labels")
    browser.open("/ui/classes")
    assert "Odd_Whistle" in browser.find("main").text
    browser.open(f"/ui/glitches/{glitches[0].id}")
    assert "Odd_Whistle" in browser.find("h1").text
    browser.open(cluster)
    for left in ("accepted Odd_Whistle for 4", "accepted Odd_Whistle for 1", "named the new class"):
        browser.press("u")
        browser.wait_for_text(".history .undone .what", f"Undid “{left}")
    assert browser.find("h1").text == "Cluster of 5 glitches"
    assert browser.driver.find_elements(By.CSS_SELECTOR, ".card .suggested") == []
    browser.open("/ui/classes")
    assert "Odd_Whistle" not in browser.find("main").text
    browser.open(f"/ui/glitches/{glitches[0].id}")
    assert browser.find("h1").text == "Unlabelled glitch"

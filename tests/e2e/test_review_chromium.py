"""Review in a real Chromium: from an upload to a class and its undo, keyboard, conflicts."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from api_fixtures import Service, picture
from browser_fixtures import Browser, assert_accessible, chromium, drop, open_chromium, waiting
from cluster_helpers import store_cluster, store_run
from map_helpers import work
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from sqlalchemy import delete, select
from web_fixtures import fill_catalogue, service

from app.clusters.tables import Cluster, ClusteringRun, LabelSuggestion, ReviewEvent
from app.core.engine import make_session_factory
from app.glitches.records import GlitchRecord
from app.glitches.tables import Glitch
from app.map.columns import unpack

__all__ = ["chromium", "service"]

UNLABELLED = (10, 30, 50)  # unlabelled glitches that are not simulated, all of H1
NAME = "Odd_Whistle"


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[GlitchRecord]:
    return fill_catalogue(service)


@pytest.fixture
def browser(
    chromium: webdriver.Chrome, service: Service, glitches: list[GlitchRecord]
) -> Iterator[Browser]:
    opened = Browser(chromium, service)
    opened.complaints()
    yield opened
    # The console reports the expected 409 responses; any other message is an error.
    assert [line for line in opened.complaints() if "409 (Conflict)" not in line] == []


@pytest.fixture
def no_clusters(service: Service) -> Iterator[None]:
    """Delete all runs, clusters, suggestions and review events after the test."""
    yield
    with make_session_factory(service.engine).begin() as session:
        for table in (LabelSuggestion, Cluster, ClusteringRun):
            session.execute(delete(table))
        session.execute(delete(ReviewEvent).where(ReviewEvent.undoes_event_id.is_not(None)))
        session.execute(delete(ReviewEvent))


def flag(service: Service, members: list[UUID]) -> str:
    """Store a flagged cluster of these glitches, and return the path of its page."""
    with make_session_factory(service.engine).begin() as session:
        made = store_cluster(session, store_run(session), members).id
    return f"/ui/clusters/{made}"


def draw_map(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    # The positions do not matter here, and compiling UMAP would take longer than the test.
    monkeypatch.setattr("glitch.projection.FEWEST_FOR_UMAP", 10**6)
    with service.client("submitter") as client:
        answer = client.post("/map", json={"act": "draw"})
    assert answer.status_code == 202, answer.text
    assert work(service, UUID(answer.json()["id"])).state == "succeeded"


def legend(service: Service) -> dict[str, int]:
    """Return the classes in the legend of the map and how many points each has."""
    with service.client("reader") as client:
        header, _ = unpack(client.get("/map").content)
    return {one["name"]: one["count"] for one in header["classes"] if one["count"]}


def exported(service: Service) -> list[str]:
    with service.client("reader") as client:
        rows = csv.DictReader(client.get("/exports").text.splitlines())
        return [row["ml_label"] for row in rows]


def neighbours_of(service: Service, glitch_id: UUID) -> list[str | None]:
    with service.client("reader") as client:
        found = client.get(f"/glitches/{glitch_id}/neighbours", params={"neighbours": 100}).json()
    return [one["label"] for one in found["items"]]


@pytest.mark.usefixtures("no_clusters")
def test_from_an_upload_to_a_class_and_back(
    browser: Browser,
    service: Service,
    glitches: list[GlitchRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Naming an upload's cluster, and undoing it, show in classes, map, export and neighbours."""
    browser.open("/ui/upload")
    drop(browser, "H1_story00001_spectrogram_1.0.png", picture(81, duration_s=1.0))
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for("/ui/glitches/")
    browser.wait_for_text("#neighbours", "Nearest neighbours")
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, ".cards .card")) == 20
    with make_session_factory(service.engine)() as session:
        uploaded = session.scalars(
            select(Glitch.id).where(Glitch.gravityspy_id == "story00001")
        ).one()
    cluster = flag(service, [uploaded, *(glitches[index].id for index in UNLABELLED)])
    draw_map(service, monkeypatch)
    assert NAME not in legend(service)

    browser.open("/")
    browser.find(".group a.cover").click()
    browser.wait_for(cluster)
    browser.wait_for_text(".plane .shares", "of the variance")
    browser.wait_for_text(".later", "like the medoid of this cluster")
    browser.find("#new_class").send_keys(NAME)
    browser.find("button[value=promote]").click()
    browser.wait_for_text("h1", f"{NAME}: cluster of 4 glitches")
    browser.find("button[value=accept-all]").click()
    browser.wait_for_text(".note.good", "The suggestions were accepted as labels")

    browser.open("/ui/classes")
    assert NAME in browser.find("main").text
    assert legend(service)[NAME] == 4
    assert exported(service).count(NAME) == 4
    assert neighbours_of(service, glitches[10].id).count(NAME) == 3
    browser.open(f"/ui/glitches/{uploaded}")
    assert browser.find("h1").text == NAME

    browser.open(cluster)
    for left in ("accepted", "named the new class"):
        browser.find("button[value=undo]").click()
        browser.wait_for_text(".history .undone .what", f"Undid “{left}")
    browser.open("/ui/classes")
    assert NAME not in browser.find("main").text
    assert NAME not in legend(service)
    assert NAME not in exported(service)
    assert NAME not in neighbours_of(service, glitches[10].id)


def tab_to(browser: Browser, selector: str) -> None:
    element = browser.find(selector)
    for _ in range(150):
        if browser.focused() == element:
            return
        browser.press(Keys.TAB)
    pytest.fail(f"{selector} cannot be reached with the keyboard")


@pytest.mark.usefixtures("no_clusters")
def test_the_story_with_the_keyboard_alone(
    browser: Browser, service: Service, glitches: list[GlitchRecord], tmp_path: Path
) -> None:
    cluster = flag(service, [glitches[index].id for index in UNLABELLED])
    browser.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    browser.open("/ui/clusters")
    tab_to(browser, ".group a.cover")
    browser.press(Keys.ENTER)
    browser.wait_for(cluster)
    browser.press("n")
    browser.press(NAME, Keys.ENTER)
    browser.wait_for_text("h1", f"{NAME}: cluster of 3 glitches")
    browser.press("A")
    browser.wait_for_text(".note.good", "The suggestions were accepted as labels")
    tab_to(browser, 'dl.facts a[href*="format=csv"]')
    browser.press(Keys.ENTER)
    waiting(browser.driver).until(lambda _: list(tmp_path.glob("*.csv")))
    (file,) = tmp_path.glob("*.csv")
    with file.open() as lines:
        assert [row["ml_label"] for row in csv.DictReader(lines)] == [NAME] * 3
    for left in ("accepted", "named the new class"):
        browser.press("u")
        browser.wait_for_text(".history .undone .what", f"Undid “{left}")
    assert browser.find("h1").text == "Cluster of 3 glitches"
    assert NAME not in exported(service)


@pytest.mark.usefixtures("no_clusters")
def test_a_split_a_merge_a_dismissal_and_their_undo_with_the_keyboard_alone(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    cluster = flag(service, [glitches[index].id for index in range(1, 40, 3)])
    browser.open(cluster)
    browser.wait_until_found(".card input[name=member]")
    for _ in range(2):
        tab_to(browser, ".card:not(.chosen-member):has(input[name=member]) a.cover")
        browser.press("x")
    browser.wait_for_text(".chosen-count", "2 chosen")
    browser.press("s")
    browser.wait_for_text(".note.good", "The cluster was split.")
    assert browser.find(".note.good button").text.startswith("Undo")
    assert browser.find("h1").text == "Cluster of 11 glitches"
    browser.press("m")
    browser.press("tomt", Keys.ENTER)
    browser.wait_for_text(".note.good", "The class is suggested")
    browser.open("/ui/clusters")
    tab_to(browser, ".group a.cover")
    browser.press(Keys.ENTER)
    browser.wait_for_text("h1", "Cluster of 2 glitches")
    browser.press("d")
    browser.wait_for_text(".note.good", "The cluster was dismissed")
    browser.press("u")
    browser.wait_for_text(".note.good", "Undone")
    assert browser.find("h1").text == "Cluster of 2 glitches"
    assert browser.find(".badge.open").text == "to review"


@pytest.mark.usefixtures("no_clusters")
def test_the_second_of_two_simultaneous_reviewers_sees_a_conflict(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    cluster = flag(service, [glitches[index].id for index in UNLABELLED])
    other_driver = open_chromium()
    try:
        other = Browser(other_driver, service, "admin")
        for window in (browser, other):
            window.open(cluster)
        other.find("#class_name").send_keys("Tomte")
        other.find("button[value=merge]").click()
        other.wait_for_text("h1", "Tomte: cluster of 3 glitches")
        assert str(other.find("h1 a").get_attribute("href")).endswith("/ui/classes/Tomte")
        browser.find(".card input[name=member]").click()
        browser.find("#new_class").send_keys("Mine_Instead")
        browser.find("textarea").send_keys("It has a tail.")
        browser.find("button[value=promote]").click()
        browser.wait_for_text("[role=alert]", "somebody else acted")
        assert "admin: merged it into Tomte" in browser.find("[role=alert]").text
        assert browser.find("#class_name").get_attribute("value") == "Mine_Instead"
        assert browser.find("textarea").get_attribute("value") == "It has a tail."
        assert browser.find(".chosen-count").text == "1 chosen"
        browser.driver.refresh()  # like going back, this does not send the form again
        browser.wait_for_text(".note.warn", "What you typed and chose is here again")
        assert browser.driver.current_url == f"{browser.url}{cluster}"
        assert browser.find("textarea").get_attribute("value") == "It has a tail."
        browser.open("/ui/classes")
        browser.driver.back()
        browser.wait_for_text("h1", "Tomte: cluster of 3 glitches")
        other.open("/ui/classes")
        assert "Mine_Instead" not in other.find("main").text
        assert other.complaints() == []
    finally:
        other_driver.quit()


@pytest.mark.usefixtures("no_clusters")
def test_members_are_chosen_by_a_loop_and_by_a_quantity(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    members = [glitches[index].id for index in range(1, 40, 3)]
    cluster = flag(service, members)
    browser.open(cluster)
    browser.wait_for_text(".plane .shares", "of the variance")
    count = browser.find(".chosen-count")
    canvas = browser.find(".plane canvas")
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    width, height = canvas.size["width"], canvas.size["height"]
    loop = webdriver.ActionChains(browser.driver).move_to_element_with_offset(
        canvas, -width // 2 + 3, -height // 2 + 3
    )
    loop.click_and_hold()
    for step in ((width // 2, 0), (0, height - 6), (-width // 2, 0), (0, -height + 6)):
        loop.move_by_offset(*step)
    loop.release().perform()
    left = int(count.text.split()[0])
    assert 0 < left < len(members)
    boxes = browser.driver.find_elements(By.CSS_SELECTOR, "input[name=member]:checked")
    assert len(boxes) == left

    browser.find("body").send_keys("b")
    assert browser.focused().get_attribute("id") == "rule-by"
    browser.press("S", "N")  # SNR, not the second component
    browser.press(Keys.TAB, Keys.TAB, *[Keys.PAGE_DOWN] * 4)
    least = float(browser.find("#rule-value").text)
    loud = sum((glitches[index].snr or 0) >= least for index in range(1, 40, 3))
    assert count.text == f"{loud} chosen"
    browser.find("h1").click()
    browser.press("s")
    browser.wait_for_text("h1", f"Cluster of {len(members) - loud} glitches")


def send_after_the_session(browser: Browser, service: Service, act: str, page: str) -> None:
    """Send a form after the session has ended, log in, and wait until the input is restored."""
    browser.driver.delete_all_cookies()
    browser.find(f"button[value={act}]").click()
    browser.wait_for("/ui/login")
    browser.find("#token").send_keys(service.tokens["reviewer"], Keys.ENTER)
    browser.wait_for(page)
    browser.wait_for_text("#review ~ *, .note.warn", "What you typed and chose is here again")


@pytest.mark.usefixtures("no_clusters")
def test_typed_text_survives_the_end_of_the_session(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    cluster = flag(service, [glitches[index].id for index in UNLABELLED])
    browser.open(cluster)
    browser.find(".card input[name=member]").click()
    browser.find("textarea").send_keys("Seen at night.")
    browser.find("#new_class").send_keys("Night_Owl")
    send_after_the_session(browser, service, "promote", cluster)
    assert browser.find("textarea").get_attribute("value") == "Seen at night."
    assert browser.find("#new_class").get_attribute("value") == "Night_Owl"
    assert browser.find(".chosen-count").text == "1 chosen"


def test_a_description_outlives_the_session(browser: Browser, service: Service) -> None:
    """A typed description is restored after a login, although the page fills in its field."""
    browser.open("/ui/classes/Blip")
    page = urlsplit(browser.driver.current_url).path
    browser.find("#description").send_keys(" Seen at night.")
    send_after_the_session(browser, service, "describe", page)
    typed = browser.find("#description").get_attribute("value")
    assert typed is not None
    assert typed.endswith(" Seen at night.")


def test_any_form_outlives_the_session(browser: Browser, service: Service) -> None:
    """Text and checkboxes are restored after a login; after a successful send nothing is kept."""
    browser.open("/ui/glitches?ifo=H1")
    for box in browser.driver.find_elements(By.CSS_SELECTOR, "input[name=member]")[:2]:
        box.click()
    browser.find("#class_name").send_keys("Tomte")
    send_after_the_session(browser, service, "label", "/ui/glitches?ifo=H1")
    assert browser.find("#chosen-count").text == "2 chosen"
    assert browser.find("#class_name").get_property("value") == "Tomte"
    browser.find("button[value=label]").click()
    browser.wait_for_text(".note.good", "label")
    browser.find(".note.good button").click()
    browser.wait_for_text(".note.good", "Undone")
    browser.open("/ui/glitches?ifo=H1")
    assert browser.find("#chosen-count").text.startswith("None chosen")
    assert browser.find("#class_name").get_property("value") == ""


@pytest.mark.usefixtures("no_clusters")
def test_going_back_after_a_decision_shows_the_decision(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    with make_session_factory(service.engine).begin() as session:
        run = store_run(session)
        for members in (UNLABELLED, (11, 31)):
            store_cluster(session, run, [glitches[index].id for index in members])
    browser.open("/ui/clusters")
    browser.find(".group a.cover").click()
    browser.find("textarea").send_keys("Known to the site.")
    browser.find("button[value=dismiss]").click()
    browser.wait_for_text(".note.good", "The cluster was dismissed")
    browser.driver.back()
    browser.wait_for_text(".head .badge", "dismissed")
    browser.wait_for_text(".chosen-count", "0 chosen")  # the page's scripts have run
    assert browser.driver.find_elements(By.CSS_SELECTOR, ".note.warn") == []


def test_four_windows_at_a_glance_and_pictures_that_blink(
    browser: Browser, glitches: list[GlitchRecord]
) -> None:
    browser.open(f"/ui/glitches/{glitches[1].id}")
    card = browser.find(".card a.cover")
    webdriver.ActionChains(browser.driver).move_to_element(card).perform()
    waiting(browser.driver).until(
        lambda driver: driver.execute_script(
            "const glance = document.querySelector('#glance');"
            "return !glance.hidden && glance.querySelector('img').naturalWidth === 924"
        )
    )
    browser.press(Keys.ESCAPE)
    assert not browser.find("#glance").is_displayed()
    browser.driver.execute_script("arguments[0].focus()", card)
    browser.press("w")
    assert browser.find("#glance").is_displayed()
    browser.press("w", "v", "v")
    assert browser.driver.current_url.endswith("?show=residual#sights")
    waiting(browser.driver).until(
        lambda driver: driver.execute_script(
            "return performance.getEntriesByType('resource').filter((entry) =>"
            "entry.name.includes('/residual/') && entry.responseStatus === 200).length === 4"
        )
    )
    assert browser.find(".scale-of[data-scale=residual]").is_displayed()
    assert not browser.find(".scale-of[data-scale=energy]").is_displayed()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (800, "light"), (390, "dark")])
@pytest.mark.usefixtures("no_clusters")
def test_review_is_accessible_and_fits(
    *, browser: Browser, service: Service, glitches: list[GlitchRecord], width: int, scheme: str
) -> None:
    cluster = flag(service, [glitches[index].id for index in range(1, 40, 3)])
    browser.look(width, scheme)
    for path, ready in (
        ("/ui/clusters", ".group"),
        (cluster, ".plane .shares"),
        (f"{cluster}/seen-before", "#seen-before"),
        (f"/ui/glitches/{glitches[1].id}?show=residual&ifo=H1", ".traversal"),
    ):
        browser.open(path)
        browser.wait_until_found(ready)
        if path == cluster:
            way, form = (browser.find(one) for one in (".to-decision", "form#review"))
            browser.wait_for_text(".plane .shares", "of the variance")
            browser.wait_for_text(".later", "like the medoid")
        time.sleep(0.1)  # until new content is laid out
        assert min_text_px(browser) >= 9, (path, width)
        assert_accessible(browser, path)
        if path == cluster and width <= 1000:  # the link hides while the form is visible
            assert_shown_beside(browser, way, form)
        if path == cluster and width > 1000:
            assert_stays_in_sight(browser, form)


def assert_stays_in_sight(browser: Browser, form: WebElement) -> None:
    """Assert that the form stays visible while scrolling, in a column without a scroll bar."""
    assert browser.driver.execute_script(
        "scrollTo(0, document.body.scrollHeight); const at = arguments[0].getBoundingClientRect();"
        "const side = arguments[0].closest('.side');"
        "return scrollY > 100 && at.top >= 0 && at.bottom <= innerHeight"
        " && side.scrollHeight <= side.clientHeight",
        form,
    )


def min_text_px(browser: Browser) -> float:
    """Return the displayed size of the smallest SVG text, as drawings shrink with the page."""
    return float(
        browser.driver.execute_script(
            "return Math.min(99, ...[...document.querySelectorAll('svg text')]"
            ".filter((text) => text.getBoundingClientRect().width)"
            ".map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"
        )
    )


def assert_shown_beside(browser: Browser, way: WebElement, form: WebElement) -> None:
    for place, is_shown in ((browser.find(".pager, #seen"), True), (form, False)):
        browser.driver.execute_script("arguments[0].scrollIntoView()", place)
        waiting(browser.driver).until(lambda _, is_shown=is_shown: way.is_displayed() is is_shown)


def test_every_key_of_a_class(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    with service.client("admin") as client:
        for name in ("Key_Class", "Other_Class"):
            made = client.post("/classes", json={"name": name, "description": "A story's."})
            assert made.status_code == 201
        for index in UNLABELLED:
            address = f"/glitches/{glitches[index].id}/labels"
            assert client.post(address, json={"label": "Key_Class"}).status_code == 201
        known = {one["name"]: one["id"] for one in client.get("/classes").json()["items"]}
    browser.log_in("admin")
    browser.open(f"/ui/classes/{known['Key_Class']}")

    def last_act(text: str) -> None:
        browser.wait_for_text(".history li:first-child", text)

    for key, place in (("p", "parent"), ("m", "into"), ("e", "description"), ("c", "text")):
        browser.find("h1").click()
        browser.press(key)
        assert browser.focused().get_attribute("id") == place
    browser.press(
        "No reason.", Keys.TAB, "d"
    )  # a letter typed in a field is not a shortcut, on a button it is
    last_act("Marked it dormant")
    assert "No reason." in browser.find(".history li:first-child").text
    for key, sentence in (
        ("a", "Reactivated it"),
        ("R", "Retired it"),
        ("R", "Reactivated it"),
        ("u", "Undid “reactivated it”"),
        ("r", "Redid “reactivated it”"),
    ):
        browser.press(key)
        last_act(sentence)
    tab_to(browser, ".card:has(input[name=member]) a.cover")
    browser.press("x", "s")
    last_act("Chose 1 exemplar")
    browser.press("n")
    browser.press("Renamed_Class", Keys.ENTER)
    browser.wait_for_text("h1", "Renamed_Class")
    browser.press("p")
    browser.press("Other_Class", Keys.ENTER)
    last_act("Made it a sub-class of Other_Class")
    browser.press("u")
    last_act("Undid")
    browser.press("m")
    browser.press("Other_Class", Keys.ENTER)
    last_act("Merged it into Other_Class (3 glitches)")
    browser.press("u")
    last_act("Undid “merged it")

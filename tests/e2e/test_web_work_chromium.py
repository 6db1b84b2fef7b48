"""Uploads, batches, jobs, tokens and label audits in a real Chromium.

The tests cover progress, the keyboard and accessibility.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from api_fixtures import Service, gwosc_hdf5, picture, strain_values
from browser_fixtures import Browser, assert_accessible, assert_fits, chromium, drop
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from web_fixtures import fill_catalogue, service

from app.classes.audit.service import start_audit
from app.core.access import verify_token
from app.core.engine import make_session_factory
from app.glitches.labels import append_label, revoke_labels
from app.glitches.records import GlitchRecord
from worker.runner import JobRunner

__all__ = ["chromium", "service"]

LOOKS = ((1440, "dark"), (800, "light"), (390, "dark"))  # each width once


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[GlitchRecord]:
    """Store and audit a catalogue with one label that its neighbours contradict."""
    made = fill_catalogue(service)
    with make_session_factory(service.engine)() as session:
        author = verify_token(session, service.tokens["reviewer"])
        append_label(session, made[2].id, "Whistle", author=author)
        job = start_audit(session, principal=author, n_voters=5).id
        session.commit()
    work(service, job)
    return made


@pytest.fixture
def browser(
    chromium: webdriver.Chrome, service: Service, glitches: list[GlitchRecord]
) -> Iterator[Browser]:
    opened = Browser(chromium, service, "admin")
    opened.complaints()
    yield opened
    assert opened.complaints() == []


def work(service: Service, job: UUID) -> None:
    JobRunner(make_session_factory(service.engine), service.settings).work(job)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.png", content)
    return buffer.getvalue()


def test_the_pages_of_an_empty_installation_fit_a_phone(
    chromium: webdriver.Chrome, service: Service
) -> None:
    """Pages of an empty catalogue fit a phone; this test runs before any glitch is stored."""
    browser = Browser(chromium, service, "admin")
    browser.look(390, "light")
    browser.open("/ui/clusters")
    assert "The catalogue is empty" in browser.find("main").text
    for page in ("clusters", "glitches", "map", "label-audit", "jobs", "digest", "classes"):
        browser.open(f"/ui/{page}")
        assert_fits(browser, page)


def test_a_dropped_batch_is_followed_to_its_end(browser: Browser, service: Service) -> None:
    content = archive(
        **{f"L1_crowd0000{index}_spectrogram_1.0": picture(60 + index) for index in range(3)},
        L1_broken0001_spectrogram_1_0=b"no picture",
    )
    browser.open("/ui/batch")
    drop(browser, "crowd.zip", content)
    assert "crowd.zip" in browser.find(".chosen").text
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for("/ui/jobs/")
    browser.wait_for_text("h1", "Batch: crowd.zip")
    browser.driver.execute_script("window.mark = 1")
    work(service, UUID(browser.driver.current_url.split("/jobs/")[1].partition("?")[0]))
    browser.wait_for_text("#live", "4 of 4: 3 done, 1 failed")
    browser.wait_for_text("#items", "broken0001")  # the failed item, with its reason
    assert browser.find("#job-status").get_attribute("textContent") == "The job is done, 1 failed."
    assert browser.driver.execute_script("return window.mark") == 1  # no reload
    assert browser.find(".job a.button.main").text == "See its glitches"


def test_a_token_is_made_and_revoked_with_the_keyboard(browser: Browser) -> None:
    browser.open("/ui/tokens")
    browser.find("#name").send_keys("Ada Lovelace", Keys.ENTER)
    browser.wait_for_text(".made h2", "The token of Ada Lovelace (reader)")
    assert browser.find("#secret").get_attribute("value").startswith("gd_")
    assert browser.find("button[data-copies]").is_displayed()
    browser.open("/ui/tokens")
    assert browser.driver.find_elements(By.CSS_SELECTOR, "#secret") == []  # shown once
    browser.find("summary[aria-label='Revoke the token of Ada Lovelace']").send_keys(Keys.ENTER)
    browser.press(Keys.TAB)
    assert browser.focused().text == "Revoke it"
    browser.press(Keys.ENTER)
    browser.wait_for_text(".note.good", "The token was revoked.")
    assert "Ada" not in browser.find("table.tokens").text


def test_a_doubted_label_is_mended_with_the_keyboard(
    browser: Browser, glitches: list[GlitchRecord]
) -> None:
    browser.open("/ui/label-audit")
    assert browser.find("h1").text == "1 label in doubt"
    assert "5 of 5 neighbours are Blip" in browser.find(".doubt").text
    added, undone = "The label was added.", "Undone"
    for key, sentence in (("k", "The label is kept"), ("u", undone), ("l", added), ("u", undone)):
        browser.press(key)
        browser.wait_for_text(".note.good", sentence)
    cover = browser.find(".doubt a.cover")
    browser.driver.execute_script("arguments[0].focus()", cover)
    browser.driver.execute_script(  # add a second label in doubt, to move to and back from
        "const li = document.querySelector('.doubt'); li.parentElement.append(li.cloneNode(true))"
    )
    browser.press(Keys.ARROW_RIGHT)
    assert browser.focused() != cover
    browser.press(Keys.ARROW_LEFT)
    assert browser.focused() == cover
    browser.press(Keys.TAB)
    browser.press(Keys.TAB)
    assert browser.focused().text.startswith("Label Blip")
    browser.press(Keys.ENTER)
    browser.wait_for_text(".note.good", "The label was added.")
    assert "No label is in doubt" in browser.find("main").text
    browser.open(f"/ui/glitches/{glitches[2].id}")
    assert browser.find("h1").text == "Blip"


def test_a_decision_far_down_keeps_the_place(
    browser: Browser, service: Service, glitches: list[GlitchRecord]
) -> None:
    far = [glitches[index] for index in (12, 14, 16, 18, 22)]  # Blips of one detector
    with make_session_factory(service.engine)() as session:
        author = verify_token(session, service.tokens["reviewer"])
        labels = [append_label(session, one.id, "Whistle", author=author).id for one in far]
        job = start_audit(session, principal=author, n_voters=5).id
        session.commit()
    work(service, job)
    browser.look(390, "light", height=700)
    browser.open("/ui/label-audit")
    names = "return [...document.querySelectorAll('.doubt a.cover')].map((one) => one.pathname)"
    listed = browser.driver.execute_script(names)
    assert len(listed) >= len(labels)
    third = browser.driver.find_elements(By.CSS_SELECTOR, ".doubt")[2]
    third.find_element(By.CSS_SELECTOR, "button[value=keep]").click()
    places = set()
    for sentence, shown in (("is kept", listed[:2] + listed[3:]), ("Undone", listed)):
        browser.wait_for_text(".note.good", sentence)
        assert browser.driver.execute_script(names) == shown
        focused = browser.focused()
        assert focused.get_attribute("pathname") == shown[2]
        for one in (focused, browser.find(".toast")):
            at = browser.driver.execute_script("return arguments[0].getBoundingClientRect()", one)
            assert 0 <= at["top"] < 700, sentence
        places.add(browser.driver.execute_script("return scrollY"))
        browser.press("u")
    assert len(places) == 1
    assert places != {0}
    with make_session_factory(service.engine)() as session:
        revoke_labels(session, labels, reviewer=author)
        session.commit()


def test_menus_colours_and_keys_need_no_mouse(browser: Browser) -> None:
    browser.look(800, "light")
    browser.open("/ui/jobs")
    more = browser.find("nav details.menu")
    more.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    browser.press(Keys.TAB)
    assert browser.focused().text == "What is new"
    browser.press(Keys.ESCAPE)
    assert more.get_attribute("open") is None
    assert browser.focused().text == "More"
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    light = browser.driver.execute_script(ground)
    browser.find(".who summary").send_keys(Keys.ENTER)
    browser.find(".scheme button[value=dark]").send_keys(Keys.ENTER)
    dark = browser.driver.execute_script(ground)
    assert dark != light
    browser.open("/ui/jobs")
    assert browser.driver.execute_script(ground) == dark  # remembered
    browser.press("?")
    assert browser.find("dialog#keys").is_displayed()
    assert "search box" in browser.find("dialog#keys").text
    browser.press(Keys.ESCAPE)
    assert not browser.find("dialog#keys").is_displayed()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_pages_of_work_are_accessible_and_fit(
    browser: Browser, service: Service, width: int, scheme: str
) -> None:
    """On these pages axe-core finds no violation, and the page does not scroll horizontally."""
    browser.look(width, scheme)
    browser.open("/ui/jobs?kind=label_audit")
    job = browser.find("table.jobs th a").get_attribute("href").removeprefix(service.url)
    paths = ("/ui/jobs", job, "/ui/batch", "/ui/upload", "/ui/tokens", "/ui/label-audit")
    for path in (*paths, "/ui/search?q=lines"):
        browser.open(path)
        assert_accessible(browser, path)
    browser.open("/ui/upload")
    drop(browser, "H1_glance0001_spectrogram_1.0.png", picture(88))
    browser.find("input[name=store]").click()
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for_text("h1", "Shown, not stored")
    assert_accessible(browser, "a look")  # the policy allows its embedded pictures
    browser.driver.delete_all_cookies()
    browser.open("/ui/login?next=/ui/jobs")
    assert_accessible(browser, "the login")


def test_a_dropped_spectrogram_is_answered_with_its_page(browser: Browser) -> None:
    browser.open("/ui/upload")
    drop(browser, "L1_dropped123_spectrogram_1.0.png", picture(77))
    assert "L1_dropped123_spectrogram_1.0.png" in browser.find(".chosen").text
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for("/ui/glitches/")
    assert "Stored" in browser.find(".note.good").text
    browser.driver.refresh()  # the message is shown once and is not in the address
    assert "done" not in browser.driver.current_url
    assert browser.driver.find_elements(By.CSS_SELECTOR, ".note.good") == []
    assert "dropped123" in browser.find("dl.facts").text


def test_a_file_dropped_beside_the_zone_is_chosen_too(browser: Browser) -> None:
    """A file dropped outside the zone is chosen; by default the browser would open the file."""
    browser.open("/ui/upload")
    drop(browser, "L1_beside0001_spectrogram_1.0.png", picture(76), onto="footer")
    assert "L1_beside0001" in browser.find(".chosen").text
    assert "over" not in browser.find(".drop").get_attribute("class")


def test_strain_is_uploaded_and_a_missing_time_is_reported_in_the_form(
    browser: Browser, tmp_path: Path
) -> None:
    strain = tmp_path / "strain.hdf5"
    strain.write_bytes(gwosc_hdf5(strain_values(seed=3)))
    browser.open("/ui/upload")
    browser.find("#files").send_keys(str(strain))
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for_text("#upload-error", "with “GPS time”")
    assert browser.driver.current_url.endswith("/ui/upload")
    assert any("400 (Bad Request)" in line for line in browser.complaints())
    browser.find("#gps_time").send_keys("1187008876.0625")
    browser.find("form.upload button[type=submit]").click()  # the file is still chosen
    browser.wait_for("/ui/glitches/")
    assert "1187008876.0625" in browser.find(".subject").text


def test_a_session_that_ended_leads_an_upload_to_the_login(browser: Browser) -> None:
    browser.open("/ui/upload")
    drop(browser, "L1_late000001_spectrogram_1.0.png", picture(78))
    browser.driver.delete_all_cookies()
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for("/ui/login")


def test_a_body_over_the_limit_is_refused_before_it_is_sent(
    browser: Browser, service: Service
) -> None:
    browser.open("/ui/upload")
    browser.driver.execute_script("document.querySelector('form.upload').dataset.limitBytes = '10'")
    drop(browser, "big.png", picture(79))
    browser.find("form.upload button[type=submit]").click()
    browser.wait_for_text("#upload-error", "larger than")
    browser.driver.execute_script(
        "const field = document.querySelector('#label');"
        "field.value = 'x'.repeat(1_100_000);"
        "field.form.enctype = 'application/x-www-form-urlencoded';"
        "HTMLFormElement.prototype.submit.call(field.form);"
    )
    browser.wait_for_text(".note.bad", "over the limit of 1 MB")  # a page, not JSON
    assert browser.focused().get_attribute("role") == "alert"  # the next Tab goes on from there
    browser.complaints()

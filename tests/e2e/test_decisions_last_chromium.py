"""A split, a merge, a dismissal and two later runs, by hand in Chromium and by script over HTTP.

A worker runs the clusterings. Each detector has two groups of unlabelled glitches. The script
decides about L1 and the reviewer in the browser about H1, and both must get the same results.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from api_fixtures import Service, energy
from browser_fixtures import PATIENCE_S, Browser, chromium, waiting
from doing_jobs import doing_jobs
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from sqlalchemy import select
from web_fixtures import service

from app.classes.tables import GlitchClass
from app.core.engine import make_session_factory
from app.glitches.ingest import insert_glitch
from app.glitches.records import GlitchMetadata
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import active_checkpoint
from glitch.encoder import Encoding
from glitch.views import views_from_images

__all__ = ["chromium", "service"]

KINDS = ((0, 80, "Blip", 0.3), (0, 20, None, 0.3), (1, 30, None, 0.12), (2, 22, None, 0.12))
SPLIT_OFF = 6


@pytest.fixture(scope="module", autouse=True)
def catalogue(service: Service) -> Iterator[None]:
    """Store known glitches and two unlabelled groups in each detector, and run a worker."""
    rng = np.random.default_rng(4)
    with make_session_factory(service.engine).begin() as session:
        checkpoint = active_checkpoint(session)
        blip = session.scalars(select(GlitchClass.id).where(GlitchClass.name == "Blip")).one()
        labelled: list[UUID] = []
        for number, (ifo, (axis, n, label, width)) in enumerate(
            (ifo, kind) for ifo in ("H1", "L1") for kind in KINDS
        ):
            for index in range(n):
                mean = width * rng.standard_normal(checkpoint.latent_size)
                mean[axis] += 3
                made = insert_glitch(
                    session,
                    views=views_from_images({0.5: energy(10 * axis + index % 5)}),
                    encoding=Encoding(
                        mean=mean.astype(np.float32),
                        log_variance=np.zeros(checkpoint.latent_size, dtype=np.float32),
                        reconstruction_error=1.0,
                        kl=1.0,
                    ),
                    checkpoint=checkpoint,
                    metadata=GlitchMetadata(
                        origin="upload",
                        ifo=ifo,
                        gps_time=Decimal(1_240_000_000 + 3600 * (1000 * number + index)),
                        gravityspy_id=f"lasting{number}x{index:03d}",
                    ),
                )
                if label:
                    labelled.append(made.glitch.id)
        session.flush()
        for table, values in ((Glitch, {"class_id": blip}), (Embedding, {"is_reference": True})):
            key = Glitch.id if table is Glitch else Embedding.glitch_id
            session.execute(table.__table__.update().where(key.in_(labelled)).values(**values))
    with doing_jobs(service):
        yield


class ByScript:
    """The steps of the test done by a script with HTTP requests, for L1."""

    ifo = "L1"

    def __init__(self, service: Service, browser: Browser) -> None:
        self.client = service.client("reviewer")
        self.browser = browser

    def run(self) -> None:
        """Cluster the detector's glitches and wait until the job has succeeded."""
        answer = self.client.post("/clusters/runs", json={"ifo": self.ifo, "fdr": 0.05})
        assert answer.status_code == 202, answer.text
        deadline = time.monotonic() + PATIENCE_S
        while (job := self.client.get(f"/jobs/{answer.json()['id']}").json())["state"] in {
            "queued",
            "running",
        }:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
        assert job["state"] == "succeeded", job

    def latest(self) -> dict[str, Any]:
        runs = self.client.get("/clusters/runs").json()["items"]
        return next(one for one in runs if one["ifo"] == self.ifo)

    def clusters(self) -> list[dict[str, Any]]:
        """Return the clusters of the latest run, largest first, without split clusters."""
        found = self.client.get("/clusters", params={"run": self.latest()["id"]}).json()["items"]
        return [one for one in found if one["state"] != "split"]

    def members(self, cluster_id: str) -> set[str]:
        answer = self.client.get(f"/clusters/{cluster_id}/members", params={"limit": 500})
        return {one["glitch"]["id"] for one in answer.json()["items"]}

    def acts(self, cluster_id: str) -> list[dict[str, Any]]:
        items = self.client.get(f"/clusters/{cluster_id}/history").json()["items"]
        return [one for one in items if one["is_in_force"]]

    def split(self, cluster_id: str, members: list[str]) -> str:
        return self._decide(cluster_id, action="split", member_ids=members)

    def merge(self, cluster_id: str, name: str) -> None:
        self._decide(cluster_id, action="merge", class_name=name)

    def dismiss(self, cluster_id: str) -> None:
        self._decide(cluster_id, action="dismiss")

    def _decide(self, cluster_id: str, **fields: Any) -> str:
        last = self.client.get(f"/clusters/{cluster_id}/history").json()["last_event_id"]
        answer = self.client.post(
            f"/clusters/{cluster_id}/review", json={**fields, "last_event_id": last}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["cluster_id"])


class ByHand(ByScript):
    """The same steps done by a reviewer in Chromium, for H1; the results are read over HTTP."""

    ifo = "H1"

    def run(self) -> None:
        before = len(self.client.get("/clusters/runs").json()["items"])
        self.browser.open("/ui/clusters")
        for closed in self.browser.driver.find_elements(
            By.CSS_SELECTOR, "details.filters:not([open]) summary"
        ):
            closed.click()
        Select(self.browser.find("#run-ifo")).select_by_value(self.ifo)
        rate = self.browser.find("#fdr")
        rate.clear()
        rate.send_keys("0.05")
        self.browser.find("form.start button[type=submit]").click()
        waiting(self.browser.driver).until(
            lambda _: len(self.client.get("/clusters/runs").json()["items"]) > before
        )
        # The page reloads when the job ends; wait, so that it does not interrupt the next page.
        waiting(self.browser.driver).until(
            lambda driver: not driver.find_elements(By.CSS_SELECTOR, "[data-follow]")
        )

    def split(self, cluster_id: str, members: list[str]) -> str:
        self.browser.open(f"/ui/clusters/{cluster_id}")
        for one in members:
            self.browser.find(f".card input[value='{one}']").click()
        assert self.browser.find(".chosen-count").text == f"{len(members)} chosen"
        return self._click("split", "The cluster was split. This is the remaining part")

    def merge(self, cluster_id: str, name: str) -> None:
        self.browser.open(f"/ui/clusters/{cluster_id}")
        self.browser.find("#class_name").send_keys(name)
        self._click("merge", "The class is suggested for the members without a label.")

    def dismiss(self, cluster_id: str) -> None:
        self.browser.open(f"/ui/clusters/{cluster_id}")
        self._click("dismiss", "The cluster was dismissed; it stays in the history.")

    def _click(self, act: str, done: str) -> str:
        """Click a decision, wait for its confirmation, and return the id of the cluster shown."""
        self.browser.find(f"button[value={act}]").click()
        self.browser.wait_for_text(".note.good", done)
        return re.split(r"[/?#]", self.browser.driver.current_url.split("/ui/clusters/")[1])[0]


@pytest.fixture
def browser(chromium: webdriver.Chrome, service: Service) -> Iterator[Browser]:
    opened = Browser(chromium, service)
    opened.complaints()
    yield opened
    assert opened.complaints() == []


@pytest.mark.parametrize("side", [ByScript, ByHand])
def test_decisions_by_browser_and_client_survive_later_clusterings(
    side: type[ByScript], service: Service, browser: Browser, request: pytest.FixtureRequest
) -> None:
    teller = side(service, browser)
    request.addfinalizer(teller.client.close)
    teller.run()
    arches, lines = teller.clusters()
    everyone, dismissed = teller.members(arches["id"]), teller.members(lines["id"])
    off = sorted(everyone)[:SPLIT_OFF]
    rest = teller.split(arches["id"], off)
    teller.merge(rest, "Whistle")
    teller.dismiss(lines["id"])
    for _ in range(2):
        teller.run()
        found = {one["state"]: one for one in teller.clusters()}
        assert sorted(found) == ["dismissed", "flagged", "merged"]
        assert len(teller.clusters()) == 3
        assert teller.members(found["flagged"]["id"]) == set(off)
        assert teller.members(found["merged"]["id"]) == everyone - set(off)
        assert teller.members(found["dismissed"]["id"]) == dismissed
        assert found["merged"]["identity"] == arches["identity"]
        assert found["dismissed"]["identity"] == lines["identity"]
        assert [one["kind"] for one in teller.acts(found["merged"]["id"])] == ["split", "merge"]
        assert [one["kind"] for one in teller.acts(found["dismissed"]["id"])] == ["dismiss"]
        run = teller.latest()
        detail = run["detail"]
        assert f"{run['n_flagged']} of {run['n_judged']} unlabelled glitches are novel" in detail
        assert "3 clusters were found among them." in detail
        kept = len(everyone) - SPLIT_OFF
        assert f"stay separate: {kept} and {SPLIT_OFF} glitches." in detail
        assert "now has" not in detail  # no new members

    # The pages show the same, whichever side decided.
    browser.open(f"/ui/clusters?run={run['id']}&state=all")
    states = browser.find("nav[aria-label=State]").text
    assert [int(n) for n in re.findall(r"\d+", states)] == [1, 0, 1, 1, 3]
    changes = browser.find(".changes").text
    assert changes.startswith("3 as large as before\nsince they were last found;")
    cards = browser.find(".groups").text
    for wrong in ("new in this clustering", "grew", "shrank", "joined", "not found"):
        assert wrong not in cards
    assert f"Whistle, {kept} glitches" in cards
    for state, heading, sentences in (
        (
            "merged",
            f"Whistle: cluster of {kept} glitches",
            ["Merged it into Whistle", "Split off 6"],
        ),
        ("dismissed", f"Cluster of {len(dismissed)} glitches", ["Dismissed it"]),
        (
            "flagged",
            f"Cluster of {SPLIT_OFF} glitches",
            ["A reviewer split it off from a larger one; nobody has decided"],
        ),
    ):
        browser.open(f"/ui/clusters/{found[state]['id']}")
        assert browser.find("h1").text == heading
        page = browser.find("main").text
        assert "as large as before" in page
        assert "earlier state of the cluster" not in page
        assert all(one in page for one in sentences)
        is_open = state == "flagged"
        assert ("1 of 1 to review" if is_open else "1 to review") in page
        assert (f"{kept} suggested labels wait" in page) == (state == "merged")
        assert bool(browser.driver.find_elements(By.CSS_SELECTOR, "[value=dismiss]")) == is_open


def test_revoked_labels_flag_members_again_and_a_merged_class_renames_its_clusters(
    service: Service, browser: Browser, request: pytest.FixtureRequest
) -> None:
    """Members whose labels are revoked are flagged again; a merged class renames its clusters.

    This continues from the previous test: the suggested labels of the L1 cluster are accepted.
    """
    teller = ByScript(service, browser)
    request.addfinalizer(teller.client.close)
    [named] = [one for one in teller.clusters() if one["state"] == "merged"]
    teller._decide(named["id"], action="accept")
    first, second = sorted(teller.members(named["id"]))[:2]
    for one in (first, second):
        [label] = teller.client.get(f"/glitches/{one}/labels").json()["items"]
        assert teller.client.delete(f"/glitches/{one}/labels/{label['id']}").status_code == 200
    browser.open(f"/ui/clusters/{named['id']}")
    assert (
        "2 members no longer have a label, and none is suggested. From "
        "the next clustering on they wait for review."
    ) in browser.find("main").text
    teller.run()
    waiting_now = [one for one in teller.clusters() if one["state"] == "flagged"]
    [again] = [one for one in waiting_now if one["size"] == 2]
    assert teller.members(again["id"]) == {first, second}
    browser.open(f"/ui/clusters/{again['id']}")
    page = browser.find("main").text
    assert "that is Whistle. Their labels were revoked, so they wait for review." in page
    assert "lost their labels in a decided cluster later" in page
    admin = service.client("admin")
    request.addfinalizer(admin.close)
    last = admin.get("/classes/Whistle/history").json()["last_event_id"]
    merge = {"action": "merge", "into": "Koi_Fish", "last_event_id": last}
    answer = admin.post("/classes/Whistle/changes", json=merge)
    assert answer.status_code == 409, answer.text  # suggestions for H1 still wait
    assert "suggested labels Whistle wait" in answer.json()["detail"]
    other = ByHand(service, browser)
    request.addfinalizer(other.client.close)
    [merged] = [one for one in other.clusters() if one["state"] == "merged"]
    other._decide(merged["id"], action="accept")
    admin.post("/classes/Whistle/changes", json=merge).raise_for_status()
    for one in (named, merged):
        browser.open(f"/ui/clusters/{one['id']}")
        assert browser.find("h1").text.startswith("Koi_Fish: cluster of ")
    browser.open(f"/ui/clusters/{again['id']}")
    assert "that is Koi_Fish. Their labels were revoked" in browser.find("main").text

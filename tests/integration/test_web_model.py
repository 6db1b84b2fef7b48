"""What the model says about a glitch and a cluster, on the pages, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from uuid import UUID

import h5py
import numpy as np
import pytest
from api_fixtures import Service, energy
from cluster_helpers import store_cluster, store_run
from PIL import Image
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session
from web_fixtures import Walker, glitches, service

from app.clusters.tables import Cluster, ClusteringRun, LabelSuggestion, ReviewEvent
from app.core.engine import make_session_factory
from app.glitches.records import GlitchRecord
from glitch.images import read_views
from glitch.views import Preprocessing

__all__ = ["glitches", "service"]


@pytest.fixture(scope="module")
def reviewer(service: Service) -> Iterator[Walker]:
    with Walker(service, "reviewer") as walker:
        yield walker


@pytest.fixture
def session(service: Service) -> Iterator[Session]:
    with make_session_factory(service.engine)() as session:
        yield session
        session.rollback()
        for table in (LabelSuggestion, Cluster, ClusteringRun):
            session.execute(delete(table))
        session.execute(delete(ReviewEvent))
        session.commit()


def cluster_of(session: Session, glitches: list[GlitchRecord], run: ClusteringRun) -> Cluster:
    return store_cluster(session, run, [one.id for one in glitches[1:40:4]])


def test_the_four_panels_show_what_is_asked_for(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    own = f"/ui/glitches/{glitches[1].id}"
    for show, scale in (("views", "25.5"), ("reconstruction", "25.5"), ("residual", "+10.2")):
        page = reviewer.get(f"{own}?show={show}")
        pictures = [image for image in page.images if f"/{show}/" in image and "glitches" in image]
        assert pictures == [f"{own}/{show}/{length}.png" for length in ("0.5", "1", "2", "4")]
        assert scale in page.text
        for picture in pictures[:2]:
            answer = reviewer.client.get(picture)
            assert answer.headers["content-type"] == "image/png"
    assert f"{own}/views/1.png" in reviewer.get(f"{own}?show=nonsense").images
    assert "simulated class" not in page.text
    predicted = reviewer.get(f"/ui/glitches/{glitches[55].id}")
    assert "Most probable simulated class: Tomte , 55 %" in predicted.text
    assert "/ui/glitches?simulated=Tomte" in predicted.links
    simulated = reviewer.get(f"/ui/glitches/{glitches[56].id}")
    assert "simulated class" not in simulated.text  # it says nothing of what the model was shown
    lone = reviewer.get(f"/ui/glitches/{glitches[0].id}?show=residual&ifo=H1")
    assert lone.status == 200
    assert "No 4 s view" in lone.text
    assert "not in the upload" in lone.text
    missing = reviewer.get(f"/ui/glitches/{glitches[0].id}/residual/4.png")
    assert missing.status == 404
    assert "it has views of 0.5 s" in missing.alerts[0]


def test_the_latents_of_a_glitch_have_strips(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[1].id}")
    strips = [image for image in page.images if "/traversals/" in image]
    assert len(strips) == 4
    assert "It carries " in page.text
    assert "Compared with 44 other glitches. Active latents of the model: 8;" in page.text
    first = reviewer.client.get(strips[0])
    assert Image.open(BytesIO(first.content)).size == (920, 104)
    again = reviewer.client.get(strips[0], headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("ifo=H1", 200, "narrowed"),
        ("label=Blip", 200, "narrowed"),
        ("snr_min=60", 200, "narrowed"),
        ("simulated=Tomte", 200, "narrowed"),
        ("label=Scattered_Light", 200, "No glitch passes these filters"),
        ("snr_min=loud", 400, "is not a number"),
        ("label=Nonsense", 400, "no class"),
        ("start=yesterday", 400, "is not a time"),
        ("confidence_min=0.5", 200, "No glitch passes these filters"),
    ],
)
def test_neighbours_are_looked_for_among_some(
    *, reviewer: Walker, glitches: list[GlitchRecord], query: str, status: int, sentence: str
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[1].id}?{query}")
    assert page.status == status
    assert sentence in page.text
    near = {
        one.id: one
        for one in glitches
        if one.id != glitches[1].id and f"/ui/glitches/{one.id}" in page.links
    }
    if query == "simulated=Tomte":
        assert set(near) == {one.id for one in glitches[50:]}
    if query == "ifo=H1":
        assert {one.ifo for one in near.values()} == {"H1"}
    if query == "snr_min=60":
        assert len(near) == 8
        assert min(one.snr or 0 for one in near.values()) >= 60
    if status == 400 or "Scattered" in query:
        assert not near


def test_a_glitch_as_hdf5_reads_back(
    service: Service, reviewer: Walker, glitches: list[GlitchRecord], tmp_path: Path
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[1].id}")
    assert f"{service.url}/ui/glitches/{glitches[1].id}" in page.response.text  # a link to share
    (link,) = [one for one in page.links if one.endswith(".h5")]
    path = tmp_path / "glitch.h5"
    path.write_bytes(reviewer.client.get(link).content)
    views = read_views(path, path.name, Preprocessing())
    assert views.durations_s == (0.5, 1.0, 2.0, 4.0)
    np.testing.assert_allclose(views.view(1.0), energy(2), atol=1 / 255)
    with h5py.File(path) as file:
        assert file.attrs["gravityspy_id"] == "walker0001"
        assert file.attrs["gps_time"] == "1200001000.25"
        assert file["embedding/mean"].shape == (8,)


def test_the_windows_of_a_card_are_one_picture(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    answer = reviewer.client.get(f"/ui/glitches/{glitches[0].id}/windows.png")
    drawn = np.asarray(Image.open(BytesIO(answer.content)).convert("RGB")).astype(int)
    assert drawn.shape == (186, 4 * 232 - 4, 3)
    assert np.ptp(drawn[:, :228]) > 100  # the window of 0.5 s is drawn
    absent = drawn[:, 2 * 232 : 2 * 232 + 228]  # 2 s is absent: two greys
    assert {tuple(colour) for colour in absent.reshape(-1, 3)} == {(158,) * 3, (120,) * 3}


def test_a_cluster_shows_what_distinguishes_it(
    reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    cluster = cluster_of(session, glitches, store_run(session))
    session.commit()
    page = reviewer.get(f"/ui/clusters/{cluster.id}")
    assert "standard deviations" in page.text
    assert len([image for image in page.images if "/traversals/" in image]) == 4
    for kind in ("views", "reconstruction", "residual"):
        (picture,) = [image for image in page.images if f"/{kind}/" in image]
        assert str(cluster.medoid_id) in picture
        assert reviewer.client.get(picture).status_code == 200
    plane = reviewer.client.get(f"/ui/clusters/{cluster.id}/plane.json").json()
    assert len(plane["ids"]) == len(plane["x"]) == len(plane["snr"]) == 10
    assert reviewer.client.get(f"/ui/clusters/{UUID(int=3)}/plane.json").status_code == 404


def test_members_chosen_by_eye_are_split_off(
    reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    cluster = cluster_of(session, glitches, store_run(session))
    session.commit()
    page = reviewer.get(f"/ui/clusters/{cluster.id}")
    ids = [str(one.id) for one in glitches[1:40:4]]
    bad = reviewer.submit(page, "/review", act="split", also="nonsense")
    assert (bad.status, "choose them again" in bad.alerts[0]) == (400, True)
    # Two from checkboxes and three from ``also``, one of them in both.
    done = reviewer.submit(page, "/review", act="split", member=ids[:2], also=" ".join(ids[1:4]))
    assert "Cluster of 6 glitches" in done.text


def test_a_conflict_keeps_what_the_second_reviewer_typed_and_chose(
    reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    cluster = cluster_of(session, glitches, store_run(session))
    session.commit()
    page = reviewer.get(f"/ui/clusters/{cluster.id}")
    ids = [str(one.id) for one in glitches[1:40:4]]
    reviewer.submit(page, "/review", act="merge", class_name="Whistle")
    late = reviewer.submit(
        page, "/review", act="promote", new_class="Mine", text="Why.", member=ids[:2]
    )
    assert late.status == 409
    assert "reviewer: merged it into Whistle" in late.alerts[0]
    assert 'value="Mine"' in late.response.text
    assert "Why." in late.text
    assert late.response.text.count(" checked>") == 2
    assert "merged" in late.text  # the page is as the first reviewer left it


def test_a_cluster_of_a_former_model_says_so(
    service: Service, reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    run = store_run(session)
    cluster = cluster_of(session, glitches, run)
    # As if the run had used another model, whose vectors are gone.
    other = session.execute(
        text(
            "INSERT INTO checkpoint (name, digest, preprocessing_digest, latent_size, manifest) "
            "VALUES ('former', repeat('a', 64), repeat('b', 64), 8, '{}') RETURNING id"
        )
    ).scalar_one()
    session.execute(update(ClusteringRun).values(checkpoint_id=other))
    session.commit()
    try:
        page = reviewer.get(f"/ui/clusters/{cluster.id}")
        assert page.status == 200
        assert "The model former found this cluster; tiny is active now" in page.text
        split = reviewer.submit(page, "/review", act="split", member=str(glitches[1].id))
        assert split.status == 409
        assert "has not embedded all of these glitches: cluster again" in split.alerts[0]
        assert (
            "Named the new class"
            in reviewer.submit(page, "/review", act="promote", new_class="From_Former").text
        )
    finally:
        session.execute(delete(Cluster))
        session.execute(delete(ClusteringRun))
        session.execute(text("DELETE FROM checkpoint WHERE id = :id"), {"id": other})
        session.commit()


def test_changes_since_the_previous_run_are_shown(
    reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    before = store_run(session)
    kept = cluster_of(session, glitches, before)
    store_cluster(session, before, [one.id for one in glitches[2:40:4]])
    session.commit()
    assert "the first clustering of its kind" in reviewer.get("/ui/clusters").text
    run = store_run(session)
    run.previous_run_id = before.id
    grown = store_cluster(
        session, run, [one.id for one in glitches[1:48:4]], identity=kept.identity
    )
    grown.summary = {**grown.summary, "previous_size": 10}
    fresh = store_cluster(session, run, [one.id for one in glitches[3:20:4]])
    session.commit()
    page = reviewer.get("/ui/clusters")
    assert "1 new 1 grew since they were last found; the previous clustering is of" in page.text
    assert "of its clusters 1 not found again" in page.text
    only = reviewer.get("/ui/clusters?change=new")
    shown = [link for link in only.links if link.startswith("/ui/clusters/")]
    assert shown == [f"/ui/clusters/{fresh.id}"]
    empty = store_run(session)
    empty.previous_run_id = run.id
    session.commit()
    text = reviewer.get("/ui/clusters").text
    assert "The previous clustering is of" in text
    assert "since they were last found" not in text
    assert reviewer.get("/ui/clusters?change=odd").status == 400


def test_a_form_of_a_session_that_ended_leads_back_to_its_page(
    service: Service, glitches: list[GlitchRecord], session: Session
) -> None:
    cluster = cluster_of(session, glitches, store_run(session))
    session.commit()
    own = f"/ui/clusters/{cluster.id}"
    with Walker(service, "reviewer") as walker:
        walker.client.cookies.clear()
        sent = {"act": "dismiss", "csrf": "x"}
        answer = walker.client.post(
            f"{own}/review",
            data=sent,
            headers={"Referer": f"{service.url}{own}"},
            follow_redirects=False,
        )
        assert answer.headers["location"] == (
            f"/ui/login?next={own.replace('/', '%2F')}&done=unsent"
        )
        foreign = walker.client.post(
            f"{own}/review",
            data=sent,
            headers={"Referer": f"http://elsewhere.example{own}"},
            follow_redirects=False,
        )
        assert foreign.headers["location"] == "/ui/login?next=%2Fui%2F&done=unsent"


def test_a_cluster_shows_when_similar_glitches_occurred(
    reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    cluster = cluster_of(session, glitches, store_run(session))
    session.commit()
    own = f"/ui/clusters/{cluster.id}"
    assert f"{own}/seen-before" in reviewer.get(own).links
    page = reviewer.get(f"{own}/seen-before")
    assert "like the medoid of this cluster, whether labelled or not" in page.text
    assert "one bar is" in page.text
    assert "O3a" in page.text
    assert "of 45" in page.text  # all measured glitches are in one run
    assert reviewer.get(f"/ui/clusters/{UUID(int=3)}/seen-before").status == 404


def test_the_catalogue_and_a_cluster_are_exported_from_their_pages(
    reviewer: Walker, glitches: list[GlitchRecord], session: Session
) -> None:
    cluster = cluster_of(session, glitches, store_run(session))
    session.commit()
    links = [
        link
        for link in reviewer.get(f"/ui/clusters/{cluster.id}").links
        if link.startswith("/ui/exports")
    ]
    assert len(links) == 3
    lines = reviewer.client.get(links[0]).text.splitlines()
    assert len(lines) == 11
    assert all(f"walker{index:04d}" in "".join(lines) for index in range(1, 40, 4))
    with h5py.File(BytesIO(reviewer.client.get(links[1]).content)) as file:
        assert len(file["triggers"]) == 10
    assert reviewer.client.get(links[2]).text.startswith("<?xml")
    narrowed = reviewer.get("/ui/glitches?ifo=H1&snr_min=60")
    (link,) = [one for one in narrowed.links if "format=csv" in one]
    assert len(reviewer.client.get(link).text.splitlines()) == 5
    assert reviewer.get("/ui/exports?snr_min=loud").status == 400
    assert reviewer.get("/ui/exports?format=exe").status == 400

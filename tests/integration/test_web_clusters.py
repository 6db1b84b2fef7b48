"""The review pages of clusters, as a browser without scripts sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from api_fixtures import Service
from cluster_helpers import store_cluster, store_run
from sqlalchemy import delete, update
from web_fixtures import Page, Walker, glitches, service

from app.clusters.tables import Cluster, ClusteringRun, LabelSuggestion, ReviewEvent
from app.core.engine import make_session_factory
from app.digest.service import digest
from app.glitches.records import GlitchRecord
from app.jobs.service import list_jobs

__all__ = ["glitches", "service"]


@pytest.fixture
def clusters(service: Service, glitches: list[GlitchRecord]) -> Iterator[list[UUID]]:
    """A cluster of the six unlabelled glitches, and a less significant one of labelled ones."""
    with make_session_factory(service.engine)() as session:
        run = store_run(session)
        unlabelled = [one.id for one in glitches[::10]]
        labelled = [one.id for one in glitches[1:5]]
        made = [
            store_cluster(session, run, unlabelled).id,
            store_cluster(session, run, labelled, significance=0.2).id,
        ]
        session.commit()
    yield made
    with make_session_factory(service.engine)() as session:
        for table in (LabelSuggestion, Cluster, ClusteringRun):
            session.execute(delete(table))
        session.execute(delete(ReviewEvent).where(ReviewEvent.undoes_event_id.is_not(None)))
        session.execute(delete(ReviewEvent))
        session.commit()


@pytest.fixture
def reviewer(service: Service) -> Iterator[Walker]:
    with Walker(service, "reviewer") as walker:
        yield walker


def decide(walker: Walker, page: Page, act: str, **values: object) -> Page:
    return walker.submit(page, "/review", act=act, **values)


def test_without_a_run_the_page_says_how_to_start_one(
    service: Service, reviewer: Walker, request: pytest.FixtureRequest
) -> None:
    assert "The catalogue is empty, so there is nothing" in reviewer.get("/ui/clusters").text
    request.getfixturevalue("glitches")
    page = reviewer.get("/ui/clusters")
    assert "No clustering has been run yet" in page.text
    bad = reviewer.submit(page, "/clusters/runs", fdr="7")
    assert bad.status == 400
    assert bad.alerts
    assert "as a number" in reviewer.submit(page, "/clusters/runs", fdr="loud").alerts[0]
    bad = reviewer.submit(page, "/clusters/runs", dormant_days="0", everything="yes")
    assert "dormant_days must lie between 1 and" in bad.alerts[0]
    assert bad.form("/clusters/runs").fields["dormant_days"] == "0"
    with Walker(service, "reader") as reader:
        assert "Your role may look but not start one" in reader.get("/ui/clusters").text
    started = reviewer.submit(
        page, "/clusters/runs", fdr="0.2", everything="yes", dormant_days="30"
    )
    with service.client("reader") as client:
        parameters = client.get("/jobs").json()["items"][0]["parameters"]
    assert (parameters["scope"], parameters["dormant_days"]) == ("everything", 30)
    assert "Its clusters appear here by themselves." in started.text


def test_an_address_in_a_comment_is_a_link_and_nothing_else_is(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    where = f"/ui/clusters/{clusters[0]}"
    safe = "https://alog.example.org/?id=7&from=L1"
    text = f'See {safe} or javascript:alert(1) <a href="http://evil.example">x</a> data:text/html,x'
    page = decide(reviewer, reviewer.get(where), "comment", text=text)
    html = page.response.text
    assert text in page.text  # as typed, without any markup from it
    away = [link for link in page.links if not link.startswith(("/", "#", "?"))]
    assert away[0] == safe
    assert all(link.startswith(("https://", "http://")) for link in away)
    for link in away:
        (tag,) = re.findall(rf'<a href="{re.escape(link.replace("&", "&amp;"))}"[^>]*>', html)
        assert 'rel="nofollow noopener noreferrer"' in tag


def test_a_page_behind_the_last_says_so(reviewer: Walker, clusters: list[UUID]) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}?page=500")
    assert "The list ends with page 1" in page.text
    assert "First page" in page.text


def test_clusters_are_ranked_by_significance(reviewer: Walker, clusters: list[UUID]) -> None:
    page = reviewer.get("/ui/clusters")
    assert "2 clusters to review" in page.text
    hrefs = [link for link in page.links if link.startswith("/ui/clusters/")]
    assert hrefs == [f"/ui/clusters/{one}" for one in clusters]
    assert len([image for image in page.images if "/cards/" in image]) == 6
    assert "nearest known" in page.text
    assert "new in this clustering" in page.text


def test_clusters_of_a_run_that_says_nothing_are_shown(
    service: Service, reviewer: Walker, clusters: list[UUID]
) -> None:
    with make_session_factory(service.engine).begin() as session:
        session.execute(update(ClusteringRun).values(findings=[]))
    assert "2 clusters to review" in reviewer.get("/ui/clusters").text


def test_clusters_that_wait_in_another_run_are_named(
    service: Service, reviewer: Walker, clusters: list[UUID], glitches: list[GlitchRecord]
) -> None:
    """A clustering of one detector does not hide clusters of all detectors left to review."""
    sentence = "Clusters of other clusterings wait too"
    assert sentence not in reviewer.get("/ui/clusters").text
    with make_session_factory(service.engine).begin() as session:
        run = store_run(session)
        run.ifo = "H1"
        store_cluster(session, run, [glitches[0].id])
        before = session.get_one(Cluster, clusters[0]).run_id
        later = run.id
    page = reviewer.get("/ui/clusters")
    assert "1 cluster to review" in page.text
    assert f"{sentence}: 2 of all detectors." in " ".join(page.text.split()).replace(" .", ".")
    assert f"/ui/clusters?run={before}" in page.links
    assert "1 of H1" in reviewer.get(f"/ui/clusters?run={before}").text
    with make_session_factory(service.engine).begin() as session:
        session.delete(session.get_one(ClusteringRun, later))


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("min_size=5", 200, "1 cluster to review"),
        ("ifo=H1", 200, "2 clusters to review"),
        ("ifo=I1", 200, "0 clusters to review"),  # uploads may have it
        ("ifo=V1", 200, "No cluster of this clustering passes"),
        ("start=1200050000", 200, "1 cluster to review"),
        ("end=2018-01-14", 200, "2 clusters to review"),
        ("observing_run=between O2 and O3a", 200, "2 clusters to review"),
        ("observing_run=O3a", 200, "No cluster of this clustering passes"),
        ("observing_run=O3b", 200, "No cluster of this clustering passes"),
        ("observing_run=O9", 400, "is not an observing run"),
        ("observing_run=O3a&start=2024-05-24", 400, "outside of O3a"),
        ("start=1200050000&end=1200000000", 400, "ends before it begins"),
        ("state=dismissed", 200, "0 clusters: dismissed"),
        ("state=all", 200, "2 clusters"),
        ("state=odd", 400, "no such state"),
        ("min_size=x", 400, "whole number"),
        ("start=yesterday", 400, "is not a time"),
        ("run=7", 400, "no such clustering"),
        ("page=0", 400, "invalid value of “page”"),
        ("page=500", 200, "The list ends with page 1"),
        ("ifo=" + "x" * 100, 400, "too long"),
    ],
)
def test_filters_of_clusters(
    reviewer: Walker, clusters: list[UUID], query: str, status: int, sentence: str
) -> None:
    page = reviewer.get(f"/ui/clusters?{query}")
    assert page.status == status
    assert ("Clear all filters" in page.text) == ("passes these filters" in page.text)
    assert sentence in page.text


def test_a_cluster_is_named_shown_accepted_and_undone(
    service: Service, reviewer: Walker, clusters: list[UUID], glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}")
    assert "Cluster of 6 glitches" in page.text
    for part in ("Nearest known classes", "Times of", "SNR", "Peak frequency"):
        assert part in page.text
    named = decide(reviewer, page, "promote", new_class="Odd_Whistle", text="Seen at night.")
    assert "Odd_Whistle: cluster of 6 glitches" in named.text
    assert named.text.count("suggested: Odd_Whistle") == 6
    assert "Named the new class Odd_Whistle" in named.text
    assert "Seen at night." in named.text
    assert "Odd_Whistle" in reviewer.get("/ui/classes").text
    assert "not accepted yet: Odd_Whistle" in reviewer.get(f"/ui/glitches/{glitches[0].id}").text
    with service.client("reviewer") as client:
        last = client.get("/classes/Odd_Whistle/history").json()["last_event_id"]
        rename = {"action": "rename", "name": "Whistle_Odd", "last_event_id": last}
        renamed = client.post("/classes/Odd_Whistle/changes", json=rename).json()["event_id"]
        page = reviewer.get(f"/ui/clusters/{clusters[0]}")
        assert "Whistle_Odd: cluster of 6 glitches" in page.text
        back = {"action": "undo", "event_id": renamed, "last_event_id": renamed}
        client.post("/classes/Whistle_Odd/changes", json=back).raise_for_status()
    accepted = decide(reviewer, named, "accept-all")
    assert "The suggestions were accepted as labels" in accepted.text
    assert "Odd_Whistle" in reviewer.get(f"/ui/glitches/{glitches[0].id}").text
    undone = reviewer.submit(accepted, "/review", **undo_of(accepted))
    undone = reviewer.submit(undone, "/review", **undo_of(undone))
    assert "Cluster of 6 glitches" in undone.text
    assert "Odd_Whistle" not in reviewer.get("/ui/classes").text


def undo_of(page: Page) -> dict[str, str]:
    """Return the fields of the form that undoes the last action in effect."""
    found = re.search(r'"event_id" value="(\d+)">\s*<button [^>]*value="undo"', page.response.text)
    assert found
    return {"act": "undo", "event_id": found[1]}


def test_the_second_reviewer_sees_the_conflict_on_the_page(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}")
    decide(reviewer, page, "dismiss")
    late = decide(reviewer, page, "promote", new_class="Late_Whistle", text="Mine.")
    assert late.status == 409
    assert "somebody else acted" in late.alerts[0]
    assert "dismissed it" in late.alerts[0]
    assert "Mine." in late.text  # the typed text is kept
    assert "Late_Whistle" not in reviewer.get("/ui/classes").text


def test_the_second_reviewer_of_a_cluster_that_was_split_keeps_what_was_typed(
    reviewer: Walker, clusters: list[UUID], glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}")
    decide(reviewer, page, "split", member=[str(glitches[0].id), str(glitches[10].id)])
    late = decide(reviewer, page, "promote", new_class="Late_Whistle", text="Mine.")
    assert late.status == 409
    assert "the part of 2" in late.text
    assert "You had typed “Late_Whistle” and “Mine.”." in late.text


@pytest.mark.parametrize(
    ("act", "values", "status", "sentence"),
    [
        ("promote", {"new_class": ""}, 400, "needs a name"),
        ("promote", {"new_class": "x" * 10_000}, 400, "10,000 characters"),
        ("promote", {"new_class": "<script>alert(1)</script>"}, 400, "letters, digits"),
        ("promote", {"new_class": "Blip"}, 409, "There is a class Blip already"),
        ("merge", {"class_name": "Nonsense"}, 400, "no class"),
        ("split", {}, 400, "Choose members first"),
        ("comment", {"text": " "}, 400, "The comment is empty"),
    ],
)
def test_refused_decisions_are_reported_on_the_page(
    *,
    reviewer: Walker,
    clusters: list[UUID],
    act: str,
    values: dict[str, str],
    status: int,
    sentence: str,
) -> None:
    page = decide(reviewer, reviewer.get(f"/ui/clusters/{clusters[0]}"), act, **values)
    assert page.status == status
    assert sentence in page.alerts[0]
    assert "<script>alert" not in page.response.text
    assert "Nobody has decided anything" in page.text


def test_a_comment_that_is_too_long_is_refused_and_kept_whole(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    written = "🎉 ملاحظة " + "x" * 10_000
    page = decide(reviewer, reviewer.get(f"/ui/clusters/{clusters[0]}"), "comment", text=written)
    assert "has 10,009 characters: shorten it to 4,000" in page.alerts[0]
    assert f">{written}</textarea>" in page.response.text
    kept = decide(reviewer, page, "comment", text=written[:4000])
    assert written[:4000] in kept.response.text


def test_a_merge_without_suggestions_does_not_ask_to_accept_them(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[1]}")  # its members are labelled
    merged = decide(reviewer, page, "merge", class_name="Blip")
    assert "Every member had a label already, so none is suggested." in merged.text
    page = reviewer.get(f"/ui/clusters/{clusters[0]}")
    assert "Accept the suggestions" in decide(reviewer, page, "merge", class_name="Blip").text


def test_a_split_leads_to_the_part_and_the_whole_to_both(
    reviewer: Walker, clusters: list[UUID], glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}?order=time")
    chosen = [str(glitches[0].id), str(glitches[10].id)]
    rest = decide(reviewer, page, "split", member=chosen)
    assert "Cluster of 4 glitches" in rest.text
    whole = reviewer.get(f"/ui/clusters/{clusters[0]}")
    assert "the part of 4 , or the part of 2" in whole.text
    assert "3 clusters to review" in reviewer.get("/ui/clusters").text
    reviewer.submit(rest, "/review", **undo_of(rest))
    assert "2 clusters to review" in reviewer.get("/ui/clusters").text


def test_pages_and_digest_warn_of_typical_labels(
    service: Service, reviewer: Walker, clusters: list[UUID]
) -> None:
    typical = "The labels seem to be typical examples"

    def places_with(sentence: str = typical) -> list[bool]:
        pages = [f"/ui/clusters/{clusters[0]}", "/ui/clusters", "/ui/digest"]
        with service.client("reader") as client:
            [run] = client.get("/digest").json()["runs"]
            doubts = [run, client.get(f"/clusters/{clusters[0]}").json()]
            doubts += client.get("/clusters").json()["items"][:1]
        with make_session_factory(service.engine)() as session:
            message = " ".join(digest(session).message)
        return [
            *(sentence in reviewer.get(page).text for page in pages),
            *(sentence in (one["doubt"] or "") for one in doubts),
            sentence in message,
        ]

    assert not any(places_with())
    with make_session_factory(service.engine).begin() as session:
        run_id = session.get_one(Cluster, clusters[0]).run_id
        run = session.get_one(ClusteringRun, run_id)
        kept = run.findings
        run.findings = [*kept, {"kind": "labels_aside", "in_100": 12}]
    assert all(places_with("do not cover what was tested"))
    with make_session_factory(service.engine).begin() as session:
        run = session.get_one(ClusteringRun, run_id)
        run.findings = [*kept, {"kind": "typical_labels", "sigmas": 3.1}]
    assert all(places_with())
    with make_session_factory(service.engine).begin() as session:
        session.get_one(ClusteringRun, run_id).findings = kept


def test_a_cluster_says_how_many_labels_its_test_did_not_know(
    service: Service, reviewer: Walker, clusters: list[UUID], glitches: list[GlitchRecord]
) -> None:
    with make_session_factory(service.engine).begin() as session:
        run_id = session.get_one(Cluster, clusters[0]).run_id
        session.get_one(ClusteringRun, run_id).created_at = datetime.now(UTC)
    page = f"/ui/clusters/{clusters[0]}"
    assert "labels changed since" not in reviewer.get(page).text
    with service.client("reviewer") as client:
        # Labels of simulated glitches do not count for measured ones.
        for at, is_stated in ((0, False), (10, True)):
            labels = f"/glitches/{glitches[at].id}/labels"
            answer = client.post(labels, json={"label": "Whistle"})
            assert answer.status_code == 201, answer.text
            sentence = "a false-discovery rate of 0.1; labels changed since: 1 added"
            assert (sentence in reviewer.get(page).text) == is_stated
            client.delete(f"{labels}/{answer.json()['id']}")
        assert "labels changed since" not in reviewer.get(page).text
        labels = f"/glitches/{glitches[10].id}/labels"
        label = client.post(labels, json={"label": "Whistle"}).json()["id"]
        with make_session_factory(service.engine).begin() as session:
            session.get_one(ClusteringRun, run_id).created_at = datetime.now(UTC)
        client.delete(f"{labels}/{label}")
        assert "labels changed since: 1 removed" in reviewer.get(page).text
        again = client.post(labels, json={"label": "Whistle"}).json()["id"]
        assert "labels changed since" not in reviewer.get(page).text  # they are as in the run
        client.delete(f"{labels}/{again}")
        label = client.post(labels, json={"label": "Tomte"}).json()["id"]
        assert "labels changed since: 1 changed class" in reviewer.get(page).text
        client.delete(f"{labels}/{label}")


def test_review_forms_need_the_role_and_a_csrf_token(
    service: Service, clusters: list[UUID]
) -> None:
    path = f"/ui/clusters/{clusters[0]}"
    with Walker(service, "submitter") as submitter:
        page = submitter.get(path)
        assert all("review" not in form.action for form in page.forms)
        forged = submitter.client.post(f"{path}/review", data={"act": "dismiss"})
        assert forged.status_code == 403
        csrf = page.forms[1].fields["csrf"]
        data = {"act": "dismiss", "csrf": csrf}
        assert submitter.client.post(f"{path}/review", data=data).status_code == 403
        assert submitter.get(f"/ui/clusters/{UUID(int=5)}").status == 404


def test_a_run_without_unlabelled_glitches_offers_what_would_help(
    service: Service, reviewer: Walker, clusters: list[UUID]
) -> None:
    with make_session_factory(service.engine)() as session:
        run = store_run(session)
        run.n_judged = run.n_flagged = run.n_clusters = 0
        run.findings = [
            {"kind": "told", "text": "There are no unlabelled glitches: nothing was tested."}
        ]
        session.commit()
    page = reviewer.get("/ui/clusters")
    assert "/ui/batch" in page.links
    assert "Cluster the labelled ones too" in page.text
    reviewer.client.post(
        "/ui/clusters/runs", data=page.form("/clusters/runs").fields | {"everything": "yes"}
    )
    with make_session_factory(service.engine)() as session:
        [job] = list_jobs(session, kind="cluster", state="queued", limit=1).items
        assert job.parameters["scope"] == "everything"


def test_after_a_decision_the_next_cluster_comes_with_a_way_back(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    first, second = (f"/ui/clusters/{one}" for one in clusters)
    page = reviewer.get(first)
    assert "1 of 2 to review" in page.text
    assert second in page.links

    after = decide(reviewer, page, "dismiss")
    assert after.path.startswith(second)
    assert "The cluster was dismissed" in after.text
    assert "1 of 1 to review" in after.text

    back = reviewer.submit(after, f"{first}/review", act="undo")
    assert back.path.startswith(first)
    assert "1 of 2 to review" in back.text

    decide(reviewer, back, "dismiss")
    last = decide(reviewer, reviewer.get(second), "dismiss")
    assert last.path.startswith(second)  # no cluster is left, so it stays
    assert "nothing left to review" in last.text


def test_a_link_offers_no_undo_of_what_another_did(
    service: Service, reviewer: Walker, clusters: list[UUID]
) -> None:
    after = decide(reviewer, reviewer.get(f"/ui/clusters/{clusters[0]}"), "dismiss")
    with Walker(service, "admin") as other:
        seen = other.get(after.path)
        assert f"/ui/clusters/{clusters[0]}/review" not in {form.action for form in seen.forms}


def test_a_known_class_is_found_by_a_part_of_its_name(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}")
    assert decide(reviewer, page, "merge", class_name="no such").status == 400
    many = decide(reviewer, page, "merge", class_name="low_freq")
    assert many.status == 400
    assert "Low_Frequency_Burst" in many.alerts[0]
    assert "type more" in many.alerts[0]
    merged = decide(reviewer, page, "merge", class_name="koi")
    assert "Koi_Fish: cluster of 6 glitches" in merged.text
    exact = reviewer.get(f"/ui/clusters/{clusters[1]}")  # part of several names, and one whole name
    assert "Blip: cluster" in decide(reviewer, exact, "merge", class_name="blip").text


def test_a_new_name_that_a_class_has_offers_to_merge_into_it(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}")
    refused = decide(reviewer, page, "promote", new_class="koi_fish", text="With a tail.")
    assert refused.status == 409
    assert "Merge into Koi_Fish" in refused.text
    offered = next(form for form in refused.forms if form.fields.get("class_name") == "Koi_Fish")
    merged = Page(reviewer.client.post(offered.action, data=offered.fields | {"act": "merge"}))
    assert "Koi_Fish: cluster of 6 glitches" in merged.text
    assert "With a tail." in merged.text


def test_the_pictures_of_a_cluster_are_of_the_window_that_is_chosen(
    reviewer: Walker, clusters: list[UUID]
) -> None:
    page = reviewer.get(f"/ui/clusters/{clusters[0]}?window=0.5")
    assert any(image.endswith("/cards/0.5.png") for image in page.images)
    assert any("window=0.5" in link and "order=time" in link for link in page.links)
    assert reviewer.get(f"/ui/clusters/{clusters[0]}?window=3").status == 200


def test_later_members_link_to_the_decided_cluster_until_the_decision_is_undone(
    service: Service, reviewer: Walker, clusters: list[UUID]
) -> None:
    decided, later = clusters
    with make_session_factory(service.engine)() as session:
        cluster = session.get_one(Cluster, later)
        cluster.summary = {**cluster.summary, "is_part": True, "beside": str(decided)}
        session.commit()
    decide(reviewer, reviewer.get(f"/ui/clusters/{decided}"), "dismiss")
    page = reviewer.get(f"/ui/clusters/{later}")
    assert (
        "These look like the cluster of 6 glitches that was dismissed , but were added later: "
        "nobody has reviewed them." in page.text
    )
    assert f"/ui/clusters/{decided}" in page.links
    assert "Nobody has decided anything about this cluster yet." in page.text
    whole = reviewer.get(f"/ui/clusters/{decided}")
    reviewer.submit(whole, "/review", **undo_of(whole))
    assert "These look like" not in reviewer.get(f"/ui/clusters/{later}").text

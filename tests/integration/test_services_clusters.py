"""Clusterings in a real database: what is flagged, stored, recognised and refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session
from store_helpers import LATENT, person

from app.classes.tables import GlitchClass
from app.clusters.job import ClusterHandler, run_clustering
from app.clusters.occurrences import MAX_BINS, bin_width, seen_before
from app.clusters.records import ClusteringParameters, Run
from app.clusters.service import (
    ClusterFilters,
    get_cluster,
    list_clusters,
    list_members,
    list_runs,
    start_clustering,
)
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.access import Role
from app.core.database import uuid7
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.core.settings import Settings
from app.glitches.tables import Embedding, Glitch
from app.jobs.service import get_job
from app.models.records import CheckpointRecord
from glitch.errors import GlitchError

KNOWN, NOVEL = np.array([3.0, 0, 0, 0]), np.array([0.0, 3.0, 0, 0])
PARAMETERS = ClusteringParameters(fdr=0.1, min_cluster_size=5)

Fill = Callable[..., list[UUID]]


@pytest.fixture
def fill(session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator) -> Fill:
    """Return a function that stores glitches around a mean in bulk, with or without a label."""
    times = iter(range(1, 10_000))

    def fill_one(
        n: int, centre: np.ndarray, label: str | None = None, spread: float = 0.3
    ) -> list[UUID]:
        means = centre + rng.normal(scale=spread, size=(n, LATENT))
        named = select(GlitchClass.id).where(GlitchClass.name == label)
        class_id = session.scalar(named) if label else None
        keys, digests = [uuid7() for _ in range(n)], [rng.bytes(32) for _ in range(n)]
        glitches = [
            {
                "id": key,
                "ifo": "H1",
                "gps_time": Decimal(1126259462 + 3600 * next(times)),
                "origin": "upload",
                "content_digest": digest,
                "class_id": class_id,
            }
            for key, digest in zip(keys, digests, strict=True)
        ]
        session.execute(insert(Glitch), glitches)
        embeddings = [
            {
                "glitch_id": key,
                "checkpoint_id": checkpoint.id,
                "ifo": "H1",
                "is_simulated": False,
                "is_reference": label is not None,
                "mean": mean,
                "log_variance": [0.0] * LATENT,
                "reconstruction_error": 1.0,
                "kl": 1.0,
                "is_judged": False,
            }
            for key, mean in zip(keys, means, strict=True)
        ]
        session.execute(insert(Embedding), embeddings)
        return keys

    return fill_one


@pytest.fixture
def catalogue(fill: Fill) -> dict[str, list[UUID]]:
    """Labelled blips, unlabelled ones like them, and unlabelled glitches unlike them."""
    return {"known": fill(150, KNOWN, "Blip"), "alike": fill(20, KNOWN), "novel": fill(15, NOVEL)}


def run(session: Session, **changes: Any) -> Run:
    parameters = {"fdr": 0.1, "min_cluster_size": 5} | changes
    return run_clustering(session, ClusteringParameters(**parameters), author="someone")


def members_of(session: Session, cluster_id: UUID) -> set[UUID]:
    return set(
        session.scalars(
            select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == cluster_id)
        )
    )


def test_novel_glitches_become_one_cluster(
    session: Session, catalogue: dict[str, list[UUID]]
) -> None:
    found = run(session)
    assert found.n_judged == 35
    assert 15 <= found.n_flagged <= 20
    assert found.n_clusters == 1
    (cluster,) = list_clusters(session).items
    members = members_of(session, cluster.id)
    assert len(members & set(catalogue["novel"])) >= 12
    assert len(members - set(catalogue["novel"])) <= 1
    assert cluster.size == len(members)
    assert cluster.medoid_id in members
    assert cluster.significance is not None
    assert cluster.significance < 1e-3
    assert cluster.state == "flagged"
    assert cluster.identity == cluster.id
    summary = cluster.summary
    assert summary["ifos"] == {"H1": cluster.size}
    assert summary["nearest_classes"][0]["label"] == "Blip"
    assert 0.5 < summary["nearest_classes"][0]["distance"] < 1.5
    assert summary["gps_times"]["rate_per_day"] == pytest.approx(24, rel=0.2)
    assert sum(bin_["count"] for bin_ in summary["gps_times"]["histogram"]) == cluster.size
    assert summary["looks_alike"]["count"] >= 0.8 * cluster.size
    assert f"{found.n_flagged} of 35 unlabelled glitches are novel" in found.detail


def test_the_members_are_listed_outwards_page_by_page(
    session: Session, catalogue: dict[str, list[UUID]]
) -> None:
    run(session)
    (cluster,) = list_clusters(session).items
    shown, cursor = [], None
    while True:
        page = list_members(session, cluster.id, limit=4, cursor=cursor)
        shown += page.items
        cursor = page.next
        if cursor is None:
            break
    assert {one.glitch.id for one in shown} == members_of(session, cluster.id)
    assert len(shown) == cluster.size
    assert [one.distance for one in shown] == sorted(one.distance for one in shown)
    assert shown[0].glitch.id == cluster.medoid_id
    exemplars = list_members(session, cluster.id, is_exemplar=True).items
    assert 3 <= len(exemplars) <= 8
    assert exemplars[0].glitch.id == cluster.medoid_id


def test_the_same_cluster_is_recognised_when_it_has_grown(
    session: Session, catalogue: dict[str, list[UUID]], fill: Fill
) -> None:
    first = run(session)
    (before,) = list_clusters(session).items
    session.commit()  # rows stored from here on are later than that run
    fill(25, NOVEL)
    second = run(session)
    assert second.previous_run_id == first.id
    (after,) = list_clusters(session).items
    assert after.id != before.id
    assert after.identity == before.identity
    assert after.previous_id == before.id
    assert after.overlap is not None
    assert after.overlap > 0.7
    assert after.state == "flagged"  # test_decisions_last.py tests other states
    assert after.summary["previous_size"] == before.size
    assert f"The cluster of {before.size} members now has {after.size}." in second.detail
    assert {one.id for one in list_clusters(session, identity=before.identity).items} == {
        before.id,
        after.id,
    }
    assert [one.id for one in list_clusters(session, run_id=first.id).items] == [before.id]
    assert [one.id for one in list_runs(session).items] == [second.id, first.id]
    page = list_runs(session, limit=1)
    assert [one.id for one in list_runs(session, limit=1, cursor=page.next).items] == [first.id]


def test_clustering_again_gives_the_same(
    session: Session, catalogue: dict[str, list[UUID]]
) -> None:
    run(session)
    (one,) = list_clusters(session).items
    run(session)
    (two,) = list_clusters(session).items
    assert members_of(session, one.id) == members_of(session, two.id)
    assert (one.stability, one.significance, one.medoid_id) == (
        two.stability,
        two.significance,
        two.medoid_id,
    )
    assert two.overlap == 1.0


def test_too_few_are_a_sentence_and_no_failure(session: Session, fill: Fill) -> None:
    fill(150, KNOWN, "Blip")
    fill(3, NOVEL)
    found = run(session, fdr=0.5)
    assert (found.n_clusters, found.n_flagged) == (0, 3)
    assert "fewer than the minimum cluster size of 5: nothing was clustered" in found.detail
    assert list_clusters(session).items == ()


def test_the_reason_for_testing_nothing_is_stated(session: Session, fill: Fill) -> None:
    assert run(session, ifo="V1").detail == (
        "There are no unlabelled glitches of V1: nothing was tested."
    )
    blips = fill(20, KNOWN, "Blip")
    fill(7, NOVEL)
    without_ifo, published = (
        fill(2, NOVEL),
        " Load published ones with `glitch-discovery references training-set --ifo NAME`.",
    )
    for table, key in ((Glitch, Glitch.id), (Embedding, Embedding.glitch_id)):
        session.execute(update(table).where(key.in_(without_ifo)).values(ifo=None))
    assert run(session).detail == (
        "None of 9 unlabelled glitches could be judged: 2 without a detector (send them again with "
        "its name, `ifo`); 7 of H1, which has 20 labelled glitches, and needs 50." + published
    )
    blips += fill(40, KNOWN, "Blip")
    session.execute(update(Glitch).where(Glitch.id.in_(blips)).values(gps_time=START))
    assert run(session, ifo="H1").detail == (
        "None of 7 unlabelled glitches could be judged: 7 of H1, which has 0 labelled glitches "
        "to calibrate with, and needs 20: of classes with 12 or more, at least 120 s apart."
        + published
    )
    fill(30, KNOWN, "Blip")
    fill(5, KNOWN)
    otherwise = update(Embedding).where(Embedding.glitch_id.in_(fill(3, KNOWN)))
    session.execute(otherwise.values(condition="4 s, 10 to 1291 Hz"))
    assert (
        "3 more could not be judged: 3 of H1, which has 31 labelled glitches to calibrate with, "
        "of which fewer than 20 share windows and band with these (seen: 3 in 4 s, 10 to 1291 Hz), "
        "or too few are of other events."
    ) in run(session, ifo="H1").detail


def test_too_little_calibration_to_flag_anything_is_reported(session: Session, fill: Fill) -> None:
    fill(110, KNOWN, "Blip")
    fill(60, KNOWN)
    fill(1, NOVEL)
    found = run(session, fdr=0.01)
    assert found.n_flagged == 0
    assert found.detail.endswith("can be flagged: label more, or raise the rate.")


def test_real_and_simulated_and_detectors_are_kept_apart(
    session: Session, catalogue: dict[str, list[UUID]]
) -> None:
    assert run(session, is_simulated=True).n_judged == 0
    assert run(session, ifo="L1").n_judged == 0
    assert run(session, ifo="H1").n_clusters == 1


def test_the_scope_everything_clusters_labelled_glitches_too(
    session: Session, catalogue: dict[str, list[UUID]]
) -> None:
    found = run(session, scope="everything")
    assert found.n_clustered == 185
    assert "among all 185 glitches, labelled or not." in found.detail
    largest, *others = list_clusters(session).items
    assert members_of(session, largest.id) & set(catalogue["known"])
    # Known glitches were not flagged at any rate, and chance was not tested.
    assert {(one.significance, one.fdr) for one in (largest, *others)} == {(None, None)}
    assert re.search("[01] (is|are) novel by the test of this clustering", str(largest.trust))


def test_a_dormant_class_that_comes_back_is_named(
    session: Session, catalogue: dict[str, list[UUID]], fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.execute(update(GlitchClass).where(GlitchClass.name == "Helix").values(state="dormant"))
    fill(4, NOVEL, "Helix", spread=0.05)  # too few to make them known
    assert "is back" not in run(session).detail
    monkeypatch.setattr("app.clusters.summary.MIN_OF_CLASS", 4)  # otherwise they are not novel
    found = run(session)
    clusters = list_clusters(session).items
    assert clusters
    assert clusters[0].summary["returning"] == ["Helix"]
    assert f"The dormant class Helix is back in H1: {clusters[0].size} glitches" in found.detail


DAY_S, START = 86_400, 1_126_259_462


def on_days(session: Session, keys: list[UUID], days: list[int]) -> None:
    """Move these glitches to these days in turn, starting again after the last day."""
    for index, key in enumerate(keys):
        time = Decimal(START + DAY_S * days[index % len(days)] + index)
        session.execute(update(Glitch).where(Glitch.id == key).values(gps_time=time))


@pytest.fixture
def long_silent(session: Session, fill: Fill) -> Callable[..., list[UUID]]:
    """Return a function that stores labelled Blips on 100 days, and Helices on the first ten.

    It also stores unlabelled glitches: one like a Blip every day, and ten like a Helix on ``days``,
    whose ids it returns.
    """

    def make(days: list[int]) -> list[UUID]:
        on_days(session, fill(120, KNOWN, "Blip", spread=0.1), list(range(100)))
        on_days(session, fill(30, NOVEL, "Helix", spread=0.1), list(range(10)))
        on_days(session, fill(100, KNOWN, spread=0.1), list(range(100)))
        back = fill(10, NOVEL, spread=0.02)
        on_days(session, back, days)
        return back

    return make


def test_a_long_silent_class_becomes_dormant(
    session: Session, long_silent: Callable[..., list[UUID]]
) -> None:
    long_silent([90, 92, 95])
    found = run(session)
    assert (
        "Helix is back in H1 after 80 days with data but without it: 10 glitches since GPS time "
        f"{START + 90 * DAY_S}"
    ) in found.detail
    assert "Blip is back" not in found.detail
    assert "is back" not in run(session, dormant_days=81).detail  # absent for fewer days
    assert "is back" not in run(session, min_cluster_size=11).detail  # too few for a cluster
    # The run does not change its state, and does not report a retired class.
    named = session.scalars(select(GlitchClass).where(GlitchClass.name == "Helix")).one()
    assert named.state == "active"
    named.state = "retired"
    session.flush()
    assert "is back" not in run(session).detail


@pytest.mark.parametrize(
    "days",
    [
        [20, 40, 60, 80, 95],  # never away, only not labelled since
        [11, 12],  # back long ago
        [2, 5],  # not back at all
    ],
)
def test_a_class_is_not_back_where_it_was_not_away_or_is_away(
    session: Session, long_silent: Callable[..., list[UUID]], days: list[int]
) -> None:
    long_silent(days)
    assert "is back" not in run(session).detail


def test_a_break_of_the_detector_is_no_absence(session: Session, fill: Fill) -> None:
    """Two years without data after the tenth day: the class was not absent."""
    days = [*range(10), *range(730, 790)]
    on_days(session, fill(120, KNOWN, "Blip", spread=0.1), days)
    on_days(session, fill(30, NOVEL, "Helix", spread=0.1), days[:10])
    on_days(session, fill(60, KNOWN, spread=0.1), days)
    on_days(session, fill(10, NOVEL, spread=0.02), [735])
    assert "is back" not in run(session).detail


def test_a_cluster_like_a_recurring_class_is_reported(
    session: Session, long_silent: Callable[..., list[UUID]], fill: Fill
) -> None:
    long_silent([95])
    apart = fill(12, NOVEL + np.array([1.5, 0, 0, 0]), spread=0.02)
    on_days(session, apart, [96, 97])
    found = run(session)
    assert "Helix is back in H1" in found.detail
    for cluster in list_clusters(session, run_id=found.id).items:
        if members_of(session, cluster.id) & set(apart):
            alike = {one["label"]: one["looks_alike"] for one in cluster.summary["nearest_classes"]}
            assert cluster.summary["returning"] == ["Helix"] * bool(alike.get("Helix"))


@pytest.mark.parametrize("fdr", [0.0, 1.0, -1.0, 2.0])
def test_an_invalid_sample_rate_is_refused(
    session: Session, checkpoint: CheckpointRecord, fdr: float
) -> None:
    with pytest.raises(GlitchError, match="must be between 0 and 1"):
        run(session, fdr=fdr)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"min_cluster_size": 2}, "between 3 and"),
        ({"ifo": "hanford"}, "no detector"),
        ({"scope": "all"}, "no scope"),
        ({"dormant_days": 0}, "dormant_days must lie between 1 and"),
    ],
)
def test_invalid_parameters_of_a_clustering_are_refused(
    session: Session, checkpoint: CheckpointRecord, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(InvalidRequestError, match=word):
        run(session, **changes)


def test_lists_refuse_invalid_filters(session: Session, catalogue: dict[str, list[UUID]]) -> None:
    unknown = UUID(int=7)
    assert list_clusters(session).items == ()  # no run yet, but filters are checked
    with pytest.raises(InvalidRequestError, match="no state"):
        list_clusters(session, ClusterFilters("odd"))
    with pytest.raises(InvalidRequestError, match="cursor"):
        list_clusters(session, cursor=str(unknown))
    run(session)
    with pytest.raises(NotFoundError, match="no clustering"):
        list_clusters(session, run_id=unknown)
    with pytest.raises(NotFoundError, match="no cluster "):
        get_cluster(session, unknown)
    with pytest.raises(NotFoundError, match="no cluster "):
        list_members(session, unknown)
    for bad in ({"limit": 0}, {"cursor": "x"}, {"cursor": str(unknown)}):
        with pytest.raises(InvalidRequestError):
            list_clusters(session, **bad)
    with pytest.raises(InvalidRequestError):
        list_clusters(session, ClusterFilters("odd"))
    assert list_clusters(session, ClusterFilters(min_size=10_000)).items == ()
    assert list_clusters(session, ClusterFilters(ifo="V1")).items == ()
    assert len(list_clusters(session, ClusterFilters("flagged", "H1")).items) == 1


def test_the_job_runs_it_once(
    session: Session, catalogue: dict[str, list[UUID]], checkpoint: CheckpointRecord
) -> None:
    with pytest.raises(PermissionDeniedError):
        start_clustering(session, PARAMETERS, principal=person(Role.READER))
    author = person(Role.SUBMITTER)
    job = start_clustering(session, PARAMETERS, principal=author)
    assert start_clustering(session, PARAMETERS, principal=author).id == job.id  # still open
    job = get_job(session, job.id)
    work: Any = SimpleNamespace(
        session=session, job=job, heartbeat=lambda: None, encoder=None, settings=Settings()
    )
    session.commit()  # a small catalogue is judged in a separate transaction
    assert len(list(ClusterHandler().plan(work))) == 1
    chunk: Any = None
    ClusterHandler().run_chunk(work, chunk)
    assert list_runs(session).items == ()  # nothing until the finish, so a cancel leaves nothing
    result = ClusterHandler().finish(work)
    stored = session.scalars(select(ClusteringRun)).one()
    assert result["run"] == str(stored.id)
    assert (result["clusters"], stored.author, stored.job_id) == (1, author.name, job.id)


def test_how_often_a_look_occurred_is_counted_over_time(
    session: Session, catalogue: dict[str, list[UUID]], fill: Fill
) -> None:
    run(session)
    (cluster,) = list_clusters(session).items
    seen = seen_before(session, cluster.id)
    assert seen.count == cluster.summary["looks_alike"]["count"] == sum(b.count for b in seen.bins)
    assert sum(one.total for one in seen.bins) == 185
    assert seen.width_s == 86_400  # 185 glitches an hour apart
    assert len(seen.bins) == 8
    assert seen.bins[0].count == 0  # known glitches came first
    assert [(one.observing_run, one.total) for one in seen.runs] == [("O1", 185)]
    assert [one.gps_end for one in seen.bins[:-1]] == [one.gps_start for one in seen.bins[1:]]
    session.execute(update(Glitch).values(gps_time=None))
    untimed = seen_before(session, cluster.id)
    assert (untimed.bins, untimed.untimed) == ((), seen.count)
    session.execute(update(Cluster).values(medoid_id=None))
    with pytest.raises(ConflictError, match="cluster again"):
        seen_before(session, cluster.id)
    with pytest.raises(NotFoundError):
        seen_before(session, UUID(int=7))


@pytest.mark.parametrize("span_s", [0.0, 59.0, 7_200.0, 9e6, 3e8, 4e9, 1e12])
def test_bins_are_never_too_many(span_s: float) -> None:
    assert span_s // bin_width(span_s) + 1 <= MAX_BINS

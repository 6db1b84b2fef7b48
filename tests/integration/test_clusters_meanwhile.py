"""Changes that other sessions commit while a clustering runs, as other processes would."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from acts import Dismiss, Promote
from found_clusters import (
    ADA,
    KNOWN,
    NOVEL,
    OTHER,
    Fill,
    cluster_h1,
    cluster_now,
    decide,
    embed_otherwise,
    members,
)
from found_clusters import fill as fill  # noqa: PLC0414  (a fixture)
from found_clusters import flagged as flagged  # noqa: PLC0414  (a fixture)
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from app.clusters import job, records
from app.clusters.chosen import cluster_by_hand
from app.clusters.review.service import withdraw
from app.clusters.service import ClusterFilters, latest_run, list_runs, ranked_clusters
from app.clusters.tables import ClusteringRun
from app.core.engine import make_session_factory
from app.core.settings import Settings
from app.glitches.labels import append_labels, revoke_labels
from app.glitches.tables import Embedding, Glitch, Label
from app.jobs.service import create_job, get_job, list_jobs
from app.jobs.tables import Job
from app.models.checkpoints import activate_checkpoint, active_id
from app.models.records import CheckpointRecord
from app.models.reembed import switch_checkpoint
from app.novelty import catalogue
from app.novelty.catalogue import recalibrate
from worker.runner import JobRunner

Meanwhile = Callable[[Session], object]


@pytest.fixture
def others(engine: Engine) -> sessionmaker[Session]:
    return make_session_factory(engine)


def run_with(
    session: Session,
    others: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
    *acts: Meanwhile,
    step: str = "find_clusters",
) -> tuple[records.Run, list[records.Cluster]]:
    """Run a clustering job; the acts happen in another session when it reaches ``step``."""
    session.commit()
    left = list(acts)
    original = getattr(job, step)

    def take_step(*given: object) -> object:
        if left:
            with others.begin() as other:
                other.execute(text("SET LOCAL lock_timeout = '5s'"))
                left.pop(0)(other)
        return original(*given)

    monkeypatch.setattr(job, step, take_step)
    with others.begin() as other:
        made = create_job(other, "cluster", {"fdr": 0.05}, "ed").id
    settings = Settings(database_url=str(session.get_bind().engine.url))
    JobRunner(others, settings).work(made)
    monkeypatch.setattr(job, step, original)
    with others() as other:
        ended = get_job(other, made)
    assert (ended.state, ended.detail) == ("succeeded", None)
    session.expire_all()
    session.commit()
    run = next(one for one in list_runs(session).items if one.job_id == made)
    return run, ranked_clusters(session, run.id, ClusterFilters(), limit=50)


def test_a_run_whose_model_was_replaced_is_made_by_the_one_that_serves(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    """The run uses the new model, because no other page shows vectors of the old one any more."""
    before = active_id(session) or 0
    moved = members(session, flagged)
    embed_otherwise(
        session, lambda key, mean: OTHER + rng.normal(scale=0.1, size=4) if key in moved else mean
    )
    later = active_id(session) or 0
    activate_checkpoint(session, before)
    run, found = run_with(
        session, others, monkeypatch, lambda other: activate_checkpoint(other, later)
    )
    assert run.checkpoint_id == later != before
    assert flagged.identity in {one.identity for one in found}
    means = session.scalars(
        select(Embedding.mean).where(
            Embedding.checkpoint_id == later, Embedding.glitch_id == found[0].medoid_id
        )
    ).one()
    assert np.argmax(means) == np.argmax(OTHER)


def test_a_model_that_serves_again_is_judged_by_the_labels_of_now(
    session: Session, checkpoint: CheckpointRecord, fill: Fill
) -> None:
    """Labels given under another model are judged again once the earlier model is active again."""
    fill(60, KNOWN, "Blip")
    embed_otherwise(session, lambda _, mean: mean)
    later = active_id(session)
    assert later is not None
    switch_checkpoint(session, checkpoint.id, "ed")
    (judging,) = list_jobs(session, kind="judge").items
    assert judging.parameters["checkpoint_id"] == checkpoint.id
    assert active_id(session) == checkpoint.id


def test_labelling_does_not_wait_for_a_clustering_which_reports_the_change(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = session.scalars(select(Glitch.id).where(Glitch.class_id.is_not(None)).limit(3)).all()
    append_labels(session, known, "Blip", author=ADA)

    def label(other: Session) -> None:
        own = other.scalars(select(Label.id).where(Label.glitch_id == known[0])).all()
        revoke_labels(other, own, reviewer=ADA)
        append_labels(other, known[1:], "Whistle", author=ADA)

    run, found = run_with(session, others, monkeypatch, label)
    assert [one.identity for one in found] == [flagged.identity]
    assert "During this clustering 3 labels changed: it may not include all of that" in run.detail
    quiet, _ = run_with(session, others, monkeypatch)
    assert "During this clustering" not in quiet.detail


def test_glitches_added_and_loading_during_a_clustering_are_reported(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    fill: Fill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session.commit()

    def come(_other: Session) -> None:
        fill(2, KNOWN)
        for kind, origin in (("ingest", "gravityspy"), ("ingest", "simulated")):
            create_job(session, kind, {"origin": origin}, "ada")
        session.execute(
            update(Job).where(Job.kind == "ingest").values(started_at=datetime.now(UTC))
        )
        session.commit()

    run, _ = run_with(session, others, monkeypatch, come)
    sentence = "During this clustering 2 glitches were added and a job was loading glitches:"
    assert sentence in run.detail
    finished = datetime(2015, 9, 14, tzinfo=UTC)
    session.execute(update(Job).values(state="succeeded", finished_at=finished))
    run, _ = run_with(session, others, monkeypatch)
    assert "During this clustering" not in run.detail


def test_a_large_catalogue_that_is_being_judged_again_makes_the_rate_doubtful(
    session: Session, flagged: records.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_job(session, "judge", {"checkpoint_id": active_id(session)}, "ada")
    _, [found] = cluster_now(session)
    assert found.doubt is None  # the run judges a small catalogue itself
    monkeypatch.setattr(job, "REJUDGED_AT_ONCE", 10)
    run, [found] = cluster_now(session)
    assert found.doubt is not None
    assert found.doubt in run.detail
    assert "the job that judges the catalogue by them had not finished" in found.doubt


def test_a_selection_made_during_a_clustering_stays_in_the_queue(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    fill: Fill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = fill(4, KNOWN)
    made: list[UUID] = []
    run, found = run_with(
        session,
        others,
        monkeypatch,
        lambda other: made.append(cluster_by_hand(other, chosen, author=ADA)),
    )
    by_identity = {one.identity: one for one in found}
    assert set(by_identity) == {flagged.identity, *made}
    assert members(session, by_identity[made[0]]) == set(chosen)
    assert by_identity[made[0]].state == "flagged"
    n_more = sum(one.size for one in found) - run.n_flagged + run.n_noise
    assert f"{n_more} more glitches, which this test does not flag, wait" in run.detail


@pytest.mark.parametrize("step", ["find_clusters", "hold_selections"])
def test_decisions_in_another_run_during_a_clustering_are_reported(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A cluster of the same glitches reports it; otherwise they would be decided about twice."""
    _, [of_h1] = cluster_h1(session)
    _, [found] = run_with(
        session,
        others,
        monkeypatch,
        lambda other: decide(other, of_h1, Promote("Thunder")),
        step=step,
    )
    assert found.identity == flagged.identity
    [decision] = found.summary["named_before"]
    assert (decision["label"], decision["n"]) == ("Thunder", found.size)


def test_decisions_of_each_moment_end_in_one_run(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    fill: Fill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dismissal and a cluster made by hand, both during one clustering, are both in its run."""
    chosen = fill(4, KNOWN)

    def both(other: Session) -> None:
        decide(other, flagged, Dismiss())
        cluster_by_hand(other, chosen, author=ADA)

    _, found = run_with(session, others, monkeypatch, both)
    assert sorted((one.state, "by_hand" in one.summary) for one in found) == [
        ("dismissed", False),
        ("flagged", True),
    ]


def test_a_selection_taken_back_while_a_clustering_stores_it_is_gone(
    session: Session,
    others: sessionmaker[Session],
    flagged: records.Cluster,
    fill: Fill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = cluster_by_hand(session, fill(4, KNOWN), author=ADA)
    _, found = run_with(
        session,
        others,
        monkeypatch,
        lambda other: withdraw(other, made, author=ADA),
        step="ClusterStore",
    )
    assert [one.identity for one in found] == [flagged.identity]


def test_the_latest_run_is_the_one_that_saw_the_others(
    session: Session, others: sessionmaker[Session], flagged: records.Cluster
) -> None:
    """The latest run is the last to cluster, even if its transaction began before the others."""
    session.commit()
    with others.begin() as waited:
        waited.execute(text("SELECT 1"))
        cluster_now(session)
        session.commit()
        last, _ = cluster_now(waited)
    latest = latest_run(session)
    assert latest is not None
    assert latest.id == last.id
    assert session.get_one(ClusteringRun, last.id).previous_run_id == list_runs(session).items[1].id


def test_a_label_revoked_during_judging_does_not_calibrate(
    session: Session,
    others: sessionmaker[Session],
    checkpoint: CheckpointRecord,
    fill: Fill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(60, KNOWN, "Blip")
    [late] = fill(1, NOVEL)
    append_labels(session, [late], "Blip", author=ADA)
    session.execute(update(Embedding).values(calibration_score=None))
    session.commit()
    original = catalogue.one_per_episode

    def revoke_first(*given: object) -> object:
        with others.begin() as other:
            own = other.scalars(select(Label.id).where(Label.glitch_id == late)).all()
            revoke_labels(other, own, reviewer=ADA)
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(catalogue, "one_per_episode", revoke_first)
    recalibrate(session, checkpoint.id)
    session.commit()
    calibrating = select(Embedding.glitch_id).where(Embedding.calibration_score.is_not(None))
    assert len(session.scalars(calibrating).all()) == 60

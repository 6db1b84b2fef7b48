"""The jobs ``cluster`` and ``judge`` in live workers, with PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from jobs_stack import Stack
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session
from store_helpers import LATENT, person

from app.classes.naming import seed_classes
from app.classes.tables import GlitchClass
from app.clusters.records import ClusteringParameters
from app.clusters.service import list_clusters, list_runs, start_clustering
from app.core.access import Role
from app.core.database import uuid7
from app.core.settings import Settings
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import JobRecord
from app.jobs.service import cancel_job, create_job, get_job, list_jobs
from app.models.checkpoints import publish_checkpoint
from app.models.records import CheckpointRecord
from app.novelty.changes import note_class_changes
from app.novelty.job import JudgeHandler, request_judging
from worker.runner import JobRunner

SUBMITTER = person(Role.SUBMITTER, "ada")
KNOWN, NOVEL = np.array([3.0, 0, 0, 0]), np.array([0.0, 3.0, 0, 0])


def fill(
    session: Session, checkpoint_id: int, n: int, centre: np.ndarray, label: str | None = None
) -> list[UUID]:
    """Store n glitches around a mean in one statement, as a bulk load does; return their ids."""
    rng = np.random.default_rng(n)
    known = select(GlitchClass.id).where(GlitchClass.name == label)
    class_id = session.scalar(known) if label else None
    first = session.scalar(select(func.count()).select_from(Glitch)) or 0
    keys = [uuid7() for _ in range(n)]
    session.execute(
        insert(Glitch),
        [
            {
                "id": key,
                "ifo": "H1",
                "gps_time": Decimal(1126259462 + 3600 * (first + index)),
                "origin": "upload",
                "content_digest": rng.bytes(32),
                "class_id": class_id,
            }
            for index, key in enumerate(keys)
        ],
    )
    session.execute(
        insert(Embedding),
        [
            {
                "glitch_id": key,
                "checkpoint_id": checkpoint_id,
                "ifo": "H1",
                "is_simulated": False,
                "is_reference": False,
                "mean": centre + rng.normal(scale=0.3, size=LATENT),
                "log_variance": [0.0] * LATENT,
                "reconstruction_error": 1.0,
                "kl": 1.0,
                "is_judged": False,
            }
            for key in keys
        ],
    )
    return keys


def publish(session: Session) -> int:
    seed_classes(session)
    published = publish_checkpoint(
        session,
        name="small",
        digest="a" * 64,
        preprocessing_digest="b" * 64,
        latent_size=LATENT,
        manifest={},
    )
    return published.id


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A catalogue of known and novel glitches, with no worker running yet."""
    made = Stack()
    try:
        with made.sessions.begin() as session:
            checkpoint_id = publish(session)
            fill(session, checkpoint_id, 150, KNOWN, "Blip")
            fill(session, checkpoint_id, 20, KNOWN)
            fill(session, checkpoint_id, 15, NOVEL)
        yield made
    finally:
        made.close()


def start(stack: Stack, **changes: Any) -> JobRecord:
    with stack.sessions.begin() as session:
        # A rate at which no five of the 20 known glitches are flagged by chance.
        parameters = ClusteringParameters(**{"fdr": 0.02, "min_cluster_size": 5} | changes)
        return start_clustering(session, parameters, principal=SUBMITTER)


def has_ended(job: JobRecord) -> bool:
    return not job.is_open


def test_a_live_worker_clusters_judges_and_leaves_no_trace_of_what_was_cancelled(
    stack: Stack,
) -> None:
    # Cancelled before a worker starts it.
    waiting = start(stack)
    with stack.sessions.begin() as session:
        cancel_job(session, waiting.id, SUBMITTER)
    assert stack.look(waiting.id).state == "cancelled"

    # Cancelled between two chunks, when nothing is stored yet.
    runner = JobRunner(stack.sessions, Settings(data_dir=stack.folder, database_url=stack.url))
    halfway = start(stack)
    for _ in range(2):
        assert runner.work(halfway.id, slice_s=0)
    with stack.sessions.begin() as session:
        cancel_job(session, halfway.id, SUBMITTER)
        assert list_runs(session).items == ()
    assert runner.work(halfway.id) is False
    assert stack.look(halfway.id).state == "cancelled"

    stack.keep_up()
    first = stack.wait(start(stack), has_ended)
    assert (first.state, first.result and first.result["clusters"]) == ("succeeded", 1)

    # Cancelled in its finish, which waits for rows locked here: its changes are rolled back.
    with stack.sessions.begin() as holder:
        holder.execute(select(Embedding.glitch_id).with_for_update())
        at_work = start(stack)
        stack.owner_at_work(at_work, phase=2)
        with stack.sessions.begin() as session:
            cancel_job(session, at_work.id, SUBMITTER)
        stack.wait_for_renewal(at_work)
    assert stack.wait(at_work, has_ended).state == "cancelled"

    # Failed: only planning can refuse these parameters.
    with stack.sessions.begin() as session:
        refused = create_job(session, "cluster", {"fdr": 2.0}, "ada")
    refused = stack.wait(refused, has_ended)
    assert refused.state == "failed"
    assert "must be between 0 and 1" in (refused.detail or "")

    # The jobs that ended in between leave no gap: the cluster keeps its identity.
    third = stack.wait(start(stack), has_ended)
    assert third.state == "succeeded"
    with stack.sessions() as session:
        runs = list_runs(session).items
        assert [run.job_id for run in runs] == [third.id, first.id]
        clusters = [list_clusters(session, run_id=run.id).items[0] for run in runs]
    assert len({one.identity for one in clusters}) == 1
    assert clusters[0].overlap == 1.0


def test_many_labels_are_followed_by_one_judging(stack: Stack) -> None:
    stack.keep_up()
    with stack.sessions.begin() as session:
        checkpoint_id = session.scalar(select(Embedding.checkpoint_id).limit(1)) or 0
        late = fill(session, checkpoint_id, 30, -KNOWN)
        whistle = session.scalar(select(GlitchClass.id).where(GlitchClass.name == "Whistle"))
        session.execute(update(Glitch).where(Glitch.id.in_(late)).values(class_id=whistle))
        note_class_changes(session, late)
        again = request_judging(session, "ada")
        (job,) = (one for one in list_jobs(session, kind="judge").items if not has_ended(one))
        assert job.id == again
    ended = stack.wait(job, has_ended)
    assert ended.state == "succeeded"
    with stack.sessions() as session:
        judged, calibrating = session.execute(
            select(
                func.count().filter(Embedding.is_judged),
                func.count().filter(Embedding.calibration_score.is_not(None)),
            )
        ).one()
    assert ended.result == {"judged": judged, "calibrating": calibrating}
    assert (judged, calibrating) == (215, 180)


def test_judging_requested_while_it_runs_is_done_again(
    session: Session, checkpoint: CheckpointRecord
) -> None:
    assert checkpoint.is_active
    first = request_judging(session, "ada")
    assert first is not None
    job = get_job(session, first)
    work: Any = SimpleNamespace(session=session, job=job, heartbeat=lambda: None)
    session.connection().exec_driver_sql("UPDATE job SET state = 'running'")
    session.expire_all()
    assert request_judging(session, "bob") == first  # no second job is queued
    JudgeHandler().finish(work)
    names = [(one.state, one.author) for one in list_jobs(session, kind="judge").items]
    assert names == [("queued", "bob"), ("running", "ada")]


def test_without_a_checkpoint_there_is_nothing_to_judge(session: Session) -> None:
    assert request_judging(session, "ada") is None


def test_a_large_catalogue_is_judged_in_chunks(
    session: Session, checkpoint: CheckpointRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(session, checkpoint.id, 150, KNOWN, "Blip")
    fill(session, checkpoint.id, 20, NOVEL)
    monkeypatch.setattr("app.novelty.catalogue.REJUDGED_AT_ONCE", 50)
    monkeypatch.setattr("app.novelty.job.REJUDGED_AT_ONCE", 50)
    monkeypatch.setattr("app.novelty.job.JUDGED", 60)
    made = request_judging(session, "ada")
    assert made is not None
    job = get_job(session, made)
    work: Any = SimpleNamespace(session=session, job=job, heartbeat=lambda: None)
    handler = JudgeHandler()
    plans = list(handler.plan(work))
    assert [plan.units for plan in plans] == [60, 60, 50]
    assert not any(plan.payload["is_judged"] for plan in plans)
    for plan in plans:
        chunk: Any = SimpleNamespace(payload=plan.payload)
        handler.run_chunk(work, chunk)
    judged = select(func.count()).where(Embedding.is_judged)
    assert session.scalar(judged) == 170

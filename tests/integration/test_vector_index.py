"""The job that builds the vector index when it is needed, and audits its recall."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from store_helpers import LATENT, Store

from app.core.engine import make_session_factory
from app.core.postgres.partitions import (
    HNSW_M,
    build_progress,
    ensure_vector_index,
    graph_bytes,
    has_vector_index,
)
from app.core.settings import Settings
from app.jobs.leases import JobCancelledError
from app.jobs.service import get_job
from app.models import index as vector_index
from app.models.index import latest_audit, queue_index_job
from app.models.records import CheckpointRecord
from worker.runner import JobRunner

FEW = 40


@pytest.fixture
def catalogue(session: Session, store: Store, rng: np.random.Generator) -> None:
    for _ in range(FEW):
        store(tuple(rng.normal(size=LATENT)))
    session.commit()


def work(engine: Engine) -> None:
    """Work on the only open job."""
    runner = JobRunner(make_session_factory(engine), Settings())
    with make_session_factory(engine)() as session:
        job_id = session.scalar(text("SELECT id FROM job WHERE state = 'queued'"))
    runner.work(job_id)


@pytest.mark.usefixtures("catalogue")
def test_the_index_is_queued_once_built_and_audited_daily(
    engine: Engine, session: Session, checkpoint: CheckpointRecord
) -> None:
    assert queue_index_job(session) is None  # far below 200,000 rows
    assert queue_index_job(session, from_rows=FEW + 1) is None
    assert queue_index_job(session, from_rows=FEW) == "small"
    assert queue_index_job(session, from_rows=FEW) is None  # the job is open
    assert latest_audit(session, checkpoint.id) is None
    session.commit()
    work(engine)
    assert has_vector_index(session, checkpoint.id)
    audit = latest_audit(session, checkpoint.id)
    assert audit is not None
    assert (audit.checkpoint, audit.recall, audit.searches) == ("small", 1.0, FEW)
    assert audit.exact_ms > 0
    assert queue_index_job(session, from_rows=FEW) is None  # audited today
    session.execute(text("UPDATE job SET finished_at = finished_at - interval '25 hours'"))
    assert queue_index_job(session, from_rows=FEW) == "small"


@pytest.mark.usefixtures("catalogue")
def test_an_audit_reports_neighbours_that_the_index_misses(
    engine: Engine, session: Session, checkpoint: CheckpointRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = vector_index.find_neighbours

    def missing_one_in_ten(*arguments: object, exact: bool, **more: object) -> object:
        neighbours = found(*arguments, exact=exact, **more)  # type: ignore[arg-type]
        return neighbours if exact else neighbours[:-1]

    monkeypatch.setattr(vector_index, "find_neighbours", missing_one_in_ten)
    queue_index_job(session, from_rows=FEW)
    session.commit()
    work(engine)
    audit = latest_audit(session, checkpoint.id)
    assert audit is not None
    assert audit.recall == 0.9


@pytest.mark.usefixtures("catalogue")
def test_a_build_is_stopped_and_done_again(
    engine: Engine, session: Session, checkpoint: CheckpointRecord
) -> None:
    """A transaction that writes delays the build, as a long one would; a cancel stops the build."""
    session.execute(text(f"DELETE FROM embedding_p{checkpoint.id} WHERE false"))  # noqa: S608
    is_checked = threading.Event()

    def cancelled() -> None:
        is_checked.set()
        raise JobCancelledError

    with pytest.raises(JobCancelledError):
        ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=FEW, check=cancelled)
    assert is_checked.is_set()
    assert not has_vector_index(session, checkpoint.id)
    session.rollback()
    assert ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=FEW, check=lambda: None)


@pytest.mark.usefixtures("catalogue")
def test_a_build_says_how_far_it_is(
    engine: Engine, session: Session, checkpoint: CheckpointRecord
) -> None:
    session.execute(text(f"DELETE FROM embedding_p{checkpoint.id} WHERE false"))  # noqa: S608
    assert build_progress(engine, checkpoint.id) is None
    sentences: list[str] = []

    def ask() -> None:
        if sentence := build_progress(engine, checkpoint.id):
            sentences.append(sentence)
            session.rollback()  # ends what the build waits for

    assert ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=FEW, check=ask)
    assert sentences[0] == "The vector index: waiting for writers before build."
    assert build_progress(engine, checkpoint.id) is None


@pytest.mark.usefixtures("catalogue")
def test_a_cancelled_build_is_not_queued_again_the_same_day(
    engine: Engine, session: Session
) -> None:
    queue_index_job(session, from_rows=FEW)
    job_id = session.scalar(text("SELECT id FROM job"))
    session.execute(text("UPDATE job SET state = 'cancelled', finished_at = now()"))
    session.commit()
    assert queue_index_job(session, from_rows=FEW) is None
    assert get_job(session, job_id).state == "cancelled"


def test_the_graph_of_an_index_fits_into_the_memory_that_is_reserved(engine: Engine) -> None:
    rows, size, block_kb = 30_000, 32, 8192  # one block of PostgreSQL's allocator
    notices: list[str] = []
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        connection.execute(
            text(
                "CREATE TEMPORARY TABLE vectors ON COMMIT DROP AS"
                " SELECT array_agg(random())::vector(32) AS mean"
                " FROM generate_series(1, :rows) AS row, generate_series(1, 32) GROUP BY row"
            ),
            {"rows": rows},
        )
        driver.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        for share in (0.5, 1.0):
            kilobytes = int(share * graph_bytes(rows, size) / 1024) + block_kb
            connection.execute(
                text("SELECT set_config('maintenance_work_mem', :size, true)"),
                {"size": f"{kilobytes}kB"},
            )
            connection.execute(
                text(
                    "CREATE INDEX ON vectors USING hnsw (mean vector_l2_ops)"
                    f" WITH (m = {HNSW_M}, ef_construction = {2 * HNSW_M})"
                )
            )
    assert len(notices) == 1  # only half of it is too little
    assert "no longer fits" in notices[0]

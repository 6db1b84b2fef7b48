"""One worker on one job: outcomes, failures, cancel, retry and fencing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jobs_fixtures import KIND, ProbeHandler, expected, register, stored
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from store_helpers import person

from app.core.access import Role
from app.core.engine import make_session_factory
from app.core.errors import ConflictError, PermissionDeniedError, StorageAwayError
from app.core.failures import failure_of
from app.core.settings import Settings
from app.jobs.leases import (
    MAX_ATTEMPTS,
    JobCancelledError,
    LeaseLostError,
    claim_chunk,
    end_chunk,
    renew_lease,
)
from app.jobs.records import JobRecord, Phase, Work
from app.jobs.service import cancel_job, create_job, get_job, list_events, list_items, retry_job
from app.jobs.tables import JobChunk
from worker.runner import JobRunner

MINUTE = timedelta(minutes=1)
ADA = person(Role.SUBMITTER, "ada")
Make = Callable[..., JobRecord]


@pytest.fixture
def handler() -> ProbeHandler:
    made = ProbeHandler()
    register(KIND, made)
    return made


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return make_session_factory(engine)


@pytest.fixture
def make(sessions: sessionmaker[Session], handler: ProbeHandler) -> Make:
    def make(**parameters: Any) -> JobRecord:
        with sessions.begin() as session:
            return create_job(session, KIND, parameters, ADA.name)

    return make


@pytest.fixture
def runner(sessions: sessionmaker[Session], tmp_path: Path) -> JobRunner:
    return JobRunner(sessions, Settings(data_dir=tmp_path, database_url="postgresql://x"))


def expire_leases(session: Session) -> None:
    past = "lease_until = now() - interval '1 s'"
    session.execute(text(f"UPDATE job_chunk SET {past} WHERE state = 'running'"))  # noqa: S608


def test_a_clock_that_is_set_back_keeps_no_job_waiting(
    sessions: sessionmaker[Session], make: Make, runner: JobRunner
) -> None:
    """Times written before the clock was set back are hours ahead of it."""
    job = make(items=4)
    with sessions.begin() as session:
        session.execute(text("UPDATE job_chunk SET due_at = now() + interval '2 h'"))
        claimed = claim_chunk(session, job.id, "one that died", MINUTE)
        assert claimed is not None
        assert claim_chunk(session, job.id, "another", MINUTE) is None
        session.execute(
            text(
                "UPDATE job_chunk SET lease_until = now() + interval '2 h' WHERE state = 'running'"
            )
        )
    runner.work(job.id)
    assert look(sessions, job).state == "succeeded"
    cancelled = make(items=4)
    with sessions.begin() as session:
        assert claim_chunk(session, cancelled.id, "one that died", timedelta(hours=2)) is not None
        cancel_job(session, cancelled.id, ADA)
    assert look(sessions, cancelled).state == "cancelled"


def test_a_job_waits_for_an_absent_store_and_reports_it(
    sessions: sessionmaker[Session], make: Make, runner: JobRunner
) -> None:
    """However long it is away; jobs used to fail after five attempts of half a minute each."""
    sentence = "The object store does not answer."

    class Away(ProbeHandler):
        def run_chunk(self, *_: Any) -> Any:
            raise StorageAwayError(sentence)

    register(KIND, Away())
    job = make(items=4)
    for _ in range(MAX_ATTEMPTS + 2):
        runner.work(job.id)
        waiting = look(sessions, job)
        assert (waiting.state, waiting.detail) == ("running", sentence)
        with sessions.begin() as session:
            session.execute(text("UPDATE job_chunk SET due_at = now()"))
    register(KIND, ProbeHandler())
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.done, ended.detail) == ("succeeded", 4, None)


def look(sessions: sessionmaker[Session], job: JobRecord) -> JobRecord:
    with sessions() as session:
        return get_job(session, job.id)


def test_every_item_is_stored_once_and_reported(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(items=10, per_chunk=4)
    assert runner.work(job.id) is False
    ended = look(sessions, job)
    assert (ended.state, ended.total, ended.done, ended.failed) == ("succeeded", 10, 10, 0)
    assert ended.result == {"stored": 10}
    assert ended.started_at is not None
    assert ended.finished_at is not None
    with sessions() as session:
        assert stored(session, job) == expected(job)
        page = list_items(session, job.id, limit=6)
        rest = list_items(session, job.id, limit=6, cursor=page.next)
        items = page.items + rest.items
        assert [(item.name, item.state) for item in items] == [
            (f"item-{index}", "done") for index in range(10)
        ]
        assert rest.next is None
        names = [event.name for event in list_events(session, job.id)]
        assert names == ["created", "started", "planned", "succeeded"]


def test_a_job_without_items_succeeds(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(items=0)
    runner.work(job.id)
    assert look(sessions, job).state == "succeeded"


def test_bad_items_are_listed_and_retried_alone(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    job = make(fail=["item-2", "item-9"], mended=str(tmp_path / "mended"))
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.done, ended.failed) == ("succeeded", 8, 2)
    assert ended.detail == "2 of 10 items could not be done. The first: item-2 is damaged."
    with sessions() as session:
        [first, _] = list_items(session, job.id, state="failed").items
        assert (first.name, first.reason) == ("item-2", "item-2 is damaged.")
    (tmp_path / "mended").touch()
    with sessions.begin() as session:
        assert retry_job(session, job.id, ADA).failed == 0
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.done, ended.failed) == ("succeeded", 10, 0)
    assert (ended.detail, ended.result) == (None, {"stored": 10})
    with sessions() as session:
        assert stored(session, job) == expected(job)
        with pytest.raises(ConflictError, match="nothing to retry"):
            retry_job(session, job.id, ADA)


def test_a_job_of_bad_items_only_failed(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(items=2, fail=["item-0", "item-1"])
    runner.work(job.id)
    ended = look(sessions, job)
    assert ended.state == "failed"
    assert ended.detail == "None of the 2 items could be done. The first: item-0 is damaged."


def test_a_chunk_that_cannot_be_done_fails_the_job_and_keeps_the_rest(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    job = make(break_chunk=1, mended=str(tmp_path / "mended"))
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.done, ended.failed) == ("failed", 6, 4)
    assert ended.detail == "This chunk cannot be done: mend it."
    (tmp_path / "mended").touch()
    with sessions.begin() as session:
        retry_job(session, job.id, ADA)
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.done, ended.failed) == ("succeeded", 10, 0)
    with sessions() as session:
        assert stored(session, job) == expected(job)


def test_a_plan_that_cannot_be_made_fails_the_job(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(break_plan=True)
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.detail) == ("failed", "The plan cannot be made: give another.")


def test_an_unforeseen_error_is_retried_and_then_fails(
    make: Make,
    runner: JobRunner,
    handler: ProbeHandler,
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_chunk(*_: object) -> None:
        handler.runs.append(0)
        raise KeyError("secret")

    monkeypatch.setattr(handler, "run_chunk", run_chunk)
    job = make(items=1)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        runner.work(job.id)
        assert len(handler.runs) == attempt
        with sessions.begin() as session:  # skip the pause
            session.execute(text("UPDATE job_chunk SET due_at = now()"))
    ended = look(sessions, job)
    assert ended.state == "failed"
    assert ended.detail is not None
    assert ended.detail.startswith("Unexpected error (KeyError)")
    assert "secret" not in ended.detail


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("SET LOCAL statement_timeout = 1;; SELECT pg_sleep(9)", "raise that time"),
        ("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(9)", "raise that time"),
        ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", "at the same time: try again"),
        ("DO $$ BEGIN RAISE SQLSTATE '53200'; END $$", "lacks memory"),
        ("DO $$ BEGIN RAISE SQLSTATE 'XX001'; END $$", "restore a backup"),
        ("SET LOCAL ROLE pg_monitor;; SELECT 1 FROM glitch", "grant it all rights"),
        (None, "GLITCH_WORKER_PROCESSES"),
    ],
)
def test_failures_of_database_and_machine_are_reported_and_retried(
    *,
    make: Make,
    runner: JobRunner,
    handler: ProbeHandler,
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
    statement: str | None,
    sentence: str,
) -> None:
    """Such failures used to be reported as "Unforeseen (QueryCanceled)", for example."""

    def run_chunk(work: Work, *_: object) -> None:
        if statement is None:
            raise MemoryError
        try:
            for one in statement.split(";; "):
                work.session.execute(text(one))
        except DBAPIError as error:
            answered = failure_of(error)
            assert answered is not None
            assert (answered.status, sentence in answered.sentence) == (503, True)
            raise

    with monkeypatch.context() as patched:
        patched.setattr(handler, "run_chunk", run_chunk)
        job = make(items=4)
        runner.work(job.id)
    with sessions.begin() as session:
        [detail] = session.scalars(text("SELECT detail FROM job_chunk WHERE detail IS NOT NULL"))
        session.execute(text("UPDATE job_chunk SET due_at = now()"))
    assert sentence in detail
    runner.work(job.id)
    assert look(sessions, job).state == "succeeded"


@pytest.mark.parametrize("stage", ["queued", "planned", "at work", "before the finish"])
def test_cancel(make: Make, runner: JobRunner, sessions: sessionmaker[Session], stage: str) -> None:
    job = make(items=8, per_chunk=4)
    steps = {"queued": 0, "planned": 1, "at work": 2, "before the finish": 3}[stage]
    for _ in range(steps):
        runner.work(job.id, slice_s=0)
    with sessions.begin() as session:
        assert cancel_job(session, job.id, ADA).state == "cancelled"
        assert cancel_job(session, job.id, ADA).state == "cancelled"
    assert runner.work(job.id) is False
    ended = look(sessions, job)
    assert ended.done == {0: 0, 1: 0, 2: 4, 3: 8}[steps]
    with sessions() as session:
        assert len(stored(session, job)) == ended.done
    with sessions.begin() as session:  # a retry does the remaining work
        retry_job(session, job.id, ADA)
    runner.work(job.id)
    assert look(sessions, job).state == "succeeded"
    with sessions() as session:
        assert stored(session, job) == expected(job)
        with pytest.raises(ConflictError, match="succeeded already"):
            cancel_job(session, job.id, ADA)


def test_cancel_under_a_chunk_leaves_it_within_seconds(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(items=5000, per_chunk=5000, slow_s=0.02)
    runner.work(job.id, slice_s=0)
    thread = threading.Thread(target=runner.work, args=[job.id])
    thread.start()
    is_at_work = text("SELECT FROM job_chunk WHERE job_id = :job AND state = 'running'")
    with sessions() as session:
        while session.execute(is_at_work, {"job": job.id}).first() is None:
            time.sleep(0.05)
            session.rollback()
    with sessions.begin() as session:
        assert cancel_job(session, job.id, ADA).state == "running"
    thread.join(30)  # about 2 s on an idle machine; the chunk takes 100
    assert not thread.is_alive()
    ended = look(sessions, job)
    assert (ended.state, ended.done) == ("cancelled", 0)
    with sessions() as session:
        assert stored(session, job) == []


def test_a_cancel_waits_for_a_claim_that_is_about_to_be_committed(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    """Otherwise the job would be cancelled first, and the claimed chunk stored afterwards."""
    job = make(items=8, per_chunk=4)
    runner.work(job.id, slice_s=0)

    def cancel() -> str:
        with sessions.begin() as session:
            return cancel_job(session, job.id, ADA).state

    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            assert claim_chunk(session, job.id, runner.owner, MINUTE) is not None
            state = pool.submit(cancel)
            time.sleep(0.5)  # enough for a cancel that does not wait
            assert not state.done()
        assert state.result() == "running"  # until the owner of the chunk has left it


def test_a_cancel_does_not_wait_for_the_rest_of_a_long_planning(
    make: Make, sessions: sessionmaker[Session]
) -> None:
    """Planning writes thousands of chunks in one transaction, and each row refers to the job."""
    job = make()
    chunk = {"job_id": job.id, "phase": Phase.RUN, "ordinal": 0, "payload": {}, "units": 1}
    with sessions.begin() as session:
        assert claim_chunk(session, job.id, "planner", MINUTE) is not None
    with sessions() as planning:
        planning.execute(insert(JobChunk), [chunk])
        with sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '5s'"))
            assert cancel_job(session, job.id, ADA).is_cancel_requested


@pytest.mark.parametrize("n_before", [1, 3])
def test_results_after_a_cancel_are_not_stored(
    *, make: Make, runner: JobRunner, sessions: sessionmaker[Session], n_before: int
) -> None:
    """Neither a chunk nor the finish is stored, so that results can be removed after a cancel."""
    job = make(items=8, per_chunk=4)
    for _ in range(n_before):
        runner.work(job.id, slice_s=0)
    with sessions.begin() as session:
        claimed = claim_chunk(session, job.id, "late", MINUTE)
    assert claimed is not None
    with sessions.begin() as session:
        cancel_job(session, job.id, ADA)
    counts = {"done": 4} if claimed[1].phase is Phase.RUN else {}
    with pytest.raises(JobCancelledError), sessions.begin() as session:
        end_chunk(session, claimed[1], **counts)
    ended = look(sessions, job)
    assert (ended.done, ended.result) == (4 * (n_before - 1), None)


def test_others_may_neither_cancel_nor_retry(make: Make, sessions: sessionmaker[Session]) -> None:
    job = make()
    with sessions() as session:
        with pytest.raises(PermissionDeniedError, match="Only ada, a reviewer or an admin"):
            cancel_job(session, job.id, person(Role.SUBMITTER, "eve"))
        with pytest.raises(PermissionDeniedError):
            retry_job(session, job.id, person(Role.SUBMITTER, "eve"))
        assert cancel_job(session, job.id, person(Role.REVIEWER, "bob")).state == "cancelled"


def test_a_late_worker_is_refused(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(items=1)
    runner.work(job.id, slice_s=0)
    with sessions.begin() as session:
        claimed = claim_chunk(session, job.id, "first", MINUTE)
        assert claimed is not None
        assert claim_chunk(session, job.id, "second", MINUTE) is None
    with sessions.begin() as session:
        expire_leases(session)
    with sessions.begin() as session:
        assert claim_chunk(session, job.id, "first", MINUTE) is not None  # even by the same owner
    for act in (
        lambda: renew_lease(session, claimed[1], MINUTE),
        lambda: end_chunk(session, claimed[1], done=1),
    ):
        with sessions() as session, pytest.raises(LeaseLostError):
            act()


def test_a_chunk_that_kills_its_workers_fails(
    make: Make, runner: JobRunner, sessions: sessionmaker[Session]
) -> None:
    job = make(items=4, per_chunk=2)
    runner.work(job.id, slice_s=0)
    for _ in range(MAX_ATTEMPTS):
        with sessions.begin() as session:
            claimed = claim_chunk(session, job.id, "doomed", MINUTE)
            assert claimed is not None
            assert (claimed[1].phase, claimed[1].ordinal) == (Phase.RUN, 0)
            expire_leases(session)
    runner.work(job.id)
    ended = look(sessions, job)
    assert (ended.state, ended.done, ended.failed) == ("failed", 2, 2)
    assert "ended unexpectedly 5 times" in str(ended.detail)

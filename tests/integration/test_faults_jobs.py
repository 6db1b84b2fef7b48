"""Processes killed, stopped or with wrong clocks: every item is stored once, without repair."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_fixtures import expected, stored
from jobs_stack import PATIENCE_S, Stack, kill_tree
from pace import is_within
from small_disk import small_file_system
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from store_helpers import person

from app.core.access import Role
from app.core.settings import Settings
from app.jobs.broker import (
    JOBS_QUEUE,
    PREFIX,
    RECONCILE_QUEUE,
    CeleryNotifier,
    make_celery,
    open_redis,
    waiting_messages,
)
from app.jobs.leases import jobs_due
from app.jobs.records import JobRecord
from app.jobs.service import cancel_job
from worker.stalled import EXIT_STALLED
from worker.tasks import Process

ADA = person(Role.SUBMITTER, "ada")
SLOW = {"items": 24, "per_chunk": 6, "slow_s": 0.2}  # four chunks of more than a second


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.close()


@pytest.fixture
def stack(running: Stack) -> Stack:
    running.keep_up()
    return running


def assert_all_stored_once(stack: Stack, job: JobRecord, *, kept_up: bool = False) -> JobRecord:
    ended = stack.wait(job, lambda found: not found.is_open, kept_up=kept_up)
    assert ended.state == "succeeded", ended
    assert (ended.total, ended.done, ended.failed) == (job.parameters["items"],) * 2 + (0,)
    with stack.sessions() as session:
        assert stored(session, job) == expected(job)
    assert ended.result == {"stored": job.parameters["items"]}
    return ended


def freeze(stack: Stack, job: JobRecord, process: int) -> None:
    """Stop a process that has a chunk, but not while it renews its lease, which locks the row."""
    free = text("SELECT FROM job_chunk WHERE job_id = :job AND state = 'running' FOR UPDATE NOWAIT")
    while True:
        os.kill(process, signal.SIGSTOP)
        time.sleep(0.1)
        try:
            with stack.sessions() as session:
                assert session.execute(free, {"job": job.id}).first() is not None
        except OperationalError:
            os.kill(process, signal.SIGCONT)
            time.sleep(0.1)
        else:
            return


def test_a_killed_pool_process(stack: Stack) -> None:
    job = stack.make(**SLOW)
    os.kill(stack.owner_at_work(job), signal.SIGKILL)
    assert_all_stored_once(stack, job)
    assert stack.max_attempts(job) == 2


def test_a_killed_worker_and_a_new_one(stack: Stack) -> None:
    job = stack.make(**SLOW)
    stack.owner_at_work(job)
    worker = stack.worker()
    kill_tree(worker.pid)
    worker.wait()
    assert stack.look(job.id).state == "running"
    stack.keep_up()
    assert_all_stored_once(stack, job)


def test_a_worker_that_was_taken_for_dead_comes_back(stack: Stack) -> None:
    job = stack.make(items=6, per_chunk=6, slow_s=0.5)
    sleeper = stack.owner_at_work(job)
    freeze(stack, job, sleeper)
    try:
        stack.wait(job, lambda found: not found.is_open)  # another process does the chunk
    finally:
        os.kill(sleeper, signal.SIGCONT)
    time.sleep(3)  # the sleeper finishes its chunk and is refused
    assert_all_stored_once(stack, job)
    assert stack.max_attempts(job) == 2


def test_redis_killed_and_wiped_under_a_job(stack: Stack) -> None:
    job = stack.make(**SLOW)
    stack.owner_at_work(job)
    stack.kill_redis()
    time.sleep(1)
    stack.start_redis()
    assert_all_stored_once(stack, job, kept_up=True)


def test_a_job_made_while_redis_is_down(stack: Stack) -> None:
    stack.kill_redis()
    started = time.monotonic()
    job = stack.make(**SLOW)
    assert is_within(time.monotonic() - started, 10)
    assert stack.look(job.id).state == "queued"
    stack.start_redis()
    assert_all_stored_once(stack, job, kept_up=True)


def test_a_stalled_worker_ends_itself(stack: Stack) -> None:
    """Its consumer is told to take no more messages, which Celery considers normal."""
    worker = stack.worker()
    stack.wait(stack.make(items=1), lambda found: not found.is_open)  # it takes messages
    with make_celery(stack.redis_url) as application:
        for queue in (JOBS_QUEUE, RECONCILE_QUEUE):
            application.control.cancel_consumer(queue)
    job = stack.make(items=4)
    assert worker.wait(PATIENCE_S) == EXIT_STALLED
    assert stack.look(job.id).state == "queued"
    assert_all_stored_once(stack, job, kept_up=True)


def test_postgresql_killed_and_started_again(stack: Stack) -> None:
    job = stack.make(**SLOW)
    stack.owner_at_work(job)
    stack.crash_database()
    time.sleep(1)
    stack.start_database()
    assert_all_stored_once(stack, job)


def test_a_message_delivered_many_times(stack: Stack) -> None:
    job = stack.make(**SLOW)
    notifier = CeleryNotifier(stack.redis_url)
    for _ in range(20):
        notifier.notify(job.id)
    assert_all_stored_once(stack, job)
    for _ in range(3):  # and after the job has ended
        notifier.notify(job.id)
    notifier.close()
    time.sleep(1)
    assert_all_stored_once(stack, job)
    assert stack.max_attempts(job) == 1


def test_workers_with_wrong_clocks_steal_no_lease(running: Stack) -> None:
    """Clocks an hour ahead and behind: no lease is stolen, and that of a dead worker expires."""
    running.stop_workers()
    running.spawn("worker", skew_s=3600)
    running.spawn("worker", skew_s=-3600)
    running.spawn("scheduler", skew_s=86400)
    job = running.make(**SLOW)
    ended = assert_all_stored_once(running, job)
    assert running.max_attempts(job) == 1
    assert ended.started_at is not None
    assert abs(ended.started_at.timestamp() - time.time()) < 2 * PATIENCE_S  # of the database
    job = running.make(**SLOW)
    os.kill(running.owner_at_work(job), signal.SIGKILL)
    assert_all_stored_once(running, job)
    running.stop_workers()


def test_many_jobs_that_wait_keep_no_worker_from_them(running: Stack) -> None:
    """The check for due jobs stays fast; with 5,000 jobs it used to take 45 s, every 5 s."""
    running.stop_workers()
    jobs = [running.make(items=1) for _ in range(120)]
    settings = Settings(data_dir=running.folder)
    process = Process(settings, running.url, running.redis_url)
    statements: list[str] = []
    event.listen(process.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with open_redis(running.redis_url) as redis:
        redis.set(f"{PREFIX}upkeep", "1")  # no upkeep now
        for waiting in (120, 0):  # with messages about them, then without
            if not waiting:
                redis.delete(f"{PREFIX}{JOBS_QUEUE}")
            assert waiting_messages(redis) == waiting
            statements.clear()
            process.reconcile()
            assert waiting_messages(redis) == 120
            assert len(statements) < 10, statements
        redis.delete(f"{PREFIX}{JOBS_QUEUE}", f"{PREFIX}upkeep")
    with running.sessions.begin() as session:
        cancel_job(session, jobs[0].id, ADA)
        session.execute(
            text("UPDATE job_chunk SET state = 'failed', detail = 'x' WHERE job_id = :job"),
            {"job": jobs[1].id},
        )
        assert set(jobs_due(session)) == {job.id for job in jobs[2:]}
    process.reconcile()
    assert [running.look(job.id).state for job in jobs[:3]] == ["cancelled", "failed", "queued"]
    process.close()
    with running.sessions.begin() as session:
        session.execute(text("DELETE FROM job"))
    with open_redis(running.redis_url) as redis:
        redis.delete(f"{PREFIX}{JOBS_QUEUE}")


def test_a_scheduler_whose_clock_is_set_back(stack: Stack) -> None:
    """The clock goes back two hours, as after booting with a wrong one: jobs are still found."""
    stack.stop_workers()
    stack.spawn("scheduler-set-back")

    def count_polls() -> int:
        with open_redis(stack.redis_url) as redis:
            return waiting_messages(redis, RECONCILE_QUEUE)

    deadline = time.monotonic() + PATIENCE_S
    while count_polls() < 12:  # one a second; the clock is set back after five
        assert time.monotonic() < deadline, count_polls()
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("stage", "parameters", "phase"),
    [
        ("planning", {"items": 4, "slow_plan_s": 30}, 0),
        ("a chunk", {"items": 60, "per_chunk": 60, "slow_s": 0.5}, 1),
        ("a chunk that does not listen", {"items": 8, "per_chunk": 8, "slow_s": 0.5, "busy": 1}, 1),
        ("the finish", {"items": 4, "slow_finish_s": 30}, 2),
    ],
)
def test_cancel(stack: Stack, stage: str, parameters: dict[str, float], phase: int) -> None:
    job = stack.make(**parameters)
    stack.owner_at_work(job, phase)
    with stack.sessions.begin() as session:
        assert cancel_job(session, job.id, ADA).is_cancel_requested
    ended = stack.wait(job, lambda found: not found.is_open)
    assert ended.state == "cancelled"
    with stack.sessions() as session:
        assert len(stored(session, job)) == ended.done
    assert ended.done == {0: 0, 1: 0, 2: 4}[phase]  # nothing that ended after the cancel


@pytest.mark.parametrize("busy", [False, True])
def test_a_stopped_worker_gives_its_chunk_back(stack: Stack, busy: bool) -> None:
    job = stack.make(items=1000, per_chunk=1000, slow_s=0.2, busy=busy)
    stack.owner_at_work(job)
    worker = stack.worker()
    started = time.monotonic()
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0
    took_s = time.monotonic() - started
    with stack.sessions() as session:
        states = text("SELECT state, attempts FROM job_chunk WHERE job_id = :job AND phase = 1")
        assert session.execute(states, {"job": job.id}).one() == ("queued", 0)
    assert took_s < 60  # 1 s (busy: 5 s) on an idle machine; the chunk takes 200 s
    with stack.sessions.begin() as session:
        assert cancel_job(session, job.id, ADA).state == "cancelled"


@pytest.fixture
def small_disk(running: Stack) -> Iterator[Path]:
    with small_file_system(running.folder) as folder:
        yield folder


def test_a_full_data_directory(running: Stack, small_disk: Path) -> None:
    running.stop_workers()
    running.spawn("worker", data_dir=small_disk)
    running.spawn("scheduler")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(6 * 2**20))
    job = running.make(items=4, per_chunk=4, write_mb=1)
    assert "disk of the data directory or of temporary files" in _reason_of_waiting(running, job)
    assert running.look(job.id).state == "running"
    filler.unlink()
    _hurry(running, job)
    assert_all_stored_once(running, job)
    running.stop_workers()


def test_a_full_disk_under_the_database(running: Stack, small_disk: Path) -> None:
    """A tablespace on a small disk fills up as a database's whole disk would."""
    stack = running
    stack.keep_up()
    place = small_disk / "tablespace"
    place.mkdir()
    shutil.chown(place, (stack.folder / "database").stat().st_uid)
    filler = small_disk / "filler"
    engine = stack.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE TABLESPACE small LOCATION '{place}'"))
        connection.execute(text("ALTER TABLE audit_event ALTER details SET STORAGE EXTERNAL"))
        connection.execute(text("ALTER TABLE audit_event SET TABLESPACE small"))
    try:
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 2**16))
        job = stack.make(items=200, per_chunk=200, padding=1900)
        assert "database's disk is full" in _reason_of_waiting(stack, job)
        filler.unlink()
        _hurry(stack, job)
        assert_all_stored_once(stack, job)
    finally:
        filler.unlink(missing_ok=True)
        stack.stop_workers()
        with engine.connect() as connection:
            connection.execute(text("ALTER TABLE audit_event SET TABLESPACE pg_default"))
            connection.execute(text("DROP TABLESPACE small"))


def _reason_of_waiting(stack: Stack, job: JobRecord) -> str:
    query = text("SELECT detail FROM job_chunk WHERE job_id = :job AND detail IS NOT NULL")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with stack.sessions() as session:
            detail = session.scalar(query, {"job": job.id})
        if detail is not None:
            assert stack.look(job.id).detail == detail  # the job says it too
            return str(detail)
        assert time.monotonic() < deadline, stack.look(job.id)
        time.sleep(0.1)


def _hurry(stack: Stack, job: JobRecord) -> None:
    """Skip the pause of 15 s before the next attempt; its length is not tested."""
    assert stack.max_attempts(job) <= 1  # waiting for a disk costs no attempt
    with stack.sessions.begin() as session:
        session.execute(
            text("UPDATE job_chunk SET due_at = now() WHERE job_id = :job"), {"job": job.id}
        )

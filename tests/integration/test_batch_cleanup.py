"""Which files of a batch are kept, for how long, and what a retry finds afterwards."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from store_helpers import person

from app.batches.cleanup import ABANDONED_S, Removed, clean_up_batches
from app.batches.options import BatchOptions, create_batch
from app.batches.storage import check_kept, keep_upload, work_folder
from app.core.access import Role
from app.core.errors import BusyError, ConflictError
from app.core.settings import Settings
from app.jobs.broker import PREFIX, is_worker_alive, note_worker_alive, open_redis, take_turn
from app.jobs.service import create_job, list_events, retry_job
from app.launch.redis.broker import find_redis_server
from app.server.upkeep import UPKEEP
from worker.tasks import Process

ADA = person(Role.SUBMITTER, "ada")
KEEP = timedelta(days=30)


def kept(folder: Path, content: bytes) -> str:
    return keep_upload(folder, io.BytesIO(content))[0]


def upload(folder: Path, digest: str) -> Path:
    return folder / "batches" / "uploads" / digest


def age(path: Path, seconds: float = ABANDONED_S + 60) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def ended(session: Session, folder: Path, content: bytes, days_ago: float, **job: object) -> UUID:
    """Store a batch that ended ``days_ago``, with its upload and unpacked members."""
    digest = kept(folder, content)
    made = create_batch(session, BatchOptions(digest, "a.tar"), ADA.name)
    (work_folder(folder, made.id) / "content").write_bytes(b"unpacked")
    age(upload(folder, digest))
    values = {"state": "succeeded", "total": 2, "done": 2, "failed": 0} | job
    session.execute(
        text(
            "UPDATE job SET state = :state, total = :total, done = :done, failed = :failed,"
            " finished_at = now() - make_interval(secs => :age) WHERE id = :id"
        ),
        {"id": made.id, "age": days_ago * 86_400, **values},
    )
    session.expire_all()
    return made.id


def left(folder: Path) -> tuple[int, int]:
    """Count the uploads and the folders of unpacked members."""
    return tuple(len(list((folder / "batches" / name).iterdir())) for name in ("uploads", "work"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("days_ago", "job", "is_kept"),
    [
        (0.5, {}, True),
        (2, {}, False),
        (2, {"done": 1, "failed": 1}, True),
        (31, {"done": 1, "failed": 1}, False),
        (29, {"state": "cancelled", "done": 0}, True),
        (31, {"state": "cancelled", "done": 0}, False),
        (2, {"state": "failed", "done": 0, "failed": 2}, True),
        (99, {"state": "running", "done": 0}, True),
    ],
)
def test_files_are_removed_when_no_retry_needs_them(
    session: Session, tmp_path: Path, days_ago: float, job: dict[str, object], is_kept: bool
) -> None:
    job_id = ended(session, tmp_path, b"a batch", days_ago, **job)
    removed = clean_up_batches(session, tmp_path, KEEP)
    assert removed == (Removed() if is_kept else Removed(jobs=1, uploads=1))
    assert left(tmp_path) == ((1, 1) if is_kept else (0, 0))
    assert clean_up_batches(session, tmp_path, KEEP) == Removed()  # nothing is left to remove
    if is_kept:
        return
    assert [one.name for one in list_events(session, job_id)][-1] == "inputs removed"
    if job:
        with pytest.raises(ConflictError, match="send the batch again"):
            retry_job(session, job_id, ADA)


def test_an_upload_stays_while_another_job_needs_it(session: Session, tmp_path: Path) -> None:
    ended(session, tmp_path, b"the same", 40, done=1, failed=1)
    later = ended(session, tmp_path, b"the same", 3, done=1, failed=1)
    assert clean_up_batches(session, tmp_path, KEEP) == Removed(jobs=1)
    assert left(tmp_path) == (1, 1)
    assert retry_job(session, later, ADA).state == "queued"
    assert clean_up_batches(session, tmp_path, timedelta(0)) == Removed()  # the retry needs it


def test_leftovers_of_killed_requests_and_workers_are_removed_by_age(
    session: Session, tmp_path: Path
) -> None:
    arriving = upload(tmp_path, ".arriving-x1")
    orphan = upload(tmp_path, kept(tmp_path, b"its job was never stored"))
    arriving.write_bytes(b"half")
    unpacked = work_folder(tmp_path, UUID(int=7))
    assert clean_up_batches(session, tmp_path, KEEP) == Removed()  # they may be in use
    for path in (arriving, orphan, unpacked):
        age(path)
    assert clean_up_batches(session, tmp_path, KEEP) == Removed(uploads=1, leftovers=2)
    assert left(tmp_path) == (0, 0)
    with pytest.raises(BusyError, match="send the batch again"):
        check_kept(tmp_path, orphan.name)


def test_the_scheduler_sweeps(session: Session, tmp_path: Path) -> None:
    ended(session, tmp_path, b"a batch", 3, done=1, failed=1)
    settings = Settings(data_dir=tmp_path, keep_batches_days=2)
    assert UPKEEP["files of batches removed"](session, settings) == (
        "1 jobs, 1 uploads, 0 leftovers"
    )
    assert UPKEEP["files of batches removed"](session, settings) is None
    assert UPKEEP["vector index"](session, settings) is None  # no checkpoint is active


def test_upkeep_jobs_are_kept_for_a_quarter(session: Session, tmp_path: Path) -> None:
    """Older ones are removed: the map alone starts 50,000 jobs a year, with their history."""
    done = "succeeded"
    for index, (kind, checkpoint, days, state) in enumerate(
        [
            *(("project", 1, 99, done), ("project", 1, 98, "failed"), ("project", 1, 1, done)),
            *(("project", 2, 99, done), ("index", 1, 400, done), ("ingest", 1, 400, done)),
            *(("judge", 1, 95, done), ("judge", 1, 94, done), ("judge", 1, 93, "running")),
        ]
    ):
        made = create_job(session, kind, {"checkpoint_id": checkpoint}, "x", key=str(index))
        session.execute(
            text(
                "UPDATE job SET state = :state, created_at = now() - make_interval(days => :days),"
                " finished_at = now() - make_interval(days => :days) WHERE id = :id"
            ),
            {"state": state, "days": days, "id": made.id},
        )
    remove = UPKEEP["own jobs of long ago removed"]
    assert remove(session, Settings(data_dir=tmp_path)) == "3 jobs"
    assert remove(session, Settings(data_dir=tmp_path)) is None
    assert session.scalars(text("SELECT key FROM job ORDER BY key")).all() == list("234578")
    orphans = "SELECT count(*) FROM job_event WHERE job_id NOT IN (SELECT id FROM job)"
    assert session.scalar(text(orphans)) == 0


def test_a_clock_set_back_does_not_prolong_expiry_in_redis(redis_url: str) -> None:
    with open_redis(redis_url) as redis:
        assert take_turn(redis, "upkeep", 600)
        assert not take_turn(redis, "upkeep", 600)
        redis.expire(f"{PREFIX}upkeep", 7800)  # as if the clock went back by two hours
        assert take_turn(redis, "upkeep", 600)
        assert not take_turn(redis, "upkeep", 600)
        note_worker_alive(redis)
        assert is_worker_alive(redis)
        for key in redis.scan_iter(f"{PREFIX}*alive*"):
            redis.expire(key, 7200)
        assert not is_worker_alive(redis)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis server, in a folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="glitch-cleanup-") as folder:
        path = f"{folder}/redis.sock"
        words = ["--port", "0", "--save", "", "--dir", folder, "--unixsocket", path]
        server = subprocess.Popen([str(find_redis_server()), *words], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not Path(path).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"unix://{path}"
        server.kill()
        server.wait()


def test_one_look_in_ten_minutes_sweeps(database_url: str, redis_url: str, tmp_path: Path) -> None:
    process = Process(Settings(data_dir=tmp_path), database_url, redis_url)
    leftover = upload(tmp_path, ".arriving-x2")
    leftover.parent.mkdir(parents=True)
    try:
        for is_due in (True, False):
            leftover.touch()
            age(leftover)
            process.reconcile()
            assert leftover.exists() is not is_due
        process.redis.flushall()  # as a restart of Redis would
        process.reconcile()
        assert not leftover.exists()
    finally:
        process.close()

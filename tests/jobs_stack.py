"""PostgreSQL, Redis, workers and the scheduler as real processes that tests can kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from jobs_fixtures import KIND, ProbeHandler, register
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from app.core.embedded import start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.jobs.broker import (
    JOBS_QUEUE,
    RECONCILE_QUEUE,
    CeleryNotifier,
    open_redis,
    waiting_messages,
)
from app.jobs.notify import notifier_info
from app.jobs.records import JobRecord
from app.jobs.service import create_job, get_job
from app.launch.redis.broker import find_redis_server

SCRIPT = Path(__file__).with_name("jobs_worker.py")
LEASE_S = 5  # renewed four times within this, so a stall of 3 s does not lose a lease
PATIENCE_S = 90  # long, because the machine may be busy with other work


class Stack:
    """All processes that jobs need, in their own folder; ``close`` stops and removes them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="glitch-faults-"))
        self.folder.chmod(0o755)  # if root runs the tests, the database runs as another user
        self.server = start_embedded(self.folder / "database")
        self.url = self.server.url()
        upgrade(self.url)
        self.engine = make_engine(self.url)
        self.redis: subprocess.Popen[bytes] | None = None
        self.redis_url = f"unix://{self.folder}/redis.sock"
        self.start_redis()
        self.sessions: sessionmaker[Session] = make_session_factory(
            self.engine, info=notifier_info(CeleryNotifier(self.redis_url))
        )
        self.children: list[subprocess.Popen[bytes]] = []
        self.ended: list[str] = []  # processes that were restarted, with their exit codes
        register(KIND, ProbeHandler())

    def start_redis(self) -> None:
        """Start an empty Redis; it keeps no data of the previous one."""
        options = {"--port": "0", "--save": "", "--dir": str(self.folder)}
        words = [word for option in options.items() for word in option]
        self.redis = subprocess.Popen(
            [str(find_redis_server()), "--unixsocket", str(self.folder / "redis.sock"), *words],
            stdout=subprocess.DEVNULL,
        )

    def kill_redis(self) -> None:
        assert self.redis is not None
        self.redis.kill()
        self.redis.wait()

    def crash_database(self) -> None:
        """Kill the postmaster with SIGKILL, and wait until it and its backends have exited."""
        lock = self.folder / "database" / "postgres" / "postmaster.pid"
        postmaster = psutil.Process(int(lock.read_text().split()[0]))
        backends = postmaster.children(recursive=True)
        postmaster.kill()
        for process in (postmaster, *backends):
            process.wait(PATIENCE_S)

    def start_database(self) -> None:
        start_embedded(self.folder / "database")

    def spawn(
        self, role: str, *, skew_s: float = 0.0, processes: int = 1, data_dir: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker or the scheduler with its clock shifted by ``skew_s`` seconds."""
        child = subprocess.Popen(
            [sys.executable, str(SCRIPT), role, str(skew_s)],
            env={
                **os.environ,
                "DATABASE_URL": self.url,
                "REDIS_URL": self.redis_url,
                "GLITCH_DATA_DIR": str(data_dir or self.folder),
                "GLITCH_RECONCILE_S": "1",
                "GLITCH_JOB_LEASE_S": str(LEASE_S),
                "GLITCH_WORKER_PROCESSES": str(processes),
                "GLITCH_LOG_LEVEL": "warning",
                "OMP_NUM_THREADS": "1",
            },
        )
        self.children.append(child)
        return child

    def keep_up(self) -> None:
        """Restart Redis, a worker of two processes and the scheduler if ended, as `up` does."""
        assert self.redis is not None
        if self.redis.poll() is not None:
            self.ended.append(f"Redis: {self.redis.returncode}")
            self.start_redis()
        for child in self.children:
            if child.poll() is not None:
                self.ended.append(f"{child.args!r}: {child.returncode}")
        self.children = [child for child in self.children if child.poll() is None]
        if not self._children("worker"):
            self.spawn("worker", processes=2)
        if not self._children("scheduler"):
            self.spawn("scheduler")

    def _children(self, role: str) -> list[subprocess.Popen[bytes]]:
        return [child for child in self.children if role in child.args]  # type: ignore[operator]

    def worker(self) -> subprocess.Popen[bytes]:
        return self._children("worker")[0]

    def stop_workers(self) -> None:
        """Kill all workers and schedulers at once."""
        for child in self.children:
            if child.poll() is None:
                kill_tree(child.pid)
                child.wait()
        self.children = []

    def make(self, **parameters: Any) -> JobRecord:
        with self.sessions.begin() as session:
            return create_job(session, KIND, parameters, "ada")

    def look(self, job_id: UUID) -> JobRecord:
        with self.sessions() as session:
            return get_job(session, job_id)

    def wait(
        self, job: JobRecord, until: Callable[[JobRecord], bool], *, kept_up: bool = False
    ) -> JobRecord:
        """Return the job once ``until`` holds; with ``kept_up``, restart processes that ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not until(found := self.look(job.id)):
            assert time.monotonic() < deadline, (found, self.how_it_stands())
            if kept_up:
                self.keep_up()
            time.sleep(0.05)
        return found

    def how_it_stands(self) -> dict[str, Any]:
        """Return which processes run and which messages wait, for the message of a failed test."""
        assert self.redis is not None
        stand: dict[str, Any] = {str(child.args): child.poll() for child in self.children}
        stand |= {"redis": self.redis.poll(), "ended": self.ended}
        try:
            with open_redis(self.redis_url) as redis:
                for queue in (JOBS_QUEUE, RECONCILE_QUEUE):
                    stand[f"messages in {queue}"] = waiting_messages(redis, queue)
        except RedisError as error:
            stand["error"] = repr(error)
        return stand

    def owner_at_work(self, job: JobRecord, phase: int = 1) -> int:
        """Wait until a process holds a chunk of the job, and return its process id."""
        query = text(
            "SELECT lease_owner FROM job_chunk "
            "WHERE job_id = :job AND phase = :phase AND state = 'running'"
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with self.sessions() as session:
                owner = session.scalar(query, {"job": job.id, "phase": phase})
            if owner is not None:
                return int(owner.split(":")[1])
            assert time.monotonic() < deadline, self.look(job.id)
            time.sleep(0.05)

    def wait_for_renewal(self, job: JobRecord) -> None:
        """Wait until the job's worker has checked for cancel requests committed before the call."""
        query = text("SELECT lease_until FROM job_chunk WHERE job_id = :job AND state = 'running'")
        deadline = time.monotonic() + PATIENCE_S
        seen: list[Any] = []  # the first renewal may have checked before the commit, not the next
        while len(seen) < 3:
            with self.sessions() as session:
                until = session.scalar(query, {"job": job.id})
            if until not in seen:
                seen.append(until)
            assert time.monotonic() < deadline, self.look(job.id)
            time.sleep(0.05)

    def max_attempts(self, job: JobRecord) -> int:
        with self.sessions() as session:
            query = text("SELECT max(attempts) FROM job_chunk WHERE job_id = :job")
            return int(session.scalar(query, {"job": job.id}))

    def close(self) -> None:
        self.stop_workers()
        self.kill_redis()
        self.engine.dispose()
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants with SIGKILL."""
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        one.send_signal(signal.SIGKILL)

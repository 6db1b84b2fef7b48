"""The two tasks. Each may be delivered twice, late or never; the database decides what is due."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.engine import make_engine, make_session_factory
from app.core.settings import Settings
from app.jobs import broker
from app.jobs.finalising import finalise
from app.jobs.leases import jobs_at_their_end, jobs_due
from app.jobs.notify import notifier_info
from app.server.upkeep import UPKEEP, UPKEEP_EVERY_S
from worker.celery_process import is_stopping, leave_now
from worker.runner import JobRunner, is_connection_lost
from worker.stalled import BusyProcesses

_log = logging.getLogger("worker")
SLICE_S = 20.0  # then another job gets its turn
_POOL = 4  # for the work, its lease, and connections opened by handlers


class Process:
    """The open connections of one worker process.

    Created after the fork, because connections must not be shared across it.
    """

    def __init__(self, settings: Settings, database_url: str, redis_url: str) -> None:
        self.engine: Engine = make_engine(database_url, pool_size=_POOL, max_overflow=2)
        self.notifier = broker.CeleryNotifier(redis_url)
        self.redis: Redis = broker.open_redis(redis_url)
        self.settings = settings
        self.at_work = BusyProcesses(self._report_alive)
        self.sessions: sessionmaker[Session] = make_session_factory(
            self.engine, info=notifier_info(self.notifier)
        )
        self.runner = JobRunner(
            self.sessions,
            settings,
            notify=self._notify,
            is_stopping=is_stopping,
            on_abandoned=leave_now,
        )

    def _report_alive(self) -> None:
        with suppress(RedisError):
            broker.note_worker_alive(self.redis)

    def work(self, job_id: UUID) -> None:
        """Run a slice of a job, and send another message if more is due."""
        with self._working():
            if self.runner.work(job_id, slice_s=SLICE_S):
                self._notify(job_id)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Report signs of life during the block. An unavailable database is only logged."""
        try:
            with self.at_work:
                yield
        except DBAPIError as error:
            if not is_connection_lost(error):
                raise
            message = " ".join(str(error.orig).split())
            _log.warning("the database is unavailable: jobs continue when it is back (%s)", message)

    def work_once(self) -> bool:
        """Run a slice of each open job that is due, and return whether there were any."""
        has_worked = False
        self._end_jobs()
        for job_id in self._due():
            if not is_stopping():
                self.work(job_id)
                has_worked = True
        return has_worked

    def _due(self) -> tuple[UUID, ...]:
        with self.sessions() as session:
            return jobs_due(session)

    def _end_jobs(self) -> None:
        """End finished jobs whose end no worker noticed."""
        with self.sessions() as session:
            job_ids = jobs_at_their_end(session)
        for job_id in job_ids:
            with self.sessions.begin() as session:
                finalise(session, job_id)

    def reconcile(self) -> None:
        """Report a sign of life, end finished jobs, and send messages for what is due.

        If messages about jobs are waiting, all workers are busy, and more messages would only
        accumulate. If requests to reconcile have accumulated, only the last one is processed.
        """
        with self._working():
            self._reconcile()

    def _reconcile(self) -> None:
        try:
            broker.note_worker_alive(self.redis)
            if broker.waiting_messages(self.redis, broker.RECONCILE_QUEUE):
                return
            is_quiet = broker.waiting_messages(self.redis) == 0
            is_my_turn = broker.take_turn(self.redis, "upkeep", UPKEEP_EVERY_S)
        except RedisError:
            is_quiet, is_my_turn = True, False
        self._end_jobs()
        for job_id in self._due() if is_quiet else ():
            self._notify(job_id)
        if is_my_turn:
            self.maintain()

    def maintain(self) -> None:
        """Run the regular maintenance, each step in its own transaction."""
        for step, act in UPKEEP.items():
            try:
                with self.sessions.begin() as session:
                    outcome = act(session, self.settings)
            except (SQLAlchemyError, OSError) as error:
                _log.warning("upkeep: no %s (%s)", step, type(error).__name__)
            else:
                if outcome:
                    _log.info("upkeep: %s: %s", step, outcome)

    def _notify(self, job_id: UUID) -> None:
        try:
            self.notifier.notify(job_id)
        except Exception as error:  # noqa: BLE001  (the next reconciliation notifies instead)
            _log.warning("job %s: no message sent (%s)", job_id, type(error).__name__)

    def close(self) -> None:
        """Close every connection."""
        self.at_work.close()
        self.engine.dispose()
        self.redis.close()

"""Readiness of the service, checked independently of requests."""

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.errors import ServiceError
from app.core.migrate import current_revision, head_revision
from app.jobs.broker import check_takes_messages, is_worker_alive
from app.models.checkpoints import active_checkpoint
from app.models.inference import Encoders
from glitch.errors import GlitchError

OK = "ok"
MIN_DISK_BYTES = 200_000_000  # with less, uploads may fail at any moment
_PATIENCE_S = 3.0
_UPLOADS_NEED = ("database", "disk", "model")  # in the order in which they are checked


@dataclass(frozen=True)
class Readiness:
    """Result of a check: for each part ``"ok"``, or a sentence that says what is wrong."""

    checks: dict[str, str]  # what an upload needs
    background: str  # what jobs need

    @property
    def is_ready(self) -> bool:
        """Whether uploads can be served."""
        return all(state == OK for state in self.checks.values())


@dataclass(eq=False)
class ReadinessProbe:
    """Checks readiness, one check at a time.

    It uses its own thread and its own database connection, which requests cannot take. A check also
    loads the active checkpoint's encoder if needed. ``redis`` is None if REDIS_URL is not set.
    """

    engine: Engine
    sessions: sessionmaker[Session]
    encoders: Encoders
    data_dir: Path
    redis: Redis | None

    def __post_init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._running_check: Future[Readiness] | None = None
        self._results: dict[str, str] = {}  # results so far of the running check

    async def look(self) -> Readiness:
        """Return the current state, or the result of a check that is already running.

        A check that takes too long is reported as not ready, with the part that hangs.
        """
        if self._running_check is None or self._running_check.done():
            self._results = {}
            self._running_check = self._executor.submit(self.find)
        try:
            return await asyncio.wait_for(
                asyncio.shield(asyncio.wrap_future(self._running_check)), _PATIENCE_S
            )
        except TimeoutError:
            states = dict(self._results)
            part = next((name for name in _UPLOADS_NEED if name not in states), "background work")
            late = (
                f"The check of the {part} did not end within {_PATIENCE_S:g} s: it hangs, or this "
                "machine is overloaded."
            )
            return Readiness(states if part not in _UPLOADS_NEED else {**states, part: late}, late)

    def find(self) -> Readiness:
        """Check everything now; blocks."""
        checks = self._results = {}
        checks["database"] = self._database_state()
        checks["disk"] = self._disk_state()
        checks["model"] = (
            self._model_state() if checks["database"] == OK else "The database must work first."
        )
        return Readiness(checks, self._background_state())

    def close(self) -> None:
        """Stop the thread and close the connection."""
        self._executor.shutdown(cancel_futures=True)
        self.engine.dispose()

    def _database_state(self) -> str:
        try:
            current = current_revision(self.engine)
            with self.engine.connect() as connection:
                is_read_only = connection.scalar(text("SHOW transaction_read_only")) == "on"
        except SQLAlchemyError:
            return (
                "The database does not answer: check that it runs and that DATABASE_URL is right."
            )
        if is_read_only:
            return "The database is read-only: it is a standby, or was configured so."
        head = head_revision()
        if current != head:
            return (
                f"The database is at migration {current}, this version needs {head}: run "
                "`alembic upgrade head`."
            )
        return OK

    def _disk_state(self) -> str:
        of_data = _state_of(self.data_dir, "the data directory")
        if of_data != OK:
            return of_data
        return _state_of(Path(tempfile.gettempdir()), "temporary files (TMPDIR)")

    def _model_state(self) -> str:
        try:
            with self.sessions() as session:
                digest = active_checkpoint(session).digest
            self.encoders.get(digest)
        except (ServiceError, GlitchError, SQLAlchemyError) as error:
            return str(error)
        return OK

    def _background_state(self) -> str:
        if self.redis is None:
            return "REDIS_URL is not set: jobs wait until it is, and a worker runs."
        try:
            check_takes_messages(self.redis)
            is_alive = is_worker_alive(self.redis)
        except RedisError as error:
            return (
                f"Redis does not answer, or accepts no messages ({error}): jobs wait until it does."
            )
        return OK if is_alive else "No worker has reported for a minute: jobs wait until one runs."


def _state_of(folder: Path, what: str) -> str:
    if folder.is_dir() and not os.access(folder, os.W_OK):
        return (
            f"Nothing can be written to the disk of {what} (it is read-only, or belongs to another "
            "user): correct that; uploads may be refused with 507 until then."
        )
    free = disk_free_bytes(folder)
    if free is None or free >= MIN_DISK_BYTES:
        return OK
    return (
        f"Only {free / 1e6:.0f} MB are left on the disk of {what}: make room; uploads may be "
        "refused with 507 until then."
    )


def disk_free_bytes(folder: Path) -> int | None:
    """Return the free bytes on the disk of a folder; None if they cannot be determined."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None

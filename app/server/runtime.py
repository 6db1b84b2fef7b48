"""What lives as long as the process: opened once at start, shared by every request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.engine import make_engine, make_session_factory
from app.core.errors import NotReadyError, ServiceError
from app.core.migrate import current_revision, head_revision
from app.core.settings import Settings
from app.decoding.pool import running_pool
from app.jobs.bell import bell_info
from app.jobs.broker import CeleryBell, is_worker_alive, open_redis
from app.jobs.reconciling import is_any_chunk_at_work
from app.models.checkpoints import active_checkpoint
from app.models.index import IndexAudit, latest_audit
from app.models.inference import BatchingEncoder, Encoders, StrainTransform
from app.models.painting import Painter
from app.models.picture_links import PictureLinks
from app.models.records import CheckpointRecord
from glitch.checkpoint import Checkpoint, shipped_checkpoint
from glitch.decoder import Decoder
from glitch.encoder import Encoder
from glitch.errors import GlitchError

CHECKPOINTS_FOLDER = "checkpoints"  # in the data directory
OK = "ok"


@dataclass(frozen=True)
class Runtime:
    """Engine, encoders and signer of one process. ``app.state.runtime`` of the application."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    encoders: Encoders
    strain_to_views: StrainTransform
    picture_links: PictureLinks
    redis: Redis | None = None  # None: REDIS_URL is not set

    def active_encoder(self) -> tuple[CheckpointRecord, BatchingEncoder]:
        """The active checkpoint and its encoder, loaded at first need.

        Holds a database connection only for the look-up, not while weights load.

        Raises:
            NotReadyError: if none is active, or its weights are not here.
        """
        with self.sessions() as session:
            checkpoint = active_checkpoint(session)
        return checkpoint, self.encoders.get(checkpoint.digest)

    def readiness(self) -> dict[str, str]:
        """Each part that an upload needs, with ``"ok"`` or a sentence that says what is wrong."""
        checks = {"database": self._database_state()}
        checks["model"] = (
            self._model_state() if checks["database"] == OK else "The database comes first."
        )
        return checks

    def background_state(self) -> str:
        """``"ok"`` where jobs are worked on, or a sentence that says why they wait.

        Uploads do not need it, and jobs are kept: they go on once it is mended.
        """
        if self.redis is None:
            return "REDIS_URL is not set: jobs wait until it is, and a worker runs."
        try:
            is_alive = is_worker_alive(self.redis)
        except RedisError:
            return "Redis does not answer: jobs go on once it does."
        if not is_alive:
            # A worker with one process leaves no sign while it is at a long chunk.
            try:
                with self.sessions() as session:
                    is_alive = is_any_chunk_at_work(session)
            except SQLAlchemyError:
                is_alive = False
        return OK if is_alive else "No worker was heard for a minute: jobs wait until one runs."

    def index_audit(self) -> IndexAudit | None:
        """How well the active checkpoint's vector index finds; None where nothing is known."""
        try:
            with self.sessions() as session:
                return latest_audit(session, active_checkpoint(session).id)
        except (SQLAlchemyError, ServiceError):
            return None

    def _database_state(self) -> str:
        try:
            current = current_revision(self.engine)
        except SQLAlchemyError:
            return "The database does not answer: see that it runs and that DATABASE_URL is right."
        head = _known_head()
        if current != head:
            return (
                f"The database is at migration {current}, this version needs {head}: run "
                "`alembic upgrade head`."
            )
        return OK

    def _model_state(self) -> str:
        try:
            self.active_encoder()
        except (ServiceError, GlitchError) as error:
            return str(error)
        return OK


@cache
def _known_head() -> str | None:
    """Read once: the migrations of a running process do not change, and probes come often."""
    return head_revision()


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """Open what a process needs, and close it again.

    Raises:
        NotReadyError: if there is no database address.
    """
    if settings.database_url is None:
        raise NotReadyError(
            "DATABASE_URL is not set: give the address of a PostgreSQL server with pgvector, or "
            "start with `make up`, which brings its own."
        )
    engine = make_engine(
        settings.database_url.get_secret_value(), pool_size=settings.database_pool, max_overflow=0
    )
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    bell = CeleryBell(redis_url) if redis_url else None
    redis = open_redis(redis_url) if redis_url else None
    encoders = Encoders(checkpoint_roots(settings), encoder_maker(settings))
    pool = running_pool(children=settings.decoders, timeout_s=settings.queue_timeout_s)
    try:
        with pool:
            yield Runtime(
                settings=settings,
                engine=engine,
                sessions=make_session_factory(engine, info=bell_info(bell)),
                encoders=encoders,
                strain_to_views=StrainTransform(
                    concurrency=settings.strain_concurrency,
                    timeout_s=settings.queue_timeout_s,
                    device=settings.device,
                ),
                picture_links=PictureLinks(
                    settings.signing_secret, lifetime_days=settings.picture_link_days
                ),
                redis=redis,
            )
    finally:
        encoders.close()
        if bell is not None and redis is not None:
            bell.close()
            redis.close()
        engine.dispose()


def checkpoint_roots(settings: Settings) -> tuple[Path, ...]:
    """The folders that hold the weights of published checkpoints."""
    return (settings.data_dir / CHECKPOINTS_FOLDER, shipped_checkpoint().parent)


def encoder_maker(settings: Settings) -> Callable[[Checkpoint], BatchingEncoder]:
    """Wraps a loaded checkpoint into a batching encoder, bounded as the settings say."""

    def make(checkpoint: Checkpoint) -> BatchingEncoder:
        return BatchingEncoder(
            Encoder(checkpoint, device=settings.device),
            checkpoint.manifest.preprocessing,
            painter=Painter(
                Decoder(checkpoint, device=settings.device), timeout_s=settings.queue_timeout_s
            ),
            max_batch=settings.encoder_batch,
            wait_s=settings.encoder_wait_ms / 1000,
            max_queue=settings.encoder_queue,
            timeout_s=settings.queue_timeout_s,
        )

    return make

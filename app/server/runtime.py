"""Objects that are opened when a process starts and shared by all its requests."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.engine import make_engine, make_session_factory
from app.core.errors import NotReadyError, ServiceError
from app.core.settings import Settings
from app.core.storage import clean_up_leftovers
from app.decoding.pool import running_pool
from app.jobs.broker import CeleryNotifier, open_redis
from app.jobs.notify import notifier_info
from app.models.checkpoints import active_checkpoint, active_id
from app.models.index import IndexAudit, latest_audit
from app.models.inference import BatchingEncoder, Encoders, Painter, StrainTransform
from app.models.picture_links import PictureLinks
from app.models.records import CheckpointRecord
from app.server.admission import WAIT_S, Admissions
from app.server.readiness import ReadinessProbe
from glitch.checkpoint import Checkpoint, shipped_checkpoint
from glitch.decoder import Decoder
from glitch.encoder import Encoder

if TYPE_CHECKING:
    from app.issuers.bearer import SciTokens
    from app.issuers.login import LoginProvider

_FILE = "signing-key"
_MIN_LENGTH = 32  # characters


def signing_secret(settings: Settings) -> bytes:
    """Return the signing key, which all processes with this data directory share.

    If no setting gives it, it is kept in a file of mode 0600. The file is locked while it is read
    or created, so that processes that start at the same time use the same key. A file that a crash
    left short or full of zeros is replaced.
    """
    if settings.signing_key is not None:
        return settings.signing_key.get_secret_value().encode()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.data_dir / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        key = file.read().strip()
        if len(key) < _MIN_LENGTH or not (key.isascii() and key.isprintable()):
            key = secrets.token_urlsafe(_MIN_LENGTH)
            file.seek(0)
            file.truncate()
            file.write(key + "\n")
            file.flush()
            os.fsync(descriptor)
        return key.encode()


# for a table locked by an operator; otherwise waiting requests would keep their places
LONGEST_LOCK_S = 30.0
CHECKPOINTS_FOLDER = "checkpoints"  # in the data directory


@dataclass(frozen=True)
class Runtime:
    """Engine, encoders, signer and other shared objects of one process.

    Stored as ``app.state.runtime`` of the application.
    """

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    encoders: Encoders
    admissions: Admissions
    readiness: ReadinessProbe
    strain_to_views: StrainTransform
    signing_secret: bytes
    picture_links: PictureLinks
    redis: Redis | None = None  # None: REDIS_URL is not set
    scitokens: SciTokens | None = None  # None: SciTokens are not accepted
    login_provider: LoginProvider | None = None  # None: only tokens log in
    # checkpoints used so far, by id
    _published: dict[int, CheckpointRecord] = field(default_factory=dict)

    @cached_property
    def look_ups(self) -> sessionmaker[Session]:
        """Sessions for short reads: each statement is a separate transaction."""
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        return make_session_factory(engine)

    def active_encoder(self) -> tuple[CheckpointRecord, BatchingEncoder]:
        """Return the active checkpoint and its encoder, loading it when first needed.

        Holds a database connection only during the look-up, not while weights load.

        Raises:
            NotReadyError: if no checkpoint is active, or its weights are missing.
        """
        with self.look_ups() as session:
            checkpoint = self._published.get(active_id(session) or 0)
            if checkpoint is None:
                checkpoint = active_checkpoint(session)
                self._published[checkpoint.id] = checkpoint
        return checkpoint, self.encoders.get(checkpoint.digest)

    def index_audit(self) -> IndexAudit | None:
        """Return the latest audit of the active checkpoint's vector index; None if unknown."""
        try:
            with self.sessions() as session:
                return latest_audit(session, active_checkpoint(session).id)
        except (SQLAlchemyError, ServiceError):
            return None


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """Open the shared objects of a process, and close them at the end.

    Raises:
        NotReadyError: if DATABASE_URL is not set.
    """
    if settings.database_url is None:
        raise NotReadyError(
            "DATABASE_URL is not set: give the address of a PostgreSQL server with pgvector, or "
            "start with `make up`, which brings its own."
        )
    clean_up_leftovers()
    address = settings.database_url.get_secret_value()
    engine = make_engine(
        address,
        pool_size=settings.database_pool,
        max_overflow=0,
        wait_s=WAIT_S,
        lock_wait_s=LONGEST_LOCK_S,
    )
    probe_engine = make_engine(address, pool_size=1, max_overflow=0, wait_s=WAIT_S)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    notifier = CeleryNotifier(redis_url) if redis_url else None
    redis = open_redis(redis_url) if redis_url else None
    secret = signing_secret(settings)
    encoders = Encoders(checkpoint_roots(settings), encoder_maker(settings))
    probe = ReadinessProbe(
        probe_engine, make_session_factory(probe_engine), encoders, settings.data_dir, redis
    )
    pool = running_pool(children=settings.decoders, timeout_s=settings.queue_timeout_s)
    try:
        with pool:
            yield Runtime(
                settings=settings,
                engine=engine,
                sessions=make_session_factory(engine, info=notifier_info(notifier)),
                encoders=encoders,
                admissions=Admissions.of(settings.database_pool, settings.queue_timeout_s),
                readiness=probe,
                strain_to_views=StrainTransform(
                    concurrency=settings.strain_concurrency,
                    timeout_s=settings.queue_timeout_s,
                    device=settings.device,
                ),
                signing_secret=secret,
                picture_links=PictureLinks(secret, lifetime_days=settings.picture_link_days),
                redis=redis,
                scitokens=_scitokens(settings),
                login_provider=_login_provider(settings),
            )
    finally:
        probe.close()
        encoders.close()
        if notifier is not None and redis is not None:
            notifier.close()
            redis.close()
        engine.dispose()


def _scitokens(settings: Settings) -> SciTokens | None:
    if not settings.scitoken_issuers:
        return None
    from app.issuers.bearer import SciTokens

    return SciTokens.of(settings)


def _login_provider(settings: Settings) -> LoginProvider | None:
    if settings.oidc_issuer is None:
        return None
    from app.issuers.login import LoginProvider

    return LoginProvider(settings)


def checkpoint_roots(settings: Settings) -> tuple[Path, ...]:
    """Return the folders with the weights of published checkpoints."""
    return (settings.data_dir / CHECKPOINTS_FOLDER, shipped_checkpoint().parent)


def encoder_maker(settings: Settings) -> Callable[[Checkpoint], BatchingEncoder]:
    """Return a function that makes a batching encoder from a checkpoint, as configured."""

    def make(checkpoint: Checkpoint) -> BatchingEncoder:
        return BatchingEncoder(
            Encoder(checkpoint, device=settings.device),
            checkpoint.manifest.preprocessing,
            Painter(
                Decoder(checkpoint, device=settings.device), timeout_s=settings.queue_timeout_s
            ),
            max_batch=settings.encoder_batch,
            wait_s=settings.encoder_wait_ms / 1000,
            max_queue=settings.encoder_queue,
            timeout_s=settings.queue_timeout_s,
        )

    return make

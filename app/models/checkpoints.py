"""Published checkpoints. At most one is active, and each query uses only one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.core.access import AuditEvent
from app.core.errors import InvalidRequestError, NotFoundError, NotReadyError, required
from app.core.postgres.one_trip import in_one_round_trip
from app.core.postgres.partitions import create_partition, vector_index_name
from app.glitches.tables import Embedding, GlitchTally
from app.models.records import CheckpointRecord
from app.models.tables import Checkpoint

LARGEST_LATENT = 2000  # what an HNSW index of pgvector can hold
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PUBLISHERS_LOCK = 6_720_341_906  # any constant; publishing and activating must use the same one


def publish_checkpoint(
    session: Session,
    *,
    name: str,
    digest: str,
    preprocessing_digest: str,
    latent_size: int,
    manifest: Mapping[str, Any],
    activate: bool = True,
) -> CheckpointRecord:
    """Register a checkpoint and create its partition; InvalidRequestError if a value is invalid.

    Publishing the same digest again only activates it, if requested. A checkpoint is also activated
    if none is active.
    """
    for value in (digest, preprocessing_digest):
        if not _DIGEST.fullmatch(value):
            raise InvalidRequestError("A checkpoint's digest must be a hex SHA-256.")
    if not 1 <= latent_size <= LARGEST_LATENT:
        raise InvalidRequestError(
            f"A latent vector may have 1 to {LARGEST_LATENT} dimensions, not {latent_size}."
        )
    lock_publishing(session)
    row = session.scalar(select(Checkpoint).where(Checkpoint.digest == digest))
    if row is None:
        row = Checkpoint(
            name=name,
            digest=digest,
            preprocessing_digest=preprocessing_digest,
            latent_size=latent_size,
            manifest=dict(manifest),
            is_active=False,
        )
        session.add(row)
        session.flush()
        create_partition(session, row.id, latent_size)
    if activate or active_id(session) is None:
        return activate_checkpoint(session, row.id)
    return CheckpointRecord.model_validate(row)


def activate_checkpoint(session: Session, checkpoint_id: int) -> CheckpointRecord:
    """Make this checkpoint the only active one; NotFoundError if it does not exist."""
    lock_publishing(session)
    found = session.get(Checkpoint, checkpoint_id)
    row = required(found, f"There is no checkpoint {checkpoint_id}.")
    if not row.is_active:
        # Deactivate the old one first: the partial unique index never allows two.
        session.execute(update(Checkpoint).where(Checkpoint.is_active).values(is_active=False))
        row.is_active = True
        session.flush()
    return CheckpointRecord.model_validate(row)


def active_checkpoint(session: Session) -> CheckpointRecord:
    """The active checkpoint; NotReadyError if there is none."""
    row = session.scalar(select(Checkpoint).where(Checkpoint.is_active))
    if row is None:
        raise NotReadyError(
            "No checkpoint is active: publish one with 'glitch-discovery publish FOLDER'."
        )
    return CheckpointRecord.model_validate(row)


def active_id(session: Session) -> int | None:
    """Id of the active checkpoint, without reading its manifest (tens of kilobytes)."""
    return session.scalar(_ACTIVE_ID)


_ACTIVE_ID = select(Checkpoint.id).where(Checkpoint.is_active)


def hold_active(session: Session, checkpoint_id: int) -> bool:
    """Whether this checkpoint is active; if so, it stays active until the end of the transaction.

    For callers that store embeddings under it: a switch waits for them, so it misses no glitch.
    """
    # Facts cached earlier may be outdated, so they are read after taking the lock.
    return _read_facts(session, checkpoint_id, prefix=_SHARED_LOCK).is_active


_SHARED_LOCK = f"SELECT pg_advisory_xact_lock_shared({_PUBLISHERS_LOCK});"


def get_checkpoint(session: Session, checkpoint_id: int) -> CheckpointRecord:
    """The checkpoint with this id; NotFoundError if there is none."""
    row = session.get(Checkpoint, checkpoint_id)
    text = f"There is no checkpoint {checkpoint_id}."
    return CheckpointRecord.model_validate(required(row, text))


@dataclass(frozen=True)
class SearchFacts:
    """Facts about a checkpoint's vectors that a search needs."""

    latent_size: int
    is_active: bool
    is_indexed: bool  # whether its vector index is complete
    is_spherical: bool  # means have equal length, so distance and angle give the same order


def search_facts(session: Session, checkpoint_id: int) -> SearchFacts:
    """Facts of this checkpoint, read once per transaction; NotFoundError if it does not exist."""
    return _cached_facts(session).get(checkpoint_id) or _read_facts(session, checkpoint_id)


def _cached_facts(session: Session) -> dict[int, SearchFacts]:
    by_transaction: WeakKeyDictionary[Any, dict[int, SearchFacts]] = session.info.setdefault(
        _FACTS_KEY, WeakKeyDictionary()
    )
    return by_transaction.setdefault(session.get_transaction() or session.begin(), {})


def _read_facts(session: Session, checkpoint_id: int, *, prefix: str = "") -> SearchFacts:
    values = {"id": checkpoint_id, "name": vector_index_name(checkpoint_id)}
    rows = in_one_round_trip(session, prefix + _SEARCH_FACTS, values)
    if not rows:
        raise NotFoundError(f"There is no checkpoint {checkpoint_id}.")
    facts = SearchFacts(*rows[0])
    _cached_facts(session)[checkpoint_id] = facts
    return facts


_FACTS_KEY = "facts of checkpoints, by transaction"
_SEARCH_FACTS = (
    "SELECT latent_size, is_active,"
    " coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(name)s)), false),"
    # Only the architecture with a front end has means on a sphere.
    " coalesce(manifest -> 'architecture' ? 'front_end', false)"
    " FROM checkpoint WHERE id = %(id)s"
)


def list_checkpoints(session: Session) -> list[CheckpointRecord]:
    """All checkpoints, latest first."""
    rows = session.scalars(select(Checkpoint).order_by(Checkpoint.id.desc()))
    return [CheckpointRecord.model_validate(row) for row in rows]


@dataclass(frozen=True)
class CheckpointUsage:
    """Coverage of the catalogue by a checkpoint."""

    embedded: int = 0  # number of glitches with its embedding
    activated_at: datetime | None = None  # the last time
    activated_by: str | None = None


def standings(session: Session) -> tuple[int, dict[int, CheckpointUsage]]:
    """Number of glitches, and the coverage by each checkpoint, by checkpoint id."""
    total = int(session.scalar(select(func.sum(GlitchTally.n))) or 0)
    counted = select(Embedding.checkpoint_id, func.count()).group_by(Embedding.checkpoint_id)
    embedded = dict(session.execute(counted).all())
    about = [AuditEvent.subject == "checkpoint", AuditEvent.action == "activate"]
    latest = {
        row.subject_id: row
        for row in session.scalars(select(AuditEvent).where(*about).order_by(AuditEvent.id))
    }  # the latest event of each checkpoint
    by_checkpoint = {}
    for checkpoint_id in session.scalars(select(Checkpoint.id)):
        event = latest.get(str(checkpoint_id))
        by_checkpoint[checkpoint_id] = CheckpointUsage(
            embedded=embedded.get(checkpoint_id, 0),
            activated_at=None if event is None else event.created_at,
            activated_by=None if event is None else event.actor,
        )
    return total, by_checkpoint


def lock_publishing(session: Session) -> None:
    """Serialise publishing and activating until the end of the transaction."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PUBLISHERS_LOCK})

"""Storing and finding glitches."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from app.services.records import (
    CheckpointRecord,
    EmbeddingRecord,
    EncodingLike,
    GlitchFilters,
    GlitchMetadata,
    GlitchRecord,
    Page,
    StoredGlitch,
    ViewRecord,
)
from glitch.views import Views


def insert_glitch(
    session: Session,
    *,
    views: Views,
    encoding: EncodingLike,
    checkpoint: CheckpointRecord,
    metadata: GlitchMetadata,
) -> StoredGlitch:
    """Store a glitch, its views and its embedding; the same upload twice is one glitch."""
    raise NotImplementedError


def get_glitch(session: Session, glitch_id: UUID) -> GlitchRecord:
    """The glitch of this id, or NotFoundError."""
    raise NotImplementedError


def find_glitch(session: Session, public_id: str) -> GlitchRecord | None:
    """The glitch of this Gravity Spy id or of this id of ours (as text), if there is one."""
    raise NotImplementedError


def get_embedding(
    session: Session, glitch_id: UUID, checkpoint_id: int | None = None
) -> EmbeddingRecord:
    """The embedding under that checkpoint (default: the active one), or NotFoundError."""
    raise NotImplementedError


def get_view(session: Session, glitch_id: UUID, duration_s: float) -> ViewRecord:
    """One view as stored, or NotFoundError that names the views there are."""
    raise NotImplementedError


def list_glitches(
    session: Session,
    filters: GlitchFilters = GlitchFilters(),  # noqa: B008  (frozen)
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[GlitchRecord]:
    """A page of glitches, latest stored first. 1 <= limit <= 1000, else InvalidRequestError."""
    raise NotImplementedError

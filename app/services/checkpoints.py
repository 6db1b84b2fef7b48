"""Published checkpoints: exactly one is active."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.services.records import CheckpointRecord


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
    """Make a checkpoint known and give it room for embeddings; a known digest is returned."""
    raise NotImplementedError


def activate_checkpoint(session: Session, checkpoint_id: int) -> CheckpointRecord:
    """Make this the one active checkpoint."""
    raise NotImplementedError


def active_checkpoint(session: Session) -> CheckpointRecord:
    """The active checkpoint, or NotReadyError that says how to publish one."""
    raise NotImplementedError


def list_checkpoints(session: Session) -> list[CheckpointRecord]:
    """All checkpoints, latest first."""
    raise NotImplementedError

"""From records of checkpoints to the JSON of the API."""

from __future__ import annotations

from app.models import schemas as model_schemas
from app.models.records import CheckpointRecord


def checkpoint(record: CheckpointRecord) -> model_schemas.Checkpoint:
    """One published model."""
    return model_schemas.Checkpoint(
        name=record.name,
        digest=record.digest,
        preprocessing_digest=record.preprocessing_digest,
        latent_size=record.latent_size,
        is_active=record.is_active,
        created_at=record.created_at,
        manifest=dict(record.manifest),
    )

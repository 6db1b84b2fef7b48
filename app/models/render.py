"""From records of checkpoints to the JSON of the API."""

from __future__ import annotations

from app.models import schemas as model_schemas
from app.models.records import CheckpointRecord


def checkpoint(record: CheckpointRecord) -> model_schemas.Checkpoint:
    """One published model."""
    return model_schemas.Checkpoint.model_validate(record)

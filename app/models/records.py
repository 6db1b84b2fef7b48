"""Checkpoints as services give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class CheckpointRecord:
    """A published checkpoint."""

    id: int
    name: str
    digest: str  # hex SHA-256 of the checkpoint
    preprocessing_digest: str  # hex SHA-256, glitch.views.Preprocessing.digest()
    latent_size: int
    manifest: Mapping[str, Any]
    is_active: bool
    created_at: datetime

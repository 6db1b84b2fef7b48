"""Novelty in SQL: split-conformal p-values against the labelled glitches."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy.orm import Session

from glitch.novelty import Judgement


def judge_novelty(
    session: Session,
    *,
    vector: Float[np.ndarray, " latent"],
    checkpoint_id: int,
    ifo: str | None,
    origin: str,
    exclude_id: UUID | None = None,
) -> Judgement:
    """How novel a latent vector is under one checkpoint, for one detector and kind of origin."""
    raise NotImplementedError


def recalibrate(session: Session, checkpoint_id: int) -> int:
    """Compute the calibration scores anew; returns how many. Call after a bulk load."""
    raise NotImplementedError

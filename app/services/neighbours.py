"""The nearest known glitches of a latent vector."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy.orm import Session

from app.services.records import GlitchFilters, Neighbour

MOST_NEIGHBOURS = 200


def find_neighbours(
    session: Session,
    *,
    vector: Float[np.ndarray, " latent"],
    checkpoint_id: int,
    k: int = 10,
    filters: GlitchFilters = GlitchFilters(),  # noqa: B008  (frozen)
    exclude_id: UUID | None = None,
) -> list[Neighbour]:
    """The k nearest glitches under one checkpoint, ascending distance. 0 <= k <= 200."""
    raise NotImplementedError

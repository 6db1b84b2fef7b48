"""Stored glitches as views again, to be encoded once more."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.glitches.tables import View
from glitch.codec import unpack_view
from glitch.views import Preprocessing, Views


def stored_views(
    session: Session, glitch_ids: Sequence[UUID], recipe: Preprocessing
) -> dict[UUID, Views]:
    """The views of stored glitches, on the grid of this recipe.

    Raises:
        GlitchError: if one has a window that the recipe does not have.
    """
    shape = (len(recipe.durations_s), recipe.n_frequency, recipe.n_time)
    values = {one: np.zeros(shape, dtype=np.float32) for one in glitch_ids}
    observed = {one: np.zeros(shape[:2], dtype=np.bool_) for one in glitch_ids}
    for view in session.scalars(select(View).where(View.glitch_id.in_(glitch_ids))):
        index = recipe.view_index(view.duration)
        values[view.glitch_id][index] = unpack_view(view.packed, shape[1:])
        rows = np.unpackbits(np.frombuffer(view.observed, dtype=np.uint8), count=view.n_frequency)
        observed[view.glitch_id][index] = rows.astype(np.bool_)
    session.expunge_all()  # or the session would keep every picture it has seen
    return {one: Views(values[one], observed[one], recipe) for one in glitch_ids}

"""Stored glitches that were seen otherwise than the references: encoded again by what both show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from jaxtyping import Int
from sqlalchemy.orm import Session

from app.glitches.browsing import stored_views
from glitch.novelty import LEAST_OF_CLASS
from glitch.novelty.common_masks import Seen
from glitch.novelty.pool import UNLABELLED, Pool
from glitch.types import LatentArray, ObservedArray
from glitch.views import Views

if TYPE_CHECKING:
    from glitch.encoder import Encoder  # imports torch

_AT_ONCE = 256


@dataclass(frozen=True)
class Reencoding:
    """How a clustering encodes stored glitches again."""

    encoder: Callable[[], Encoder]  # takes seconds to load: asked for at need
    heartbeat: Callable[[], None]  # comes every few seconds; may end the clustering by an exception

    def seen(self, session: Session, ids: Callable[[np.ndarray], list[UUID]], pool: Pool) -> Seen:
        """What the glitches of a pool show.

        ``ids`` gives the ids of those at some places of the pool.
        """
        encoder = self.encoder()
        recipe = encoder.preprocessing

        def encode(places: Int[np.ndarray, " glitch"], mask: ObservedArray) -> LatentArray:
            parts = []
            for start in range(0, len(places), _AT_ONCE):
                block = ids(places[start : start + _AT_ONCE])
                views = stored_views(session, block, recipe)
                masked = [_under(views[one], mask) for one in block]
                parts.append(encoder.means(masked))
                self.heartbeat()
            return np.concatenate(parts)

        _, firsts = np.unique(pool.conditions, return_index=True)
        examples = ids(firsts)
        views = stored_views(session, examples, recipe)
        labelled = pool.classes != UNLABELLED
        _, numbers, counts = np.unique(pool.classes, return_inverse=True, return_counts=True)
        return Seen(
            np.stack([views[one].observed for one in examples]),
            labelled & pool.is_reference & (counts[numbers] >= LEAST_OF_CLASS),
            encode,
        )


def _under(views: Views, mask: ObservedArray) -> Views:
    values = views.values.copy()
    values[~mask] = 0
    return Views(values, mask, views.preprocessing)

"""Pictures of what the model makes of a glitch: its reconstruction, its residual, its traversals.

Reading and painting are apart: what a plan needs of the database is read in the request's
transaction, and ``etag`` names the picture, so that a browser that has it is not sent it again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from app.core.errors import InvalidRequestError
from app.glitches.records import ViewRecord
from app.glitches.service import get_embedding, get_view, list_views
from app.models.checkpoints import get_checkpoint
from app.models.inference import Painter
from glitch.codec import unpack_view
from glitch.decoder import traversal
from glitch.images import render_difference, render_strip, render_view
from glitch.traversals import STEPS, steps_between
from glitch.views import Preprocessing, views_from_images

Kind = Literal["reconstruction", "residual"]

FARTHEST = 20.0  # sigmas of the prior: what lies beyond is no glitch, and nothing sane is painted
STRIP_SIZE = (128, 104)  # of one view in a strip, pixels
WINDOW_SIZE = (228, 186)  # of one of the four windows beside each other
_VERSION = "1"  # change it with how pictures are drawn: it is part of their name


@dataclass(frozen=True)
class PicturePlan:
    """A picture that can be painted."""

    checkpoint: str  # digest of the checkpoint that paints
    etag: str
    draw: Callable[[Painter], bytes]


def plan_comparison(
    session: Session,
    glitch_id: UUID,
    duration_s: float,
    kind: Kind,
    checkpoint_id: int | None = None,
) -> PicturePlan:
    """One view as the model paints it from the glitch's vector, or what was seen less that."""
    stored = get_view(session, glitch_id, duration_s)
    embedding = get_embedding(session, glitch_id, checkpoint_id)
    digest = get_checkpoint(session, embedding.checkpoint_id).digest

    def reconstruction(painter: Painter) -> bytes:
        painted = painter.paint(embedding.mean[None], (stored.duration_s,))[0]
        return render_view(painted, stored.observed)

    if kind == "reconstruction":
        draw = reconstruction
        read = b""
    else:
        views = list_views(session, glitch_id)
        read = b"".join(one.packed for one in views)

        def draw(painter: Painter) -> bytes:
            recipe = painter.preprocessing
            seen = views_from_images(
                {one.duration_s: unpack_view(one.packed, one.shape) for one in views},
                recipe,
                observed_rows={one.duration_s: one.observed for one in views},
            )
            index = recipe.view_index(stored.duration_s)
            return render_difference(painter.residual(seen, embedding.mean)[index], stored.observed)

    return PicturePlan(
        digest,
        _etag(
            kind, digest, str(glitch_id), f"{stored.duration_s:g}", embedding.mean.tobytes(), read
        ),
        draw,
    )


def plan_strip(
    session: Session,
    glitch_id: UUID,
    unit: int,
    *,
    duration_s: float,
    low: float = -3.0,
    high: float = 3.0,
    checkpoint_id: int | None = None,
) -> PicturePlan:
    """Views painted from a glitch's vector while one latent moves from one end to the other.

    Raises:
        InvalidRequestError: if the ends make no sense, or there is no such latent.
        NotFoundError: if there is no such glitch, or the checkpoint did not embed it.
        NotReadyError: if no checkpoint is named and none is active.
        GlitchError: when drawn, if the checkpoint has no such window.
    """
    if not -FARTHEST <= low < high <= FARTHEST:  # refuses NaN too
        raise InvalidRequestError(
            f"low must be below high, both from {-FARTHEST:g} to {FARTHEST:g} sigmas of the prior."
        )
    embedding = get_embedding(session, glitch_id, checkpoint_id)
    if not 0 <= unit < len(embedding.mean):
        raise InvalidRequestError(
            f"There is no latent z{unit}: this checkpoint has z0 to z{len(embedding.mean) - 1}."
        )
    digest = get_checkpoint(session, embedding.checkpoint_id).digest
    vectors = traversal(embedding.mean, unit, steps_between(low, high))

    def draw(painter: Painter) -> bytes:
        painted = painter.paint(np.asarray(vectors, dtype=np.float32), (duration_s,))
        return render_strip(list(painted), STRIP_SIZE)

    etag = _etag("strip", digest, f"{duration_s:g} {STEPS}", vectors.tobytes())
    return PicturePlan(digest, etag, draw)


def four_windows(views: Sequence[ViewRecord]) -> bytes:
    """The windows of a glitch beside each other, shortest first; one that is absent is hatched."""
    known = {one.duration_s: one for one in views}
    shown = [known.get(duration_s) for duration_s in Preprocessing().durations_s]
    return render_strip(
        [None if one is None else unpack_view(one.packed, one.shape) for one in shown],
        WINDOW_SIZE,
        observed=[None if one is None else one.observed for one in shown],
    )


def _etag(*parts: str | bytes) -> str:
    digest = hashlib.sha256(_VERSION.encode())
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return f'"{digest.hexdigest()[:32]}"'

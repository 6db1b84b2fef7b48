"""How novel one glitch is, by one scan of the references in SQL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.glitches.neighbours import check_vector
from app.glitches.tables import Embedding, Glitch
from app.models import checkpoints
from app.novelty.conditions import angle
from glitch.novelty import (
    LEAST_REFERENCES,
    NEAREST,
    TIE,
    Calibration,
    Judgement,
    judge,
)
from glitch.novelty.episodes import COPY_DISTANCE, EPISODE_S
from glitch.observing_runs import observing_run

MOST_CALIBRATION = 2000  # of a detector, kind and run; finer p-values change no decision
_SPARE = 20  # references fetched beyond the nearest, in case some are of the same event
NO_DETECTOR = Judgement(
    None,
    None,
    False,
    "Could not be judged: the detector is not known, and glitches are compared within one "
    "detector. Give ifo.",
)


def judge_novelty(
    session: Session,
    *,
    vector: Float[np.ndarray, " latent"],
    checkpoint_id: int,
    ifo: str | None,
    origin: str,
    gps_time: Decimal | None = None,
    condition: str,
    exclude_id: UUID | None = None,
) -> Judgement:
    """How novel a latent vector is.

    Args:
        session: The transaction to read in.
        vector: Posterior mean, shape (latent,).
        checkpoint_id: Under which checkpoint it was encoded.
        ifo: Its detector; without one it cannot be judged.
        origin: Where the glitch comes from; simulated ones are judged by simulated ones alone.
        gps_time: In s; decides on the observing run, and what else is of the same episode.
        condition: The windows and band it was seen in (``glitch.novelty.conditions``): only
            labelled glitches seen alike calibrate it.
        exclude_id: The glitch itself, if it is stored: it must not judge itself.

    Raises:
        InvalidRequestError: a vector of another size or not finite.
        NotFoundError: if there is no such checkpoint.
    """
    size = checkpoints.latent_size(session, checkpoint_id)
    query = check_vector(vector, size)
    if ifo is None:
        return NO_DETECTOR
    same_kind = [
        Embedding.checkpoint_id == checkpoint_id,
        Embedding.ifo == ifo,
        Embedding.is_simulated.is_(origin == "simulated"),
    ]
    own = [*same_kind, Embedding.glitch_id == exclude_id]
    if exclude_id is not None:
        same_kind.append(Embedding.glitch_id != exclude_id)
    references = [*same_kind, Embedding.is_reference]
    few = select(Embedding.glitch_id).where(*references).limit(LEAST_REFERENCES).subquery()
    n_references = session.scalar(select(func.count()).select_from(few)) or 0
    score = score_against(
        session, query, references, gps_time, is_reference=_is_reference(session, own)
    )
    named = None if origin == "simulated" else ifo
    if score is None:
        return judge(None, n_references, Calibration(0, 0), ifo=named)
    calibration = Embedding.calibration_score
    counts = {
        run: Calibration(n, n_as_novel)
        for run, n, n_as_novel in session.execute(
            select(
                Embedding.calibration_run,
                func.count(),
                func.count().filter(calibration >= score - TIE),
            )
            .where(*same_kind, calibration.is_not(None), Embedding.condition == condition)
            .group_by(Embedding.calibration_run)
        )
    }
    whole = Calibration(
        sum(one.n for one in counts.values()), sum(one.n_as_novel for one in counts.values())
    )
    run = observing_run(None if gps_time is None else float(gps_time))
    of_run = counts.get(run) if run else None
    return judge(score, n_references, whole, of_run, run, condition=condition, ifo=named)


def score_against(
    session: Session,
    query: Float[np.ndarray, " latent"],
    references: list[Any],
    gps_time: Decimal | None,
    *,
    is_reference: bool,
) -> float | None:
    """Distance to the ``NEAREST``-th nearest reference of another event.

    As ``glitch.novelty.novelty_scores`` has it: to a reference, copies are no others.
    """
    distance = angle(Embedding.mean.cosine_distance(query))
    limit = NEAREST + _SPARE
    while True:
        nearest = (
            select(Embedding.glitch_id, distance.label("distance"))
            .where(*references)
            .order_by(distance)
            .limit(limit)
            .subquery()
        )
        rows = session.execute(
            select(nearest.c.distance, Glitch.gps_time)
            .join(Glitch, Glitch.id == nearest.c.glitch_id)
            .order_by(nearest.c.distance)
        ).all()
        others = [
            one
            for one, time in rows
            if not _is_same_event(one, time, gps_time, copies=is_reference)
        ]
        if len(others) >= NEAREST:
            return float(others[NEAREST - 1])
        if len(rows) < limit:
            return None
        limit *= 4


def _is_reference(session: Session, own: list[Any]) -> bool:
    return bool(session.scalar(select(Embedding.is_reference).where(*own)))


def _is_same_event(
    distance: float, one: Decimal | None, other: Decimal | None, *, copies: bool
) -> bool:
    if one is None or other is None:
        return copies and distance <= COPY_DISTANCE
    return abs(one - other) <= EPISODE_S

"""Novelty in SQL: split-conformal p-values against the labelled glitches.

A labelled glitch is a reference or, if the first byte of its content digest says so, calibrates
(``glitch.novelty``), unless its class has too few members for them to be recognised by each other.
Only glitches of the same detector judge each other, and simulated ones never judge real ones. A
calibration score is taken when its glitch is labelled; references added later would lower it, so
that p-values err towards "not novel" until ``recalibrate`` takes them anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from typing import cast as cast_type
from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy import (
    ColumnElement,
    Double,
    Row,
    ScalarSelect,
    Table,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from app.services import checkpoints
from app.services.neighbours import check_vector
from app.store.models import Embedding, Glitch
from glitch.novelty import LEAST_OF_CLASS, LEAST_REFERENCES, NEAREST, Judgement, judge

MOST_CALIBRATION = 2000  # of one detector and kind; p-values finer than 1/2000 change no decision
REJUDGED_AT_ONCE = 5000
TABLE = cast_type(Table, Embedding.__table__)
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
    exclude_id: UUID | None = None,
) -> Judgement:
    """How novel a latent vector is.

    Args:
        session: The transaction to read in.
        vector: Posterior mean, shape (latent,).
        checkpoint_id: Under which checkpoint it was encoded.
        ifo: Its detector; without one it cannot be judged.
        origin: Where the glitch comes from; simulated ones are judged by simulated ones alone.
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
    if exclude_id is not None:
        same_kind.append(Embedding.glitch_id != exclude_id)
    references = [*same_kind, Embedding.is_reference]
    few = select(Embedding.glitch_id).where(*references).limit(LEAST_REFERENCES).subquery()
    n_references = session.scalar(select(func.count()).select_from(few)) or 0
    distance = _angle(Embedding.mean.cosine_distance(query))
    score = session.scalar(
        select(distance).where(*references).order_by(distance).offset(NEAREST - 1).limit(1)
    )
    if score is None:
        return judge(None, n_references, 0, 0)
    calibration = Embedding.calibration_score
    n_calibration, n_as_novel = session.execute(
        select(func.count(), func.count().filter(calibration >= score)).where(
            *same_kind, calibration.is_not(None)
        )
    ).one()
    return judge(score, n_references, n_as_novel, n_calibration)


def note_class_change(session: Session, glitch_id: UUID) -> None:
    """Let a glitch join or leave the references or the calibration after its label changed.

    Args:
        session: The transaction that changed ``glitch.class_id``.
        glitch_id: Which glitch.
    """
    is_labelled, is_calibration = session.execute(
        select(Glitch.class_id.is_not(None), Glitch.is_calibration).where(Glitch.id == glitch_id)
    ).one()
    session.execute(
        update(Embedding)
        .where(Embedding.glitch_id == glitch_id)
        .values(is_reference=is_labelled and not is_calibration, calibration_score=null())
        .execution_options(synchronize_session=False)
    )
    if is_labelled and is_calibration:
        if not session.scalar(select(_is_established()).where(Glitch.id == glitch_id)):
            return
        published = select(Embedding.checkpoint_id).where(Embedding.glitch_id == glitch_id)
        for checkpoint_id in session.scalars(published).all():
            _calibrate(session, checkpoint_id, [glitch_id])


def recalibrate(session: Session, checkpoint_id: int) -> int:
    """Take the calibration scores of a checkpoint anew; call after a bulk load.

    Of each detector and kind at most ``MOST_CALIBRATION`` glitches calibrate, those of the lowest
    digests, which is a random choice. A catalogue of at most ``REJUDGED_AT_ONCE`` glitches is
    judged anew too; a larger one is for ``rejudge``, in batches.

    Returns:
        How many glitches calibrate now.
    """
    session.execute(
        update(Embedding)
        .where(Embedding.checkpoint_id == checkpoint_id, Embedding.calibration_score.is_not(None))
        .values(calibration_score=null())
        .execution_options(synchronize_session=False)
    )
    place = func.row_number().over(
        partition_by=(Glitch.ifo, Glitch.is_simulated), order_by=Glitch.content_digest
    )
    ranked = (
        select(Glitch.id, place.label("place"))
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(
            Embedding.checkpoint_id == checkpoint_id,
            Glitch.is_calibration,
            Glitch.class_id.is_not(None),
            Glitch.ifo.is_not(None),
            _is_established(),
        )
        .subquery()
    )
    members = session.scalars(select(ranked.c.id).where(ranked.c.place <= MOST_CALIBRATION)).all()
    n_calibration = _calibrate(session, checkpoint_id, members)
    embedded = session.scalars(
        select(Embedding.glitch_id)
        .where(Embedding.checkpoint_id == checkpoint_id)
        .limit(REJUDGED_AT_ONCE + 1)
    ).all()
    if len(embedded) <= REJUDGED_AT_ONCE:
        rejudge(session, checkpoint_id, embedded)
    return n_calibration


def rejudge(session: Session, checkpoint_id: int, glitch_ids: Collection[UUID]) -> int:
    """Judge stored glitches anew and store the judgements.

    What was stored first had little to be compared with; call after ``recalibrate``. The cost is
    one scan of the references a glitch, so give the ids in batches.

    Returns:
        How many of them are judged now.
    """
    rows = session.execute(
        select(
            Embedding.glitch_id,
            Embedding.ifo,
            Embedding.is_simulated,
            Embedding.is_reference,
            Embedding.calibration_score,
            _score_against_references(checkpoint_id),
        ).where(Embedding.checkpoint_id == checkpoint_id, _is_one_of(glitch_ids))
    ).all()
    groups = _Groups.load(session, checkpoint_id)
    judgements = {row[0]: groups.judge(row) for row in rows}
    if judgements:
        session.connection().execute(
            update(TABLE)
            .where(TABLE.c.checkpoint_id == checkpoint_id, TABLE.c.glitch_id == bindparam("which"))
            .values(
                novelty_score=bindparam("score"),
                p_value=bindparam("p"),
                is_judged=bindparam("judged"),
                not_judged_reason=bindparam("reason"),
            ),
            [
                {
                    "which": glitch_id,
                    "score": judgement.score,
                    "p": judgement.p_value,
                    "judged": judgement.is_judged,
                    "reason": judgement.reason,
                }
                for glitch_id, judgement in judgements.items()
            ],
        )
        session.expire_all()
    return sum(judgement.is_judged for judgement in judgements.values())


def _angle(cosine_distance: ColumnElement[float]) -> ColumnElement[float]:
    """The distance; 1 from a vector of zeros, for which pgvector answers NaN."""
    not_a_number = cast(literal("NaN"), Double)
    return func.coalesce(func.nullif(cosine_distance, not_a_number), 1.0)


def _is_established() -> ColumnElement[bool]:
    """Whether the enclosing statement's glitch is of a class with enough members to calibrate.

    Asks for the last one needed only, which is a short index scan however large the class is.
    """
    peer = aliased(Glitch)
    return (
        select(peer.id)
        .where(
            peer.class_id == Glitch.class_id,
            peer.ifo == Glitch.ifo,
            peer.is_simulated == Glitch.is_simulated,
        )
        .offset(LEAST_OF_CLASS - 1)
        .limit(1)
        .correlate(Glitch)
        .exists()
    )


def _score_against_references(checkpoint_id: int) -> ScalarSelect[Any]:
    """The score of the enclosing statement's ``embedding`` row; no glitch is its own reference."""
    reference = aliased(Embedding)
    distance = _angle(reference.mean.cosine_distance(Embedding.mean))
    score = (
        select(distance)
        .where(
            reference.checkpoint_id == checkpoint_id,
            reference.ifo == Embedding.ifo,
            reference.is_simulated == Embedding.is_simulated,
            reference.is_reference,
            reference.glitch_id != Embedding.glitch_id,
        )
        .order_by(distance)
        .offset(NEAREST - 1)
        .limit(1)
    )
    return score.correlate(Embedding).scalar_subquery()


def _calibrate(session: Session, checkpoint_id: int, glitch_ids: Sequence[UUID]) -> int:
    """Store the calibration scores of these glitches; how many could be scored."""
    scored = session.execute(
        update(Embedding)
        .where(Embedding.checkpoint_id == checkpoint_id, _is_one_of(glitch_ids))
        .values(calibration_score=_score_against_references(checkpoint_id))
        .returning(Embedding.calibration_score)
        .execution_options(synchronize_session=False)
    )
    return sum(score is not None for score in scored.scalars())


def _is_one_of(glitch_ids: Collection[UUID]) -> ColumnElement[bool]:
    """One bound array, however many they are."""
    return Embedding.glitch_id == any_(cast(list(glitch_ids), ARRAY(Uuid)))


@dataclass(frozen=True)
class _Groups:
    """How many references and which calibration scores each detector and kind has."""

    references: dict[tuple[str, bool], int]
    calibration: dict[tuple[str, bool], list[float]]  # ascending

    @classmethod
    def load(cls, session: Session, checkpoint_id: int) -> _Groups:
        counts = session.execute(
            select(Embedding.ifo, Embedding.is_simulated, func.count())
            .where(Embedding.checkpoint_id == checkpoint_id, Embedding.is_reference)
            .group_by(Embedding.ifo, Embedding.is_simulated)
        )
        references = {(ifo, kind): count for ifo, kind, count in counts if ifo is not None}
        scores = session.execute(
            select(Embedding.ifo, Embedding.is_simulated, Embedding.calibration_score)
            .where(
                Embedding.checkpoint_id == checkpoint_id, Embedding.calibration_score.is_not(None)
            )
            .order_by(Embedding.calibration_score)
        )
        calibration: dict[tuple[str, bool], list[float]] = defaultdict(list)
        for ifo, kind, score in scores:
            if ifo is not None and score is not None:
                calibration[ifo, kind].append(score)
        return cls(references, calibration)

    def judge(self, row: Row[*tuple[Any, ...]]) -> Judgement:
        """Judge a row of glitch id, ifo, is_simulated, is_reference, calibration score, score."""
        _, ifo, is_simulated, is_reference, calibration_score, score = row
        if ifo is None:
            return NO_DETECTOR
        n_references = self.references.get((ifo, is_simulated), 0) - is_reference
        known = self.calibration.get((ifo, is_simulated), [])
        if score is None:
            return judge(None, n_references, 0, len(known))
        n_as_novel, n_calibration = len(known) - bisect_left(known, score), len(known)
        if calibration_score is not None:  # it must not judge itself
            n_as_novel -= calibration_score >= score
            n_calibration -= 1
        return judge(score, n_references, n_as_novel, n_calibration)

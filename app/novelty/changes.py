"""The effect of label changes on the references and the calibration."""

from collections.abc import Collection
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, case, func, null, select, update
from sqlalchemy.orm import Session

from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from app.novelty.conditions import in_population, is_established, is_of_a_class
from app.novelty.job import request_judging
from app.novelty.single import MAX_CALIBRATION, ReferenceScope, score_against
from glitch.novelty.episodes import COPY_DISTANCE, EPISODE_S
from glitch.observing_runs import observing_run

CALIBRATED_AT_ONCE = 8  # changed labels; each is scored by a scan of all references
_AUTHOR = "labelling"  # author of the job created after many changes


def note_class_changes(session: Session, glitch_ids: Collection[UUID]) -> None:
    """Update the references and the calibration after the labels of these glitches changed.

    If they are few, they are scored at once. If they are many, a job scores them; it also updates
    all other glitches that the change affects (``app.novelty.job``).
    """
    is_known = (
        select(is_of_a_class())
        .where(Glitch.id == Embedding.glitch_id)
        .correlate(Embedding)
        .scalar_subquery()
    )
    session.execute(
        update(Embedding)
        .where(is_any_of(Embedding.glitch_id, glitch_ids))
        .values(is_reference=is_known, calibration_score=null(), calibration_run=null())
        .execution_options(synchronize_session=False)
    )
    if len(glitch_ids) <= CALIBRATED_AT_ONCE:
        for glitch_id in glitch_ids:
            _calibrate(session, glitch_id)
    else:
        request_judging(session, _AUTHOR)


def _calibrate(session: Session, glitch_id: UUID) -> None:
    """Score a glitch by the other references under every checkpoint, if it should calibrate.

    It does not calibrate if another glitch of its class represents its episode
    (``glitch.novelty.episodes``).
    """
    glitch = session.execute(
        select(Glitch.ifo, Glitch.is_simulated, Glitch.gps_time, Glitch.class_id).where(
            Glitch.id == glitch_id, Glitch.ifo.is_not(None), is_of_a_class(), is_established()
        )
    ).first()
    if glitch is None:
        return
    run = observing_run(glitch.gps_time)
    embedded = session.execute(
        select(Embedding.checkpoint_id, Embedding.mean, Embedding.condition).where(
            Embedding.glitch_id == glitch_id
        )
    ).all()
    for checkpoint_id, mean, condition in embedded:
        alike = in_population(checkpoint_id, (glitch.ifo, glitch.is_simulated))
        of_run = (
            select(Embedding.glitch_id)
            .where(
                *alike,
                Embedding.calibration_score.is_not(None),
                Embedding.calibration_run.is_not_distinct_from(run),
                Embedding.condition == condition,
            )
            .limit(MAX_CALIBRATION)
            .subquery()
        )
        if session.scalar(select(func.count()).select_from(of_run)) == MAX_CALIBRATION:
            continue
        if _is_represented(session, alike, mean, glitch.gps_time, glitch.class_id):
            continue
        score, _ = score_against(
            session,
            np.asarray(mean, dtype=np.float32),
            ReferenceScope(checkpoint_id, glitch.ifo, glitch.is_simulated, left_out=glitch_id),
            glitch.gps_time,
            is_reference=True,
        )
        session.execute(
            update(Embedding)
            .where(Embedding.checkpoint_id == checkpoint_id, Embedding.glitch_id == glitch_id)
            .values(calibration_score=score, calibration_run=run)
            .execution_options(synchronize_session=False)
        )


def _is_represented(
    session: Session,
    alike: list[ColumnElement[bool]],
    mean: Any,
    gps_time: Decimal | None,
    class_id: int,
) -> bool:
    """Whether a glitch of the same class and episode, or a copy, calibrates already."""
    is_same = Embedding.mean.cosine_distance(np.asarray(mean)) <= COPY_DISTANCE
    if gps_time is not None:  # PostgreSQL refuses a NULL of unknown type
        is_near = func.abs(Glitch.gps_time - gps_time) <= EPISODE_S
        is_same = case((Glitch.gps_time.is_(None), is_same), else_=is_near)
    calibrating = (
        select(Embedding.glitch_id)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(
            *alike, Embedding.calibration_score.is_not(None), Glitch.class_id == class_id, is_same
        )
        .limit(1)
    )
    return session.scalar(calibrating) is not None

"""Novelty of the whole catalogue: recompute the calibration and all p-values.

Vectors are compared in memory, not in SQL: one matrix product is about fifty times faster than a
scan for each glitch.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    Double,
    Numeric,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from app.novelty.conditions import Population, in_population, is_established, is_of_a_class
from app.novelty.single import MAX_CALIBRATION, NO_DETECTOR
from glitch.novelty import Judgement, References, directions, novelty_scores
from glitch.novelty.episodes import Times, one_per_episode
from glitch.novelty.known import Known, Stored
from glitch.observing_runs import RUN_ENDS_S, observing_run
from glitch.types import LatentArray

REJUDGED_AT_ONCE = 5000
_FETCHED = 10_000  # rows read from the database at a time


def set_references(session: Session, checkpoint_id: int) -> None:
    """Mark as references exactly those glitches whose label is a class that explains them."""
    is_known = is_of_a_class()
    session.execute(
        update(Embedding)
        .where(
            Embedding.checkpoint_id == checkpoint_id,
            Embedding.glitch_id == Glitch.id,
            Embedding.is_reference != is_known,
        )
        .values(is_reference=is_known)
        .execution_options(synchronize_session=False)
    )


def recalibrate(session: Session, checkpoint_id: int) -> int:
    """Recompute the references and calibration scores of a checkpoint; call after a bulk load.

    In each population, observing run and condition, the ``MAX_CALIBRATION`` glitches with the
    lowest content digests (a random choice) are candidates, and one for each episode of a class
    calibrates (``glitch.novelty.episodes``). A catalogue of at most ``REJUDGED_AT_ONCE`` glitches
    is judged again too; call ``rejudge`` in batches for a larger one.

    Returns:
        The number of glitches that calibrate now.
    """
    set_references(session, checkpoint_id)
    session.execute(
        update(Embedding)
        .where(Embedding.checkpoint_id == checkpoint_id, Embedding.calibration_score.is_not(None))
        .values(calibration_score=None, calibration_run=None)
        .execution_options(synchronize_session=False)
    )
    populations: dict[Population, list[tuple[UUID, LatentArray, float, int]]] = {}
    for glitch_id, ifo, is_simulated, mean, time, class_id in session.execute(
        _calibrating(checkpoint_id)
    ):
        member = (glitch_id, np.asarray(mean), np.nan if time is None else float(time), class_id)
        populations.setdefault((ifo, is_simulated), []).append(member)
    n_calibration = 0
    for population, members in populations.items():
        known = load_known(session, checkpoint_id, population)
        times = np.array([one[2] for one in members])
        means = np.array([one[1] for one in members], dtype=np.float32)
        scores = novelty_scores(
            means, times, known.own_places(as_keys([one[0] for one in members])), known.references
        )
        class_ids = np.array([one[3] for one in members])
        represents = one_per_episode(directions(means), times, class_ids)
        scored = np.nonzero(np.isfinite(scores) & represents)[0]
        n_calibration += len(scored)
        session.execute(
            _STORE_CALIBRATION,
            {
                "checkpoint_id": checkpoint_id,
                "ids": [members[index][0] for index in scored],
                "scores": scores[scored].tolist(),
                "runs": [observing_run(times[index]) for index in scored],
            },
        )
    session.expire_all()
    embedded = embedded_after(session, checkpoint_id, None, REJUDGED_AT_ONCE + 1)
    if len(embedded) <= REJUDGED_AT_ONCE:
        rejudge(session, checkpoint_id, embedded)
    return n_calibration


def rejudge(
    session: Session,
    checkpoint_id: int,
    glitch_ids: Collection[UUID],
    known_by: dict[Population, Known] | None = None,
) -> int:
    """Recompute and store the novelty of stored glitches; return how many have a p-value now.

    Call it after ``recalibrate``, because glitches stored first had few references. Memory grows
    with the number of glitches. ``known_by`` caches the known glitches of each population of this
    checkpoint between calls.
    """
    known_by = {} if known_by is None else known_by
    populations: dict[Population | None, list[Stored]] = {}
    for ifo, is_simulated, glitch_id, mean, time, *others in session.execute(
        select(
            Embedding.ifo,
            Embedding.is_simulated,
            Embedding.glitch_id,
            Embedding.mean,
            Glitch.gps_time,
            Embedding.condition,
            Embedding.is_reference,
            Embedding.calibration_score,
        )
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(Embedding.checkpoint_id == checkpoint_id, is_any_of(Embedding.glitch_id, glitch_ids))
    ):
        row = Stored(glitch_id, mean, np.nan if time is None else float(time), *others)
        populations.setdefault(None if ifo is None else (ifo, is_simulated), []).append(row)
    judgements: dict[UUID, Judgement] = {}
    for population, rows in populations.items():
        if population is None:
            judgements.update({row.glitch_id: NO_DETECTOR for row in rows})
            continue
        if population not in known_by:
            known_by[population] = load_known(session, checkpoint_id, population)
        known = known_by[population]
        scores = novelty_scores(
            np.array([row.mean for row in rows], dtype=np.float32),
            np.array([row.gps_time for row in rows]),
            known.own_places(as_keys([row.glitch_id for row in rows])),
            known.references,
        )
        for row, score in zip(rows, scores.tolist(), strict=True):
            judgements[row.glitch_id] = known.judge(score, row)
    _store(session, checkpoint_id, judgements)
    return sum(judgement.is_judged for judgement in judgements.values())


def embedded_after(
    session: Session, checkpoint_id: int, last: UUID | None, most: int
) -> Sequence[UUID]:
    """Return the next ``most`` glitches embedded under a checkpoint, after ``last``, by id."""
    page = select(Embedding.glitch_id).where(Embedding.checkpoint_id == checkpoint_id)
    if last is not None:
        page = page.where(Embedding.glitch_id > last)
    return session.scalars(page.order_by(Embedding.glitch_id).limit(most)).all()


def load_known(session: Session, checkpoint_id: int, population: Population) -> Known:
    """Load the references and calibration of a population; about 300 bytes per reference."""
    keys, means, times = _read_references(session, checkpoint_id, population)
    references, places = References.ordered(means, times)
    order = np.argsort(keys)
    scores: dict[tuple[str, str | None], list[float]] = {}
    for condition, run, score in session.execute(
        select(Embedding.condition, Embedding.calibration_run, Embedding.calibration_score)
        .where(*in_population(checkpoint_id, population), Embedding.calibration_score.is_not(None))
        .order_by(Embedding.calibration_score)
    ):
        if score is not None:
            for one in {run, None}:
                scores.setdefault((condition, one), []).append(score)
    calibration = {key: np.array(values) for key, values in scores.items()}
    ifo, is_simulated = population
    stated_ifo = None if is_simulated else ifo
    return Known(references, keys[order], places[order], calibration, stated_ifo)


def _read_references(
    session: Session, checkpoint_id: int, population: Population
) -> tuple[np.ndarray, LatentArray, Times]:
    """Read the references of a population: ids (16 bytes), means, GPS times (s; NaN if unknown)."""
    keys: list[bytes] = []
    parts: list[LatentArray] = []
    times: list[float] = []
    rows = session.execute(
        select(Embedding.glitch_id, Embedding.mean, Glitch.gps_time)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*in_population(checkpoint_id, population), Embedding.is_reference)
        .order_by(Embedding.glitch_id)
        .execution_options(yield_per=_FETCHED)
    )
    for block in rows.partitions():
        keys += [row[0].bytes for row in block]
        parts.append(np.array([row[1] for row in block], dtype=np.float32))
        times += [np.nan if row[2] is None else float(row[2]) for row in block]
    means = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
    return np.array(keys, dtype="S16"), means, np.array(times, dtype=np.float64)


def as_keys(glitch_ids: Sequence[UUID]) -> np.ndarray:
    """Convert ids to 16-byte strings, which sort in the same order."""
    return np.array([one.bytes for one in glitch_ids], dtype="S16")


def _calibrating(checkpoint_id: int) -> Select[*tuple[Any, ...]]:
    """Select the glitches that may calibrate: id, detector, is simulated, mean, time, class."""
    run = func.width_bucket(Glitch.gps_time, cast(list(RUN_ENDS_S), ARRAY(Numeric)))
    place = func.row_number().over(
        partition_by=(Glitch.ifo, Glitch.is_simulated, run, Embedding.condition),
        order_by=Glitch.content_digest,
    )
    ranked = (
        select(Glitch.id, Glitch.gps_time, Glitch.class_id, place.label("place"))
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(
            Embedding.checkpoint_id == checkpoint_id,
            Embedding.is_reference,
            Glitch.ifo.is_not(None),
            is_established(),
        )
        .subquery()
    )
    return (
        select(
            Embedding.glitch_id,
            Embedding.ifo,
            Embedding.is_simulated,
            Embedding.mean,
            ranked.c.gps_time,
            ranked.c.class_id,
        )
        .join(ranked, ranked.c.id == Embedding.glitch_id)
        .where(Embedding.checkpoint_id == checkpoint_id, ranked.c.place <= MAX_CALIBRATION)
        # Fixed order, so that the same glitch always represents its episode or its copies.
        .order_by(Embedding.glitch_id)
    )


_STORE_CALIBRATION = text(
    "UPDATE embedding SET calibration_score = new.score, calibration_run = new.run"
    " FROM unnest(:ids, :scores, :runs) AS new (glitch_id, score, run)"
    " WHERE embedding.checkpoint_id = :checkpoint_id AND embedding.glitch_id = new.glitch_id"
    " AND embedding.is_reference"  # the label may have been revoked since it was read
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("scores", type_=ARRAY(Double)),
    bindparam("runs", type_=ARRAY(Text)),
)
_STORE_JUDGEMENTS = text(
    "UPDATE embedding SET novelty_score = new.score, p_value = new.p,"
    " is_judged = new.p IS NOT NULL, not_judged_reason = new.reason, judged_within = new.run"
    " FROM unnest(:ids, :scores, :ps, :reasons, :runs) AS new (glitch_id, score, p, reason, run)"
    " WHERE embedding.checkpoint_id = :checkpoint_id AND embedding.glitch_id = new.glitch_id"
    # Do not rewrite rows that do not change.
    " AND (novelty_score, p_value, is_judged, not_judged_reason, judged_within)"
    " IS DISTINCT FROM (new.score, new.p, new.p IS NOT NULL, new.reason, new.run)"
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("scores", type_=ARRAY(Double)),
    bindparam("ps", type_=ARRAY(Double)),
    bindparam("reasons", type_=ARRAY(Text)),
    bindparam("runs", type_=ARRAY(Text)),
)


def _store(session: Session, checkpoint_id: int, judgements: dict[UUID, Judgement]) -> None:
    if not judgements:
        return
    values = list(judgements.values())
    session.execute(
        _STORE_JUDGEMENTS,
        {
            "checkpoint_id": checkpoint_id,
            "ids": list(judgements),
            "scores": [one.score for one in values],
            "ps": [one.p_value for one in values],
            "reasons": [one.reason for one in values],
            "runs": [one.observing_run for one in values],
        },
    )
    session.expire_all()

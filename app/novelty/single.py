"""The novelty of one glitch, by one search of the references in SQL.

If the checkpoint has a vector index, it is searched first. An index may miss references, which
makes the distance larger and the p-value smaller, never the reverse: a glitch that is not novel by
the index is not novel. A glitch with a p-value of ``EXACT_BELOW`` or less is judged again by a
scan.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy import Double, Integer, Select, Uuid, bindparam, func, select
from sqlalchemy.orm import Session

from app.glitches.neighbours import NOBODY, QUERY, check_vector, distance_to, prepare_index_scan
from app.glitches.tables import Embedding, Glitch
from app.models import checkpoints
from app.novelty.conditions import angle
from glitch.novelty import LEAST_REFERENCES, NEAREST, TIE, Calibration, Judgement, judge
from glitch.novelty.episodes import same_event
from glitch.observing_runs import observing_run

MOST_CALIBRATION = 2000  # of a detector, kind and run; finer p-values change no decision
EXACT_BELOW = 0.1  # p-values that may flag are never the index's
_FETCHED = LEAST_REFERENCES  # more than the nearest, as some may be of the same event
NO_DETECTOR = Judgement(
    None,
    None,
    False,
    "Could not be judged: the detector is not known, and glitches are compared within one "
    "detector. Send it again with its detector (ifo).",
)


@dataclass(frozen=True)
class ReferenceScope:
    """The glitches with which one is compared, without itself."""

    checkpoint_id: int
    ifo: str | None
    is_simulated: bool
    left_out: UUID | None = None

    def values(self) -> dict[str, Any]:
        """What the statements below bind."""
        return {**vars(self), "left_out": self.left_out or NOBODY}


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
    """The novelty of a latent vector.

    Simulated glitches are judged only by simulated ones, and without a detector none can be judged.
    The time decides the observing run and the episode; only labelled glitches of the same condition
    (``glitch.novelty.conditions``) calibrate. A stored glitch must not judge itself:
    ``exclude_id``.

    Raises:
        InvalidRequestError: a vector of another size or not finite.
        NotFoundError: if there is no such checkpoint.
    """
    facts = checkpoints.search_facts(session, checkpoint_id)
    query = check_vector(vector, facts.latent_size)
    if ifo is None:
        return NO_DETECTOR
    alike = ReferenceScope(checkpoint_id, ifo, origin == "simulated", exclude_id)
    is_reference = False
    if exclude_id is not None:
        own = (Embedding.checkpoint_id == checkpoint_id, Embedding.glitch_id == exclude_id)
        is_reference = bool(session.scalar(select(Embedding.is_reference).where(*own)))
    run = observing_run(gps_time)
    named = None if origin == "simulated" else ifo

    def searched(index_size: int | None) -> tuple[float | None, int]:
        return score_against(
            session, query, alike, gps_time, is_reference=is_reference, index_size=index_size
        )

    def judged(score: float | None, n_references: int) -> Judgement:
        if score is None or n_references < LEAST_REFERENCES:
            return judge(score, n_references, Calibration(0, 0), ifo=named)
        counts = _calibration(session, alike, score, condition)
        whole = Calibration(
            sum(one.n for one in counts.values()), sum(one.n_as_novel for one in counts.values())
        )
        of_run = counts.get(run) if run else None
        return judge(score, n_references, whole, of_run, run, condition=condition, ifo=named)

    if facts.is_indexed and facts.is_spherical:
        found = searched(facts.latent_size)
        judgement = judged(*found)
        if judgement.p_value is not None and judgement.p_value > EXACT_BELOW:
            return judgement
        exact = searched(None)
        return judgement if exact == found else judged(*exact)
    return judged(*searched(None))


def _calibration(
    session: Session, alike: ReferenceScope, score: float, condition: str
) -> dict[str | None, Calibration]:
    """The number of calibrating glitches, and of those at least as novel, by observing run."""
    values = {**alike.values(), "least": score - TIE, "condition": condition}
    return {
        run: Calibration(n, n_as_novel) for run, n, n_as_novel in session.execute(_COUNTS, values)
    }


def score_against(
    session: Session,
    query: Float[np.ndarray, " latent"],
    alike: ReferenceScope,
    gps_time: Decimal | None,
    *,
    is_reference: bool,
    index_size: int | None = None,
) -> tuple[float | None, int]:
    """Distance to the ``NEAREST``-th nearest reference of another event, and how many there are.

    As ``glitch.novelty.novelty_scores`` has it: to a reference, copies are no others. From
    ``LEAST_REFERENCES`` on, how many is no longer counted. By the vector index (``index_size``: the
    latent size) a reference may be missed, so the distance is never less than by a scan.
    """
    if index_size is not None:
        prepare_index_scan(session)
    statement = _nearest_references(index_size)
    values = {**alike.values(), QUERY.key: query}
    limit = _FETCHED
    while True:
        rows = session.execute(statement, {**values, "limit": limit}).all()
        distances = np.array([one for one, _ in rows], dtype=np.float64)
        apart = np.array([_seconds_between(time, gps_time) for _, time in rows], dtype=np.float64)
        # To what is no reference a copy is one of the known, and near to it.
        alikeness = distances if is_reference else np.full_like(distances, np.inf)
        others = distances[~same_event(alikeness, apart, np.zeros_like(apart))]
        if len(others) >= NEAREST:
            return float(others[NEAREST - 1]), len(rows)
        if len(rows) < limit:
            return None, len(rows)
        limit *= 4


# Statements that every upload runs: to build one takes longer than to run it in a small catalogue.
@cache
def _nearest_references(index_size: int | None) -> Select[*tuple[Any, ...]]:
    distance = angle(Embedding.mean.cosine_distance(QUERY))
    nearest = (
        select(Embedding.glitch_id, distance.label("distance"))
        .where(*_ALIKE, Embedding.is_reference)
        .order_by(distance if index_size is None else distance_to(QUERY, index_size))
        .limit(bindparam("limit", type_=Integer))
        .subquery()
    )
    return (
        select(nearest.c.distance, Glitch.gps_time)
        .join(Glitch, Glitch.id == nearest.c.glitch_id)
        .order_by(nearest.c.distance)
    )


_ALIKE = (
    Embedding.checkpoint_id == bindparam("checkpoint_id"),
    Embedding.ifo == bindparam("ifo"),
    Embedding.is_simulated == bindparam("is_simulated"),
    Embedding.glitch_id != bindparam("left_out", type_=Uuid),
)
_COUNTS = (
    select(
        Embedding.calibration_run,
        func.count(),
        func.count().filter(Embedding.calibration_score >= bindparam("least", type_=Double)),
    )
    .where(
        *_ALIKE,
        Embedding.calibration_score.is_not(None),
        Embedding.condition == bindparam("condition"),
    )
    .group_by(Embedding.calibration_run)
)


def _seconds_between(one: Decimal | None, other: Decimal | None) -> float:
    """NaN where either is not known."""
    return math.nan if one is None or other is None else float(one - other)

"""The novelty of one glitch, by a search of the references in SQL.

If the checkpoint has a vector index, it is searched first. An index may miss references. That makes
the distance larger and the p-value smaller, never the reverse, so a glitch that is not novel by the
index is not novel. If the p-value is at most ``EXACT_BELOW``, the search is repeated by a scan.
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
from glitch.novelty import MIN_REFERENCES, NEAREST, TIE, Calibration, Judgement, judge
from glitch.novelty.episodes import same_event
from glitch.observing_runs import observing_run

MAX_CALIBRATION = 2000  # per detector, origin and run; finer p-values change no decision
EXACT_BELOW = 0.1  # p-values that may lead to a flag never come from the index
_FETCHED = MIN_REFERENCES  # more than needed, because some may be of the same event
NO_DETECTOR = Judgement(
    None,
    None,
    False,
    "Could not be judged: the detector is not known, and glitches are compared within one "
    "detector. Send it again with its detector (ifo).",
)


@dataclass(frozen=True)
class ReferenceScope:
    """The references to compare a glitch with, without the glitch itself."""

    checkpoint_id: int
    ifo: str | None
    is_simulated: bool
    left_out: UUID | None = None

    def values(self) -> dict[str, Any]:
        """Return the parameters of the statements below."""
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
    """Judge the novelty of a latent vector.

    Simulated glitches are compared only with simulated ones, and without a detector none can be
    judged. The time determines the observing run and the episode. Only labelled glitches of the
    same condition (``glitch.novelty.conditions``) calibrate. ``exclude_id`` is the id of a glitch
    that is stored already, which must not be compared with itself.

    Raises:
        InvalidRequestError: if the vector has another size or is not finite.
        NotFoundError: if there is no such checkpoint.
    """
    facts = checkpoints.search_facts(session, checkpoint_id)
    query = check_vector(vector, facts.latent_size)
    if ifo is None:
        return NO_DETECTOR
    scope = ReferenceScope(checkpoint_id, ifo, origin == "simulated", exclude_id)
    is_reference = False
    if exclude_id is not None:
        is_own = (Embedding.checkpoint_id == checkpoint_id, Embedding.glitch_id == exclude_id)
        is_reference = bool(session.scalar(select(Embedding.is_reference).where(*is_own)))
    run = observing_run(gps_time)
    stated_ifo = None if origin == "simulated" else ifo

    def searched(index_size: int | None) -> tuple[float | None, int]:
        return score_against(
            session, query, scope, gps_time, is_reference=is_reference, index_size=index_size
        )

    def judged(score: float | None, n_references: int) -> Judgement:
        if score is None or n_references < MIN_REFERENCES:
            return judge(score, n_references, Calibration(0, 0), ifo=stated_ifo)
        counts = _calibration(session, scope, score, condition)
        total = Calibration(
            sum(one.n for one in counts.values()), sum(one.n_as_novel for one in counts.values())
        )
        of_run = counts.get(run) if run else None
        return judge(score, n_references, total, of_run, run, condition=condition, ifo=stated_ifo)

    if facts.is_indexed and facts.is_spherical:
        indexed = searched(facts.latent_size)
        judgement = judged(*indexed)
        if judgement.p_value is not None and judgement.p_value > EXACT_BELOW:
            return judgement
        exact = searched(None)
        return judgement if exact == indexed else judged(*exact)
    return judged(*searched(None))


def _calibration(
    session: Session, scope: ReferenceScope, score: float, condition: str
) -> dict[str | None, Calibration]:
    """Count the calibrating glitches, and those at least as novel, by observing run."""
    values = {**scope.values(), "least": score - TIE, "condition": condition}
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
    """Return the distance to the ``NEAREST``-th nearest reference of another event, and the number.

    The distance is the same as in ``glitch.novelty.novelty_scores``: if the glitch is a reference,
    its copies do not count. It is None if there are too few references. The number of references
    is counted only up to ``MIN_REFERENCES`` or a little more. With the vector index
    (``index_size`` is the latent size) a reference may be missed, so the distance is never less
    than by a scan.
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
        # For a glitch that is not a reference, a copy counts as a near known glitch.
        alikeness = distances if is_reference else np.full_like(distances, np.inf)
        others = distances[~same_event(alikeness, apart, np.zeros_like(apart))]
        if len(others) >= NEAREST:
            return float(others[NEAREST - 1]), len(rows)
        if len(rows) < limit:
            return None, len(rows)
        limit *= 4


# Every upload runs these statements. Building one can take longer than running it, so cache them.
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
    """Time difference in seconds; NaN if a time is unknown."""
    return math.nan if one is None or other is None else float(one - other)

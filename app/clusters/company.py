"""Which unlabelled glitches are novel in company: the tests of one clustering, from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.clusters.returning import comebacks_in
from app.glitches.tables import Embedding, Glitch
from app.novelty.catalogue import Kind
from glitch.company import company_scores, weighted_p_values
from glitch.dormancy import Comeback
from glitch.kinds import kinds_of
from glitch.novelty import LEAST_OF_RUN, directions
from glitch.observing_runs import observing_run
from glitch.types import LatentArray

_FETCHED = 10_000
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Tested:
    """The unlabelled, judged glitches of one detector and kind, and their p-values in company."""

    keys: np.ndarray  # ids as 16 bytes
    p_values: Float[np.ndarray, " test"]
    scores: Float[np.ndarray, " test"]
    comebacks: Mapping[int, Comeback] = field(default_factory=dict)  # by class id

    def ids(self, chosen: np.ndarray) -> list[UUID]:
        """The ids of those at these positions."""
        return [UUID(bytes=bytes(key).ljust(16, b"\0")) for key in self.keys[chosen]]


@dataclass(frozen=True, eq=False)
class Pool:
    """All glitches of one detector and kind."""

    keys: np.ndarray
    means: LatentArray
    gps_times: Float[np.ndarray, " glitch"]
    is_reference: np.ndarray
    classes: np.ndarray  # ids; -1 where unlabelled
    judged: Float[np.ndarray, " glitch"]  # the score alone; NaN where it could not be judged
    calibration: Float[np.ndarray, " glitch"]  # NaN where it does not calibrate


def tested_in_company(
    session: Session, checkpoint_id: int, kind: Kind, dormancy: tuple[int, int] | None
) -> Tested:
    """Test every unlabelled glitch of a detector and kind that was judged alone.

    Memory grows with the catalogue: some 200 bytes a glitch of 32 latent dimensions.

    Args:
        session: The transaction to read in.
        checkpoint_id: Under which checkpoint.
        kind: The detector, and whether simulated glitches are meant.
        dormancy: Days with data and without a class after which it counts as dormant, and how many
            unlabelled glitches make a comeback; None to look for none.
    """
    return judge_pool(_read(session, checkpoint_id, kind), dormancy)


def judge_pool(pool: Pool, dormancy: tuple[int, int] | None) -> Tested:
    """The same of a pool that is read already."""
    is_test = (pool.classes == UNLABELLED) & np.isfinite(pool.judged)
    calibrates = np.isfinite(pool.calibration)
    tests, known = np.nonzero(is_test)[0], np.nonzero(calibrates)[0]
    if not len(tests) or not len(known):
        return Tested(pool.keys[tests], np.ones(len(tests)), pool.judged[tests])
    to_known = np.where(calibrates, pool.calibration, pool.judged)
    units = directions(pool.means)
    scores = company_scores(units, pool.gps_times, pool.is_reference, to_known)
    looks, is_sure = kinds_of(units, pool.gps_times, pool.classes, pool.is_reference, calibrates)
    kinds = np.unique(looks, return_inverse=True)[1]
    p_values = np.ones(len(tests))
    whole = np.ones(len(known), dtype=bool)
    runs = np.array([observing_run(time) or "" for time in pool.gps_times])
    for run in np.unique(runs[tests]):
        here = np.nonzero(runs[tests] == run)[0]
        of_run = runs[known] == run
        chosen = known[of_run if run and of_run.sum() >= LEAST_OF_RUN else whole]
        p_values[here] = weighted_p_values(
            scores[tests[here]], kinds[tests[here]], scores[chosen], kinds[chosen]
        )
    comebacks = {} if dormancy is None else comebacks_in(pool, looks, is_sure, *dormancy)
    return Tested(pool.keys[tests], p_values, scores[tests], comebacks)


def _read(session: Session, checkpoint_id: int, kind: Kind) -> Pool:
    ifo, is_simulated = kind
    of_kind = [
        Embedding.checkpoint_id == checkpoint_id,
        Embedding.ifo == ifo,
        Embedding.is_simulated.is_(is_simulated),
    ]
    n = session.scalar(select(func.count()).select_from(Embedding).where(*of_kind)) or 0
    rows = session.execute(
        select(
            Embedding.glitch_id,
            Glitch.gps_time,
            Embedding.is_reference,
            Glitch.class_id,
            Embedding.novelty_score,
            Embedding.p_value,
            Embedding.calibration_score,
            Embedding.mean,
        )
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*of_kind)
        .order_by(Embedding.glitch_id)
        .limit(n)
        .execution_options(yield_per=_FETCHED)
    )
    keys = np.empty(n, dtype="S16")
    facts = np.empty((n, 5))  # time, is reference, class, judged, calibration
    means: LatentArray | None = None
    at = 0
    for block in rows.partitions():
        vectors = np.array([row[7] for row in block], dtype=np.float32)
        if means is None:
            means = np.empty((n, vectors.shape[1]), dtype=np.float32)
        end = at + len(block)
        means[at:end] = vectors
        keys[at:end] = [row[0].bytes for row in block]
        facts[at:end] = [_facts(row) for row in block]
        at = end
    if means is None:
        means = np.empty((0, 0), dtype=np.float32)
    return Pool(
        keys=keys[:at],
        means=means[:at],
        gps_times=facts[:at, 0],
        is_reference=facts[:at, 1] > 0,
        classes=facts[:at, 2].astype(np.int64),
        judged=facts[:at, 3],
        calibration=facts[:at, 4],
    )


def _facts(row: Any) -> tuple[float, bool, int, float, float]:
    _, time, is_reference, class_id, score, p_value, calibration, _ = row
    return (
        np.nan if time is None else float(time),
        is_reference,
        UNLABELLED if class_id is None else class_id,
        np.nan if p_value is None else score,
        np.nan if calibration is None else calibration,
    )

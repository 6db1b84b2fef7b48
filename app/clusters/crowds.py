"""The novelty tests of a run: which unlabelled glitches does the crowd score find novel?

Glitches whose windows or band differ from those of the references are encoded again from the
pixels that both observe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.glitches.service import stored_views
from app.glitches.tables import Embedding, Glitch
from app.novelty.conditions import Population, in_population
from glitch.clustering.dormancy import Recurrence, recurrences_in
from glitch.novelty import MIN_OF_CLASS
from glitch.novelty.common_masks import MaskedEncoder, judge_under_common_masks
from glitch.novelty.fair_sample import NO_EXCESS, SelectionExcess
from glitch.novelty.pool import UNLABELLED, Pool, judge_pool
from glitch.novelty.two_samples import NO_NEIGHBOUR_EXCESS, NeighbourExcess
from glitch.types import LatentArray, ObservedArray
from glitch.views import Views

if TYPE_CHECKING:
    from glitch.encoder import Encoder  # imports torch

_AT_ONCE = 256


@dataclass(frozen=True)
class Reencoding:
    """Encodes stored glitches again during a run."""

    encoder: Callable[[], Encoder]  # called only if needed: loading takes seconds
    heartbeat: Callable[[], None]  # called every few seconds; may raise to cancel the run

    def masked_encoder(
        self, session: Session, ids: Callable[[np.ndarray], list[UUID]], pool: Pool
    ) -> MaskedEncoder:
        """Return what the glitches of a pool show, and a function that encodes them again.

        ``ids`` maps positions in the pool to glitch ids.
        """
        encoder = self.encoder()
        recipe = encoder.preprocessing

        def encode(places: Int[np.ndarray, " glitch"], mask: ObservedArray) -> LatentArray:
            parts = []
            for start in range(0, len(places), _AT_ONCE):
                block = ids(places[start : start + _AT_ONCE])
                views = stored_views(session, block, recipe)
                for key in block:
                    views[key].values[~mask] = 0  # the arrays are copies
                masked = [Views(views[key].values, mask, recipe) for key in block]
                parts.append(encoder.means(masked))
                self.heartbeat()
            return np.concatenate(parts)

        _, firsts = np.unique(pool.conditions, return_index=True)
        examples = ids(firsts)
        views = stored_views(session, examples, recipe)
        labelled = pool.classes != UNLABELLED
        _, numbers, counts = np.unique(pool.classes, return_inverse=True, return_counts=True)
        return MaskedEncoder(
            np.stack([views[key].observed for key in examples]),
            labelled & pool.is_reference & (counts[numbers] >= MIN_OF_CLASS),
            encode,
        )


_FETCHED = 10_000


@dataclass(frozen=True, eq=False)
class TestedPool:
    """The unlabelled glitches of one population that could be tested, with their p-values."""

    keys: np.ndarray  # ids as 16 bytes
    p_values: Float[np.ndarray, " test"]
    scores: Float[np.ndarray, " test"]
    weights: Float[np.ndarray, " test"]  # the glitches of one burst sum to 1
    predicted: Int[np.ndarray, " test"]  # ids of the predicted classes
    selection_excess: SelectionExcess = NO_EXCESS  # are the labels only typical examples?
    neighbour_excess: NeighbourExcess = NO_NEIGHBOUR_EXCESS  # do the labels cover what was tested?
    # Unlabelled glitches that could not be tested: condition (windows and band) and number.
    unjudged: Sequence[tuple[str, int]] = ()
    n_masked: int = 0  # tested by the pixels that they share with the references
    recurrences: Mapping[int, Recurrence] = field(default_factory=dict)  # by class id

    @property
    def n_judged(self) -> int:
        """Number of glitches that were tested."""
        return len(self.p_values)

    @property
    def n_unjudged(self) -> int:
        """Number of unlabelled glitches that could not be tested."""
        return sum(n for _, n in self.unjudged)

    def ids(self, chosen: np.ndarray) -> list[UUID]:
        """Return the ids of the glitches at these positions."""
        return _ids(self.keys, chosen)


_NONE = TestedPool(np.empty(0, "S16"), np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int64))


def joined(parts: Sequence[TestedPool]) -> TestedPool:
    """Concatenate the tests of several populations; recurrences are left out."""
    names = ("keys", "p_values", "scores", "weights", "predicted")
    pools = (_NONE, *parts)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in pools]) for name in names
    }
    return TestedPool(
        **columns,
        selection_excess=reduce(SelectionExcess.plus, (one.selection_excess for one in pools)),
        neighbour_excess=reduce(NeighbourExcess.plus, (one.neighbour_excess for one in pools)),
        unjudged=[seen for one in parts for seen in one.unjudged],
        n_masked=sum(one.n_masked for one in parts),
    )


def _ids(keys: np.ndarray, chosen: np.ndarray) -> list[UUID]:
    return [UUID(bytes=bytes(key).ljust(16, b"\0")) for key in keys[chosen]]


def judge_population(
    session: Session,
    checkpoint_id: int,
    population: Population,
    dormancy: tuple[int, int] | None,
    reencoding: Reencoding | None,
) -> TestedPool:
    """Test every unlabelled glitch of a population.

    Memory grows with the catalogue: some 200 bytes per glitch with 32 latent dimensions.

    ``dormancy`` is the number of days with data, but without a class, after which the class counts
    as dormant, and the number of unlabelled glitches that make a recurrence; with None no
    recurrences are searched. ``reencoding`` encodes glitches whose windows or band differ from
    those of the references; without it they are not tested.
    """
    keys, pool, conditions = _read(session, checkpoint_id, population)
    tests = judge_pool(pool)
    is_unlabelled = pool.classes == UNLABELLED
    n_tests = int(is_unlabelled.sum())
    n_alike = int(np.isfinite(tests.p_values).sum())
    if reencoding is not None and n_alike < n_tests and pool.is_reference.any():
        encoder = reencoding.masked_encoder(session, lambda places: _ids(keys, places), pool)
        tests = judge_under_common_masks(pool, tests, encoder)
    recurrences = (
        {} if dormancy is None else recurrences_in(pool, tests.predicted, tests.is_sure, *dormancy)
    )
    is_tested = np.isfinite(tests.p_values)
    is_unlabelled[tests.places[is_tested]] = False
    counts = Counter(conditions[number] for number in pool.conditions[is_unlabelled].tolist())
    return TestedPool(
        keys[tests.places[is_tested]],
        tests.p_values[is_tested],
        tests.scores[is_tested],
        tests.weights[is_tested],
        tests.predicted[tests.places[is_tested]],
        tests.selection_excess,
        tests.neighbour_excess,
        counts.most_common(),
        int(is_tested.sum()) - n_alike,
        recurrences,
    )


def _read(
    session: Session, checkpoint_id: int, population: Population
) -> tuple[np.ndarray, Pool, list[str]]:
    """Read a population: ids as 16 bytes, the pool, and the name of each condition number."""
    is_member = in_population(checkpoint_id, population)
    n = session.scalar(select(func.count()).select_from(Embedding).where(*is_member)) or 0
    rows = session.execute(
        select(
            Embedding.glitch_id,
            Glitch.gps_time,
            Embedding.is_reference,
            Glitch.class_id,
            Embedding.novelty_score,
            Embedding.p_value,
            Embedding.calibration_score,
            Embedding.condition,
            Embedding.mean,
        )
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*is_member)
        .order_by(Embedding.glitch_id)
        .limit(n)
        .execution_options(yield_per=_FETCHED)
    )
    keys = np.empty(n, dtype="S16")
    facts = np.empty((n, 6))  # time, is reference, class, judged, calibration, condition
    conditions: dict[str, int] = {}
    means: LatentArray | None = None
    at = 0
    for block in rows.partitions():
        vectors = np.array([row[-1] for row in block], dtype=np.float32)
        if means is None:
            means = np.empty((n, vectors.shape[1]), dtype=np.float32)
        end = at + len(block)
        means[at:end] = vectors
        keys[at:end] = [row[0].bytes for row in block]
        facts[at:end] = [_facts(row, conditions) for row in block]
        at = end
    if means is None:
        means = np.empty((0, 0), dtype=np.float32)
    pool = Pool(
        means=means[:at],
        gps_times=facts[:at, 0],
        is_reference=facts[:at, 1] > 0,
        classes=facts[:at, 2].astype(np.int64),
        conditions=facts[:at, 5].astype(np.int64),
        judged=facts[:at, 3],
        calibration=facts[:at, 4],
    )
    return keys[:at], pool, list(conditions)


def _facts(row: Any, conditions: dict[str, int]) -> tuple[float, bool, int, float, float, int]:
    _, time, is_reference, class_id, score, p_value, calibration, condition, _ = row
    return (
        np.nan if time is None else float(time),
        is_reference,
        UNLABELLED if class_id is None else class_id,
        np.nan if p_value is None else score,
        np.nan if calibration is None else calibration,
        conditions.setdefault(condition, len(conditions)),
    )

"""Novelty of many stored glitches of one population, with all known glitches in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np
from jaxtyping import Float

from glitch.novelty.conformal import TIE, Calibration, Judgement, Positions, References, judge
from glitch.observing_runs import observing_run
from glitch.types import LatentArray


class Stored(NamedTuple):
    """The fields of a stored glitch that the novelty test needs."""

    glitch_id: UUID
    mean: LatentArray
    gps_time: float  # s; NaN if not known
    condition: str
    is_reference: bool
    own_score: float | None  # its calibration score; None if it does not calibrate


@dataclass(frozen=True, eq=False)
class Known:
    """References and calibration scores of one population."""

    references: References
    keys: np.ndarray  # ids of the references as 16 bytes, ascending
    places: Positions  # position of each of ``keys`` in ``references``
    # Ascending scores by condition and observing run (None: all runs).
    calibration: dict[tuple[str, str | None], Float[np.ndarray, " score"]]
    ifo: str | None = None  # detector of real glitches; None for simulated ones

    def own_places(self, keys: np.ndarray) -> Positions:
        """Find the positions of ids among the references; -1 for ids that are not references."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.places[at], -1)

    def judge(self, score: float, of: Stored) -> Judgement:
        """Test the score of a stored glitch."""
        run = observing_run(of.gps_time)
        n_references = len(self.keys) - of.is_reference
        if not np.isfinite(score):
            return judge(None, n_references, Calibration(0, 0), ifo=self.ifo)
        all_runs = self.calibration.get((of.condition, None), np.empty(0))
        of_run = None if run is None else self.calibration.get((of.condition, run))
        return judge(
            score,
            n_references,
            _compare(all_runs, score, of.own_score),
            None if of_run is None else _compare(of_run, score, of.own_score),
            run,
            condition=of.condition,
            ifo=self.ifo,
        )


def _compare(
    known: Float[np.ndarray, " score"], score: float, own_score: float | None
) -> Calibration:
    """Count the calibration scores, and those at least as high, without the glitch's own."""
    score -= TIE
    n, n_as_novel = len(known), len(known) - int(np.searchsorted(known, score, side="left"))
    if own_score is None:
        return Calibration(n, n_as_novel)
    return Calibration(n - 1, n_as_novel - (own_score >= score))

"""How novel a glitch is: a conformal p-value of its distance to known glitches.

The references are the known glitches: those that carry the label of a class. The score of a glitch
is its cosine distance in the latent space to its k-th nearest reference (higher is more novel):
the length of a posterior mean grows with how many views there are and how loud they are, its
direction says what they show (docs/science/discovery.md).

Every reference of an established class calibrates too, by its distance to its k-th nearest among
the *other* references. That keeps p-values valid: were the glitch asked about one more reference,
as full conformal prediction has it, the calibration scores could only be lower, and the p-value
lower; and that p-value is uniform or larger for a glitch that is exchangeable with the known ones
(Vovk, Gammerman & Shafer 2005, ch. 2; Laxhammar & Falkman 2010 for the nearest-neighbour score).

Glitches of one episode, and copies of one picture, are near each other whatever they show, so they
never vouch for one another, and one of each episode calibrates (``glitch.novelty.episodes``). Which
windows and which band were seen changes where a glitch lies, so only those seen under the same
conditions calibrate (``glitch.novelty.conditions``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from glitch.errors import GlitchError
from glitch.novelty.episodes import COPY_DISTANCE, EPISODE_S, STORM_S, Times
from glitch.types import LatentArray

NEAREST = 5  # the k of "distance to the k-th nearest reference"
# Scores this near are equal: single precision, and the order of sums, differ by as much.
TIE = 1e-6
LEAST_REFERENCES = 50
LEAST_CALIBRATION = 20
# An observing run calibrates alone from here on: its p-values then reach down to 1 / 301.
LEAST_OF_RUN = 300
# Members of a smaller class have too few like them to be told from novel ones.
LEAST_OF_CLASS = 12
WHICH_CALIBRATE = f"of classes with {LEAST_OF_CLASS} or more that lie {EPISODE_S:g} s apart"
_BLOCK_BYTES = 64 << 20  # of distances held at once

Positions = Int[np.ndarray, " glitch"]


@dataclass(frozen=True)
class Judgement:
    """The answer to "is it novel?". Not judged is its own answer, never "not novel"."""

    score: float | None  # distance to the k-th nearest reference; higher is more novel
    p_value: float | None  # in (0, 1]; lower is more novel
    is_judged: bool
    reason: str | None  # why it could not be judged
    observing_run: str | None = None  # whose glitches alone calibrated it; None: all runs

    @property
    def basis(self) -> str | None:
        """A sentence on what calibrated it; None where it is not judged."""
        if not self.is_judged:
            return None
        if self.observing_run is not None:
            return (
                f"Calibrated by the known glitches of its detector in {self.observing_run} that "
                "were seen in the same windows and band."
            )
        return (
            "Calibrated by the known glitches of its detector, seen in the same windows and band, "
            f"in all observing runs, because fewer than {LEAST_OF_RUN} of its own run calibrate or "
            "its time is not known."
        )


@dataclass(frozen=True)
class Calibration:
    """What a score is compared with."""

    n: int  # calibration scores
    n_as_novel: int  # of them at least as high as the score judged


@dataclass(frozen=True, eq=False)
class References:
    """The known glitches of one detector and kind, ordered by time; those without one come last."""

    units: LatentArray  # of length one, or zeros
    gps_times: Times  # s, ascending; NaN where not known

    @classmethod
    def ordered(cls, means: LatentArray, gps_times: Times) -> tuple[References, Positions]:
        """The references, and the positions of the given ones among them.

        Args:
            means: Posterior means, shape (glitch, latent).
            gps_times: In s; NaN where not known.
        """
        order = np.argsort(gps_times, kind="stable")
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        return cls(directions(means)[order], gps_times[order]), places


def directions(means: LatentArray) -> LatentArray:
    """Each vector divided by its length, float32; a vector of zeros stays one."""
    wide = means.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def novelty_scores(
    means: LatentArray, gps_times: Times, own: Positions, references: References
) -> Float[np.ndarray, " glitch"]:
    """The score of each glitch; higher is more novel.

    Left out for each: itself, and references of its episode (``glitch.novelty.episodes``). For a
    reference also those that may be its event again, or copies of it: so it never calibrates by
    itself, and its score can only be higher. A copy of a reference is known, and near to it.

    Args:
        means: Posterior means, shape (glitch, latent).
        gps_times: In s; NaN where not known.
        own: Where each glitch stands among the references, -1 where it is none.
        references: What they are compared with.

    Returns:
        Cosine distance (0 to 2) to the ``NEAREST``-th nearest; NaN where fewer are left.
    """
    scores = np.full(len(means), np.nan)
    known = references.units
    if len(known) < NEAREST or not len(means):
        return scores
    units = directions(means)
    n_timed = int(np.isfinite(references.gps_times).sum())
    timed = references.gps_times[:n_timed]
    first, begin = (
        np.searchsorted(timed, gps_times - width, "left") for width in (EPISODE_S, STORM_S)
    )
    last, end = (
        np.searchsorted(timed, gps_times + width, "right") for width in (EPISODE_S, STORM_S)
    )
    step = max(1, _BLOCK_BYTES // (4 * len(known)))
    for start in range(0, len(means), step):
        rows = slice(start, start + step)
        cosines = units[rows] @ known.T
        for row, index in enumerate(range(start, min(start + step, len(means)))):
            if own[index] >= 0:
                cosines[row, own[index]] = -np.inf
            is_timed = np.isfinite(gps_times[index])
            if is_timed:
                cosines[row, first[index] : last[index]] = -np.inf
            if own[index] >= 0:
                if is_timed:
                    storm = cosines[row, begin[index] : end[index]]
                    storm[storm >= 1 - COPY_DISTANCE] = -np.inf
                unsure = cosines[row, n_timed:] if is_timed else cosines[row]
                unsure[unsure >= 1 - COPY_DISTANCE] = -np.inf
        cosines.partition(len(known) - NEAREST, axis=1)
        nearest = cosines[:, len(known) - NEAREST].astype(np.float64)
        scores[rows] = np.where(np.isfinite(nearest), 1.0 - np.clip(nearest, -1.0, 1.0), np.nan)
    return scores


def novelty_score(mean: Float[np.ndarray, " latent"], references: LatentArray) -> float:
    """Cosine distance (0 to 2) to the ``NEAREST``-th nearest reference; higher is more novel.

    A vector of zeros has no direction: it is at distance 1 from everything.

    Args:
        mean: Posterior mean of the glitch, shape (latent,).
        references: Posterior means of the references, shape (batch, latent), without the glitch
            itself or others of its event.

    Raises:
        GlitchError: if there are fewer than ``NEAREST`` references.
    """
    if len(references) < NEAREST:
        raise GlitchError(f"A novelty score needs at least {NEAREST} references.")
    unknown = np.full(len(references), np.nan)
    known, _ = References.ordered(references, unknown)
    one = np.asarray(mean, dtype=np.float32)[None]
    return float(novelty_scores(one, unknown[:1], np.array([-1]), known)[0])


def conformal_p_value(n_as_novel: int, n_calibration: int) -> float:
    """Conformal p-value in (0, 1]; lower is more novel.

    Args:
        n_as_novel: How many calibration scores are at least as high as the score judged.
        n_calibration: How many calibration scores there are.

    Raises:
        GlitchError: if the counts contradict each other.
    """
    if not 0 <= n_as_novel <= n_calibration:
        raise GlitchError("A p-value needs 0 <= n_as_novel <= n_calibration.")
    return (1 + n_as_novel) / (n_calibration + 1)


def judge(
    score: float | None,
    n_references: int,
    whole: Calibration,
    run: Calibration | None = None,
    run_name: str | None = None,
    *,
    condition: str | None = None,
    ifo: str | None = None,
) -> Judgement:
    """The judgement that these counts allow.

    Args:
        score: Distance to the ``NEAREST``-th nearest reference, or None where there is none.
        n_references: References of the same detector and the same kind of origin.
        whole: Calibration scores of the same detector, kind of origin and conditions.
        run: Those of the same observing run among them; None where the time is not known.
        run_name: Its name.
        condition: The windows and band in which the glitch was seen
            (``glitch.novelty.conditions``).
        ifo: The detector, where published glitches of it could be loaded; None of simulated ones.

    Returns:
        A judgement by the run where ``LEAST_OF_RUN`` of it calibrate, else by the whole. With too
        few references or calibration scores it is not judged, and says why.
    """
    if n_references < LEAST_REFERENCES or score is None:
        return _not_judged(
            score,
            f"that takes {LEAST_REFERENCES} labelled glitches of this detector and origin, and "
            f"{_so_few(n_references)}.{_published(ifo)}",
        )
    if whole.n < LEAST_CALIBRATION:
        return _not_judged(score, too_few_calibrate(whole.n, condition) + _published(ifo))
    if run is not None and run.n >= LEAST_OF_RUN:
        return Judgement(score, conformal_p_value(run.n_as_novel, run.n), True, None, run_name)
    return Judgement(score, conformal_p_value(whole.n_as_novel, whole.n), True, None)


def too_few_calibrate(n: int, condition: str | None = None) -> str:
    """Why a glitch could not be judged, and what helps."""
    seen = "" if condition is None else f" and seen in the same windows and band ({condition})"
    helps = " A clustering can judge it by what both show, if they share a window."
    both = "" if condition is None else helps
    return (
        f"that takes {LEAST_CALIBRATION} labelled glitches of this detector and origin to "
        f"calibrate with, {WHICH_CALIBRATE}{seen}, and {_so_few(n)}.{both}"
    )


def _so_few(n: int) -> str:
    return "there are none" if n == 0 else f"there {'is' if n == 1 else 'are'} only {n}"


def _published(ifo: str | None) -> str:
    if ifo is None:
        return ""
    return f" Load published ones with `glitch-discovery references training-set --ifo {ifo}`."


def _not_judged(score: float | None, why: str) -> Judgement:
    return Judgement(score, None, False, f"Could not be judged: {why}")

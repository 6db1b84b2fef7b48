"""Novelty of a glitch: a conformal p-value of its distance to known glitches.

The references are the known glitches: those labelled with a class. The score of a glitch is its
cosine distance in the latent space to its k-th nearest reference (higher is more novel). The length
of a posterior mean is not used, because it grows with the number of views and their loudness; its
direction describes their content (docs/science/discovery.md).

References of established classes calibrate too, each by its distance to its k-th nearest among the
*other* references. This keeps p-values valid: in full conformal prediction the tested glitch would
be one more reference, the calibration scores could only be lower, and so could the p-value; and
that p-value is uniform or larger for a glitch that is exchangeable with the known ones (Vovk,
Gammerman & Shafer 2005, ch. 2; Laxhammar & Falkman 2010 for the nearest-neighbour score).

Glitches of one episode, and copies of one picture, are near each other regardless of their class,
so they are never compared with each other, and only one of each episode calibrates
(``glitch.novelty.episodes``). The latent vector also depends on the observed windows and band, so
only glitches observed under the same conditions calibrate (``glitch.novelty.conditions``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from glitch.errors import GlitchError
from glitch.novelty.episodes import COPY_DISTANCE, EPISODE_S, STORM_S, Times
from glitch.types import LatentArray

NEAREST = 5  # the k of "distance to the k-th nearest reference"
# Scores closer than this are equal: rounding in single precision can differ by as much.
TIE = 1e-6
MIN_REFERENCES = 50
MIN_CALIBRATION = 20
# An observing run with this many calibration scores calibrates alone; its smallest p-value is 1 /
# 301.
MIN_OF_RUN = 300
# Members of smaller classes cannot be distinguished from novel glitches.
MIN_OF_CLASS = 12
WHICH_CALIBRATE = f"of classes with {MIN_OF_CLASS} or more, at least {EPISODE_S:g} s apart"
_BLOCK_BYTES = 64 << 20  # of distances in memory at a time

Positions = Int[np.ndarray, " glitch"]


@dataclass(frozen=True)
class Judgement:
    """The result of a novelty test. "Not judged" is a result of its own, not the same as "not
    novel".
    """

    score: float | None  # distance to the k-th nearest reference; higher is more novel
    p_value: float | None  # in (0, 1]; lower is more novel
    is_judged: bool
    reason: str | None  # why it could not be judged; None if it was
    observing_run: str | None = None  # the only run used for calibration; None: all runs

    @property
    def basis(self) -> str | None:
        """A sentence on the glitches that calibrated it; None if it was not judged."""
        if not self.is_judged:
            return None
        if self.observing_run is not None:
            return (
                f"Calibrated by the known glitches of its detector in {self.observing_run} that "
                "were seen in the same windows and band."
            )
        return (
            "Calibrated by the known glitches of its detector, seen in the same windows and band, "
            f"in all observing runs, because fewer than {MIN_OF_RUN} of its own run calibrate or "
            "its time is not known."
        )


@dataclass(frozen=True)
class Calibration:
    """Counts of calibration scores, compared with one score."""

    n: int  # number of calibration scores
    n_as_novel: int  # number of them at least as high as the score


@dataclass(frozen=True, eq=False)
class References:
    """The known glitches of one detector and origin, ordered by time, those without a time last."""

    units: LatentArray  # vectors of length one, or zero
    gps_times: Times  # s, ascending; NaN if not known

    @classmethod
    def ordered(cls, means: LatentArray, gps_times: Times) -> tuple[References, Positions]:
        """Sort references by time, and return them with the position of each given one.

        Args:
            means: Posterior means, shape (glitch, latent).
            gps_times: In s; NaN if not known.
        """
        order = np.argsort(gps_times, kind="stable")
        positions = np.empty(len(order), dtype=np.int64)
        positions[order] = np.arange(len(order))
        return cls(directions(means)[order], gps_times[order]), positions


def directions(means: LatentArray) -> LatentArray:
    """Divide each vector by its length, as float32; a zero vector stays zero."""
    wide = means.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def novelty_scores(
    means: LatentArray, gps_times: Times, own: Positions, references: References
) -> Float[np.ndarray, " glitch"]:
    """Compute the score of each glitch; higher is more novel.

    The glitch itself, and references of its episode (``glitch.novelty.episodes``), are left out. If
    the glitch is a reference, possible repetitions of its event and copies of it are left out too:
    a reference must not calibrate by itself, and this can only raise its score. For other glitches
    copies count: a copy of a reference is known.

    Args:
        means: Posterior means, shape (glitch, latent).
        gps_times: In s; NaN if not known.
        own: The position of each glitch among the references, -1 if it is not a reference.
        references: The references to compare with.

    Returns:
        Cosine distance (0 to 2) to the ``NEAREST``-th nearest; NaN if there are fewer.
    """
    scores = np.full(len(means), np.nan)
    reference_units = references.units
    if len(reference_units) < NEAREST or not len(means):
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
    step = max(1, _BLOCK_BYTES // (4 * len(reference_units)))
    for start in range(0, len(means), step):
        rows = slice(start, start + step)
        cosines = units[rows] @ reference_units.T
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
        cosines.partition(len(reference_units) - NEAREST, axis=1)
        nearest = cosines[:, len(reference_units) - NEAREST].astype(np.float64)
        scores[rows] = np.where(np.isfinite(nearest), 1.0 - np.clip(nearest, -1.0, 1.0), np.nan)
    return scores


def novelty_score(mean: Float[np.ndarray, " latent"], references: LatentArray) -> float:
    """Compute the cosine distance (0 to 2) to the ``NEAREST``-th nearest reference.

    Higher is more novel. A zero vector has no direction: its distance to everything is 1.

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
    """Compute a conformal p-value in (0, 1]; lower is more novel.

    Args:
        n_as_novel: Number of calibration scores at least as high as the score.
        n_calibration: Number of calibration scores.

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
    """Compute the p-value of a score from counts, or explain why it cannot be computed.

    Args:
        score: Distance to the ``NEAREST``-th nearest reference; None if there are too few.
        n_references: Number of references of the same detector and origin.
        whole: Calibration scores of the same detector, origin and conditions.
        run: The part of them in the same observing run; None if the time is not known.
        run_name: Name of that run.
        condition: The windows and band in which the glitch was observed
            (``glitch.novelty.conditions``).
        ifo: The detector, if published glitches of it can be loaded; None for simulated ones.

    Returns:
        A judgement by the run if at least ``MIN_OF_RUN`` glitches of it calibrate, else by all
        runs. With too few references or calibration scores it is not judged, and gives the reason.
    """
    if n_references < MIN_REFERENCES or score is None:
        return _not_judged(
            score,
            f"this needs {MIN_REFERENCES} labelled glitches of this detector and origin, and "
            f"{_so_few(n_references)}.{_published(ifo)}",
        )
    if whole.n < MIN_CALIBRATION:
        return _not_judged(score, too_few_calibrate(whole.n, condition) + _published(ifo))
    if run is not None and run.n >= MIN_OF_RUN:
        return Judgement(score, conformal_p_value(run.n_as_novel, run.n), True, None, run_name)
    return Judgement(score, conformal_p_value(whole.n_as_novel, whole.n), True, None)


def too_few_calibrate(n: int, condition: str | None = None) -> str:
    """Explain that too few glitches calibrate, and what the user can do."""
    seen = "" if condition is None else f" and seen in the same windows and band ({condition})"
    helps = " A clustering can judge it by what both show, if they share a window."
    both = "" if condition is None else helps
    return (
        f"this needs {MIN_CALIBRATION} labelled glitches of this detector and origin to "
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

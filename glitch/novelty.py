"""How novel a glitch is: a split-conformal p-value of its distance to known glitches.

The references are known glitches; the calibration split is known glitches held apart from them.
The score of a glitch is its cosine distance in the latent space to its k-th nearest reference
(higher is more novel): the length of a posterior mean grows with how many views there are and how
loud they are, its direction says what they show (docs/science/discovery.md). If a new glitch is
exchangeable with the calibration split, that is, if it is of the known kinds, its p-value is
uniform or larger (Vovk, Gammerman & Shafer 2005, ch. 4; Laxhammar & Falkman 2010 for the
nearest-neighbour score).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glitch.errors import GlitchError
from glitch.types import LatentArray

NEAREST = 5  # the k of "distance to the k-th nearest reference"
CALIBRATION_BYTES = 64  # of 256 first bytes of a content digest: a quarter calibrates
LEAST_REFERENCES = 50
LEAST_CALIBRATION = 20
# Members of a smaller class have too few kin to be told from novel ones, so they do not calibrate.
LEAST_OF_CLASS = 12


@dataclass(frozen=True)
class Judgement:
    """The answer to "is it novel?". Not judged is its own answer, never "not novel"."""

    score: float | None  # distance to the k-th nearest reference; higher is more novel
    p_value: float | None  # in (0, 1]; lower is more novel
    is_judged: bool
    reason: str | None  # why it could not be judged


def is_calibration_member(content_digest: bytes) -> bool:
    """Whether a known glitch of this content digest calibrates; else it is a reference.

    The digest decides, so that the split is fixed, needs no random numbers, and cannot depend on
    the latent vector.
    """
    return content_digest[0] < CALIBRATION_BYTES


def novelty_score(mean: Float[np.ndarray, " latent"], references: LatentArray) -> float:
    """Cosine distance (0 to 2) to the ``NEAREST``-th nearest reference; higher is more novel.

    A vector of zeros has no direction: it is at distance 1 from everything.

    Args:
        mean: Posterior mean of the glitch, shape (latent,).
        references: Posterior means of the references, shape (batch, latent).

    Raises:
        GlitchError: if there are fewer than ``NEAREST`` references.
    """
    if len(references) < NEAREST:
        raise GlitchError(f"A novelty score needs at least {NEAREST} references.")
    query, known = np.asarray(mean, dtype=np.float64), references.astype(np.float64)
    lengths = np.linalg.norm(known, axis=1) * np.linalg.norm(query)
    products = np.einsum("bl,l->b", known, query)
    distances = 1.0 - np.clip(products / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    return float(np.partition(distances, NEAREST - 1)[NEAREST - 1])


def conformal_p_value(n_as_novel: int, n_calibration: int) -> float:
    """Split-conformal p-value in (0, 1]; lower is more novel.

    Args:
        n_as_novel: How many calibration scores are at least as high as the score judged.
        n_calibration: How many calibration scores there are.

    Raises:
        GlitchError: if the counts contradict each other.
    """
    if not 0 <= n_as_novel <= n_calibration:
        raise GlitchError("A p-value needs 0 <= n_as_novel <= n_calibration.")
    return (1 + n_as_novel) / (n_calibration + 1)


def judge(score: float | None, n_references: int, n_as_novel: int, n_calibration: int) -> Judgement:
    """The judgement that these counts allow.

    Args:
        score: Distance to the ``NEAREST``-th nearest reference, or None where there is none.
        n_references: References of the same detector and the same kind of origin.
        n_as_novel: Calibration scores at least as high as ``score``.
        n_calibration: Calibration scores of the same detector and the same kind of origin.

    Returns:
        A judgement; with too few references or calibration scores it is not judged, and says why.
    """
    if n_references < LEAST_REFERENCES or score is None:
        return Judgement(
            score,
            None,
            False,
            f"Could not be judged: only {n_references} labelled glitches of this detector and "
            f"origin to compare with, at least {LEAST_REFERENCES} are needed.",
        )
    if n_calibration < LEAST_CALIBRATION:
        return Judgement(
            score,
            None,
            False,
            f"Could not be judged: only {n_calibration} calibration glitches of this detector and "
            f"origin, at least {LEAST_CALIBRATION} are needed.",
        )
    return Judgement(score, conformal_p_value(n_as_novel, n_calibration), True, None)

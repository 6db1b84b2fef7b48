"""Novelty of glitches observed under other conditions than the references, by common masks.

Only references observed in the same windows and band calibrate (``glitch.novelty.conditions``). If
there are too few, a mask is used: windows and rows of the tests that enough references have too.
All tests and references that contain the mask are encoded again from the masked views alone, and
the p-values are computed from these vectors. The argument of ``glitch.novelty`` therefore holds
within each mask. Glitches that do not contain the mask stay unchanged, on both sides.

References may have different windows, each with its own classes, and a test of a class without
references under a mask would be called new. Several masks are therefore used, until they cover the
references, and the p-value of a glitch is the largest: it is small only if no mask explains the
glitch. The choice of masks uses only windows and counts, never vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.novelty import MIN_CALIBRATION, MIN_REFERENCES, References, directions, novelty_scores
from glitch.novelty.episodes import Times, one_per_episode
from glitch.novelty.kinds import Classes
from glitch.novelty.pool import UNLABELLED, Pool, PoolTests, judge_pool
from glitch.types import LatentArray, ObservedArray

MAX_MASKS = 4  # masks per condition: one for each window if every reference has a single window
MAX_ENCODED = 20_000  # glitches encoded under one mask: some minutes; masks of more are skipped
# Returns the vectors of the glitches at these positions, encoded from the masked views alone.
Encode = Callable[[Int[np.ndarray, " glitch"], ObservedArray], LatentArray]
Conditions = Bool[np.ndarray, "condition view freq"]  # the rows observed in each condition


@dataclass(frozen=True, eq=False)
class MaskedEncoder:
    """The observed rows of the glitches of a pool, and a way to encode masked views."""

    observed: Conditions  # indexed by the numbers in ``Pool.conditions``
    is_established: Bool[np.ndarray, " glitch"]  # whether its class has enough references
    encode: Encode


def score_pool(
    means: LatentArray,
    gps_times: Times,
    *,
    classes: Classes,
    is_reference: Bool[np.ndarray, " glitch"],
    is_established: Bool[np.ndarray, " glitch"],
    conditions: Int[np.ndarray, " glitch"],
) -> Pool:
    """Build a pool of glitches that are scored and calibrated by each other.

    Args:
        means: Posterior means, shape (glitch, latent).
        gps_times: In s; NaN if not known.
        classes: A number for each class; ``UNLABELLED`` for glitches without a label.
        is_reference: Whether each glitch is a reference.
        is_established: Whether its class has enough references to calibrate.
        conditions: A number for the windows and band of each.
    """
    references, positions = References.ordered(means[is_reference], gps_times[is_reference])
    reference_index = np.full(len(means), -1)
    reference_index[is_reference] = positions
    scores = novelty_scores(means, gps_times, reference_index, references)
    calibrates = np.nonzero(is_reference & is_established)[0]
    is_selected = one_per_episode(
        directions(means[calibrates]), gps_times[calibrates], classes[calibrates]
    )
    calibration = np.full(len(means), np.nan)
    calibration[calibrates[is_selected]] = scores[calibrates[is_selected]]
    counts = np.bincount(
        conditions[np.isfinite(calibration)], minlength=int(conditions.max(initial=0)) + 1
    )
    testable = (counts >= MIN_CALIBRATION)[conditions] & (is_reference.sum() >= MIN_REFERENCES)
    return Pool(
        means=means,
        gps_times=gps_times,
        is_reference=is_reference,
        classes=classes,
        conditions=conditions,
        judged=np.where(testable, scores, np.nan),
        calibration=calibration,
    )


def common_masks(
    own: ObservedArray, observed: Conditions, n_calibration: Int[np.ndarray, " condition"]
) -> list[ObservedArray]:
    """Choose masks that glitches observed in ``own`` share with the references, most useful first.

    Args:
        own: The observed rows of each view.
        observed: The observed rows of each condition of the references.
        n_calibration: The number of calibrating references of each condition.

    Returns:
        At most ``MAX_MASKS``; empty if no mask is shared with ``MIN_CALIBRATION`` of them.
    """
    shared = [own & one for one, n in zip(observed, n_calibration, strict=True) if n]
    candidates = list({one.tobytes(): one for one in shared if one.any()}.values())
    covers = [(observed | ~mask).all(axis=(1, 2)) for mask in candidates]
    uncovered = np.asarray(n_calibration).copy()
    masks: list[ObservedArray] = []
    while len(masks) < MAX_MASKS and candidates:
        gains = [
            (int(uncovered[cover].sum()), int(mask.sum()))
            for cover, mask in zip(covers, candidates, strict=True)
        ]
        best = max(range(len(gains)), key=gains.__getitem__)
        if not gains[best][0]:
            break
        uncovered[covers[best]] = 0
        if n_calibration[covers[best]].sum() >= MIN_CALIBRATION:
            masks.append(candidates[best])
        del candidates[best], covers[best]
    return masks


def judge_under_common_masks(pool: Pool, tests: PoolTests, encoder: MaskedEncoder) -> PoolTests:
    """Add p-values under common masks for the unlabelled glitches that have no p-value yet.

    Args:
        pool: All glitches of a detector and origin.
        tests: The result of ``judge_pool`` for it.
        encoder: Their observed rows, and a way to encode masked views.
    """
    n = len(pool.classes)
    p_values, scores, weights = np.full(n, np.nan), np.full(n, np.nan), np.ones(n)
    p_values[tests.places] = tests.p_values
    scores[tests.places], weights[tests.places] = tests.scores, tests.weights
    lacking = (pool.classes == UNLABELLED) & ~np.isfinite(p_values)
    n_calibration = np.bincount(
        pool.conditions[pool.is_reference & encoder.is_established], minlength=len(encoder.observed)
    )
    requests: dict[bytes, tuple[ObservedArray, list[int]]] = {}
    for condition in np.unique(pool.conditions[lacking]):
        for mask in common_masks(encoder.observed[condition], encoder.observed, n_calibration):
            requests.setdefault(mask.tobytes(), (mask, []))[1].append(int(condition))
    selection_excesses, neighbour_excesses, n_tested = (
        [tests.selection_excess],
        [tests.neighbour_excess],
        int(np.isfinite(tests.p_values).sum()),
    )
    for mask, conditions in requests.values():
        shows = (encoder.observed | ~mask).all(axis=(1, 2))[pool.conditions]
        if shows.sum() > MAX_ENCODED:
            continue
        masked = judge_pool(_under(pool, mask, shows, encoder))
        new = np.isin(masked.places, np.nonzero(lacking & np.isin(pool.conditions, conditions))[0])
        new &= np.isfinite(masked.p_values)
        if new.sum() > n_tested:  # masks that test fewer say little about the whole run
            selection_excesses.append(masked.selection_excess)
            neighbour_excesses.append(masked.neighbour_excess)
        places = masked.places[new]
        is_larger = ~(masked.p_values[new] <= p_values[places])  # NaN: none so far
        places = places[is_larger]
        p_values[places] = masked.p_values[new][is_larger]
        scores[places] = masked.scores[new][is_larger]
        weights[places] = masked.weights[new][is_larger]
    places = np.union1d(tests.places, np.nonzero(lacking)[0])
    return replace(
        tests,
        places=places,
        p_values=p_values[places],
        scores=scores[places],
        weights=weights[places],
        # Masks share glitches, so the excesses are not independent and must not be added.
        selection_excess=max(selection_excesses, key=attrgetter("sigmas")),
        neighbour_excess=max(neighbour_excesses, key=attrgetter("is_significant", "excess")),
    )


def _under(
    pool: Pool, mask: ObservedArray, shows: Bool[np.ndarray, " glitch"], encoder: MaskedEncoder
) -> Pool:
    """Encode all glitches that contain the mask again, and limit the tests to them."""
    means: Float[np.ndarray, "glitch latent"] = pool.means.copy()
    indices = np.nonzero(shows)[0]
    means[indices] = encoder.encode(indices, mask)
    under = score_pool(
        means,
        pool.gps_times,
        classes=pool.classes,
        is_reference=pool.is_reference,
        is_established=encoder.is_established,
        conditions=np.where(shows, 0, 1 + pool.conditions),
    )
    return replace(under, judged=np.where(shows, under.judged, np.nan))

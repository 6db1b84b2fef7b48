"""The known class that each glitch resembles ("kind"), for weights by present frequencies.

It is the most common class among the nearest references. The frequency of a class can be estimated
only if references of it calibrate (``glitch.novelty.crowds``). The extent of a class with too few
members to calibrate is uncertain, and a new class far from everything may be nearest to one of its
few members. Such a class is therefore assigned only to glitches that are as near to one of its
members as those are to each other. The others are assigned the most common class among the nearest
references that calibrate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from glitch.nearest import nearest_to
from glitch.novelty.conformal import NEAREST
from glitch.novelty.episodes import EPISODE_S, Times, same_event
from glitch.types import LatentArray

MAX_OF_RARE = (
    1  # most references of too small classes among the nearest of a glitch with ``is_calibrated``
)
MAX_REFERENCES = 5_000  # references compared with
_MIN_DISTANCES = 3  # distances needed to estimate the radius of a class

Classes = Int[np.ndarray, " glitch"]


class Kinds(NamedTuple):
    """The class that each glitch resembles."""

    classes: Classes  # the most common among its nearest references
    is_sure: Bool[np.ndarray, " glitch"]  # whether more than half of them have it
    is_calibrated: Bool[
        np.ndarray, " glitch"
    ]  # whether at most MAX_OF_RARE is of a class too small to calibrate


def kinds_of(
    units: LatentArray,
    gps_times: Times,
    classes: Classes,
    is_reference: Bool[np.ndarray, " glitch"],
    calibrates: Bool[np.ndarray, " glitch"],
) -> Kinds:
    """Determine the class that each glitch resembles; a reference itself does not vote.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN if not known. Distances within one episode are ignored for the radius
            of a class.
        classes: A number for each class; not used for glitches that are not references.
        is_reference: Whether each glitch is a reference.
        calibrates: Whether it calibrates.

    Returns:
        With fewer than two references the smallest of ``classes``, and not sure.
    """
    references = _thinned(np.nonzero(is_reference)[0])
    kinds, is_sure, nearest_classes = _commonest(units, classes, references, np.arange(len(units)))
    rare = np.setdiff1d(classes[is_reference], classes[calibrates])
    is_calibrated = np.isin(nearest_classes, rare).sum(axis=1) <= MAX_OF_RARE
    established = references[np.isin(classes[references], rare, invert=True)]
    if not len(rare) or len(established) <= NEAREST:
        return Kinds(kinds, is_sure, is_calibrated)
    members = {int(rare_id): np.nonzero(is_reference & (classes == rare_id))[0] for rare_id in rare}
    radii = _radii(units, gps_times, members)
    for rare_id, references_of_class in members.items():
        resembling = np.nonzero(kinds == rare_id)[0]
        cosines = units[resembling] @ units[references_of_class].T
        cosines[resembling[:, None] == references_of_class[None]] = -np.inf
        distant = resembling[1.0 - cosines.max(axis=1, initial=-np.inf) > radii[rare_id]]
        kinds[distant], is_sure[distant], _ = _commonest(units, classes, established, distant)
    return Kinds(kinds, is_sure, is_calibrated)


def _thinned(references: Int[np.ndarray, " reference"]) -> Int[np.ndarray, " reference"]:
    # They are in the order of ids, which grow with time, so a regular subset is representative.
    return references[:: max(1, -(-len(references) // MAX_REFERENCES))]


def _commonest(
    units: LatentArray,
    classes: Classes,
    references: Int[np.ndarray, " reference"],
    query: Int[np.ndarray, " query"],
) -> tuple[Int[np.ndarray, " query"], Bool[np.ndarray, " query"], Int[np.ndarray, "query near"]]:
    """Return the most common class of the nearest references, if it is a majority, all votes."""
    names, numbers = np.unique(classes, return_inverse=True)
    n_near = min(NEAREST, len(references) - 1)
    if n_near < 1 or not len(query):
        least, unsure = np.full(len(query), names.min(initial=0)), np.zeros(len(query), np.bool_)
        return least, unsure, np.empty((len(query), 0), dtype=np.int64)
    indices, _ = nearest_to(units[query], units[references], n_near + 1)
    neighbours = references[indices]
    is_itself = neighbours == query[:, None]
    is_itself[~is_itself.any(axis=1), -1] = True
    votes = numbers[neighbours[~is_itself].reshape(len(query), n_near)]
    counts = np.zeros((len(query), len(names)), dtype=np.int8)
    for column in votes.T:
        counts[np.arange(len(query)), column] += 1
    return names[counts.argmax(axis=1)], 2 * counts.max(axis=1) > n_near, names[votes]


def _radii(
    units: LatentArray, gps_times: Times, members: dict[int, Int[np.ndarray, " member"]]
) -> dict[int, float]:
    """Return the largest distance from a member of each class to its nearest other member.

    A class with too few distances takes the largest radius of the others; if there is none, its
    radius is infinite.
    """
    widths: dict[int, float] = {}
    for class_id, indices in members.items():
        cosines = units[indices] @ units[indices].T
        times = gps_times[indices]
        # Only pairs of one episode are left out: other near-copies belong to the extent of the
        # class.
        is_same_event = same_event(1 - cosines, times[:, None], times[None], storm_s=EPISODE_S)
        cosines[is_same_event] = -np.inf
        np.fill_diagonal(cosines, -np.inf)
        nearest = 1.0 - cosines.max(axis=1, initial=-np.inf)
        nearest = nearest[np.isfinite(nearest)]
        if len(nearest) >= _MIN_DISTANCES:
            widths[class_id] = float(nearest.max())
    widest = max(widths.values(), default=np.inf)
    return {class_id: widths.get(class_id, widest) for class_id in members}

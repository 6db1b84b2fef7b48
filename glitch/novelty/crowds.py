"""The crowd score: novelty of glitches that form a dense group outside the known classes.

A single glitch is tested by its distance to the known ones (``glitch.novelty``). Many unlabelled
glitches contain more information: a new class is a region where unlabelled glitches are close to
each other and known ones are far away. The score is

    (distance to the 5th nearest known) / (distance to the 5th nearest of all + 0.1)
    + share of unlabelled glitches among the 10 nearest of all
    + distance to the 5th nearest known,

which for an isolated glitch grows only with its distance. Known glitches are scored in the same
way, each without itself, and calibrate (Bates et al. 2023; Marandon, Lei, Mary & Roquain 2024 for
scores that use calibration and tests together).

Neighbours are other events (``glitch.novelty.episodes``): none of the glitch's own episode, and one
of each other. Otherwise a known glitch that a detector repeats within minutes would form a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.nearest import MAX_EXACT, nearest_among, nearest_to
from glitch.novelty.conformal import NEAREST
from glitch.novelty.episodes import (
    COPY_DISTANCE,
    EPISODE_S,
    Times,
    are_heads,
    representatives_of,
    same_event,
)
from glitch.types import LatentArray

CROWD = 10
SOFTENING = 0.1  # cosine distance: groups denser than this score little higher
_N_SEARCHED = CROWD + 20  # neighbours searched at first; more if they contain too few other events
_COMPARED_AT_ONCE = 20_000
# Episodes have few representatives, so this many neighbours contain ten other events.
_MAX_SEARCHED = 1024

Places = Int[np.ndarray, "glitch near"]  # -1 if there is none
Distances = Float[np.ndarray, "glitch near"]  # cosine


@dataclass(frozen=True, eq=False)
class Crowds:
    """The neighbourhood of each glitch of a detector, known or not, outside its own episode."""

    to_any: Float[
        np.ndarray, " glitch"
    ]  # cosine distance to the 5th nearest; NaN if there are fewer
    unlabelled: Float[
        np.ndarray, " glitch"
    ]  # fraction of unlabelled glitches among the ten nearest
    # 1 / (number of unlabelled glitches of the same burst), so that a burst counts as one test. A
    # burst is the glitches of one episode that are nearer than other events.
    weights: Float[np.ndarray, " glitch"]
    proxies: Int[np.ndarray, " glitch"]  # the representative of each (``glitch.novelty.episodes``)
    pairs: Int[np.ndarray, "2 pair"]  # pairs of representatives of one burst
    repeats: Bool[
        np.ndarray, " glitch"
    ]  # whether another glitch may be the same event or a copy, by its distance

    def of_bursts(self, p_values: Float[np.ndarray, " glitch"]) -> Float[np.ndarray, " glitch"]:
        """Return the p-value of each glitch's burst: the largest among its members.

        A burst is therefore flagged as a whole or not at all, not for its most unusual members.

        Args:
            p_values: Of each glitch; NaN if it was not tested.
        """
        least = np.zeros(len(p_values))
        np.maximum.at(least, self.proxies, np.nan_to_num(p_values, nan=0.0))
        own_values = least.copy()
        for one, other in (self.pairs, self.pairs[::-1]):
            np.maximum.at(least, one, own_values[other])
        return np.where(np.isnan(p_values), np.nan, least[self.proxies])

    def scores(self, to_known: Float[np.ndarray, " glitch"]) -> Float[np.ndarray, " glitch"]:
        """Compute the score of each glitch; higher is more novel.

        Args:
            to_known: Cosine distance to the ``NEAREST``-th nearest reference of another event.

        Returns:
            Scores above 0; NaN where ``to_known`` is NaN, or too few other events were found.
        """
        scores: Float[np.ndarray, " glitch"] = (
            to_known / (self.to_any + SOFTENING) + self.unlabelled + to_known
        )
        return scores


def crowds_of(
    units: LatentArray, gps_times: Times, is_known: Bool[np.ndarray, " glitch"]
) -> Crowds:
    """Find the neighbourhood of each glitch among all of its detector and origin.

    The time grows little faster than the number of glitches, even if many are of one burst.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN if not known.
        is_known: Whether each glitch is a reference.
    """
    proxies = representatives_of(units, gps_times)
    candidates, distances = _nearest(units, proxies)
    others, radii = _other_events(np.arange(len(units)), candidates, distances, units, gps_times)
    index = np.unique(proxies)
    n_searched = candidates.shape[1]
    while n_searched < min(_MAX_SEARCHED, len(index)):
        incomplete = np.nonzero((others < 0).any(axis=1))[0]
        if not len(incomplete):
            break
        n_searched = min(4 * n_searched, _MAX_SEARCHED, len(index))
        extra, chords = nearest_to(units[incomplete], units[index], n_searched)
        others[incomplete], radii[incomplete] = _other_events(
            incomplete, index[extra], chords**2 / 2, units, gps_times
        )
    incomplete = np.nonzero((others < 0).any(axis=1))[0]
    if len(incomplete) and n_searched < len(index):  # all neighbours searched are of a few events
        heads = index[are_heads(units[index], gps_times[index])]
        extra, chords = nearest_to(units[incomplete], units[heads], min(n_searched, len(heads)))
        others[incomplete], radii[incomplete] = _other_events(
            incomplete, heads[extra], chords**2 / 2, units, gps_times
        )
    to_any = radii[:, NEAREST - 1]
    exists = others >= 0
    unlabelled = (exists & ~is_known[others]).sum(axis=1) / np.maximum(1, exists.sum(axis=1))
    to_any = np.where(np.isfinite(to_any), to_any, np.nan)
    is_repeat = np.asarray(same_event(distances, gps_times[:, None], gps_times[candidates]))
    is_repeat &= candidates != np.arange(len(units))[:, None]
    repeats = np.asarray((is_repeat & (distances <= COPY_DISTANCE)).any(axis=1))
    # Copies without a time are recognised by distance, as far as the search found them.
    copies = is_repeat & (np.isnan(gps_times[:, None]) | np.isnan(gps_times[candidates]))
    copies &= ~is_known[candidates]
    pairs = _burst_pairs(units, gps_times, proxies, to_any)
    unlabelled_counts = np.bincount(proxies[~is_known], minlength=len(units)).astype(np.float64)
    burst_counts = unlabelled_counts.copy()
    for one, other in (pairs, pairs[::-1]):
        np.add.at(burst_counts, one, unlabelled_counts[other])
    weights = 1 / np.maximum(1, burst_counts[proxies] + copies.sum(axis=1))
    return Crowds(to_any, unlabelled, weights, proxies, pairs, repeats)


def _nearest(units: LatentArray, proxies: Int[np.ndarray, " glitch"]) -> tuple[Places, Distances]:
    """Find the nearest representatives of each glitch; each may find itself."""
    index = np.unique(proxies)
    if len(units) <= MAX_EXACT or len(index) <= _N_SEARCHED:
        nearest, chords = nearest_to(units, units[index], min(_N_SEARCHED, len(index)))
        return index[nearest], chords**2 / 2
    nearest, chords = nearest_among(units[index], _N_SEARCHED)
    proxy_rows = np.searchsorted(index, proxies)
    # The representative of a glitch, and the neighbours of that representative.
    neighbours = np.concatenate([proxies[:, None], index[nearest][proxy_rows]], axis=1)
    distances = np.concatenate([np.zeros((len(units), 1)), chords[proxy_rows] ** 2 / 2], axis=1)
    moved = np.nonzero(proxies != np.arange(len(units)))[0]
    if len(moved):
        for start in range(0, len(moved), 10_000):
            rows = moved[start : start + 10_000]
            cosines = np.einsum("ij,ikj->ik", units[rows], units[neighbours[rows]])
            order = np.argsort(-cosines, axis=1, kind="stable")
            neighbours[rows] = np.take_along_axis(neighbours[rows], order, axis=1)
            distances[rows] = np.maximum(0, 1 - np.take_along_axis(cosines, order, axis=1))
    return neighbours, distances


def _other_events(
    queries: Int[np.ndarray, " asked"],
    candidates: Int[np.ndarray, "asked sought"],
    distances: Float[np.ndarray, "asked sought"],
    units: LatentArray,
    gps_times: Times,
) -> tuple[Int[np.ndarray, "asked ten"], Float[np.ndarray, "asked ten"]]:
    """Select the nearest other events, one glitch of each, from neighbours in order of distance."""
    n = len(queries)
    selected = np.full((n, CROWD), -1, dtype=np.int64)
    radii = np.full((n, CROWD), np.inf)
    times = np.full((n, CROWD), np.inf)  # times of the selected; infinite if there is none
    count = np.zeros(n, dtype=np.int64)
    query_times = gps_times[queries]
    for column in range(candidates.shape[1]):
        candidate, distance = candidates[:, column], distances[:, column]
        is_own = same_event(distance, query_times, gps_times[candidate])
        is_seen = (np.abs(times - gps_times[candidate][:, None]) <= EPISODE_S).any(axis=1)
        rows = np.nonzero((count < CROWD) & ~is_own & ~is_seen)[0]
        rows = rows[~_repeats_selected(candidate[rows], selected[rows], units, gps_times)]
        selected[rows, count[rows]] = candidate[rows]
        radii[rows, count[rows]] = distance[rows]
        times[rows, count[rows]] = gps_times[candidate[rows]]
        count[rows] += 1
        if (count == CROWD).all():
            break
    return selected, radii


def _repeats_selected(
    candidates: Int[np.ndarray, " asked"],
    selected: Int[np.ndarray, "asked ten"],
    units: LatentArray,
    gps_times: Times,
) -> Bool[np.ndarray, " asked"]:
    """Whether each may be the same event as one already selected."""
    is_again = np.zeros(len(candidates), dtype=np.bool_)
    for start in range(0, len(candidates), _COMPARED_AT_ONCE):
        rows = slice(start, start + _COMPARED_AT_ONCE)
        block, earlier = candidates[rows], selected[rows]
        cosines = np.einsum("ij,ikj->ik", units[block], units[earlier])
        pairs = same_event(1 - cosines, gps_times[block][:, None], gps_times[earlier])
        is_again[rows] = (pairs & (earlier >= 0)).any(axis=1)
    return is_again


def _burst_pairs(
    units: LatentArray,
    gps_times: Times,
    proxies: Int[np.ndarray, " glitch"],
    to_any: Float[np.ndarray, " glitch"],
) -> Int[np.ndarray, "2 pair"]:
    """Find pairs of one episode that are nearer than the fifth other event of either."""
    representatives = np.nonzero(np.isfinite(gps_times) & (proxies == np.arange(len(units))))[0]
    representatives = representatives[np.argsort(gps_times[representatives], kind="stable")]
    times, reach = gps_times[representatives], np.nan_to_num(to_any[representatives], nan=np.inf)
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for offset in range(1, len(representatives)):
        first = np.nonzero(times[offset:] - times[:-offset] <= EPISODE_S)[0]
        if not len(first):
            break
        distance = 1 - np.einsum(
            "ij,ij->i", units[representatives[first]], units[representatives[first + offset]]
        )
        first = first[distance <= np.maximum(reach[first], reach[first + offset])]
        pairs.append(np.stack([representatives[first], representatives[first + offset]]))
    return np.concatenate(pairs, axis=1)

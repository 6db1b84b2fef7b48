"""How well scores find a hidden class, computed on encodings with the service's functions.

Printed by `leave_one_class_out.py scores`. In real glitches a quarter of the groups of each class
is unlabelled, in addition to the hidden class, in several splits. In simulated views 1,000 are
labelled, 500 more are not, and 40 are of the hidden class; first with all known classes equally
frequent, then with log-normal frequencies of several widths among the unlabelled, and also among
the labelled, so that some classes have almost no labels: false-discovery rates must be correct in
all cases. "Unweighted" is the joint test without weights by the present class frequencies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from glitch.clustering import unit_vectors
from glitch.encoder import Encoding
from glitch.novelty import (
    MIN_CALIBRATION,
    MIN_OF_CLASS,
    References,
    conformal_p_value,
    directions,
    novelty_scores,
)
from glitch.novelty.crowds import crowds_of
from glitch.novelty.episodes import one_per_episode
from glitch.novelty.false_discovery import benjamini_hochberg
from glitch.novelty.pool import UNLABELLED, Pool, judge_pool
from glitch.novelty.weighting import Scored, weighted_p_values
from glitch.taxonomy import CATCH_ALLS
from training.data.pack import Pack

RATES = (0.05, 0.1, 0.2)
SPLITS = 5
LABELLED, TESTED, HIDDEN = 1000, 500, 40
MAX_OF_CLASS = 160  # labelled glitches, of 240 in a pack; the others are tested
# Widths of the log-normal frequencies among the labelled, and among the unlabelled.
MIXES = ((0.0, 0.0), (0.0, 0.36), (0.0, 1.2), (0.8, 0.8), (1.2, 1.2))
EVEN = MIXES[0]
NEAREST = (1, 3, 5, 10)
WAYS = ("alone", "as a crowd, unweighted", "as a crowd")
START, STEP_S = 1_240_000_000, 600  # GPS times of the groups


@dataclass(frozen=True, eq=False)
class Case:
    """The hidden, other unlabelled, and labelled glitches, as positions in a pack."""

    hidden: np.ndarray
    tested: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Found:
    """The result of one test for one case."""

    area: float  # under the receiver operating characteristic
    rates: tuple[tuple[float, float], ...]  # recall and realised rate at each of ``RATES``


def digest(seed: str, group: str) -> bytes:
    """Return a pseudo-random number for a group, independent of other choices."""
    return hashlib.sha256(f"{seed} {group}".encode()).digest()


def is_held_back(pack: Pack, seed: int) -> np.ndarray:
    """Select the quarter of the groups that is unlabelled."""
    return np.array([digest(f"test {seed}", group)[0] < 64 for group in pack.groups])


def real_cases(pack: Pack, classes: list[str], hidden: str) -> Iterator[Case]:
    """Yield the splits of a pack of real glitches."""
    labels = np.array(pack.labels)
    for seed in range(SPLITS):
        is_known = (labels != hidden) & ~np.isin(labels, list(CATCH_ALLS))
        is_held = is_held_back(pack, seed) & is_known & np.isin(labels, classes)
        yield Case(
            np.nonzero(labels == hidden)[0],
            np.nonzero(is_held)[0],
            np.nonzero((labels != hidden) & ~is_held)[0],
        )


def simulated_cases(
    pack: Pack, classes: list[str], hidden: str, mix: tuple[float, float]
) -> Iterator[Case]:
    """Yield samples of a pack of simulated glitches with frequencies of these widths."""
    labels = np.array(pack.labels)
    others = [name for name in classes if name != hidden and name not in CATCH_ALLS]
    for seed in range(SPLITS):
        rng = np.random.default_rng([seed, classes.index(hidden)])
        known, tested = [], []
        counts = []
        for total, width in zip((LABELLED, TESTED), mix, strict=True):
            shares = np.exp(width * rng.normal(size=len(others)))
            counts.append(np.maximum(1, np.round(total * shares / shares.sum())).astype(int))
        for name, n_known, n_tested in zip(others, *counts, strict=True):
            members = rng.permutation(np.nonzero(labels == name)[0])
            n_labelled = min(n_known, MAX_OF_CLASS)
            known.append(members[:n_labelled])
            tested.append(members[n_labelled : n_labelled + n_tested])
        hidden_places = rng.permutation(np.nonzero(labels == hidden)[0])[:HIDDEN]
        yield Case(hidden_places, np.concatenate(tested), np.concatenate(known))


def pool_of(pack: Pack, means: np.ndarray, case: Case) -> Pool:
    """Build the pool of a catalogue with this case's labels: hidden, tested, known."""
    chosen = np.concatenate([case.hidden, case.tested, case.known])
    names, classes = np.unique(np.array(pack.labels)[chosen], return_inverse=True)
    classes[: len(case.hidden) + len(case.tested)] = UNLABELLED
    groups = {group: place for place, group in enumerate(dict.fromkeys(pack.groups))}
    times = np.array([START + STEP_S * groups[pack.groups[index]] for index in chosen], dtype=float)
    is_reference = (classes != UNLABELLED) & ~np.isin(names, list(CATCH_ALLS))[classes]
    references, places = References.ordered(means[chosen][is_reference], times[is_reference])
    own = np.full(len(chosen), -1)
    own[is_reference] = places
    scores = novelty_scores(means[chosen], times, own, references)
    counts = np.bincount(classes[classes != UNLABELLED], minlength=len(names))
    calibrates = is_reference & (counts[classes] >= MIN_OF_CLASS)
    stands = np.nonzero(calibrates)[0]
    calibrates[stands] = one_per_episode(
        directions(means[chosen[stands]]), times[stands], classes[stands]
    )
    seen = pack.observed[chosen].reshape(len(chosen), -1)
    conditions = np.unique(seen, axis=0, return_inverse=True)[1].ravel()
    enough = np.bincount(conditions[calibrates], minlength=conditions.max() + 1)
    return Pool(
        means=means[chosen],
        gps_times=times,
        is_reference=is_reference,
        classes=classes,
        conditions=conditions,
        judged=np.where((enough >= MIN_CALIBRATION)[conditions], scores, np.nan),
        calibration=np.where(calibrates, scores, np.nan),
    )


def tests_of(pool: Pool, case: Case) -> tuple[Found, ...]:
    """Run the tests of a case in the order of ``WAYS``, with the functions of the service."""
    judged = slice(0, len(case.hidden) + len(case.tested))
    is_hidden = np.arange(judged.stop) < len(case.hidden)
    calibrates = np.isfinite(pool.calibration)
    scores = pool.judged[judged]
    alone = np.full(len(scores), np.nan)
    for place, (score, condition) in enumerate(zip(scores, pool.conditions[judged], strict=True)):
        references = pool.calibration[calibrates & (pool.conditions == condition)]
        if np.isfinite(score):
            alone[place] = conformal_p_value(int((references >= score).sum()), len(references))
    jointly = judge_pool(pool)
    crowds = crowds_of(directions(pool.means), pool.gps_times, pool.is_reference)
    as_a_crowd = crowds.scores(np.where(calibrates, pool.calibration, pool.judged))
    p_values, of_test = np.full((2, len(scores)), np.nan), np.isfinite(as_a_crowd[judged])
    p_values[0, of_test] = weighted_p_values(
        _one_class(as_a_crowd[judged][of_test]), _one_class(as_a_crowd[calibrates])
    )
    p_values[1, jointly.places] = jointly.p_values
    return (
        _outcome(is_hidden, scores, alone),
        _outcome(is_hidden, as_a_crowd[judged], p_values[0]),
        _outcome(is_hidden, as_a_crowd[judged], p_values[1]),
    )


def _one_class(scores: np.ndarray) -> Scored:
    """Treat all as of one class and condition."""
    same = np.zeros(len(scores), dtype=int)
    return Scored(scores, same, same, np.ones(len(scores)))


def _outcome(is_hidden: np.ndarray, scores: np.ndarray, p_values: np.ndarray) -> Found:
    # A glitch that could not be tested counts as missed.
    judged = np.isfinite(p_values) & np.isfinite(scores)
    n_hidden, is_hidden = is_hidden.sum(), is_hidden[judged]
    scores, p_values = scores[judged], p_values[judged]
    rates = []
    for rate in RATES:
        flagged = benjamini_hochberg(p_values, rate)
        right = (flagged & is_hidden).sum()
        wrong = flagged.sum() - right
        rates.append((float(right / n_hidden), float(wrong / max(1, flagged.sum()))))
    return Found(float(roc_auc_score(is_hidden, scores)), tuple(rates))


def report_crowds(
    pack: Pack, encodings: list[Encoding], classes: list[str], *, is_real: bool
) -> None:
    """Print AUROC, recall and realised rate of the tests, for every class or their means."""
    means = np.stack([one.mean for one in encodings])
    for mix in (EVEN,) if is_real else MIXES:
        title = f"{SPLITS} splits by group"
        if not is_real:
            title = f"{SPLITS} draws, frequencies of widths {mix[0]:g} (labelled) and {mix[1]:g}"
        print(f"\nmeans of {title}: AUROC; recall (realised rate) at nominal {RATES}")
        print(f"{'hidden class':<21}" + "".join(f"{way:<49}" for way in WAYS))
        every: list[tuple[Found, ...]] = []
        for hidden in classes:
            cases = cases_of(pack, classes, hidden, mix, is_real=is_real)
            results = [tests_of(pool_of(pack, means, case), case) for case in cases]
            every += results
            if mix == EVEN:
                print(f"{hidden:<21}" + _row(results), flush=True)
        print(f"{'mean':<21}" + _row(every), flush=True)


def cases_of(
    pack: Pack, classes: list[str], hidden: str, mix: tuple[float, float], *, is_real: bool
) -> Iterator[Case]:
    """Return the cases of one hidden class."""
    if is_real:
        return real_cases(pack, classes, hidden)
    return simulated_cases(pack, classes, hidden, mix)


def _row(results: list[tuple[Found, ...]]) -> str:
    return "".join(
        f"{np.mean([one.area for one in way]):.3f}; "
        + f"{', '.join(f'{recall:.2f} ({rate:.3f})' for recall, rate in _means(way)):<42}"
        for way in zip(*results, strict=True)
    )


def _means(way: tuple[Found, ...]) -> np.ndarray:
    means: np.ndarray = np.mean([one.rates for one in way], axis=0)
    return means


def compare_scores(
    pack: Pack, encodings: list[Encoding], classes: list[str], *, is_real: bool
) -> None:
    """Print the mean AUROC of alternative scores of a single glitch."""
    labels = np.array(pack.labels)
    means = np.stack([one.mean for one in encodings])
    units, wide = unit_vectors(means), means.astype(np.float64)
    error = np.array([one.reconstruction_error for one in encodings])
    areas: dict[str, list[float]] = {}
    for hidden in classes:
        cases = cases_of(pack, classes, hidden, EVEN, is_real=is_real)
        for case in cases:
            test = np.concatenate([case.hidden, case.tested])
            train = case.known[~np.isin(labels[case.known], list(CATCH_ALLS))]
            angle = nth_nearest(units, test, train, 5)
            away = mahalanobis(units, test, train, labels)
            scores = {
                f"angle to the nearest, k = {k}": nth_nearest(units, test, train, k)
                for k in NEAREST
            } | {
                "distance to the 5th nearest": nth_nearest(wide, test, train, 5),
                "class-conditional Mahalanobis": mahalanobis(wide, test, train, labels),
                "the same of directions": away,
                "angle + Mahalanobis of directions": angle / np.median(angle)
                + away / np.median(away),
                "angle + reconstruction error": angle / np.median(angle)
                + error[test] / np.median(error[test]),
            }
            for name, score in scores.items():
                is_hidden = np.arange(len(test)) < len(case.hidden)
                areas.setdefault(name, []).append(roc_auc_score(is_hidden, score))
    print("\nscores of a glitch alone, mean AUROC of the same cases")
    for name, values in areas.items():
        print(f"{name:<36}{np.mean(values):.3f}")


def nth_nearest(points: np.ndarray, queries: np.ndarray, known: np.ndarray, k: int) -> np.ndarray:
    """Return the distance of each of ``queries`` to the k-th nearest of ``known``."""
    squares = (
        (points[queries] ** 2).sum(1)[:, None]
        + (points[known] ** 2).sum(1)[None]
        - 2 * points[queries] @ points[known].T
    )
    return np.sort(np.sqrt(np.maximum(squares, 0)), axis=1)[:, k - 1]


def mahalanobis(
    points: np.ndarray, queries: np.ndarray, known: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the distance to the nearest class mean, by the covariance within classes."""
    means = {
        name: points[known][labels[known] == name].mean(0) for name in np.unique(labels[known])
    }
    spread = points[known] - np.stack([means[name] for name in labels[known]])
    covariance = spread.T @ spread / len(spread)
    size = len(covariance)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / size * np.eye(size)
    precision = np.linalg.inv(shrunk)
    away = [points[queries] - mean for mean in means.values()]
    return np.sqrt(np.min([np.einsum("ij,jk,ik->i", one, precision, one) for one in away], axis=0))

"""Paired bootstrap over training seeds and groups: the uncertainty of comparing objectives.

Results vary with the training seed and with the held-out glitches. Both are resampled together,
with the same weights for every contender, so that what they have in common (a hard split, a hard
glitch) cancels from their differences. Groups are resampled, not glitches, because near-identical
copies share a group.

The resampling uses weights, as in the Bayesian bootstrap (Rubin 1981), not counts: with counts a
class of one glitch would be missing from every third sample, and balanced accuracy would rise
without the hard classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.errors import GlitchError
from training.evaluation.measures.interval import Interval

LEVEL = 0.95
N_DRAWS = 2_000


@dataclass(frozen=True, eq=False)
class Answers:
    """The predictions of one run of one contender for its held-out glitches.

    Attributes:
        groups: the group of each glitch.
        truth: its label.
        is_right: whether the prediction was that label.
    """

    groups: Sequence[str]
    truth: Sequence[str]
    is_right: Bool[np.ndarray, " glitch"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Accuracy of each contender, and differences between contenders."""

    accuracy: dict[str, Interval]
    balanced_accuracy: dict[str, Interval]
    accuracy_gain: dict[tuple[str, str], Interval]  # (first, second): first minus second
    balanced_gain: dict[tuple[str, str], Interval]


def compare(
    answers: Mapping[str, Sequence[Answers]],
    pairs: Sequence[tuple[str, str]] = (),
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compute accuracy with intervals for every contender, and for the requested differences.

    Args:
        answers: the runs of each contender, in the same order of seeds; run ``i`` of every
            contender must be evaluated on the same glitches.
        pairs: pairs of contenders; the result is the first minus the second.
        n_draws: number of bootstrap samples.
        seed: of the bootstrap.

    Raises:
        GlitchError: if there is no run, or the contenders' runs are not of the same glitches.
    """
    names = list(answers)
    _require_pairs(answers)
    groups = sorted({group for run in answers[names[0]] for group in run.groups})
    counts = {name: [_count(run, groups) for run in answers[name]] for name in names}
    n_seeds = len(answers[names[0]])
    rng = np.random.default_rng(seed)
    # The first row has equal weights: the estimate itself.
    weights = np.ones((1 + n_draws, len(groups)))
    weights[1:] = rng.standard_exponential((n_draws, len(groups)))
    chosen = np.ones((1 + n_draws, n_seeds))
    chosen[1:] = rng.standard_exponential((n_draws, n_seeds))
    drawn = {name: _draw(counts[name], weights, chosen) for name in names}
    plain, balanced = (
        {name: drawn[name][which] for name in names} for which in (0, 1)
    )  # each (1 + n_draws,)
    return Comparison(
        {name: _interval(plain[name]) for name in names},
        {name: _interval(balanced[name]) for name in names},
        {pair: _interval(plain[pair[0]] - plain[pair[1]]) for pair in pairs},
        {pair: _interval(balanced[pair[0]] - balanced[pair[1]]) for pair in pairs},
    )


def _require_pairs(answers: Mapping[str, Sequence[Answers]]) -> None:
    runs = list(answers.values())
    if not runs or not runs[0]:
        raise GlitchError("There is no run to compare.")
    for others in runs[1:]:
        is_paired = len(others) == len(runs[0]) and all(
            list(one.groups) == list(other.groups) and list(one.truth) == list(other.truth)
            for one, other in zip(runs[0], others, strict=True)
        )
        if not is_paired:
            raise GlitchError(
                "Runs can be compared in pairs only if each seed of every contender is "
                "evaluated on the same glitches: use the same splits for all."
            )


def _count(
    run: Answers, groups: Sequence[str]
) -> tuple[Int[np.ndarray, "group class"], Int[np.ndarray, "group class"]]:
    """Count right predictions and glitches of each group and class."""
    row = {group: index for index, group in enumerate(groups)}
    column = {label: index for index, label in enumerate(sorted(set(run.truth)))}
    right = np.zeros((len(row), len(column)), dtype=np.int64)
    total = np.zeros_like(right)
    for group, label, is_right in zip(run.groups, run.truth, run.is_right, strict=True):
        total[row[group], column[label]] += 1
        right[row[group], column[label]] += int(is_right)
    return right, total


def _draw(
    counts: Sequence[tuple[np.ndarray, np.ndarray]],
    weights: Float[np.ndarray, "draw group"],
    chosen: Float[np.ndarray, "draw seed"],
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Compute plain and balanced accuracy of each sample, averaged over its seeds."""
    plain, balanced = [], []
    for right, total in counts:
        correct, totals = weights @ right, weights @ total  # (draw, class)
        plain.append(correct.sum(axis=1) / totals.sum(axis=1))
        balanced.append((correct / totals).mean(axis=1))
    by_seed = np.stack(plain), np.stack(balanced)  # (seed, draw)
    mean_plain, mean_balanced = (
        (values * chosen.T).sum(axis=0) / chosen.sum(axis=1) for values in by_seed
    )
    return mean_plain, mean_balanced


def _interval(draws: Float[np.ndarray, " draw"]) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws[1:], [tail, 1 - tail])
    return Interval(float(draws[0]), float(low), float(high))

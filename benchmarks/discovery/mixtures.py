"""Hard situations of mixed catalogues: many small bursts, two at once, one very large class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.discovery.label_choices import O3B_LATER_S
from benchmarks.discovery.situations import (
    OPEN,
    START,
    STORM_S,
    Bed,
    Make,
    Situation,
    few_labels,
    with_copies,
)

_DAY_S = 86_401.0  # another day, so that a copy is another glitch of its class


def several_bursts(n: int, size: int, step_s: float = STORM_S, rounded_s: float = 0.0) -> Make:
    """Repeat each of n unlabelled glitches; times may be rounded, to the second or minute."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        usual = np.nonzero(situation.is_open & ~situation.is_hidden)[0]
        chosen = rng.choice(usual, min(n, len(usual)), replace=False)
        more = with_copies(situation, chosen, size - 1, step_s)
        times = more.gps_times
        return replace(
            more, gps_times=np.round(times / rounded_s) * rounded_s if rounded_s else times
        )

    return make


def two_bursts_at_once(size: int) -> Make:
    """Repeat one unlabelled glitch of each of two classes, in turn, as one episode."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        labels = np.array(bed.labels)[situation.places]
        usual = np.nonzero(situation.is_open & ~situation.is_hidden)[0]
        kinds = rng.choice(np.unique(labels[usual]), 2, replace=False)
        first, second = (int(rng.choice(usual[labels[usual] == kind])) for kind in kinds)
        times = situation.gps_times.copy()
        times[second] = times[first] + STORM_S / 2
        both = replace(situation, gps_times=times)
        return with_copies(both, np.array([first, second]), size - 1, STORM_S)

    return make


def tests_in_next_run(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
    """Move all unlabelled glitches into the next observing run."""
    return replace(
        situation, gps_times=situation.gps_times + O3B_LATER_S * situation.is_open.astype(float)
    )


def one_large_class(of: str, n_labels: int, n_others: int) -> Make:
    """Give one class many labels, copies on other days, and each other class a few.

    A tenth of the large class is unlabelled, chosen among copies and originals alike.
    """

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        names, numbers = np.unique(np.array(bed.labels), return_inverse=True)
        is_large = numbers[situation.places] == np.searchsorted(names, of)
        if not (is_large & ~situation.is_hidden).any():
            return situation
        others = few_labels(n_others)(situation.chosen(~is_large), bed, rng)
        large = situation.chosen(is_large)
        n_copies = max(0, round(n_labels / 0.9 / len(large.places)) - 1)
        large = with_copies(large, np.arange(len(large.places)), n_copies, 0.0)
        n = len(large.places)
        return others.with_more(
            replace(
                large,
                gps_times=START + _DAY_S * rng.permutation(n),
                classes=np.where(rng.random(n) < 0.1, OPEN, numbers[large.places]),
            )
        )

    return make

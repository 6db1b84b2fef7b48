"""Hard situations of labels: the choice of labelled glitches, and wrong labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.discovery.situations import OPEN, Bed, Make, Situation, two_detectors

O3B_LATER_S = 17_000_000.0  # from a time in O3a to one in O3b


def wrong_labels(share: float) -> Make:
    """Replace a fraction of the labels with another class, drawn in proportion to the labels."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        labelled = np.nonzero(~situation.is_open)[0]
        classes = situation.classes.copy()
        wrong = labelled[rng.random(len(labelled)) < share]
        for one in wrong:
            others = classes[labelled][classes[labelled] != classes[one]]
            classes[one] = rng.choice(others)
        return replace(situation, classes=classes)

    return make


def hidden_among_labels(share: float) -> Make:
    """Give a fraction of the hidden class the label of one known class, by mistake."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        is_mislabelled = situation.is_hidden & (rng.random(len(situation.places)) < share)
        if not is_mislabelled.any():
            return situation
        classes = situation.classes.copy()
        classes[is_mislabelled] = rng.choice(np.unique(classes[~situation.is_open]))
        return replace(situation, classes=classes)

    return make


def labels_by_detector(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
    """Use two detectors: every second class has labels in only one of them."""
    both_have = two_detectors(situation, bed, rng)
    names = np.unique(situation.classes[~situation.is_open])
    only = np.isin(both_have.classes, names[::2])
    return both_have.chosen(~(only & (both_have.detectors == 1)))


def labels_by_run(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
    """Use two observing runs: every second class has labels only in the first."""
    groups = np.unique(situation.gps_times, return_inverse=True)[1]
    is_later = rng.random(groups.max() + 1) < 0.5
    names = np.unique(situation.classes[~situation.is_open])
    only = np.isin(situation.classes, names[::2])
    times = situation.gps_times + O3B_LATER_S * (is_later[groups] & ~only)
    return replace(situation, gps_times=times)


def faintest_unlabelled(share: float) -> Make:
    """Leave the faintest of each class unlabelled; label all others of known classes."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        labels = np.array(bed.labels)[situation.places]
        numbers = np.unique(np.array(bed.labels), return_inverse=True)[1][situation.places]
        bright = bed.brightness(situation.places)
        known = np.unique(labels[situation.is_open & ~situation.is_hidden])
        classes = np.where(situation.is_hidden, OPEN, numbers)
        for one in known:
            members = np.nonzero((labels == one) & ~situation.is_hidden)[0]
            order = members[np.argsort(bright[members], kind="stable")]
            classes[order[: round(share * len(members))]] = OPEN
        return replace(situation, classes=classes)

    return make

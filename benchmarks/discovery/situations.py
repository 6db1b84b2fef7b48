"""Hard situations for a novelty test: properties of real catalogues of a detector.

Pure functions. They define the glitches of a catalogue with times, labels, windows and bands; a bed
(``Bed``) provides their latent vectors. Encoded real pictures are one bed (``pictured_bed.py``),
random vectors another (``drawn_bed.py``), so tests and benchmarks use the same situations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from glitch.novelty import MIN_OF_CLASS, conformal_p_value
from glitch.novelty.common_masks import MaskedEncoder, judge_under_common_masks, score_pool
from glitch.novelty.fair_sample import NO_EXCESS, SelectionExcess
from glitch.novelty.false_discovery import flagging_threshold
from glitch.novelty.pool import UNLABELLED, Pool, PoolTests, judge_pool
from glitch.novelty.two_samples import NO_NEIGHBOUR_EXCESS, NeighbourExcess
from glitch.taxonomy import CATCH_ALLS

START = 1_240_000_000  # GPS time in s, in O3a, so that one observing run calibrates
APART_S = 3_600.0  # between unrelated glitches
STORM_S = 3.0  # between glitches of one burst
REGULAR_S = 600.0  # between glitches of one repeating source
ONE_EVENT_S = 0.4
OPEN = UNLABELLED  # the class of glitches without a label
RATES = (0.05, 0.1, 0.2)


class Variant(NamedTuple):
    """Changes to the picture of a glitch; none by default."""

    copy: int = 0  # 1 and up: another picture of the same event, slightly shifted and scaled
    window_s: float | None = None  # only with this window
    highest_hz: float | None = None  # rows above are not observed
    power: float = 1.0  # exponent of the colours: another colour scale
    black_hz: float | None = None  # rows above are black, but count as observed


AS_IS = Variant()


class Bed(Protocol):
    """A source of glitches for situations."""

    labels: Sequence[str]
    groups: Sequence[str]
    windows: Sequence[tuple[float, ...]]

    def means(self, places: np.ndarray, variants: Sequence[Variant]) -> np.ndarray:
        """Return posterior means, shape (glitch, latent)."""
        ...

    def conditions(self, places: np.ndarray, variants: Sequence[Variant]) -> np.ndarray:
        """Return a number for the observed windows and rows of each glitch."""
        ...

    def observed(self, place: int, variant: Variant) -> np.ndarray:
        """Return the observed rows of each view of one glitch."""
        ...

    def brightness(self, places: np.ndarray) -> np.ndarray:
        """Return the mean colour of the observed rows of each; higher is louder."""
        ...

    def masked(
        self, places: np.ndarray, variants: Sequence[Variant], mask: np.ndarray
    ) -> np.ndarray:
        """Return posterior means as if only this mask had been observed."""
        ...


@dataclass(frozen=True, eq=False)
class Situation:
    """A catalogue of one or two detectors, as parallel arrays."""

    places: np.ndarray  # in the bed
    variants: tuple[Variant, ...]
    gps_times: np.ndarray  # s; NaN if not known
    classes: np.ndarray  # a number for each class; OPEN if unlabelled
    detectors: np.ndarray
    is_hidden: np.ndarray  # whether each is of the hidden class

    def chosen(self, which: np.ndarray) -> Situation:
        """Select glitches by positions or by a mask."""
        kept = np.arange(len(self.places))[which]
        return Situation(
            self.places[kept],
            tuple(self.variants[index] for index in kept),
            self.gps_times[kept],
            self.classes[kept],
            self.detectors[kept],
            self.is_hidden[kept],
        )

    def with_more(self, other: Situation) -> Situation:
        """Concatenate two situations."""
        return Situation(
            np.concatenate([self.places, other.places]),
            self.variants + other.variants,
            np.concatenate([self.gps_times, other.gps_times]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.detectors, other.detectors]),
            np.concatenate([self.is_hidden, other.is_hidden]),
        )

    @property
    def is_open(self) -> np.ndarray:
        return self.classes == OPEN


Make = Callable[[Situation, Bed, np.random.Generator], Situation]


def plain(
    bed: Bed, rng: np.random.Generator, known: Sequence[str], hidden: str | None
) -> Situation:
    """Leave a quarter of the groups of each known class unlabelled, and all of the hidden class.

    Glitches of other classes are labelled and few. Each group has its own time.
    """
    labels = np.array(bed.labels)
    groups, of_group = np.unique(np.array(bed.groups), return_inverse=True)
    is_held_out = rng.random(len(groups)) < 0.25
    is_hidden = labels == hidden
    is_open = is_hidden | (is_held_out[of_group] & np.isin(labels, list(known)))
    classes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    n = len(labels)
    return Situation(
        np.arange(n),
        (AS_IS,) * n,
        START + APART_S * rng.permutation(len(groups))[of_group],
        np.where(is_open, OPEN, classes),
        np.zeros(n, dtype=np.int64),
        is_hidden,
    )


def with_copies(
    situation: Situation, which: np.ndarray, n_copies: int, step_s: float, *, is_timed: bool = True
) -> Situation:
    """Add pictures of the events at these positions, each ``step_s`` after the one before."""
    more = situation.chosen(np.repeat(which, n_copies))
    number = np.tile(np.arange(1, n_copies + 1), len(which))
    variants = tuple(
        one._replace(copy=int(at)) for one, at in zip(more.variants, number, strict=True)
    )
    times = more.gps_times + step_s * number if is_timed else np.full(len(number), np.nan)
    return situation.with_more(replace(more, variants=variants, gps_times=times))


def burst(of: str, size: int, step_s: float = STORM_S) -> Make:
    """Repeat one unlabelled glitch of this class, seconds apart."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        labels = np.array(bed.labels)[situation.places]
        usual = situation.is_open & ~situation.is_hidden
        eligible = usual & (
            labels == of
        )  # empty if this is the hidden class: then any other class is used
        eligible = np.nonzero(eligible if eligible.any() else usual)[0]
        return with_copies(situation, rng.choice(eligible, 1), size - 1, step_s)

    return make


def one_event(of: str, size: int) -> Make:
    """Repeat one unlabelled glitch of this class within ``ONE_EVENT_S``."""
    return burst(of, size, ONE_EVENT_S / size)


def labels_in_episodes(share: float, size: int, step_s: float = STORM_S) -> Make:
    """Repeat a fraction of the labelled glitches, seconds or more apart."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        few = situation.chosen(situation.is_open | (rng.random(len(situation.places)) < share))
        return with_copies(few, np.nonzero(~few.is_open)[0], size - 1, step_s)

    return make


def labels_copied_without_times(share: float, size: int) -> Make:
    """Add pictures of a fraction of the labelled glitches, all of them without a time."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        few = situation.chosen(situation.is_open | (rng.random(len(situation.places)) < share))
        nowhen = replace(few, gps_times=np.where(few.is_open, few.gps_times, np.nan))
        return with_copies(nowhen, np.nonzero(~few.is_open)[0], size - 1, 0.0, is_timed=False)

    return make


def without_times(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
    """Remove the times of the labelled glitches."""
    return replace(situation, gps_times=np.where(situation.is_open, situation.gps_times, np.nan))


def observed_otherwise(
    *, is_open: bool, windows: str = "all", highest_hz: float | None = None
) -> Make:
    """Give the unlabelled, or the labelled, only one of their windows, or no upper rows.

    With ``windows="one"`` only glitches with four windows are used on both sides, so that nothing
    else differs between them.
    """

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        if windows == "one":
            is_complete = np.array([len(bed.windows[place]) == 4 for place in situation.places])
            situation = situation.chosen(is_complete)
        variants = []
        for place, variant, is_changed in zip(
            situation.places, situation.variants, situation.is_open == is_open, strict=True
        ):
            one = variant
            if is_changed and windows == "one":
                one = one._replace(window_s=float(rng.choice(bed.windows[place])))
            if is_changed and highest_hz is not None:
                one = one._replace(highest_hz=highest_hz)
            variants.append(one)
        return replace(situation, variants=tuple(variants))

    return make


def of_four_windows(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
    """Keep only glitches with four windows, to compare with situations where some have fewer."""
    return situation.chosen(np.array([len(bed.windows[at]) == 4 for at in situation.places]))


def labels_of_window(window_s: float) -> Make:
    """Give the labelled glitches only this window; leave out glitches that lack it."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        has = [window_s in bed.windows[place] for place in situation.places]
        situation = situation.chosen(np.array(has))
        variants = [
            one if is_open else one._replace(window_s=window_s)
            for one, is_open in zip(situation.variants, situation.is_open, strict=True)
        ]
        return replace(situation, variants=tuple(variants))

    return make


def few_labels(least: int) -> Make:
    """Limit the number of labels of each class."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        order = rng.permutation(len(situation.places))
        is_kept = situation.is_open.copy()
        for one in np.unique(situation.classes[~situation.is_open]):
            is_kept[order[situation.classes[order] == one][:least]] = True
        return situation.chosen(is_kept)

    return make


def labels_of_class(name: str, n: int) -> Make:
    """Limit the number of labels of one class."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        is_labelled = ~situation.is_open & (np.array(bed.labels)[situation.places] == name)
        is_kept = ~is_labelled
        is_kept[rng.permutation(np.nonzero(is_labelled)[0])[:n]] = True
        return situation.chosen(is_kept)

    return make


def drawn_otherwise(*, power: float = 1.0, black_hz: float | None = None) -> Make:
    """Draw the unlabelled as with another tool: with stretched colours, or without some rows."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        variants = tuple(
            one._replace(power=power, black_hz=black_hz) if is_open else one
            for one, is_open in zip(situation.variants, situation.is_open, strict=True)
        )
        return replace(situation, variants=variants)

    return make


def has_few_labels(situation: Situation, bed: Bed) -> np.ndarray:
    """Select the unlabelled glitches of classes with too few labels to calibrate."""
    names, numbers = np.unique(np.array(bed.labels)[situation.places], return_inverse=True)
    counts = np.bincount(numbers[~situation.is_open], minlength=len(names))
    is_few = situation.is_open & ~situation.is_hidden & (counts < MIN_OF_CLASS)[numbers]
    return np.asarray(is_few)


def uneven(width: float) -> Make:
    """Thin the unlabelled of each known class to log-normal frequencies of this width."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        labels = np.array(bed.labels)[situation.places]
        names = np.unique(labels)
        shares = np.exp(width * rng.normal(size=len(names)))
        is_kept = rng.random(len(labels)) < (shares / shares.max())[np.searchsorted(names, labels)]
        return situation.chosen(is_kept | ~situation.is_open | situation.is_hidden)

    return make


def frequent(of: str, times: int) -> Make:
    """Make one known class more frequent among the unlabelled than among the labels."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        labels = np.array(bed.labels)[situation.places]
        is_kept = (rng.random(len(labels)) < 1 / times) | (labels == of)
        return situation.chosen(is_kept | ~situation.is_open | situation.is_hidden)

    return make


def two_detectors(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
    """Split the groups between two detectors."""
    groups = np.unique(situation.gps_times, return_inverse=True)[1]
    return replace(situation, detectors=rng.integers(0, 2, groups.max() + 1)[groups])


def tests_of_one_kind(n: int) -> Make:
    """Test only a few glitches of one known class, and the hidden class."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        labels = np.array(bed.labels)[situation.places]
        usual = situation.is_open & ~situation.is_hidden
        kind = rng.choice(np.unique(labels[usual]))
        stays = ~usual
        stays[rng.permutation(np.flatnonzero(usual & (labels == kind)))[:n]] = True
        return situation.chosen(stays)

    return make


def fewer_labels(share: float) -> Make:
    """Remove the labels of a fraction of the labelled groups."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        groups = np.unique(situation.gps_times, return_inverse=True)[1]
        is_removed = rng.random(groups.max() + 1) < share
        return replace(situation, classes=np.where(is_removed[groups], OPEN, situation.classes))

    return make


def both(first: Make, second: Make) -> Make:
    """Apply one situation after the other."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:
        return second(first(situation, bed, rng), bed, rng)

    return make


def typical_labels(share: float) -> Make:
    """Keep only the labels nearest to the centre of their class."""

    def make(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
        means = bed.means(situation.places, situation.variants).astype(np.float64)
        units = means / np.linalg.norm(means, axis=1, keepdims=True)
        is_kept = situation.is_open.copy()
        for one in np.unique(situation.classes[~situation.is_open]):
            members = np.nonzero(situation.classes == one)[0]
            middle = units[members].mean(axis=0)
            nearest = members[np.argsort(-(units[members] @ middle), kind="stable")]
            is_kept[nearest[: max(1, round(share * len(members)))]] = True
        return situation.chosen(is_kept)

    return make


def unchanged(situation: Situation, bed: Bed, rng: np.random.Generator) -> Situation:  # noqa: ARG001
    """Leave the situation as made by ``plain``."""
    return situation


@dataclass(frozen=True, eq=False)
class Judged:
    """The p-values of one test of the unlabelled glitches of a situation."""

    p_values: np.ndarray  # NaN if a glitch could not be tested or is labelled
    weights: np.ndarray  # weight of each test
    selection_excess: SelectionExcess = NO_EXCESS  # check whether the labels are a fair sample
    neighbour_excess: NeighbourExcess = (
        NO_NEIGHBOUR_EXCESS  # check whether glitches that look known resemble labelled ones
    )

    def flagged(self, rate: float) -> np.ndarray:
        """Return the glitches flagged at a nominal false-discovery rate."""
        is_tested = np.isfinite(self.p_values)
        values, inverse = np.unique(self.p_values[is_tested], return_inverse=True)
        threshold = flagging_threshold(values, np.bincount(inverse, self.weights[is_tested]), rate)
        return is_tested & (np.nan_to_num(self.p_values, nan=2.0) <= (threshold or -1.0))


def pool_of(situation: Situation, bed: Bed) -> Pool:
    """Build the service's pool for a situation of one detector."""
    means = bed.means(situation.places, situation.variants).astype(np.float32)
    classes, is_reference, is_established = _references(situation, bed)
    return score_pool(
        means,
        situation.gps_times,
        classes=classes,
        is_reference=is_reference,
        is_established=is_established,
        conditions=bed.conditions(situation.places, situation.variants),
    )


def masked_encoder_of(situation: Situation, bed: Bed) -> MaskedEncoder:
    """Return the observed rows of its glitches, and a way to encode masked views."""
    conditions = bed.conditions(situation.places, situation.variants)
    firsts = np.unique(conditions, return_index=True)[1]

    def encode(places: np.ndarray, mask: np.ndarray) -> np.ndarray:
        variants = [situation.variants[place] for place in places]
        return bed.masked(situation.places[places], variants, mask).astype(np.float32)

    observed = [bed.observed(situation.places[at], situation.variants[at]) for at in firsts]
    return MaskedEncoder(np.array(observed), _references(situation, bed)[2], encode)


def _references(situation: Situation, bed: Bed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return classes, which glitches are references, and which of these are established."""
    names, classes = np.unique(np.array(bed.labels)), situation.classes
    is_reference = (classes != UNLABELLED) & ~np.isin(names, list(CATCH_ALLS))[classes]
    counts = np.bincount(classes[classes != UNLABELLED], minlength=len(names))
    return classes, is_reference, is_reference & (counts[classes] >= MIN_OF_CLASS)


Way = Callable[[Pool, MaskedEncoder], Judged]


def alone(pool: Pool, encoder: MaskedEncoder) -> Judged:  # noqa: ARG001
    """Compute p-values and weights of unlabelled glitches from their own distance to the known."""
    p_values = np.full(len(pool.means), np.nan)
    for condition in np.unique(pool.conditions):
        in_pool = pool.conditions == condition
        references = np.sort(pool.calibration[in_pool & np.isfinite(pool.calibration)])
        tested = np.nonzero(in_pool & (pool.classes == UNLABELLED) & np.isfinite(pool.judged))[0]
        as_novel = len(references) - np.searchsorted(references, pool.judged[tested], side="left")
        p_values[tested] = [conformal_p_value(int(n), len(references)) for n in as_novel]
    return Judged(p_values, np.ones(len(pool.means)))


def as_a_crowd(pool: Pool, encoder: MaskedEncoder) -> Judged:  # noqa: ARG001
    """Test jointly all glitches with enough references under the same conditions."""
    return _to_judged(pool, judge_pool(pool))


def in_common(pool: Pool, encoder: MaskedEncoder) -> Judged:
    """Test as a clustering does: jointly, and by common masks where conditions differ."""
    return _to_judged(pool, judge_under_common_masks(pool, judge_pool(pool), encoder))


def _to_judged(pool: Pool, tests: PoolTests) -> Judged:
    p_values, weights = np.full(len(pool.means), np.nan), np.ones(len(pool.means))
    p_values[tests.places], weights[tests.places] = tests.p_values, tests.weights
    return Judged(p_values, weights, tests.selection_excess, tests.neighbour_excess)


def judge(situation: Situation, bed: Bed, way: Way = as_a_crowd) -> Judged:
    """Test a situation, one detector after the other."""
    p_values = np.full(len(situation.places), np.nan)
    weights, selection, neighbours = np.ones(len(situation.places)), NO_EXCESS, NO_NEIGHBOUR_EXCESS
    for detector in np.unique(situation.detectors):
        places = np.nonzero(situation.detectors == detector)[0]
        subset = situation.chosen(places)
        result = way(pool_of(subset, bed), masked_encoder_of(subset, bed))
        p_values[places], weights[places] = result.p_values, result.weights
        selection = selection.plus(result.selection_excess)
        neighbours = neighbours.plus(result.neighbour_excess)
    return Judged(p_values, weights, selection, neighbours)

"""Novelty without a database: scores against scikit-learn, p-values against theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from glitch.errors import GlitchError
from glitch.novelty import (
    MIN_CALIBRATION,
    MIN_REFERENCES,
    NEAREST,
    Calibration,
    References,
    conformal_p_value,
    judge,
    novelty_score,
    novelty_scores,
)
from glitch.observing_runs import era, observing_run


def test_score_is_the_distance_to_the_fifth_nearest() -> None:
    rng = np.random.default_rng(1)
    references = rng.normal(size=(200, 8)).astype(np.float32)
    queries = rng.normal(size=(20, 8)).astype(np.float32)
    peer = NearestNeighbors(n_neighbors=NEAREST, metric="cosine").fit(references.astype(np.float64))
    expected = peer.kneighbors(queries.astype(np.float64))[0][:, -1]
    ours = [novelty_score(query, references) for query in queries]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_score_needs_enough_references() -> None:
    references = np.zeros((NEAREST - 1, 3), dtype=np.float32)
    with pytest.raises(GlitchError, match="at least 5 references"):
        novelty_score(np.zeros(3, dtype=np.float32), references)


def test_p_values_of_known_kinds_are_uniform() -> None:
    """With 99 calibration scores, P(p <= j / 100) is j / 100 exactly for an exchangeable glitch."""
    rng = np.random.default_rng(20)
    references = rng.normal(size=(100, 3)).astype(np.float32)
    counts = np.zeros(101)
    trials = 2000
    for _ in range(trials):
        points = rng.normal(size=(100, 3)).astype(np.float32)
        distances = np.linalg.norm(points[:, None] - references[None], axis=2)
        scores = np.partition(distances, NEAREST - 1, axis=1)[:, NEAREST - 1]
        p = conformal_p_value(int((scores[1:] >= scores[0]).sum()), 99)
        counts[round(p * 100)] += 1
    assert counts[0] == 0
    observed = np.cumsum(counts)[1:] / trials
    # Kolmogorov's 0.1 % critical value for 2000 trials
    assert np.abs(observed - np.arange(1, 101) / 100).max() < 1.95 / np.sqrt(trials)


def test_another_direction_is_novel_and_length_says_nothing() -> None:
    rng = np.random.default_rng(3)
    references = rng.normal(2.0, size=(100, 3)).astype(np.float32)
    calibration = [novelty_score(point, references) for point in rng.normal(2.0, size=(99, 3))]
    far = novelty_score(np.full(3, -20.0), references)
    near = novelty_score(np.ones(3), references)
    assert conformal_p_value(sum(score >= far for score in calibration), 99) == 0.01
    assert conformal_p_value(sum(score >= near for score in calibration), 99) > 0.5
    assert novelty_score(np.full(3, 1000.0), references) == pytest.approx(near)
    assert novelty_score(np.zeros(3), references) == 1.0  # a zero vector has no direction


@given(n=st.integers(0, 10_000), fraction=st.floats(0, 1))
def test_p_values_stay_in_their_range_and_order(n: int, fraction: float) -> None:
    as_novel = int(n * fraction)
    p = conformal_p_value(as_novel, n)
    assert 1 / (n + 1) <= p <= 1
    if as_novel < n:
        assert conformal_p_value(as_novel + 1, n) > p


@pytest.mark.parametrize(("as_novel", "n"), [(-1, 3), (4, 3)])
def test_counts_that_contradict_each_other(as_novel: int, n: int) -> None:
    with pytest.raises(GlitchError, match="0 <= n_as_novel <= n_calibration"):
        conformal_p_value(as_novel, n)


def test_too_few_is_its_own_answer() -> None:
    few_references = judge(1.0, MIN_REFERENCES - 1, Calibration(100, 0))
    assert (few_references.is_judged, few_references.p_value) == (False, None)
    assert few_references.score == 1.0
    assert "needs 50 labelled glitches of this detector and origin, and there are only 49." in (
        few_references.reason or ""
    )
    few_calibration = judge(1.0, MIN_REFERENCES, Calibration(MIN_CALIBRATION - 1, 0))
    assert (few_calibration.is_judged, few_calibration.p_value) == (False, None)
    assert few_calibration.reason == (
        "Could not be judged: this needs 20 labelled glitches of this detector and origin to "
        "calibrate with, of classes with 12 or more, at least 120 s apart, and there are only 19."
    )
    assert not judge(None, 1000, Calibration(1000, 0)).is_judged
    enough = judge(1.0, MIN_REFERENCES, Calibration(MIN_CALIBRATION, 0))
    assert (enough.is_judged, enough.reason) == (True, None)
    assert enough.p_value == pytest.approx(1 / 21)


def test_p_values_left_one_out_are_uniform_or_larger() -> None:
    """Each reference is calibrated by the others: P(p <= a) is at most a, and close to it."""
    rng = np.random.default_rng(21)
    trials, n = 1500, 60
    p_values = np.empty(trials)
    untimed = np.full(n + 1, np.nan)
    for trial in range(trials):
        points = rng.normal(size=(n + 1, 3)).astype(np.float32)
        known, places = References.ordered(points[1:], untimed[1:])
        own = np.concatenate([[-1], places])
        scores = novelty_scores(points, untimed, own, known)
        p_values[trial] = conformal_p_value(int((scores[1:] >= scores[0]).sum()), n)
    for level in (0.02, 0.05, 0.1, 0.3, 0.5):
        deviation = np.sqrt(level * (1 - level) / trials)
        share = (p_values <= level).mean()
        assert share <= level + 3 * deviation
        assert share >= 0.6 * level - 3 * deviation  # nor much smaller, which would lose power


def test_a_glitch_and_its_episode_are_not_its_neighbours() -> None:
    rng = np.random.default_rng(22)
    points = rng.normal(size=(40, 4)).astype(np.float32)
    points[10:20] = points[10]  # ten pictures of one episode
    times = np.arange(40) * 1000.0
    times[10:20] = 10_000 + 4 * np.arange(10)
    times[35:] = np.nan
    known, own = References.ordered(points, times)
    scores = novelty_scores(points, times, own, known)
    others = np.delete(points, np.arange(10, 20), axis=0)
    assert scores[10] == pytest.approx(novelty_score(points[10], others), abs=1e-6)
    assert scores[3] == pytest.approx(
        novelty_score(points[3], np.delete(points, 3, axis=0)), abs=1e-6
    )
    assert scores[37] == pytest.approx(
        novelty_score(points[37], np.delete(points, 37, axis=0)), abs=1e-6
    )
    few, own = References.ordered(points[10:22], times[10:22])
    assert np.isnan(novelty_scores(points[10:11], times[10:11], own[:1], few)).all()


@pytest.mark.parametrize(
    ("gps_time", "run"),
    [
        (1126259462.4, "O1"),
        (1160000000.0, "O2"),  # between two runs, counts to the next
        (1187733618.0, "O3a"),
        (1253977217.9, "O3a"),
        (1269363618.0, "O4"),
        (1500000000.0, "since O4"),
        (0.0, "O1"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_every_time_has_an_observing_run(gps_time: float | None, run: str | None) -> None:
    assert observing_run(gps_time) == run


@pytest.mark.parametrize(
    ("gps_time", "name"),
    [
        (0.0, "before O1"),
        (1126259462.4, "O1"),
        (1160000000.0, "between O1 and O2"),
        (1190000000.0, "between O2 and O3a"),  # 21 September 2017
        (1238166018.0, "O3a"),
        (1255000000.0, "between O3a and O3b"),
        (1300000000.0, "between O3b and O4"),
        (1500000000.0, "since O4"),
        (None, None),
    ],
)
def test_a_break_between_observing_runs_is_called_a_break(
    gps_time: float | None, name: str | None
) -> None:
    assert era(gps_time) == name

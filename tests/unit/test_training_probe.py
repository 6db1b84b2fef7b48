"""Probes: a group is never split, and scores follow the formulas of scikit-learn."""

import numpy as np
import pytest

from training.evaluation.probe import (
    classes_with_groups,
    grouped_folds,
    predict_linear,
    predict_neighbours,
    score,
)


def test_no_group_is_on_both_sides_and_every_glitch_is_tested_once() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{index}" for index in rng.integers(0, 40, 200)]
    labels = [f"c{int(group[1:]) % 3}" for group in groups]
    tested: list[int] = []
    for train, test in grouped_folds(labels, groups, 3, seed=1):
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        tested += test.tolist()
    assert sorted(tested) == list(range(200))


def test_folds_depend_on_their_seed_alone() -> None:
    labels, groups = ["a", "b"] * 30, [f"g{index}" for index in range(60)]

    def first(seed: int) -> list[int]:
        return next(iter(grouped_folds(labels, groups, 3, seed)))[1].tolist()

    assert first(0) == first(0) != first(1)


def test_classes_are_counted_by_groups_not_members() -> None:
    labels, groups = ["a", "a", "a", "b", "b"], ["1", "1", "1", "2", "3"]
    assert classes_with_groups(labels, groups, 2) == ("b",)
    assert classes_with_groups(labels, groups, 1) == ("a", "b")


def test_score_is_plain_and_balanced_accuracy() -> None:
    truth, answers = ["a"] * 8 + ["b"] * 2, ["a"] * 8 + ["b", "x"]
    found = score(truth, answers)
    assert found.accuracy == pytest.approx(0.9)
    assert found.balanced_accuracy == pytest.approx(0.75)
    assert (found.n_glitches, found.n_classes) == (10, 2)
    only = score(truth, answers, ["b"])
    assert (only.accuracy, only.n_glitches) == (0.5, 2)
    assert np.isnan(score(truth, answers, ["z"]).accuracy)


@pytest.mark.parametrize("predict", [predict_linear, predict_neighbours])
def test_predictors_learn_what_is_separable_and_not_what_is_noise(predict) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b"], 300)
    noise = rng.normal(size=(300, 4))
    signal = noise + 4 * (labels == "a")[:, None]
    halves = slice(0, 150), slice(150, 300)

    def accuracy(features: np.ndarray) -> float:
        answers = predict(features[halves[0]], labels[halves[0]].tolist(), features[halves[1]])
        return float((answers == labels[halves[1]]).mean())

    assert accuracy(signal) > 0.98
    assert accuracy(noise) < 0.65

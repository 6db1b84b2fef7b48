"""Lemma 3.1 where the optimum is known in closed form, and a case where it fails as printed."""

import numpy as np
import pytest

from glitch.errors import GlitchError
from training.reproduction.lemma import BETAS, COLLAPSED_BETAS, LARGE_GAMMA, LINEAR_CAPACITIES
from training.reproduction.linear_gaussian import (
    LinearCase,
    LinearVAE,
    Point,
    best_of_beta,
    best_of_capacity,
    is_ordered,
)

CASE = LinearCase()


def test_one_direction_by_hand() -> None:
    case = LinearCase(eigenvalues=(4.0,), n_latent=1, variance=1.0)
    found = best_of_beta(case, 1.0)
    assert found.rate == pytest.approx(0.5 * np.log(4))
    assert found.distortion == pytest.approx(0.5 + 0.5 * np.log(2 * np.pi))


def test_rate_rises_and_distortion_falls_as_beta_falls() -> None:
    assert is_ordered([best_of_beta(CASE, beta) for beta in BETAS], is_strict=True)


def test_rate_rises_and_distortion_falls_as_capacity_rises() -> None:
    points = [best_of_capacity(CASE, capacity, LARGE_GAMMA) for capacity in LINEAR_CAPACITIES]
    assert is_ordered(points, is_strict=True)
    assert [point.rate for point in points] == pytest.approx(LINEAR_CAPACITIES)


def test_beta_is_the_slope_of_the_curve() -> None:
    for beta in (0.7, 3.0, 12.0):
        near, far = best_of_beta(CASE, beta), best_of_beta(CASE, beta * 1.0001)
        slope = (near.distortion - far.distortion) / (near.rate - far.rate)
        assert slope == pytest.approx(-beta, rel=1e-3)


def test_no_other_weights_do_better() -> None:
    model = LinearVAE(CASE, seed=1)
    best = best_of_beta(CASE, 2.0)
    rate, distortion = model.rate_and_distortion()
    assert distortion + 2 * rate > best.distortion + 2 * best.rate + 1
    found = model.train(beta=2.0, n_steps=600)
    # Near the optimum the objective is flat: rate and distortion may trade off at the slope.
    assert found.rate == pytest.approx(best.rate, abs=0.2)
    assert found.distortion + 2 * found.rate < best.distortion + 2 * best.rate + 0.3
    assert found.distortion + 2 * found.rate >= best.distortion + 2 * best.rate - 1e-9


def test_the_lemma_is_not_strict_after_collapse() -> None:
    points = [best_of_beta(CASE, beta) for beta in COLLAPSED_BETAS]
    assert points[0] == points[1]
    assert is_ordered(points, is_strict=False)
    assert not is_ordered(points, is_strict=True)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.0])
def test_a_small_gamma_leaves_the_bottleneck_at_the_beta_vaes_optimum(gamma: float) -> None:
    free = best_of_beta(CASE, gamma)
    assert best_of_capacity(CASE, free.rate / 2, gamma) == free
    assert best_of_capacity(CASE, free.rate + 1, gamma).rate == pytest.approx(free.rate + 1)


@pytest.mark.parametrize(
    "changes", [{"n_latent": 7}, {"n_latent": 0}, {"variance": 0.0}, {"eigenvalues": (1.0, -1.0)}]
)
def test_impossible_cases_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(GlitchError):
        LinearCase(**{"n_latent": 1, **changes})  # type: ignore[arg-type]


def test_ordering_allows_the_given_tolerance() -> None:
    points = [Point(1, 9), Point(2, 8), Point(1.9, 7)]
    assert not is_ordered(points, is_strict=False)
    assert is_ordered(points, is_strict=False, tolerance=0.2)

"""Schedules are pure functions of the step."""

import pytest

from training.core.schedules import annealed_beta, learning_rate_factor


def test_beta_falls_linearly_to_one_and_stays() -> None:
    values = [annealed_beta(t, beta_start=50, annealing_steps=100) for t in (0, 50, 100, 10_000)]
    assert values == [50, 25.5, 1, 1]


def test_less_than_a_fifth_of_a_ramp_from_fifty_is_below_ten() -> None:
    below = [annealed_beta(t, beta_start=50, annealing_steps=1000) < 10 for t in range(1000)]
    assert 0.17 < sum(below) / 1000 < 0.19


def test_learning_rate_rises_then_falls_to_its_last() -> None:
    def factor(step: int) -> float:
        return learning_rate_factor(step, warmup_steps=10, steps=110, final_factor=0.1)

    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == 1.0
    assert factor(10) == pytest.approx(1.0)
    assert factor(60) == pytest.approx(0.55)
    assert factor(110) == factor(500) == pytest.approx(0.1)
    assert all(factor(step) >= factor(step + 1) for step in range(10, 110))

"""Each loss against a case calculated by hand, and the published traps by name."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from glitch.errors import GlitchError
from glitch.model import Posterior
from training.core.objectives import (
    OBJECTIVES,
    BetaAnnealed,
    BetaTCVAE,
    BetaVAE,
    Bottleneck,
    DipVAEOne,
    DipVAETwo,
    FactorVAE,
    Outcome,
)
from training.core.objectives.penalties import total_correlation
from training.core.schedules import growing_capacity


def outcome(mean: list[list[float]], log_variance: float = 0.0) -> Outcome:
    means = torch.tensor(mean)
    posterior = Posterior(means, torch.full_like(means, log_variance))
    return Outcome(torch.tensor([100.0, 300.0]), posterior, means, torch.tensor(2.0))


# KL of N(m, 1) from N(0, 1) is m^2 / 2: rates 2 and 4, mean 3; mean distortion 200
CASE = outcome([[2.0, 0.0], [2.0, 2.0]])


def test_rate_is_summed_over_latents_for_each_member() -> None:
    assert CASE.rate.tolist() == [2.0, 4.0]


def test_beta_vae() -> None:
    assert BetaVAE(beta=4).loss(CASE, 0).item() == 200 + 4 * 3


def test_beta_annealed_falls_linearly_and_stays_at_one() -> None:
    objective = BetaAnnealed(beta_start=11, annealing_steps=100)
    losses = [objective.loss(CASE, step).item() for step in (0, 50, 100, 10_000)]
    assert losses == [200 + 11 * 3, 200 + 6 * 3, 203, 203]


def test_trap_annealing_is_counted_in_steps_alone() -> None:
    objective = BetaAnnealed(beta_start=50, annealing_steps=100_000)
    # below 10 for the last 18 %
    assert objective.weights(81_632)["beta"] == pytest.approx(10, abs=1e-3)


def test_bottleneck_takes_the_absolute_value_after_the_batch_mean() -> None:
    objective = Bottleneck(capacity=3, gamma=1000, growth_steps=10)
    # each member differs from C by one, but not their mean
    assert objective.loss(CASE, 10).item() == 200
    assert objective.loss(CASE, 0).item() == 200 + 1000 * 3
    assert objective.loss(CASE, 5).item() == 200 + 1000 * 1.5


def test_capacity_grows_to_its_limit() -> None:
    steps = (0, 50, 100, 200)
    assert [growing_capacity(step, capacity=20, growth_steps=100) for step in steps] == [
        0,
        10,
        20,
        20,
    ]


def test_beta_tcvae_of_beta_one_is_the_negative_elbo() -> None:
    assert BetaTCVAE(beta=1).loss(CASE, 0).item() == pytest.approx(203)
    correlation = total_correlation(CASE.draw, CASE.posterior).item()
    assert BetaTCVAE(beta=6).loss(CASE, 0).item() == pytest.approx(203 + 5 * correlation)


def test_dip_one_by_hand_with_its_diagonal_ten_times_the_rest() -> None:
    # means (2, 0) and (2, 2): covariance diag(0, 1), so only the first variance misses 1
    assert DipVAEOne(off_diagonal=2).loss(CASE, 0).item() == pytest.approx(203 + 20 * 1)


def test_dip_two_adds_the_mean_variance() -> None:
    # unit posterior variances: aggregate covariance diag(1, 2)
    assert DipVAETwo(off_diagonal=2).loss(CASE, 0).item() == pytest.approx(203 + 2 * 1)


def test_factor_vae_adds_the_discriminators_estimate() -> None:
    assert FactorVAE(gamma=30).loss(CASE, 0).item() == 203 + 30 * 2
    with pytest.raises(GlitchError, match="discriminator"):
        FactorVAE().loss(replace(CASE, total_correlation=None), 0)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_gives_a_scalar_with_a_gradient(kind: str) -> None:
    mean = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    posterior = Posterior(mean, torch.zeros(8, 3))
    given = Outcome(torch.ones(8), posterior, mean, mean.mean())
    loss = OBJECTIVES[kind]().loss(given, 10)
    loss.backward()
    assert loss.shape == ()
    assert mean.grad is not None
    assert mean.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_trap_pixel_means_distortion_enters_unscaled(kind: str) -> None:
    objective = OBJECTIVES[kind]()
    more = replace(CASE, distortion=CASE.distortion + 7)
    assert (objective.loss(more, 3) - objective.loss(CASE, 3)).item() == pytest.approx(7, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "parameters", "name"),
    [
        (BetaVAE, {"beta": -1}, "beta"),
        (BetaAnnealed, {"beta_start": 0.5}, "beta_start"),
        (BetaAnnealed, {"annealing_steps": 0}, "annealing_steps"),
        (Bottleneck, {"capacity": -1}, "capacity"),
        (Bottleneck, {"gamma": float("nan")}, "gamma"),
        (Bottleneck, {"growth_steps": 0}, "growth_steps"),
        (FactorVAE, {"gamma": -1}, "gamma"),
        (BetaTCVAE, {"beta": -1}, "beta"),
        (DipVAEOne, {"off_diagonal": -1}, "off_diagonal"),
        (DipVAETwo, {"off_diagonal": -1}, "off_diagonal"),
    ],
)
def test_impossible_parameters_name_themselves(
    kind: Any, parameters: dict[str, float], name: str
) -> None:
    with pytest.raises(GlitchError, match=name):
        kind(**parameters)

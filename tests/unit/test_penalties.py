"""Closed forms of the penalties, and the published traps by name."""

import math

import pytest
import torch

from glitch.model import Posterior
from training.core.objectives.penalties import (
    covariance_of_aggregate,
    covariance_of_means,
    distance_from_identity,
    permute_each_latent,
    total_correlation,
)


def narrow(mean: torch.Tensor) -> Posterior:
    return Posterior(mean, torch.full_like(mean, -12.0))


def test_total_correlation_of_two_copies_of_one_bit_is_log_two() -> None:
    bit = torch.tensor([-5.0, 5.0]).repeat(32)
    posterior = narrow(torch.stack([bit, bit], dim=1))
    assert total_correlation(posterior.mean, posterior).item() == pytest.approx(
        math.log(2), abs=1e-5
    )


def test_total_correlation_of_independent_bits_is_zero() -> None:
    grid = torch.cartesian_prod(torch.tensor([-5.0, 5.0]), torch.tensor([-5.0, 5.0]))
    posterior = narrow(grid.repeat(16, 1))
    assert total_correlation(posterior.mean, posterior).item() == pytest.approx(0, abs=1e-5)


def test_total_correlation_of_identical_posteriors_is_zero_whatever_the_draw() -> None:
    posterior = Posterior(torch.zeros(20, 3), torch.zeros(20, 3))
    draw = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert total_correlation(draw, posterior).item() == pytest.approx(0, abs=1e-5)


def test_trap_stratified_weights_total_correlation_does_not_depend_on_member_order() -> None:
    # Common code puts the diagonal weight of stratified sampling into column 0.
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(12, 4, generator=generator)
    posterior = Posterior(mean, torch.zeros(12, 4))
    draw = mean + torch.randn(12, 4, generator=generator)
    order = torch.randperm(12, generator=generator)
    shuffled = Posterior(mean[order], posterior.log_variance[order])
    assert total_correlation(draw[order], shuffled).item() == pytest.approx(
        total_correlation(draw, posterior).item(), rel=1e-5
    )


def test_covariance_agrees_with_numpy_convention() -> None:
    mean = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.cov(mean.T, correction=0)
    assert torch.allclose(covariance_of_means(mean), expected, atol=1e-6)


def test_trap_dip_two_collapses_to_a_scalar_aggregate_covariance_is_a_matrix() -> None:
    posterior = Posterior(torch.zeros(8, 3), torch.log(torch.tensor([1.0, 2.0, 3.0])).expand(8, 3))
    covariance = covariance_of_aggregate(posterior)
    assert torch.allclose(covariance, torch.diag(torch.tensor([1.0, 2.0, 3.0])))


def test_distance_from_identity_by_hand() -> None:
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    penalty = distance_from_identity(covariance, off_diagonal=4.0, diagonal=10.0)
    assert penalty.item() == pytest.approx(4 * (0.25 + 0.25) + 10 * 1)
    assert distance_from_identity(torch.eye(5), off_diagonal=9.0, diagonal=9.0).item() == 0


def test_permuting_keeps_each_marginal_and_breaks_the_joint() -> None:
    column = torch.arange(200.0)
    draw = torch.stack([column, column], dim=1)
    permuted = permute_each_latent(draw, torch.Generator().manual_seed(0))
    assert torch.equal(permuted.sort(dim=0).values, draw)
    assert abs(torch.corrcoef(permuted.T)[0, 1].item()) < 0.3

"""The KL divergence against torch.distributions, and sampling from the posterior."""

import torch
from torch.distributions import Normal, kl_divergence

from glitch.model import Posterior, kl_to_standard_normal, sample_posterior


def test_kl_is_the_closed_form_of_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(7, 5, generator=generator)
    log_variance = torch.randn(7, 5, generator=generator)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_standard_normal(Posterior(mean, log_variance)), expected)


def test_kl_is_zero_at_the_prior_alone() -> None:
    prior = Posterior(torch.zeros(1, 3), torch.zeros(1, 3))
    assert kl_to_standard_normal(prior).sum() == 0
    moved = Posterior(torch.full((1, 3), 0.1), torch.zeros(1, 3))
    assert kl_to_standard_normal(moved).min() > 0


def test_draws_have_the_posterior_moments() -> None:
    posterior = Posterior(torch.full((20_000, 1), 2.0), torch.full((20_000, 1), -1.0))
    draws = sample_posterior(posterior, torch.Generator().manual_seed(1))
    assert abs(draws.mean().item() - 2.0) < 0.02
    assert abs(draws.var().item() - torch.tensor(-1.0).exp().item()) < 0.02


def test_draws_repeat_with_the_generator_and_carry_gradient() -> None:
    mean = torch.zeros(4, 2, requires_grad=True)
    posterior = Posterior(mean, torch.zeros(4, 2))
    first = sample_posterior(posterior, torch.Generator().manual_seed(3))
    again = sample_posterior(posterior, torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    first.sum().backward()
    assert torch.equal(mean.grad, torch.ones(4, 2))

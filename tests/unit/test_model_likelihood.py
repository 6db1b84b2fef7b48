"""The likelihood against torch.distributions; absent rows count for nothing."""

import torch
from torch.distributions import Normal

from glitch.model import RowGaussian


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(seed))


def test_distortion_is_the_summed_gaussian_negative_log_likelihood() -> None:
    likelihood = RowGaussian(2, 4)
    with torch.no_grad():
        likelihood.row_log_variance.copy_(torch.linspace(-4, -1, 8).reshape(2, 4))
    target, prediction = pictures(0), pictures(1)
    observed = torch.ones(3, 2, 4, dtype=torch.bool)
    scale = (0.5 * likelihood.log_variance()).exp()[None, :, :, None]
    expected = -Normal(prediction, scale).log_prob(target).sum(dim=(1, 2, 3))
    torch.testing.assert_close(likelihood.distortion(target, prediction, observed), expected)


def test_overlapping_pixels_count_for_their_independent_share() -> None:
    target, prediction = pictures(0), pictures(1)
    observed = torch.ones(3, 2, 4, dtype=torch.bool)
    whole = RowGaussian(2, 4).distortion(target, prediction, observed)
    tenth = RowGaussian(2, 4, 0.1).distortion(target, prediction, observed)
    torch.testing.assert_close(tenth, 0.1 * whole)


def test_rows_not_observed_count_for_nothing() -> None:
    likelihood = RowGaussian(2, 4)
    target, prediction = pictures(0), pictures(1)
    observed = torch.ones(3, 2, 4, dtype=torch.bool)
    observed[:, 1, 2:] = False
    spoilt = target.clone()
    spoilt[:, 1, 2:] = 0.123
    for measure in (likelihood.distortion, likelihood.reduced_chi_square):
        assert torch.equal(
            measure(target, prediction, observed), measure(spoilt, prediction, observed)
        )
    alone = RowGaussian(2, 4).distortion(target, prediction, observed & False)
    assert not alone.any()


def test_the_learnt_variance_finds_the_scale_of_noise() -> None:
    likelihood = RowGaussian(1, 2)
    generator = torch.Generator().manual_seed(2)
    scales = torch.tensor([0.05, 0.3])[None, None, :, None]
    target = 0.5 + scales * torch.randn(50, 1, 2, 40, generator=generator)
    observed = torch.ones(50, 1, 2, dtype=torch.bool)
    optimiser = torch.optim.Adam(likelihood.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        likelihood.distortion(target, torch.full_like(target, 0.5), observed).mean().backward()
        optimiser.step()
    found = (0.5 * likelihood.log_variance()).exp().detach().flatten()
    torch.testing.assert_close(found, scales.flatten(), rtol=0.05, atol=0)
    chi = likelihood.reduced_chi_square(target, torch.full_like(target, 0.5), observed)
    assert abs(chi.mean().item() - 1) < 0.02

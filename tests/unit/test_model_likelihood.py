"""The likelihood against torch.distributions; absent rows do not count."""

import torch
from torch.distributions import Normal

from glitch.model import Residuals, RowGaussian, sum_residuals


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


def masked() -> torch.Tensor:
    observed = torch.ones(3, 2, 4, dtype=torch.bool)
    observed[0, 0, 1] = False
    observed[:, 1, 3] = False  # absent in all glitches
    return observed


def test_no_variance_is_likelier_than_the_closed_form() -> None:
    likelihood, observed = RowGaussian(2, 4), masked()
    target, prediction = pictures(0), pictures(1)
    weight = torch.tensor([1.0, 2.0, 0.5])
    likelihood.follow(sum_residuals(target, prediction, observed, weight), 1.0)
    best = (likelihood.distortion(target, prediction, observed) * weight).sum()
    best.backward()
    gradient = likelihood.row_log_variance.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, torch.zeros(2, 4), rtol=0, atol=2e-5)
    for factor in (0.8, 1.25):
        other = RowGaussian(2, 4)
        with torch.no_grad():
            other.row_log_variance.copy_(likelihood.row_log_variance + torch.tensor(factor).log())
        assert (other.distortion(target, prediction, observed) * weight).sum() > best


def test_unobserved_rows_have_no_part_in_the_closed_form() -> None:
    target, prediction, observed = pictures(0), pictures(1), masked()
    spoilt = torch.where(observed[..., None], target, torch.full_like(target, torch.nan))
    residuals = sum_residuals(spoilt, prediction, observed)
    by_hand = (target - prediction)[1:, 0, 1].square().mean()
    torch.testing.assert_close(residuals.variance()[0, 1], by_hand)
    assert residuals.pixels[1, 3] == 0
    likelihood = RowGaussian(2, 4)
    before = likelihood.log_variance().detach().clone()
    likelihood.follow(residuals, 1.0)
    after = likelihood.log_variance().detach()
    assert after.isfinite().all()
    torch.testing.assert_close(after[1, 3], before[1, 3])


def test_shares_of_a_batch_add_up() -> None:
    target, prediction, observed = pictures(0), pictures(1), masked()
    parts = [sum_residuals(target[i], prediction[i], observed[i]) for i in ([0], [1, 2])]
    joined = Residuals(parts[0].squares + parts[1].squares, parts[0].pixels + parts[1].pixels)
    whole = sum_residuals(target, prediction, observed)
    torch.testing.assert_close(joined.squares, whole.squares)
    torch.testing.assert_close(joined.pixels, whole.pixels)


def test_following_goes_a_share_of_the_way_and_stops_at_the_finest_grey_level() -> None:
    observed = torch.ones(3, 2, 4, dtype=torch.bool)
    target, likelihood = pictures(0), RowGaussian(2, 4)
    before = likelihood.log_variance().exp().detach().clone()
    residuals = sum_residuals(target, torch.zeros_like(target), observed)
    likelihood.follow(residuals, 0.25)
    expected = 0.75 * before + 0.25 * target.square().mean(dim=(0, 3))
    torch.testing.assert_close(likelihood.log_variance().exp().detach(), expected)
    likelihood.follow(sum_residuals(target, target, observed), 1.0)
    lowest = likelihood.log_variance().exp()
    torch.testing.assert_close(lowest.detach(), torch.full((2, 4), 1e-5))

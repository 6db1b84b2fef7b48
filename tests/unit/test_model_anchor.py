"""The linear part: its posterior is the conditional of a joint Gaussian, with any rows absent."""

import numpy as np
import pytest
import torch

from glitch.errors import GlitchError
from glitch.model import Architecture, LinearAnchor, ViewsVAE
from training.data.pack import Pack
from training.views.anchor import fit_anchor


def filled(seed: int) -> LinearAnchor:
    generator = torch.Generator().manual_seed(seed)
    anchor = LinearAnchor(3, 2, 4, 5)
    anchor.offset.copy_(torch.rand(2, 4, 5, generator=generator))
    anchor.loadings.copy_(torch.randn(3, 2, 4, 5, generator=generator))
    anchor.precision.copy_(0.5 + torch.rand(2, 4, generator=generator))
    return anchor


@pytest.mark.parametrize("absent", [[], [(0, 1)], [(1, 0), (1, 1), (1, 2), (1, 3)]])
def test_posterior_is_the_conditional_gaussian_of_what_was_observed(
    absent: list[tuple[int, int]],
) -> None:
    anchor = filled(0)
    pixels = torch.rand(2, 2, 4, 5, generator=torch.Generator().manual_seed(1))
    observed = torch.ones(2, 2, 4, dtype=torch.bool)
    for view, row in absent:
        observed[1, view, row] = False
    found = anchor.posterior(pixels, observed)
    for member in range(2):
        seen = observed[member][..., None].expand(2, 4, 5).flatten().numpy()
        load = anchor.loadings.flatten(1).double().numpy().T[seen]
        noise = 1 / anchor.precision[..., None].expand(2, 4, 5).flatten().double().numpy()[seen]
        deviation = (pixels[member] - anchor.offset).flatten().double().numpy()[seen]
        gain = load.T @ np.linalg.inv(load @ load.T + np.diag(noise))
        covariance = np.eye(3) - gain @ load
        np.testing.assert_allclose(found.mean[member].numpy(), gain @ deviation, atol=1e-4)
        np.testing.assert_allclose(
            found.log_variance[member].exp().numpy(), np.diag(covariance), atol=1e-4
        )


def test_the_anchor_paints_offset_and_loadings() -> None:
    anchor = filled(2)
    painted = anchor.paint(torch.tensor([[0.0, 0, 0], [0, 1, 0]]))
    torch.testing.assert_close(painted[0], anchor.offset)
    torch.testing.assert_close(painted[1] - painted[0], anchor.loadings[1])


def test_unfitted_it_knows_nothing() -> None:
    anchor = LinearAnchor(3, 2, 4, 5)
    posterior = anchor.posterior(torch.rand(1, 2, 4, 5), torch.ones(1, 2, 4, dtype=torch.bool))
    assert not posterior.mean.any()
    assert not posterior.log_variance.any()
    assert not anchor.paint(torch.ones(1, 3)).any()


def small_model() -> ViewsVAE:
    return ViewsVAE(
        Architecture(
            n_frequency=16, n_time=16, channels=(4,), painter_channels=(4,), hidden=4, latent=2
        )
    )


def packed(pixels: np.ndarray) -> Pack:
    values = np.round(255 * pixels).astype(np.uint8)
    names = tuple(str(index) for index in range(len(values)))
    return Pack(values, np.ones(values.shape[:3], dtype=np.bool_), names, names)


def test_fitting_finds_the_axes_and_the_noise() -> None:
    rng = np.random.default_rng(0)
    axes = np.kron(rng.normal(size=(2, 4, 8, 8)), np.ones((1, 1, 2, 2)))  # constant in each cell
    latent = rng.normal(size=(300, 2))
    latent -= latent.mean(axis=0)
    latent = latent @ np.linalg.inv(np.linalg.cholesky(np.cov(latent.T, ddof=0))).T
    noise = np.kron(rng.normal(size=(300, 4, 8, 8)), np.ones((1, 1, 2, 2)))
    pixels = 0.5 + 0.03 * np.einsum("nl,lvft->nvft", latent, axes) + 0.02 * noise
    model = small_model()
    assert fit_anchor(model, [packed(pixels.clip(0, 1))], 300, seed=0) == 300
    found = model.anchor.loadings.flatten(1).numpy()
    truth = 0.03 * axes[:, :, ::2, ::2].reshape(2, -1)
    inside = found @ np.linalg.pinv(truth) @ truth  # the same plane, rotated
    np.testing.assert_allclose(inside, found, atol=0.01)
    np.testing.assert_allclose(found.T @ found, truth.T @ truth, atol=1e-3)
    np.testing.assert_allclose(model.anchor.precision.numpy(), 0.1 / 0.02**2, rtol=0.15)


def test_fitting_repeats_with_its_seed_and_refuses_too_few() -> None:
    pixels = np.random.default_rng(1).random((20, 4, 16, 16))
    models = [small_model(), small_model()]
    for model in models:
        fit_anchor(model, [packed(pixels)], 20, seed=3)
    assert torch.equal(models[0].anchor.loadings, models[1].anchor.loadings)
    with pytest.raises(GlitchError, match="Only 3 training glitches"):
        fit_anchor(small_model(), [packed(pixels[:3])], 20, seed=0)

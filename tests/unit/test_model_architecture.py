"""ViewsVAE: absent views, independence of the batch, shapes, and refused configurations."""

from dataclasses import replace

import pytest
import torch

from glitch.errors import GlitchError
from glitch.model import Architecture, ViewsVAE

SMALL = Architecture(
    n_frequency=32, n_time=32, channels=(8, 8), painter_channels=(8, 8), hidden=16, latent=4
)


def stirred(seed: int) -> ViewsVAE:
    """Build a model whose linear part and last layers are not zero, as after training."""
    torch.manual_seed(seed)
    model = ViewsVAE(SMALL)
    with torch.no_grad():
        for last in (model.correction, model.painter[-1]):
            last.weight.normal_(0, 0.1)
        model.anchor.offset.uniform_(0.1, 0.3)
        model.anchor.loadings.normal_(0, 0.1)
        model.anchor.precision.uniform_(5, 50)
    return model


@pytest.fixture(scope="module")
def model() -> ViewsVAE:
    return stirred(0).eval()


def random_views(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 4, 32, 32, generator=generator), torch.ones(n, 4, 32, dtype=torch.bool)


def test_shapes_follow_the_architecture(model: ViewsVAE) -> None:
    values, observed = random_views(3)
    pixels, rows = model.prepare(values, observed)
    assert pixels.shape == (3, 4, 16, 16)
    assert rows.shape == (3, 4, 16)
    posterior = model.encode(pixels, rows)
    assert posterior.mean.shape == posterior.log_variance.shape == (3, 4)
    painted = model.decode(posterior.mean, rows.any(dim=2))
    assert painted.shape == pixels.shape


def test_normalised_features_cannot_all_be_switched_off() -> None:
    values, observed = random_views(3)
    for is_normalised in (False, True):
        torch.manual_seed(0)
        model = ViewsVAE(replace(SMALL, has_normalised_features=is_normalised))
        with torch.no_grad():
            model.features.bias -= 1000  # as after too large a step
        assert model.live_features(*model.prepare(values, observed)).any() == is_normalised


def test_a_subset_of_the_batch_gives_the_same_rows(model: ViewsVAE) -> None:
    values, observed = random_views(6)
    observed[1, 0] = observed[2, 1:] = observed[4, 3, 10:] = False
    pixels, rows = model.prepare(values * observed[..., None], observed)
    together = model.encode(pixels, rows)
    for chosen in ([0], [4, 2], [1, 3, 5]):
        alone = model.encode(pixels[chosen], rows[chosen])
        torch.testing.assert_close(alone.mean, together.mean[chosen], atol=1e-5, rtol=0)
        torch.testing.assert_close(
            alone.log_variance, together.log_variance[chosen], atol=1e-5, rtol=0
        )


def test_an_absent_view_says_nothing_and_is_not_painted(model: ViewsVAE) -> None:
    values, observed = random_views(1)
    observed[:, 2] = False
    hidden, rows = model.prepare(values * observed[..., None], observed)
    other = values.clone()
    other[:, 2] = 0.7
    disguised, _ = model.prepare(other, observed)
    disguised = torch.where(rows.any(dim=2)[..., None, None], disguised, 0.9)
    assert torch.equal(model.encode(hidden, rows).mean, model.encode(disguised, rows).mean)
    painted = model.decode(torch.zeros(1, 4), rows.any(dim=2))
    assert not painted[:, 2].any()
    assert painted[:, 1].any()


def test_absence_differs_from_silence(model: ViewsVAE) -> None:
    values, observed = random_views(1)
    values[:, 3] = 0
    silent = model.encode(*model.prepare(values, observed)).mean
    observed[:, 3] = False
    absent = model.encode(*model.prepare(values, observed)).mean
    assert (silent - absent).abs().max() > 1e-4


def test_partly_observed_cells_average_what_was_observed(model: ViewsVAE) -> None:
    values = torch.full((1, 4, 32, 32), 0.25)
    observed = torch.ones(1, 4, 32, dtype=torch.bool)
    observed[:, :, 11:] = False  # row 5 of the pooled grid contains rows 10 and 11
    pixels, rows = model.prepare(values * observed[..., None], observed)
    assert torch.equal(rows[0, 0], torch.arange(16) < 6)
    torch.testing.assert_close(pixels[0, 0, :6], torch.full((6, 16), 0.25))
    assert not pixels[0, 0, 6:].any()


def test_before_training_it_is_its_linear_part() -> None:
    fresh, fitted = ViewsVAE(SMALL), stirred(2)
    fresh.anchor.load_state_dict(fitted.anchor.state_dict())
    pixels, rows = fresh.prepare(*random_views(2))
    expected = fresh.anchor.posterior(pixels, rows)
    found = fresh.encode(pixels, rows)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.log_variance, expected.log_variance)
    painted = fresh.decode(found.mean, rows.any(dim=2))
    torch.testing.assert_close(painted, fresh.anchor.paint(found.mean))


def test_every_weight_learns() -> None:
    model = stirred(1)
    pixels, rows = model.prepare(*random_views(4))
    posterior = model.encode(pixels, rows)
    painted = model.decode(posterior.mean + posterior.log_variance, rows.any(dim=2))
    model.likelihood.distortion(pixels, painted, rows).sum().backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"latent": 0}, "latent"),
        ({"channels": ()}, "channels"),
        ({"channels": (8, 0)}, "channels"),
        ({"channels": (8, 8, 8)}, "painter_channels"),
        ({"n_time": 100}, "divides"),
        ({"independent_share": 0.0}, "independent_share"),
    ],
)
def test_impossible_architectures_are_refused_by_name(changes: dict, word: str) -> None:
    with pytest.raises(GlitchError, match=word):
        Architecture(**{**{"channels": (8, 8), "painter_channels": (8, 8)}, **changes})

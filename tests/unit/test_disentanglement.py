"""Disentanglement scores in limiting cases with a known result."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from glitch.errors import GlitchError
from training.evaluation.disentanglement import (
    DciTrees,
    EncodedGrid,
    beta_vae_score,
    dci_disentanglement,
    factor_vae_score,
    modularity,
    mutual_information_gap,
    separated_attribute_predictability,
)
from training.evaluation.disentanglement.dci import disentanglement_of
from training.evaluation.disentanglement.information import information_matrix

SIZES = (3, 4, 5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def one_latent_a_factor(n_dead: int = 0) -> EncodedGrid:
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in SIZES], indexing="ij")
    dead = [np.zeros(SIZES) for _ in range(n_dead)]
    return EncodedGrid(np.stack([*axes, *dead], axis=-1).astype(np.float32))


def every_latent_the_same_mix() -> EncodedGrid:
    mixed = one_latent_a_factor().means @ np.array([[1.0, 1.7, 2.9]]).T
    return EncodedGrid(np.repeat(mixed, 3, axis=-1).astype(np.float32))


def test_one_latent_a_factor_scores_one(rng: np.random.Generator) -> None:
    grid = one_latent_a_factor()
    assert mutual_information_gap(grid, rng) == pytest.approx(1, abs=0.01)
    assert modularity(grid, rng).all_latents == pytest.approx(1, abs=0.01)
    assert factor_vae_score(grid, rng, n_train=500, n_test=200).accuracy == 1
    assert beta_vae_score(grid, rng, n_train=500, n_test=200) > 0.99
    assert dci_disentanglement(grid, rng, n_train=1000) > 0.95


def test_scikit_learn_and_lightgbm_trees_agree_on_a_clear_case(rng: np.random.Generator) -> None:
    grid = one_latent_a_factor()
    slow = dci_disentanglement(grid, rng, n_train=400, trees=DciTrees.SCIKIT_LEARN)
    fast = dci_disentanglement(grid, rng, n_train=400, trees=DciTrees.LIGHTGBM)
    assert slow == pytest.approx(fast, abs=0.03)


def test_mutual_information_is_scikit_learn_s(rng: np.random.Generator) -> None:
    grid = EncodedGrid(one_latent_a_factor(1).means + rng.normal(size=(*SIZES, 4), scale=0.3))
    factors, codes = grid.draw(500, rng)
    ours = information_matrix(factors, codes)
    cut = [np.digitize(one, np.histogram(one, 20)[1][:-1]) for one in codes.T]
    theirs = [[mutual_info_score(one, factor) for factor in factors.T] for one in cut]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_identical_latents_leave_no_gap(rng: np.random.Generator) -> None:
    grid = every_latent_the_same_mix()
    assert mutual_information_gap(grid, rng, n_points=2000) == pytest.approx(0, abs=1e-12)
    gap = separated_attribute_predictability(grid, rng, n_train=500, n_test=300)
    assert gap == pytest.approx(0, abs=1e-12)


def test_sap_gap_is_accuracy_above_the_runner_up(rng: np.random.Generator) -> None:
    # A binary factor is predicted without error from its own latent, and at chance from the other.
    axes = np.meshgrid([-1.0, 1.0], [-1.0, 1.0], indexing="ij")
    grid = EncodedGrid(np.stack(axes, axis=-1).astype(np.float32))
    gap = separated_attribute_predictability(grid, rng, n_train=2000, n_test=4000)
    assert gap == pytest.approx(0.5, abs=0.06)


def test_dead_latents_do_not_vote_and_do_not_count_as_modular(rng: np.random.Generator) -> None:
    grid = one_latent_a_factor(n_dead=3)
    assert factor_vae_score(grid, rng, n_train=300, n_test=100).n_active_latents == 3
    score = modularity(grid, rng)
    assert score.n_active_latents == 3
    assert score.active_latents == pytest.approx(1, abs=0.01)
    assert score.all_latents == pytest.approx(0.5, abs=0.01)


def test_modularity_of_a_latent_that_informs_on_two_of_three_factors(
    rng: np.random.Generator,
) -> None:
    # Each pair of values has a code in a bin of its own, with log 4 nats on either factor. The
    # deviation (0 + m^2) / m^2 is divided by the k - 1 = 2 other factors, which leaves one half.
    first, second, _ = np.meshgrid(*[np.arange(4)] * 3, indexing="ij")
    grid = EncodedGrid((first + 4 * second)[..., None].astype(np.float32))
    assert modularity(grid, rng, n_points=20_000).all_latents == pytest.approx(0.5, abs=0.01)


def test_no_active_latent_scores_zero(rng: np.random.Generator) -> None:
    grid = EncodedGrid(np.zeros((*SIZES, 4), dtype=np.float32))
    assert factor_vae_score(grid, rng).accuracy == 0
    assert modularity(grid, rng, n_points=100).active_latents == 0
    assert dci_disentanglement(grid, rng, n_train=200) == 0


def test_dci_closed_form() -> None:
    assert disentanglement_of(np.eye(3)) == pytest.approx(1, abs=1e-6)
    assert disentanglement_of(np.ones((3, 3))) == pytest.approx(0, abs=1e-9)
    half = np.array([[1.0, 0.0], [0.5, 0.5]])  # the second latent adds nothing: (1 + 0) / 2
    assert disentanglement_of(half) == pytest.approx(0.5, abs=1e-6)


def test_a_grid_without_factor_axes_or_with_nan_is_refused() -> None:
    with pytest.raises(GlitchError, match="two factor axes"):
        EncodedGrid(np.zeros((5, 3), dtype=np.float32))
    with pytest.raises(GlitchError, match="not finite"):
        EncodedGrid(np.full((2, 2, 2), np.nan, dtype=np.float32))


def test_one_latent_and_factors_of_one_value_are_scored(rng: np.random.Generator) -> None:
    axes = np.linspace(-1, 1, 4, dtype=np.float32)
    alone = EncodedGrid(np.broadcast_to(axes[:, None, None], (4, 1, 1)))
    assert mutual_information_gap(alone, rng) == pytest.approx(1, abs=0.01)
    gap = separated_attribute_predictability(alone, rng, n_train=500, n_test=500)
    assert 0.2 < gap <= 0.75  # above chance, which is 0.25
    constant = EncodedGrid(np.zeros((1, 1, 2), dtype=np.float32))
    with pytest.raises(GlitchError, match="No factor of the grid takes two values"):
        mutual_information_gap(constant, rng)

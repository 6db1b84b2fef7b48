"""The decoder: deterministic, independent of its batch, and zero residuals where not observed."""

import numpy as np
import pytest

from glitch.checkpoint import Checkpoint, load_checkpoint, shipped_checkpoint
from glitch.decoder import BATCH, Decoder, active_units, traversal
from glitch.encoder import Encoder
from glitch.errors import GlitchError
from glitch.simulate import simulate_views
from glitch.views import Preprocessing, Views


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(shipped_checkpoint())


@pytest.fixture(scope="module")
def decoder(checkpoint: Checkpoint) -> Decoder:
    return Decoder(checkpoint)


def vectors(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((n, size)).astype(np.float32)


def part_of_a_glitch() -> Views:
    """A simulated glitch without its longest window and without the upper rows of its shortest."""
    ((_, seen),) = simulate_views(["Koi_Fish"], 77)
    values, observed = seen.views.values.copy(), seen.views.observed.copy()
    values[3], observed[3] = 0, False
    values[0, 100:], observed[0, 100:] = 0, False
    return Views(values, observed)


def test_pictures_are_on_the_full_grid_and_in_range(decoder: Decoder) -> None:
    painted = decoder.paint(vectors(3, decoder.latent), (1.0, 4.0))
    assert painted.shape == (6, 128, 128)
    assert painted.dtype == np.float32
    assert painted.min() >= 0
    assert painted.max() <= 1
    assert np.ptp(painted[0]) > 0.05  # the picture is not uniform


def test_a_vector_gets_in_a_batch_what_it_gets_alone(decoder: Decoder) -> None:
    latents = vectors(BATCH + 3, decoder.latent)
    together = decoder.paint(latents, (0.5,))
    for index in (0, BATCH + 2):
        alone = decoder.paint(latents[index : index + 1], (0.5,))
        np.testing.assert_allclose(alone[0], together[index], atol=1e-5)
    np.testing.assert_array_equal(decoder.paint(latents, (0.5,)), together)


def test_seen_is_painted_and_residual_together(decoder: Decoder, checkpoint: Checkpoint) -> None:
    views = part_of_a_glitch()
    (encoding,) = Encoder(checkpoint).encode([views])
    residual = decoder.residual(views, encoding.mean)
    assert residual.shape == views.values.shape
    assert not residual[3].any()
    assert not residual[0, 100:].any()
    painted = decoder._painted(encoding.mean[None], range(4))[0]
    pooled = views.values.reshape(4, 64, 2, 64, 2).mean(axis=(2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose((residual + painted)[1], pooled[1], atol=1e-5)
    # Its own vector reconstructs a glitch better than the centre of the prior does.
    elsewhere = decoder.residual(views, np.zeros_like(encoding.mean))
    assert np.square(residual).sum() < 0.7 * np.square(elsewhere).sum()


def test_a_traversal_moves_one_latent_only() -> None:
    moved = traversal(np.arange(4, dtype=np.float32), 2, (-1.0, 0.0, 1.0))
    np.testing.assert_array_equal(moved[:, 2], [-1, 0, 1])
    np.testing.assert_array_equal(moved[:, [0, 1, 3]], [[0, 1, 3]] * 3)
    with pytest.raises(GlitchError, match="no latent z4"):
        traversal(np.zeros(4, dtype=np.float32), 4, (0.0,))


def test_latents_that_never_move_are_dead() -> None:
    np.testing.assert_array_equal(
        active_units(np.array([0.5, 0.001, 0.0, 0.02], dtype=np.float32)),
        [True, False, False, True],
    )


def test_invalid_vectors_and_windows_are_not_painted(decoder: Decoder) -> None:
    with pytest.raises(GlitchError, match="vectors of"):
        decoder.paint(np.zeros((1, 3), dtype=np.float32), (1.0,))
    with pytest.raises(GlitchError, match="finite"):
        decoder.paint(np.full((1, decoder.latent), np.nan, dtype=np.float32), (1.0,))
    with pytest.raises(GlitchError, match="no view of 3 s"):
        decoder.paint(vectors(1, decoder.latent), (3.0,))
    views = part_of_a_glitch()
    other = Views(views.values, views.observed, Preprocessing(energy_clip=20.0))
    with pytest.raises(GlitchError, match="other preprocessing"):
        decoder.residual(other, vectors(1, decoder.latent)[0])

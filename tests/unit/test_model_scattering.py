"""Wavelet scattering against direct convolution: what changes its features, and what does not."""

import math

import numpy as np
import pytest
import torch

from glitch.model.scattering import BANDWIDTH, MIN_OBSERVED, Scattering, ScatteringFeatures, morlet

SIZE, SCALES, DIRECTIONS = 32, 2, 4
PATCH = 2**SCALES


@pytest.fixture(scope="module")
def scattering() -> Scattering:
    return Scattering(SIZE, SIZE, SCALES, DIRECTIONS)


@pytest.fixture(scope="module")
def features() -> ScatteringFeatures:
    return ScatteringFeatures(SIZE, SIZE, SCALES, DIRECTIONS)


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    """Smooth blobs on noise, in [0, 1]."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:SIZE, :SIZE]
    made = []
    for _ in range(n):
        picture = 0.05 * rng.random((SIZE, SIZE))
        for _ in range(3):
            centre, width = rng.uniform(8, 24, 2), rng.uniform(1, 4, 2)
            away = ((row - centre[0]) / width[0]) ** 2 + ((column - centre[1]) / width[1]) ** 2
            picture += rng.uniform(0.2, 0.6) * np.exp(-away / 2)
        made.append(np.minimum(picture, 1))
    return torch.from_numpy(np.stack(made)).float()


def convolve_directly(signal: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Convolve circularly by the definition: a sum over shifts of the kernel in space."""
    kernel = np.fft.ifft2(spectrum)
    total = np.zeros(signal.shape, dtype=np.complex128)
    for down in range(signal.shape[0]):
        for right in range(signal.shape[1]):
            total += kernel[down, right] * np.roll(signal, (down, right), axis=(0, 1))
    return total


def averaged(moduli: np.ndarray, step: int = 1) -> np.ndarray:
    """Compute Gaussian means of every ``step``-th pixel of a padded picture, per inner patch."""
    middles = PATCH * (np.arange(SIZE // PATCH) + 1.5) - 0.5
    places, sigma = np.arange(0, SIZE + 2 * PATCH, step), BANDWIDTH * 2 ** (SCALES - 1)
    weights = np.exp(-0.5 * ((places - middles[:, None]) / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ moduli @ weights.T


def test_first_orders_agree_with_direct_convolution(scattering: Scattering) -> None:
    picture = pictures(1)
    padded = np.pad(picture[0].double().numpy(), PATCH, mode="reflect")
    found = scattering(picture)[0].numpy()
    np.testing.assert_allclose(found[0], averaged(padded), atol=1e-5)
    for direction in range(DIRECTIONS):
        wavelet = morlet(padded.shape, 0, direction, DIRECTIONS)
        expected = averaged(np.abs(convolve_directly(padded, wavelet)))
        np.testing.assert_allclose(found[1 + direction], expected, atol=2e-5)


def cut_to_band(wavelet: np.ndarray) -> np.ndarray:
    """Remove from a wavelet of the second scale the waves that half the grid cannot represent."""
    quarter = len(wavelet) // 4
    wave = np.round(np.fft.fftfreq(len(wavelet)) * len(wavelet))
    inside = (wave >= -quarter) & (wave < quarter)
    return wavelet * inside[:, None] * inside


def test_coarser_and_second_orders_agree_with_direct_convolution(scattering: Scattering) -> None:
    picture = pictures(1, seed=1)
    padded = np.pad(picture[0].double().numpy(), PATCH, mode="reflect")
    found = scattering(picture)[0].numpy()
    first = np.abs(convolve_directly(padded, morlet(padded.shape, 0, 1, DIRECTIONS)))
    for direction in range(DIRECTIONS):
        wavelet = cut_to_band(morlet(padded.shape, 1, direction, DIRECTIONS))
        coarse = np.abs(convolve_directly(padded, wavelet))[::2, ::2]
        path = found[1 + DIRECTIONS + direction]
        np.testing.assert_allclose(path, averaged(coarse, step=2), atol=2e-5)
        again = np.abs(convolve_directly(first, wavelet))[::2, ::2]
        path = found[1 + 2 * DIRECTIONS + DIRECTIONS + direction]
        np.testing.assert_allclose(path, averaged(again, step=2), atol=2e-5)


def test_wavelets_have_mean_zero_and_paths_are_of_degree_one(scattering: Scattering) -> None:
    flat = scattering(torch.full((1, SIZE, SIZE), 0.7))[0]
    torch.testing.assert_close(flat[0], torch.full_like(flat[0], 0.7), atol=1e-5, rtol=0)
    assert flat[1:].abs().max() < 1e-5
    picture = pictures(1)
    torch.testing.assert_close(scattering(3 * picture), 3 * scattering(picture))
    assert (scattering(picture) >= -1e-6).all()


def test_a_shift_counts_far_less_than_in_pixels(features: ScatteringFeatures) -> None:
    padded = torch.nn.functional.pad(pictures(4), (4, 4))
    here, there = padded[..., 4:-4], padded[..., 2:-6]
    seen = torch.ones(4, SIZE, dtype=torch.bool)
    before, after = features(here, seen)[0], features(there, seen)[0]
    others = torch.cdist(before, before)[~torch.eye(4, dtype=torch.bool)].median()
    pixels = torch.cdist(here.flatten(1), here.flatten(1))[~torch.eye(4, dtype=torch.bool)].median()
    moved = (before - after).norm(dim=1).median() / others
    moved_pixels = (here - there).flatten(1).norm(dim=1).median() / pixels
    assert moved < 0.4 * moved_pixels


def test_features_have_length_one_and_leave_loudness_out(features: ScatteringFeatures) -> None:
    seen = torch.ones(3, SIZE, dtype=torch.bool)
    found, loudness = features(pictures(3), seen)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    same, fainter = features(0.25 * pictures(3), seen)
    torch.testing.assert_close(same, found, atol=1e-5, rtol=0)
    torch.testing.assert_close(loudness - fainter, torch.full((3,), math.log(2)))
    silent, faintest = features(torch.zeros(1, SIZE, SIZE), seen[:1])
    assert torch.isfinite(silent).all()
    assert torch.isfinite(faintest).all()
    assert silent.norm() < 0.1


def test_absent_rows_add_nothing(features: ScatteringFeatures) -> None:
    seen = torch.ones(2, SIZE, dtype=torch.bool)
    seen[:, -2 * PATCH :] = False
    picture = pictures(2)
    other = picture.clone()
    other[:, -2 * PATCH :] = 0.9
    found, loudness = features(picture, seen)
    again, as_loud = features(other, seen)
    assert torch.equal(found, again)
    assert torch.equal(loudness, as_loud)
    cells = found.reshape(2, -1, SIZE // PATCH)
    assert not cells[..., -2:].any()
    assert cells[..., :-2].any()
    # A cell counts if at least half of it was observed.
    rows = round(MIN_OBSERVED * PATCH)
    seen[:, -2 * PATCH : -2 * PATCH + rows] = True
    assert features(picture, seen)[0].reshape(2, -1, SIZE // PATCH)[..., -2].any()


def test_a_subset_of_the_batch_gives_the_same_rows(features: ScatteringFeatures) -> None:
    seen = torch.ones(5, SIZE, dtype=torch.bool)
    seen[1, -PATCH:] = False
    together, apart = features(pictures(5), seen), features(pictures(5)[1:3], seen[1:3])
    for whole, part in zip(together, apart, strict=True):
        torch.testing.assert_close(part, whole[1:3])

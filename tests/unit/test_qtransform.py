"""The parts of the transform against gwpy and SciPy: tiles, whitening, splines, medians."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from gwpy.signal.qtransform import QTiling
from gwpy.timeseries import TimeSeries
from scipy.interpolate import InterpolatedUnivariateSpline, RectBivariateSpline

from glitch.errors import StrainError
from glitch.strain import grid
from glitch.strain.medians import median_energies
from glitch.strain.plan import view_plan
from glitch.strain.tiling import highest_frequency_hz, plane_qs, tiling, window
from glitch.strain.whitening import whiten, whitening_plan
from glitch.views import Preprocessing

RECIPE = Preprocessing()
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("rate", "duration"), [(4096, 32), (8192, 64), (4096, 14), (1024, 8), (16384, 47)]
)
def test_every_tile_is_gwpys(rate: int, duration: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = list(QTiling(duration, rate, (4, 64), (10, 2048), mismatch=0.2))
    ours = tiling(RECIPE, float(rate), float(duration))
    assert [plane.q for plane in ours] == [plane.q for plane in theirs]
    for mine, plane in zip(ours, theirs, strict=True):
        tiles = list(plane)
        assert [row.frequency_hz for row in mine.rows] == [tile.frequency for tile in tiles]
        for row, tile in zip(mine.rows, tiles, strict=True):
            bins = tile.get_data_indices()
            assert (row.n_tiles, row.first_bin, row.n_bins) == (
                tile.ntiles,
                bins[0],
                tile.windowsize,
            )
        expected = tiles[-1].get_window()
        actual = window(mine.q, mine.rows[-1], float(duration))
        np.testing.assert_allclose(actual / actual.max(), expected / expected.max(), atol=1e-12)


def test_the_highest_frequency_follows_the_sample_rate() -> None:
    assert len(plane_qs(RECIPE)) == 4
    assert highest_frequency_hz(RECIPE, 4096.0) == pytest.approx(1291.0, abs=0.5)
    assert highest_frequency_hz(RECIPE, 6490.0) < 2048
    assert highest_frequency_hz(RECIPE, 8192.0) == 2048


def _coloured(rate: int, duration: int, seed: int = 0) -> np.ndarray:
    """Noise with a steep wall at low frequencies and a line, at the amplitude of strain."""
    rng = np.random.default_rng(seed)
    n = rate * duration
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    shape = 1 + (40 / np.maximum(frequencies, 5)) ** 6
    spectrum = np.fft.rfft(rng.normal(size=n)) * shape
    times = np.arange(n) / rate
    return 1e-22 * (np.fft.irfft(spectrum, n) + 40 * np.sin(2 * np.pi * 60 * times))


@pytest.mark.parametrize(("rate", "duration"), [(1024, 8), (1024, 13), (2048, 40)])
def test_whitening_is_gwpys(rate: int, duration: int) -> None:
    strain = _coloured(rate, duration)
    expected = TimeSeries(strain, sample_rate=rate).whiten(2, 1, fduration=2).value
    plan = whitening_plan(RECIPE, rate, strain.size, CPU)
    actual = whiten(torch.from_numpy(strain[None].copy()), plan)[0].double().numpy()
    actual *= (actual @ expected) / (actual @ actual)
    assert np.abs(actual - expected).max() < 1e-5 * expected.std()


def test_whitening_refuses_a_spectrum_with_zeros() -> None:
    strain = np.zeros(8 * 1024)
    strain[4000:4100] = 1e-21
    plan = whitening_plan(RECIPE, 1024, strain.size, CPU)
    with pytest.raises(StrainError, match="noise spectrum is zero"):
        whiten(torch.from_numpy(strain[None]), plan)


@pytest.mark.parametrize("n", [1, 7, 128, 4096, 16384])
def test_medians_are_numpys(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=(3, 5, n)).astype(np.float32)
    values[0, 0] = 2.0  # ties
    # a sample does not represent this row, so its median is computed in full
    values[0, 1, ::16] = 99.0
    expected = np.median(values**2, axis=-1)
    actual = median_energies(torch.from_numpy(values))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-6)


def test_spline_along_a_row_is_scipys() -> None:
    energy = np.random.default_rng(1).exponential(size=80)
    moments = grid.spline_moments(80) @ energy
    taps = grid.moment_taps(11)
    np.testing.assert_allclose(
        np.convolve(energy, taps, mode="same")[30:50], moments[30:50], atol=1e-5
    )
    at = np.linspace(0, 78.999, 777)
    index = at.astype(int)
    right = at - index
    left = 1 - right
    actual = (
        left * energy[index]
        + right * energy[index + 1]
        + (left**3 - left) * moments[index]
        + (right**3 - right) * moments[index + 1]
    )
    expected = InterpolatedUnivariateSpline(np.arange(80), energy)(at)
    np.testing.assert_allclose(actual, expected, atol=1e-10)


def test_spline_across_rows_is_scipys() -> None:
    rows = np.geomspace(11, 1200, 28)
    energy = np.random.default_rng(2).exponential(size=(9, 28))
    at = np.arange(10, 1290, 3.5)
    expected = RectBivariateSpline(np.arange(9.0), rows, energy)(np.arange(9.0), at)
    np.testing.assert_allclose(energy @ grid.spline_across_rows(rows, at).T, expected, atol=1e-9)


def test_cell_means_are_exact() -> None:
    positions = np.array([0.0, 0.3, 1.0, 1.1, 2.0])
    values = np.array([1.0, 4.0, 2.0, 2.0, 0.0])
    edges = np.array([-0.5, 0.0, 0.31, 0.33, 1.05, 2.0, 2.5])
    fine = np.linspace(0, 1, 20001)
    expected = [
        np.trapezoid(np.interp(low + fine * (high - low), positions, values), fine)
        for low, high in pairwise(edges)
    ]
    np.testing.assert_allclose(grid.cell_means(positions, edges) @ values, expected, atol=1e-6)


@pytest.mark.parametrize(
    "recipe", [RECIPE, Preprocessing(n_time=96), Preprocessing(n_time=50, durations_s=(0.3, 1.7))]
)
def test_pooling_in_blocks_is_pooling(recipe: Preprocessing) -> None:
    plan = view_plan(recipe, 1024, 8 * 1024, CPU)
    picture = torch.rand((3, plan.times_s.numel()), generator=torch.Generator().manual_seed(0))
    for duration, pooled in zip(recipe.durations_s, plan.time_means, strict=True):
        used, weights = grid.time_weights(recipe, duration)
        expected = picture[:, used].double().numpy() @ weights.T
        np.testing.assert_allclose(pooled(picture).numpy(), expected, atol=1e-5)
    assert plan.time_means[0].n_blocks == (2 if recipe == RECIPE else plan.time_means[0].n_blocks)


@pytest.mark.parametrize("top_hz", [1291.0, 2048.0, 100.0])
def test_rows_average_their_cells_and_stop_at_the_limit(top_hz: float) -> None:
    assert [grid.points_per_cell(RECIPE, q) for q in plane_qs(RECIPE)] == [3, 3, 3, 4]
    n_observed = grid.n_observed_rows(RECIPE, top_hz)
    edges = grid.frequency_edges_hz(RECIPE)[: n_observed + 1]
    assert edges[-1] <= top_hz * (1 + 1e-9)
    assert n_observed == 128 or grid.frequency_edges_hz(RECIPE)[n_observed + 1] > top_hz
    samples = grid.frequency_samples(RECIPE, top_hz, 3)
    centres = samples.means @ samples.samples_hz
    np.testing.assert_allclose(samples.means.sum(axis=1), 1)
    np.testing.assert_allclose(centres, (edges[:-1] + edges[1:]) / 2, atol=0.02)

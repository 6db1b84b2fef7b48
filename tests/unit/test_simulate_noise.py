import numpy as np
import pytest
from scipy.signal import welch

from glitch.errors import GlitchError
from glitch.simulate.noise import detectors, noise_spectrum, noise_strain, optimal_snr

RATE_HZ = 4096.0


def test_three_detectors_are_described() -> None:
    assert detectors() == ("H1", "L1", "V1")


@pytest.mark.parametrize(("ifo", "asd"), [("H1", 5.3e-24), ("L1", 4.6e-24)])
def test_the_median_floor_is_the_measured_o3_one_at_150_hz(ifo: str, asd: float) -> None:
    noise = noise_spectrum(ifo, 32768, RATE_HZ)
    at = np.searchsorted(noise.frequencies_hz, 150.0)
    assert noise.floor_asd[at] == pytest.approx(asd, rel=0.05)


@pytest.mark.real_data
@pytest.mark.parametrize("ifo", ["H1", "L1"])
def test_the_floor_follows_the_measured_spectra(ifo: str, shared_data) -> None:
    import h5py

    paths = sorted((shared_data / "psd" / ifo).glob("*.hdf"))
    measured = []
    for path in paths:
        with h5py.File(path) as file:
            measured.append(file["data"][:])
    asd = np.sqrt(np.median(measured, axis=0))
    noise = noise_spectrum(ifo, 32768, RATE_HZ)
    for low, high in ((40, 55), (80, 110), (140, 170), (200, 280), (700, 900)):
        ours = np.interp(np.arange(low, high), noise.frequencies_hz, noise.floor_asd)
        assert np.median(ours / asd[low:high]) == pytest.approx(1.0, abs=0.06)


def test_the_noise_has_the_spectrum_it_was_asked_for() -> None:
    rng = np.random.default_rng(3)
    noise = noise_spectrum("L1", 262144, RATE_HZ)
    values = np.fft.irfft(noise_strain(noise, rng)) * RATE_HZ
    frequencies, psd = welch(values, RATE_HZ, nperseg=8192)
    for low, high in ((30, 55), (70, 250), (600, 900)):
        band = (frequencies > low) & (frequencies < high)
        ours = np.interp(frequencies[band], noise.frequencies_hz, noise.floor_asd**2)
        assert np.mean(psd[band] / ours) == pytest.approx(1.0, abs=0.05)


def test_lines_stand_above_the_floor_with_their_power() -> None:
    noise = noise_spectrum("H1", 262144, RATE_HZ)
    near = np.abs(noise.frequencies_hz - 60.0) < 1.0
    ratio = noise.psd[near] / noise.floor_asd[near] ** 2
    excess_hz = (ratio - 1).sum() * noise.resolution_hz
    assert np.log(excess_hz) == pytest.approx(6.85, abs=0.2)


def test_a_drawn_spectrum_differs_from_the_median_by_the_measured_spread() -> None:
    median = noise_spectrum("L1", 32768, RATE_HZ)
    at = np.searchsorted(median.frequencies_hz, 150.0)
    drawn = [
        noise_spectrum("L1", 32768, RATE_HZ, np.random.default_rng(seed)).floor_asd[at]
        for seed in range(60)
    ]
    assert 0.005 < np.std(np.log(drawn / median.floor_asd[at])) < 0.05


def test_the_optimal_snr_of_a_flat_band_is_its_closed_form() -> None:
    noise = noise_spectrum("H1", 32768, RATE_HZ)
    values = np.zeros(len(noise.frequencies_hz), dtype=np.complex128)
    band = (noise.frequencies_hz >= 100) & (noise.frequencies_hz < 200)
    values[band] = 3.0 * np.sqrt(noise.psd[band])  # |h|^2 / S = 9 over 100 Hz
    assert optimal_snr(values, noise) == pytest.approx(np.sqrt(4 * 9 * 100), rel=1e-9)


def test_an_unknown_detector_is_answered_with_the_known_ones() -> None:
    with pytest.raises(GlitchError, match=r"detector 'G1'.*H1, L1, V1"):
        noise_spectrum("G1", 32768, RATE_HZ)

"""Detector noise: a compact description of measured spectra, and Gaussian noise with these spectra.

The parameters are in ``glitch/data/simulation/noise.json``, fitted by
``benchmarks/strain/fit_simulation_population.py``: per detector, the log amplitude spectral density
at 48 knots, its spread from spectrum to spectrum, and a list of lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Complex128, Float64

from glitch.errors import GlitchError

FrequencyArray = Float64[np.ndarray, " freq"]
SpectrumArray = Complex128[np.ndarray, " freq"]

LOWEST_HZ = 8.0  # below the first knot the spectrum is flat, as in high-passed strain
LINE_SIGMA_HZ = 0.08  # a line is a Gaussian narrower than the resolution of any scan
_KNOT_CORRELATION = 8.0  # in knots: a detector's spectrum drifts over wide bands


@cache
def _parameters() -> dict[str, Any]:
    text = files("glitch").joinpath("data/simulation/noise.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def detectors() -> tuple[str, ...]:
    """Return the detectors with a noise description: H1, L1 (measured O3a), V1 (design)."""
    return tuple(_parameters()["detectors"])


@dataclass(frozen=True)
class NoiseSpectrum:
    """One-sided noise spectrum of a stretch of strain.

    Attributes:
        frequencies_hz: rfft frequencies of the stretch.
        floor_asd: amplitude spectral density without lines, 1/sqrt(Hz).
        psd: power spectral density with lines, 1/Hz.
    """

    frequencies_hz: FrequencyArray
    floor_asd: FrequencyArray
    psd: FrequencyArray

    @property
    def resolution_hz(self) -> float:
        return float(self.frequencies_hz[1])


@cache
def _knot_mixing(n_knots: int) -> Float64[np.ndarray, "knot knot"]:
    """Return the Cholesky factor that turns independent normals into smooth drifts of log ASD."""
    distance = np.subtract.outer(np.arange(n_knots), np.arange(n_knots)) / _KNOT_CORRELATION
    covariance = np.exp(-0.5 * distance**2) + 1e-6 * np.eye(n_knots)
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)


def noise_spectrum(
    ifo: str, n_samples: int, sample_rate_hz: float, rng: np.random.Generator | None = None
) -> NoiseSpectrum:
    """Return the spectrum of a stretch of ``n_samples``.

    Args:
        ifo: detector, one of :func:`detectors`.
        n_samples: length of the stretch.
        sample_rate_hz: sample rate in Hz.
        rng: draws the deviation of this stretch from the detector's median; None gives the median.

    Raises:
        GlitchError: for an unknown detector.
    """
    described = _parameters()["detectors"]
    if ifo not in described:
        raise GlitchError(
            f"There is no noise description for detector '{ifo}'. Give one of "
            f"{', '.join(described)}."
        )
    detector = described[ifo]
    knots = np.asarray(_parameters()["knots_hz"])
    log_asd = np.asarray(detector["log_asd"])
    lines = np.asarray(detector["lines"])
    log_lines = lines[:, 1]
    if rng is not None:
        drift = _knot_mixing(len(knots)) @ rng.standard_normal(len(knots))
        log_asd = log_asd + np.asarray(detector["log_asd_spread"]) * drift
        log_lines = log_lines + 0.5 * rng.standard_normal(len(lines))
    frequencies = np.fft.rfftfreq(n_samples, 1 / sample_rate_hz)
    floor = np.exp(np.interp(np.log(np.maximum(frequencies, LOWEST_HZ)), np.log(knots), log_asd))
    psd = floor**2
    step = frequencies[1]
    sigma = max(LINE_SIGMA_HZ, step)
    for centre, log_power in zip(lines[:, 0], log_lines, strict=True):
        first, last = np.searchsorted(frequencies, [centre - 5 * sigma, centre + 5 * sigma])
        if last >= len(frequencies):
            continue
        shape = np.exp(-0.5 * ((frequencies[first:last] - centre) / sigma) ** 2)
        level = np.exp(log_power) / (np.sqrt(2 * np.pi) * sigma)
        psd[first:last] *= 1 + level * shape
    return NoiseSpectrum(frequencies, floor, psd)


def noise_strain(spectrum: NoiseSpectrum, rng: np.random.Generator) -> SpectrumArray:
    """Draw the Fourier transform of Gaussian noise with a spectrum.

    It is numpy's rfft times the sample spacing (1/Hz), periodic in the stretch, and zero at 0 Hz
    and at the Nyquist frequency.
    """
    n_freq = len(spectrum.frequencies_hz)
    normals = rng.standard_normal(2 * n_freq).view(np.complex128)
    # <|h|^2> = S T / 2, shared by the real and the imaginary part
    values = normals * np.sqrt(spectrum.psd / (4 * spectrum.resolution_hz))
    values[0] = values[-1] = 0.0
    return np.asarray(values, dtype=np.complex128)


def optimal_snr(values: SpectrumArray, spectrum: NoiseSpectrum) -> float:
    """Compute the matched-filter (optimal) SNR above 10 Hz: sqrt(4 sum |h(f)|^2 / S(f) df)."""
    band = spectrum.frequencies_hz >= 10.0
    power = np.abs(values[band]) ** 2 / spectrum.psd[band]
    return float(np.sqrt(4 * spectrum.resolution_hz * power.sum()))

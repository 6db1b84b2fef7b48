"""The time grid of a simulated glitch, and elementary waveforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from glitch.simulate.noise import FrequencyArray, SpectrumArray

TimeArray = Float64[np.ndarray, " time"]

_TOP = 0.45  # tracks fade before this fraction of the sample rate, to avoid aliasing


@dataclass(frozen=True)
class Grid:
    """``n_samples`` at ``sample_rate_hz``; time 0 of every recipe is the middle sample."""

    n_samples: int
    sample_rate_hz: float

    @cached_property
    def frequencies_hz(self) -> FrequencyArray:
        return np.asarray(np.fft.rfftfreq(self.n_samples, 1 / self.sample_rate_hz))

    @cached_property
    def times_s(self) -> TimeArray:
        middle = self.n_samples // 2
        return np.asarray((np.arange(self.n_samples) - middle) / self.sample_rate_hz)

    @property
    def highest_hz(self) -> float:
        return _TOP * self.sample_rate_hz

    def window(self, centre_s: float, half_width_s: float) -> slice:
        """Return the samples within ``half_width_s`` of a time, limited to the grid."""
        middle = self.n_samples // 2
        first = middle + int(np.floor((centre_s - half_width_s) * self.sample_rate_hz))
        last = middle + int(np.ceil((centre_s + half_width_s) * self.sample_rate_hz)) + 1
        return slice(max(first, 0), max(min(last, self.n_samples), 0))

    def to_spectrum(self, values: TimeArray) -> SpectrumArray:
        """Fourier transform with the sample spacing (1/Hz for a dimensionless series)."""
        return np.asarray(np.fft.rfft(values) / self.sample_rate_hz, dtype=np.complex128)


class Drawing:
    """A time series to which waveforms are added. Amplitudes are relative: the caller scales."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.values: TimeArray = np.zeros(grid.n_samples)

    def sine_gaussian(
        self,
        centre_s: float,
        frequency_hz: float,
        sigma_s: float,
        amplitude: float,
        phase: float,
        *,
        slope_hz_per_s: float = 0.0,
    ) -> None:
        """Add a linear chirp with a Gaussian envelope of standard deviation ``sigma_s``."""
        if not 0 < frequency_hz < self.grid.highest_hz:
            return
        part = self.grid.window(centre_s, 5 * sigma_s)
        time = self.grid.times_s[part] - centre_s
        angle = 2 * np.pi * (frequency_hz + 0.5 * slope_hz_per_s * time) * time + phase
        self.values[part] += amplitude * np.exp(-0.5 * (time / sigma_s) ** 2) * np.cos(angle)

    def track(
        self,
        centre_s: float,
        half_width_s: float,
        frequency_hz: Callable[[TimeArray], TimeArray],
        amplitude: Callable[[TimeArray], TimeArray],
        phase: float,
        *,
        harmonics: dict[int, float] | None = None,
    ) -> None:
        """Add a tone that follows ``frequency_hz`` (of the time from ``centre_s``), with harmonics.

        Each harmonic fades where its own frequency approaches the Nyquist frequency.
        """
        part = self.grid.window(centre_s, half_width_s)
        time = self.grid.times_s[part] - centre_s
        if len(time) < 2:
            return
        pitch = frequency_hz(time)
        angle = 2 * np.pi * np.cumsum(pitch) / self.grid.sample_rate_hz
        edge = np.clip((half_width_s - np.abs(time)) / (0.1 * half_width_s), 0, 1)
        envelope = amplitude(time) * np.sin(0.5 * np.pi * edge) ** 2
        for order, weight in (harmonics or {1: 1.0}).items():
            room = np.clip((self.grid.highest_hz - np.abs(order * pitch)) / 50.0, 0, 1)
            self.values[part] += weight * room * envelope * np.cos(order * (angle + phase))

    def noise_burst(
        self,
        rng: np.random.Generator,
        centre_s: float,
        half_width_s: float,
        band_hz: tuple[float, float],
        envelope: Callable[[TimeArray], TimeArray],
        *,
        steepness: float = 0.0,
    ) -> None:
        """Add Gaussian noise between two frequencies (soft edges) with an envelope.

        Its power density falls as the frequency to the power ``steepness``.
        """
        part = self.grid.window(centre_s, half_width_s)
        time = self.grid.times_s[part] - centre_s
        if len(time) < 16:
            return
        frequencies = np.fft.rfftfreq(len(time), 1 / self.grid.sample_rate_hz)
        low, high = band_hz
        high = min(high, self.grid.highest_hz)
        shape = np.zeros_like(frequencies)
        above = frequencies > 0
        octaves = np.log2(frequencies[above])
        edge = min(0.25, 0.25 * np.log2(high / low))
        rise = (octaves - np.log2(low)) / edge
        fall = (np.log2(high) - octaves) / edge
        shape[above] = np.exp(-0.5 * np.minimum(np.minimum(rise, fall), 0) ** 2)
        shape[above] *= (frequencies[above] / low) ** (-0.5 * steepness)
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(time))) * shape, n=len(time))
        noise /= noise.std() + 1e-300
        self.values[part] += envelope(time) * noise

"""What a recipe draws on: the grid, the noise there, and the generator; and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from glitch.simulate.grid import Drawing, Grid
from glitch.simulate.noise import NoiseSpectrum, SpectrumArray
from glitch.simulate.population import BlipParameters


@dataclass(frozen=True, eq=False)
class Waveform:
    """A glitch before its SNR is set.

    Attributes:
        spectrum: Fourier transform, whitened by the noise floor (strain over ASD).
        parameters: what was drawn, for the record: plain numbers with units in their names.
        snr: the SNR that the class's population gives this very glitch; None to draw one.
    """

    spectrum: SpectrumArray
    parameters: dict[str, float] = field(default_factory=dict)
    snr: float | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """One stretch of noise, with the means to draw a glitch in its middle (time 0)."""

    grid: Grid
    noise: NoiseSpectrum
    ifo: str
    rng: np.random.Generator

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def log_uniform(self, low: float, high: float) -> float:
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def normal(self, mean: float = 0.0, sigma: float = 1.0) -> float:
        return float(self.rng.normal(mean, sigma))

    def count(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)

    def phase(self) -> float:
        return self.uniform(0.0, 2 * np.pi)

    def drawing(self) -> Drawing:
        return Drawing(self.grid)

    def whitened(self, drawing: Drawing, snr: float = 1.0) -> SpectrumArray:
        """A drawing in whitened units, scaled to an SNR against the floor."""
        return self._scaled(self._centred(drawing), snr)

    def whitened_strain(self, drawing: Drawing, snr: float = 1.0) -> SpectrumArray:
        """A drawing in strain, whitened and scaled to an SNR against the floor."""
        return self._scaled(self._centred(drawing) / self.noise.floor_asd, snr)

    def blip(self, parameters: BlipParameters, time_s: float, snr: float) -> SpectrumArray:
        """The blip of antiglitch at a time, whitened, scaled to an SNR against the floor."""
        frequencies = self.grid.frequencies_hz
        log_ratio = np.log(np.maximum(frequencies, 1e-3) / parameters.f0_hz)
        envelope = np.exp(-0.5 * parameters.gbw * log_ratio**2) / self.noise.floor_asd
        turn = np.exp(1j * (parameters.phase - 2 * np.pi * frequencies * time_s))
        return self._scaled(envelope * turn, snr)

    def _centred(self, drawing: Drawing) -> SpectrumArray:
        """Spectrum with time 0 at the first sample: what is built from frequencies is too."""
        return self.grid.to_spectrum(np.roll(drawing.values, -(self.grid.n_samples // 2)))

    def _scaled(self, spectrum: SpectrumArray, snr: float) -> SpectrumArray:
        band = self.grid.frequencies_hz >= 10.0
        power = 4 * self.noise.resolution_hz * np.sum(np.abs(spectrum[band]) ** 2)
        if power <= 0:
            return np.zeros_like(spectrum)
        return np.asarray(spectrum * (snr / np.sqrt(power)), dtype=np.complex128)

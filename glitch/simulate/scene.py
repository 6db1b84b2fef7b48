"""Input and output of a recipe: the grid, the noise, the random generator, the waveform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from glitch.simulate.grid import Drawing, Grid
from glitch.simulate.noise import NoiseSpectrum, SpectrumArray
from glitch.simulate.population import BlipParameters


@dataclass(frozen=True, eq=False)
class Waveform:
    """A glitch before its SNR is set.

    Attributes:
        spectrum: Fourier transform, whitened by the noise floor (strain over ASD).
        parameters: the drawn parameters, for the record: plain numbers with units in their names.
        snr: the SNR drawn from the class's population; None if the recipe has none.
        tiles: its power in units of its loudest tile: its optimal SNR is the tile's times the
            square root of this.
    """

    spectrum: SpectrumArray
    parameters: dict[str, float] = field(default_factory=dict)
    snr: float | None = None
    tiles: float = 1.0


class Repeat(NamedTuple):
    """One of several equal blips: its time, its SNR, and its phase relative to the common one."""

    time_s: float
    snr: float
    turn: float = 0.0


@dataclass(frozen=True, eq=False)
class Scene:
    """One stretch of noise, with methods to draw a glitch in its middle (time 0)."""

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
        """Draw an integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)

    def phase(self) -> float:
        return self.uniform(0.0, 2 * np.pi)

    def drawing(self) -> Drawing:
        return Drawing(self.grid)

    def whitened(self, drawing: Drawing, snr: float = 1.0) -> SpectrumArray:
        """Scale a drawing in whitened units to an SNR against the floor."""
        return self._scaled(self._centred(drawing), snr)

    def whitened_strain(self, drawing: Drawing, snr: float = 1.0) -> SpectrumArray:
        """Whiten a drawing in strain and scale it to an SNR against the floor."""
        return self._scaled(self._centred(drawing) / self.noise.floor_asd, snr)

    def blips(self, parameters: BlipParameters, repeats: Sequence[Repeat]) -> SpectrumArray:
        """Return whitened antiglitch blips with common parameters, each with its SNR against the
        floor.

        Times are rounded to the sample.
        """
        log_ratio = np.log(np.maximum(self.grid.frequencies_hz, 1e-3) / parameters.f0_hz)
        envelope = np.exp(-0.5 * parameters.gbw * log_ratio**2) / self.noise.floor_asd
        one = self._scaled(envelope.astype(np.complex128), 1.0)
        turned = np.zeros((2, self.grid.n_samples))
        for repeat in repeats:
            position = round(repeat.time_s * self.grid.sample_rate_hz) % self.grid.n_samples
            angle = parameters.phase + repeat.turn
            turned[0, position] += repeat.snr * np.cos(angle)
            turned[1, position] += repeat.snr * np.sin(angle)
        combs = np.fft.rfft(turned, axis=-1)
        return np.asarray(one * (combs[0] + 1j * combs[1]), dtype=np.complex128)

    def blip(self, parameters: BlipParameters, time_s: float, snr: float) -> SpectrumArray:
        """Return one whitened antiglitch blip of an SNR against the floor."""
        return self.blips(parameters, [Repeat(time_s, snr)])

    def _centred(self, drawing: Drawing) -> SpectrumArray:
        """Return the spectrum with time 0 at the first sample."""
        return self.grid.to_spectrum(np.roll(drawing.values, -(self.grid.n_samples // 2)))

    def _scaled(self, spectrum: SpectrumArray, snr: float) -> SpectrumArray:
        band = self.grid.frequencies_hz >= 10.0
        power = 4 * self.noise.resolution_hz * np.sum(np.abs(spectrum[band]) ** 2)
        if power <= 0:
            return np.zeros_like(spectrum)
        return np.asarray(spectrum * (snr / np.sqrt(power)), dtype=np.complex128)

"""The recipe of each class, its minimum sample rate, and its usual loudness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glitch.simulate import bursts, motion, tones
from glitch.simulate.scene import Scene, Waveform

LOWEST_SNR = 7.5  # Gravity Spy's threshold


@dataclass(frozen=True)
class Recipe:
    """How a class is drawn.

    Attributes:
        draw: makes the waveform.
        snr_median: median SNR of the loudest tile, if the recipe does not set its own.
        snr_log_sigma: standard deviation of its natural logarithm.
        lowest_rate_hz: lowest sample rate at which the class can be simulated.
        snr_range: limits of the tile's SNR.
    """

    draw: Callable[[Scene], Waveform]
    snr_median: float
    snr_log_sigma: float = 0.35
    lowest_rate_hz: float = 1024.0
    snr_range: tuple[float, float] = (4.5, 100.0)

    def draw_snr(self, tiles: float, rng: np.random.Generator) -> float:
        """Draw the optimal SNR of a glitch with the power of ``tiles`` times its loudest tile."""
        tile = self.snr_median * np.exp(self.snr_log_sigma * rng.standard_normal())
        total = np.clip(tile, *self.snr_range) * np.sqrt(max(tiles, 1.0))
        return float(max(total, LOWEST_SNR))


# Omicron's SNR, which Gravity Spy lists, is that of the loudest tile; the optimal SNR of a glitch
# of many tiles is larger. The medians follow the O1 release if it has the class, lowered where its
# pictures were fainter than that: until about 2018 Gravity Spy's scans were normalised by the mean
# of a row instead of its median, which gives 0.69 of the energy for the same SNR.
RECIPES: dict[str, Recipe] = {
    "1080Lines": Recipe(tones.lines_1080, 7.0, 0.3, 4096.0),
    "1400Ripples": Recipe(tones.ripples_1400, 11.0, 0.25, 4096.0),
    "70Hz_Line": Recipe(tones.seventy_hz_line, 13.0, 0.35),
    "Air_Compressor": Recipe(tones.air_compressor, 9.5, 0.25),
    "Blip": Recipe(bursts.blip, 18.0, 0.6),
    "Blip_Low_Frequency": Recipe(bursts.blip_low_frequency, 11.0, 0.4),
    "Chirp": Recipe(motion.chirp, 12.0, 0.3),
    "Extremely_Loud": Recipe(bursts.extremely_loud, 1000.0, 1.0, snr_range=(100.0, 10000.0)),
    "Fast_Scattering": Recipe(motion.fast_scattering, 12.0, 0.4),
    "Helix": Recipe(bursts.helix, 8.5, 0.3),
    "High_Frequency_Burst": Recipe(bursts.high_frequency_burst, 11.5, 0.3, 4096.0),
    "Koi_Fish": Recipe(bursts.koi_fish, 100.0, 0.7, snr_range=(7.5, 500.0)),
    "Light_Modulation": Recipe(bursts.light_modulation, 36.0, 0.6),
    "Low_Frequency_Burst": Recipe(bursts.low_frequency_burst, 13.0, 0.5),
    "Low_Frequency_Lines": Recipe(tones.low_frequency_lines, 11.5, 0.45),
    "No_Glitch": Recipe(motion.no_glitch, 0.0),
    "Paired_Doves": Recipe(motion.paired_doves, 12.0, 0.5),
    "Pizzicato": Recipe(bursts.pizzicato, 35.0, 0.35, 4096.0),
    "Power_Line": Recipe(tones.power_line, 9.0, 0.25),
    "Repeating_Blips": Recipe(bursts.repeating_blips, 22.0, 0.6),
    "Scattered_Light": Recipe(motion.scattered_light, 15.0, 0.6),
    "Scratchy": Recipe(motion.scratchy, 8.2, 0.25),
    "Tomte": Recipe(bursts.tomte, 15.0, 0.4),
    "Violin_Mode": Recipe(tones.violin_mode, 11.0, 0.45, 2048.0),
    "Wandering_Line": Recipe(tones.wandering_line, 6.5, 0.35, 2048.0),
    "Whistle": Recipe(tones.whistle, 10.0, 0.3, 4096.0, snr_range=(7.5, 100.0)),
}

SIMULATED_CLASSES: tuple[str, ...] = tuple(RECIPES)

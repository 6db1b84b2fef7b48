"""Which recipe draws which class, from which sample rate on, and how loud it usually is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glitch.simulate import bursts, motion, tones
from glitch.simulate.scene import Scene, Waveform


@dataclass(frozen=True)
class Recipe:
    """How a class is drawn.

    Attributes:
        draw: makes the waveform.
        snr_median: median optimal SNR where the recipe does not set its own.
        snr_log_sigma: standard deviation of ln SNR.
        lowest_rate_hz: the least sample rate that holds the class.
        snr_range: SNR outside it is drawn again.
    """

    draw: Callable[[Scene], Waveform]
    snr_median: float
    snr_log_sigma: float = 0.35
    lowest_rate_hz: float = 1024.0
    snr_range: tuple[float, float] = (7.5, 100.0)

    def draw_snr(self, rng: np.random.Generator) -> float:
        low, high = self.snr_range
        while True:
            snr = float(self.snr_median * np.exp(self.snr_log_sigma * rng.standard_normal()))
            if low <= snr <= high:
                return snr


# Omicron's SNR is that of the loudest tile; the optimal SNR of a glitch of many tiles is larger.
# The medians here were set by looking, until energies resembled those of the real pictures.
RECIPES: dict[str, Recipe] = {
    "1080Lines": Recipe(tones.lines_1080, 18.0, 0.35, 4096.0),
    "1400Ripples": Recipe(tones.ripples_1400, 13.0, 0.3, 4096.0),
    "70Hz_Line": Recipe(tones.seventy_hz_line, 14.0, 0.4),
    "Air_Compressor": Recipe(tones.air_compressor, 11.0, 0.3),
    "Blip": Recipe(bursts.blip, 18.0, 0.6),
    "Blip_Low_Frequency": Recipe(bursts.blip_low_frequency, 11.0, 0.4),
    "Chirp": Recipe(motion.chirp, 16.0, 0.35),
    "Extremely_Loud": Recipe(bursts.extremely_loud, 1000.0, 1.0, snr_range=(100.0, 10000.0)),
    "Fast_Scattering": Recipe(motion.fast_scattering, 24.0, 0.4),
    "Helix": Recipe(bursts.helix, 22.0, 0.3),
    "High_Frequency_Burst": Recipe(bursts.high_frequency_burst, 10.0, 0.3, 4096.0),
    "Koi_Fish": Recipe(bursts.koi_fish, 100.0, 0.7, snr_range=(7.5, 500.0)),
    "Light_Modulation": Recipe(bursts.light_modulation, 30.0, 0.7),
    "Low_Frequency_Burst": Recipe(bursts.low_frequency_burst, 16.0, 0.5),
    "Low_Frequency_Lines": Recipe(tones.low_frequency_lines, 14.0, 0.5),
    "No_Glitch": Recipe(motion.no_glitch, 0.0),
    "Paired_Doves": Recipe(motion.paired_doves, 32.0, 0.4),
    "Pizzicato": Recipe(bursts.pizzicato, 18.0, 0.4, 4096.0),
    "Power_Line": Recipe(tones.power_line, 11.0, 0.3),
    "Repeating_Blips": Recipe(bursts.repeating_blips, 30.0, 0.6),
    "Scattered_Light": Recipe(motion.scattered_light, 32.0, 0.5),
    "Scratchy": Recipe(motion.scratchy, 24.0, 0.3),
    "Tomte": Recipe(bursts.tomte, 15.0, 0.4),
    "Violin_Mode": Recipe(tones.violin_mode, 17.0, 0.5, 2048.0),
    "Wandering_Line": Recipe(tones.wandering_line, 28.0, 0.5, 2048.0),
    "Whistle": Recipe(tones.whistle, 20.0, 0.4, 4096.0),
}

SIMULATED_CLASSES: tuple[str, ...] = tuple(RECIPES)

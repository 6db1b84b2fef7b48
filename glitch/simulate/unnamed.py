"""Shapes without a class: random mixtures of the components of detector glitches.

An encoder trained only on the named recipes ignores everything else. These shapes have no class.
Training uses only their parameters, and that two noise realisations contain the same shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glitch.simulate.grid import TimeArray
from glitch.simulate.noise import SpectrumArray
from glitch.simulate.population import BlipParameters
from glitch.simulate.scene import Repeat, Scene, Waveform

UNNAMED = "Unnamed"
MAX_PARTS = 3


def _packets(scene: Scene) -> SpectrumArray:
    """Wave packets scattered over one band."""
    drawing = scene.drawing()
    middle, spread = scene.log_uniform(14.0, 1400.0), scene.log_uniform(1.02, 3.0)
    reach = scene.log_uniform(0.003, 1.5)
    for index in range(scene.count(1, 12)):
        frequency = middle * scene.log_uniform(1 / spread, spread)
        sigma = scene.log_uniform(0.3, 12.0) / frequency
        drawing.sine_gaussian(
            0.0 if index == 0 else scene.normal(0.0, reach),
            frequency,
            min(sigma, 1.0),
            scene.log_uniform(0.2, 1.0),
            scene.phase(),
            slope_hz_per_s=scene.normal(0.0, 0.3) * frequency / max(sigma, 0.05),
        )
    return scene.whitened(drawing)


def _curve(scene: Scene) -> SpectrumArray:
    """A tone along a random smooth path, with or without harmonics."""
    drawing = scene.drawing()
    half = scene.log_uniform(0.04, 2.5)
    pitch, octaves = scene.log_uniform(18.0, 900.0), scene.uniform(0.0, 1.6)
    bends = scene.rng.normal(0.0, 1.0, 4)
    ripple, ripple_hz = scene.uniform(0.0, 0.4), scene.log_uniform(0.3, 8.0)
    turn, beat_hz = scene.phase(), scene.log_uniform(0.5, 20.0)
    depth = scene.uniform(0.0, 1.0)

    def path(time: TimeArray) -> TimeArray:
        position = time / half
        shape = bends[0] * position + bends[1] * position**2 + bends[2] * position**3 / 2
        shape = shape + ripple * np.sin(2 * np.pi * ripple_hz * time + turn)
        return np.asarray(np.clip(pitch * 2 ** (octaves * shape), 11.0, 3000.0))

    def loudness(time: TimeArray) -> TimeArray:
        beat = 1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * beat_hz * time + turn))
        return np.asarray(beat * np.exp(-0.5 * (bends[3] * time / half) ** 2))

    harmonics = {1: 1.0}
    if scene.chance(0.4):
        for order in range(2, scene.count(2, 5) + 1):
            harmonics[order] = scene.log_uniform(0.1, 1.0)
    drawing.track(0.0, half, path, loudness, scene.phase(), harmonics=harmonics)
    return scene.whitened(drawing)


def _band(scene: Scene) -> SpectrumArray:
    """Noise between two frequencies with a rising and a falling edge."""
    drawing = scene.drawing()
    low = scene.log_uniform(10.0, 800.0)
    rise, fall = scene.log_uniform(0.004, 1.0), scene.log_uniform(0.004, 1.0)

    def flanks(time: TimeArray) -> TimeArray:
        return np.asarray(np.exp(np.where(time < 0, time / rise, -time / fall)))

    band = (low, low * scene.log_uniform(1.15, 12.0))
    reach = min(6 * max(rise, fall), 3.0)
    drawing.noise_burst(scene.rng, 0.0, reach, band, flanks, steepness=scene.uniform(0.0, 3.0))
    return scene.whitened(drawing)


def _pulses(scene: Scene) -> SpectrumArray:
    """Broad clicks, alone or in a row."""
    click = BlipParameters(
        scene.log_uniform(15.0, 600.0), scene.log_uniform(0.25, 8.0), scene.phase(), 0.0
    )
    repeats = [Repeat(0.0, 1.0)]
    if scene.chance(0.6):
        spacing, jitter = scene.log_uniform(0.015, 0.8), scene.uniform(0.0, 0.4)
        for index in range(1, scene.count(2, 20)):
            side = -1 if scene.chance(0.5) else 1
            time = side * spacing * (index + jitter * scene.normal())
            repeats.append(Repeat(time, scene.log_uniform(0.15, 1.0), scene.phase()))
    return scene.blips(click, repeats)


PARTS: tuple[Callable[[Scene], SpectrumArray], ...] = (_packets, _curve, _band, _pulses)


def unnamed(scene: Scene) -> Waveform:
    """One to three random parts, the first in the middle and strongest."""
    n_parts = scene.count(1, MAX_PARTS)
    spectrum = np.zeros(len(scene.grid.frequencies_hz), dtype=np.complex128)
    for index in range(n_parts):
        part = PARTS[scene.count(0, len(PARTS) - 1)](scene)
        power = 4 * scene.noise.resolution_hz * float(np.sum(np.abs(part) ** 2))
        if power <= 0:  # a path completely outside the band
            continue
        strength = 1.0 if index == 0 else scene.log_uniform(0.15, 0.9)
        delay_s = 0.0 if index == 0 else scene.normal(0.0, 0.3)
        turn = np.exp(-2j * np.pi * scene.grid.frequencies_hz * delay_s)
        spectrum = spectrum + part * turn * strength / np.sqrt(power)
    if not spectrum.any():
        spectrum = _pulses(scene)
    return Waveform(spectrum, {"parts": float(n_parts)}, scene.log_uniform(8.0, 160.0))

"""Recipes of glitches that are tones: lines, dots at resonances, and sweeps."""

from __future__ import annotations

import numpy as np

from glitch.simulate.grid import TimeArray
from glitch.simulate.scene import Scene, Waveform


def _patch(
    scene: Scene, frequency: float, sigma: float, slope: float = 0.0, wings: float = 0.0
) -> Waveform:
    """One narrow patch, with weaker parts of the same tone before and after."""
    drawing = scene.drawing()
    drawing.sine_gaussian(0.0, frequency, sigma, 1.0, scene.phase(), slope_hz_per_s=slope)
    for side in (-1, 1):
        if scene.chance(wings):
            drawing.sine_gaussian(
                side * sigma * scene.uniform(3.0, 7.0),
                frequency * scene.uniform(0.98, 1.02),
                sigma * scene.uniform(0.6, 1.5),
                scene.uniform(0.1, 0.35),
                scene.phase(),
            )
    return Waveform(scene.whitened(drawing), {"frequency_hz": frequency, "sigma_s": sigma})


def power_line(scene: Scene) -> Waveform:
    mains = 60.0 if scene.ifo != "V1" else 50.0
    return _patch(
        scene,
        mains * scene.uniform(0.985, 1.045),
        scene.log_uniform(0.045, 0.18),
        scene.normal(0.0, 3.0),
        wings=0.5,
    )


def seventy_hz_line(scene: Scene) -> Waveform:
    return _patch(scene, scene.uniform(68.0, 72.0), scene.log_uniform(0.05, 0.1))


def air_compressor(scene: Scene) -> Waveform:
    return _patch(
        scene, scene.uniform(46.0, 53.0), scene.log_uniform(0.035, 0.09), scene.normal(15.0, 15.0)
    )


def low_frequency_lines(scene: Scene) -> Waveform:
    return _patch(
        scene,
        min(10.1 + float(scene.rng.exponential(2.0)), 19.5),
        scene.log_uniform(0.35, 1.2),
        scene.normal(0.0, 0.3),
        wings=0.3,
    )


def lines_1080(scene: Scene) -> Waveform:
    """Narrow-band noise near 1080 Hz; its beats form the dots."""
    drawing = scene.drawing()
    width = scene.log_uniform(0.12, 0.9)
    centre = scene.normal(1082.0, 12.0)
    half_band = scene.log_uniform(8.0, 30.0)
    drawing.noise_burst(
        scene.rng,
        0.0,
        4 * width,
        (centre - half_band, centre + half_band),
        lambda time: np.exp(-0.5 * (time / width) ** 2),
    )
    return Waveform(
        scene.whitened(drawing), {"frequency_hz": centre, "sigma_s": width}, tiles=8.0 * width / 0.3
    )


def ripples_1400(scene: Scene) -> Waveform:
    """A short row of spots near 1400 to 1550 Hz."""
    drawing = scene.drawing()
    centre = scene.normal(1480.0, 45.0)
    spots = int(scene.rng.choice([1, 1, 1, 2, 3, 4]))
    spacing = scene.uniform(0.018, 0.04)
    for index in range(spots):
        drawing.sine_gaussian(
            (index - (spots - 1) / 2) * spacing,
            centre + scene.normal(0.0, 8.0),
            scene.uniform(0.009, 0.022),
            scene.uniform(0.4, 1.0),
            scene.phase(),
        )
    if scene.chance(0.2):
        drawing.sine_gaussian(
            scene.uniform(-1.5, 1.5), centre, 0.01, scene.uniform(0.4, 0.9), scene.phase()
        )
    return Waveform(
        scene.whitened(drawing), {"frequency_hz": centre, "spots": float(spots)}, tiles=float(spots)
    )


def violin_mode(scene: Scene) -> Waveform:
    """Columns of spots at 500 Hz and its multiples, some longer or with a low-frequency spot."""
    drawing = scene.drawing()
    base = scene.uniform(495.0, 512.0)
    columns = [0.0]
    if scene.chance(0.6):
        columns += [scene.normal(0.0, 0.35) for _ in range(scene.count(1, 5))]
    strengths = scene.rng.dirichlet(np.full(4, 2.0)) ** 0.5
    sigma = scene.log_uniform(0.006, 0.025)
    power = 0.0
    for index, time in enumerate(columns):
        strength = 1.0 if index == 0 else scene.log_uniform(0.2, 0.9)
        power += strength**2
        for order in range(1, 5):
            drawing.sine_gaussian(
                time + scene.normal(0.0, 0.003),
                order * base + scene.normal(0.0, 6.0),
                sigma * scene.uniform(0.7, 1.4),
                strength * float(strengths[order - 1]) * scene.uniform(0.6, 1.0),
                scene.phase(),
            )
        if scene.chance(0.15):
            low = scene.log_uniform(30.0, 110.0)
            drawing.sine_gaussian(
                time + scene.normal(0.0, 0.05), low, 1.5 / low, 0.15 * strength, scene.phase()
            )
    return Waveform(
        scene.whitened(drawing),
        {"base_hz": base, "columns": float(len(columns))},
        tiles=2.0 * power,
    )


def wandering_line(scene: Scene) -> Waveform:
    """One to four parallel lines whose frequency wanders, jumps or oscillates."""
    drawing = scene.drawing()
    half = scene.log_uniform(0.15, 2.2)
    base = scene.log_uniform(220.0, 800.0)
    kind = scene.rng.choice(3, p=[0.5, 0.25, 0.25])
    knots = np.linspace(-half, half, scene.count(4, 9))
    walk = np.cumsum(scene.rng.normal(0.0, 0.06, len(knots)))
    period = scene.log_uniform(0.3, 1.2) if kind == 1 else scene.log_uniform(0.06, 0.8)
    start = scene.uniform(0.0, 1.0)

    def pitch(time: TimeArray) -> TimeArray:
        drift = np.interp(time, knots, walk - walk.mean())
        if kind == 1:  # sawtooth
            drift = drift - 0.25 * ((time / period + start) % 1.0)
        elif kind == 2:  # bobbing
            drift = drift + 0.35 * np.abs(np.sin(np.pi * (time / period + start)))
        return np.asarray(base * np.exp(drift))

    orders = scene.count(1, 4)
    weights = {order: scene.log_uniform(0.3, 1.0) / order**0.5 for order in range(1, orders + 1)}
    flicker = scene.rng.uniform(0.4, 1.0, len(knots))
    offset = scene.uniform(-0.4, 0.4) * half
    drawing.track(
        offset,
        half,
        pitch,
        lambda time: np.asarray(np.interp(time, knots, flicker)),
        scene.phase(),
        harmonics=weights,
    )
    return Waveform(
        scene.whitened(drawing),
        {"base_hz": base, "length_s": 2 * half, "harmonics": float(orders), "kind": float(kind)},
        tiles=2 * half / 0.04,
    )


def whistle(scene: Scene) -> Waveform:
    """A passing beat note: a V through zero, a U, or an arch that starts and ends at zero."""
    drawing = scene.drawing()
    kind = scene.rng.choice(3, p=[0.35, 0.35, 0.3])
    top = 2400.0
    if kind == 0:  # V: the beat crosses zero
        lowest = scene.log_uniform(20.0, 150.0)
        half = scene.log_uniform(0.01, 0.2)
    elif kind == 1:  # U: the beat turns back before zero
        lowest = scene.log_uniform(250.0, 1500.0)
        half = scene.log_uniform(0.04, 0.5)
    else:  # arch
        lowest = scene.log_uniform(600.0, 2000.0)
        half = scene.log_uniform(0.04, 0.4)
    power = scene.uniform(1.6, 2.4)
    tilt = scene.normal(0.0, 0.12)

    def pitch(time: TimeArray) -> TimeArray:
        leaning = np.abs(time / half) * (1 + tilt * np.sign(time))
        if kind == 0:
            return np.asarray(np.sqrt(lowest**2 + (top * leaning) ** 2))
        if kind == 1:
            return np.asarray(lowest + (top - lowest) * leaning**power)
        return np.asarray(np.abs(lowest * (1 - leaning**power)))

    def loudness(time: TimeArray) -> TimeArray:
        tone = np.abs(pitch(time))
        return np.asarray((tone / (tone + 50.0)) * np.where(tone < top, 1.0, 0.0))

    repeats = [0.0]
    if kind == 0 and scene.chance(0.5):
        repeats.append(scene.log_uniform(0.15, 1.4) * (1 if scene.chance(0.5) else -1))
    for time in repeats:
        drawing.track(time, 1.5 * half, pitch, loudness, scene.phase())
    return Waveform(
        scene.whitened(drawing),
        {"turn_hz": lowest, "half_width_s": half, "kind": float(kind)},
        tiles=len(repeats) * 2 * half / (0.012 if kind == 0 else 0.02),
    )

"""Recipes of short glitches: blips and their kin, clicks, low-frequency and very loud bursts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glitch.simulate.grid import TimeArray
from glitch.simulate.population import BlipParameters, draw_blip
from glitch.simulate.scene import Scene, Waveform


def _numbers(blip: BlipParameters) -> dict[str, float]:
    return {"f0_hz": blip.f0_hz, "gbw": blip.gbw, "phase": blip.phase}


def _from_population(label: str, scene: Scene) -> Waveform:
    blip = draw_blip(label, scene.ifo, scene.rng)
    return Waveform(scene.blip(blip, 0.0, 1.0), _numbers(blip), blip.snr)


def blip(scene: Scene) -> Waveform:
    return _from_population("Blip", scene)


def tomte(scene: Scene) -> Waveform:
    return _from_population("Tomte", scene)


def blip_low_frequency(scene: Scene) -> Waveform:
    return _from_population("Blip_Low_Frequency", scene)


def koi_fish(scene: Scene) -> Waveform:
    """A loud blip; a body of slower bursts below it; fins of weak, fast ones; often followers."""
    main = draw_blip("Koi_Fish", scene.ifo, scene.rng)
    spectrum = scene.blip(main, 0.0, 1.0)
    body = scene.drawing()
    n_body = scene.count(0, 5)
    for _ in range(n_body):
        frequency = scene.log_uniform(16.0, 70.0)
        body.sine_gaussian(
            scene.normal(0.0, 0.05),
            frequency,
            scene.uniform(0.8, 2.2) / frequency,
            scene.log_uniform(0.3, 1.0),
            scene.phase(),
        )
    spectrum = spectrum + scene.whitened(body, scene.log_uniform(0.05, 0.6))
    fins = scene.drawing()
    reach = scene.log_uniform(0.03, 0.18)
    fins.noise_burst(
        scene.rng,
        0.0,
        5 * reach,
        (scene.log_uniform(45.0, 80.0), scene.log_uniform(110.0, 260.0)),
        lambda time: np.exp(-np.abs(time) / reach),
    )
    spectrum = spectrum + scene.whitened(fins, scene.log_uniform(0.03, 0.25))
    n_followers = scene.count(1, 5) if scene.chance(0.4) else 0
    for _ in range(n_followers):
        other = replace(main, f0_hz=main.f0_hz * scene.log_uniform(0.8, 1.25), phase=scene.phase())
        offset = scene.log_uniform(0.08, 1.5) * (1 if scene.chance(0.7) else -1)
        spectrum = spectrum + scene.blip(other, offset, scene.log_uniform(0.05, 0.8))
    numbers = {**_numbers(main), "fins_s": reach, "followers": float(n_followers)}
    return Waveform(spectrum, numbers, main.snr)


def repeating_blips(scene: Scene) -> Waveform:
    """Two to a dozen blips of one kind, evenly or unevenly spaced, the strongest at time 0."""
    kind = draw_blip("Blip", scene.ifo, scene.rng)
    spacing = scene.log_uniform(0.12, 0.8)
    jitter = 0.03 if scene.chance(0.4) else 0.45
    spectrum = scene.blip(kind, 0.0, 1.0)
    reach = scene.uniform(max(spacing, 0.3), 2.5)
    times = np.arange(-np.floor(reach / spacing), np.floor(reach / spacing) + 1) * spacing
    n_blips = 1
    for time in times[np.abs(times) > 0.5 * spacing]:
        if scene.chance(0.25) and n_blips > 1:
            continue
        other = replace(kind, phase=kind.phase + (np.pi if scene.chance(0.2) else 0.0))
        offset = float(time) + spacing * jitter * scene.uniform(-1, 1)
        spectrum = spectrum + scene.blip(other, offset, scene.log_uniform(0.25, 1.0))
        n_blips += 1
    return Waveform(spectrum, {**_numbers(kind), "spacing_s": spacing, "blips": float(n_blips)})


def light_modulation(scene: Scene) -> Waveform:
    """A spike that reaches high, then (at times also before) blobs at 10 to 50 Hz."""
    spike = BlipParameters(
        scene.log_uniform(60.0, 400.0), scene.log_uniform(0.25, 0.6), scene.phase(), 0.0
    )
    spectrum = scene.blip(spike, 0.0, 1.0)
    for _ in range(scene.count(0, 2) if scene.chance(0.4) else 0):
        spectrum = spectrum + scene.blip(
            spike, scene.normal(0.0, 0.04), scene.log_uniform(0.2, 0.8)
        )
    blobs = scene.drawing()
    length = scene.log_uniform(0.2, 0.9)
    n_blobs = scene.count(2, 9)
    for _ in range(n_blobs):
        frequency = scene.log_uniform(11.0, 45.0)
        blobs.sine_gaussian(
            scene.uniform(-0.15 * length, length),
            frequency,
            scene.uniform(0.6, 1.8) / frequency,
            scene.log_uniform(0.3, 1.0),
            scene.phase(),
        )
    share = scene.log_uniform(0.5, 3.0)
    return Waveform(
        spectrum + scene.whitened(blobs, share),
        {"f0_hz": spike.f0_hz, "gbw": spike.gbw, "blobs": float(n_blobs), "length_s": length},
    )


def helix(scene: Scene) -> Waveform:
    """Spindles at uneven times; each is a pair of pulses whose echo makes knots in frequency."""
    echo = 1.0 / scene.uniform(105.0, 165.0)
    kind = BlipParameters(
        scene.log_uniform(70.0, 130.0), scene.uniform(0.8, 2.0), scene.phase(), 0.0
    )
    spectrum = np.zeros_like(scene.grid.frequencies_hz, dtype=np.complex128)
    rate = scene.log_uniform(2.0, 6.0)  # spindles a second
    times = [0.0]
    for sign in (-1, 1):
        time = 0.0
        while abs(time) < 3.0:
            time += sign * (0.06 + float(scene.rng.exponential(1 / rate)))
            times.append(time)
    for time in times:
        strength = 1.0 if time == 0.0 else scene.log_uniform(0.3, 1.0)
        depth = scene.uniform(0.5, 1.0)
        spectrum = spectrum + scene.blip(kind, time, strength)
        spectrum = spectrum + scene.blip(kind, time + echo, depth * strength)
        if scene.chance(0.5):
            low = replace(kind, f0_hz=0.4 * kind.f0_hz, phase=scene.phase())
            spectrum = spectrum + scene.blip(low, time, 0.4 * strength)
    return Waveform(
        spectrum, {"knot_spacing_hz": 1 / echo, "f0_hz": kind.f0_hz, "bursts": float(len(times))}
    )


def high_frequency_burst(scene: Scene) -> Waveform:
    frequency = scene.log_uniform(900.0, 1700.0)
    drawing = scene.drawing()
    sigma = scene.uniform(0.8, 2.0) / frequency
    drawing.sine_gaussian(0.0, frequency, sigma, 1.0, scene.phase())
    return Waveform(scene.whitened(drawing), {"frequency_hz": frequency, "sigma_s": sigma})


def pizzicato(scene: Scene) -> Waveform:
    """A click that rings on at one pitch, before and after."""
    frequency = scene.uniform(960.0, 1060.0)
    drawing = scene.drawing()
    drawing.sine_gaussian(0.0, frequency, scene.uniform(1.0, 1.8) / frequency, 1.0, scene.phase())
    ring = scene.log_uniform(0.012, 0.03)
    drawing.sine_gaussian(0.0, frequency, ring, scene.uniform(0.15, 0.3), scene.phase())
    return Waveform(scene.whitened(drawing), {"frequency_hz": frequency, "ring_s": ring})


def low_frequency_burst(scene: Scene) -> Waveform:
    """Humps at 10 to 30 Hz, slanting streaks, or a saturated dome."""
    drawing = scene.drawing()
    kind = scene.rng.choice(3, p=[0.5, 0.25, 0.25])
    n_humps = 1
    if kind == 2:  # dome
        width = scene.log_uniform(0.25, 0.9)
        drawing.noise_burst(
            scene.rng,
            0.0,
            4.0,
            (11.0, scene.log_uniform(25.0, 70.0)),
            lambda time: np.exp(-0.5 * (np.abs(time) / width) ** 1.5),
        )
        return Waveform(scene.whitened(drawing), {"dome_s": width}, scene.log_uniform(40.0, 300.0))
    n_humps = scene.count(1, 3) if kind == 1 else scene.count(1, 6)
    for index in range(n_humps):
        frequency = scene.log_uniform(11.0, 17.0) if index == 0 else scene.log_uniform(10.5, 28.0)
        streak = kind == 1
        drawing.sine_gaussian(
            0.0 if index == 0 else scene.normal(0.0, 0.6),
            frequency * (1.2 if streak else 1.0),
            scene.uniform(2.0, 4.0) / frequency if streak else scene.uniform(0.7, 2.2) / frequency,
            1.0 if index == 0 else scene.log_uniform(0.15, 0.8),
            scene.phase(),
            slope_hz_per_s=-scene.uniform(6.0, 25.0) if streak else 0.0,
        )
    return Waveform(scene.whitened(drawing), {"kind": float(kind), "humps": float(n_humps)})


def extremely_loud(scene: Scene) -> Waveform:
    """Either everything from a sudden onset on, or a dome up to a ceiling, saturated."""
    drawing = scene.drawing()
    if scene.chance(0.55):
        start = scene.uniform(-0.05, 0.25)
        decay = scene.log_uniform(0.3, 4.0)
        rise = scene.log_uniform(0.002, 0.03)

        def onset(time: TimeArray) -> TimeArray:
            late = np.maximum(time - start, 0.0)
            return np.asarray((1 - np.exp(-late / rise)) * np.exp(-late / decay))

        drawing.noise_burst(scene.rng, 0.0, 8.0, (12.0, 3000.0), onset)
        return Waveform(
            scene.whitened(drawing),
            {"onset_s": start, "decay_s": decay},
            scene.log_uniform(600.0, 6000.0),
        )
    width = scene.log_uniform(0.25, 1.2)
    ceiling = scene.log_uniform(60.0, 900.0)
    drawing.noise_burst(
        scene.rng,
        0.0,
        4.0 * width,
        (15.0, ceiling),
        lambda time: np.exp(-0.5 * np.abs(time / width) ** 2.5),
    )
    return Waveform(
        scene.whitened(drawing),
        {"ceiling_hz": ceiling, "width_s": width},
        scene.log_uniform(200.0, 3000.0),
    )

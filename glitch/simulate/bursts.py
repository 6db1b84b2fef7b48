"""Recipes of short glitches: blips and similar ones, clicks, low-frequency and very loud bursts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glitch.simulate.grid import TimeArray
from glitch.simulate.population import BlipParameters, draw_blip
from glitch.simulate.scene import Repeat, Scene, Waveform


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
    """A loud blip with a spike above it, a body of slower bursts, weak fins; often followers."""
    main = draw_blip("Koi_Fish", scene.ifo, scene.rng)
    spike = BlipParameters(
        scene.log_uniform(150.0, 600.0), scene.uniform(0.25, 0.6), scene.phase(), 0.0
    )
    spectrum = scene.blip(main, 0.0, 1.0) + scene.blip(spike, 0.0, scene.log_uniform(0.05, 0.45))
    body = scene.drawing()
    for _ in range(scene.count(0, 5)):
        frequency = scene.log_uniform(16.0, 70.0)
        body.sine_gaussian(
            scene.normal(0.0, 0.04),
            frequency,
            scene.uniform(0.8, 2.2) / frequency,
            scene.log_uniform(0.3, 1.0),
            scene.phase(),
        )
    spectrum = spectrum + scene.whitened(body, scene.log_uniform(0.05, 0.5))
    fins = scene.drawing()
    reach = scene.log_uniform(0.03, 0.12)
    fins.noise_burst(
        scene.rng,
        0.0,
        5 * reach,
        (scene.log_uniform(45.0, 70.0), scene.log_uniform(90.0, 160.0)),
        lambda time: np.exp(-np.abs(time) / reach),
    )
    spectrum = spectrum + scene.whitened(fins, scene.log_uniform(0.015, 0.12))
    followers = []
    for _ in range(scene.count(1, 4) if scene.chance(0.4) else 0):
        side = 1 if scene.chance(0.7) else -1
        offset = side * scene.log_uniform(0.1, 1.5)
        followers.append(Repeat(offset, scene.log_uniform(0.03, 0.5), scene.phase()))
    if followers:
        related = replace(main, f0_hz=main.f0_hz * scene.log_uniform(0.8, 1.25))
        spectrum = spectrum + scene.blips(related, followers)
    numbers = {**_numbers(main), "fins_s": reach, "followers": float(len(followers))}
    return Waveform(spectrum, numbers, main.snr)


def repeating_blips(scene: Scene) -> Waveform:
    """Two to a dozen equal blips, evenly or unevenly spaced, the strongest at time 0."""
    kind = draw_blip("Blip", scene.ifo, scene.rng)
    spacing = scene.log_uniform(0.12, 0.8)
    jitter = 0.03 if scene.chance(0.4) else 0.45
    repeats = [Repeat(0.0, 1.0)]
    reach = scene.uniform(max(spacing, 0.3), 2.5)
    times = np.arange(-np.floor(reach / spacing), np.floor(reach / spacing) + 1) * spacing
    for time in times[np.abs(times) > 0.5 * spacing]:
        if scene.chance(0.25) and len(repeats) > 1:
            continue
        offset = float(time) + spacing * jitter * scene.uniform(-1.0, 1.0)
        turn = np.pi if scene.chance(0.2) else 0.0
        repeats.append(Repeat(offset, scene.log_uniform(0.25, 1.0), turn))
    numbers = {**_numbers(kind), "spacing_s": spacing, "blips": float(len(repeats))}
    power = sum(repeat.snr**2 for repeat in repeats)
    return Waveform(scene.blips(kind, repeats), numbers, tiles=power)


def light_modulation(scene: Scene) -> Waveform:
    """A spike up to high frequency, then (sometimes also before) blobs at 10 to 50 Hz."""
    spike = BlipParameters(
        scene.log_uniform(120.0, 500.0), scene.log_uniform(0.3, 1.0), scene.phase(), 0.0
    )
    spikes = [Repeat(0.0, 1.0)]
    for _ in range(scene.count(1, 3) if scene.chance(0.4) else 0):
        spikes.append(Repeat(scene.normal(0.0, 0.02), scene.log_uniform(0.3, 1.0)))
    spectrum = scene.blips(spike, spikes)
    blobs = scene.drawing()
    length = scene.log_uniform(0.2, 0.8)
    n_blobs = scene.count(2, 16)
    for _ in range(n_blobs):
        frequency = scene.log_uniform(11.0, 60.0)
        time = scene.uniform(-0.15, 1.0)
        blobs.sine_gaussian(
            time * length,
            frequency,
            scene.uniform(0.4, 0.9) / frequency,
            scene.log_uniform(0.3, 1.0) * (15.0 / frequency) ** 0.5 * (1.2 - abs(time)),
            scene.phase(),
        )
    share = scene.log_uniform(0.12, 1.0)
    numbers = {"f0_hz": spike.f0_hz, "gbw": spike.gbw, "blobs": float(n_blobs), "length_s": length}
    return Waveform(spectrum + scene.whitened(blobs, share), numbers, tiles=1 + share**2)


def helix(scene: Scene) -> Waveform:
    """Spindles at uneven times: two strands that cross at bright knots, an octave apart."""
    knot = scene.uniform(120.0, 145.0)
    strands = BlipParameters(
        scene.log_uniform(40.0, 90.0), scene.uniform(0.35, 0.8), scene.phase(), 0.0
    )
    apart = scene.log_uniform(0.014, 0.032)
    knots_share = scene.uniform(0.3, 1.2)
    rate = scene.log_uniform(2.0, 5.0)  # spindles per second, after a minimum pause
    times = [0.0]
    for sign in (-1, 1):
        time = 0.0
        while abs(time) < 2.6:
            time += sign * (0.07 + float(scene.rng.exponential(1 / rate)))
            times.append(time)
    pulses: list[Repeat] = []
    knots = scene.drawing()
    power = 0.0
    for time in times:
        strength = 1.0 if time == 0.0 else scene.log_uniform(0.35, 1.0)
        power += strength**2
        pulses.append(Repeat(time - apart / 2, strength))
        pulses.append(Repeat(time + apart / 2, strength, scene.uniform(0.6, 1.4) * np.pi))
        for order, weight in ((0.5, 0.35), (1.0, 1.0), (2.0, 0.7)):
            knots.sine_gaussian(
                time + scene.normal(0.0, 0.003),
                order * knot,
                scene.uniform(0.8, 1.4) / (order * knot),
                strength * weight * scene.uniform(0.5, 1.0) * order**0.5,
                scene.phase(),
            )
    bands = scene.blips(strands, pulses) / np.sqrt(2 * power)
    return Waveform(
        bands + scene.whitened(knots, knots_share),
        {"knot_hz": knot, "strands_apart_s": apart, "bursts": float(len(times))},
        tiles=(1 + knots_share**2) * power,
    )


def high_frequency_burst(scene: Scene) -> Waveform:
    frequency = scene.log_uniform(900.0, 1600.0)
    drawing = scene.drawing()
    sigma = scene.uniform(0.8, 2.5) / frequency
    drawing.sine_gaussian(0.0, frequency, sigma, 1.0, scene.phase())
    return Waveform(scene.whitened(drawing), {"frequency_hz": frequency, "sigma_s": sigma})


def pizzicato(scene: Scene) -> Waveform:
    """A click with a ring at one frequency, before and after."""
    frequency = scene.uniform(960.0, 1060.0)
    drawing = scene.drawing()
    drawing.sine_gaussian(0.0, frequency, scene.uniform(0.4, 0.9) / frequency, 1.0, scene.phase())
    ring = scene.log_uniform(0.012, 0.03)
    drawing.sine_gaussian(0.0, frequency, ring, scene.uniform(0.3, 0.6), scene.phase())
    return Waveform(scene.whitened(drawing), {"frequency_hz": frequency, "ring_s": ring})


def low_frequency_burst(scene: Scene) -> Waveform:
    """Humps at 10 to 30 Hz, slanting streaks, or a saturated dome."""
    drawing = scene.drawing()
    kind = int(scene.rng.choice(3, p=[0.5, 0.25, 0.25]))
    if kind == 2:
        width = scene.log_uniform(0.25, 0.9)
        ceiling = scene.log_uniform(30.0, 90.0)
        pulses = int(60 * width) + 12
        for _ in range(pulses):
            frequency = scene.log_uniform(11.0, ceiling)
            # pulses of higher frequency are nearer the middle, which rounds the dome
            time = scene.normal(0.0, width * (11.0 / frequency) ** 0.35)
            drawing.sine_gaussian(
                time,
                frequency,
                scene.uniform(0.35, 0.8) / frequency,
                scene.log_uniform(0.3, 1.0) * (11.0 / frequency) ** 0.8,
                scene.phase(),
            )
        return Waveform(
            scene.whitened(drawing),
            {"kind": 2.0, "dome_s": width, "ceiling_hz": ceiling},
            scene.log_uniform(60.0, 400.0),
        )
    n_humps = scene.count(1, 4) if kind == 1 else scene.count(2, 9)
    power = 0.0
    for index in range(n_humps):
        frequency = scene.log_uniform(11.0, 16.0) if index == 0 else scene.log_uniform(10.5, 30.0)
        strength = 1.0 if index == 0 else scene.log_uniform(0.15, 0.8)
        streak = kind == 1
        length = scene.uniform(2.0, 4.0) if streak else scene.uniform(0.5, 1.4)
        drawing.sine_gaussian(
            0.0 if index == 0 else scene.normal(0.0, 0.8),
            frequency * (1.2 if streak else 1.0),
            length / frequency,
            strength,
            scene.phase(),
            slope_hz_per_s=-scene.uniform(6.0, 25.0) if streak else 0.0,
        )
        power += strength**2
    numbers = {"kind": float(kind), "humps": float(n_humps)}
    return Waveform(scene.whitened(drawing), numbers, tiles=power)


def extremely_loud(scene: Scene) -> Waveform:
    """Either saturated from a sudden onset on, or a saturated dome under a ceiling."""
    drawing = scene.drawing()
    if scene.chance(0.55):
        start = scene.uniform(-0.1, 0.25)
        decay = scene.log_uniform(0.7, 6.0)
        rise = scene.log_uniform(0.002, 0.03)

        def onset(time: TimeArray) -> TimeArray:
            late = np.maximum(time - start, 0.0)
            return np.asarray((1 - np.exp(-late / rise)) * np.exp(-late / decay))

        drawing.noise_burst(scene.rng, 0.0, 8.0, (9.0, 3000.0), onset, steepness=0.7)
        # the step itself, much louder than the rest, makes the scan choose wide, short tiles
        step = BlipParameters(
            scene.log_uniform(40.0, 400.0), scene.uniform(0.25, 0.5), scene.phase(), 0.0
        )
        jump = scene.log_uniform(0.3, 1.5)
        spectrum = scene.whitened(drawing) + scene.blip(step, start, jump)
        numbers = {"onset_s": start, "decay_s": decay, "jump": jump}
        return Waveform(spectrum, numbers, scene.log_uniform(150.0, 900.0))
    width = scene.log_uniform(0.25, 1.2)
    ceiling = scene.log_uniform(100.0, 2000.0)
    steepness = scene.uniform(1.0, 5.0)
    drawing.noise_burst(
        scene.rng,
        0.0,
        min(5.0 * width, 6.0),
        (15.0, ceiling),
        lambda time: np.exp(-0.5 * (time / width) ** 2),
        steepness=steepness,
    )
    numbers = {"ceiling_hz": ceiling, "width_s": width, "steepness": steepness}
    return Waveform(scene.whitened(drawing), numbers, scene.log_uniform(200.0, 3000.0))

"""Recipes of glitches whose frequency follows a motion: scattered light, doves, scratches, chirps.

Light scattered once off a surface that moves by x(t) returns with phase 4 pi x(t) / lambda, so it
beats with the main beam at the fringe frequency |2 v(t) / lambda|; after n round trips it gives the
n-th harmonic (Accadia et al. 2010; Soni et al. 2021). The waveform is strain, so only the parts
above the noise floor are visible: hence arches without feet.
"""

from __future__ import annotations

import numpy as np

from glitch.simulate.grid import TimeArray
from glitch.simulate.scene import Scene, Waveform

LASER_WAVELENGTH_M = 1.064e-6
SOLAR_MASS_S = 4.925491e-6  # G M_sun / c^3, seconds


def scattered_light(scene: Scene) -> Waveform:
    """Arches of the microseism, 0.1 to 0.35 Hz, with up to five harmonics."""
    drawing = scene.drawing()
    microseism = scene.log_uniform(0.09, 0.24)  # Hz; one arch lasts half a period
    highest = scene.log_uniform(10.5, 27.0)  # Hz, top of the first harmonic
    amplitude_m = highest * LASER_WAVELENGTH_M / (4 * np.pi * microseism)
    second = scene.uniform(0.0, 0.12)
    turn = scene.phase()

    def fringe(time: TimeArray) -> TimeArray:
        slow = np.cos(2 * np.pi * microseism * time)
        other = second * np.sin(2 * np.pi * 1.7 * microseism * time + turn)
        return np.asarray(highest * (slow + other))

    orders = scene.count(1, 6)
    fall = scene.uniform(1.5, 4.5)
    weights = {order: order**-fall * scene.log_uniform(0.5, 2.0) for order in range(1, orders + 1)}
    # the arches next to the middle one are from weaker swings of the same ground motion
    quarter = 0.25 / microseism
    sides = scene.rng.uniform(0.0, 0.5, 2) ** 2

    def swing(time: TimeArray) -> TimeArray:
        inside = 0.5 - 0.5 * np.tanh((np.abs(time) - quarter) / (0.12 * quarter))
        return np.asarray(inside + (1 - inside) * np.where(time < 0, sides[0], sides[1]))

    drawing.track(scene.normal(0.0, 0.1), 5.0, fringe, swing, scene.phase(), harmonics=weights)
    return Waveform(
        scene.whitened_strain(drawing),
        {
            "top_hz": highest,
            "microseism_hz": microseism,
            "amplitude_m": amplitude_m,
            "harmonics": float(orders),
        },
        tiles=12.0,
    )


def fast_scattering(scene: Scene) -> Waveform:
    """Short arches: ground motion of 1 to 6 Hz modulated by the microseism, which groups them."""
    drawing = scene.drawing()
    fast = scene.uniform(1.7, 2.4)  # Hz of the surface; its speed has two maxima per cycle
    slow = scene.uniform(0.22, 0.28)
    highest = scene.log_uniform(21.0, 36.0)
    slow_share = scene.uniform(0.0, 0.25)
    spread = scene.uniform(0.0, 0.5)
    n_arches = int(np.ceil(2 * 5.0 * 2 * fast)) + 2
    strengths = np.where(
        scene.rng.uniform(size=n_arches) < scene.uniform(0.15, 0.7),
        np.exp(scene.rng.normal(-0.5, 0.5, n_arches)),
        0.12,
    )
    middle = n_arches // 2
    strengths[middle] = max(1.0, float(strengths.max()))
    heights = np.exp(scene.rng.normal(0.0, 0.25 * spread, n_arches))
    heights[middle] = 1.0

    def arch(time: TimeArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.clip(np.floor(time * 2 * fast + 0.5).astype(np.int64) + middle, 0, n_arches - 1)

    def fringe(time: TimeArray) -> TimeArray:
        swing = np.abs(np.cos(2 * np.pi * fast * time))
        ride = slow_share * np.abs(np.cos(2 * np.pi * slow * time))
        return np.asarray(highest * heights[arch(time)] * (swing * (1 - slow_share) + ride))

    def loudness(time: TimeArray) -> TimeArray:
        ride = 0.35 + 0.65 * np.abs(np.cos(2 * np.pi * slow * time)) ** 2
        soft = np.abs(np.cos(2 * np.pi * fast * time)) ** 0.5
        return np.asarray(strengths[arch(time)] * ride * soft)

    drawing.track(
        0.0,
        5.0,
        fringe,
        loudness,
        scene.phase(),
        harmonics={1: 1.0, 2: scene.log_uniform(0.01, 0.12)},
    )
    return Waveform(
        scene.whitened_strain(drawing),
        {"top_hz": highest, "arches_per_s": 2 * fast, "slow_share": slow_share},
        tiles=float(strengths.sum()) / 2,
    )


def paired_doves(scene: Scene) -> Waveform:
    """Alternately rising and falling chirps, a second apart, each with a weaker mirror image."""
    drawing = scene.drawing()
    period = scene.uniform(0.8, 1.3)
    low = scene.uniform(18.0, 28.0)
    high = scene.log_uniform(75.0, 160.0)
    half = scene.log_uniform(0.04, 0.11)
    steep = scene.uniform(1.0, 3.0)  # slow at the low end, fast at the high
    mirrored = scene.uniform(0.0, 0.7)
    rising = 1 if scene.chance(0.5) else -1

    def dove(centre: float, direction: int, strength: float) -> None:
        def climb(time: TimeArray) -> TimeArray:
            share = np.clip(0.5 + 0.5 * direction * time / half, 0, 1)
            return np.asarray(low * (high / low) ** share**steep)

        def loudness(time: TimeArray) -> TimeArray:
            bell = np.exp(-0.5 * (time / (0.7 * half)) ** 2)
            return np.asarray(strength * bell * (climb(time) / high) ** 0.5)

        drawing.track(centre, 1.3 * half, climb, loudness, scene.phase())

    for index in range(-3, 4):
        direction = rising * (1 if index % 2 == 0 else -1)
        centre = index * period + scene.normal(0.0, 0.02)
        strength = 1.0 if index == 0 else scene.log_uniform(0.5, 1.0)
        dove(centre, direction, strength)
        dove(centre + scene.normal(0.0, 0.02), -direction, strength * mirrored)
    numbers = {"period_s": period, "low_hz": low, "high_hz": high}
    return Waveform(scene.whitened(drawing), numbers, tiles=6.0)


def scratchy(scene: Scene) -> Waveform:
    """A wavering row of short pulses."""
    drawing = scene.drawing()
    centre = scene.log_uniform(90.0, 240.0)
    spacing = scene.log_uniform(0.032, 0.07)
    reach = scene.log_uniform(0.25, 4.0)
    wave = scene.log_uniform(0.2, 0.7)
    depth = scene.uniform(0.0, 0.25)
    turn = scene.phase()
    pulses = int(min(3.0 * reach, 4.0) / spacing)
    for index in range(-pulses, pulses + 1):
        time = index * spacing + scene.normal(0.0, 0.15 * spacing)
        frequency = centre * np.exp(
            depth * np.cos(2 * np.pi * time / wave + turn) + scene.normal(0.0, 0.12)
        )
        strength = np.exp(-0.5 * (time / reach) ** 2) * scene.log_uniform(0.45, 1.0)
        drawing.sine_gaussian(
            time,
            float(frequency),
            scene.uniform(0.35, 0.8) / centre,
            float(strength),
            scene.phase(),
        )
    return Waveform(
        scene.whitened(drawing),
        {"frequency_hz": centre, "spacing_s": spacing, "reach_s": reach},
        tiles=0.7 * min(reach, 2.0) / spacing,
    )


def chirp(scene: Scene) -> Waveform:
    """The inspiral of two compact objects to leading order, with a short ringdown."""
    drawing = scene.drawing()
    chirp_mass = scene.log_uniform(13.0, 32.0)  # detector frame, solar masses
    mass_s = chirp_mass * SOLAR_MASS_S
    total_s = mass_s / 0.25**0.6  # equal masses
    merger_hz = min(0.07 / total_s, 0.9 * scene.grid.highest_hz)
    # Newtonian f(tau) = (5 / (256 tau))^(3/8) M^(-5/8) / pi, shifted to reach the merger at time 0
    scale = (5.0 / 256.0) ** 0.375 * (mass_s) ** -0.625 / np.pi
    tau_merger = (scale / merger_hz) ** (8.0 / 3.0)
    ringdown = 0.004 * (chirp_mass / 26.0)

    def pitch(time: TimeArray) -> TimeArray:
        tau = np.maximum(-time, 0.0) + tau_merger
        return np.asarray(scale * tau**-0.375)

    def loudness(time: TimeArray) -> TimeArray:
        tail = np.exp(-np.maximum(time, 0.0) / ringdown)
        return np.asarray((pitch(time) / merger_hz) ** (2.0 / 3.0) * tail)

    drawing.track(scene.uniform(0.0, 0.02), 4.0, pitch, loudness, scene.phase())
    return Waveform(
        scene.whitened_strain(drawing), {"chirp_mass_msun": chirp_mass, "merger_hz": merger_hz}
    )


def no_glitch(scene: Scene) -> Waveform:
    return Waveform(np.zeros(len(scene.grid.frequencies_hz), dtype=np.complex128), {}, 0.0)

"""What is measured of a glitch, as its pages list it."""

from __future__ import annotations

from decimal import Decimal

from app.frame.words import frequency, seconds, snr
from app.glitches.facts import GlitchFacts


def measures(known: GlitchFacts) -> tuple[tuple[str, str | None], ...]:
    """Each measure with its unit; ``None`` where it is not known."""
    return (
        ("SNR", snr(known.snr)),
        ("Peak frequency", frequency(known.peak_frequency)),
        ("Duration", seconds(known.duration)),
        ("Bandwidth", frequency(known.bandwidth)),
        ("Q", None if known.q is None else f"{known.q:.1f}"),
        ("Loudest at", _gps(known.peak_gps_time)),
    )


def _gps(time: Decimal | None) -> str | None:
    """To the tenth of a millisecond: a tile's time is known no better."""
    return None if time is None else f"GPS {time:.4f}"

"""What is known of a glitch besides its views: one shape, wherever it travels."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from glitch.strain import StrainViews

NUMBERS = ("snr", "peak_frequency", "duration", "bandwidth", "q")  # what may be measured of it


@dataclass(frozen=True, kw_only=True)
class GlitchFacts:
    """Where and when a glitch occurred, and its measures. ``None`` means not known."""

    gravityspy_id: str | None = None
    ifo: str | None = None
    channel: str | None = None
    gps_time: Decimal | None = None  # s
    snr: float | None = None
    peak_frequency: float | None = None  # Hz
    duration: float | None = None  # s
    bandwidth: float | None = None  # Hz
    q: float | None = None

    def facts(self) -> dict[str, Any]:
        """These alone, by name, of whatever carries them."""
        return facts_of(self)


FACTS = tuple(GlitchFacts.__dataclass_fields__)


def facts_of(source: object) -> dict[str, Any]:
    """The facts that a record, a row or an upload carries as attributes of these names."""
    return {name: getattr(source, name) for name in FACTS}


def measured(made: StrainViews) -> dict[str, Any]:
    """What the loudest tile of a glitch's strain says of it."""
    return {
        "snr": made.snr,
        "peak_frequency": made.peak_frequency_hz,
        "duration": made.duration_s,
        "bandwidth": made.bandwidth_hz,
        "q": made.q,
    }

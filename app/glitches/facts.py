"""The measured properties of a glitch, in one record for all uses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from glitch.gps import plain_seconds
from glitch.strain import StrainViews

NUMBERS = ("snr", "peak_frequency", "duration", "bandwidth", "q")  # the measured numbers

WORTH_A_WORD = Decimal("0.010")  # s; a larger offset of the loudest tile is reported
_STEP = Decimal("0.0005")  # s; times closer than this are described as equal


@dataclass(frozen=True, kw_only=True)
class GlitchFacts:
    """Detector, times and measured properties of a glitch. ``None`` means unknown."""

    gravityspy_id: str | None = None
    ifo: str | None = None
    channel: str | None = None
    gps_time: Decimal | None = None  # s
    snr: float | None = None
    peak_frequency: float | None = None  # Hz
    duration: float | None = None  # s
    bandwidth: float | None = None  # Hz
    q: float | None = None
    peak_gps_time: Decimal | None = None  # s, of the loudest tile
    centre_gps_time: Decimal | None = None  # s, at the middle of the views; only for strain

    @property
    def centring(self) -> str | None:
        """Sentence on the centre of the views, if the loudest tile is not at the given time."""
        given, peak, centre = self.gps_time, self.peak_gps_time, self.centre_gps_time
        if given is None or peak is None or centre is None or abs(peak - given) <= WORTH_A_WORD:
            return None
        if centre == given:
            return f"Loudest {_apart(peak, given)}; centred on the given time."
        if abs(centre - peak) < _STEP:
            return f"Loudest {_apart(peak, given)}; centred there."
        return (
            f"Loudest {_apart(peak, given)}, too near the end of the data; "
            f"centred {_apart(centre, given)}."
        )

    def plain(self) -> dict[str, Any]:
        """These properties for JSON and file attributes: times as exact decimal seconds."""
        return {
            name: plain_seconds(value) if isinstance(value, Decimal) else value
            for name, value in facts_of(self).items()
        }


def _apart(time: Decimal, given: Decimal) -> str:
    return f"{abs(time - given) * 1000:.0f} ms {'later' if time > given else 'earlier'}"


FACTS = tuple(GlitchFacts.__dataclass_fields__)


def facts_of(source: object) -> dict[str, Any]:
    """Read these properties from the attributes of a record, row or upload."""
    return {name: getattr(source, name) for name in FACTS}


def measured(made: StrainViews) -> dict[str, Any]:
    """The properties measured from the loudest tile of a glitch's strain."""
    return {
        "snr": made.snr,
        "peak_frequency": made.peak_frequency_hz,
        "duration": made.duration_s,
        "bandwidth": made.bandwidth_hz,
        "q": made.q,
        "peak_gps_time": made.peak_gps_time,
        "centre_gps_time": made.centre_gps_time,
    }

"""What a table says of one glitch, whatever it calls its columns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from app.core.errors import InvalidRequestError
from app.glitches.upload import LATEST_GPS_TIME
from glitch.detectors import DETECTORS

# Our name: what Gravity Spy's releases, Omicron, LIGO_LW and people call it, in lower case.
COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name"),
    "gps_time": ("gps_time", "event_time", "gpstime", "peak_time_gps", "time", "gps", "peak_time"),
    "gps_ns": ("peak_time_ns",),
    "ifo": ("ifo", "detector", "interferometer"),
    "channel": ("channel",),
    "gravityspy_id": ("gravityspy_id", "id", "uniqueid"),
    "label": ("label", "ml_label", "class"),
    "snr": ("snr",),
    "peak_frequency": ("peak_frequency", "peakfreq", "frequency", "peak_freq"),
    "duration": ("duration",),
    "bandwidth": ("bandwidth",),
    "q": ("q", "q_value", "qvalue"),
    "window_s": ("duration_s", "window_s", "view_duration_s"),
}
_STEP = Decimal("1e-9")
_NO_VALUE = frozenset({"", "none", "null", "nan", "--", "n/a"})
_GRAVITYSPY_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_NUMBERS = ("snr", "peak_frequency", "duration", "bandwidth", "q", "window_s")


@dataclass(frozen=True)
class Facts:
    """What is said of a glitch; ``None`` where nothing is. Times in s, frequencies in Hz."""

    gps_time: str | None = None  # a decimal string
    ifo: str | None = None
    channel: str | None = None
    gravityspy_id: str | None = None
    label: str | None = None
    snr: float | None = None
    peak_frequency: float | None = None
    duration: float | None = None
    bandwidth: float | None = None
    q: float | None = None
    window_s: float | None = None
    path: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What is said, without what is not."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Facts:
        """The facts of ``as_json``."""
        return cls(**values)

    def over(self, other: Facts) -> Facts:
        """These, and the other's where these say nothing."""
        return Facts(**(other.as_json() | self.as_json()))


def read_columns(header: list[str]) -> dict[str, int]:
    """Where our columns stand in a table with this header; the first spelling present counts."""
    places = {name.strip().lstrip("\ufeff").lower(): at for at, name in enumerate(header)}
    return {
        ours: places[theirs[0]]
        for ours, spellings in COLUMNS.items()
        if (theirs := [spelling for spelling in spellings if spelling in places])
    }


def facts_of(values: Mapping[str, Any]) -> Facts:
    """The facts of a row given by our column names, each checked.

    Raises:
        InvalidRequestError: naming the column whose value cannot be.
    """
    said = {name: _plain(value) for name, value in values.items()}
    texts = {name: value for name, value in said.items() if value is not None}
    numbers: dict[str, Any] = {
        name: _number(name, texts[name]) for name in _NUMBERS if name in texts
    }
    ifo = texts.get("ifo")
    if ifo is not None and ifo not in DETECTORS:
        raise InvalidRequestError(f"There is no detector {ifo[:20]!r}: give {_LISTED}.")
    gravityspy_id = texts.get("gravityspy_id")
    if gravityspy_id is not None and not _GRAVITYSPY_ID.fullmatch(gravityspy_id):
        gravityspy_id = None  # an index column of some tables is called "id"
    said_alone: dict[str, Any] = {
        name: texts[name] for name in ("channel", "label", "path") if name in texts
    }
    return Facts(
        gps_time=_gps_time(texts.get("gps_time"), texts.get("gps_ns")),
        ifo=ifo,
        gravityspy_id=gravityspy_id,
        **said_alone,
        **numbers,
    )


_LISTED = ", ".join(DETECTORS)


def _plain(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = repr(value) if isinstance(value, float) else str(value)
    text = text.replace("\0", "").strip()
    return None if text.lower() in _NO_VALUE else text[:1000]


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidRequestError(f"{name} {text[:40]!r} is no number: correct that row.")
    return value


def _gps_time(text: str | None, nanoseconds: str | None) -> str | None:
    if text is None:
        return None
    try:
        seconds = Decimal(text)
        if nanoseconds is not None and seconds == seconds.to_integral_value():
            seconds += Decimal(nanoseconds) * _STEP
    except InvalidOperation:
        seconds = Decimal(0)
    if not seconds.is_finite() or not 0 < seconds <= LATEST_GPS_TIME:
        raise InvalidRequestError(
            f"gps_time {text[:40]!r} is no GPS time: give seconds since 6 January 1980."
        )
    return format(seconds.quantize(_STEP).normalize(), "f")

"""Read the metadata in a spectrogram's file name. It is untrusted and has a strict grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from glitch.detectors import DETECTORS
from glitch.views import VIEW_DURATIONS_S

_MAX_NAME_LENGTH = 255
_LENGTH = r"(?P<duration>[0-9]{1,2}(?:\.[0-9]{1,3})?)"
# endings that browsers and operating systems give to copies
_SUFFIX = r"(?: ?\([0-9]{1,2}\)| copy| - copy)?\.(?:png|jpg|jpeg)"

# Gravity Spy: L1_HlF0RJURZ9_spectrogram_0.5.png. Other data sets put the GPS time in place of the
# id, a prefix (the source, the label) before the detector, or write `__0.5` for the window.
_WINDOW = re.compile(rf"(?:_spectrogram_|__){_LENGTH}{_SUFFIX}\Z", re.ASCII | re.IGNORECASE)
_EVENT = re.compile(
    rf"(?:\A|[_-])(?P<ifo>(?i:{'|'.join(DETECTORS)}))_"
    r"(?:(?P<gps>[0-9]{9,10}(?:\.[0-9]{1,9})?)|(?P<id>[A-Za-z0-9]{10}))\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class SpectrogramName:
    """Metadata from a file name; None where the name does not state it."""

    ifo: str | None = None
    gravityspy_id: str | None = None
    gps_time: Decimal | None = None
    duration_s: float | None = None


def parse_file_name(name: str) -> SpectrogramName:
    """Read detector, Gravity Spy id or GPS time, and window length from a file name.

    Folders before the name (either slash) are ignored. Never raises: a name outside the grammar
    yields no metadata. The window must be one of Gravity Spy's four, and detector and id are read
    only from a name that also states its window.
    """
    base = re.split(r"[/\\]", name[-4 * _MAX_NAME_LENGTH :])[-1]
    window = _WINDOW.search(base) if len(base) <= _MAX_NAME_LENGTH else None
    if window is None:
        return SpectrogramName()
    length = float(window["duration"])
    duration_s = length if length in VIEW_DURATIONS_S else None
    event = _EVENT.search(base[: window.start()])
    if event is None:
        return SpectrogramName(duration_s=duration_s)
    gps_time = Decimal(event["gps"]) if event["gps"] else None
    return SpectrogramName(event["ifo"].upper(), event["id"], gps_time, duration_s)

"""Names of strain files according to LIGO-T050017: ``H-H1_GWOSC_4KHZ_R1-1126259447-32.hdf5``."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(
    r"([A-Z][A-Z0-9]*)-([A-Za-z0-9_+#.]+)-(\d{9,10}(?:\.\d+)?)-(\d{1,6}(?:\.\d+)?)\.(.*)",
    re.ASCII | re.DOTALL,
)


class FrameName(NamedTuple):
    """The parts of a name, as written."""

    site: str
    description: str
    start: str  # GPS, s
    length: str  # s
    suffix: str  # after the first dot


def parse_frame_name(name: str) -> FrameName | None:
    """Return the parts of a file name without folders; None for any other form of name."""
    match = _NAME.fullmatch(name)
    return None if match is None else FrameName(*match.groups())

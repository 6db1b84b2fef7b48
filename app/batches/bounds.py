"""How large an untrusted batch may be, and what is said where it is larger."""

from __future__ import annotations

from dataclasses import dataclass

MOST_MEMBERS = 4_000_000  # of a tar: Gravity Spy's whole catalogue has 2.5 million pictures
MOST_ZIP_MEMBERS = 300_000  # a zip's table of contents is held in memory while it is read
MOST_ZIP_CONTENTS_BYTES = 100_000_000
MOST_MEMBER_BYTES = 1_000_000_000  # strain of 4096 s at 16 kHz has half of that
MOST_RATIO = 200  # pictures and strain compress 1 to 10 times
RATIO_FROM_BYTES = 10_000_000  # below, a high ratio does no harm
MOST_PICTURES = 16  # of one glitch, repeated ones included
MOST_FILES = 20_000  # strain files and tables in one archive
LONGEST_NAME = 1000


@dataclass(frozen=True)
class Bounds:
    """What one batch may unpack to, in bytes."""

    unpacked: int

    @property
    def shown(self) -> str:
        """The bound as messages show it."""
        return f"{self.unpacked / 1e9:g} GB"

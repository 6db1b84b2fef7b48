"""Time-ordered identifiers (UUID version 7, RFC 9562): new rows land at the end of an index."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from uuid import UUID


def uuid7() -> UUID:
    """A new identifier: 48 bits of Unix milliseconds, 12 of the fraction, 62 random."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000  # RFC 9562 section 6.2, method 3
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def least_of(when: datetime) -> UUID:
    """Every identifier made at that time or later is at least this."""
    return UUID(int=int(when.timestamp() * 1000) << 80)

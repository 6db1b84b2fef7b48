"""Reading a time that a person typed: GPS seconds, or UTC."""

from __future__ import annotations

import re
from decimal import Decimal

from glitch.gps import LATEST_GPS_TIME, is_utc_date, is_utc_text, parse_utc, why_ambiguous

MAX_CHARACTERS = 40

_NUMBER = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)


class TimeError(ValueError):
    """The text is neither a GPS time nor a UTC time; the message says what would do."""


def is_date(text: str) -> bool:
    """Whether a person gave a whole UTC day rather than a moment."""
    return is_utc_date(text)


def parse_time(text: str) -> Decimal:
    """GPS time of ``1266281982.66``, ``2020-02-22 00:59:24.66`` or ``2020-02-22``.

    Raises:
        TimeError: if the text is neither, or lies before 1980 or after 2106.
    """
    text = text.strip()
    shown = text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
    gps_time: Decimal | None = None
    if _NUMBER.fullmatch(text):
        gps_time = Decimal(text)
    elif is_utc_text(text):
        gps_time = parse_utc(text)
        if gps_time is None:
            raise TimeError(
                f"“{shown}” is no date and time of the calendar from 6 January 1980 on, where GPS "
                "time begins."
            )
    else:
        raise TimeError(
            why_ambiguous(text)
            or f"“{shown}” is no time: give GPS seconds such as 1266281982.66, or UTC such as "
            "2020-02-22 00:59:24."
        )
    if not 0 <= gps_time <= LATEST_GPS_TIME:
        raise TimeError(f"“{shown}” lies outside the GPS era (from 6 January 1980 on).")
    return gps_time

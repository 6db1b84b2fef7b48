"""GPS time and UTC: conversion, and reading either from what a person typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

GPS_EPOCH = datetime(1980, 1, 6, tzinfo=UTC)

# First UTC day with one more leap second than the day before (IERS Bulletin C). None has been
# announced since 2017; add a line here when one is.
LEAP_SECOND_DAYS = tuple(
    datetime(year, month, 1, tzinfo=UTC)
    for year, month in (
        *((1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7)),
        *((1993, 7), (1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7)),
        *((2015, 7), (2017, 1)),
    )
)
LATEST_GPS_TIME = Decimal(4_000_000_000)  # the year 2106: beyond it a number is a slip of the hand
MAX_CHARACTERS = 40

_NUMBER = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)
_UTC = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2})"
    r"([T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2})(?P<fraction>\.\d{1,9})?)?)?"
    r"\s*(Z|UTC)?",
    re.IGNORECASE | re.ASCII,
)


class TimeError(ValueError):
    """The text is neither a GPS time nor a UTC time; the message says what would do."""


def gps_to_utc(gps_time: Decimal) -> datetime:
    """UTC of a GPS time in seconds, to the microsecond."""
    whole = int(gps_time)
    microseconds = int((gps_time - whole) * 1_000_000)
    leap_seconds = sum(1 for day in _LEAP_GPS if whole >= day)
    return GPS_EPOCH + timedelta(seconds=whole - leap_seconds, microseconds=microseconds)


def utc_to_gps(moment: datetime) -> Decimal:
    """GPS time in seconds of a UTC moment."""
    leap_seconds = sum(1 for day in LEAP_SECOND_DAYS if moment >= day)
    elapsed = moment - GPS_EPOCH
    whole = elapsed.days * 86400 + elapsed.seconds + leap_seconds
    return Decimal(whole) + Decimal(elapsed.microseconds) / 1_000_000


_LEAP_GPS = tuple(int(utc_to_gps(day)) for day in LEAP_SECOND_DAYS)


def is_date(text: str) -> bool:
    """Whether a person gave a whole UTC day rather than a moment."""
    match = _UTC.fullmatch(text.strip())
    return match is not None and match["hour"] is None


def parse_time(text: str) -> Decimal:
    """GPS time of ``1266281982.66``, ``2020-02-22 00:59:24.66`` or ``2020-02-22``.

    Raises:
        TimeError: if the text is neither, or lies before 1980 or after 2106.
    """
    text = text.strip()
    shown = text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
    if _NUMBER.fullmatch(text):
        gps_time = Decimal(text)
    elif match := _UTC.fullmatch(text):
        gps_time = _utc_match_to_gps(match, shown)
    else:
        raise TimeError(
            f"“{shown}” is no time: give GPS seconds such as 1266281982.66, or UTC such as "
            "2020-02-22 00:59:24."
        )
    if not 0 <= gps_time <= LATEST_GPS_TIME:
        raise TimeError(f"“{shown}” lies outside the GPS era (from 6 January 1980 on).")
    return gps_time


def _utc_match_to_gps(match: re.Match[str], shown: str) -> Decimal:
    year, month, day = (int(part) for part in match["date"].split("-"))
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise TimeError(f"“{shown}” is no date and time of the calendar.") from None
    return utc_to_gps(moment) + Decimal(match["fraction"] or 0)

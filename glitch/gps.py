"""GPS time and UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

GPS_EPOCH = datetime(1980, 1, 6, tzinfo=UTC)

EARLIEST_GPS_TIME = 300_000_000  # s; the year 1989: smaller numbers have another epoch
LATEST_GPS_TIME = Decimal(4_000_000_000)  # s; the year 2106: larger numbers are mistakes
ONLY_NANOSECONDS = Decimal(10) ** 17  # larger numbers are not seconds but nanoseconds since 1980

_DAY = timedelta(days=1)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC = re.compile(
    r"(?P<date>\d{4}(?P<mark>[-/])\d{1,2}(?P=mark)\d{1,2})"
    r"([T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2})(?P<fraction>[.,]\d{1,18})?)?"
    r"(\s*(?P<half>[ap])\.?m\b\.?)?)?"
    r"\s*(Z|UTC|GMT|(?P<zone>[+-]\d{2}:?\d{2}))?",
    re.IGNORECASE | re.ASCII,
)
_BASIC = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})(?=\D|\Z)", re.ASCII)
_UTC_CELL = re.compile(
    r"(?<![^\s,;|\"])(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d):(\d\d)((?:\.\d+)?)"
    r"(?: ?(Z|UTC|[+-]\d\d:?\d\d))?(?![^\s,;|\"])",
    re.ASCII,
)
# As written by tconvert, e-mail and Matlab: Sep 14 2015 09:50:45 UTC; Mon, 14 Sep 2015 09:50:45
# GMT; Mon Sep 14 09:50:45 UTC 2015.
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_IN_WORDS = re.compile(
    r"(?:[a-z]{3,9},? )?(?:(?P<day>\d{1,2})[ -](?P<month>[a-z]{3})[a-z]{0,6}\.?,?"
    r"|(?P<month2>[a-z]{3})[a-z]{0,6}\.? (?P<day2>\d{1,2}),?)[ -]"
    r"(?:(?P<year>\d{4})(?P<rest>[ T].*|)|(?P<rest2>\d\d:\d\d.*) (?P<year2>\d{4}))",
    re.IGNORECASE | re.ASCII,
)
_DAY_AND_MONTH = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d{4}(?!\d)", re.ASCII)
_STEP = Decimal("1e-9")  # s


def plain_seconds(value: Decimal) -> str:
    """Format a number of seconds without exponent or trailing zeros: ``1126259462.4``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_utc_text(text: str) -> bool:
    """Whether a text has the form of a UTC date, with or without a time of the day."""
    return _UTC.fullmatch(_in_numbers(text.strip())) is not None


def is_utc_date(text: str) -> bool:
    """Whether a text has the form of a whole UTC day rather than a moment."""
    match = _UTC.fullmatch(_in_numbers(text.strip()))
    return match is not None and match["hour"] is None


def why_ambiguous(text: str) -> str | None:
    """Explain why a date such as ``11/28/2026`` cannot be read; None for any other text."""
    if _DAY_AND_MONTH.match(text.strip()) is None:
        return None
    return (
        f"Of the date {text.strip()[:40]!r} it cannot be told which number is the month: write the "
        "year first, as 2026-11-28 09:50:45 (UTC), or give GPS seconds."
    )


def parse_utc(text: str) -> Decimal | None:
    """Convert a UTC date and time such as ``2015-09-14T09:50:45.4+00:00`` to GPS time in s.

    Leap seconds have their own GPS times: ``2016-12-31 23:59:60`` is GPS 1167264017.

    Returns:
        None if the text is not a valid date and time, or is before the start of GPS time.
    """
    match = _UTC.fullmatch(_BASIC.sub(r"\1-\2-\3T\4:\5:\6", _in_numbers(text.strip())))
    if match is None:
        return None
    year, month, day = (int(part) for part in match["date"].split(match["mark"]))
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    if half := match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "pP" else 0)
    if zone := (match["zone"] or "").replace(":", ""):
        zone_offset = timedelta(minutes=int(zone[0] + "1") * (60 * int(zone[1:3]) + int(zone[3:])))
        try:
            moment = datetime(year, month, day, hour, minute, tzinfo=UTC) - zone_offset
        except (ValueError, OverflowError):
            return None
        year, month, day, hour, minute = moment.timetuple()[:5]
    whole = _gps_second((year, month, day), hour, minute, second)
    fraction = Decimal("0" + (match["fraction"] or ".0").replace(",", "."))
    return None if whole is None else whole + fraction.quantize(_STEP)


def _in_numbers(text: str) -> str:
    """Convert a date whose month is a word to numbers; return any other text unchanged."""
    match = _IN_WORDS.fullmatch(" ".join(text[:60].split()))
    month = None if match is None else (match["month"] or match["month2"]).lower()
    if match is None or month not in _MONTHS:
        return text
    day, year = match["day"] or match["day2"], match["year"] or match["year2"]
    rest = (match["rest"] or match["rest2"] or "").lstrip(" T")
    return f"{year}-{_MONTHS.index(month) + 1}-{day} {rest}".strip()


def _gps_second(date: tuple[int, int, int], hour: int, minute: int, second: int) -> Decimal | None:
    """Return the GPS time of a UTC second; None if no such second exists."""
    try:
        midnight = datetime(*date, tzinfo=UTC)
    except ValueError:
        return None
    if not (hour < 24 and minute < 60 and second <= 60):
        return None
    if second == 60 and not ((hour, minute) == (23, 59) and midnight + _DAY in leap_second_days()):
        return None
    gps = utc_to_gps(midnight) + hour * 3600 + minute * 60 + second
    return gps if 0 <= gps <= LATEST_GPS_TIME else None


def utc_as_gps(text: str) -> str:
    """Replace each UTC field of a text with GPS seconds, with the same number of decimals."""

    def as_gps(match: re.Match[str]) -> str:
        minute = _gps_of_minute(match[1], match[2], match[5] or "")
        return match[0] if minute is None else f"{minute + int(match[3])}{match[4]}"

    return _UTC_CELL.sub(as_gps, text)


@lru_cache(maxsize=256)
def _gps_of_minute(date: str, minute: str, zone: str) -> int | None:
    time = parse_utc(f"{date} {minute}{zone}")
    return None if time is None else int(time)


def utc_to_gps(moment: datetime) -> Decimal:
    """Convert a UTC moment to GPS time in s."""
    leap_seconds = sum(1 for day in leap_second_days() if moment >= day)
    elapsed = moment - GPS_EPOCH
    seconds_elapsed = elapsed.days * 86400 + elapsed.seconds + leap_seconds
    return Decimal(seconds_elapsed) + Decimal(elapsed.microseconds) / 1_000_000


def unix_to_gps(seconds: Decimal) -> Decimal:
    """Convert Unix time to GPS time in s; a leap second is read as the second after it."""
    whole_seconds = int(seconds)
    return utc_to_gps(_UNIX_EPOCH + timedelta(seconds=whole_seconds)) + (seconds - whole_seconds)


def why_in_future(gps_time: Decimal, now: datetime) -> str | None:
    """Explain why a GPS time cannot be a glitch's; None if it is at most a day ahead.

    Unix seconds mistaken for GPS seconds are ten years ahead.
    """
    latest = utc_to_gps(now + _DAY)
    if gps_time <= latest:
        return None
    text = plain_seconds(gps_time)
    as_unix = unix_to_gps(gps_time)
    hint = (
        f"As Unix time it would be GPS {plain_seconds(as_unix)}: give that."
        if as_unix <= latest
        else "Give seconds since 6 January 1980."
    )
    return f"GPS time {text} lies in the future. {hint}"


def gps_to_utc(gps_time: Decimal) -> datetime:
    """Convert GPS time in s to UTC, to the microsecond; a leap second is read as the next one."""
    whole_seconds = int(gps_time)
    microseconds = int((gps_time - whole_seconds) * 1_000_000)
    leap_seconds = sum(1 for second in _leap_gps() if whole_seconds >= second)
    return GPS_EPOCH + timedelta(seconds=whole_seconds - leap_seconds, microseconds=microseconds)


@lru_cache(maxsize=1)
def leap_second_days() -> tuple[datetime, ...]:
    """UTC midnights since 1980 that directly follow a leap second, ascending.

    From the table of ERFA, which astropy and gwpy use.
    """
    import erfa

    table = erfa.leap_seconds.get()
    days = (datetime(int(row["year"]), int(row["month"]), 1, tzinfo=UTC) for row in table)
    return tuple(day for day in days if day > GPS_EPOCH)


@lru_cache(maxsize=1)
def _leap_gps() -> tuple[int, ...]:
    return tuple(int(utc_to_gps(day)) for day in leap_second_days())

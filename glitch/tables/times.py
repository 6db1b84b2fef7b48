"""The GPS time of a row, from whichever of its columns hold it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from glitch.gps import LATEST_GPS_TIME, parse_utc
from glitch.tables.columns import (
    DURATION,
    ENDS,
    STARTS,
    TIMES,
    UTC_TIMES,
    nanoseconds_of,
    plain_number,
)

STEP = Decimal("1e-9")  # s; the catalogue's resolution
_SAME_MOMENT = Decimal("1e-5")  # s; a float64 holds GPS times to 1e-7, printed ones are coarser


def gps_time_of(said: Mapping[str, str]) -> Decimal | None:
    """The GPS time of a row in s, to the nanosecond; None where no column holds one.

    Nanoseconds belong to the column that they are named after alone: ``peak_time_ns`` to
    ``peak_time``. Where that pair tells the same moment as a column of seconds, the pair counts,
    because a float has less digits. UTC counts where no column holds GPS seconds.

    Args:
        said: Values as text by ``plain_name``; what is not known is left out.

    Raises:
        ValueError: with the value, if there are times and none is one.
    """
    is_span = any(name in said for name in STARTS)  # then the end is no moment of the trigger
    times = [name for name in TIMES if name in said and not (is_span and name in ENDS)]
    found = [time for name in times if (time := _seconds(said, name)) is not None]
    exact = [time for name in times if (time := _pair(said, name)) is not None]
    if found:
        best = found[0]
        return next((pair for pair in exact if abs(pair - best) < _SAME_MOMENT), best)
    times += [name for name in UTC_TIMES if name in said]
    for name in times:
        if (utc := parse_utc(said[name])) is not None:
            return utc
    start, span = _first(said, STARTS), span_of(said)
    if start is not None and span is not None:
        return (start + span / 2).quantize(STEP)
    # Where a time is not known, tables of whole numbers hold zero.
    wrong = next((said[name] for name in times if _decimal(said[name]) != 0), None)
    if wrong is not None:
        raise ValueError(wrong)
    return None


def span_of(said: Mapping[str, str]) -> Decimal | None:
    """The length in s of a row that says where its trigger starts and ends, or how long it is."""
    start, end = (_first(said, names) for names in (STARTS, ENDS))
    if start is None:
        return None
    if end is None:
        length = _decimal(said.get(DURATION))
        return length if length is not None and length >= 0 else None
    return end - start if end > start else None


def _first(said: Mapping[str, str], names: tuple[str, ...]) -> Decimal | None:
    times = (_seconds(said, name) for name in names if name in said)
    return next((time for time in times if time is not None), None)


def _seconds(said: Mapping[str, str], name: str) -> Decimal | None:
    """The time in one column, with the nanoseconds beside it."""
    pair = _pair(said, name)
    if pair is not None:
        return pair
    return _valid(_decimal(said.get(name)))


def _pair(said: Mapping[str, str], name: str) -> Decimal | None:
    seconds = _decimal(said.get(name))
    found = (_decimal(said.get(ns)) for ns in nanoseconds_of(name))
    nanoseconds = next((one for one in found if one is not None), None)
    if seconds is None or nanoseconds is None or seconds != seconds.to_integral_value():
        return None
    return _valid(seconds + nanoseconds * STEP)


def _valid(seconds: Decimal | None) -> Decimal | None:
    if seconds is None or not 0 < seconds <= LATEST_GPS_TIME:
        return None
    return seconds.quantize(STEP)


def _decimal(text: str | None) -> Decimal | None:
    try:
        value = Decimal(plain_number(text)) if text is not None else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() else None

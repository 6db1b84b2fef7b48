"""Find the GPS time of a row, from any of its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation

import numpy as np

from glitch.errors import TableError
from glitch.gps import (
    EARLIEST_GPS_TIME,
    LATEST_GPS_TIME,
    ONLY_NANOSECONDS,
    is_utc_date,
    parse_utc,
    plain_seconds,
    unix_to_gps,
    why_ambiguous,
)
from glitch.tables.columns import (
    DURATION,
    ENDS,
    EXACT_UTC_TIMES,
    FRACTIONS,
    NANOSECONDS,
    OFFSETS,
    ORIGIN,
    STARTS,
    TIMES,
    UNIX_TIMES,
    UTC_DATES,
    UTC_TIMES,
    is_time,
    moments_of,
    nanoseconds_of,
    parts_of_second,
    plain_number,
)

STEP = Decimal("1e-9")  # s; resolution of the catalogue
_COARSE_FROM = 1 << 29  # s; from here on, neighbouring 32-bit floats differ by 64 s or more
_MIN_COARSE = 3  # times; fewer whole seconds may be multiples of 64 s by chance
_MIN_SAMPLES = 10  # samples of the parameters of one signal
_DAY = re.compile(r"\A(\d{4})(\d\d)(\d\d)\Z", re.ASCII)
_NS_OF_SPANS = frozenset(ns for one in (*STARTS, *ENDS) for ns in nanoseconds_of(one))
_AM_PM = frozenset(("AM", "PM", "A.M.", "P.M."))  # AM or PM in a separate column
_STRETCH_STARTS = ("t0", "t_0")  # may be the start of the strain around a trigger
_MAX_APART_S = 64  # between two times of one trigger; slow scattering lasts as long
_RATES = ("sample_rate", "sampling_rate", "sampling_frequency", "sample_rate_hz", "fs")
_SAMPLES = ("event_index", "event_sample", "peak_index", "peak_sample", "trigger_index")
_AMBIGUOUS_TIMES = ("time", "gps", *_STRETCH_STARTS)  # may be the time of the first sample
_SAME_MOMENT = Decimal("1e-5")  # s; a float64 holds GPS times to 1e-7; printed ones are coarser


def gps_time_of(fields: Mapping[str, str]) -> Decimal | None:
    """Return the GPS time of a row in s, rounded to the nanosecond; None if no column holds one.

    Nanoseconds belong only to the column that they are named after: ``peak_time_ns`` to
    ``peak_time``. If that pair and a column of seconds give the same moment, the pair is used,
    because a float has fewer digits. UTC, then Unix seconds, are used if no column holds GPS
    seconds.

    Args:
        fields: values as text by ``plain_name``; unknown values are left out.

    Raises:
        ValueError: with the value, if there are times but none is valid.
        TableError: if columns contradict each other, or the fraction of a second is unclear.
    """
    time, name = _time_and_column(fields)
    if time is not None and time >= EARLIEST_GPS_TIME:
        _refuse_contradiction(time, name, fields)
    return time


def _time_and_column(cells: Mapping[str, str]) -> tuple[Decimal | None, str]:
    """Return the time of a row and the column that gives it; no name if start and end give it."""
    columns = moments_of(cells)
    is_span = not columns.isdisjoint(STARTS)  # then the end is not the moment of the trigger
    times = [name for name in TIMES if name in columns and not (is_span and name in ENDS)]
    read = [_read(cells, name) for name in times]
    valid = [time for time, _ in read if time is not None]
    best = next((time for time in valid if time >= EARLIEST_GPS_TIME), None)
    if best is not None:
        name = times[[time for time, _ in read].index(best)]
        if name == ORIGIN:
            _refuse_count_from_origin(cells, times)
        return _with_part(_exactly(best, read), cells, name), name
    texts = [cells[name] for name in (*times, *UTC_TIMES) if name in cells]
    dates = [_DAY.sub(r"\1-\2-\3", cells[name]) for name in UTC_DATES if name in cells]
    half = next((f" {text}" for text in cells.values() if text.upper() in _AM_PM), "")
    for text in [*texts, *(f"{date} {text}" for date in dates for text in texts), *dates]:
        if not is_utc_date(text) and (utc := parse_utc(text + half)) is not None:
            return _with_part(utc, cells, UTC_TIMES[0]), UTC_TIMES[0]
    for name in UNIX_TIMES:
        if (unix := _read(cells, name)[0]) is not None:
            return _with_part(unix_to_gps(unix).quantize(STEP), cells, name), name
    start, span = _span(cells, columns)
    if start is not None and span is not None and not (valid and start < EARLIEST_GPS_TIME):
        return _within(cells, start, span) or (start + span / 2).quantize(STEP), ""
    if valid:
        return _exactly(valid[0], read), ""  # the caller knows whether such a small time is allowed
    # Tables of integers hold zero for an unknown time.
    texts = [*(dates if texts else ()), *texts, *(cells[name] for name in STARTS if name in cells)]
    wrong = next((text for text in texts if _decimal(text) != 0), None)
    if wrong is not None:
        raise ValueError(wrong)
    return None, ""


def _refuse_contradiction(time: Decimal, name: str, cells: Mapping[str, str]) -> None:
    """Refuse a row whose columns give different moments.

    A timestamp, a date or the start of a stretch may be of another moment than the time.

    Raises:
        TableError: names both columns.
    """
    columns = moments_of(cells)
    others: list[tuple[str, Decimal | None, int]] = [
        (one, _read(cells, one)[0], _MAX_APART_S)
        for one in TIMES
        if one in columns and one not in (*ENDS, *_STRETCH_STARTS)
    ]
    for one in EXACT_UTC_TIMES:
        text = cells.get(one, "")
        if not is_utc_date(text):
            others.append((one, parse_utc(text), 1 if text.count(":") > 1 else 60))
    for one in UNIX_TIMES:
        unix = _read(cells, one)[0]
        others.append((one, None if unix is None else unix_to_gps(unix), 1))
    for other, moment, off_s in others if name else ():
        is_time = moment is not None and moment >= EARLIEST_GPS_TIME
        if moment is not None and is_time and abs(moment - time) > off_s:
            raise _contradiction(name, time, other, moment)
    is_sampled = any(one in cells for one in _RATES) and any(one in cells for one in _SAMPLES)
    if is_sampled and name in _AMBIGUOUS_TIMES:
        raise TableError(
            f"The row gives a sample number and {name}, which may be the time of the first sample: "
            "give the time of the glitch as gps_time."
        )
    start, span = _span(cells, columns)
    if start is None or span is None or start < EARLIEST_GPS_TIME:
        return
    if name and not -1 <= time - start <= span + 1:
        raise _contradiction(name, time, "start and end", start)
    length = _decimal(cells.get(DURATION))
    if not name and length is not None and abs(length - span) > 1:
        raise TableError(
            f"Start and end are {plain_seconds(span)} s apart, but the duration is "
            f"{plain_seconds(length)} s: give the time of its peak as gps_time, or correct one."
        )


def _contradiction(name: str, time: Decimal, other: str, moment: Decimal) -> TableError:
    return TableError(
        f"{name} is GPS {plain_seconds(time)}, but {other} is {plain_seconds(moment)}: these are "
        "different times. Keep the column with the time of the glitch."
    )


def with_rest(one: str, other: str) -> str | None:
    """Add whole seconds and a fraction of a second; None for any other pair."""
    pair = _decimal(one), _decimal(other)
    if None in pair:
        return None
    fraction, seconds = sorted(value for value in pair if value is not None)
    is_pair = 0 <= fraction < 1 and seconds >= EARLIEST_GPS_TIME and not seconds % 1
    return plain_seconds(seconds + fraction) if is_pair else None


def _within(cells: Mapping[str, str], start: Decimal, span: Decimal) -> Decimal | None:
    """Return the one time between start and end in a column with an unknown name."""
    if start < EARLIEST_GPS_TIME:
        return None
    times = {time for text in cells.values() if (time := _valid(_decimal(text))) is not None}
    inside = [time for time in times if start < time < start + span]
    return inside[0] if len(inside) == 1 else None


def _exactly(best: Decimal, read: list[tuple[Decimal | None, bool]]) -> Decimal:
    """Return a time, or a pair of seconds and nanoseconds that gives the same moment."""
    exact = (time for time, is_pair in read if is_pair and time is not None)
    return next((time for time in exact if abs(time - best) < _SAME_MOMENT), best)


def _with_part(time: Decimal, cells: Mapping[str, str], name: str) -> Decimal:
    """Add the fraction of a second from another column to a time in whole seconds.

    Nanoseconds named after another column of triggers' times are used too if that column is absent:
    they must belong to some whole second, and there is only one.

    Raises:
        TableError: if another column may be that fraction, but its name does not say so.
    """
    if time % 1:
        return time
    parts: dict[str, Decimal] = {}
    for one in UNIX_TIMES if name in UNIX_TIMES else (name,):
        parts |= {**parts_of_second(one), **dict.fromkeys(nanoseconds_of(one), STEP)}
    parts |= dict.fromkeys(NANOSECONDS, STEP)
    parts_s = _values(cells, parts)
    columns = moments_of(cells)
    unpaired = {ns: STEP for one in columns if one not in cells for ns in nanoseconds_of(one)}
    of_moments = {ns: STEP for ns in unpaired if ns not in _NS_OF_SPANS}
    if not parts_s and name not in ENDS:
        parts_s = _values(cells, of_moments)
        # the seconds are a float that was rounded up
        if len(parts_s) == 1 and 0 < 1 - parts_s[0] < _SAME_MOMENT:
            return time
    if len(parts_s) == 1 and 0 <= parts_s[0] < 1:
        return (time + parts_s[0]).quantize(STEP)
    # A column "peak" may be the peak of anything.
    names = (*(one for one in columns if "time" in one), *FRACTIONS, *OFFSETS)
    units = dict.fromkeys(names, Decimal(1))
    of_others = [*_values(cells, unpaired), *_values(cells, units)]
    unclear = [*parts_s, *(value for value in of_others if 0 < value < 1)]
    if not unclear:
        return time
    raise TableError(
        f"{name} is in whole seconds ({plain_seconds(time)}), and {plain_seconds(unclear[0])} s in "
        "another column may be its fraction: write the time in one column, as 1126259462.4."
    )


def _values(cells: Mapping[str, str], units: Mapping[str, Decimal]) -> list[Decimal]:
    """Return the available values of some columns, in s, by their units."""
    pairs = ((_decimal(cells.get(name)), unit) for name, unit in units.items())
    return [value * unit for value, unit in pairs if value is not None]


def _refuse_count_from_origin(cells: Mapping[str, str], times: list[str]) -> None:
    """Refuse a row in which another time may be counted from the column t0."""
    for name in times:
        seconds = _decimal(cells.get(name))
        if name != ORIGIN and seconds is not None and 0 < abs(seconds) < EARLIEST_GPS_TIME:
            raise ValueError(cells[name])


def span_of(fields: Mapping[str, str]) -> Decimal | None:
    """Return the duration in s of a row with start and end, or with a duration."""
    return _span(fields, moments_of(fields))[1]


def is_coarse(column: str, dtype: np.dtype) -> bool:
    """Return whether a column holds times in floats that are too short for them."""
    return dtype.kind == "f" and dtype.itemsize < 8 and is_time(column)


def why_coarse(column: str) -> str:
    """Return a sentence on what is wrong with such a column."""
    return (
        f"The times in {column!r} are 32-bit floats, which hold a GPS time only to 64 s: write "
        "them as float64."
    )


def are_rounded(times: Iterable[str | None]) -> bool:
    """Return whether the first times of a table are GPS times that were stored in 32-bit floats.

    Such floats hold GPS times to 64 or 128 s. Round thousands, as used by people and simulations,
    do not count as evidence.
    """
    values = [Decimal(time) for time in times if time is not None]
    informative = [one for one in values if one > _COARSE_FROM and one % 1000]
    return len(informative) >= _MIN_COARSE and not any(one % 64 for one in informative)


def are_of_one_signal(times: Iterable[str | None]) -> bool:
    """Return whether the first times of a table are as close as samples of one signal's time."""
    values = [Decimal(time) for time in times if time is not None]
    return len(values) >= _MIN_SAMPLES and max(values) - min(values) < 1


def why_no_time(text: str) -> str:
    """Return a sentence on why a value is not a GPS time."""
    value = _decimal(text)
    if value is not None and value > 0 and _is_rounded(value):
        return (
            f"gps_time {text[:40]!r} has too few digits for a time in seconds: write it as "
            "1126259462.4."
        )
    if value is not None and 0 <= value < EARLIEST_GPS_TIME:
        return (
            f"gps_time {text[:40]!r} is too small for a GPS time; it may count from the start of a "
            "segment, or days: give seconds since 6 January 1980."
        )
    for unit, power in (("ms", 3), ("us", 6)):
        if value is not None and EARLIEST_GPS_TIME <= value.scaleb(-power) <= LATEST_GPS_TIME:
            return (
                f"gps_time {text[:40]!r} is too large for seconds: if it counts {unit}, call its "
                f"column gps_time_{unit}, or unix_time_{unit} if it counts from 1970."
            )
    if _valid(value) is not None:
        return f"{text[:40]!r} may be GPS or Unix time: call its column gps_time or unix_time."
    return why_ambiguous(text) or (
        f"gps_time {text[:40]!r} is not a GPS time: give seconds since 6 January 1980, or UTC as "
        "2015-09-14T09:50:45."
    )


def _span(cells: Mapping[str, str], keys: Collection[str]) -> tuple[Decimal | None, Decimal | None]:
    """Return the start of a row's trigger, from the available columns, and its length in s."""
    start, end = (
        next(
            (
                time
                for one in names
                if one in keys and (time := _read(cells, one)[0] or parse_utc(cells.get(one, "")))
            ),
            None,
        )
        for names in (STARTS, ENDS)
    )
    if start is None:
        return None, None
    if end is None:
        length = _decimal(cells.get(DURATION))
        return start, length if length is not None and length >= 0 else None
    return start, end - start if end > start else None


def _read(cells: Mapping[str, str], name: str) -> tuple[Decimal | None, bool]:
    """Return the time in one column, and whether it uses nanoseconds from another."""
    pair = _read_pair(cells, name)
    return (_valid(_decimal(cells.get(name))), False) if pair is None else (pair, True)


def _read_pair(cells: Mapping[str, str], name: str) -> Decimal | None:
    """Return whole seconds with separate nanoseconds, which may also count the whole time."""
    seconds = _decimal(cells.get(name))
    parts = (_decimal(cells.get(ns)) for ns in (*nanoseconds_of(name), *NANOSECONDS))
    nanoseconds = next((one for one in parts if one is not None), None)
    if nanoseconds is None:
        return None
    if nanoseconds >= ONLY_NANOSECONDS and (seconds is None or _is_of(seconds, nanoseconds)):
        return _valid(nanoseconds)
    if seconds is None or seconds != seconds.to_integral_value():
        return None
    return _valid(seconds + nanoseconds * STEP)


def _is_of(seconds: Decimal, nanoseconds: Decimal) -> bool:
    """Return whether nanoseconds count from the epoch, not from these seconds."""
    return seconds == 0 or abs(nanoseconds * STEP - seconds) <= 1


def _valid(seconds: Decimal | None) -> Decimal | None:
    if seconds is not None and seconds >= ONLY_NANOSECONDS:  # a clock that counts only nanoseconds
        seconds = seconds * STEP
    if seconds is None or not 0 < seconds <= LATEST_GPS_TIME or _is_rounded(seconds):
        return None
    return seconds.quantize(STEP)


def _is_rounded(seconds: Decimal) -> bool:
    """Return whether a number has too few digits to give the second: ``1.12626e+09``."""
    exponent = seconds.as_tuple().exponent
    return isinstance(exponent, int) and exponent > 0


def _decimal(text: str | None) -> Decimal | None:
    if text is None or "_" in text:  # Decimal ignores underscores
        return None
    try:
        value = Decimal(plain_number(text))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None

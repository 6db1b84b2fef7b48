"""Find what a file states about start and end of its strain, and check it against the samples."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import NamedTuple

from glitch.errors import StrainError
from glitch.gps import EARLIEST_GPS_TIME, LATEST_GPS_TIME
from glitch.strain.source import (
    Request,
    decimal_seconds,
    length_s,
    no_start,
    number_of,
    with_nanoseconds,
)

OF_FILES = re.compile(r"creat|writ|saved|made|generat|modif|export|date", re.IGNORECASE)

# Other names that state a time: when a series starts, or when something happened.
_IS_START = re.compile(r"start|begin|epoch|(?:\A|_)t0(?:_s|_sec|_gps|_[mu]s)?\Z", re.IGNORECASE)
_IS_TIME = re.compile(r"gps|utc|event|trig|peak|merger|(?:\A|_)time(?:_[mu]s)?\Z", re.IGNORECASE)
_IS_CENTRE = re.compile(r"cent(?:er|re)|middle|(?:\A|_)mid(?:_|\Z|point|time)", re.IGNORECASE)
_IS_END = re.compile(r"(?:\A|[_ ]|gps|t)(?:end|stop)(?:_(?:time|gps)|time|gps)?\Z", re.IGNORECASE)
_IS_OF_NANOSECONDS = re.compile(r"(?:_|s)ns\Z|nano_?sec\w*\Z|_nsec\Z", re.IGNORECASE)
_UNIT = re.compile(r"_(m|u)s(?:ec)?\Z", re.IGNORECASE)  # "start_time_ms"
_UNITS_S = {"m": Decimal("1e-3"), "u": Decimal("1e-6")}
_IS_MJD = re.compile(r"(?:\A|_)m?jd(?:_|\Z)", re.IGNORECASE)
_IS_LENGTH = re.compile(r"(?:\A|_)(?:duration|seglen|(?:segment_)?length)(?:_s|_sec)?\Z", re.I)
_IS_COUNT = re.compile(r"(?:\A|_)(?:n_?points|n_?samples|nsamp|num_samples|npts)\Z", re.IGNORECASE)
_EVENT_WORDS = r"(?:event|trig(?:ger)?|peak|glitch|merger|injection|cent(?:er|re))_?"
_IS_SAMPLE = re.compile(rf"{_EVENT_WORDS}(?:index|idx|sample(?:_index)?)\Z", re.IGNORECASE)
_IS_OFFSET = re.compile(
    rf"{_EVENT_WORDS}(?:(?:time_?)?offset|time|t)?(?:_in_(?:segment|strain|s))?(?:_s|_sec)?\Z",
    re.IGNORECASE,
)
_GPS_IN_TEXT = re.compile(r"(?<![\w.])\d{9,10}(?:\.\d+)?(?![\w.])", re.ASCII)
# s; smaller differences come from ends rounded to whole seconds, or from the time of the last
# sample
_FAR = Decimal(1)
_NEAR = Decimal("0.1")  # s; an event this close to the middle of its series is in its middle

Entry = tuple[str, object]  # name and value of an entry in a file; the value may be a pair


class Placed(NamedTuple):
    """When a series starts; if that is not stated, where in it the glitch is."""

    start: Decimal | None
    event: Decimal | None = None  # GPS time of an event
    event_sample: int | None = None  # sample of the event; None: the middle


def placed_by(
    start: Decimal | None,
    entries: Iterable[Entry],
    request: Request,
    n_samples: int,
    rate_hz: float | None,
) -> Placed:
    """Determine when a series starts, from its known start and all single values in its file.

    Args:
        start: GPS time in s, if a usual name states it.
        entries: names and values in the file; a pair of values may be a start and an end.
        request: gives the time of the glitch.
        n_samples: number of samples.
        rate_hz: sample rate; None if the file does not state it.

    Raises:
        FormatError: if the file states a start that is not a GPS time.
        StrainError: if end, length or number of samples contradict start and samples; or if the
            file states another time whose name does not say whether the series starts then.
    """
    pairs = list(entries)
    length = length_s(n_samples, rate_hz, request)
    spans = [(name, *span) for name, one in pairs if (span := _span(one)) is not None]
    for name, one in pairs:
        if length is not None and _IS_LENGTH.search(name) and (_number(one) or 0) >= length + _FAR:
            raise StrainError(
                f"{request.shown_name} says {name} {one}, but holds {length} s of strain, as if "
                "it was cut, so its start is unknown. Cut it with gwpy (TimeSeries.crop), which "
                "keeps the time, and correct what it says."
            )
        if _IS_COUNT.search(name) and (_number(one) or n_samples) != n_samples:
            raise StrainError(
                f"{request.shown_name} says {name} {one}, but holds {n_samples:,} samples, as if "
                "it was cut, so its start is unknown. Cut it with gwpy (TimeSeries.crop), which "
                "keeps the time, and correct what it says."
            )
    placed = Placed(start)
    if start is None:
        placed = _under_other_names(pairs, request, length)
    if placed.start is None and spans and length is not None:
        placed = Placed(_start_of_spans(spans, request, length))
    if placed.start is None:
        sample = _event_sample(pairs, request, n_samples)
        if sample is None and length is not None:
            _refuse_offset(pairs, request, length)
        return placed._replace(event_sample=sample)
    if length is not None:
        _refuse_contradiction(placed.start, pairs, spans, request, length)
    return placed


def _number(value: object) -> float | None:
    number = number_of(value)
    return number if number is not None and isfinite(number) else None


def _span(value: object) -> tuple[Decimal, Decimal] | None:
    """Return a start and an end from one value, as two numbers or as text."""
    parts = _GPS_IN_TEXT.findall(value) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        return None
    times = [time for one in parts if (time := decimal_seconds(one)) is not None]
    if len(times) < 2 or not EARLIEST_GPS_TIME <= times[0] < times[1] <= LATEST_GPS_TIME:
        return None
    return times[0], times[1]


def _start_of_spans(
    spans: list[tuple[str, Decimal, Decimal]], request: Request, length: Decimal
) -> Decimal | None:
    """Return the start of the one span that is as long as the series.

    None if each span is centred on the time of the glitch, like that of a trigger.

    Raises:
        StrainError: if any other span is stated, so that the start is unclear.
    """
    starts = {first for _, first, last in spans if abs(last - first - length) < _FAR}
    if len(starts) == 1:
        return starts.pop()
    for name, first, last in spans:
        middle, is_within = (first + last) / 2, last - first < length
        if request.gps_time is None or not is_within or abs(middle - request.gps_time) > _FAR:
            raise StrainError(
                f"{request.shown_name} says {name} {first} to {last}, but holds {length} s of "
                "strain, so its start is unknown: save it with gps_start, the GPS time of its "
                "first sample."
            )
    return None


def _event_sample(pairs: list[Entry], request: Request, n_samples: int) -> int | None:
    """Return the sample of the glitch that the file states."""
    numbers = {name: _number(one) for name, one in pairs if _IS_SAMPLE.search(name)}
    samples = {name: one for name, one in numbers.items() if one is not None}
    for name, one in samples.items():
        if not (one.is_integer() and 0 < one < n_samples) or len(set(samples.values())) > 1:
            raise StrainError(
                f"{request.shown_name} says {name} {one:g}, which cannot be the position of the "
                f"one glitch in {n_samples:,} samples: save it with gps_start, the GPS time of its "
                "first sample."
            )
    return next((int(one) for one in samples.values()), None)


def _refuse_offset(pairs: list[Entry], request: Request, length: Decimal) -> None:
    """Refuse a series that seems to state its glitch's offset from its start, except the middle."""
    for name, value in pairs:
        number = _number(value)
        is_before = number is not None and -length < number < 0 and bool(_IS_START.search(name))
        is_within = number is not None and 0 < number < length and bool(_IS_OFFSET.search(name))
        if number is None or not (is_before or is_within):
            continue
        if abs(abs(Decimal(repr(number))) - length / 2) > _NEAR:
            raise StrainError(
                f"{request.shown_name} says {name} {number:g}, which may be the seconds from its "
                "first sample to the glitch, not its start: save it with gps_start, the GPS time "
                f"of its first sample, or leave {name} out if the glitch is in the middle."
            )


def _refuse_contradiction(
    start: Decimal,
    pairs: list[Entry],
    spans: list[tuple[str, Decimal, Decimal]],
    request: Request,
    length: Decimal,
) -> None:
    """Refuse a series whose file states another end or length than it has.

    That happens if the samples were cut and the metadata were not updated.
    """
    times = [(name, time) for name, one in pairs if (time := _stated_time(name, one)) is not None]
    starts = {_stem(name): time for name, time in times if _IS_START.search(name)}
    ends = [
        (name, starts.get(_stem(name), start), time) for name, time in times if _IS_END.search(name)
    ]
    for name, first, last in [*ends, *spans]:
        is_whole = abs(last - start - length) < _FAR
        # Other spans describe a part of the series, or the longer one that it was cut from.
        is_other = abs(first - start) >= _FAR and (
            (first > start and last <= start + length + _FAR)
            or (first < start and last >= start + length - _FAR)
        )
        if not is_whole and not is_other:
            raise _contradiction(f"{name} {last}", start, request, length)


def _stem(name: str) -> str:
    """Return a name without the words for start or end: "segment" for "segment_start"."""
    return re.sub(r"start|begin|end|stop|time|gps|_", "", name.lower())


def _contradiction(claim: str, start: Decimal, request: Request, length: Decimal) -> StrainError:
    return StrainError(
        f"{request.shown_name} says that it starts at {start} and {claim}, but holds {length} s "
        "of strain, so its start is unknown. Correct what it says, or cut it again with gwpy "
        "(TimeSeries.crop), which keeps the time."
    )


def _under_other_names(pairs: list[Entry], request: Request, length: Decimal | None) -> Placed:
    """Find a start under an unusual name, or from a stated middle or end.

    If there is none, return the stated time of the glitch, on which the series is then assumed to
    be centred.
    """
    for name, value in pairs:
        if _is_foreign_start(name, value):
            raise no_start(f"{name} {value!s:.40}", request)
    times = [(name, time) for name, one in pairs if (time := _stated_time(name, one)) is not None]
    start = next((time for name, time in times if _IS_START.search(name)), None)
    if start is not None:
        nanoseconds = [one for name, one in pairs if _IS_OF_NANOSECONDS.search(name)]
        return Placed(with_nanoseconds(start, nanoseconds[0]) if len(nanoseconds) == 1 else start)
    for is_meant, share in ((_IS_CENTRE, Decimal("0.5")), (_IS_END, Decimal(1))):
        for name, time in times if length is not None else ():
            if is_meant.search(name):
                return Placed(time - share * (length or 0))
    if request.gps_time is None:
        return Placed(None)
    for name, time in times:
        if abs(time - request.gps_time) > 1:
            raise StrainError(
                f"{request.shown_name} says {name} {time}, but not whether it starts then: call "
                "that gps_start, or leave it out if the strain is centred on the GPS time."
            )
    events = {time for _, time in times}
    return Placed(None, events.pop() if len(events) == 1 else None)


def _is_foreign_start(name: str, value: object) -> bool:
    """Return whether a value is a start by its name, but in another time system than GPS."""
    number = number_of(value)
    if number is None or not (isfinite(number) and _IS_START.search(name)):
        return False
    is_other = OF_FILES.search(name) or _IS_OF_NANOSECONDS.search(name)
    is_foreign = bool(_IS_MJD.search(name)) or number > LATEST_GPS_TIME
    return is_foreign and not is_other and _stated_time(name, value) is None


def _stated_time(name: str, value: object) -> Decimal | None:
    """Return the GPS time that a value states, judged by its name and size, else None."""
    unit = _UNIT.search(name)
    if (
        OF_FILES.search(name)
        or _IS_OF_NANOSECONDS.search(name)
        or not any(one.search(name) for one in (_IS_START, _IS_TIME, _IS_CENTRE, _IS_END))
    ):
        return None
    if unit is not None:
        number = number_of(value)
        is_number = number is not None and isfinite(number)
        time = Decimal(repr(number)) * _UNITS_S[unit[1].lower()] if is_number else None
    else:
        time = decimal_seconds(value)
    return time if time is not None and EARLIEST_GPS_TIME <= time <= LATEST_GPS_TIME else None

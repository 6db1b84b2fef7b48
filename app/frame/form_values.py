"""Parsing of form fields, with error messages. Times are GPS or UTC."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import BinaryIO

from fastapi import UploadFile

from app.core.errors import InvalidRequestError
from glitch.gps import LATEST_GPS_TIME, is_utc_date, is_utc_text, parse_utc, why_ambiguous
from glitch.observing_runs import ERAS, era_bounds_s

LONGEST_FIELD = 200


def check_form(typed: object) -> None:
    """Refuse form values that are too long or contain NUL."""
    for name, value in vars(typed).items():
        if len(value) > LONGEST_FIELD or "\0" in value:
            raise InvalidRequestError(
                f"The field {name} may hold at most {LONGEST_FIELD} printable characters."
            )


def chosen_files(uploads: Iterable[UploadFile | str]) -> list[tuple[str, BinaryIO]]:
    """Return names and streams of the uploaded files.

    Browsers send an empty file input as a text, or as a file without a name.
    """
    files = [upload for upload in uploads if not isinstance(upload, str)]
    return [(upload.filename, upload.file) for upload in files if upload.filename]


def no_such_filter(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return an error message for each query parameter that is not a filter of the page."""
    known = set(known)
    return [
        f"There is no filter “{name[:30]}” on this page: remove it from the address and choose "
        "another."
        for name in given
        if name not in known
    ]


def parse_number(text: str, meaning: str) -> float | None:
    """Parse a finite number; None if the field is empty.

    ``meaning`` begins the error message, for example "The sample rate".
    """
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequestError(f"{meaning}, “{text[:20]}”, is not a number.")
    return number


MAX_CHARACTERS = 40
TimeRange = tuple[Decimal | None, Decimal | None]  # GPS seconds; None at an open end
_DAY_S = 86_400
_TICK = Decimal("1e-9")  # s

_NUMBER = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)


def parse_time(text: str) -> Decimal:
    """Return the GPS time of ``1266281982.66``, ``2020-02-22 00:59:24.66`` or ``2020-02-22``.

    Raises:
        InvalidRequestError: if the text is not a time, or before the start of GPS time.
    """
    text = text.strip()
    shown = text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
    gps_time: Decimal | None = None
    if _NUMBER.fullmatch(text):
        gps_time = Decimal(text)
    elif is_utc_text(text):
        gps_time = parse_utc(text)
        if gps_time is None:
            raise InvalidRequestError(
                f"“{shown}” is not a valid date and time from 6 January 1980 on, when GPS time "
                "begins."
            )
    else:
        raise InvalidRequestError(
            why_ambiguous(text)
            or f"“{shown}” is not a time: give GPS seconds such as 1266281982.66, or UTC such as "
            "2020-02-22 00:59:24."
        )
    if not 0 <= gps_time <= LATEST_GPS_TIME:
        raise InvalidRequestError(
            f"“{shown}” is outside the range of GPS time, which begins on 6 January 1980."
        )
    return gps_time


def parse_end(text: str) -> Decimal:
    """Parse the end of a time range: "to 2020-02-22" means the end of that day.

    Raises:
        InvalidRequestError: as for ``parse_time``.
    """
    return parse_time(text) + (_DAY_S if is_utc_date(text) else 0)


def era_time_range(name: str) -> TimeRange:
    """Return start and end of an observing run or break; it ends just before the next one."""
    first, last = (None if at is None else Decimal(int(at)) for at in era_bounds_s(name))
    return first, None if last is None else last - _TICK


def overlap(one: TimeRange, other: TimeRange) -> TimeRange:
    """Return the intersection of two time ranges."""
    starts, ends = zip(one, other, strict=True)
    return (
        max((at for at in starts if at is not None), default=None),
        min((at for at in ends if at is not None), default=None),
    )


def parse_time_range(start: str, end: str, run: str, errors: list[str]) -> TimeRange:
    """Return the typed time range, limited to an observing run if one is selected.

    Error messages are appended to ``errors``.
    """
    ends: list[Decimal | None] = []
    for text, parse in ((start, parse_time), (end, parse_end)):
        try:
            ends.append(parse(text) if text else None)
        except InvalidRequestError as error:
            errors.append(str(error))
            ends.append(None)
    typed = ends[0], ends[1]
    if _is_reversed(typed):
        errors.append("The range of the time ends before it begins: swap the two values.")
    elif run and run not in ERAS:
        errors.append(f"“{run[:20]}” is not an observing run: choose {', '.join(ERAS)}.")
    elif run:
        shared = overlap(typed, era_time_range(run))
        if not _is_reversed(shared):
            return shared
        errors.append(f"The given times are outside of {run}: clear the times or the run.")
    return typed


def _is_reversed(time_range: TimeRange) -> bool:
    start, end = time_range
    return start is not None and end is not None and start > end

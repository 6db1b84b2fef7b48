"""Strain from text: two columns of time and strain, or one of strain, as CSV or blanks."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, StrainError, TooLargeError
from glitch.strain.source import Request, Source, decimal_seconds, rate_from_step

MAX_TEXT_BYTES = 1 << 27
_HEAD_BYTES = 1 << 16
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:samples per second|Hz)", re.IGNORECASE)
_START = re.compile(r"(?:starting GPS|gps_start|GPSstart)\s*[:=]?\s*(\d{6,}(?:\.\d+)?)", re.I)


@contextmanager
def open_text(path: Path, request: Request) -> Iterator[Source]:
    """Parse a text file of strain; comment lines start with # or %, as GWOSC's do.

    Raises:
        FormatError: if its lines are not one or two numbers.
        StrainError: if its times are not evenly spaced.
        TooLargeError: if it is longer than 128 MiB.
    """
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise TooLargeError(
            f"{request.shown_name} has {size:,} bytes of text; at most {MAX_TEXT_BYTES:,} are "
            "read. Cut it to the 64 s around the GPS time, or send HDF5."
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    comments, delimiter, n_columns, n_skipped = _layout(text[:_HEAD_BYTES], request)
    columns = _parse(text, delimiter, n_skipped, request)
    if columns.shape[1] != n_columns:
        raise _wrong_columns(request)
    values = columns[:, -1]
    start: Decimal | None
    if n_columns == 1:
        found = _RATE.search(comments)
        rate = float(found[1]) if found else None
        gps = _START.search(comments)
        start = decimal_seconds(gps[1]) if gps else None
    else:
        rate = _even_rate(columns[:, 0], request)
        start = decimal_seconds(float(columns[0, 0]))
    yield Source(
        n_samples=values.size,
        sample_rate_hz=rate,
        gps_start=start,
        ifo=detector_of_text(comments),
        channel=None,
        read=lambda first, last: values[first:last].copy(),
    )


def is_numeric_text(head: bytes) -> bool:
    """Whether the beginning of a file reads as one or two columns of numbers."""
    if not head or b"\0" in head:
        return False
    try:
        _layout(head.decode("utf-8", "replace"), Request(""))
    except FormatError:
        return False
    return True


def _layout(head: str, request: Request) -> tuple[str, str | None, int, int]:
    """Comments, delimiter, number of columns, and lines before the first number."""
    comments: list[str] = []
    lines = head.splitlines()
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped[0] in "#%":
            comments.append(stripped)
            continue
        delimiter = next((mark for mark in ",;" if mark in stripped), None)
        fields = [field.strip() for field in stripped.split(delimiter)]
        if all(_is_number(field) for field in fields):
            if len(fields) > 2:
                raise _wrong_columns(request)
            return "\n".join(comments), delimiter, len(fields), number
        if len(comments) < number or len(fields) > 2:  # more than one line of column names
            break
        comments.append("")
    raise FormatError(
        f"{request.shown_name} is no strain file that is read here: send HDF5, GWF, npy, npz, or "
        "text with one column of strain or two of GPS time and strain."
    )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _parse(text: str, delimiter: str | None, n_skipped: int, request: Request) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of an empty file
            return np.loadtxt(
                io.StringIO(text),
                delimiter=delimiter,
                skiprows=n_skipped,
                comments=["#", "%"],
                ndmin=2,
            )
    except (ValueError, UserWarning) as error:
        raise FormatError(
            f"{request.shown_name} cannot be read as columns of numbers ({error})."
        ) from error


def _even_rate(times: np.ndarray, request: Request) -> float | None:
    if times.size < 2:
        return None
    if not np.isfinite(times).all():
        raise StrainError(f"{request.shown_name} has times that are no numbers.")
    step = float(times[-1] - times[0]) / (times.size - 1)
    rate = rate_from_step(step)
    if abs(rate - round(rate)) < 1e-3 * rate and round(rate):
        rate = float(round(rate))  # printed times are rounded; rates are whole
    expected = times[0] + np.arange(times.size) / rate
    off = np.abs(times - expected) * rate
    if off.max() > 0.5:
        where = int(np.argmax(off > 0.5))
        raise StrainError(
            f"{request.shown_name} is not evenly sampled: near line {where + 1} a time is "
            f"{off[where]:.1f} samples off. Send one stretch without gaps."
        )
    return rate


def _wrong_columns(request: Request) -> FormatError:
    return FormatError(
        f"{request.shown_name} must have one column (strain) or two (GPS time, strain)."
    )

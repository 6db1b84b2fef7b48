"""Strain from text: two columns of time and strain, or one of strain, as CSV or blanks.

Gzipped text, as GWOSC publishes it, is unpacked in memory up to the same bound.
"""

from __future__ import annotations

import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, TooLargeError
from glitch.files.text import encoding_of
from glitch.strain.placing import place_samples
from glitch.strain.source import Request, Source, decimal_seconds

MAX_TEXT_BYTES = 1 << 27
_HEAD_BYTES = 1 << 16
_GZIP = b"\x1f\x8b\x08"
_MOST_GZIP_MEMBERS = 4_000  # bgzip packs 64 KiB into each
_LINES_FOR_STEP = 200
_RATE = re.compile(r"(?<!\d)(\d++(?:\.\d+)?)\s*+(?:samples per second|Hz)", re.IGNORECASE)
_START = re.compile(r"(?:starting GPS|gps_start|GPSstart)\s*+[:=]?\s*+(\d{6,}(?:\.\d+)?)", re.I)


@contextmanager
def open_text(path: Path, request: Request) -> Iterator[Source]:
    """Parse a text file of strain; comment lines start with # or %, as GWOSC's do.

    Raises:
        FormatError: if its lines are not one or two numbers.
        StrainError: if its times are not those of an even series with or without gaps.
        TooLargeError: if it is longer than 128 MiB.
    """
    text = _text(path, request)
    comments, delimiter, n_columns, n_skipped = _layout(text[:_HEAD_BYTES], request)
    columns = _parse(_whole_rows(text, delimiter, n_columns), delimiter, n_skipped, request)
    if columns.shape[1] != n_columns:
        raise _wrong_columns(request)
    values = columns[:, -1]
    start: Decimal | None
    comments_start = _START.search(comments)
    if n_columns == 1:
        found = _RATE.search(comments)
        rate = float(found[1]) if found else None
        start = decimal_seconds(comments_start[1]) if comments_start else None
    else:
        said = _RATE.search(comments)
        placed = place_samples(
            columns[:, 0],
            values,
            step_s=_printed_step(text[:_HEAD_BYTES], delimiter, n_skipped),
            rate_hz=request.sample_rate_hz or (float(said[1]) if said else None),
            shown_name=request.shown_name,
        )
        values, rate, start = placed.values, placed.rate_hz, placed.start
    yield Source(
        n_samples=values.size,
        sample_rate_hz=rate,
        gps_start=start,
        ifo=detector_of_text(comments),
        channel=None,
        read=lambda first, last: values[first:last].copy(),
    )


def text_head(path: Path) -> bytes:
    """The beginning of a file, unpacked where it is gzipped; nothing where that is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return b""
    if not head.startswith(_GZIP):
        return head
    try:  # of its first member alone: there may be a million empty ones
        return zlib.decompressobj(31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def is_numeric_text(head: bytes) -> bool:
    """Whether the beginning of a file reads as one or two columns of numbers."""
    text = head.decode(encoding_of(head), "replace")
    if not text or "\0" in text:
        return False
    try:
        _layout(text, Request(""))
    except FormatError:
        return False
    return True


def _text(path: Path, request: Request) -> str:
    with path.open("rb") as file:
        packed = file.read(MAX_TEXT_BYTES + 1)
    # Each member takes time, even an empty one; by chance alone few bytes are taken for one.
    if packed.startswith(_GZIP) and packed.count(_GZIP) > _MOST_GZIP_MEMBERS:
        raise TooLargeError(
            f"{request.shown_name} is gzipped in over {_MOST_GZIP_MEMBERS:,} pieces: gzip the "
            "text as one."
        )
    try:
        if packed.startswith(_GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
                data = file.read(MAX_TEXT_BYTES + 1)
        else:
            data = packed
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"{request.shown_name} is truncated or damaged gzipped text. Send it again."
        ) from error
    if len(data) > MAX_TEXT_BYTES:
        raise TooLargeError(
            f"{request.shown_name} has over {MAX_TEXT_BYTES:,} bytes of text, which is the most "
            "that is read. Cut it to the 64 s around the GPS time, or send HDF5."
        )
    return data.decode(encoding_of(data[:_HEAD_BYTES]), "replace")


def _whole_rows(text: str, delimiter: str | None, n_columns: int) -> str:
    """The text without a last row that was cut off within."""
    at = text.rfind("\n") + 1
    last = text[at:].strip()
    is_cut = bool(last) and last[0] not in "#%" and len(last.split(delimiter)) < n_columns
    return text[:at] if is_cut else text


def _printed_step(head: str, delimiter: str | None, n_skipped: int) -> float:
    """To how many seconds the times are printed: 0.001 for three decimals."""
    finest = 0.0
    for line in head.splitlines()[n_skipped : n_skipped + _LINES_FOR_STEP]:
        with suppress(InvalidOperation, IndexError):
            exponent = Decimal(line.strip().split(delimiter)[0].strip()).as_tuple().exponent
            if isinstance(exponent, int):
                finest = min(finest, exponent)
    return float(10.0**finest)


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


def _wrong_columns(request: Request) -> FormatError:
    return FormatError(
        f"{request.shown_name} must have one column (strain) or two (GPS time, strain)."
    )

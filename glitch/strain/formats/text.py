"""Read strain from text: columns of time and strain, or one of strain; CSV or blanks.

With more columns, their names determine which are used. Placeholders for missing values become NaN.
Gzipped text, as published by GWOSC, is unpacked in memory up to the same size limit.
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
from typing import NamedTuple

import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, TooLargeError
from glitch.files.channels import is_strain_channel, listed
from glitch.files.compressed import check_gzip_members
from glitch.files.foreign import foreign_kind
from glitch.files.text import encoding_of
from glitch.gps import utc_as_gps
from glitch.strain.placing import place_samples
from glitch.strain.series import HIGHEST_SAMPLE_RATE_HZ, LOWEST_SAMPLE_RATE_HZ
from glitch.strain.source import (
    LONGEST_OFFSET_S,
    TIMES_NAMES,
    Request,
    Source,
    decimal_seconds,
    started_at,
)
from glitch.strain.stated import OF_FILES, Entry, placed_by

MAX_TEXT_BYTES = 1 << 27
_HEAD_BYTES = 1 << 16
_GZIP = b"\x1f\x8b\x08"
_LINES_FOR_STEP = 200
_NUMBER = r"(?<![\w.])(\d++(?:\.\d+)?)\s*+"
_RATES = tuple(  # in comments, most certain first
    re.compile(text, re.IGNORECASE)
    for text in (
        rf"{_NUMBER}(k?)samples per second",
        r"(?:sampling|sampled|sample[ _-]?rate|\brate|\bfs)\b[^\n]{0,24}?"
        rf"{_NUMBER}(k?)(?:Hz|(?!\w))",
        rf"{_NUMBER}(k?)Hz",
    )
)
_AMBIGUOUS_KHZ = (1, 2, 4, 8, 16, 32, 64, 128)  # kHz: GWOSC's "4 kHz" is 4096 Hz
_IS_OF_FILTERS = re.compile(
    r"pass|filter|band|cut|notch|whiten|\blines?\b|peak|freq|max|min|nyquist|below|above|range|up",
    re.IGNORECASE,
)
_SEPARATED = ((";", False), (";", True), (",", False), (None, False), (None, True))
_NO_VALUE = frozenset({"", "--", "masked", "na", "n/a", "null", "none"})
_MISSING = re.compile(r"(?<![^\s,;])(?:--|masked|n/a|na|null|none)(?![^\s,;])", re.IGNORECASE)
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)", re.ASCII)
_UNIT = re.compile(r"(?<!\s)\s*+(?:\[[^\]]{0,200}+\]|\([^)]{0,200}+\))\Z")
_IS_UNITS = re.compile(
    r"[\s,;]*+(?:[\[(]?+(?>gps|seconds?|sec|strain|s|1)?+[\])]?+[\s,;]*+){1,4}+", re.I
)
_ROW_NUMBERS = ("", "index", "unnamed: 0")  # pandas' names for row numbers
_START = re.compile(
    r"(?:start|begin|\b[tx]0\b|epoch)[^\d\n]{0,20}?(?<![\d.])(\d{9,10}(?:\.\d+)?)(?![\d.]*\d)", re.I
)
_MAX_NAME_LENGTH = 30  # characters before a time that may describe it
_LENGTHS = {
    "duration": re.compile(r"\bduration\W{0,3}(\d{1,9}(?:\.\d+)?)", re.IGNORECASE),
    "n_samples": re.compile(r"(?<![\w.])(\d{1,9}) (?:time )?samples\b(?! per)", re.IGNORECASE),
}
_GPS = re.compile(r"(?<![\w.])(\d{9,10}(?:\.\d+)?)(?![\w.])", re.ASCII)


@contextmanager
def open_text(path: Path, request: Request) -> Iterator[Source]:
    """Parse a text file of strain; comment lines start with # or %, as in GWOSC's files.

    Raises:
        FormatError: if its lines are not one or two numbers.
        StrainError: if its times do not form an even series, with or without gaps.
        TooLargeError: if it is longer than 128 MiB.
    """
    text = _text(path, request)
    layout = _layout(text[:_HEAD_BYTES], request)
    comments = layout.comments
    chosen = _chosen(layout, request)
    columns = _parse(_whole_rows(text, layout), layout, chosen, request)
    values = columns[:, -1]
    rate = _stated_rate(comments)
    match = _START.search(comments)
    start = None if match is None else decimal_seconds(match[1])
    is_placed = len(chosen) > 1 and not _are_row_numbers(columns[:, 0])
    stated = _stated(comments) if start is None or not is_placed else ()
    start, event, sample = placed_by(start, stated, request, values.size, rate)
    if is_placed:
        placed = place_samples(
            columns[:, 0],
            values,
            step_s=_printed_step(text[:_HEAD_BYTES], layout, chosen[0]),
            rate_hz=request.sample_rate_hz or rate,
            shown_name=request.shown_name,
        )
        values, rate = placed.values, placed.rate_hz
        start = started_at(None if placed.start > LONGEST_OFFSET_S else start, placed.start)
    yield Source(
        n_samples=values.size,
        sample_rate_hz=rate,
        gps_start=start,
        ifo=detector_of_text(layout.names[chosen[-1]].upper() if layout.names else None, comments),
        channel=None,
        read=lambda first, last: values[first:last].copy(),
        event=event,
        event_sample=sample,
    )


def is_numeric_text(head: bytes) -> bool:
    """Return whether the beginning of a file reads as one or two columns of numbers."""
    text = _with_gps_times(head.decode(encoding_of(head), "replace"))
    if not text or "\0" in text or foreign_kind(head) is not None:  # such as a PGM picture
        return False
    try:
        _layout(text, Request(""))
    except FormatError:
        return False
    return True


def _text(path: Path, request: Request) -> str:
    with path.open("rb") as file:
        packed = file.read(MAX_TEXT_BYTES + 1)
    try:
        if packed.startswith(_GZIP):
            check_gzip_members(packed, request.shown_name)
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
            f"{request.shown_name} has over {MAX_TEXT_BYTES:,} bytes of text, the most that is "
            "read. Cut it to the 64 s around the GPS time, or send HDF5."
        )
    return _with_gps_times(data.decode(encoding_of(data[:_HEAD_BYTES]), "replace"))


def _with_gps_times(text: str) -> str:
    """Normalise line ends, and replace UTC by GPS seconds if the beginning has UTC times."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return utc_as_gps(text) if utc_as_gps(text[:_HEAD_BYTES]) != text[:_HEAD_BYTES] else text


def _stated_rate(comments: str) -> float | None:
    """Return the sample rate in Hz that comments state; other frequencies may be stated too."""
    for pattern in _RATES:
        is_sure = pattern is not _RATES[-1]
        if not is_sure and _IS_OF_FILTERS.search(comments):
            return None
        rates_hz = {
            float(one[1]) * (1000 if one[2] else 1)
            for one in pattern.finditer(comments)
            if not (one[2] and float(one[1]) in _AMBIGUOUS_KHZ)
        }
        rates = [one for one in rates_hz if LOWEST_SAMPLE_RATE_HZ <= one <= HIGHEST_SAMPLE_RATE_HZ]
        if rates:
            return rates[0] if len(rates) == 1 else None
    return None


def _stated(comments: str) -> Iterator[Entry]:
    """Yield times, a duration and a number of samples from comments, named by preceding text."""
    for line in comments.splitlines():
        if not OF_FILES.search(line):
            for one in _GPS.finditer(line):
                before = re.split(r"\d", line[: one.start()])[-1][-_MAX_NAME_LENGTH:]
                name = before.strip(" :=#%").replace(" ", "_")
                yield f"GPS time {name}".strip(), one[1]
    for name, pattern in _LENGTHS.items():
        if (match := pattern.search(comments)) is not None:
            yield name, float(match[1])


def _are_row_numbers(column: np.ndarray) -> bool:
    """Return whether a first column is row numbers, as pandas writes them, rather than times."""
    return column[0] in (0, 1) and np.array_equal(column, np.arange(column.size) + column[0])


class _Layout(NamedTuple):
    """The layout of the rows of a text."""

    comments: str
    delimiter: str | None  # None: blanks
    n_columns: int
    n_skipped: int  # lines before the first row
    names: tuple[str, ...] = ()  # names of columns in lower case, if any
    has_decimal_commas: bool = False

    def fields(self, line: str) -> list[str]:
        """Return the fields of a row, with decimal points in their numbers."""
        return _fields(line, self.delimiter, has_commas=self.has_decimal_commas)


def _fields(line: str, delimiter: str | None, *, has_commas: bool) -> list[str]:
    fields = [field.strip().strip('"').strip() for field in line.strip().split(delimiter)]
    return [field.replace(",", ".") for field in fields] if has_commas else fields


def _whole_rows(text: str, layout: _Layout) -> str:
    """Return the text without a truncated last row."""
    at = text.rfind("\n") + 1
    last = text[at:].strip()
    is_cut = last and last[0] not in "#%" and len(last.split(layout.delimiter)) < layout.n_columns
    return text[:at] if is_cut else text


def _printed_step(head: str, layout: _Layout, column: int) -> float:
    """Return the precision in seconds of the printed times: 0.001 for three decimals."""
    finest = 0.0
    for line in head.splitlines()[layout.n_skipped : layout.n_skipped + _LINES_FOR_STEP]:
        with suppress(InvalidOperation, IndexError):
            exponent = Decimal(layout.fields(line)[column]).as_tuple().exponent
            if isinstance(exponent, int):
                finest = min(finest, exponent)
    return float(10.0**finest)


def _layout(head: str, request: Request) -> _Layout:
    """Find the layout from the comments, one line of names, and the first row of numbers.

    Raises:
        FormatError: if there are no such rows, or more columns than the names explain.
    """
    comments: list[str] = []
    for number, line in enumerate(head.splitlines()):
        stripped = line.strip()
        if not stripped or stripped[0] in "#%,;":  # pandas' header may be ",0"
            comments.append(stripped)
            continue
        for delimiter, has_commas in _SEPARATED:
            fields = _fields(stripped, delimiter, has_commas=has_commas)
            if (delimiter is None or delimiter in stripped) and all(map(_is_number, fields)):
                rows = (_names(one, delimiter) for one in reversed(comments) if one)
                are_names = (
                    one for one in rows if len(one) == len(fields) and set(one) & set(TIMES_NAMES)
                )
                names = next(are_names, ())
                if not names and len(fields) == 3 and not fields[2]:  # a trailing comma
                    names = ("time", "strain", "")
                if len(fields) > 2 and not names:
                    raise _wrong_columns(request)
                text = "\n".join(comments)
                return _Layout(text, delimiter, len(fields), number, names, has_commas)
        titles = [one for one in comments if one and one[0] not in "#%"]
        if len(titles) > 1 or not all(map(_IS_UNITS.fullmatch, [stripped] if titles else [])):
            break
        comments.append(stripped)
    raise FormatError(
        f"{request.shown_name} is not a strain file in a supported format: send HDF5, GWF, npy, "
        "npz, or text with one column of strain or two of GPS time and strain."
    )


def _names(line: str, delimiter: str | None) -> tuple[str, ...]:
    """Return column names in lower case, without units."""
    fields = _fields(line.lstrip("#% ").lower(), delimiter, has_commas=False)
    return tuple(_UNIT.sub("", name).strip().replace(" ", "_") for name in fields)


def _chosen(layout: _Layout, request: Request) -> list[int]:
    """Return which columns are used: time, if there is one, and strain.

    Raises:
        FormatError: if several may be strain; ``channel`` or ``ifo`` chooses.
    """
    if not layout.names:
        return list(range(layout.n_columns))
    time = next(layout.names.index(name) for name in TIMES_NAMES if name in layout.names)
    strain = {
        name: at for at, name in enumerate(layout.names) if at != time and name not in _ROW_NUMBERS
    }
    for is_meant in (
        lambda name: name == (request.channel or "").strip().lower(),
        lambda name: request.ifo is not None and detector_of_text(name.upper()) == request.ifo,
        is_strain_channel,
    ):
        strain = {name: at for name, at in strain.items() if is_meant(name)} or strain
    if len(strain) != 1:
        raise FormatError(
            f"{request.shown_name} holds several columns in addition to its times: give channel, "
            f"one of {listed(list(strain))}, for strain. Send a table of triggers as a batch.",
            field="channel",
        )
    return [time, *strain.values()]


def _is_number(field: str) -> bool:
    try:
        float(_FORTRAN.sub("e", field))
    except ValueError:
        return field.lower() in _NO_VALUE
    return True


def _parse(text: str, layout: _Layout, columns: list[int], request: Request) -> np.ndarray:
    try:
        return _numbers(text, layout, columns)
    except (ValueError, UserWarning):
        pass
    try:
        return _numbers(_plain(text, layout), layout, columns)
    except (ValueError, UserWarning) as error:
        raise FormatError(
            f"{request.shown_name} cannot be read as columns of numbers ({error})."
        ) from error


def _numbers(text: str, layout: _Layout, columns: list[int]) -> np.ndarray:
    """Parse the chosen columns; every row must have the same number of columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy only warns about an empty file
        values = np.loadtxt(
            io.StringIO(text),
            delimiter=layout.delimiter,
            skiprows=layout.n_skipped,
            comments=["#", "%"],
            ndmin=2,
        )
    if values.shape[1] != layout.n_columns:
        raise ValueError(f"{values.shape[1]} columns, where its first row has {layout.n_columns}")
    return values[:, columns]


def _plain(text: str, layout: _Layout) -> str:
    """Rewrite numbers in Python's notation, and missing values as NaN."""
    text = text.replace('"', "")
    if layout.has_decimal_commas:
        text = text.replace(",", ".")
    if layout.delimiter:
        text = re.sub(
            rf"(?<={layout.delimiter})(?=[ \t\r]*(?:{layout.delimiter}|$))", "nan", text, flags=re.M
        )
    return _FORTRAN.sub("e", _MISSING.sub("nan", text))


def _wrong_columns(request: Request) -> FormatError:
    return FormatError(
        f"{request.shown_name} must have one column (strain) or two (GPS time, strain), or name "
        "its columns, one of them time."
    )

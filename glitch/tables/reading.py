"""Read text tables row by row: CSV and similar, ECSV, LIGO_LW, JSON; plain or gzipped.

The number of rows in memory is limited. astropy's readers accept the same layouts, but hold a whole
table in memory, and guess its layout by trying all of them.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glitch.detectors import detector_of_file_name
from glitch.errors import FormatError, GlitchError, TableError
from glitch.files.foreign import refuse_foreign
from glitch.files.text import encoding_of
from glitch.tables.coherent import rows_by_detector
from glitch.tables.columns import (
    NOT_TRIGGERS,
    ONLY_SPANS,
    are_of_posterior,
    other_clock,
    plain_name,
)
from glitch.tables.documents import document_rows, may_be_document
from glitch.tables.facts import Facts, facts_of
from glitch.tables.layout import (
    HEAD_BYTES,
    Layout,
    are_named_alike,
    are_pairs_of_times,
    find_layout,
    is_comment,
    is_heading,
    is_no_row,
    is_series,
    n_nameless,
    unboxed,
)
from glitch.tables.ligolw import is_ligolw, ligolw_rows
from glitch.tables.markup import PlainLines
from glitch.tables.zooniverse import are_of_subjects, are_of_volunteers, with_metadata

LONGEST_LINE = 100_000
_MAX_IDLE_LINES = 100_000  # lines without a row: gzip packs a thousand empty lines into a byte
_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*", re.ASCII)
_POINT = re.compile(r"\s*[+-]?\d+\.\d*([eE][+-]?\d+)?\s*", re.ASCII)
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, OSError)


@dataclass(frozen=True)
class TableRow:
    """A row of a table: its content, or the reason why it cannot be used."""

    name: str  # "triggers.csv row 8"
    facts: Facts | None
    reason: str = ""
    number: int = 0  # line number, or row number in formats without lines

    def with_origin(self, origin: str | None) -> TableRow:
        """Return the row with this origin, unless it states a known one."""
        if self.facts is None or self.facts.origin is not None or origin is None:
            return self
        return replace(self, facts=replace(self.facts, origin=origin))


def table_row(label: str, values: Mapping[str, Any], *, ifo: str | None = None) -> TableRow:
    """Convert a row to its facts, or to a description of its error.

    Args:
        label: name of the row in messages.
        values: values by the table's own column names.
        ifo: detector of a row that names none.
    """
    try:
        return TableRow(label, facts_of(values, ifo=ifo))
    except TableError as error:
        return TableRow(label, None, str(error))


def is_text_table(path: Path) -> bool:
    """Return whether a file begins like a table in one of these formats, gzipped or not."""
    head = _head(path)
    if is_ligolw(head):
        return True
    if may_be_document(head):
        return bool(_document(path))
    layout = find_layout(head)
    return layout is not None and layout.is_table and not is_series(head, layout)


def refuse_unread(path: Path, name: str) -> None:
    """Refuse recognised formats that are not read, and tables that cannot be interpreted.

    The latter are posterior samples, classifications of single volunteers, triggers without column
    names, and times in a system other than GPS, UTC or Unix.

    Raises:
        FormatError: says what to send instead.
    """
    head = _head(path)
    if is_ligolw(head):
        return
    if may_be_document(head) and (rows := _document(path)):
        if not isinstance(rows[0], str) and are_of_posterior(rows[0]):
            raise FormatError(f"{name} {NOT_TRIGGERS}")
        return
    refuse_foreign(path, name)
    layout = find_layout(head)
    if layout is not None and are_of_posterior(layout.columns):
        raise FormatError(f"{name} {NOT_TRIGGERS}")
    if layout is not None and are_of_volunteers(layout.columns):
        raise FormatError(
            f"{name} is an export of Zooniverse's classifications, with a row per answer of a "
            "volunteer: send its subjects, or a table with one row and label per glitch."
        )
    if layout is not None and not layout.is_readable and (other := other_clock(layout.columns)):
        raise FormatError(
            f"{name}: the time system of the column {other[:80]!r} is not supported: give GPS "
            "seconds as gps_time, or UTC as utc."
        )
    if are_pairs_of_times(head):
        raise FormatError(f"{name} {ONLY_SPANS}")
    if n_columns := n_nameless(head):
        raise FormatError(
            f"{name} has {n_columns} columns without names: write a line above them that names "
            "each, such as “gps_time peak_frequency snr” for triggers, with ifo and duration if "
            "present, or “time H1” for strain; other columns may have any name."
        )


def origin_of(columns: Mapping[str, Any] | list[str]) -> str | None:
    """Return the origin of the glitches of a table with these columns; None if unknown.

    Gravity Spy's releases are recognised by its ids, its labels, or (O1) its own spellings of them.
    """
    plain = {plain_name(name) for name in columns}
    if plain & {"gravityspy_id", "ml_label", "ml_confidence", "uniqueid"}:
        return "gravityspy"
    if {"gpstime", "label"} <= plain and plain & {"peakfreq", "id"}:
        return "gravityspy"
    if {"tstart", "tend", "fstart", "fend"} <= plain:
        return "omicron"
    return None


def text_columns(path: Path) -> list[str]:
    """Return the names of a table's columns."""
    head = _head(path)
    if is_ligolw(head):
        return []
    if may_be_document(head):
        first = next(iter(_document(path)), {})
        return [] if isinstance(first, str) else list(first)
    layout = find_layout(head)
    return [] if layout is None else list(layout.columns)


def read_text_table(path: Path, name: str) -> Iterator[TableRow]:
    """Yield the rows of a table.

    Args:
        path: the file.
        name: its original name, which gives the detector if nothing else does.

    Raises:
        FormatError: if it is damaged, or has no known columns.
        TooLargeError: if a row of a LIGO_LW document is longer than any trigger is.
    """
    head = _head(path)
    ifo = detector_of_file_name(name)
    with _opened(path) as stream:
        if is_ligolw(head):
            rows = ligolw_rows(stream, name)
        elif may_be_document(head):
            rows = enumerate(document_rows(stream), 1)
        else:
            layout = find_layout(head)
            if layout is None or not layout.is_readable:
                raise FormatError(
                    f"{name} has none of the columns path, gravityspy_id, gps_time (or "
                    "event_time): its first row must name the columns, separated by commas, tabs "
                    "or blanks."
                )
            rows = _text_rows(stream, layout, encoding_of(head))
        try:
            for number, values in rows:
                label = f"{name} row {number}"
                if isinstance(values, str):
                    yield TableRow(label, None, values, number)
                else:
                    for row in rows_by_detector(values):
                        yield replace(table_row(label, row, ifo=ifo), number=number)
        except csv.Error as error:
            reason = f"The table cannot be read beyond this point ({error}): correct it."
            yield TableRow(f"{name} (its rest)", None, reason)
        except GlitchError:
            raise
        except _DAMAGE:
            reason = "The table is damaged from here on: send it again."
            yield TableRow(f"{name} (its rest)", None, reason)


def _document(path: Path) -> list[dict[str, Any] | str]:
    with suppress(*_DAMAGE), _opened(path) as stream:
        return document_rows(stream)
    return []


def _opened(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path) if is_gzip else path.open("rb")


def _head(path: Path) -> bytes:
    """Return the first complete lines: a header may be longer than ``HEAD_BYTES``."""
    head = bytearray()
    with suppress(*_DAMAGE), _opened(path) as stream:
        while len(head) < HEAD_BYTES and (line := stream.readline(LONGEST_LINE)):
            head += line
    return bytes(head)


def _text_rows(
    stream: io.BufferedIOBase, layout: Layout, encoding: str
) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield rows with their line numbers; the header has number 1 if it is the first line."""
    # The wrapper closes the stream when it is closed.
    with io.TextIOWrapper(stream, encoding, errors="replace", newline="") as text:  # type: ignore[type-var]
        lines = PlainLines(text, layout.markup)
        for _ in range(layout.n_skipped):
            lines.readline(LONGEST_LINE)
        numbered = _Numbered(lines, layout)
        columns, last_known = layout.columns, layout.last_known
        n_columns, are_subjects = len(columns), are_of_subjects(columns)
        for row in csv.reader(numbered, delimiter=layout.separator, skipinitialspace=True):
            number = numbered.number
            if not any(map(str.strip, row)) or is_no_row(layout.separator.join(row)):
                continue
            numbered.last_row = number
            if is_heading(row):
                if are_named_alike(row, layout.columns):  # files were concatenated
                    continue
                yield number, "Another table begins here: send it as a separate file."
                return
            if len(row) <= last_known:
                yield number, "The row is shorter than the header."
            elif any(cell.strip() for cell in row[n_columns:]):
                yield number, "The row is longer than the header: quote values that hold commas."
            else:
                cells = _with_points(row) if layout.separator in ";\t" else row
                named = dict(zip(columns, cells, strict=False))
                yield number, with_metadata(named) if are_subjects else named


def _with_points(row: list[str]) -> list[str]:
    """Replace decimal commas, as spreadsheets in many countries write them, by points.

    If other cells have points, a comma may separate thousands and is kept.
    """
    if any(_POINT.fullmatch(cell) for cell in row):
        return row
    return [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in row]


class _Numbered:
    """Iterates over lines without comments, and counts lines."""

    def __init__(self, lines: PlainLines, layout: Layout) -> None:
        self._lines = lines
        self._layout = layout
        self._is_quoted = False  # whether a quoted value continues
        self.number = self.last_row = layout.n_skipped

    def __iter__(self) -> Iterator[str]:
        while line := self._lines.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise csv.Error("a row is too long")
            self.number += 1
            if self.number > self.last_row + _MAX_IDLE_LINES:
                raise csv.Error(f"over {_MAX_IDLE_LINES:,} lines hold no row")
            if not self._is_quoted and is_comment(line):
                continue
            if line.count('"') % 2:
                self._is_quoted = not self._is_quoted
            if self._layout.separator == "|":
                yield unboxed(line)
            else:
                yield line.strip(" \t\r\n") + "\n" if self._layout.separator == " " else line

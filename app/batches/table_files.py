"""Reading tables of glitches row by row: CSV, Omicron's HDF5, LIGO_LW XML."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from app.batches.facts import Facts, facts_of, read_columns
from app.core.errors import InvalidRequestError
from app.decoding.files import kinds_of, open_triggers
from glitch.errors import FormatError, MissingExtraError, TooLargeError
from glitch.strain.source import ifo_from_text

MOST_XML_BYTES = 200_000_000  # LIGO_LW is read whole
_ROWS = 8192  # of HDF5, read at a time
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LONGEST_LINE = 100_000
_KEYS = frozenset({"path", "gravityspy_id", "gps_time"})  # one of which tells what a row is of


@dataclass(frozen=True)
class Row:
    """A row of a table: what it says, or why it cannot be used."""

    name: str  # "triggers.csv row 8"
    facts: Facts | None
    reason: str = ""


def is_table(path: Path) -> bool:
    """Whether a file is one of these kinds of table, by its content."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as unpacked:
            try:
                head = unpacked.read(4096)
            except (OSError, EOFError, zlib.error):
                return False
    return is_omicron(path) or _is_xml(head) or _is_csv(head)


def is_omicron(path: Path) -> bool:
    """Whether a file is HDF5 with Omicron's dataset of triggers."""
    # At its very start: HDF5's own search would find one that lies first in a tar.
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    return kinds_of(path, path.name).holds_triggers


def origin_of_table(path: Path) -> str:
    """Where the glitches of a table come from."""
    if is_omicron(path):
        return "omicron"
    with path.open("rb") as file:
        header = file.read(4096).split(b"\n", 1)[0].decode("utf-8", "replace").lower()
    return "gravityspy" if "ml_label" in header or "gravityspy" in header else "upload"


def read_table(path: Path, name: str) -> Iterator[Row]:
    """The rows of a table, a bounded number in memory at a time (LIGO_LW apart).

    Args:
        path: Where it lies.
        name: What it was called: names the detector where nothing else does.

    Raises:
        FormatError: if it is damaged, or has no columns known here.
        TooLargeError: LIGO_LW over 200 MB.
    """
    if is_omicron(path):
        yield from _hdf5_rows(path, name)
        return
    opener = gzip.open if _is_gzip(path) else open
    with opener(path, "rb") as stream:
        is_xml = _is_xml(stream.read(4096))
        stream.seek(0)
        if is_xml:
            yield from _ligolw_rows(cast("IO[bytes]", stream), name)
        else:
            yield from _csv_rows(cast("IO[bytes]", stream), name)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _is_xml(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml") and b"LIGO_LW" in head


def _is_csv(head: bytes) -> bool:
    try:
        first = head.split(b"\n", 1)[0].decode("utf-8")
    except UnicodeDecodeError:
        return False
    if _KEYS & _header(first, ",").keys():
        return True
    # Taken for a table so that its refusal can say what is wrong; one column may be chance.
    return any(len(_header(first, separator)) > 1 for separator in ";\t")


def _header(line: str, separator: str) -> dict[str, int]:
    return read_columns(next(csv.reader([line.strip()], delimiter=separator), []))


def _csv_rows(stream: IO[bytes], name: str) -> Iterator[Row]:
    # The wrapper owns the stream and closes it with itself.
    with io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as lines:
        rows = csv.reader(_bounded(lines))
        try:
            columns = read_columns(next(rows, []))
            if not _KEYS & columns.keys():
                raise FormatError(
                    f"{name} has none of the columns path, gravityspy_id, gps_time (or "
                    "event_time): its first row must name the columns, separated by commas."
                )
            for number, row in enumerate(rows, 2):
                if row and len(row) <= max(columns.values()):
                    yield Row(f"{name} row {number}", None, "The row is shorter than the header.")
                elif row:
                    yield _checked({ours: row[at] for ours, at in columns.items()}, name, number)
        except csv.Error as error:
            reason = f"The table cannot be read on ({error}): correct it."
            yield Row(f"{name} (its rest)", None, reason)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            reason = "The table is damaged from here on: send it again."
            yield Row(f"{name} (its rest)", None, reason)


def _bounded(lines: io.TextIOWrapper) -> Iterator[str]:
    while line := lines.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error("a row is too long")
        yield line


def _checked(values: dict[str, Any], name: str, number: int) -> Row:
    label = f"{name} row {number}"
    try:
        return Row(label, facts_of(values))
    except InvalidRequestError as error:
        return Row(label, None, str(error))


def _hdf5_rows(path: Path, name: str) -> Iterator[Row]:
    triggers = open_triggers(path, name)
    table = triggers.table
    ifo = ifo_from_text(table.channel, name)
    columns = read_columns(list(table.columns))
    if "gps_time" not in columns:
        raise FormatError(f"{name}: its triggers have no column of times.")
    wanted = sorted({table.columns[at] for at in columns.values()} | (_ENDS & set(table.columns)))
    for start in range(0, table.count, _ROWS):
        count = min(_ROWS, table.count - start)
        for number, cells in enumerate(triggers.rows(start, count, wanted), start + 1):
            row = dict(zip(wanted, cells, strict=True))
            values = {ours: row[table.columns[at]] for ours, at in columns.items()}
            values |= _spans(row)
            values.setdefault("ifo", ifo or "")
            values.setdefault("channel", table.channel or "")
            yield _checked(values, name, number)


_ENDS = frozenset({"tstart", "tend", "fstart", "fend"})


def _spans(row: Mapping[str, Any]) -> dict[str, Any]:
    """Omicron gives the ends of a trigger's tile rather than its extent."""
    spans = {}
    for ours, first, last in (("duration", "tstart", "tend"), ("bandwidth", "fstart", "fend")):
        start, end = row.get(first), row.get(last)
        if ours not in row and isinstance(start, int | float) and isinstance(end, int | float):
            spans[ours] = end - start
    return spans


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _ligolw_rows(stream: IO[bytes], name: str) -> Iterator[Row]:
    """``sngl_burst`` through gwpy, or ``sngl_inspiral`` where there is none."""
    text = stream.read(MOST_XML_BYTES + 1)
    if len(text) > MOST_XML_BYTES:
        raise TooLargeError(
            f"{name} has over {MOST_XML_BYTES / 1e6:g} MB: send LIGO_LW in several files, or CSV."
        )
    if b"<!ENTITY" in text:
        raise FormatError(f"{name} declares entities, which no table needs: remove them.")
    from gwpy.table import EventTable

    try:
        table = EventTable.read(io.BytesIO(text), format="ligolw", tablename="sngl_burst")
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is LIGO_LW, which needs the optional packages of the extra ligolw: install "
            "glitch-discovery[ligolw] on the server, or send the table as CSV or HDF5."
        ) from error
    except Exception as error:  # the parsers raise whatever they stumble over
        raise FormatError(
            f"{name} holds no table sngl_burst that can be read ({type(error).__name__})."
        ) from error
    names = list(table.colnames)
    columns = read_columns(names)
    if "gps_time" not in columns:
        raise FormatError(f"{name}: its table has no peak_time.")
    for number in range(len(table)):
        row = table[number]
        values = {ours: _python(row[names[at]]) for ours, at in columns.items()}
        values.pop("gravityspy_id", None)
        yield _checked(values, name, number + 1)

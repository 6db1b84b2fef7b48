"""The formats of an export. Each is written in parts, by several workers if needed, and joined.

Only a block of rows is held in memory, regardless of the length of the table.
"""

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from glitch.tables.exports import ligolw
from glitch.tables.exports.columns import COLUMNS, FETCHED, LONG_TEXT, Column

# A spreadsheet would evaluate it: channels and flags of a batch may be any text. Ids cannot match.
_IS_FORMULA = re.compile(r"[=+@-](?![\w-]*\Z)", re.ASCII)
TABLE = "triggers"  # the dataset of an HDF5 export, named as Omicron's
About = Mapping[str, Any]  # properties of the exported cluster, by column
LATENTS = "latents"  # a second dataset: the latent vector of each row, NaN if it has none
# Sentences are stored as attributes of the table: a row of kilobytes would not be read back as a
# trigger.
_STORED = tuple(column for column in COLUMNS if column.width <= LONG_TEXT)
_DTYPE = np.dtype(
    [
        (column.name, f"S{column.width}" if column.is_text else "i8" if column.is_whole else "f8")
        for column in _STORED
    ]
)


@dataclass(frozen=True)
class Format:
    """A file format for a table."""

    name: str  # name in requests
    title: str  # name for display
    suffix: str  # file suffix
    media_type: str
    # writes a file for ``join`` and returns the number of rows
    write_part: Callable[[Iterable[Any], Path], int]
    join: Callable[[Sequence[Path], Path, About], None]  # joins parts, in order, into one file
    has_latents: bool = False  # whether its rows need their latent vectors

    @property
    def is_streamed(self) -> bool:
        """Whether a response may begin before the last row is read."""
        return self.name == "csv"


def csv_lines(rows: Iterable[Any]) -> Iterator[str]:
    """Yield a CSV table in blocks of rows. Unknown values are empty."""
    yield _csv_header()
    for block in _blocks(rows):
        yield _csv_text(block)


def _blocks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    source = iter(rows)
    while block := list(islice(source, FETCHED)):
        yield block


def _csv_header() -> str:
    return ",".join(column.name for column in COLUMNS) + "\n"


def _csv_text(rows: Iterable[Any]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(column, column.value(row)) for column in COLUMNS])
    return buffer.getvalue()


@dataclass(frozen=True)
class _Text:
    """How rows become text, and the text before, between and after them."""

    text_of: Callable[[Iterable[Any]], str]
    header: Callable[[About], str]
    between: str = ""
    footer: str = ""

    def write_part(self, rows: Iterable[Any], path: Path) -> int:
        number = 0
        with path.open("w", encoding="utf-8", newline="") as file:
            for block in _blocks(rows):
                file.write((self.between if number else "") + self.text_of(block))
                number += len(block)
        return number

    def join(self, parts: Sequence[Path], path: Path, about: About) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(self.header(about))
            for index, part in enumerate(one for one in parts if one.stat().st_size):
                file.write(self.between if index else "")
                with part.open(encoding="utf-8", newline="") as source:
                    shutil.copyfileobj(source, file)
            file.write(self.footer)


_CSV = _Text(_csv_text, lambda _: _csv_header())
_LIGOLW = _Text(ligolw.stream_text, ligolw.header, ligolw.BETWEEN, ligolw.FOOTER)


def _write_hdf5(rows: Iterable[Any], path: Path) -> int:
    """Write an HDF5 file with one table, for ``EventTable.read(path, format='hdf5')``.

    ``event_time`` is a float, accurate to a tenth of a microsecond; ``peak_time`` and
    ``peak_time_ns`` are exact.
    """
    with h5py.File(path, "w") as file:
        table = _empty_table(file)
        for block in _blocks(rows):
            packed = [tuple(_packed(one, one.value(row)) for one in _STORED) for row in block]
            _append(table, np.array(packed, dtype=_DTYPE))
            _append_latents(file, [row.mean for row in block])
        return int(table.shape[0])


def _append_latents(file: h5py.File, vectors: Sequence[Any]) -> None:
    """Append latent vectors; once the first gives their length, earlier rows are set to NaN."""
    example = next((one for one in vectors if one is not None), None)
    if LATENTS not in file:
        if example is None:
            return
        shape = (0, len(example))
        before = file[TABLE].shape[0] - len(vectors)
        file.create_dataset(
            LATENTS,
            shape,
            "f4",
            maxshape=(None, len(example)),
            chunks=(FETCHED, len(example)),
            fillvalue=np.nan,
        ).resize(before, axis=0)
    latents = file[LATENTS]
    block = np.full((len(vectors), latents.shape[1]), np.nan, dtype=np.float32)
    for row, one in enumerate(vectors):
        if one is not None:
            block[row] = one
    _append(latents, block)


def _join_hdf5(parts: Sequence[Path], path: Path, about: About) -> None:
    with h5py.File(path, "w") as file:
        table = _empty_table(file)
        table.attrs.update({name: value for name, value in about.items() if value is not None})
        for part in parts:
            with h5py.File(part, "r") as source:
                for start in range(0, source[TABLE].shape[0], FETCHED):
                    block = source[TABLE][start : start + FETCHED]
                    _append(table, block)
                    found = source[LATENTS][start : start + FETCHED] if LATENTS in source else None
                    _append_latents(file, [None] * len(block) if found is None else list(found))


def _empty_table(file: h5py.File) -> h5py.Dataset:
    return file.create_dataset(
        TABLE, (0,), _DTYPE, maxshape=(None,), chunks=(FETCHED,), compression="gzip"
    )


def _append(table: h5py.Dataset, block: np.ndarray) -> None:
    start = table.shape[0]
    table.resize(start + len(block), axis=0)
    table[start:] = block


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.is_text:
        text = str(value)
        return f"'{text}" if _IS_FORMULA.match(text) else text
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return repr(value)


def _packed(column: Column, value: Any) -> Any:
    if column.is_text:
        return ("" if value is None else str(value)).encode()[: column.width]
    if value is None:
        return 0 if column.is_whole else np.nan
    return int(value) if column.is_whole else float(value)


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("csv", "CSV", "csv", "text/csv", _CSV.write_part, _CSV.join),
        Format("hdf5", "HDF5", "h5", "application/x-hdf5", _write_hdf5, _join_hdf5, True),
        Format("ligolw", "LIGO_LW", "xml", "application/xml", _LIGOLW.write_part, _LIGOLW.join),
    )
}

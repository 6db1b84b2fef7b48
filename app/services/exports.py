"""The catalogue as a table for other tools, in Gravity Spy's column names, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.services.checkpoints import active_checkpoint
from app.services.errors import NotReadyError
from app.services.records import GlitchFilters
from app.services.selection import check_filters, embedding_conditions, glitch_conditions
from app.store.models import Embedding, Glitch, GlitchClass

TABLE = "triggers"  # the dataset of an HDF5 export, as Omicron calls its own
_ROWS = 2000
_TEXT = 64  # bytes of a text cell in HDF5; channels are cut there
# Column: is it text, its value. Names are those of Gravity Spy's releases, ours after them.
_COLUMNS: tuple[tuple[str, bool, Callable[[Any], Any]], ...] = (
    ("event_time", False, lambda row: row.gps_time),
    ("ifo", True, lambda row: row.ifo),
    ("peak_time", False, lambda row: None if row.gps_time is None else int(row.gps_time)),
    ("peak_time_ns", False, lambda row: None if row.gps_time is None else _nanoseconds(row)),
    ("duration", False, lambda row: row.duration),
    ("peak_frequency", False, lambda row: row.peak_frequency),
    ("bandwidth", False, lambda row: row.bandwidth),
    ("channel", True, lambda row: row.channel),
    ("snr", False, lambda row: row.snr),
    ("q_value", False, lambda row: row.q),
    ("gravityspy_id", True, lambda row: row.gravityspy_id or str(row.id)),
    ("ml_label", True, lambda row: row.label),
    ("origin", True, lambda row: row.origin),
    ("novelty_score", False, lambda row: row.novelty_score),
    ("p_value", False, lambda row: row.p_value),
)
_WHOLE = ("peak_time", "peak_time_ns")


def export_rows(session: Session, filters: GlitchFilters) -> Iterator[Any]:
    """The glitches that pass, by id; a bounded number of them in memory at a time.

    Raises:
        InvalidRequestError: a filter without sense, a class that is none.
        NotReadyError: if novelty is asked for and no checkpoint is active.
    """
    check_filters(filters)
    about_embedding = embedding_conditions(filters)
    try:
        active: int | None = active_checkpoint(session).id
    except NotReadyError:
        if about_embedding:
            raise
        active = None
    statement = (
        select(
            Glitch.id,
            Glitch.gravityspy_id,
            Glitch.ifo,
            Glitch.channel,
            Glitch.gps_time,
            Glitch.snr,
            Glitch.peak_frequency,
            Glitch.duration,
            Glitch.bandwidth,
            Glitch.q,
            Glitch.origin,
            GlitchClass.name.label("label"),
            Embedding.novelty_score,
            Embedding.p_value,
        )
        .outerjoin(GlitchClass, GlitchClass.id == Glitch.class_id)
        .outerjoin(
            Embedding,
            and_(Embedding.glitch_id == Glitch.id, Embedding.checkpoint_id == active),
        )
        .where(*glitch_conditions(session, filters), *about_embedding)
        .order_by(Glitch.id)
        .limit(_ROWS)
    )
    return _pages(session, statement)


def _pages(session: Session, statement: Any) -> Iterator[Any]:
    page = session.execute(statement).all()
    while page:
        yield from page
        if len(page) < _ROWS:
            return
        page = session.execute(statement.where(Glitch.id > page[-1].id)).all()


def csv_lines(rows: Iterator[Any]) -> Iterator[str]:
    """A CSV, some rows at a time. Unknown values are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([name for name, _, _ in _COLUMNS])
    for number, row in enumerate(rows, 1):
        writer.writerow([_cell(value(row), is_text=is_text) for _, is_text, value in _COLUMNS])
        if number % _ROWS == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def write_hdf5(rows: Iterator[Any], path: Path) -> int:
    """An HDF5 file with one table, as ``EventTable.read(path, format='hdf5')`` takes it.

    ``event_time`` is a float there, true to a tenth of a microsecond; ``peak_time`` and
    ``peak_time_ns`` are exact.

    Returns:
        How many rows.
    """
    kinds = [
        (name, f"S{_TEXT}" if is_text else "i8" if name in _WHOLE else "f8")
        for name, is_text, _ in _COLUMNS
    ]
    dtype = np.dtype(kinds)
    with h5py.File(path, "w") as file:
        table = file.create_dataset(
            TABLE, (0,), dtype, maxshape=(None,), chunks=(_ROWS,), compression="gzip"
        )
        block: list[tuple[Any, ...]] = []
        for row in rows:
            block.append(tuple(_packed(name, is_text, get(row)) for name, is_text, get in _COLUMNS))
            if len(block) == _ROWS:
                _append(table, block, dtype)
                block = []
        _append(table, block, dtype)
        return int(table.shape[0])


def _append(table: h5py.Dataset, block: list[tuple[Any, ...]], dtype: np.dtype) -> None:
    if block:
        start = table.shape[0]
        table.resize(start + len(block), axis=0)
        table[start:] = np.array(block, dtype=dtype)


def _cell(value: Any, *, is_text: bool) -> str:
    if value is None:
        return ""
    if is_text:
        return str(value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return repr(value)


def _packed(name: str, is_text: bool, value: Any) -> Any:
    if is_text:
        return ("" if value is None else str(value)).encode()[:_TEXT]
    if value is None:
        return 0 if name in _WHOLE else np.nan
    return int(value) if name in _WHOLE else float(value)


def _nanoseconds(row: Any) -> int:
    return int((row.gps_time - int(row.gps_time)) * 1_000_000_000)

"""Tables in a batch. Text and LIGO_LW are read here, HDF5 and ROOT by child processes."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.core.database import as_uuid
from app.decoding.files import kinds_of, open_triggers
from app.glitches.tables import Glitch
from glitch.detectors import detector_of_channel, detector_of_file_name
from glitch.errors import FormatError, TooLargeError
from glitch.files.compressed import content_head
from glitch.tables import (
    Facts,
    TableRow,
    is_text_table,
    needed_columns,
    read_text_table,
    refuse_unread,
    table_row,
)
from glitch.tables.coherent import rows_by_detector
from glitch.tables.columns import NOT_TRIGGERS, ONLY_SPANS, are_parameters, may_be_segments
from glitch.tables.reading import origin_of, text_columns
from glitch.tables.root import is_root
from glitch.tables.segments import is_text_of_segments
from glitch.tables.times import are_of_one_signal, are_rounded

_ROWS, _ROOT_ROWS = 8192, 65_536  # per read; more for ROOT, because loading uproot takes 1 s
_FIRST = 100  # rows from which the kind of a table is determined
_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_table(path: Path) -> bool:
    """Whether a file is a supported table, by its content."""
    return holds_binary_table(path) or (is_text_table(path) and not is_text_of_segments(path))


def is_of_triggers(path: Path, name: str) -> bool:
    """Whether the first rows of a table have times, and no path or Gravity Spy id of a picture.

    Raises:
        GlitchError: as ``read_table``.
    """
    facts = [row.facts for row in islice(read_table(path, name), _FIRST) if row.facts is not None]
    return bool(facts) and all(
        one.path is None and one.gravityspy_id is None and not any(one.urls) and one.gps_time
        for one in facts
    )


def holds_binary_table(path: Path) -> bool:
    """Whether a file is a ROOT file, or HDF5 with a table of triggers."""
    if is_root(path):
        return True
    # Only at offset 0: HDF5's own search would also find a file that is first in a tar.
    if not content_head(path).startswith(_HDF5):
        return False
    return kinds_of(path, path.name).holds_triggers


def read_table(path: Path, name: str) -> Iterator[TableRow]:
    """Yield the rows of a table, each with its origin; memory use is bounded.

    The original file name gives the detector if nothing else does.

    Raises:
        FormatError: if it is damaged, not supported, or has no known columns.
        TooLargeError: if its rows are too long, or more than its size allows.
    """
    refuse_unread(path, name)
    if holds_binary_table(path):
        columns = list(open_triggers(path, name).table.columns)
        rows = _binary_rows(path, name)
    else:
        columns = text_columns(path)
        origin = origin_of(columns)
        rows = (row.with_origin(origin) for row in read_text_table(path, name))
    if may_be_segments(columns):
        raise FormatError(f"{name} {ONLY_SPANS}")
    first = list(islice(rows, _FIRST))
    times = [row.facts.gps_time for row in first if row.facts is not None]
    if are_parameters(columns) and are_of_one_signal(times):
        raise FormatError(f"{name} {NOT_TRIGGERS}")
    if are_rounded(times):
        raise FormatError(
            f"{name}: its times are all multiples of 64 s, the precision of 32-bit floats: write "
            "them as float64, with all digits."
        )
    yield from chain(first, rows)


def _binary_rows(path: Path, name: str) -> Iterator[TableRow]:
    triggers = open_triggers(path, name)
    table = triggers.table
    if table.count > path.stat().st_size:  # a small HDF5 file can declare any number
        raise TooLargeError(
            f"{name} declares {table.count:,} rows, more than a file of its size can contain: "
            "write only its rows, without reserved space."
        )
    ifo = table.ifo or detector_of_channel(table.channel) or detector_of_file_name(name)
    columns = needed_columns(table.columns)
    origin = origin_of(list(table.columns)) or ("omicron" if table.is_omicron else None)
    size = _ROOT_ROWS if is_root(path) else _ROWS
    for start in range(0, table.count, size):
        count = min(size, table.count - start)
        for number, cells in enumerate(triggers.rows(start, count, columns), start + 1):
            values = dict(zip(columns, cells, strict=True))
            if table.channel:
                values.setdefault("channel", table.channel)
            for row in rows_by_detector(values):
                yield table_row(f"{name} row {number}", row, ifo=ifo).with_origin(origin)


_SAME_TIME = Decimal("1e-6")  # s; older exports have times only as floats


def known_glitches(session: Session, rows: Sequence[Facts]) -> dict[int, UUID]:
    """Stored glitches by the position of the row that refers to them.

    A row counts only if its detector and time agree with the stored ones, because an id alone does
    not identify a glitch. Other rows are ignored.
    """
    stated_ids = {position: row.glitch_id for position, row in enumerate(rows) if row.glitch_id}
    if not stated_ids:
        return {}
    ids = {text: one for text in stated_ids.values() if (one := as_uuid(text))}
    names = set(stated_ids.values()) - ids.keys()
    stored = session.execute(
        select(Glitch.id, Glitch.gravityspy_id, Glitch.ifo, Glitch.gps_time).where(
            or_(Glitch.id.in_(ids.values()), Glitch.gravityspy_id.in_(names))
        )
    ).all()
    by_id = {one.id: one for one in stored}
    by_name = {one.gravityspy_id: one for one in stored}
    glitch_ids: dict[int, UUID] = {}
    for position, text in stated_ids.items():
        match = by_id.get(ids[text]) if text in ids else by_name.get(text)
        if match is not None and agrees(rows[position], match.ifo, match.gps_time):
            glitch_ids[position] = match.id
    return glitch_ids


def agrees(row: Facts, ifo: str | None, gps_time: Decimal | None) -> bool:
    """Whether a row may refer to the glitch with this detector and time.

    A table's file name gives a detector to all its rows, also to those of glitches without one.
    """
    if ifo not in (None, row.ifo) or (row.gps_time is None) != (gps_time is None):
        return False
    return gps_time is None or abs(Decimal(str(row.gps_time)) - gps_time) <= _SAME_TIME

"""Many rows at once, as arrays: PostgreSQL's binary COPY read and written through numpy.

A million rows as Python objects take tens of seconds and gigabytes; as one array, about a second.
It needs rows of one length, so columns of fixed width without NULL.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psycopg
from psycopg import Connection, Copy, sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

_HEADER_BYTES = 19  # signature, flags, and the length of an extension that nobody uses
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


def read_rows(session: Session, query: sql.Composable, columns: np.dtype) -> np.ndarray:
    """The result of a query, as a structured array.

    Args:
        session: The transaction to read in.
        query: A SELECT whose columns have fixed widths and no NULL; values are part of it, quoted
            by ``psycopg.sql``.
        columns: The columns in order, big-endian, as PostgreSQL sends them: ``V16`` for a uuid,
            ``>f4`` for a real, ``S2`` for a text of two bytes.
    """
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(query)
    parts = bytearray()
    with _copying(session, statement) as copy:
        for part in copy:
            parts += part
    framed = _framed(columns)
    body = memoryview(parts)[_HEADER_BYTES : len(parts) - len(_TRAILER)]
    if len(body) % framed.itemsize:
        raise ValueError("The rows are not of one length: a column is NULL or of varying width.")
    rows = np.frombuffer(body, dtype=framed)
    names = columns.names or ()
    for name in names:
        if len(rows) and not (rows[f"{name} length"] == columns[name].itemsize).all():
            raise ValueError(f"Column {name} has NULLs or varying widths.")
    return rows[list(names)]


def write_rows(session: Session, table: str, rows: np.ndarray) -> None:
    """Add the rows of a structured array to a table; its columns are the array's.

    Args:
        session: The transaction to write in.
        table: A table of ours.
        rows: A structured array in the machine's or any byte order; ``V16`` for a uuid, bool for a
            boolean.
    """
    names = rows.dtype.names or ()
    sent = np.dtype([(name, rows.dtype[name].newbyteorder(">")) for name in names])
    framed = np.zeros(len(rows), dtype=_framed(sent))
    framed["fields"] = len(names)
    for name in names:
        framed[f"{name} length"] = sent[name].itemsize
        framed[name] = rows[name]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with _copying(session, statement) as copy:
        copy.write(_SIGNATURE)
        copy.write(framed.tobytes())
        copy.write(_TRAILER)


def _framed(columns: np.dtype) -> np.dtype:
    """A row as COPY frames it: the number of fields, then each behind its length."""
    fields: list[tuple[str, np.dtype]] = [("fields", np.dtype(">i2"))]
    for name in columns.names or ():
        fields += [(f"{name} length", np.dtype(">i4")), (name, columns[name])]
    return np.dtype(fields)


@contextmanager
def _copying(session: Session, statement: sql.Composed) -> Iterator[Copy]:
    """A COPY whose errors are SQLAlchemy's, as those of every other statement."""
    session.flush()
    connection = session.connection()
    driver = connection.connection.driver_connection
    assert isinstance(driver, Connection)  # noqa: S101  (the engine has no other driver)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise DBAPIError.instance(
            "COPY", None, error, psycopg.Error, connection_invalidated=driver.closed
        ) from error

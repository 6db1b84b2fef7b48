"""Read and write many rows as numpy arrays, with PostgreSQL's binary COPY.

A million rows as Python objects take tens of seconds and gigabytes; as one array, about a second.
All rows must have the same length, so columns have fixed widths and no NULLs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psycopg
from psycopg import Connection, Copy, sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

_HEADER_BYTES = 19  # signature, flags, and the length of the header extension, which is unused
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


def read_rows(session: Session, query: sql.Composable, columns: np.dtype) -> np.ndarray:
    """Return the result of a query as a structured array.

    Args:
        session: The transaction to read in.
        query: A SELECT whose columns have fixed widths and no NULLs. Values are part of the text,
            quoted by ``psycopg.sql``.
        columns: The columns in order, big-endian, as PostgreSQL sends them: ``V16`` for a uuid,
            ``>f4`` for a real, ``S2`` for a text of two bytes.

    Raises:
        ValueError: if a column has NULLs or varying widths.
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
    """Append the rows of a structured array to a table with columns of the same names.

    Args:
        session: The transaction to write in.
        table: Name of the table.
        rows: A structured array of any byte order; ``V16`` for a uuid, bool for a boolean.
    """
    names = rows.dtype.names or ()
    big_endian = np.dtype([(name, rows.dtype[name].newbyteorder(">")) for name in names])
    framed = np.zeros(len(rows), dtype=_framed(big_endian))
    framed["fields"] = len(names)
    for name in names:
        framed[f"{name} length"] = big_endian[name].itemsize
        framed[name] = rows[name]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with _copying(session, statement) as copy:
        copy.write(_SIGNATURE)
        copy.write(framed.tobytes())
        copy.write(_TRAILER)


def _framed(columns: np.dtype) -> np.dtype:
    """Return the COPY format of a row: the number of fields, then each field after its length."""
    fields: list[tuple[str, np.dtype]] = [("fields", np.dtype(">i2"))]
    for name in columns.names or ():
        fields += [(f"{name} length", np.dtype(">i4")), (name, columns[name])]
    return np.dtype(fields)


@contextmanager
def _copying(session: Session, statement: sql.Composed) -> Iterator[Copy]:
    """Run a COPY; its errors are converted to SQLAlchemy's, like those of other statements."""
    session.flush()
    connection = session.connection()
    driver = connection.connection.driver_connection
    assert isinstance(driver, Connection)  # noqa: S101  (the engine always uses psycopg)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise DBAPIError.instance(
            "COPY", None, error, psycopg.Error, connection_invalidated=driver.closed
        ) from error

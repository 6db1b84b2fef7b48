"""Several statements in one round trip to the server."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import ClientCursor
from sqlalchemy.orm import Session


def in_one_trip(
    session: Session, statements: str, values: Mapping[str, object]
) -> Sequence[tuple[Any, ...]]:
    """The rows of the last of several statements, parted by semicolons.

    Each sees what others had committed when it began, as if it were sent alone: what comes behind
    a lock sees what was done under it.

    Args:
        session: The transaction; the first statement must return rows, as a SELECT does.
        statements: SQL with ``%(name)s`` where a value goes.
        values: By name. They are written into the text, quoted: the server takes values apart from
            it for single statements alone.
    """
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    text = ClientCursor(driver).mogrify(statements, values)
    result = connection.exec_driver_sql(text, execution_options={"no_parameters": True})
    cursor: Any = result.cursor
    while cursor.nextset():
        pass
    rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    result.close()
    return rows

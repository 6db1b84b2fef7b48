"""Several statements in one round trip to the server."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import ClientCursor
from sqlalchemy.orm import Session


def in_one_round_trip(
    session: Session, statements: str, values: Mapping[str, object]
) -> Sequence[tuple[Any, ...]]:
    """Run several statements separated by semicolons, and return the rows of the last one.

    Each statement sees what was committed when it began, as if it were sent alone. So a statement
    after one that takes a lock sees the changes made under that lock before.

    Args:
        session: The transaction; the first statement must return rows, such as a SELECT.
        statements: SQL with ``%(name)s`` for each value.
        values: Values by name. They are quoted and inserted into the text, because the server
        accepts separate parameters for single statements only.
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

"""The engine and the session factory."""

import select
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

# Of libpq. A server whose machine or network is gone says nothing: by the system's own times a
# connection in use hangs for a quarter of an hour, an idle one for two.
_UNREACHABLE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms
}
POSTGRESQL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseUrlError(ValueError):
    """The database address cannot be used; the message says what is needed."""


def parse_database_url(database_url: str) -> URL:
    """The address with our driver, whichever PostgreSQL scheme it has.

    Raises:
        DatabaseUrlError: if it is no PostgreSQL address. The message never repeats the address,
            because it may hold a password.
    """
    advice = "give one like postgresql://user:password@host:5432/glitch as DATABASE_URL."
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(f"The database address cannot be read: {advice}") from None
    if url.drivername not in POSTGRESQL_SCHEMES:
        raise DatabaseUrlError(
            f"The database address starts with {url.drivername}, but only PostgreSQL serves: "
            f"{advice}"
        )
    return url.set(drivername="postgresql+psycopg")


def make_engine(
    database_url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 10,
    wait_s: float = 30,
    lock_wait_s: float = 0,
) -> Engine:
    """An engine on this database.

    ``max_overflow`` more connections may be there for a while than are kept; a caller waits
    ``wait_s`` seconds for one, and a statement ``lock_wait_s`` for a lock (0: without end).

    Nothing is prepared on the server: a plan must see the checkpoint, the filters and the limit to
    choose partition and index, and connection poolers in front of PostgreSQL keep working.
    """
    url = parse_database_url(database_url)
    own = {name: value for name, value in _UNREACHABLE.items() if name not in url.query}
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=wait_s,
        connect_args={"prepare_threshold": None, "application_name": "glitch-discovery", **own},
    )
    event.listen(engine, "checkout", _refuse_left)
    if lock_wait_s:
        event.listen(engine, "connect", partial(_bound_locks, lock_wait_s))
    return engine


def _bound_locks(wait_s: float, connection: Any, *_: object) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = {round(1000 * wait_s)}")
    connection.autocommit = False


def _refuse_left(connection: Any, *_: object) -> None:
    """Have a connection reopened whose server has closed it.

    The socket is checked, because a query to the server would cost every request a round trip.
    """
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    if look.poll(0):
        raise InvalidatePoolError


def make_session_factory(
    engine: Engine, *, info: Mapping[str, object] | None = None
) -> sessionmaker[Session]:
    """Sessions for one request or task each; the caller commits, services never do."""
    return sessionmaker(engine, expire_on_commit=False, info=dict(info or {}))

"""The engine and the session factory."""

import select
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

from app.core.errors import LaunchError

# libpq options that detect a lost server. With the system's defaults, a connection in use would
# hang for a quarter of an hour if the server's machine or network fails, and an idle one for two.
_UNREACHABLE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms
}
POSTGRESQL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def parse_database_url(database_url: str) -> URL:
    """Parse a PostgreSQL address of any scheme, and set the driver to psycopg.

    Raises:
        LaunchError: if it is not a PostgreSQL address. The message never repeats the address,
            because it may contain a password.
    """
    advice = "give one like postgresql://user:password@host:5432/glitch as DATABASE_URL."
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise LaunchError(f"The database address cannot be read: {advice}") from None
    if url.drivername not in POSTGRESQL_SCHEMES:
        raise LaunchError(
            f"The database address starts with {url.drivername}, but only PostgreSQL is supported: "
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
    """Make an engine for this database.

    Args:
        database_url: Any PostgreSQL address.
        pool_size: Number of connections that are kept open.
        max_overflow: Number of additional connections at times of high load.
        wait_s: Maximum time to wait for a connection, in seconds.
        lock_wait_s: Maximum time that a statement waits for a lock, in seconds; 0: unlimited.

    Statements are not prepared on the server. The planner must see the checkpoint, the filters and
    the limit to choose partition and index, and connection poolers in front of PostgreSQL keep
    working.
    """
    url = parse_database_url(database_url)
    limits = {name: value for name, value in _UNREACHABLE.items() if name not in url.query}
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=wait_s,
        connect_args={"prepare_threshold": None, "application_name": "glitch-discovery", **limits},
    )
    event.listen(engine, "checkout", _refuse_closed)
    if lock_wait_s:
        event.listen(engine, "connect", partial(_bound_locks, lock_wait_s))
    return engine


def _bound_locks(wait_s: float, connection: Any, *_: object) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = {round(1000 * wait_s)}")
    connection.autocommit = False


def _refuse_closed(connection: Any, *_: object) -> None:
    """Make SQLAlchemy replace a connection that the server has closed.

    This only polls the socket, because a query would cost every request a round trip.
    """
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    if look.poll(0):
        raise InvalidatePoolError


def make_session_factory(
    engine: Engine, *, info: Mapping[str, object] | None = None
) -> sessionmaker[Session]:
    """Return a session factory, for one session per request or task.

    The caller commits; services never do. ``info`` is copied to ``Session.info``.
    """
    return sessionmaker(engine, expire_on_commit=False, info=dict(info or {}))

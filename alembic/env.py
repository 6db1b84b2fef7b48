"""Alembic environment: the database to connect to and the tables to compare."""

from __future__ import annotations

import os
import re
from typing import Any

import sqlalchemy as sa

from alembic import context
from app.core.engine import make_engine
from app.core.postgres.partitions import PARTITION_PATTERN
from app.tables import metadata

UPGRADER_LOCK = 6_720_341_905  # arbitrary, but the same for all processes that migrate
LOCK_TIMEOUT = "5s"  # fail, because requests queue behind a migration that waits for a lock


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Exclude partitions, because they are created when a checkpoint is published."""
    return not (kind == "table" and name is not None and re.match(PARTITION_PATTERN, name))


def database_url() -> str:
    url = context.config.attributes.get("database_url") or os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("Set DATABASE_URL to the database to migrate, then run alembic again.")
    return str(url)


def configure(**arguments: Any) -> None:
    context.configure(
        target_metadata=metadata,
        include_name=include_name,
        compare_server_default=True,
        **arguments,
    )


def run_offline() -> None:
    configure(url=database_url(), literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()


def run_online() -> None:
    engine = make_engine(database_url())
    try:
        with engine.connect() as connection:
            configure(connection=connection)
            with context.begin_transaction():
                # Before lock_timeout is set: waiting for another migration must not time out.
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({UPGRADER_LOCK})"))
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
                context.run_migrations()
    finally:
        engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()

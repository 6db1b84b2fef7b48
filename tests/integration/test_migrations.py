"""Migrations: from empty, back, in a race, and in agreement with the models."""

from __future__ import annotations

from sqlalchemy import text

from alembic import command
from app.store import migrate
from app.store.engine import make_engine


def tables(database_url: str) -> set[str]:
    engine = make_engine(database_url)
    with engine.connect() as connection:
        names = connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        )
        found = set(names)
    engine.dispose()
    return found


def test_upgrade_from_empty_and_back(empty_database_url: str) -> None:
    assert not migrate.is_up_to_date(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert migrate.is_up_to_date(empty_database_url)
    assert {"glitch", "view", "embedding", "label", "api_token"} <= tables(empty_database_url)
    command.downgrade(migrate.alembic_config(empty_database_url), "base")
    assert tables(empty_database_url) == {"alembic_version"}
    migrate.upgrade(empty_database_url)


def test_models_and_migrations_agree(database_url: str) -> None:
    migrate.check(database_url)

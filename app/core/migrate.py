"""Migrations, run from Python: at start, by ``make up`` and by the compose file's migrate step."""

import sysconfig
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from alembic import command


class MigrationsNotFoundError(RuntimeError):
    """The installation lacks its migrations."""


def migrations_folder() -> Path:
    """The folder of the migrations: beside ``app/`` in a checkout, or in the wheel's data."""
    places = (
        Path(__file__).resolve().parents[2] / "alembic",
        Path(sysconfig.get_path("data")) / "share" / "glitch-discovery" / "alembic",
    )
    for place in places:
        if (place / "env.py").is_file():
            return place
    raise MigrationsNotFoundError(
        "The database migrations were not found in "
        + " or ".join(str(place) for place in places)
        + ": install Glitch Discovery again."
    )


def alembic_config(database_url: str) -> Config:
    """An Alembic configuration for this database; needs no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database to a revision, in one transaction; a second upgrader waits its turn.

    Raises:
        DatabaseUrlError: if the address is no PostgreSQL address.
    """
    command.upgrade(alembic_config(database_url), revision)


@cache  # the migrations of a running process do not change, and probes ask often
def head_revision() -> str | None:
    """The latest revision known to this code."""
    return ScriptDirectory.from_config(alembic_config("")).get_current_head()


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at; None if it was never migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()

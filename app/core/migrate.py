"""Database migrations run from Python: at start, by ``make up`` and by the compose file."""

import sysconfig
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from alembic import command
from app.core.errors import LaunchError


def migrations_folder() -> Path:
    """Return the folder of the migrations, next to ``app/`` or in the wheel's data."""
    places = (
        Path(__file__).resolve().parents[2] / "alembic",
        Path(sysconfig.get_path("data")) / "share" / "glitch-discovery" / "alembic",
    )
    for place in places:
        if (place / "env.py").is_file():
            return place
    raise LaunchError(
        "The database migrations were not found in "
        + " or ".join(str(place) for place in places)
        + ": install Glitch Discovery again."
    )


def alembic_config(database_url: str) -> Config:
    """Return an Alembic configuration for this database, without an alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Migrate the database to a revision, in one transaction.

    A concurrent migration waits until this one ends.

    Raises:
        LaunchError: if the address is not a PostgreSQL address.
    """
    command.upgrade(alembic_config(database_url), revision)


@cache  # the migrations of a running process do not change, and probes ask often
def head_revision() -> str | None:
    """Return the latest revision known to this code."""
    return ScriptDirectory.from_config(alembic_config("")).get_current_head()


def current_revision(engine: Engine) -> str | None:
    """Return the revision of the database; None if it was never migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()

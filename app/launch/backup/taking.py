"""Taking a backup, of a running service too."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from app.core.settings import Settings
from app.launch.backup.contents import (
    DUMP,
    FILES,
    KEPT,
    Kept,
    Manifest,
    copy_file,
    count_rows,
    digest_of,
    files_below,
    run_program,
)
from app.launch.database import open_database
from app.launch.errors import LaunchError
from glitch_discovery.version import VERSION


def take_backup(settings: Settings, target: Path) -> Manifest:
    """Write a backup; it appears under its name once it is whole.

    The dump and the counts are of one snapshot of the database. Files are copied after it: what
    the database names is written before it is named, so that nothing of the snapshot is missing
    but what was removed meanwhile because nothing needs it any more.

    Args:
        settings: Which database and data directory.
        target: A folder that does not exist yet, or is empty.

    Raises:
        LaunchError: if it cannot be taken.
    """
    target = target.expanduser().absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise LaunchError(f"{target} exists and is not empty: give another folder.")
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".backup-", dir=target.parent))  # of mode 0700
        manifest = _write(settings, partial)
        manifest.write(partial)
        partial.replace(target)
    except OSError as error:
        raise LaunchError(
            f"The backup cannot be written to {target} ({error.strerror or error}): make room, or "
            "give another folder."
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write(settings: Settings, folder: Path) -> Manifest:
    files: dict[str, Kept] = {}
    with open_database(settings) as database, database.sessions() as session:
        connection = session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        revision = _revision(connection)
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        counts = count_rows(connection)
        run_program(
            "pg_dump",
            database.url,
            "--format=custom",
            f"--snapshot={snapshot}",
            "--no-owner",
            "--no-privileges",
            f"--file={folder / DUMP}",
        )
        files[DUMP] = digest_of(folder / DUMP)
        for name in KEPT:
            for path in files_below(settings.data_dir / name):
                within = f"{FILES}/{path.relative_to(settings.data_dir)}"
                with contextlib.suppress(FileNotFoundError):  # removed since: nothing needs it
                    files[within] = copy_file(path, folder / within)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(made_at, VERSION, revision, counts, files)


def _revision(connection: Connection) -> str:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        raise LaunchError(
            "The database has no tables yet, so there is nothing to back up: see that "
            "GLITCH_DATA_DIR or DATABASE_URL are those of the service."
        )
    return found

"""Restoring a backup into an empty place, and counting what arrived."""

from __future__ import annotations

from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import text

from app.core.migrate import alembic_config
from app.core.settings import Settings
from app.launch.backup.contents import (
    DUMP,
    FILES,
    KEPT,
    Manifest,
    copy_file,
    count_rows,
    digest_of,
    run_program,
)
from app.launch.data_directory import prepare_data_directory
from app.launch.database import Database, open_database
from app.launch.errors import LaunchError
from app.launch.token_file import TOKEN_FILE


def restore_backup(settings: Settings, source: Path) -> Manifest:
    """Bring a backup back into a database without tables, and files into the data directory.

    Everything is checked before anything is written; the database comes back in one transaction.
    A restore that was cut short may be run again.

    Raises:
        LaunchError: if the backup is damaged or of a newer version, or the place is not empty.
    """
    source = source.expanduser().absolute()
    manifest = Manifest.read(source)
    _refuse_newer(manifest)
    _refuse_damage(source, manifest)
    folder = prepare_data_directory(settings.data_dir)
    with open_database(settings) as database:
        _refuse_used(database, folder)
        try:
            _restore_files(source, folder, manifest)
        except OSError as error:
            raise LaunchError(
                f"The files cannot be put into {folder} ({error.strerror or error}): make room, "
                "then restore again."
            ) from error
        run_program(
            "pg_restore",
            database.url,
            "--no-owner",
            "--no-privileges",
            "--no-comments",
            "--exit-on-error",
            "--single-transaction",
            str(source / DUMP),
        )
        with database.sessions() as session:
            found = count_rows(session.connection())
            session.execute(text("ANALYZE"))
            session.commit()
    if found != manifest.counts:
        wrong = sorted({table for table, _ in found.items() ^ manifest.counts.items()})
        raise LaunchError(
            f"The restored tables {', '.join(wrong[:5])} have other numbers of rows than the "
            "backup says: do not use this database, restore another backup."
        )
    return manifest


def _refuse_newer(manifest: Manifest) -> None:
    scripts = ScriptDirectory.from_config(alembic_config(""))
    if manifest.revision not in {script.revision for script in scripts.walk_revisions()}:
        raise LaunchError(
            f"The backup is of version {manifest.version} with tables of revision "
            f"{manifest.revision}, which this version does not know: restore it with that version "
            "or a newer one."
        )


def _refuse_damage(source: Path, manifest: Manifest) -> None:
    if DUMP not in manifest.files:
        raise LaunchError(f"The backup in {source} names no {DUMP}: use another backup.")
    for name, kept in manifest.files.items():
        path = source / name
        is_inside = name == DUMP or any(name.startswith(f"{FILES}/{top}/") for top in KEPT)
        if not is_inside or ".." in Path(name).parts:
            raise LaunchError(f"The backup names a file {name[:100]!r} of no known place.")
        if not path.is_file():
            raise LaunchError(f"The backup lacks {path}: use another backup.")
        if digest_of(path) != kept:
            raise LaunchError(f"{path} is not as it was written: use another backup.")


def _refuse_used(database: Database, folder: Path) -> None:
    with database.sessions() as session:
        tables = count_rows(session.connection())
    if tables:
        raise LaunchError(
            f"The database has {len(tables)} tables already: restore into an empty one, with "
            "another GLITCH_DATA_DIR, or DATABASE_URL of a new database."
        )
    if (folder / TOKEN_FILE).exists():
        raise LaunchError(
            f"{folder} belongs to another catalogue (it has an {TOKEN_FILE}): give another "
            "GLITCH_DATA_DIR, or move that file away."
        )


def _restore_files(source: Path, folder: Path, manifest: Manifest) -> None:
    for name, kept in manifest.files.items():
        if name == DUMP:
            continue
        target = folder / name.removeprefix(f"{FILES}/")
        if not target.exists():
            copy_file(source / name, target)
        if digest_of(target) != kept:
            raise LaunchError(
                f"{target} is there already with another content: restore into an empty folder."
            )

"""`glitch-discovery backup` and `restore`: the catalogue and the files that it refers to.

A backup is a folder with a dump of the database, the files, and a manifest of both. It can be taken
while the service runs. It is restored into an empty database and data directory; then the rows are
counted and compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from app.core.embedded import postgres_programs
from app.core.engine import parse_database_url
from app.core.errors import LaunchError
from app.core.migrate import alembic_config
from app.core.settings import Settings
from app.core.storage import arriving_file, storage_of
from app.launch.data_directory import TOKEN_FILE, prepare_data_directory
from app.launch.database import Database, open_database
from glitch_discovery.version import VERSION

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
FILES = "files"
KEPT = ("checkpoints", "batches/uploads", "batches/work", "exports")
"""Folders in a backup. Map and fetched strain can be made again; secrets are left out."""

_TABLES = text(
    "SELECT relation.oid::regclass::text FROM pg_class relation "
    "JOIN pg_namespace namespace ON namespace.oid = relation.relnamespace "
    "WHERE relation.relkind = 'r' AND namespace.nspname = 'public' ORDER BY 1"
)


@dataclass(frozen=True)
class FileDigest:
    """Size and digest of a file in a backup."""

    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The contents of a backup."""

    made_at: str  # ISO 8601
    version: str
    revision: str  # Alembic revision of the tables
    counts: dict[str, int]  # rows by table
    files: dict[str, FileDigest]  # by path within the backup; includes the dump

    def write(self, folder: Path) -> None:
        """Write the manifest into the backup."""
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a backup.

        Raises:
            LaunchError: if it is missing, damaged or of an unknown format.
        """
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            found_format = content.pop("format")
            if found_format != FORMAT:
                raise LaunchError(
                    f"The backup in {folder} is of format {found_format}, which this version does "
                    "not know: restore it with the version that made it."
                )
            files = {path: FileDigest(**entry) for path, entry in content.pop("files").items()}
            counts = {str(table): int(rows) for table, rows in content.pop("counts").items()}
            return cls(counts=counts, files=files, **content)
        except FileNotFoundError:
            raise LaunchError(
                f"{folder} is not a backup: it has no {MANIFEST}. Give the folder that "
                "`glitch-discovery backup` made."
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise LaunchError(
                f"{folder / MANIFEST} is damaged ({type(error).__name__}): use another backup."
            ) from None

    @property
    def n_bytes(self) -> int:
        """Total size of the files in bytes."""
        return sum(entry.n_bytes for entry in self.files.values())


def count_rows(connection: Connection) -> dict[str, int]:
    """Count the rows of every table, as seen by this transaction."""
    return {
        table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
        for table in connection.scalars(_TABLES).all()
    }


def copy_file(source: Path, target: Path) -> FileDigest:
    """Copy a file, and return the size and digest of the copy.

    The copy appears under its name only when it is complete.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as stream, arriving_file(target.parent) as (copy, part):
        while piece := stream.read(1 << 20):
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
        shutil.copystat(source, part)
        part.replace(target)
    return FileDigest(target.stat().st_size, digest.hexdigest())


def digest_of(path: Path) -> FileDigest:
    """Return the size and digest of a file."""
    with path.open("rb") as stream:
        return FileDigest(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def run_program(program: str, url: str, *arguments: str) -> None:
    """Run one of the bundled PostgreSQL programs on a database.

    The password is passed in the environment, because every user can read a process's arguments.

    Raises:
        LaunchError: with the program's error message if it fails.
    """
    parsed = parse_database_url(url)
    address = URL.create(**parsed._asdict() | {"drivername": "postgresql", "password": None})
    environment: Mapping[str, str] = {
        **os.environ,
        "LC_ALL": "C",
        **({"PGPASSWORD": str(parsed.password)} if parsed.password else {}),
    }
    finished = subprocess.run(  # noqa: S603
        [str(postgres_programs() / program), f"--dbname={address.render_as_string()}", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if finished.returncode:
        message = " ".join(finished.stderr.split())[-600:]
        raise LaunchError(f"{program} failed: {message}")


def take_backup(settings: Settings, target: Path) -> Manifest:
    """Write a backup, which appears under its name only when it is complete.

    Dump and counts use the same snapshot of the database. Files are copied afterwards. They are
    always written before the database refers to them, so the backup has every file of the snapshot
    except those removed meanwhile because they are no longer needed.

    Raises:
        LaunchError: if the target is not empty or cannot be written, or the database has no tables.
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
    files: dict[str, FileDigest] = {}
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
        root = settings.data_dir.absolute()
        storage = storage_of(root)
        for path in (path for name in KEPT for path in storage.files(root / name)):
            within = f"{FILES}/{path.relative_to(root)}"
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile, so not needed
                if storage.fetch(path):
                    files[within] = copy_file(path, folder / within)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(made_at, VERSION, revision, counts, files)


def _revision(connection: Connection) -> str:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        raise LaunchError(
            "The database has no tables yet, so there is nothing to back up: check that "
            "GLITCH_DATA_DIR or DATABASE_URL are those of the service."
        )
    return revision


def restore_backup(settings: Settings, source: Path) -> Manifest:
    """Restore a backup into a database without tables and into the data directory.

    Everything is checked before anything is written. The database is restored in one transaction.
    An interrupted restore can be repeated.

    Raises:
        LaunchError: if the backup is damaged or from a newer version, or the database or the data
            directory is already in use.
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
            counts = count_rows(session.connection())
            session.execute(text("ANALYZE"))
            session.commit()
    if counts != manifest.counts:
        wrong = sorted({table for table, _ in counts.items() ^ manifest.counts.items()})
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
    for name, entry in manifest.files.items():
        path = source / name
        is_inside = name == DUMP or any(name.startswith(f"{FILES}/{top}/") for top in KEPT)
        if not is_inside or ".." in Path(name).parts:
            raise LaunchError(
                f"The backup names a file {name[:100]!r} outside its folders: use another backup."
            )
        if not path.is_file():
            raise LaunchError(f"The backup lacks {path}: use another backup.")
        if digest_of(path) != entry:
            raise LaunchError(f"{path} has changed since the backup was made: use another backup.")


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
    storage = storage_of(folder)
    for name, entry in manifest.files.items():
        if name == DUMP:
            continue
        target = folder / name.removeprefix(f"{FILES}/")
        if not storage.fetch(target):
            copy_file(source / name, target)
            storage.keep(target)
        if digest_of(target) != entry:
            raise LaunchError(
                f"{target} is there already with another content: restore into an empty folder, "
                "and where GLITCH_STORAGE_URL is set, an empty one of the store."
            )

"""What a backup is: a folder with a dump of the database, files, and a manifest of both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from app.core.embedded import postgres_programs
from app.core.engine import parse_database_url
from app.launch.errors import LaunchError

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
FILES = "files"
KEPT = ("checkpoints", "batches/uploads", "batches/work", "exports")
"""Folders of the data directory. The map and fetched strain are made again, secrets stay out."""

_TABLES = text(
    "SELECT relation.oid::regclass::text FROM pg_class relation "
    "JOIN pg_namespace namespace ON namespace.oid = relation.relnamespace "
    "WHERE relation.relkind = 'r' AND namespace.nspname = 'public' ORDER BY 1"
)


@dataclass(frozen=True)
class Kept:
    """One file of a backup."""

    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    made_at: str  # ISO 8601
    version: str
    revision: str  # of the tables
    counts: dict[str, int]  # rows by table
    files: dict[str, Kept]  # by path within the backup; the dump is one of them

    def write(self, folder: Path) -> None:
        """Put it into the backup."""
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of a backup.

        Raises:
            LaunchError: if the folder is no backup, or one that this version cannot read.
        """
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            found_format = content.pop("format")
            if found_format != FORMAT:
                raise LaunchError(
                    f"The backup in {folder} is of format {found_format}, which this version does "
                    "not know: restore it with the version that made it."
                )
            files = {path: Kept(**kept) for path, kept in content.pop("files").items()}
            counts = {str(table): int(rows) for table, rows in content.pop("counts").items()}
            return cls(counts=counts, files=files, **content)
        except FileNotFoundError:
            raise LaunchError(
                f"{folder} is no backup: it has no {MANIFEST}. Give the folder that "
                "`glitch-discovery backup` made."
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise LaunchError(
                f"{folder / MANIFEST} is damaged ({type(error).__name__}): use another backup."
            ) from None

    @property
    def n_bytes(self) -> int:
        """Of all files together."""
        return sum(kept.n_bytes for kept in self.files.values())


def count_rows(connection: Connection) -> dict[str, int]:
    """Rows of every table, as this transaction sees them."""
    return {
        table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
        for table in connection.scalars(_TABLES).all()
    }


def files_below(folder: Path) -> Iterator[Path]:
    """Whole files, in order; what is just arriving has a name that starts with a dot."""
    for path in sorted(folder.rglob("*")):
        names = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and not any(n.startswith(".") for n in names):
            yield path


def copy_file(source: Path, target: Path) -> Kept:
    """Copy a file, and digest what was read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as stream, target.open("wb") as copy:
        while piece := stream.read(1 << 20):
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    shutil.copystat(source, target)
    return Kept(target.stat().st_size, digest.hexdigest())


def digest_of(path: Path) -> Kept:
    """Length and digest of a file."""
    with path.open("rb") as stream:
        return Kept(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def run_program(program: str, url: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, those that the service brings, on a database.

    The password goes by the environment: every user of the machine may read the arguments.

    Raises:
        LaunchError: with what it said, if it failed.
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
        said = " ".join(finished.stderr.split())[-600:]
        raise LaunchError(f"{program} failed: {said}")

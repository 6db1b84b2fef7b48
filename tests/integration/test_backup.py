"""Backups: of a database in use, verified after restore, and refused where data could be lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schema_helpers import check_tables, is_up_to_date
from sqlalchemy import text
from sqlalchemy.orm import Session
from store_helpers import SMALL, Store
from typer.testing import CliRunner

from app.cli import app
from app.core import migrate
from app.core.engine import make_engine
from app.core.errors import LaunchError
from app.core.settings import Settings
from app.core.storage import storage_of
from app.launch.backup import (
    DUMP,
    MANIFEST,
    Manifest,
    copy_file,
    restore_backup,
    run_program,
    take_backup,
)

UPLOAD = "ab" * 32
WEIGHTS = "checkpoints/small/model.safetensors"


def settings_of(folder: Path, url: str) -> Settings:
    return Settings(data_dir=folder, database_url=url)


@pytest.fixture
def kept(tmp_path: Path, database_url: str, session: Session, store: Store) -> Settings:
    """A small catalogue, with files that belong in a backup and files that do not."""
    for _ in range(3):
        store()
    session.commit()
    folder = tmp_path / "data"
    for name, content in {
        "checkpoints/small/model.safetensors": b"weights",
        f"batches/uploads/{UPLOAD}": b"a batch",
        "batches/uploads/.arriving-x": b"half a batch",
        "batches/gwosc/4096/H-H1.hdf5": b"fetched strain",
        "admin-token": b"a secret",
        "signing-key": b"a secret",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return settings_of(folder, database_url)


@pytest.fixture
def empty(tmp_path: Path, empty_database_url: str) -> Settings:
    return settings_of(tmp_path / "restored", empty_database_url)


def rows(url: str, statement: str) -> list[Any]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(statement))]
    engine.dispose()
    return found


def url_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


EVERYTHING = "SELECT glitch_id, mean::text, log_variance::text, condition FROM embedding ORDER BY 1"


def test_a_backup_restores_database_and_files(
    kept: Settings, empty: Settings, tmp_path: Path
) -> None:
    made = take_backup(kept, tmp_path / "backup")
    assert made.counts["glitch"] == 3
    assert set(made.files) == {
        DUMP,
        "files/checkpoints/small/model.safetensors",
        f"files/batches/uploads/{UPLOAD}",
    }
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob(".backup-*"))
    restored = restore_backup(empty, tmp_path / "backup")
    assert restored == made
    assert rows(url_of(empty), EVERYTHING) == rows(url_of(kept), EVERYTHING) != []
    assert (empty.data_dir / "batches/uploads" / UPLOAD).read_bytes() == b"a batch"
    assert not (empty.data_dir / "admin-token").exists()
    check_tables(url_of(empty))
    with pytest.raises(LaunchError, match="tables already"):
        restore_backup(empty, tmp_path / "backup")


def test_files_of_an_object_store_are_restored_into_another(
    kept: Settings, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup contains files that are only in the object store; they used to be left out."""
    monkeypatch.setenv("GLITCH_STORAGE_URL", f"file://{tmp_path}/store")
    for path in ("checkpoints/small", f"batches/uploads/{UPLOAD}"):
        storage_of(kept.data_dir).keep(kept.data_dir / path)
    elsewhere = settings_of(tmp_path / "machine", url_of(kept))
    made = take_backup(elsewhere, tmp_path / "backup")
    assert set(made.files) == {
        DUMP,
        "files/checkpoints/small/model.safetensors",
        f"files/batches/uploads/{UPLOAD}",
    }
    monkeypatch.setenv("GLITCH_STORAGE_URL", f"file://{tmp_path}/another")
    restore_backup(empty, tmp_path / "backup")
    third = tmp_path / "third"
    assert storage_of(third).fetch(third / "batches/uploads" / UPLOAD)
    assert (third / "batches/uploads" / UPLOAD).read_bytes() == b"a batch"


def test_a_database_in_use_is_dumped_as_it_was_counted(
    *,
    kept: Settings,
    empty: Settings,
    tmp_path: Path,
    session: Session,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(program: str, url: str, *arguments: str) -> None:
        store()  # after the rows were counted, before the dump
        session.commit()
        (kept.data_dir / "batches/uploads" / UPLOAD).unlink()  # a file is cleaned up meanwhile
        run_program(program, url, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("app.launch.backup.run_program", busy)
        made = take_backup(kept, tmp_path / "backup")
    assert rows(url_of(kept), "SELECT count(*) FROM glitch") == [(4,)]
    assert restore_backup(empty, tmp_path / "backup").counts["glitch"] == 3
    assert f"files/batches/uploads/{UPLOAD}" not in made.files


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def backup(kept: Settings, tmp_path: Path) -> Path:
    take_backup(kept, tmp_path / "backup")
    return tmp_path / "backup"


def _change(backup: Path, **changed: Any) -> None:
    manifest = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps(manifest | changed))


def test_a_damaged_backup_is_refused_before_anything_is_written(
    backup: Path, empty: Settings
) -> None:
    weights = backup / "files/checkpoints/small/model.safetensors"
    good = {path: path.read_bytes() for path in (backup / DUMP, backup / MANIFEST, weights)}
    manifest = json.loads(good[backup / MANIFEST])
    outside = manifest["files"] | {"files/checkpoints/../../x": {"n_bytes": 1, "sha256": "0"}}
    elsewhere = manifest["files"] | {"files/admin-token": {"n_bytes": 1, "sha256": "0"}}
    damages: list[tuple[Any, str]] = [
        (lambda: _cut(backup / DUMP), "has changed since"),
        (lambda: _flip(backup / DUMP), "has changed since"),
        (lambda: _flip(weights), "has changed since"),
        (weights.unlink, "lacks"),
        (lambda: (backup / MANIFEST).write_bytes(good[backup / MANIFEST][:-9]), "damaged"),
        (lambda: (backup / MANIFEST).write_text("[]"), "damaged"),
        (lambda: (backup / MANIFEST).write_bytes(b"\xff"), "damaged"),
        ((backup / MANIFEST).unlink, "is not a backup"),
        (lambda: _change(backup, format=2), "format 2"),
        (lambda: _change(backup, revision="9999"), "9999, which this version does not know"),
        (lambda: _change(backup, files={}), f"names no {DUMP}"),
        (lambda: _change(backup, files=outside), "outside its folders"),
        (lambda: _change(backup, files=elsewhere), "outside its folders"),
    ]
    for damage, sentence in damages:
        damage()
        with pytest.raises(LaunchError, match=sentence):
            restore_backup(empty, backup)
        for path, content in good.items():
            path.write_bytes(content)
    assert rows(url_of(empty), "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    assert not empty.data_dir.exists()


def test_numbers_that_differ_after_a_restore_are_reported(backup: Path, empty: Settings) -> None:
    counts = Manifest.read(backup).counts
    _change(backup, counts=counts | {"glitch": 4})
    with pytest.raises(LaunchError, match="tables glitch have other numbers"):
        restore_backup(empty, backup)


def test_files_of_another_catalogue_are_never_written_over(backup: Path, empty: Settings) -> None:
    path = empty.data_dir / "checkpoints/small/model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other weights")
    with pytest.raises(LaunchError, match="another content"):
        restore_backup(empty, backup)
    assert path.read_bytes() == b"other weights"
    path.unlink()
    (empty.data_dir / "admin-token").write_text("x")
    with pytest.raises(LaunchError, match="another catalogue"):
        restore_backup(empty, backup)
    (empty.data_dir / "admin-token").unlink()
    assert restore_backup(empty, backup).counts["glitch"] == 3


def test_a_restore_that_was_killed_may_be_run_again(
    backup: Path, empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore killed while it copies a file leaves no partial file that stops the next one."""

    def killed(descriptor: int) -> None:
        os.ftruncate(descriptor, 3)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("app.launch.backup.os.fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_file(backup / f"files/{WEIGHTS}", empty.data_dir / WEIGHTS)
    assert restore_backup(empty, backup).counts["glitch"] == 3
    assert (empty.data_dir / WEIGHTS).read_bytes() == b"weights"
    assert not list(empty.data_dir.rglob(".arriving-*"))


def test_a_backup_never_replaces_another(backup: Path, kept: Settings, empty: Settings) -> None:
    with pytest.raises(LaunchError, match="not empty"):
        take_backup(kept, backup)
    with pytest.raises(LaunchError, match="no tables yet"):
        take_backup(empty, backup.parent / "nothing")
    assert not (backup.parent / "nothing").exists()
    (backup.parent / "file").write_text("x")
    with pytest.raises(LaunchError, match="cannot be written"):
        take_backup(kept, backup.parent / "file" / "x")


def test_the_commands(
    kept: Settings, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings, words in (
        (kept, ["backup", str(tmp_path / "backup")]),
        (empty, ["restore", str(tmp_path / "backup")]),
    ):
        monkeypatch.setenv("DATABASE_URL", url_of(settings))
        monkeypatch.setenv("GLITCH_DATA_DIR", str(settings.data_dir))
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0, answer.output
        assert answer.output.startswith("3 glitches, 2 files, ")
    answer = CliRunner().invoke(app, ["restore", str(tmp_path / "backup")])
    assert answer.exit_code == 1


def test_a_password_is_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of the machine can read process arguments, so the password is not among them."""
    seen: dict[str, Any] = {}

    def run(arguments: list[str], **options: Any) -> Any:
        seen.update(options, arguments=arguments)
        return type("Finished", (), {"returncode": 1, "stderr": "no\n such  server"})()

    monkeypatch.setattr("app.launch.backup.subprocess.run", run)
    with pytest.raises(LaunchError, match="pg_dump failed: no such server"):
        run_program("pg_dump", "postgresql://me:s%40cret@db:5433/glitch?sslmode=require", "--x")
    assert seen["arguments"][1:] == [
        "--dbname=postgresql://me@db:5433/glitch?sslmode=require",
        "--x",
    ]
    assert seen["env"]["PGPASSWORD"] == "s@cret"


# Rows for the tables of revision 0008.
OLDER = """
INSERT INTO glitch_class (name, description, state, origin)
  VALUES ('Blip', 'short', 'active', 'gravityspy');
INSERT INTO checkpoint (name, digest, preprocessing_digest, latent_size, manifest, is_active)
  VALUES ('small', repeat('a', 64), '{recipe}', 4, '{{}}', true);
CREATE TABLE embedding_p1 PARTITION OF embedding FOR VALUES IN (1);
INSERT INTO glitch (id, ifo, gps_time, snr, origin, content_digest, class_id)
  SELECT gen_random_uuid(), 'H1', 1126259462.4 + n, 10 + n, 'upload',
    sha256(n::text::bytea), 1 FROM generate_series(1, 5) AS n;
INSERT INTO view (glitch_id, duration, packed, observed, n_frequency, n_time)
  SELECT id, 0.5, '\\x00', '\\xffc0', 10, 8 FROM glitch;
INSERT INTO embedding (glitch_id, checkpoint_id, ifo, is_simulated, is_reference, mean,
    log_variance, reconstruction_error, kl, is_judged)
  SELECT id, 1, 'H1', false, true, '[1,2,3,4]', '{{0,0,0,0}}', 1, 2, false FROM glitch;
INSERT INTO label (id, glitch_id, class_id, author, source)
  SELECT gen_random_uuid(), id, 1, 'me', 'human' FROM glitch;
INSERT INTO api_token (id, name, role, secret_hash)
  VALUES (gen_random_uuid(), 'me', 'admin', sha256('secret'));
"""


@pytest.fixture
def older(tmp_path: Path, postgres_server: Any) -> Iterator[Settings]:
    """A catalogue of an earlier version, at revision 0008."""
    from uuid import uuid4

    from postgres_fixtures import execute

    name = f"test_{uuid4().hex}"
    url = postgres_server.ensure_database(name)
    migrate.upgrade(url, "0008")
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in OLDER.format(recipe=SMALL.digest()).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()
    yield settings_of(tmp_path / "older", url)
    execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def test_an_earlier_versions_catalogue_is_upgraded_or_restored_as_it_was(
    older: Settings, empty: Settings, tmp_path: Path
) -> None:
    made = take_backup(older, tmp_path / "before")
    assert made.revision == "0008"
    migrate.upgrade(url_of(older))
    assert is_up_to_date(url_of(older))
    counts = {
        table: rows(url_of(older), f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608
        for table in ("glitch", "view", "embedding", "label", "api_token", "glitch_class")
    }
    assert counts == {
        "glitch": 5,
        "view": 5,
        "embedding": 5,
        "label": 5,
        "api_token": 1,
        "glitch_class": 1,
    }
    conditions = rows(url_of(older), "SELECT DISTINCT condition FROM embedding")
    assert conditions == [("0.5 s, 10 to 2048 Hz",)]
    assert rows(url_of(older), "SELECT kind FROM job") == [("judge",)]
    # The backup from before the upgrade restores a database for the previous version.
    assert restore_backup(empty, tmp_path / "before").revision == "0008"
    assert not is_up_to_date(url_of(empty))
    assert rows(url_of(empty), "SELECT count(*) FROM glitch") == [(5,)]
    migrate.upgrade(url_of(empty))
    assert rows(url_of(empty), EVERYTHING) == rows(url_of(older), EVERYTHING)

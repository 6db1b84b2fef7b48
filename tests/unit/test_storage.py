"""Files that machines share through a store. The integration test uses a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.batches.storage import upload_path, uploads_folder
from app.core import storage
from app.core.errors import StorageAwayError
from app.core.settings import Settings
from app.core.storage import COPIES_S, SharedFolder, Storage, storage_of
from glitch.errors import FormatError

WORK = Path("batches", "work")


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Storage]]:
    """The data directories of two machines, and the storage of each, with one common store."""
    monkeypatch.setenv("GLITCH_STORAGE_URL", f"file://{tmp_path}/store")
    folders = [tmp_path / name for name in ("one", "other")]
    return [(folder, storage_of(folder)) for folder in folders]


def _write(path: Path, content: bytes = b"strain") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_stored_on_one_machine_are_available_on_another(
    machines: list[tuple[Path, Storage]],
) -> None:
    (one, first), (other, second) = machines
    first.keep(_write(one / "batches/uploads/abc"))
    _write(one / WORK / "job" / "file-1")
    _write(one / WORK / "job/file-2", b"more")
    first.keep(one / WORK / "job")

    copied = other / "batches/uploads/abc"
    assert second.holds(copied)
    assert not copied.exists()
    assert second.fetch(copied)
    assert copied.read_bytes() == b"strain"
    assert second.names(other / WORK / "job") == ["file-1", "file-2"]
    assert [kept.path for kept in second.listed(other / WORK)] == [other / WORK / "job"]
    assert second.remove(other / WORK / "job")
    assert not first.holds(one / WORK / "job" / "file-1")
    assert first.holds(one / "batches/uploads/abc")  # only the start of the name is equal
    assert not second.remove(other / WORK / "job")


def test_unknown_files_are_not_in_the_store(machines: list[tuple[Path, Storage]]) -> None:
    (one, first), _ = machines
    assert not first.fetch(one / "exports/unknown")
    assert not first.holds(one / "exports/unknown")
    assert first.names(one / "exports") == []
    assert [path.name for path in one.rglob("*") if path.is_file()] == []  # nor a partial file


def test_copies_that_nobody_uses_go_and_come_again(
    machines: list[tuple[Path, Storage]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, first), _ = machines
    path = _write(one / "batches/uploads/abc")
    first.keep(path)
    later = path.stat().st_mtime + 2 * COPIES_S
    monkeypatch.setattr(storage.time, "time", lambda: later)
    own = _write(one / WORK / "job/half")  # not in the store
    first.keep(_write(one / "exports/job/part"))
    assert not path.exists()
    assert own.exists()
    assert first.fetch(path)


def test_without_an_address_the_data_directory_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLITCH_STORAGE_URL", raising=False)
    kept = storage_of(tmp_path)
    assert isinstance(kept, SharedFolder)
    path = _write(tmp_path / "exports/job/part")
    kept.keep(path)
    assert kept.fetch(path)
    assert kept.names(path.parent) == ["part"]
    assert [one.path for one in kept.listed(tmp_path / "exports")] == [path.parent]
    assert kept.remove(path.parent)
    assert not path.exists()


def test_a_batch_whose_folder_is_missing_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its disk is not mounted; a batch that was removed must be sent again."""
    monkeypatch.delenv("GLITCH_STORAGE_URL", raising=False)
    with pytest.raises(StorageAwayError, match="mount it"):
        upload_path(tmp_path, "0" * 64)
    uploads_folder(tmp_path)
    with pytest.raises(FormatError, match="send the batch again"):
        upload_path(tmp_path, "0" * 64)


def test_a_store_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_STORAGE_URL", "s3://bucket/nowhere")
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr(storage, "RETRY_S", 0.1)
    path = _write(tmp_path / "exports/job/part")
    with pytest.raises(StorageAwayError, match="GLITCH_STORAGE_URL"):
        storage_of(tmp_path).keep(path)


def test_an_address_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLITCH_STORAGE_URL", "ftp://host/folder")
    with pytest.raises(ValueError, match="s3://bucket/folder"):
        Settings()

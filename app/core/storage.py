"""Files shared by all processes of a deployment, on one or several machines.

Code uses paths in the data directory. If ``GLITCH_STORAGE_URL`` names an object store, that
directory is a local copy: files are written to the store under the same path, and fetched from it
before they are read. Otherwise the directory itself is shared, and nothing is copied.

This module also removes temporary folders left by killed processes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from app.core.errors import StorageAwayError
from app.core.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

COPIES_S = 3600.0  # how long an unused local copy is kept
RETRY_S = 20.0  # how long requests to a failing store are repeated
STEP_S = 60.0  # s; for the next part of a response, or for sending one chunk
_PIECE = 8 << 20  # bytes
_PIECES_AT_ONCE = 4


@dataclass(frozen=True)
class StoredFile:
    """A stored file or folder."""

    path: Path  # in the data directory, whether a local copy exists or not
    modified_s: float  # time of the last change, s since 1970


@contextmanager
def arriving_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file in a folder; it is removed at the end unless it was renamed.

    Its name starts with a dot, so that nobody takes it for a complete file.
    """
    handle, name = tempfile.mkstemp(prefix=".arriving-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as target:
            yield target, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


class SharedFolder:
    """The data directory itself, shared by all processes."""

    def keep(self, path: Path) -> None:
        """Make a complete file, or all files of a folder, available to every process."""

    def holds(self, path: Path) -> bool:
        """Return whether this file is stored."""
        return path.is_file()

    def fetch(self, path: Path) -> bool:
        """Make a stored file available locally, and return whether it exists."""
        return path.is_file()

    def names(self, folder: Path) -> list[str]:
        """Return the names of the files in a folder, ascending."""
        with suppress(FileNotFoundError):
            return sorted(path.name for path in folder.iterdir() if path.is_file())
        return []

    def files(self, folder: Path) -> Iterator[Path]:
        """Yield the complete files below a folder.

        Files that are still arriving have names that start with a dot.
        """
        for path in sorted(folder.rglob("*")):
            is_whole = not any(name.startswith(".") for name in path.relative_to(folder).parts)
            if is_whole and path.is_file() and not path.is_symlink():
                yield path

    def listed(self, folder: Path) -> Iterator[StoredFile]:
        """Yield the files and folders in a folder."""
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield StoredFile(Path(entry.path), entry.stat().st_mtime)

    def remove(self, path: Path) -> bool:
        """Remove a file or folder everywhere, and return whether it existed."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            return True
        try:
            path.unlink()
        except OSError:  # removed meanwhile, or not permitted; the next cleanup tries again
            return False
        return True


class Bucket:
    """An object store; the data directory holds local copies."""

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root = root.absolute()
        self._store = store
        self._trimmed_s = time.time()

    def keep(self, path: Path) -> None:
        """Upload a file, or all files of a folder, in parts.

        An object appears under its name only when it is complete.
        """
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for one in files:
            with one.open("rb") as source, _store_errors_explained():
                key = self._key(one)
                self._store.put(key, source, chunk_size=_PIECE, max_concurrency=_PIECES_AT_ONCE)
        self._trim()

    def fetch(self, path: Path) -> bool:
        """Download an object unless a local copy exists, and return whether it exists.

        The copy appears under its name only when it is complete.
        """
        with suppress(FileNotFoundError):
            os.utime(path)  # marks the copy as in use
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        self._trim()
        with arriving_file(path.parent) as (target, part):
            with _store_errors_explained():
                try:
                    pieces = self._store.get(self._key(path)).stream(_PIECE)
                except FileNotFoundError:
                    self.names(path)  # raises StorageAwayError if the bucket itself is missing
                    return False
                for piece in pieces:
                    target.write(piece)
            target.close()
            part.replace(path)
        return True

    def holds(self, path: Path) -> bool:
        """Return whether this object exists."""
        with _store_errors_explained():
            try:
                self._store.head(self._key(path))
            except FileNotFoundError:
                self.names(path)  # raises StorageAwayError if the bucket itself is missing
                return False
        return True

    def names(self, folder: Path) -> list[str]:
        """Return the names of the objects in a folder, ascending."""
        with _store_errors_explained():
            listing = self._store.list_with_delimiter(self._key(folder))
        return sorted(one["path"].rpartition("/")[2] for one in listing["objects"])

    def files(self, folder: Path) -> Iterator[Path]:
        """Yield the paths of the objects below a folder, whether local copies exist or not."""
        with _store_errors_explained():
            for block in self._store.list(self._key(folder), chunk_size=1000):
                for one in block:
                    yield self._root / one["path"]

    def listed(self, folder: Path) -> Iterator[StoredFile]:
        """Yield the objects in a folder, and each subfolder once with its latest change."""
        prefix = self._key(folder)
        latest: dict[str, float] = {}
        with _store_errors_explained():
            for block in self._store.list(prefix, chunk_size=1000):
                for one in block:
                    name = one["path"].removeprefix(f"{prefix}/").partition("/")[0]
                    modified = one["last_modified"].timestamp()
                    latest[name] = max(modified, latest.get(name, 0.0))
        for name, modified in latest.items():
            yield StoredFile(folder / name, modified)

    def remove(self, path: Path) -> bool:
        """Remove the object, or all objects under that path, and the local copy."""
        SharedFolder().remove(path)
        key = self._key(path)
        with _store_errors_explained():
            keys = [entry["path"] for block in self._store.list(key) for entry in block]
            if self.holds(path):
                keys.append(key)
            if keys:
                self._store.delete(keys)
        return bool(keys)

    def _key(self, path: Path) -> str:
        return path.absolute().relative_to(self._root).as_posix()

    def _trim(self) -> None:
        """Remove local copies that have not been used for long and are in the store."""
        now = time.time()
        if now - self._trimmed_s < COPIES_S / 4:
            return
        self._trimmed_s = now
        for folder in ("batches", "exports"):
            for path in (self._root / folder).rglob("*"):
                with suppress(OSError):
                    is_old = path.is_file() and now - path.stat().st_mtime > COPIES_S
                    if is_old and self.holds(path):
                        path.unlink()


Storage = SharedFolder | Bucket


def storage_of(data_dir: Path) -> Storage:
    """Return the storage of this data directory, as configured by ``GLITCH_STORAGE_URL``."""
    url = Settings().storage_url
    return _open_storage(data_dir, url) if url else _SHARED


_SHARED = SharedFolder()


@lru_cache(maxsize=8)
def _open_storage(data_dir: Path, url: str) -> Storage:
    from obstore.store import LocalStore, from_url

    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return Bucket(data_dir, LocalStore(folder))
    is_plain_http = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    # The default timeout of 30 s would include the transfer of a file of any size.
    steps = {"read_timeout": timedelta(seconds=STEP_S), "timeout": timedelta(days=1)}
    client: Any = {**steps, **({"allow_http": True} if is_plain_http else {})}
    retry: Any = {"max_retries": 8, "retry_timeout": timedelta(seconds=RETRY_S)}
    return Bucket(data_dir, from_url(url, client_options=client, retry_config=retry))


@contextmanager
def _store_errors_explained() -> Iterator[None]:
    """Convert errors of the object store to one that says what to do.

    Raises:
        StorageAwayError: for any error of the store. For a missing bucket the store reports a
        missing object.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise StorageAwayError(
            "The object store at GLITCH_STORAGE_URL does not respond correctly "
            f"({type(error).__name__}): try again in a few seconds; if it goes on, check the "
            "address, the credentials and the bucket.",
            retry_after_s=10,
        ) from error


PREFIXES = ("glitch-upload-", "glitch-batch-", "glitch-export-")
_UNUSED_AFTER_S = 6 * 3600.0  # longer than any request or chunk lasts


def clean_up_leftovers() -> int:
    """Remove this user's temporary files that are too old to be in use, and return their number."""
    before = time.time() - _UNUSED_AFTER_S
    count = 0
    for path in Path(tempfile.gettempdir()).iterdir():
        if not path.name.startswith(PREFIXES):
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid != os.geteuid() or status.st_mtime > before:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        count += 1
    return count

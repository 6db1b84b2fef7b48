"""Files that all processes of a deployment share, on one or several machines.

Code uses paths in the data directory. If ``GLITCH_STORAGE_URL`` names an object store, that
directory is a local copy: files are written to the store under the same path, and fetched from it
before they are read. Otherwise the directory itself is shared, and nothing is copied.

Temporary folders of processes that were killed are removed here too.
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
from typing import TYPE_CHECKING, Any

from app.core.errors import StorageAwayError
from app.core.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

COPIES_S = 3600.0  # how long a machine keeps a copy that it does not use
RETRY_S = 20.0  # how long a store that fails is asked again
STEP_S = 60.0  # for the next part of an answer, or for a piece that is sent
_PIECE = 8 << 20  # bytes
_PIECES_AT_ONCE = 4


@dataclass(frozen=True)
class Kept:
    """A file or folder that is kept."""

    path: Path  # in the data directory, whether a copy is there or not
    modified_s: float  # when somebody last wrote to it, s since 1970


class SharedFolder:
    """The data directory itself, which all processes share."""

    def keep(self, path: Path) -> None:
        """Let every process find this file, which is whole, or all the files of this folder."""

    def holds(self, path: Path) -> bool:
        """Whether this file is kept."""
        return path.is_file()

    def fetch(self, path: Path) -> bool:
        """Have a kept file here; whether there is one."""
        return path.is_file()

    def names(self, folder: Path) -> list[str]:
        """Names of the files kept in a folder, ascending."""
        with suppress(FileNotFoundError):
            return sorted(path.name for path in folder.iterdir() if path.is_file())
        return []

    def files(self, folder: Path) -> Iterator[Path]:
        """Whole files below a folder; what is just arriving has a name that starts with a dot."""
        for path in sorted(folder.rglob("*")):
            is_whole = not any(name.startswith(".") for name in path.relative_to(folder).parts)
            if is_whole and path.is_file() and not path.is_symlink():
                yield path

    def listed(self, folder: Path) -> Iterator[Kept]:
        """Files and folders in a folder; a folder is as old as the latest in it."""
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield Kept(Path(entry.path), entry.stat().st_mtime)

    def remove(self, path: Path) -> bool:
        """Remove a file or folder everywhere; whether there was one."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            return True
        try:
            path.unlink()
        except OSError:  # gone meanwhile, or not ours to remove: the next look tries again
            return False
        return True


class Bucket:
    """An object store; the data directory holds copies."""

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root = root.absolute()
        self._store = store
        self._trimmed_s = time.time()

    def keep(self, path: Path) -> None:
        """Send it in pieces; it is there under its name only once it is whole."""
        import obstore

        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for one in files:
            with one.open("rb") as source, _answering():
                at_once = _PIECES_AT_ONCE
                key = self._key(one)
                obstore.put(self._store, key, source, chunk_size=_PIECE, max_concurrency=at_once)
        self._trim()

    def fetch(self, path: Path) -> bool:
        """Fetch it unless a copy is here; under its name only once it is whole."""
        import obstore

        with suppress(FileNotFoundError):
            os.utime(path)  # in use
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        self._trim()
        handle, name = tempfile.mkstemp(prefix=".arriving-", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as target, _answering():
                try:
                    pieces = obstore.get(self._store, self._key(path)).stream(_PIECE)
                except FileNotFoundError:
                    self.names(path)  # where the whole bucket is not there, this says so
                    return False
                for piece in pieces:
                    target.write(piece)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return True

    def holds(self, path: Path) -> bool:
        """Whether there is such an object."""
        import obstore

        with _answering():
            try:
                obstore.head(self._store, self._key(path))
            except FileNotFoundError:
                self.names(path)  # where the whole bucket is not there, this says so
                return False
        return True

    def names(self, folder: Path) -> list[str]:
        """Names of the objects there."""
        import obstore

        with _answering():
            found = obstore.list_with_delimiter(self._store, self._key(folder))
        return sorted(one["path"].rpartition("/")[2] for one in found["objects"])

    def files(self, folder: Path) -> Iterator[Path]:
        """The objects below a folder, whether copies are here or not."""
        import obstore

        with _answering():
            for block in obstore.list(self._store, self._key(folder), chunk_size=1000):
                for one in block:
                    yield self._root / one["path"]

    def listed(self, folder: Path) -> Iterator[Kept]:
        """The objects there, those of one folder as one."""
        import obstore

        prefix = self._key(folder)
        latest: dict[str, float] = {}
        with _answering():
            for block in obstore.list(self._store, prefix, chunk_size=1000):
                for one in block:
                    name = one["path"].removeprefix(f"{prefix}/").partition("/")[0]
                    modified = one["last_modified"].timestamp()
                    latest[name] = max(modified, latest.get(name, 0.0))
        for name, modified in latest.items():
            yield Kept(folder / name, modified)

    def remove(self, path: Path) -> bool:
        """Remove the object, or all under that name, and this machine's copy."""
        import obstore

        SharedFolder().remove(path)
        key = self._key(path)
        with _answering():
            keys = [one["path"] for block in obstore.list(self._store, key) for one in block]
            if self.holds(path):
                keys.append(key)
            if keys:
                obstore.delete(self._store, keys)
        return bool(keys)

    def _key(self, path: Path) -> str:
        return path.absolute().relative_to(self._root).as_posix()

    def _trim(self) -> None:
        """Remove local copies that were not used for long; the store has them."""
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
    """The storage of this data directory, as configured by ``GLITCH_STORAGE_URL``."""
    url = Settings().storage_url
    return _opened(data_dir, url) if url else _SHARED


_SHARED = SharedFolder()


@lru_cache(maxsize=8)
def _opened(data_dir: Path, url: str) -> Storage:
    from obstore.store import LocalStore, from_url

    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return Bucket(data_dir, LocalStore(folder))
    is_plain_http = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    # By default each request, a file of any size, has 30 s.
    steps = {"read_timeout": timedelta(seconds=STEP_S), "timeout": timedelta(days=1)}
    client: Any = {**steps, **({"allow_http": True} if is_plain_http else {})}
    retry: Any = {"max_retries": 8, "retry_timeout": timedelta(seconds=RETRY_S)}
    return Bucket(data_dir, from_url(url, client_options=client, retry_config=retry))


@contextmanager
def _answering() -> Iterator[None]:
    """Say what to do where the store cannot be reached.

    Raises:
        StorageAwayError: for whatever is wrong with it. A bucket that is not there is reported as
            if what was asked of it were not found.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise StorageAwayError(
            "The object store at GLITCH_STORAGE_URL does not answer as it should "
            f"({type(error).__name__}): try again in a few seconds; if it goes on, check the "
            "address, the credentials and the bucket.",
            retry_after_s=10,
        ) from error


PREFIXES = ("glitch-upload-", "glitch-batch-", "glitch-export-")
_OLD_S = 6 * 3600.0  # longer than any request or chunk lasts


def clean_up_leftovers() -> int:
    """Remove this user's temporary files and folders that are too old to be in use; how many."""
    before = time.time() - _OLD_S
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

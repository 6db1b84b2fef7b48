"""Packing a folder into one temporary archive for an upload."""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def as_archive(path: Path) -> Iterator[Path]:
    """The file itself; of a folder, a tar of what is in it, for as long as the block lasts.

    Names are those within the folder. Hidden files and folders, which programs leave behind, and
    links to folders are left out; links to files stand for these. What lies there is stored as it
    is: pictures and strain hardly compress.

    Raises:
        OSError: if a file cannot be read, or the archive not written.
    """
    if not path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="glitch-discovery-") as folder:
        archive = Path(folder) / f"{path.resolve().name}.tar"
        with tarfile.open(archive, "w", dereference=True) as tar:
            for file in files_in(path):
                tar.add(file, arcname=file.relative_to(path).as_posix(), recursive=False)
        yield archive


def files_in(folder: Path) -> list[Path]:
    """The files of a folder that are packed, in the order of their names."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]

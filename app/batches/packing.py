"""Loose files as one batch: packed into a tar, the same files always into the same bytes."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import BinaryIO, cast

from app.core.errors import InvalidRequestError
from app.glitches.upload import clean_name

MOST_LOOSE_FILES = 12


@contextmanager
def packed(files: Sequence[tuple[str | None, BinaryIO]]) -> Iterator[tuple[str, BinaryIO]]:
    """The name and the bytes of a batch that was sent as one file or as several.

    Several are packed in the order of their names, without times and owners, so that the batch is
    known again when it is sent again.

    Raises:
        InvalidRequestError: if there are none, too many, or two of one name.
    """
    named = sorted(((clean_name(name), stream) for name, stream in files), key=itemgetter(0))
    if not named:
        raise InvalidRequestError(
            "Choose a file first: a tar or zip, views of many glitches, or a table of triggers."
        )
    if len(named) > MOST_LOOSE_FILES:
        raise InvalidRequestError(
            f"These are {len(named)} files: pack more than {MOST_LOOSE_FILES} into a tar or zip."
        )
    names = [name for name, _ in named]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidRequestError(f"Two files are called {twice}: rename one of them.")
    if len(named) == 1:
        yield named[0]
        return
    with tempfile.TemporaryFile(prefix="glitch-batch-") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, stream in named:
                entry = tarfile.TarInfo(name)
                entry.size = stream.seek(0, os.SEEK_END)
                stream.seek(0)
                tar.addfile(entry, stream)
        file.seek(0)
        yield f"{len(named)} files", cast("BinaryIO", file)

"""Sending a batch to a running service, on the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from app.client.remote import Upload, find_service
from app.launch.errors import LaunchError


def ingest(
    path: Path, manifest: Path | None, fields: Mapping[str, object], *, url: str | None
) -> UUID:
    """Send a batch; the id of its job.

    The files are streamed from disk, never held in memory.

    Raises:
        LaunchError: if a file, the token or the service is missing, or it refuses; in one sentence.
    """
    service = find_service(url)
    wanted = {"file": path} | ({} if manifest is None else {"manifest": manifest})
    with contextlib.ExitStack() as stack:
        parts = []
        for field, file in wanted.items():
            try:
                parts.append((field, (file.name, stack.enter_context(file.open("rb")))))
            except OSError as error:
                raise LaunchError(f"{file} cannot be read ({error.strerror}).") from error
        answer = service.ask("POST", "/batches", files=parts, data=Upload([], fields).form())
    return UUID(answer["job"])

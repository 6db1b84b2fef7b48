"""Sending a batch to a running service, on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from app.client.remote import find_service
from app.launch.errors import LaunchError
from glitch_discovery.packing import as_archive


def ingest(
    path: Path, manifest: Path | None, fields: Mapping[str, object], *, url: str | None
) -> UUID:
    """Send a batch; the id of its job.

    The files are streamed from disk, never held in memory; a folder is packed first.

    Raises:
        LaunchError: if a file, the token or the service is missing, or it refuses; in one sentence.
    """
    service = find_service(url)
    try:
        with as_archive(path) as archive:
            files = [("file", archive)]
            if manifest is not None:
                files.append(("manifest", manifest))
            answer = service.send("/batches", files, fields)
    except OSError as error:
        raise LaunchError(f"{path} cannot be packed ({error.strerror}).") from error
    return UUID(answer["job"])

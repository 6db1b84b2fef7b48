"""Sending a batch to a running service, on the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from rich.console import Console

from app.client.remote import find_service
from app.launch.errors import LaunchError
from glitch_discovery.packing import as_archive, files_in


def ingest(
    path: Path, manifest: Path | None, fields: Mapping[str, object], *, url: str | None
) -> UUID:
    """Send a batch; the id of its job.

    The files are streamed from disk, never held in memory; a folder is packed first.

    Raises:
        LaunchError: if a file, the token or the service is missing, or it refuses; in one sentence.
    """
    service = find_service(url)
    console = Console(stderr=True, highlight=False)
    try:
        if path.is_dir():
            console.print(_packed(path))
        with as_archive(path) as archive:
            console.print(f"Sending {archive.stat().st_size / 1e6:,.1f} MB to {service.address}")
            files = [("file", archive)]
            if manifest is not None:
                files.append(("manifest", manifest))
            answer = service.send("/batches", files, fields)
    except OSError as error:
        raise LaunchError(f"{path} cannot be packed ({error.strerror}).") from error
    return UUID(answer["job"])


def _packed(folder: Path) -> str:
    """What is packed of a folder, as a sentence.

    Raises:
        LaunchError: if it holds nothing.
    """
    found = files_in(folder)
    if not found:
        raise LaunchError(
            f"{folder} holds no files: name the folder of the pictures, or of the strain and its "
            "table of triggers."
        )
    kinds = Counter(file.suffix.lower() or "no suffix" for file in found)
    listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5))
    more = f" and {len(kinds) - 5} more kinds" if len(kinds) > 5 else ""
    return f"Packing {len(found):,} files of {folder} ({listed}{more})"

"""Exporting a running service's catalogue to a file, on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.client.jobs import FAILED, follow
from app.client.remote import find_service, plain_console
from app.launch.errors import LaunchError

_FORMATS = {".csv": "csv", ".h5": "hdf5", ".hdf5": "hdf5", ".xml": "ligolw"}


def format_of(path: Path, named: str | None) -> str:
    """The format that was named, else the one that the file's name tells.

    Raises:
        LaunchError: if neither says.
    """
    found = named or _FORMATS.get(path.suffix.lower())
    if found is None:
        raise LaunchError(
            f"{path.name} does not tell its format: end it in {', '.join(_FORMATS)}, or give "
            "--format csv, hdf5 or ligolw."
        )
    return found


def export_catalogue(url: str | None, path: Path, wanted: Mapping[str, Any]) -> int:
    """Have the catalogue exported, wait, and keep the file; the exit code.

    Raises:
        LaunchError: if the file cannot be written, or the service is missing or refuses.
    """
    if not path.parent.is_dir():
        raise LaunchError(f"{path.parent} is no folder: make it, or choose another.")
    service = find_service(url)
    body = {name: value for name, value in wanted.items() if value not in (None, [], False)}
    job = follow(service, service.ask("POST", "/exports", json=body))
    console = plain_console()
    if job["state"] != "succeeded":
        console.print(f"The job {job['id']} {job['state']}: {job['detail'] or 'no reason given'}")
        return FAILED
    result = job["result"]
    service.fetch(result["href"], path)
    rows = f"{result['rows']:,} row{'s' if result['rows'] != 1 else ''}"
    console.print(f"{path}: {rows}, {result['format']}, {result['bytes']:,} bytes")
    return 0

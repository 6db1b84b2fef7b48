"""Requests of the command line to the catalogue of a service: batches, clusterings, exports."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from app.client.remote import FAILED, follow, plain_console, service_at
from app.core.errors import LaunchError
from app.core.wording import count
from glitch_discovery.packing import as_archive, files_in
from glitch_discovery.tables import FORMAT_OF
from glitch_discovery.transport import Transport


def cluster(url: str | None, parameters: Mapping[str, Any]) -> int:
    """Start a clustering, wait for it, print the clusters, and return the exit code."""
    console = plain_console()
    with service_at(url) as service:
        result = _result(service, console, "/clusters/runs", parameters)
        if result is None:
            return FAILED
        clusters = service.ask("GET", "/clusters", params={"run": result["run"], "limit": 500})
    console.print(result["detail"])
    if clusters["items"]:
        table = Table(
            *("size", "stability", "by chance", "detectors", "nearest class", "state", "id"),
            box=None,
            pad_edge=False,
        )
        for cluster_row in clusters["items"]:
            nearest = cluster_row["summary"]["nearest_classes"]
            table.add_row(
                str(cluster_row["size"]),
                f"{cluster_row['stability']:.2f}",
                _chance(cluster_row["significance"]),
                ", ".join(cluster_row["summary"]["ifos"]),
                nearest[0]["label"] if nearest else "none",
                cluster_row["state"],
                cluster_row["id"],
            )
        console.print(table)
    return 0


def _chance(significance: float | None) -> str:
    if significance is None:
        return "not tested"
    return f"{significance:.2g}" if significance >= 1e-12 else "< 1e-12"


def format_of(path: Path, named: str | None) -> str:
    """Return the format given by name, or else by the file's suffix.

    Raises:
        LaunchError: if neither gives one.
    """
    format_name = named or FORMAT_OF.get(path.suffix.lower())
    if format_name is None:
        raise LaunchError(
            f"The format of {path.name} is unknown: let the name end in {', '.join(FORMAT_OF)}, or "
            "give --format csv, hdf5 or ligolw."
        )
    return format_name


def export_catalogue(url: str | None, path: Path, parameters: Mapping[str, Any]) -> int:
    """Start an export, wait for it, download the file, and return the exit code."""
    if not path.parent.is_dir():
        raise LaunchError(f"{path.parent} is not a folder: create it, or choose another.")
    console = plain_console()
    body = {name: value for name, value in parameters.items() if value not in (None, [], False)}
    with service_at(url) as service:
        result = _result(service, console, "/exports", body)
        if result is None:
            return FAILED
        service.fetch(result["href"], path)
    rows = count(result["rows"], "row")
    console.print(f"{path}: {rows}, {result['format']}, {result['bytes']:,} bytes")
    return 0


def _result(
    service: Transport, console: Console, path: str, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Run a job and return its result; if it failed, print why and return None."""
    job = follow(service, service.ask("POST", path, json=dict(options)))
    if job["state"] != "succeeded":
        console.print(f"The job {job['id']} {job['state']}: {job['detail'] or 'no reason given'}")
        return None
    result: dict[str, Any] = job["result"]
    return result


def ingest(
    path: Path, manifest: Path | None, fields: Mapping[str, object], *, url: str | None
) -> UUID:
    """Send a batch, and return the id of its job.

    Files are streamed from disk, never held in memory. A folder is packed first.
    """
    console = Console(stderr=True, highlight=False)
    with service_at(url) as service, contextlib.ExitStack() as stack:
        if path.is_dir():
            console.print(_packed(path))
        try:
            archive = stack.enter_context(as_archive(path))
        except OSError as error:
            raise LaunchError(f"{path} cannot be packed ({error.strerror}).") from error
        console.print(f"Sending {archive.stat().st_size / 1e6:,.1f} MB to {service.url}")
        files = [("file", archive)]
        if manifest is not None:
            files.append(("manifest", manifest))
        return UUID(service.send("/batches", files, fields)["job"])


def _packed(folder: Path) -> str:
    """Describe the files of a folder that are packed."""
    files = files_in(folder)
    if not files:
        raise LaunchError(
            f"{folder} contains no files: give the folder of the pictures, or of the strain and "
            "its table of triggers."
        )
    kinds = Counter(file.suffix.lower() or "no suffix" for file in files)
    kind_counts = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(5))
    more = f" and {len(kinds) - 5} more kinds" if len(kinds) > 5 else ""
    return f"Packing {len(files):,} files of {folder} ({kind_counts}{more})"

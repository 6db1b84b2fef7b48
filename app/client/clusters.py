"""Clustering a running service's catalogue from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from app.client.jobs import FAILED, follow
from app.client.remote import find_service, plain_console


def cluster(url: str | None, wanted: Mapping[str, Any]) -> int:
    """Have the catalogue clustered, wait, and print what came out; the exit code."""
    service = find_service(url)
    job = follow(service, service.ask("POST", "/clusters/runs", json=dict(wanted)))
    console = plain_console()
    if job["state"] != "succeeded":
        console.print(f"The job {job['id']} {job['state']}: {job['detail'] or 'no reason given'}")
        return FAILED
    console.print(job["result"]["detail"])
    found = service.ask("GET", "/clusters", params={"run": job["result"]["run"], "limit": 500})
    if found["items"]:
        table = Table(
            *("size", "stability", "significance", "detectors", "nearest class", "state", "id"),
            box=None,
            pad_edge=False,
        )
        for one in found["items"]:
            nearest = one["summary"]["nearest_classes"]
            chance = one["significance"]
            table.add_row(
                str(one["size"]),
                f"{one['stability']:.2f}",
                "unknown" if chance is None else f"{chance:.2g}",
                ", ".join(one["summary"]["ifos"]),
                nearest[0]["label"] if nearest else "none",
                one["state"],
                one["id"],
            )
        console.print(table)
    return 0

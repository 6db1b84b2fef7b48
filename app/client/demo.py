"""The demonstration of a running service, on the command line."""

from __future__ import annotations

from uuid import UUID

from app.client.jobs import show
from app.client.remote import find_service, plain_console


def load(url: str | None, *, is_followed: bool) -> int:
    """Have it loaded, or what is missing of it, and show how far it is; the exit code.

    Raises:
        LaunchError: if the token or the service is missing, or it refuses.
    """
    job = find_service(url).ask("POST", "/demonstration")
    return show(url, UUID(job["id"]), is_followed=is_followed)


def remove_all(url: str | None) -> int:
    """Take it out; the exit code.

    Raises:
        LaunchError: if the token or the service is missing, or it refuses.
    """
    gone = find_service(url).ask("DELETE", "/demonstration")["glitches"]
    said = f"{gone:,} simulated glitches are gone." if gone else "There was no demonstration."
    plain_console().print(said)
    return 0

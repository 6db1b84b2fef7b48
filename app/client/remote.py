"""A client of a running service, for the command line."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from app.core.errors import LaunchError
from app.glitches.assumed import assumption
from app.launch.address import address_of
from app.launch.data_directory import read_token
from app.launch.settings import read_settings
from glitch_discovery import ServiceError, UnreachableError
from glitch_discovery.transport import Transport

_WIDTH = 200


@contextlib.contextmanager
def service_at(url: str | None) -> Iterator[Transport]:
    """Connect one command to the service at ``url``, by default the configured one.

    Raises:
        LaunchError: if there is no token, the service cannot be reached or refuses the request, or
            a file cannot be used. The message is one sentence and names options.
    """
    settings = read_settings()
    token = os.environ.get("GLITCH_TOKEN") or read_token(settings.data_dir)
    if token is None:
        raise LaunchError(
            f"No token in {settings.data_dir}: give the data directory of the service on this "
            "machine by --data-dir or GLITCH_DATA_DIR, or set GLITCH_TOKEN."
        )
    address = url or address_of(settings.host, settings.port)
    try:
        with contextlib.closing(Transport(address, token)) as service:
            yield service
    except ServiceError as error:
        # an API field, which the command line calls by its option
        message, field = str(error), error.field
        if field:
            message = message.replace(field, f"--{field.replace('_', '-')}")
        raise LaunchError(message) from error
    except UnreachableError as error:
        raise LaunchError(f"{error} The option for it is --url.") from error
    except BrokenPipeError:  # the reader of the output has gone, such as `head`
        raise
    except OSError as error:
        name = error.filename or "The file"
        raise LaunchError(f"{name} cannot be used ({error.strerror}).") from error


def print_answer(answer: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the response to an upload as a table or as JSON."""
    console = plain_console()
    if as_json:
        console.out(json.dumps(answer, indent=2), highlight=False)
        return
    glitch, embedding, novelty = answer["glitch"], answer["embedding"], answer["novelty"]
    facts = Table.grid(padding=(0, 2))
    facts.add_row("glitch", _text_of(glitch["gravityspy_id"] or glitch["id"]))
    facts.add_row("detector, GPS time", f"{_text_of(glitch['ifo'])} {_text_of(glitch['gps_time'])}")
    if glitch["centring"]:
        facts.add_row("views", glitch["centring"])
    if assumed_text := assumption(answer["assumed"]):
        facts.add_row("", assumed_text)
    facts.add_row("SNR", _text_of(glitch["snr"]))
    facts.add_row("peak frequency", f"{_text_of(glitch['peak_frequency'])} Hz")
    facts.add_row("label", _text_of(glitch["label"]))
    facts.add_row("checkpoint", _text_of(embedding["checkpoint"]))
    facts.add_row("reconstruction error", _text_of(embedding["reconstruction_error"]))
    judged = "p = {p_value:.3g} (score {score:.3g}, higher is more novel)"
    facts.add_row(
        "novelty", judged.format(**novelty) if novelty["is_judged"] else novelty["reason"]
    )
    if simulated := embedding.get("simulated_class"):
        percent = f"{100 * simulated['probability']:.0f} %"
        facts.add_row("simulated class", f"{simulated['label']}, probability {percent}")
    if page := glitch["links"].get("page"):
        facts.add_row("its page", page)
    console.print(facts)
    if answer["neighbours"]:
        table = Table("distance", "label", "ifo", "GPS time", "id", "", box=None, pad_edge=False)
        for item in answer["neighbours"]:
            name = item["gravityspy_id"] or item["id"]
            shown = [_text_of(item[key]) for key in ("distance", "label", "ifo", "gps_time")]
            mark = "simulated" if item["origin"] == "simulated" else ""
            table.add_row(*shown, _text_of(name), mark)
        console.print()
        console.print(table)


def plain_console() -> Console:
    """Return a console on standard output; without a terminal, wide enough for complete ids."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def _text_of(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_OPEN_STATES = ("queued", "running")
_POLL_INTERVAL_S = 0.5
_MAX_SHOWN = 20  # items
_PAGE, _MAX_PAGES = 500, 20
FAILED = 1
# of a result; omitted, because its link is shown as "made"
_ADDRESSES = frozenset({"href", "page", "detail"})


def print_jobs(url: str | None, filters: Mapping[str, Any]) -> None:
    """Print a table of jobs, latest first."""
    query = {name: value for name, value in filters.items() if value is not None}
    with service_at(url) as service:
        answer = service.ask("GET", "/jobs", params=query)
    table = Table("id", "kind", "state", "done", "failed", "author", "created", "", box=None)
    for job in answer["items"]:
        progress = job["progress"]
        table.add_row(
            *(job["id"], job["kind"], job["state"], _done(progress), str(progress["failed"])),
            *(job["author"], job["created_at"][:16].replace("T", " "), job["detail"] or ""),
        )
    plain_console().print(table)


def show(url: str | None, job_id: UUID, *, is_followed: bool) -> int:
    """Show a job, with a progress bar while it is open, and return the exit code."""
    console = plain_console()
    with service_at(url) as service:
        job = service.ask("GET", f"/jobs/{job_id}")
        if is_followed and job["state"] in _OPEN_STATES:
            job = follow(service, job)
        console.print(_facts(service.url, job))
        _print_items(service, console, job_id, "failed", job["progress"]["failed"])
        _print_items(service, console, job_id, "skipped", _n_left_out(job))
    return FAILED if job["state"] == "failed" else 0


def _facts(address: str, job: dict[str, Any]) -> Table:
    progress = job["progress"]
    facts = Table.grid(padding=(0, 2))
    facts.add_row("job", f"{job['kind']} {job['id']}, by {job['author']}")
    facts.add_row("state", job["state"])
    n_left_out = _n_left_out(job)
    n_known = progress["skipped"] - n_left_out
    left_out = f", {n_left_out} left out" if n_left_out else ""
    facts.add_row(
        "items",
        f"{_done(progress)} done, {progress['failed']} failed, {n_known} already known{left_out}",
    )
    if job["detail"]:
        facts.add_row("detail", job["detail"])
    for name, value in (job["result"] or {}).items():
        if name not in _ADDRESSES and value is not None:
            facts.add_row(name.replace("_", " "), str(value))
    if job["made"]:
        facts.add_row("made", f"{address}{job['made']['href']}")
        facts.add_row("its page", f"{address}{job['made']['page']}")
    return facts


def follow(service: Transport, job: dict[str, Any]) -> dict[str, Any]:
    """Show a progress bar until the job has ended, and return the job."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(job["kind"], total=None)
        while True:
            progress = job["progress"]
            ended = progress["done"] + progress["failed"] + progress["skipped"]
            title = f"{job['kind']}: {job['state']}"
            if progress["failed"]:
                title += f", {progress['failed']} failed"
            bar.update(task, description=title, total=progress["total"] or None, completed=ended)
            if job["state"] not in _OPEN_STATES:
                break
            time.sleep(_POLL_INTERVAL_S)
            job = service.ask("GET", f"/jobs/{job['id']}")
    return job


def act(url: str | None, job_id: UUID, what: str) -> None:
    """Cancel or retry a job, and print its state."""
    with service_at(url) as service:
        job = service.ask("POST", f"/jobs/{job_id}/{what}")
    state = job["state"]
    if job["is_cancel_requested"] and state in _OPEN_STATES:
        state = "stopping"
    plain_console().print(f"{job['kind']} {job['id']}: {state}")


def _n_left_out(job: dict[str, Any]) -> int:
    """Return the number of skipped items that are no known glitch, such as notes on the batch."""
    n_skipped: int = job["progress"]["skipped"]
    n_known: int = (job["result"] or {}).get("known", n_skipped)
    return n_skipped - n_known


def _print_items(
    service: Transport, console: Console, job_id: UUID, state: str, n_all: int
) -> None:
    """Print the first items without a glitch in a state, of which there are so many."""
    if not n_all:
        return
    path = f"/jobs/{job_id}/items"
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"state": state, "limit": _PAGE}
    for _ in range(_MAX_PAGES):  # in most jobs those without a glitch come last
        page = service.ask("GET", path, params=query)
        items += [item for item in page["items"] if item["glitch_id"] is None]
        query["cursor"] = page["next"]
        if page["next"] is None or len(items) >= min(n_all, _MAX_SHOWN):
            break
    table = Table("left out" if state == "skipped" else state, "reason", box=None)
    for item in items[:_MAX_SHOWN]:
        table.add_row(item["name"], item["reason"])
    console.print()
    console.print(table)
    if len(items[:_MAX_SHOWN]) < n_all:
        console.print(f"... and more: GET {path}?state={state} lists them all.")


def _done(progress: dict[str, Any]) -> str:
    return f"{progress['done']}/{progress['total']}" if progress["total"] else str(progress["done"])


def load(url: str | None, *, is_followed: bool) -> int:
    """Load the demonstration, or the missing part of it, and return the exit code.

    Raises:
        LaunchError: if the token or the service is missing, or the service refuses.
    """
    with service_at(url) as service:
        job = service.ask("POST", "/demonstration")
    return show(url, UUID(job["id"]), is_followed=is_followed)


def remove_all(url: str | None) -> int:
    """Remove the demonstration, and return the exit code.

    Raises:
        LaunchError: if the token or the service is missing, or the service refuses.
    """
    with service_at(url) as service:
        n_removed = service.ask("DELETE", "/demonstration")["glitches"]
    message = (
        f"{n_removed:,} simulated glitches were removed, with their labels, clusters and findings. "
        "`glitch-discovery demo` loads them again."
        if n_removed
        else "There was no demonstration."
    )
    plain_console().print(message)
    return 0

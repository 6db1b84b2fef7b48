"""A client of a running service, for the command line."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from app.glitches.assumed import assumption
from app.launch.address import address_of
from app.launch.data_directory import read_token
from app.launch.errors import LaunchError
from app.launch.settings import read_settings
from glitch_discovery import ServiceError, UnreachableError
from glitch_discovery.transport import Transport

_WIDTH = 200


@contextlib.contextmanager
def service_at(url: str | None) -> Iterator[Transport]:
    """The service at that address, else the one of this machine's settings, for one command.

    Raises:
        LaunchError: if there is no token for it, if it is missing or refuses, or a file cannot be
            used; in one sentence, which names options.
    """
    settings = read_settings()
    token = os.environ.get("GLITCH_TOKEN") or read_token(settings.data_dir)
    if token is None:
        raise LaunchError(
            "No token: set GLITCH_TOKEN, or GLITCH_DATA_DIR to the data directory of the service "
            "on this machine."
        )
    address = url or address_of(settings.host, settings.port)
    try:
        with contextlib.closing(Transport(address, token)) as service:
            yield service
    except ServiceError as error:
        said, named = str(error), error.field  # the command line calls it by its option
        if named:
            said = said.replace(named, f"--{named.replace('_', '-')}")
        raise LaunchError(said) from error
    except UnreachableError as error:
        raise LaunchError(f"{error} The option for it is --url.") from error
    except BrokenPipeError:  # who reads what is printed has gone, as `head` does
        raise
    except OSError as error:
        name = error.filename or "The file"
        raise LaunchError(f"{name} cannot be used ({error.strerror}).") from error


def print_answer(answer: Mapping[str, Any], *, as_json: bool) -> None:
    """Print an answer for people, or as JSON."""
    console = plain_console()
    if as_json:
        console.out(json.dumps(answer, indent=2), highlight=False)
        return
    glitch, embedding, novelty = answer["glitch"], answer["embedding"], answer["novelty"]
    facts = Table.grid(padding=(0, 2))
    facts.add_row("glitch", _shown(glitch["gravityspy_id"] or glitch["id"]))
    facts.add_row("detector, GPS time", f"{_shown(glitch['ifo'])} {_shown(glitch['gps_time'])}")
    if glitch["centring"]:
        facts.add_row("views", glitch["centring"])
    if told := assumption(answer["assumed"]):
        facts.add_row("", told)
    facts.add_row("SNR", _shown(glitch["snr"]))
    facts.add_row("peak frequency", f"{_shown(glitch['peak_frequency'])} Hz")
    facts.add_row("label", _shown(glitch["label"]))
    facts.add_row("checkpoint", _shown(embedding["checkpoint"]))
    facts.add_row("reconstruction error", _shown(embedding["reconstruction_error"]))
    facts.add_row("novelty", _novelty(novelty))
    if page := glitch["links"].get("page"):
        facts.add_row("its page", page)
    console.print(facts)
    if answer["neighbours"]:
        table = Table("distance", "label", "ifo", "GPS time", "id", "", box=None, pad_edge=False)
        for item in answer["neighbours"]:
            name = item["gravityspy_id"] or item["id"]
            shown = [_shown(item[key]) for key in ("distance", "label", "ifo", "gps_time")]
            mark = "simulated" if item["origin"] == "simulated" else ""
            table.add_row(*shown, _shown(name), mark)
        console.print()
        console.print(table)


def plain_console() -> Console:
    """Standard output, wide enough for whole identifiers where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def _novelty(novelty: Mapping[str, Any]) -> str:
    if not novelty["is_judged"]:
        return str(novelty["reason"])
    return f"p = {novelty['p_value']:.3g} (score {novelty['score']:.3g}, higher is more novel)"


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

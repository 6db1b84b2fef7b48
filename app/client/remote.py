"""A client of a running service, for the command line."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from app.launch.address import reachable_host
from app.launch.errors import LaunchError
from app.launch.settings import read_settings
from app.launch.token_file import read_token

_WIDTH = 200
_TIMEOUT_S = 180.0  # a large file over a slow network; the service bounds its own work


@dataclass(frozen=True)
class Upload:
    """Files and form fields of one request; fields that are None are not sent."""

    files: Sequence[Path]
    fields: Mapping[str, object]

    def form(self) -> dict[str, str | list[str]]:
        """The fields as a form has them: lists repeat, booleans are words."""
        return {
            name: [_text(item) for item in value] if isinstance(value, list) else _text(value)
            for name, value in self.fields.items()
            if value is not None
        }


@dataclass(frozen=True)
class RemoteService:
    """A running service, and the token to ask it with."""

    address: str
    token: str

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON that it answers; options are those of ``httpx.request``.

        Raises:
            LaunchError: if it is missing or refuses; in one sentence.
        """
        try:
            answer = httpx.request(
                method,
                f"{self.address}{path}",
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=_TIMEOUT_S,
                **options,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LaunchError(
                f"No service answers at {self.address} ({error}): start it with `make up`, or give "
                "its address with --url."
            ) from error
        return _content(answer, self.address)

    def fetch(self, path: str, target: Path) -> None:
        """Keep what it answers as a file; streamed, so that memory does not grow with it.

        Raises:
            LaunchError: if it is missing or refuses, or the file cannot be written; no half of it
                is left.
        """
        aside = target.with_name(f".{target.name}.part")
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            with httpx.stream(
                "GET", f"{self.address}{path}", headers=headers, timeout=_TIMEOUT_S
            ) as answer:
                if answer.is_error:
                    answer.read()
                    _content(answer, self.address)
                with aside.open("wb") as file:
                    for block in answer.iter_bytes():
                        file.write(block)
            aside.replace(target)
        except httpx.HTTPError as error:
            raise LaunchError(
                f"{self.address} stopped answering ({error}): ask for {path} again."
            ) from error
        except OSError as error:
            raise LaunchError(f"{target} cannot be written ({error.strerror}).") from error
        finally:
            aside.unlink(missing_ok=True)


def find_service(url: str | None) -> RemoteService:
    """The service at that address, else the one of this machine's settings.

    Raises:
        LaunchError: if there is no token for it.
    """
    settings = read_settings()
    address = url or _address(settings.host, settings.port)
    token = os.environ.get("GLITCH_TOKEN") or read_token(settings.data_dir)
    if token is None:
        raise LaunchError(
            "No token: set GLITCH_TOKEN, or GLITCH_DATA_DIR to the data directory of the service "
            "on this machine."
        )
    return RemoteService(address.rstrip("/"), token)


def ask_to_embed(upload: Upload, *, url: str | None) -> dict[str, Any]:
    """The service's answer to ``POST /embed``.

    Raises:
        LaunchError: if a file, the token or the service is missing, or it refuses; in one sentence.
    """
    service = find_service(url)
    with contextlib.ExitStack() as stack:
        parts = []
        for path in upload.files:
            try:
                parts.append(("file", (path.name, stack.enter_context(path.open("rb")))))
            except OSError as error:
                raise LaunchError(f"{path} cannot be read ({error.strerror}).") from error
        return service.ask("POST", "/embed", files=parts, data=upload.form())


def _content(answer: httpx.Response, address: str) -> dict[str, Any]:
    try:
        content = answer.json()
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise LaunchError(
            f"{address} answered {answer.status_code} and no JSON: is it Glitch Discovery?"
        )
    if answer.is_error:
        raise LaunchError(str(content.get("detail") or content.get("title") or answer.status_code))
    return content


def _address(host: str, port: int) -> str:
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
    facts.add_row("SNR", _shown(glitch["snr"]))
    facts.add_row("peak frequency", f"{_shown(glitch['peak_frequency'])} Hz")
    facts.add_row("label", _shown(glitch["label"]))
    facts.add_row("checkpoint", _shown(embedding["checkpoint"]))
    facts.add_row("latent vector", " ".join(f"{value:.3f}" for value in embedding["mean"]))
    facts.add_row("reconstruction error", _shown(embedding["reconstruction_error"]))
    facts.add_row("novelty", _novelty(novelty))
    console.print(facts)
    if answer["neighbours"]:
        table = Table("distance", "label", "ifo", "GPS time", "id", box=None, pad_edge=False)
        for item in answer["neighbours"]:
            name = item["gravityspy_id"] or item["id"]
            shown = [_shown(item[key]) for key in ("distance", "label", "ifo", "gps_time")]
            table.add_row(*shown, _shown(name))
        console.print()
        console.print(table)


def plain_console() -> Console:
    """Standard output, wide enough for whole identifiers where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def _novelty(novelty: Mapping[str, Any]) -> str:
    if not novelty["is_judged"]:
        reason = str(novelty["reason"]).removeprefix("Could not be judged: ")
        return f"could not be judged: {reason}"
    return f"p = {novelty['p_value']:.3g} (score {novelty['score']:.3g}, higher is more novel)"


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

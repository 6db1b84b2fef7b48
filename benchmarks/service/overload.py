"""More clients than the service can serve: accepted and refused requests, and their times.

    python -m benchmarks.service.overload                      44, 60, 100 and 256 clients
    python -m benchmarks.service.overload --clients 60 --seconds 20

Each client sends its next request as soon as it has a response, accepted or refused. Of ten
requests three are for the catalogue's rows, one for a page of it, one for the page of a glitch, two
for neighbours of one; two send a spectrogram and one sends 32 s of strain, both with `store=false`.
Meanwhile another client requests `/healthz` ten times a second. Below the rows is the number of
connections of each process of the service at the end. The exit status is not zero after any other
response, and after a refusal without Retry-After.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

import httpx
import numpy as np
import psutil

from benchmarks.machine import heading
from benchmarks.service.embed_latency import spectrogram_request, strain_request
from benchmarks.service.parts import Memory, OwnService, own_service

_REQUEST_ORDER = (
    *("rows", "page", "neighbours", "spectrogram", "rows"),
    *("strain", "glitch page", "neighbours", "spectrogram", "rows"),
)
_PATIENCE_S = 120.0  # timeout of a client


@dataclass
class Seen:
    """The responses to the clients."""

    times_s: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    connections: list[int] = field(default_factory=list)  # of each process at the end

    def note(self, what: str, status: int, head: Mapping[str, str], took_s: float) -> None:
        is_refusal = status == 503 and int(head.get("retry-after", 0)) >= 1
        if status == 200 or is_refusal:
            self.times_s.setdefault((what, status), []).append(took_s)
        else:
            self.others[f"{what} {status}"] += 1


class _Client:
    """One connection at a time, opened again when the service closes it.

    Little more than sockets: httpx takes as long for a request as the service for a refusal, so on
    one machine the clients would measure themselves.
    """

    def __init__(self, url: httpx.URL) -> None:
        self._url = url
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, dict[str, str]]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._url.host, self._url.port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        head = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        await reader.readexactly(int(head["content-length"]))
        if head.get("connection") == "close":
            self.close()
        return int(first.split()[1]), head

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _requests(service: OwnService) -> dict[str, bytes]:
    """Return the requests of each client, as bytes, by name."""
    spectrogram, strain = spectrogram_request(), strain_request()
    with httpx.Client(base_url=service.url, timeout=60) as client:
        match = re.search(r'name="csrf" value="([^"]+)"', client.get("/ui/login").text)
        form = {"csrf": match[1] if match else "", "token": service.token}
        client.post("/ui/login", data=form)  # leads on to the first page
        with httpx.Client(base_url=service.url, headers=service.headers, timeout=60) as api:
            stored = [api.post("/embed", **spectrogram(n)) for n in range(40)]  # type: ignore[arg-type]
            glitch = stored[0].raise_for_status().json()["glitch"]["id"]

            def written(request: httpx.Request) -> bytes:
                lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"]
                lines += [f"{name}: {value}" for name, value in request.headers.items()]
                return "\r\n".join((*lines, "", "")).encode() + request.read()

            def upload(sent: dict[str, object]) -> bytes:
                form = {**sent["data"], "store": "false"}  # type: ignore[dict-item]
                return written(api.build_request("POST", "/embed", files=sent["files"], data=form))  # type: ignore[arg-type]

            return {
                "rows": written(api.build_request("GET", "/glitches?limit=20")),
                "page": written(client.build_request("GET", "/ui/glitches")),
                "glitch page": written(client.build_request("GET", f"/ui/glitches/{glitch}")),
                "neighbours": written(api.build_request("GET", f"/glitches/{glitch}/neighbours")),
                "spectrogram": upload(spectrogram(1000)),
                "strain": upload(strain(1000)),
                "healthz": written(api.build_request("GET", "/healthz")),
            }


async def _overload(
    service: OwnService, requests: Mapping[str, bytes], clients: int, seconds: float
) -> Seen:
    counts = Seen()
    over_at = time.monotonic() + seconds

    async def ask(client: _Client, what: str) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, head = await client.ask(requests[what])
        except (OSError, EOFError) as error:
            client.close()
            counts.others[f"{what} {type(error).__name__}"] += 1
        else:
            counts.note(what, status, head, time.monotonic() - started)

    async def one(number: int) -> None:
        with contextlib.closing(_Client(httpx.URL(service.url))) as client:
            for turn in count(
                number
            ):  # different starting points, so that clients do not send the same request together
                if time.monotonic() > over_at:
                    return
                await ask(client, _REQUEST_ORDER[turn % len(_REQUEST_ORDER)])

    async def probe() -> None:
        with contextlib.closing(_Client(httpx.URL(service.url))) as client:
            while time.monotonic() < over_at:
                await ask(client, "healthz")
                await asyncio.sleep(0.1)

    await asyncio.gather(probe(), *(one(n) for n in range(clients)))
    counts.connections = _connections(httpx.URL(service.url).port)
    return counts


def _connections(port: int | None) -> list[int]:
    """Return the number of connections of each process that listens on this port."""
    links = (one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port)
    counts = Counter(one.pid for one in links if one.pid and one.status == psutil.CONN_ESTABLISHED)
    return sorted(counts.values())


def main() -> int:
    """Print a row for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", nargs="+", type=int, default=[44, 60, 100, 256])
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    print(heading())
    failures: Counter[str] = Counter()
    with own_service(GLITCH_DEMO="false") as service, Memory(service) as memory:
        requests = _requests(service)
        asyncio.run(_overload(service, requests, 4, 5))  # warm
        print("\n                      answered in ms              refused in ms")
        print(
            "clients what           number   p50   p99  longest  number   p50   p99 longest  load"
        )
        for clients in chosen.clients:
            seen = asyncio.run(_overload(service, requests, clients, chosen.seconds))
            for kind in requests:
                row = ""
                for status in (200, 503):
                    times = seen.times_s.get((kind, status), [])
                    p50, p99, longest = np.percentile(times or [np.nan], [50, 99, 100]) * 1e3
                    row += f" {len(times):>7} {p50:>5.0f} {p99:>5.0f} {longest:>7.0f}"
                print(f"{clients:>7} {kind:<12} {row}  {os.getloadavg()[0]:>4.1f}", flush=True)
            print(f"{clients:>7} connections of each process: {seen.connections}", flush=True)
            failures += seen.others
    print(f"\nother answers: {dict(failures) or 'none'}")
    print("largest memory, MiB: " + ", ".join(f"{k} {v:.0f}" for k, v in memory.largest.items()))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())

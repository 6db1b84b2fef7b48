"""More clients than the service can answer: who is answered, who refused, and how soon.

    python -m benchmarks.service.overload                      44, 60, 100 and 256 clients
    python -m benchmarks.service.overload --clients 60 --seconds 20

Each client asks again as soon as it has its answer, refused or not: nine times for a page of the
catalogue, then sends a spectrogram (`store=false`). Meanwhile one more asks `/healthz` ten times a
second. Below the rows stands how many connections each process of the service had at the end. The
exit status tells of any other answer, and of a refusal without Retry-After.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import numpy as np
import psutil

from benchmarks.machine import heading
from benchmarks.service.embed_latency import spectrogram_request, tls_context
from benchmarks.service.parts import Memory, OwnService, own_service

_READS = 9  # between two uploads


@dataclass
class Seen:
    """What the clients were answered."""

    times_s: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    connections: list[int] = field(default_factory=list)  # of each process at the end

    def note(self, what: str, answer: httpx.Response, took_s: float) -> None:
        status = answer.status_code
        is_refusal = status == 503 and int(answer.headers.get("retry-after", 0)) >= 1
        if status == 200 or is_refusal:
            self.times_s.setdefault((what, status), []).append(took_s)
        else:
            self.others[f"{what} {status}"] += 1


async def _crowd(service: OwnService, clients: int, seconds: float) -> Seen:
    seen = Seen()
    over_at = time.monotonic() + seconds
    upload = spectrogram_request()(0)
    upload["data"] = {**upload["data"], "store": "false"}  # type: ignore[dict-item]

    async def ask(client: httpx.AsyncClient, what: str) -> None:
        started = time.monotonic()
        try:
            if what == "upload":
                answer = await client.post("/embed", **upload)  # type: ignore[arg-type]
            else:
                answer = await client.get("/glitches?limit=20" if what == "read" else "/healthz")
        except httpx.HTTPError as error:
            seen.others[f"{what} {type(error).__name__}"] += 1
        else:
            seen.note(what, answer, time.monotonic() - started)

    async def one(client: httpx.AsyncClient, number: int) -> None:
        asked = number  # so that the uploads do not come all at once
        while time.monotonic() < over_at:
            await ask(client, "read" if asked % (_READS + 1) else "upload")
            asked += 1

    async def probe(client: httpx.AsyncClient) -> None:
        while time.monotonic() < over_at:
            await ask(client, "healthz")
            await asyncio.sleep(0.1)

    def client() -> httpx.AsyncClient:
        # Each its own, as people have: one pool of some hundred connections looks through all of
        # them for every request, and its users wait for it rather than for the service.
        return httpx.AsyncClient(
            base_url=service.url, headers=service.headers, timeout=60, verify=tls_context()
        )

    async with contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(client()) for _ in range(clients)]
        beside = await stack.enter_async_context(client())
        await asyncio.gather(probe(beside), *(one(own, n) for n, own in enumerate(crowd)))
        seen.connections = _connections(httpx.URL(service.url).port)
    return seen


def _connections(port: int | None) -> list[int]:
    """How many each process that answers at this port has."""
    found = (one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port)
    counts = Counter(one.pid for one in found if one.pid and one.status == psutil.CONN_ESTABLISHED)
    return sorted(counts.values())


def main() -> int:
    """A row for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", nargs="+", type=int, default=[44, 60, 100, 256])
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    print(heading())
    others: Counter[str] = Counter()
    with own_service(GLITCH_DEMO="false") as service, Memory(service) as memory:
        asyncio.run(_crowd(service, 4, 5))  # warm
        print("\nclients what     answered refused   p50 ms   p99 ms refused p99 ms   load")
        for clients in chosen.clients:
            seen = asyncio.run(_crowd(service, clients, chosen.seconds))
            for what in ("read", "upload", "healthz"):
                good, refused = (seen.times_s.get((what, status), []) for status in (200, 503))
                p50, p99 = np.percentile(good or [np.nan], [50, 99]) * 1e3
                late = np.percentile(refused or [np.nan], 99) * 1e3
                load = os.getloadavg()[0]
                print(
                    f"{clients:>7} {what:<8} {len(good):>8} {len(refused):>7} {p50:>8.0f} "
                    f"{p99:>8.0f} {late:>14.0f} {load:>6.1f}",
                    flush=True,
                )
            print(f"{clients:>7} connections of each process: {seen.connections}", flush=True)
            others += seen.others
    print(f"\nother answers: {dict(others) or 'none'}")
    print("largest memory, MiB: " + ", ".join(f"{k} {v:.0f}" for k, v in memory.largest.items()))
    return 1 if others else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Memory of the service's processes after many requests: whether it grows without limit.

    python -m benchmarks.service.soak --requests 25000
    python -m benchmarks.service.soak --requests 50400 --a-second 7          two hours of it
    MALLOC_ARENA_MAX=16 python -m benchmarks.service.soak      with as many heaps as glibc has

Eight clients: of four requests one stores a spectrogram, one embeds 32 s of strain without storing
it, two read the catalogue and a glitch. Any error ends the run.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import numpy as np

from benchmarks.machine import heading
from benchmarks.service.embed_latency import spectrogram_request, strain_request
from benchmarks.service.parts import Memory, own_service

_PARTS = ("API", "worker", "scheduler", "PostgreSQL")


def main() -> None:
    """Print a row for each twelfth of the requests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=25_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument(
        "--a-second", type=float, help="requests are sent at this rate, not as soon as possible"
    )
    chosen = parser.parse_args()
    print(heading())
    spectrogram, strain = spectrogram_request(), strain_request()
    local = threading.local()
    with own_service(GLITCH_DEMO="false") as service:

        def ask(number: int) -> float:
            if not hasattr(local, "client"):
                local.client = httpx.Client(
                    base_url=service.url, headers=service.headers, timeout=120
                )
            started = time.monotonic()
            match number % 4:
                case 0:
                    answer = local.client.post("/embed", **spectrogram(number))
                case 1:
                    sent = strain(number % 10_000)
                    sent["data"] = {**sent["data"], "store": "false"}  # type: ignore[dict-item]
                    answer = local.client.post("/embed", **sent)
                case 2:
                    answer = local.client.get("/glitches?limit=50")
                case _:
                    answer = local.client.get("/classes")
            answer.raise_for_status()
            return time.monotonic() - started

        memory = Memory(service)
        print(
            f"\nrequests  a second   p50 ms  p99 ms  {' MiB  '.join(_PARTS)} MiB   load", flush=True
        )
        with ThreadPoolExecutor(chosen.clients) as pool:
            step = max(1, chosen.requests // 12)
            took, started = [0.0], time.monotonic()
            for first in range(0, 12 * step + 1, step):
                memory_mib = memory.now()
                rate = len(took) / (time.monotonic() - started) if first else 0.0
                print(
                    f"{first:>8} {rate:>9.1f} {1e3 * np.percentile(took, 50):>8.0f}"
                    f" {1e3 * np.percentile(took, 99):>7.0f}  "
                    + " ".join(f"{memory_mib[name]:>{len(name) + 4}.0f}" for name in _PARTS)
                    + f" {os.getloadavg()[0]:>8.1f}",
                    flush=True,
                )
                if first == 12 * step:
                    break
                started = time.monotonic()
                took = [
                    future.result() for future in sent_at(chosen.a_second, pool, ask, first, step)
                ]


def sent_at(
    a_second: float | None,
    pool: ThreadPoolExecutor,
    ask: Callable[[int], float],
    first: int,
    count: int,
) -> list[Future[float]]:
    """Send requests at their due times, or all at once without a rate."""
    started = time.monotonic()
    futures: list[Future[float]] = []
    for number in range(count):
        if a_second is not None:
            time.sleep(max(0.0, started + number / a_second - time.monotonic()))
        futures.append(pool.submit(ask, first + number))
    return futures


if __name__ == "__main__":
    main()

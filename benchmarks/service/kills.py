"""SIGKILL of each process of a running `up` under load: losses, and time to recovery.

    python -m benchmarks.service.kills

Four clients store spectrograms, each with its own GPS time, and repeat a request until it is
stored; the worker processes a batch of strain. Afterwards every glitch must exist once, and the
batch must be done; otherwise the exit status is not zero.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tarfile
import threading
import time
from decimal import Decimal

import httpx
import psutil

from benchmarks.machine import heading
from benchmarks.service.embed_latency import spectrogram_request
from benchmarks.service.parts import OwnService, own_service

_CLIENTS = 4
_PATIENCE_S = 300.0
_FIRST_GPS = 1_000_000_000
ORDER = (
    "worker",
    "scheduler",
    "Redis",
    "API",
    "PostgreSQL",
)  # decoding processes restart on demand


class Writers:
    """Clients that store glitches continuously, and record when each was stored."""

    def __init__(self, service: OwnService) -> None:
        self._service = service
        self._request = spectrogram_request()
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self.stored: list[tuple[float, Decimal]] = []
        self.failures = 0
        self._threads = [threading.Thread(target=self._write) for _ in range(_CLIENTS)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        with httpx.Client(
            base_url=self._service.url, headers=self._service.headers, timeout=30
        ) as client:
            while not self._is_over.is_set():
                with self._lock:
                    number, self._next = self._next, self._next + 1
                while not self._is_stored(client, number):
                    time.sleep(0.2)

    def _is_stored(self, client: httpx.Client, number: int) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            answer = client.post("/embed", **self._request(number))  # type: ignore[arg-type]
            if answer.status_code in (200, 201):
                with self._lock:
                    self.stored.append((time.monotonic(), Decimal(_FIRST_GPS + number)))
                return True
        with self._lock:
            self.failures += 1
        return False

    def stored_after(self, moment: float) -> float | None:
        """Return when the first glitch was stored that was not yet stored at a moment."""
        with self._lock:
            return next((stored_at for stored_at, _ in self.stored if stored_at > moment), None)


def _batch() -> bytes:
    """Build a tar of pictures that keeps the worker busy while others are killed."""
    picture = spectrogram_request()(0)["files"]["file"][1]  # type: ignore[index]
    rows = "gps_time,ifo,path\n" + "".join(
        f"{900_000_000 + n},L1,p{n}_spectrogram_1.0.png\n" for n in range(300)
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in [
            ("manifest.csv", rows.encode()),
            *((f"p{n}_spectrogram_1.0.png", picture) for n in range(300)),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _kill(service: OwnService, part: str) -> None:
    """Kill the oldest process of the part, on which the others depend."""
    matching = [process for name, process in service.parts() if name == part]
    min(matching, key=psutil.Process.create_time).kill()


def _is_back(service: OwnService, part: str, killed_at: float) -> bool:
    """Whether a process of the part was started since; ``killed_at`` is a Unix time."""
    return any(
        name == part and process.create_time() > killed_at for name, process in service.parts()
    )


def _stored_times(client: httpx.Client) -> list[Decimal]:
    times, cursor = [], None
    while True:
        page = client.get("/glitches", params={"limit": 1000, "ifo": "H1", "cursor": cursor or ()})
        page.raise_for_status()
        times += [Decimal(item["gps_time"]) for item in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            return times


def main() -> int:
    """Kill each part, then count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    print(heading())
    with (
        own_service(GLITCH_DEMO="false") as service,
        httpx.Client(base_url=service.url, headers=service.headers, timeout=60) as client,
    ):
        sent = client.post("/batches", files={"file": ("pictures.tar", _batch())})
        job = sent.raise_for_status().json()["job"]
        print("\nkilled       in its place s   next glitch stored s    load")
        with Writers(service) as writers:
            for part in ORDER:
                time.sleep(5)
                moment, killed_at = time.monotonic(), time.time() - 2  # psutil uses another clock
                _kill(service, part)
                while not _is_back(service, part, killed_at):
                    time.sleep(0.05)
                back_s = time.monotonic() - moment
                while (then := writers.stored_after(moment + back_s)) is None:
                    time.sleep(0.05)
                    if time.monotonic() - moment > _PATIENCE_S:
                        raise SystemExit(f"Nothing was stored after {part} was killed.")
                load = os.getloadavg()[0]
                print(f"{part:<12} {back_s:>14.1f} {then - moment:>21.1f} {load:>9.1f}", flush=True)
            time.sleep(5)
        while (state := client.get(f"/jobs/{job}").json())["state"] in ("queued", "running"):
            time.sleep(1)
        times = _stored_times(client)
    stored = {gps_time for _, gps_time in writers.stored}
    lost, repeated = len(stored - set(times)), len(times) - len(set(times))
    print(
        f"\n{len(stored)} glitches stored, {writers.failures} requests failed and were sent again; "
        f"lost {lost}, stored twice {repeated}\nbatch of 300: {state['state']}, {state['progress']}"
    )
    return 1 if lost or repeated or state["state"] != "succeeded" else 0


if __name__ == "__main__":
    raise SystemExit(main())

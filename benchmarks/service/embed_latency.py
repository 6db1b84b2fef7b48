"""How long `POST /embed` takes: one spectrogram, and 32 s of 4 kHz strain; 1 client and 16.

    python -m benchmarks.service.embed_latency  starts a service, demo included
    python -m benchmarks.service.embed_latency --url URL  measures a running one (GLITCH_TOKEN)

Every request is a glitch that the service has not seen (its GPS time differs), is stored, judged,
and answered with ten neighbours: the whole of the contract, over HTTP on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path

import h5py
import httpx
import numpy as np

from benchmarks.machine import heading
from glitch.images import render_omega_scan
from glitch.simulate import simulate_glitch
from glitch.strain import views_from_strain

GWOSC = Path(__file__).parents[3] / "shared/data/strain/H-H1_LOSC_4_V2-1126259446-32.hdf5"
Request = Callable[[int], dict[str, object]]


@contextlib.contextmanager
def own_service() -> Iterator[tuple[str, str]]:
    """Address and token of a service with the whole demo catalogue, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="embed-latency-") as folder:
        environment = {**os.environ, "GLITCH_DATA_DIR": f"{folder}/data", "GLITCH_PORT": "0"}
        environment.pop("DATABASE_URL", None)
        process = subprocess.Popen(
            [sys.executable, "-c", "from app.cli import main; main()", "up"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            lines = iter(process.stdout or ())
            ready = next((line for line in lines if line.startswith("ready ")), None)
            if ready is None:
                raise SystemExit("The service did not start: run `glitch-discovery up` to see why.")
            yield ready.split()[1], Path(f"{folder}/data/admin-token").read_text().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def spectrogram_request() -> Request:
    """One omega scan with axes, 800 x 600, window of 1 s."""
    glitch = simulate_glitch("Koi_Fish", np.random.default_rng(1), ifo="H1", snr=30.0)
    [seen] = views_from_strain([glitch.strain], [glitch.gps_time])
    picture = render_omega_scan(seen.views.view(1.0), 1.0)

    def request(number: int) -> dict[str, object]:
        form = {"ifo": "H1", "gps_time": str(1_000_000_000 + number), "view_duration_s": "1.0"}
        return {"files": {"file": ("scan.png", picture)}, "data": form}

    return request


def strain_request() -> Request:
    """32 s at 4096 Hz as GWOSC writes it: GW150914 where the public file is at hand."""
    if GWOSC.is_file():
        content, middle = GWOSC.read_bytes(), Decimal("1126259462.4")
    else:
        glitch = simulate_glitch(
            "Chirp", np.random.default_rng(1), sample_rate_hz=4096.0, duration_s=32.0, snr=24.0
        )
        content, middle = (
            gwosc_file(glitch.strain.values, float(glitch.strain.gps_start)),
            glitch.gps_time,
        )

    def request(number: int) -> dict[str, object]:
        form = {"ifo": "H1", "gps_time": str(middle + Decimal(number) / 10000)}
        return {"files": {"file": ("strain.hdf5", content)}, "data": form}

    return request


def gwosc_file(values: np.ndarray, gps_start: float) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        data = file.create_dataset("strain/Strain", data=values)
        data.attrs["Xstart"], data.attrs["Xspacing"] = gps_start, 1 / 4096
        file["meta/GPSstart"] = gps_start
    return buffer.getvalue()


def measure(
    connect: Callable[[], httpx.Client], request: Request, numbers: range, clients: int
) -> str:
    """Send a request for each number from ``clients`` at once; a table row of what they took."""
    times: list[float] = []
    remaining = iter(numbers)
    lock = threading.Lock()

    def work(_client: int) -> None:
        with connect() as client:
            while True:
                with lock:
                    number = next(remaining, None)
                if number is None:
                    return
                started = time.perf_counter()
                answer = client.post("/embed", **request(number))
                took = time.perf_counter() - started
                if answer.status_code != 201:
                    raise SystemExit(f"{answer.status_code}: {answer.text}")
                with lock:
                    times.append(took)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(clients)))
    rate = len(numbers) / (time.perf_counter() - started)
    p50, p99 = np.percentile(np.array(times) * 1e3, [50, 99])
    return f"{clients:>7} {len(numbers):>8} {p50:>8.1f} {p99:>8.1f} {rate:>10.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a running service; default: one of its own")
    parser.add_argument("--requests", type=int, default=200, help="per row")
    chosen = parser.parse_args()
    print(heading())
    with contextlib.ExitStack() as stack:
        if chosen.url:
            url, token = chosen.url, os.environ["GLITCH_TOKEN"]
        else:
            url, token = stack.enter_context(own_service())
        headers = {"Authorization": f"Bearer {token}"}
        connect = partial(httpx.Client, base_url=url, headers=headers, timeout=120)
        first = int(time.time()) % 10_000  # another run against the same service is new again
        for name, make in (("spectrogram", spectrogram_request), ("strain", strain_request)):
            request = make()
            measure(connect, request, range(first, first + 10), 1)  # warm
            first += 10
            print(f"\n{name}\nclients requests   p50 ms   p99 ms requests/s", flush=True)
            for clients in (1, 16):
                numbers = range(first, first + chosen.requests)
                print(measure(connect, request, numbers, clients), flush=True)
                first += chosen.requests


if __name__ == "__main__":
    main()

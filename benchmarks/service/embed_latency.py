"""Time of `POST /embed`: a spectrogram, one as Gravity Spy draws it, and 32 s of 4 kHz strain.

Each with 1 client and 16.

    python -m benchmarks.service.embed_latency [--before REVISION] [--glitches 2000]
    python -m benchmarks.service.embed_latency --url URL  measures a running one (GLITCH_TOKEN)

Every request is a new glitch (its GPS time differs) that is stored, tested for novelty, and
answered with ten neighbours, over HTTP on this machine. The benchmark starts services with a
synthetic catalogue (``big_catalogue``). With ``--before`` the code of another revision serves a
copy of it (a revision that cannot read the present checkpoint fails), the two are measured in turn,
and each row ends with the ratio; ``GLITCH_API_PROCESSES`` and similar settings apply to both. The
last column is the processor time per request of the service's processes and PostgreSQL, without the
child processes that decode strain, about a fifth of it: the kernel reaps them, so their time is not
counted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import h5py
import httpx
import numpy as np
import psutil

from benchmarks.machine import heading
from glitch.images import render_omega_scan
from glitch.simulate import simulate_glitch
from glitch.strain import views_from_strain

SHARED = Path(__file__).parents[3] / "shared/data"
GWOSC = SHARED / "strain/H-H1_LOSC_4_V2-1126259446-32.hdf5"
ORIGINAL = SHARED / "gravityspy_originals/Blip/H1_0Sug0tqkoL_spectrogram_1.0.png"
Request = Callable[[int], dict[str, object]]


ROOT = Path(__file__).parents[2]


@cache
def tls_context() -> ssl.SSLContext:
    """Return one context for all clients, because reading all root certificates takes 40 ms."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Served:
    """A running service; a process and a folder if the benchmark started it."""

    url: str
    token: str
    pid: int | None = None
    folder: Path | None = None

    def connect(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, verify=tls_context())

    def processor_s(self) -> float:
        """Return the processor time of its processes and PostgreSQL; NaN of an external service."""
        if self.pid is None or self.folder is None:
            return math.nan
        lock = (
            self.folder / "database" / "postgres" / "postmaster.pid"
        )  # PostgreSQL detaches itself
        family = [psutil.Process(self.pid), psutil.Process(int(lock.read_text().split()[0]))]
        family += [one for root in tuple(family) for one in root.children(recursive=True)]
        total = 0.0
        for process in family:
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # including children that have ended
        return total


@contextlib.contextmanager
def own_service(data: Path, tree: Path = ROOT) -> Iterator[Served]:
    """Run a service with the code of a source tree on a data directory."""
    environment = {
        **os.environ,
        "GLITCH_DATA_DIR": str(data),
        "GLITCH_PORT": "0",
        "GLITCH_DEMO": "false",
        "PYTHONPATH": str(tree),
    }
    environment.pop("DATABASE_URL", None)
    log_path = data / "benchmark.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from app.cli import main; main()", "up"],
            env=environment,
            cwd=data,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        lines = iter(process.stdout or ())
        ready = next((line for line in lines if line.startswith("ready ")), None)
        if ready is None:
            why = "\n".join(log_path.read_text().splitlines()[-5:])
            raise SystemExit(f"The service of {tree} did not start:\n{why}")
        token = (data / "admin-token").read_text().strip()
        yield Served(ready.split()[1], token, process.pid, data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


@contextlib.contextmanager
def own_services(before: str | None, glitches: int) -> Iterator[dict[str, Served]]:
    """Run this code's service and that of a revision, each with its own catalogue, by name."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embed-latency-")))
        maker = [sys.executable, "-m", "benchmarks.catalogue.big_catalogue", folder / "now"]
        subprocess.run(
            [*maker, "--glitches", str(glitches)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        services = {}
        if before:
            subprocess.run(["cp", "-a", folder / "now", folder / "before"], check=True)
            tree = folder / "tree"
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "-q", "--detach", tree, before], check=True)
            stack.callback(subprocess.run, [*git, "remove", "--force", tree], check=False)
            services["before"] = stack.enter_context(own_service(folder / "before", tree))
        services["now"] = stack.enter_context(own_service(folder / "now"))
        yield services


def spectrogram_request() -> Request:
    """Return requests with one omega scan with axes, 800 x 600, window of 1 s."""
    glitch = simulate_glitch("Koi_Fish", np.random.default_rng(1), ifo="H1", snr=30.0)
    [views] = views_from_strain([glitch.strain], [glitch.gps_time])
    picture = render_omega_scan(views.views.view(1.0), 1.0)

    return picture_request(picture)


def original_request() -> Request:
    """Return requests with a picture of Gravity Spy, whose panel and axes must be found."""
    return picture_request(ORIGINAL.read_bytes())


def picture_request(picture: bytes) -> Request:
    def request(number: int) -> dict[str, object]:
        form = {"ifo": "H1", "gps_time": str(1_000_000_000 + number), "view_duration_s": "1.0"}
        return {"files": {"file": ("scan.png", picture)}, "data": form}

    return request


def strain_request() -> Request:
    """Return requests with 32 s at 4096 Hz in GWOSC's format: GW150914 if available."""
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
        form = {"ifo": "H1", "gps_time": str(middle + Decimal(number) / 10**7)}
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
) -> tuple[list[float], float]:
    """Send a request for each number from parallel ``clients``; return each time and the total, in
    s.

    The clock starts once every client is connected.
    """
    times: list[float] = []
    remaining = iter(numbers)
    lock = threading.Lock()

    def work(client: httpx.Client) -> None:
        while True:
            with lock:
                number = next(remaining, None)
            if number is None:
                return
            started = time.perf_counter()
            answer = client.post("/embed", **request(number))
            took = time.perf_counter() - started
            if answer.status_code != 201:
                raise SystemExit(f"{answer.status_code}: {answer.text[:500]}")
            with lock:
                times.append(took)

    with contextlib.ExitStack() as stack:
        connected = [stack.enter_context(connect()) for _ in range(clients)]
        for client in connected:
            client.get("/healthz")
        pool = stack.enter_context(ThreadPoolExecutor(clients))
        started = time.perf_counter()
        list(pool.map(work, connected))
        return times, time.perf_counter() - started


def compare(services: dict[str, Served], requests: int, turns: int) -> None:
    """Print a table for each type of upload: each service in turn, several times."""
    # Numbers from the clock, so that glitches of another run on the same service are new: no run
    # sends a hundred per second.
    first = int(100 * time.time()) % 10**8
    kinds = {"spectrogram": spectrogram_request, "strain": strain_request}
    if ORIGINAL.is_file():
        kinds["original"] = original_request
    else:
        print(f"\nNo picture of Gravity Spy is measured: {ORIGINAL} is absent.")
    for name, make in kinds.items():
        request = make()
        print(f"\n{name}\ncode   clients requests   p50 ms   p99 ms requests/s  cpu ms", flush=True)
        for service in services.values():
            measure(service.connect, request, range(first, first + 10), 1)  # warm
        first += 10
        for clients in (1, 16):
            times: dict[str, list[float]] = {code: [] for code in services}
            walls = dict.fromkeys(services, 0.0)
            spent_s = dict.fromkeys(services, 0.0)
            for _ in range(turns):
                numbers = range(first, first + requests // turns)
                first += len(numbers)
                for code, service in services.items():
                    spent_s[code] -= service.processor_s()
                    took, wall = measure(service.connect, request, numbers, clients)
                    spent_s[code] += service.processor_s()
                    times[code] += took
                    walls[code] += wall
            medians = {}
            for code, took in times.items():
                p50, p99 = np.percentile(np.array(took) * 1e3, [50, 99])
                medians[code] = p50
                rate = len(took) / walls[code]
                row = f"{code:6} {clients:>7} {len(took):>8} {p50:>8.1f} {p99:>8.1f} {rate:>10.1f}"
                print(f"{row} {1e3 * spent_s[code] / len(took):>7.1f}", flush=True)
            if "before" in medians:
                print(f"before / now, p50: {medians['before'] / medians['now']:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a running service; default: one of its own")
    parser.add_argument("--before", help="a revision to compare with")
    parser.add_argument("--glitches", type=int, default=2000, help="in the catalogue")
    parser.add_argument("--requests", type=int, default=200, help="per row")
    parser.add_argument("--turns", type=int, default=4, help="of each service per row")
    chosen = parser.parse_args()
    print(heading())
    with contextlib.ExitStack() as stack:
        services = (
            {"now": Served(chosen.url, os.environ["GLITCH_TOKEN"])}
            if chosen.url
            else stack.enter_context(own_services(chosen.before, chosen.glitches))
        )
        compare(services, chosen.requests, chosen.turns)


if __name__ == "__main__":
    main()

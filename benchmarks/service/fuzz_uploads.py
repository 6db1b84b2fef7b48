"""Damaged twins of good files, sent to `POST /embed`: what is answered, how soon, in what memory.

    python -m benchmarks.service.fuzz_uploads --mutants 20000        starts a service of its own
    python -m benchmarks.service.fuzz_uploads --seed 7 --mutants 50 --kinds hdf5   repeats a part

Prints the statuses by kind, the slowest answer, the service's largest memory (all its processes,
the children that decode included), and how long a second client's GET /glitches took meanwhile.
A server error or a hang is kept under --keep, to be looked into. Its exit status tells of any.
"""

from __future__ import annotations

import argparse
import io
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import httpx
import numpy as np
import psutil

from benchmarks.machine import heading
from benchmarks.service.embed_latency import own_service
from glitch.images import render_omega_scan
from tests.mutants import MUTATIONS, mutant

RATE = 4096
GPS_START = 1_126_259_446
GPS_TIME = str(GPS_START + 16)
HANG_S = 20.0
FRAMES = Path(__file__).parents[3] / "shared/data/strain"
MEMORY_BOUND = 3 << 30


Originals = dict[str, list[tuple[str, bytes, dict[str, str]]]]


def originals() -> Originals:
    """Good files by kind: name, content, and the fields that go with them."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=32 * RATE) * 1e-21
    views = rng.random((4, 128, 128), dtype=np.float32)
    at_time = {"gps_time": GPS_TIME, "ifo": "H1"}
    strain, stacked, text = io.BytesIO(), io.BytesIO(), io.StringIO()
    with h5py.File(strain, "w") as file:
        dataset = file.create_dataset("strain", data=values, compression="gzip")
        dataset.attrs.update({"x0": GPS_START, "dx": 1 / RATE, "channel": "H1:TEST-STRAIN"})
    gwosc = io.BytesIO()
    with h5py.File(gwosc, "w") as file:
        dataset = file.create_dataset("strain/Strain", data=values, chunks=True)
        dataset.attrs["Xspacing"] = 1 / RATE
        file["meta/GPSstart"] = GPS_START
        file["meta/Detector"] = "H1"
        file["quality/simple/DQmask"] = np.full(32, 127, np.uint32)
    with h5py.File(stacked, "w") as file:
        file.create_dataset("views", data=views, compression="gzip")
        file["durations_s"] = [0.5, 1.0, 2.0, 4.0]
    np.savetxt(text, values[: 9 * RATE], fmt="%.6e")
    arrays = {}
    for name, content in {"views": views, "strain": values[: 16 * RATE]}.items():
        one = io.BytesIO()
        np.save(one, content)
        packed = io.BytesIO()
        np.savez_compressed(packed, **{name: content})
        arrays[name] = one.getvalue(), packed.getvalue()
    timed = {**at_time, "sample_rate_hz": str(RATE)}
    found = {
        "hdf5": [
            ("strain.h5", strain.getvalue(), at_time),
            ("gwosc.hdf5", gwosc.getvalue(), at_time),
            ("views.h5", stacked.getvalue(), {}),
        ],
        "npy": [("views.npy", arrays["views"][0], {}), ("strain.npy", arrays["strain"][0], timed)],
        "npz": [("views.npz", arrays["views"][1], {}), ("strain.npz", arrays["strain"][1], timed)],
        "png": [("H1_x_spectrogram_1.0.png", render_omega_scan(views[1], 1.0), {"ifo": "H1"})],
        "text": [("strain.txt", text.getvalue().encode(), timed)],
    }
    frames = sorted(FRAMES.glob("*-32.gwf"))
    if frames:
        found["gwf"] = [("frame.gwf", frames[0].read_bytes(), at_time)]
    return found


@dataclass
class Findings:
    """What came of it."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    slowest_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    bad: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Beside:
    """Watches from beside: a second client's waits, and the memory of the service's processes."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        self._is_over = threading.Event()
        self.waits_s: list[float] = []
        self.errors: Counter[str] = Counter()
        self.largest_bytes = 0
        self.largest_child_bytes = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            started = time.monotonic()
            try:
                status = self._client.get("/glitches?limit=5").status_code
                if status != 200:
                    self.errors[str(status)] += 1
            except httpx.HTTPError as error:
                self.errors[type(error).__name__] += 1
            self.waits_s.append(time.monotonic() - started)
            self._weigh()

    def _weigh(self) -> None:
        total = 0
        for process in psutil.process_iter(["cmdline", "memory_info"]):
            words = " ".join(process.info["cmdline"] or ())
            memory = process.info["memory_info"]
            if memory is None or not ("app.launch.serve" in words or "fork_server" in words):
                continue
            total += memory.rss
            if "fork_server" in words:
                self.largest_child_bytes = max(self.largest_child_bytes, memory.rss)
        self.largest_bytes = max(self.largest_bytes, total)


def main() -> int:
    """Send the mutants, and say what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--kinds", nargs="+", choices=sorted(MUTATIONS), default=sorted(MUTATIONS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600, help="end after so many")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    files = {k: v for k, v in originals().items() if k in arguments.kinds}
    print(heading(), flush=True)
    findings = Findings()
    with own_service() as (url, token), Beside(url, token) as beside:
        _check_originals(url, token, files)
        started = time.monotonic()
        local = threading.local()

        def send(number: int) -> None:
            if time.monotonic() - started > 60 * arguments.minutes:
                return
            if not hasattr(local, "client"):
                headers = {"Authorization": f"Bearer {token}"}
                local.client = httpx.Client(base_url=url, headers=headers, timeout=HANG_S)
            dice = np.random.default_rng([arguments.seed, number])
            kind = list(files)[number % len(files)]
            name, content, fields = files[kind][int(dice.integers(len(files[kind])))]
            content = mutant(kind, content, dice)
            begun = time.monotonic()
            try:
                answer = local.client.post(
                    "/embed", files={"file": (name, content)}, data={**fields, "store": "false"}
                )
                status = answer.status_code
            except httpx.HTTPError:
                status = 0
            took = time.monotonic() - begun
            with findings.lock:
                findings.statuses[kind][status] += 1
                findings.slowest_s[kind] = max(findings.slowest_s[kind], took)
                if status == 0 or status >= 500:
                    arguments.keep.mkdir(exist_ok=True)
                    (arguments.keep / f"{number}-{status}-{name}").write_bytes(content)
                    findings.bad.append(f"{number} {status} {name} after {took:.1f} s")

        with ThreadPoolExecutor(arguments.clients) as pool:
            for done, _ in enumerate(pool.map(send, range(arguments.mutants)), 1):
                if done % 1000 == 0:
                    print(f"{done} after {time.monotonic() - started:.0f} s", file=sys.stderr)
    _report(findings, beside)
    return 1 if findings.bad or beside.errors else 0


def _check_originals(url: str, token: str, files: Originals) -> None:
    """Mutants of a file that is refused as it is would show little."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for name, content, fields in (one for some in files.values() for one in some):
            sent = {"files": {"file": (name, content)}, "data": {**fields, "store": "false"}}
            answer = client.post("/embed", **sent)  # type: ignore[arg-type]
            if answer.status_code != 200:
                raise SystemExit(f"{name} is refused as it is: {answer.text}")


def _report(findings: Findings, beside: Beside) -> None:
    count = sum(sum(statuses.values()) for statuses in findings.statuses.values())
    print(f"\n{count} mutants\nkind   slowest s  statuses")
    for kind, statuses in findings.statuses.items():
        told = "  ".join(f"{status}: {n}" for status, n in sorted(statuses.items()))
        print(f"{kind:<6} {findings.slowest_s[kind]:9.1f}  {told}")
    waits = sorted(beside.waits_s)
    middle, late = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(
        f"\nserver errors and hangs: {len(findings.bad)}"
        f"\nsecond client: {len(waits)} times GET /glitches, p50 {1000 * middle:.0f} ms, p99 "
        f"{1000 * late:.0f} ms, longest {1000 * waits[-1]:.0f} ms, errors {dict(beside.errors)}"
        f"\nlargest memory: service and decoders {beside.largest_bytes / 2**20:.0f} MiB, one "
        f"decoder {beside.largest_child_bytes / 2**20:.0f} MiB"
    )
    for line in findings.bad[:20]:
        print(line)


if __name__ == "__main__":
    raise SystemExit(main())

"""Damaged copies of valid files: status, time and memory of the responses.

    python -m benchmarks.service.fuzz_uploads --mutants 20000
    python -m benchmarks.service.fuzz_uploads --seed 7 --mutants 50 --kinds hdf5   repeats a part

One in ten (`--by-http`) is sent to `POST /embed` of a service; the others are decoded as the
service decodes them, by its child processes or, for pictures, in this process. All tars and zips
are sent to `POST /batches`, and their status is the job's result: 200 succeeded, 422 failed with a
reason, 500 failed for an unforeseen reason. Prints the statuses by file type, the slowest response,
the peak memory of the service and of one decoding child, and the time of a second client's GET
/glitches meanwhile. Files that cause a server error, a hang, or an unexpected exception are stored
under --keep. The exit status is not zero after any error or hang.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import h5py
import httpx
import numpy as np

from app.core.failures import failure_of
from app.decoding.files import read_upload
from app.decoding.pool import running_pool
from benchmarks.machine import heading
from benchmarks.service.parts import Memory, own_service
from glitch.images import is_image, read_spectrogram, render_omega_scan
from glitch.views import Preprocessing
from tests.mutants import ARCHIVES, MUTATIONS, archives, mutant

RATE = 4096
GPS_START = 1_126_259_446
GPS_TIME = str(GPS_START + 16)
HANG_S = 20.0
BATCH_S = 120.0  # limit of a batch while other clients send theirs
FRAMES = Path(__file__).parents[3] / "shared/data/strain"
CHILD_BOUND_MIB = 700  # 512 more than the fork server
TEXT_BOUND_MIB = 1700


Originals = dict[str, list[tuple[str, bytes, dict[str, str]]]]


def originals() -> Originals:
    """Return valid files by type: name, content, and their form fields."""
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
    scans = {f"H1_x{n}_spectrogram_1.0.png": render_omega_scan(views[n], 1.0) for n in range(2)}
    for kind, content in archives({**scans, "notes.txt": b"nothing\n"}).values():
        found.setdefault(kind, []).append((f"many.{kind}", content, {}))
    frames = sorted(FRAMES.glob("*-32.gwf"))
    if frames:
        found["gwf"] = [("frame.gwf", frames[0].read_bytes(), at_time)]
    return found


@dataclass
class Findings:
    """The results."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    slowest_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    bad: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int, took_s: float, row: str) -> bool:
        """Record one response, and return whether it is a fault of the service."""
        is_bad = status == 0 or status >= 500
        with self.lock:
            self.statuses[kind][status] += 1
            self.slowest_s[kind] = max(self.slowest_s[kind], took_s)
            if is_bad:
                self.bad.append(f"{row}: {status} after {took_s:.1f} s")
        return is_bad


class SecondClient:
    """A second client, and its waiting times."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._client = httpx.Client(base_url=url, headers=headers, timeout=60)
        self._is_over = threading.Event()
        self.waits_s: list[float] = []
        self.errors: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> SecondClient:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        while not self._is_over.wait(0.5):
            started = time.monotonic()
            try:
                status = self._client.get("/glitches?limit=5").status_code
                if status != 200:
                    self.errors[str(status)] += 1
            except httpx.HTTPError as error:
                self.errors[type(error).__name__] += 1
            self.waits_s.append(time.monotonic() - started)


def _send(
    client: httpx.Client, kind: str, name: str, content: bytes, fields: dict[str, str]
) -> int:
    """Send one upload to the endpoint of its type, and return the status."""
    if kind in ARCHIVES:
        return _batch(client, name, content)
    files, data = {"file": (name, content)}, {**fields, "store": "false"}
    return int(client.post("/embed", files=files, data=data).status_code)


def _batch(client: httpx.Client, name: str, content: bytes) -> int:
    """Return the status of a batch: of the response, or of its job's result; 0 if it never ends."""
    answer = client.post("/batches", files={"file": (name, content)})
    if answer.status_code != 202:
        return int(answer.status_code)
    address = f"/jobs/{answer.json()['job']}"
    deadline = time.monotonic() + BATCH_S
    while time.monotonic() < deadline:
        job = client.get(address).json()
        if job["state"] in {"succeeded", "failed"}:
            items = client.get(f"{address}/items", params={"state": "failed"}).json()["items"]
            reasons = [job["detail"] or "", *(one["reason"] or "" for one in items)]
            if any(word in one for one in reasons for word in ("Unforeseen", "mistake of this")):
                return 500
            return 200 if job["state"] == "succeeded" else 422
        time.sleep(0.1)
    return 0


def _decode(path: Path, name: str, content: bytes, fields: dict[str, str]) -> int:
    """Return the status that the service would give, considering decoding only."""
    recipe = Preprocessing()
    try:
        if is_image(content[:64]):
            read_spectrogram(content, name, recipe, None)
            return 200
        path.write_bytes(content)
        rate = fields.get("sample_rate_hz")
        read = read_upload(
            path,
            name,
            recipe,
            is_array_wanted=True,
            is_strain_wanted=True,
            gps_time=Decimal(GPS_TIME),
            ifo=fields.get("ifo"),
            sample_rate_hz=float(rate) if rate else None,
        )
    except Exception as error:  # noqa: BLE001 - all are recorded
        failure = failure_of(error)
        return failure.status if failure else 500
    return 200 if read.kind else 415


def main() -> int:
    """Send the mutants, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--kinds", nargs="+", choices=sorted(MUTATIONS), default=sorted(MUTATIONS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by-http", type=float, default=0.1, help="this share of them")
    parser.add_argument("--minutes", type=float, default=600, help="end after so many")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    files = {k: v for k, v in originals().items() if k in arguments.kinds}
    print(heading(), flush=True)
    findings = Findings()
    with (
        own_service(GLITCH_DEMO="false") as service,
        Memory(service) as memory,
        SecondClient(service.url, service.headers) as watched,
        running_pool(children=arguments.clients, timeout_s=60),
        tempfile.TemporaryDirectory() as folder,
    ):
        _check_originals(service.url, service.token, files)
        started = time.monotonic()
        local = threading.local()

        def by_http(kind: str, name: str, content: bytes, fields: dict[str, str]) -> int:
            if not hasattr(local, "client"):
                local.client = httpx.Client(
                    base_url=service.url, headers=service.headers, timeout=HANG_S
                )
            try:
                return _send(local.client, kind, name, content, fields)
            except httpx.HTTPError:
                return 0

        def send(number: int) -> None:
            if time.monotonic() - started > 60 * arguments.minutes:
                return
            rng = np.random.default_rng([arguments.seed, number])
            kind = list(files)[number % len(files)]
            name, content, fields = files[kind][int(rng.integers(len(files[kind])))]
            content = mutant(kind, content, rng)
            begun = time.monotonic()
            if kind in ARCHIVES or rng.random() < arguments.by_http:
                status = by_http(kind, name, content, fields)
            else:
                path = Path(folder) / str(threading.get_ident())
                status = _decode(path, name, content, fields)
                if time.monotonic() - begun > HANG_S:
                    status = 0
            if findings.note(kind, status, time.monotonic() - begun, f"{number} {name}"):
                arguments.keep.mkdir(exist_ok=True)
                (arguments.keep / f"{number}-{status}-{name}").write_bytes(content)

        with ThreadPoolExecutor(arguments.clients) as pool:
            for done, _ in enumerate(pool.map(send, range(arguments.mutants)), 1):
                if done % 1000 == 0:
                    print(f"{done} after {time.monotonic() - started:.0f} s", file=sys.stderr)
    _report(findings, watched, memory)
    bound = TEXT_BOUND_MIB if "text" in files else CHILD_BOUND_MIB
    return 1 if findings.bad or watched.errors or memory.largest["decoder"] > bound else 0


def _check_originals(url: str, token: str, files: Originals) -> None:
    """Check that the originals are accepted: mutants of a rejected file would show little."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for kind, some in files.items():
            for name, content, fields in some:
                if (status := _send(client, kind, name, content, fields)) != 200:
                    raise SystemExit(f"{name} is refused as it is ({status}).")


def _report(findings: Findings, watched: SecondClient, memory: Memory) -> None:
    count = sum(sum(statuses.values()) for statuses in findings.statuses.values())
    print(f"\n{count} mutants\nkind   slowest s  statuses")
    for kind, statuses in findings.statuses.items():
        row = "  ".join(f"{status}: {n}" for status, n in sorted(statuses.items()))
        print(f"{kind:<6} {findings.slowest_s[kind]:9.1f}  {row}")
    waits = sorted(watched.waits_s)
    middle, late = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(
        f"\nserver errors and hangs: {len(findings.bad)}"
        f"\nsecond client: {len(waits)} times GET /glitches, p50 {1000 * middle:.0f} ms, p99 "
        f"{1000 * late:.0f} ms, longest {1000 * waits[-1]:.0f} ms, errors {dict(watched.errors)}"
        "\nlargest memory, MiB: " + ", ".join(f"{k} {v:.0f}" for k, v in memory.largest.items())
    )
    for line in findings.bad[:20]:
        print(line)


if __name__ == "__main__":
    raise SystemExit(main())

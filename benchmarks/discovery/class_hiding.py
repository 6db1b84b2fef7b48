"""A running service, and the HTTP requests needed to hide a class from it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np

from training.data.pack import GREY_LEVELS, Pack

PATIENCE_S = 3600


class Service:
    """`glitch-discovery up` with its PostgreSQL, Redis, worker and scheduler."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Send a request and return its JSON."""
        answer = self._client.request(method, path, **more)
        if answer.is_error:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def all(self, path: str, **params: Any) -> Iterator[Any]:
        """Yield the items of every page of a list."""
        cursor = None
        while True:
            page = self.ask(
                "GET", path, params={**params, **({"cursor": cursor} if cursor else {})}
            )
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def wait(self, job_id: str) -> Any:
        """Wait until a job has ended, and return it; exit unless it succeeded."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            job = self.ask("GET", f"/jobs/{job_id}")
            if job["state"] in ("succeeded", "failed", "cancelled"):
                if job["state"] != "succeeded":
                    raise SystemExit(f"job {job_id} {job['state']}: {job['detail']}")
                return job
            if time.monotonic() > deadline:
                raise SystemExit(f"job {job_id} takes too long")
            time.sleep(2)

    def wait_for_kind(self, kind: str) -> None:
        """Wait until no job of this type is open."""
        for state in ("queued", "running"):
            for job in self.all("/jobs", kind=kind, state=state):
                self.wait(job["id"])


@contextmanager
def running_service() -> Iterator[Service]:
    """Run a service without demonstration, on a free port, in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="glitch-bench-"))
    folder.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    up = subprocess.Popen(
        [str(Path(sys.executable).with_name("glitch-discovery")), "up"],
        env={
            **os.environ,
            "GLITCH_DATA_DIR": str(folder / "data"),
            "GLITCH_PORT": str(port),
            "GLITCH_DEMO": "false",
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                if httpx.get(f"{base}/readyz", timeout=20).is_success:
                    break
            except httpx.TransportError:
                pass
            if up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the service did not start")
            time.sleep(1)
        token = (folder / "data" / "admin-token").read_text().strip()
        with httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=600
        ) as client:
            yield Service(client)
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def write_stack(path: Path, pack: Pack, ifo: str, labels: list[str], start_gps: int) -> None:
    """Write a batch of all glitches with one detector.

    Glitches of one group get times within half a second, so that the service treats them as
    pictures of one event; groups are 100 s apart, starting at ``start_gps``. The same glitches of
    the same detector must start at another time, or they are already known. ``labels`` has an empty
    string for glitches without a label.
    """
    groups = {group: place for place, group in enumerate(dict.fromkeys(pack.groups))}
    seen: dict[str, int] = {}
    times = []
    for group in pack.groups:
        seen[group] = seen.get(group, -1) + 1
        times.append(start_gps + 600 * groups[group] + min(0.49, 0.004 * seen[group]))
    with h5py.File(path, "w") as file:
        values = np.asarray(pack.values).astype(np.float32) / GREY_LEVELS
        file.create_dataset("views", data=values, compression="gzip", chunks=(1, *values.shape[1:]))
        file["observed"] = np.asarray(pack.observed)
        file["gps_time"] = np.array(times)
        file["ifo"] = np.array([ifo] * len(pack), dtype="S")
        file["label"] = np.array(labels, dtype="S")

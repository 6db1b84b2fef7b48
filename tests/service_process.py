"""A real `glitch-discovery up` process for the end-to-end tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import httpx

COMMAND = [sys.executable, "-c", "from app.cli import main; main()"]
# Variables that may be set in the environment of the tests but must not reach the service.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "GLITCH_DATA_DIR", "GLITCH_TOKEN", "GLITCH_URL")
# Long, because the tests may share their cores with other work; only a failure waits so long.
PATIENCE_S = 400.0


def new_folder() -> Path:
    """Return a path for a new data directory in a new temporary folder."""
    return Path(tempfile.mkdtemp(prefix="glitch e2e ")) / "data"  # the space is deliberate


class Service:
    """One `glitch-discovery up` process and its output."""

    def __init__(self, data_directory: Path, **settings: str) -> None:
        self.data_directory = data_directory
        few = {"GLITCH_DEMO_PER_CLASS": "2", "GLITCH_API_PROCESSES": "1"}
        self.settings = {"GLITCH_PORT": "0", **few, **settings}
        self.url = ""
        self._is_closed = False
        self.lines: list[str] = []
        self._incoming: Queue[str | None] = Queue()
        self.process = subprocess.Popen(
            [*COMMAND, "up"],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return {**kept, "GLITCH_DATA_DIR": str(self.data_directory), **self.settings}

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._incoming.put(line.rstrip("\n"))
        self._incoming.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(line.rstrip("\n") for line in self.process.stderr)

    def wait_until_ready(self, within_s: float = PATIENCE_S) -> str:
        """Wait for the line that says the service is ready, and return its address."""
        while True:
            try:
                line = self._incoming.get(timeout=within_s)
            except Empty:
                raise AssertionError(f"not ready within {within_s} s: {self.errors}") from None
            assert line is not None, f"ended with {self.process.wait()}: {self.errors}"
            self.lines.append(line)
            if line.startswith("ready "):
                self.url = line.removeprefix("ready ")
                return self.url

    def wait_until_filled(self) -> None:
        """Wait until the demonstration has loaded all its glitches."""
        deadline = time.monotonic() + PATIENCE_S
        with self.client() as client:
            while True:
                jobs = client.get("/jobs", params={"kind": "demo"}).raise_for_status().json()
                if jobs["items"] and jobs["items"][0]["state"] == "succeeded":
                    return
                assert time.monotonic() < deadline, jobs
                time.sleep(0.5)

    def cancel_jobs(self) -> None:
        """Cancel all queued and running jobs."""
        with self.client() as client:
            for job in client.get("/jobs").raise_for_status().json()["items"]:
                if job["state"] in {"queued", "running"}:
                    client.post(f"/jobs/{job['id']}/cancel")  # may fail: it may have ended

    def client(self) -> httpx.Client:
        """Return a client with the admin's token; the service must be ready."""
        token = (self.data_directory / "admin-token").read_text().strip()
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def ends(self, within_s: float = PATIENCE_S) -> int:
        """Wait until the process has ended, and return its exit code."""
        code = self.process.wait(within_s)
        if self._is_closed:
            return code
        self._is_closed = True
        for reader in self._readers:
            reader.join(10)
        while not self._incoming.empty():
            if (line := self._incoming.get()) is not None:
                self.lines.append(line)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal if the process still runs, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.ends()

"""A service started by a benchmark, its processes, and their memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Parts of command lines; the first match counts.
PARTS = {
    "decoder": "app.decoding.fork_server",
    "API": "app.launch.serve",
    "worker": "worker_process worker",
    "scheduler": "worker_process scheduler",
    "PostgreSQL": "postgres",
    "Redis": "redis-server",
}


@dataclass(frozen=True)
class OwnService:
    """A running `glitch-discovery up`."""

    url: str
    token: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def parts(self) -> Iterator[tuple[str, psutil.Process]]:
        """Yield its current processes by the names in PARTS; a part may have several."""
        # Children of this process, including those that decode files for a benchmark.
        family = psutil.Process().children(recursive=True)
        with contextlib.suppress(OSError, ValueError, psutil.Error):  # PostgreSQL detaches itself
            lock = self.folder / "database" / "postgres" / "postmaster.pid"
            postmaster = psutil.Process(int(lock.read_text().split()[0]))
            family += [postmaster, *postmaster.children()]
        for process in {one.pid: one for one in family}.values():
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline())
                name = next((name for name, mark in PARTS.items() if mark in words), None)
                if name is not None:
                    yield name, process


@contextlib.contextmanager
def own_service(**settings: str) -> Iterator[OwnService]:
    """Run a service in a temporary folder, with the demonstration unless settings disable it."""
    with tempfile.TemporaryDirectory(prefix="glitch-benchmark-") as place:
        folder = Path(place) / "data"
        environment = {
            **os.environ,
            "GLITCH_DATA_DIR": str(folder),
            "GLITCH_PORT": "0",
            "GLITCH_LOG_LEVEL": "warning",
            **settings,
        }
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
            token = (folder / "admin-token").read_text().strip()
            yield OwnService(ready.split()[1], token, folder, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


@dataclass
class Memory:
    """Peak resident memory by part while the block runs: of the largest process, in MiB."""

    service: OwnService
    largest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _is_over: threading.Event = field(default_factory=threading.Event)

    def now(self) -> dict[str, float]:
        """Return the current memory of the largest process of each part."""
        memory: dict[str, float] = defaultdict(float)
        for name, process in self.service.parts():
            with contextlib.suppress(psutil.Error):
                memory[name] = max(memory[name], process.memory_info().rss / 2**20)
        return memory

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.2):
            for name, memory in self.now().items():
                self.largest[name] = max(self.largest[name], memory)

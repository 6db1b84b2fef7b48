"""Request metrics of several server processes are summed in one folder, wherever there is room."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from rich.console import Console
from small_disk import small_file_system

from app.core.errors import LaunchError
from app.launch import serving
from app.launch.service_process import ServiceProcess
from app.launch.serving import Serving

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Ended:
    """A process that has ended, with the environment that it had."""

    is_silent = False
    exit_code = 137
    pid = 4711

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.folder = environment.get(VARIABLE)

    def join(self, _: str) -> None:
        """Ignore the request to serve; the process has ended."""

    def ask_to_stop(self) -> None:
        """Ignore the request to stop; the process has ended."""

    def stop(self) -> None:
        """Do nothing; the process has ended."""


def started(note: Path, processes: int) -> tuple[Serving, list[Ended]]:
    found: list[Ended] = []

    def spawn(environment: Mapping[str, str]) -> ServiceProcess:
        found.append(Ended(environment))
        return cast("ServiceProcess", found[-1])

    return Serving(spawn, processes, note, Console(quiet=True)), found


@pytest.mark.parametrize("processes", [1, 2])
def test_an_operators_own_folder_of_counts_is_left_to_other_programs(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "/nonexistent")
    monkeypatch.setenv(VARIABLE.lower(), "/nonexistent")
    serving_, [first] = started(tmp_path / "counts.txt", processes)
    assert not {VARIABLE, VARIABLE.lower()} & set(os.environ)
    assert (first.folder is None) == (processes == 1)
    serving_.stop()


@pytest.mark.parametrize("trouble", ["missing", "full", "read-only"])
def test_counts_go_elsewhere_where_memory_takes_none(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with small_file_system(Path("/tmp")) as memory:  # noqa: S108 - a folder of its own
        if trouble == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(memory)], check=True)
            monkeypatch.setattr(serving, "_MIN_ROOM", 0)
        monkeypatch.setattr(serving, "_MEMORY", memory / "no" if trouble == "missing" else memory)
        serving_, [first] = started(tmp_path / "counts.txt", 2)
        assert first.folder is not None
        assert Path(first.folder).parent == tmp_path
        serving_.stop()
    assert list(tmp_path.iterdir()) == []


def test_counts_of_a_killed_start_are_removed_by_the_next(tmp_path: Path) -> None:
    note, unrelated = tmp_path / "counts.txt", tmp_path / "photographs"
    unrelated.mkdir()
    left = started(note, 2)[1][0].folder
    serving_ = started(note, 1)[0]
    assert left is not None
    assert not Path(left).exists()
    assert not note.exists()
    note.write_text(str(unrelated))  # no other folder named in the note is removed
    serving_.stop()
    assert unrelated.exists()
    note.write_bytes(b"\0\xff" * 20)
    started(note, 2)[0].stop()


def test_a_disk_without_space_for_metrics_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="set GLITCH_API_PROCESSES=1"):
        started(tmp_path / "not there" / "counts.txt", 2)


def test_counts_of_an_ended_process_stay_and_its_files_shrink(tmp_path: Path) -> None:
    serving_, [first] = started(tmp_path / "counts.txt", 2)
    assert first.folder is not None
    run(COUNT.format(pid=Ended.pid), first.folder)
    before = size_of(first.folder)
    serving_.check()
    assert size_of(first.folder) < 10_000 < 1 << 20 < before
    registry = CollectorRegistry()
    MultiProcessCollector(registry, first.folder)  # type: ignore[no-untyped-call]
    scrape = generate_latest(registry).decode()
    assert 'glitch_http_requests_total{method="GET",route="/r",status="200"} 3.0' in scrape
    assert "glitch_http_requests_in_progress" not in scrape
    serving_.stop()


COUNT = """
import os
os.getpid = lambda: {pid}  # prometheus_client names its files so
from app.server.metrics import Metrics
metrics = Metrics()
metrics.in_progress.inc()
metrics.requests.labels("GET", "/r", "200").inc(3)
"""
FILL = """
import contextlib, os, pathlib
from app.server.metrics import Metrics
metrics = Metrics()
folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
with contextlib.suppress(OSError), (folder / "fill").open("wb") as file:
    while True:
        file.write(bytes(4096))
        file.flush()
for route in range(150):  # more than there are
    metrics.requests.labels("GET", f"/a/route/{route}", "200").inc()
    metrics.seconds.labels("GET", f"/a/route/{route}").observe(1)
"""


def size_of(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).iterdir())


def run(script: str, folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, VARIABLE: folder},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_does_not_end_processes_that_write_metrics(tmp_path: Path) -> None:
    with small_file_system(tmp_path) as folder:
        done = run(FILL, str(folder))
        assert done.returncode == 0, done.stderr
        again = run(FILL, str(folder))
        assert "The request metrics cannot be written" in again.stderr
        # Neither reading the metrics nor the next start fails because of the remaining files.
        assert all(file.stat().st_size for file in folder.glob("*.db"))

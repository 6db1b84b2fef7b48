"""The smoke tier of the whole reproduction, stopped in the middle and continued.

Table 1 has its own test. A minute on a quiet core.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.reproduction.plan import table2_runs
from training.reproduction.tiers import TIERS

N_RUNS = len(table2_runs(TIERS["smoke"]))
TARGETS = ["table2", "fig1", "fig2", "fig3", "fig4", "lemma"]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    program = "from training.cli import app; app()"
    command = [sys.executable, "-c", program, "reproduce", *TARGETS, "--tier", "smoke"]
    return subprocess.Popen(
        [*command, "--folder", str(folder), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished_steps(folder: Path) -> dict[str, int]:
    return {
        path.parent.name: json.loads(path.read_text())["step"]
        for path in folder.glob("runs/*/scores.json")
    }


@pytest.mark.timeout(900)
def test_the_smoke_tier_is_stopped_continued_and_reported(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = start(folder, "--jobs", "2")
    deadline = time.monotonic() + 400
    while len(finished_steps(folder)) < 2:
        assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=200)
    assert process.returncode == 130, told
    assert "the same command continues" in told
    assert "Traceback" not in told
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/scores.json")}
    assert len(before) < N_RUNS

    process = start(folder)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())  # not done again
    assert len(finished_steps(folder)) == N_RUNS
    assert set(finished_steps(folder).values()) == {30}
    report = (folder / "report.md").read_text()
    assert "re-rendered" in report
    assert "its numbers mean nothing" in report
    assert report.count("\n## ") == len(TARGETS)
    for name in ("fig1", "fig2", "fig3", "fig4", "lemma"):
        assert f"({name}.png)" in report
        assert (folder / f"{name}.png").stat().st_size < 150_000
        assert (folder / f"{name}.csv").read_text().count("\n") > 3

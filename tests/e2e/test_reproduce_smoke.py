"""The smoke tier of the whole reproduction can be stopped in the middle and continued.

Table 1 has its own test. This one takes a minute on an idle core.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from training.reproduction.plan import table2_runs
from training.reproduction.tiers import TIERS

N_RUNS = len(table2_runs(TIERS["smoke"]))
N_STEPS = 12  # of 30 that the tier has
TARGETS = ["table2", "fig1", "fig2", "fig3", "fig4", "lemma"]


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command in its own process group; its messages go to a file next to the folder."""
    # A shell starts background jobs with SIGINT ignored; the command must stop nevertheless.
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    program = f"{ignoring}; from training.cli import app; app()"
    tier = ["--tier", "smoke", "--steps", str(N_STEPS)]
    command = [sys.executable, "-c", program, "reproduce", *TARGETS, *tier]
    with output_file(folder).open("w") as output:
        process = subprocess.Popen(
            [*command, "--folder", str(folder), *options],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=output,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def output_file(folder: Path) -> Path:
    return folder.with_suffix(".told")


def finished_steps(folder: Path) -> dict[str, int]:
    return {
        path.parent.name: json.loads(path.read_text())["step"]
        for path in folder.glob("runs/*/scores.json")
    }


@pytest.mark.timeout(900)
def test_the_smoke_tier_is_stopped_continued_and_reported(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with started(folder, "--jobs", "2") as process:
        while len(finished_steps(folder)) < 2:
            assert process.poll() is None, output_file(folder).read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        assert process.wait(200) == 130
    output = output_file(folder).read_text()
    assert "the same command continues" in output
    assert "Traceback" not in output
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/scores.json")}
    assert len(before) < N_RUNS

    with started(folder) as process:
        assert process.wait(800) == 0, output_file(folder).read_text()
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())  # not repeated
    assert len(finished_steps(folder)) == N_RUNS
    assert set(finished_steps(folder).values()) == {N_STEPS}
    report = (folder / "report.md").read_text()
    assert "re-rendered" in report
    assert "its numbers mean nothing" in report
    assert report.count("\n## ") == len(TARGETS)
    for name in ("fig1", "fig2", "fig3", "fig4", "lemma"):
        assert f"({name}.png)" in report
        assert (folder / f"{name}.png").stat().st_size < 150_000
        assert (folder / f"{name}.csv").read_text().count("\n") > 3

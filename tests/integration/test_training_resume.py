"""A run killed at any moment continues with exactly the numbers of an uninterrupted run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from glitch.views import Preprocessing, Views
from training.core.loop import METRICS_FILE
from training.data.pack import write_pack

N_STEPS = 40


def write_inputs(folder: Path, name: str) -> Path:
    rng = np.random.default_rng(0)

    def samples():
        for index in range(12):
            values = rng.random((4, 128, 128), dtype=np.float32)
            yield f"class{index % 2}", Views(values, np.ones((4, 128), dtype=np.bool_))

    if not (folder / "pack").exists():
        write_pack(folder / "pack", samples(), 12, Preprocessing())
    config = {
        "name": name,
        "architecture": {"channels": [4, 4], "painter_channels": [4, 4], "hidden": 8, "latent": 2},
        "optimiser": {"steps": N_STEPS, "batch_size": 4, "warmup_steps": 5},
        "data": {"real_images": None, "simulated": str(folder / "pack")},
        "log": {"log_every": 1, "evaluate_every": 1000, "save_every": 3},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def start(config: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from training.cli import app; app()"]
    return subprocess.Popen(
        [*command, "train", str(config), "--folder", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )


def losses(folder: Path) -> list[tuple[int, float, float]]:
    lines = (folder / METRICS_FILE).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [(entry["step"], entry["loss"], entry["gradient_norm"]) for entry in entries]


def kill_after(process: subprocess.Popen[bytes], folder: Path, step: int, number: int) -> None:
    path = folder / METRICS_FILE
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < step:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    process.wait(60)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("resume"), "run")


@pytest.fixture(scope="module")
def whole(config: Path) -> Path:
    """The folder of an uninterrupted run."""
    folder = config.parent / "whole"
    assert start(config, folder).wait(120) == 0
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_has_the_losses_of_an_uninterrupted_one(
    config: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    killed = tmp_path / "killed"
    kill_after(start(config, killed), killed, 10, number)
    assert len(losses(killed)) < N_STEPS
    assert start(config, killed).wait(120) == 0
    assert losses(killed) == losses(whole)
    assert [step for step, *_ in losses(whole)] == list(range(1, N_STEPS + 1))
    states = [(folder / "state.safetensors").read_bytes() for folder in (whole, killed)]
    assert states[0] == states[1]

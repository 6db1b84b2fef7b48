"""Two processes compute the same gradient, and do the same run, as one process."""

import json
import os
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest
import torch

WORKER = Path(__file__).with_name("distributed_worker.py")
OBJECTIVES = ("beta_annealed", "bottleneck", "beta_tcvae", "dip_vae_1")


def launch(folder: Path, n_processes: int) -> None:
    """Run the worker in ``n_processes`` processes with the environment of ``torchrun``."""
    shared = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(n_processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(20_000 + os.getpid() % 20_000),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    started = [
        Popen(
            [sys.executable, str(WORKER), str(folder)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
        )
        for rank in range(n_processes)
    ]
    for process in started:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    launch(one, 1)
    launch(two, 2)
    return one, two


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_equal_those_of_one_process(objective: str, folders: tuple[Path, Path]) -> None:
    one, two = (torch.load(folder / f"{objective}.pt", weights_only=True) for folder in folders)
    assert set(one) == set(two)
    assert max(float(gradient.norm()) for gradient in one.values()) > 1
    for name, gradient in one.items():
        # The sum over parts of a batch is in another order than over the whole batch.
        torch.testing.assert_close(two[name], gradient, rtol=1e-3, atol=2e-3, msg=name)


def test_a_run_of_two_processes_is_the_run_of_one_and_is_written_once(
    folders: tuple[Path, Path],
) -> None:
    logs = [
        [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        for folder in folders
    ]
    assert [entry["step"] for entry in logs[1]] == [entry["step"] for entry in logs[0]] == [1, 2, 3]
    for alone, shared in zip(*logs, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert shared["gradient_norm"] == pytest.approx(alone["gradient_norm"], rel=1e-2)
    assert "validation.selection" in logs[1][-1]


def test_a_batch_that_cannot_be_shared_evenly_is_refused(folders: tuple[Path, Path]) -> None:
    assert "cannot share evenly" in (folders[1] / "odd.txt").read_text()

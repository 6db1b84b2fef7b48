"""If a disk fills up while a state is saved, the last good state stays and the run can continue."""

import errno
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from glitch.errors import CheckpointError
from glitch.model import Architecture, ViewsVAE
from training.core.config import LogConfig, OptimiserConfig
from training.core.full_disk import FullDiskError, full_disk_as_error
from training.core.state import STATE_FILE, load_state, save_state
from training.dsprites import PackedPictures, PictureArchitecture, PictureConfig, train_on_pictures


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Limit the size of files, so that a longer write fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # raise an error instead of ending the process
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def test_a_log_that_finds_no_room_is_a_sentence_and_the_run_continues(tmp_path: Path) -> None:
    config = PictureConfig(
        "toy",
        "dots",
        architecture=PictureArchitecture(side=32),
        optimiser=OptimiserConfig(steps=4, batch_size=2, warmup_steps=0),
        log=LogConfig(1, 100, 2),
    )
    dots = PackedPictures(np.full((4, 128), 170, dtype=np.uint8), 32, "dots")

    def full(step: int, _metrics: dict[str, float]) -> None:
        if step == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FullDiskError, match=r"no space left to write to .*continues from there"):
        train_on_pictures(config, tmp_path, dots, report=full)
    assert train_on_pictures(config, tmp_path, dots).is_complete


def test_other_errors_of_files_are_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), full_disk_as_error(tmp_path):
        (tmp_path / "none").read_text()


def test_the_last_good_state_survives_a_full_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = Architecture(
        n_frequency=16, n_time=16, channels=(8,), painter_channels=(8,), hidden=16, latent=3
    )
    model = ViewsVAE(architecture)
    optimiser = torch.optim.Adam(model.parameters())
    path = tmp_path / STATE_FILE
    save_state(path, model, optimiser, 100, 0.5)
    good = path.read_bytes()
    with torch.no_grad():
        model.join.weight.add_(1.0)
    with (
        file_size_limit(len(good) // 2),
        pytest.raises(CheckpointError, match=r"step 200 could not be saved .* free some space"),
    ):
        save_state(path, model, optimiser, 200, 0.6)
    assert path.read_bytes() == good
    assert [file.name for file in tmp_path.iterdir()] == [STATE_FILE]  # no partial file
    assert load_state(path, model, optimiser) == (100, 0.5)
    save_state(path, model, optimiser, 200, 0.6)  # with space again
    assert load_state(path, model, optimiser) == (200, 0.6)

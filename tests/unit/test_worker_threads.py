"""The threads of a worker's PyTorch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy.orm import sessionmaker

from app.core.settings import Settings
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from worker.runner import JobRunner


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore the number of threads after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_a_worker_embeds_with_the_threads_that_it_was_told(tmp_path: Path) -> None:
    """Even after a map or a clustering, whose Numba loops reset PyTorch to a thread per core."""
    runner = JobRunner(sessionmaker(), Settings(data_dir=tmp_path, torch_threads=3))
    digest = load_checkpoint(shipped_checkpoint()).digest
    for left in (1, 2):
        torch.set_num_threads(left)
        runner._encoder(digest)
        assert torch.get_num_threads() == 3

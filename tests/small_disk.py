"""A small file system that tests can fill."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_file_system(below: Path, size_mb: int = 8) -> Iterator[Path]:
    """Mount a small file system that every user can write to; skip the test if not permitted."""
    folder = Path(tempfile.mkdtemp(prefix="small-", dir=below))
    options = f"size={size_mb}m,mode=1777"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, check=False, capture_output=True)
    if not mounted or mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("a small file system cannot be mounted here: that takes root's rights")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        folder.rmdir()

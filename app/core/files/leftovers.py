"""Temporary folders of processes that were killed: nobody else removes them."""

import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIXES = ("glitch-upload-", "glitch-batch-", "glitch-export-")
_OLD_S = 6 * 3600.0  # longer than any request or chunk lasts


def clean_up_leftovers() -> int:
    """Remove this user's temporary files and folders that are too old to be in use; how many."""
    before = time.time() - _OLD_S
    count = 0
    for path in Path(tempfile.gettempdir()).iterdir():
        if not path.name.startswith(PREFIXES):
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid != os.geteuid() or status.st_mtime > before:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        count += 1
    return count

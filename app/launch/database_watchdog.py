"""Stops the embedded database when its supervisor was killed.

Run as `python -m app.launch.database_watchdog DIR`.

A supervisor that ends in order stops the database itself and then this process.
"""

import os
import sys
from pathlib import Path

from app.launch.parent_watch import PARENT_PIPE_VARIABLE


def main() -> None:
    """Wait for the supervisor's end, then stop the server of the folder given."""
    descriptor = int(os.environ.pop(PARENT_PIPE_VARIABLE))
    while os.read(descriptor, 1):
        pass
    from app.core.embedded import EmbeddedServer

    folder = Path(sys.argv[1])
    EmbeddedServer(folder, folder / "postgres").stop()


if __name__ == "__main__":
    main()

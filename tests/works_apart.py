"""Work for child processes, kept in its own module so that they need not import pytest (1 s)."""

import atexit
import os
import signal
import time
from pathlib import Path

from glitch.errors import GlitchError
from training.core.parallel import OnStep


def do(folder: Path, name: str, ending: str, on_step: OnStep) -> bool:
    """Do three steps, write a file with the process id, then end in the way ``ending`` names."""
    for step in (1, 2, 3):
        on_step(step)
    (folder / name).write_text(str(os.getpid()))
    if ending == "lingers":  # as a library that does work at process exit

        def linger() -> None:
            (folder / f"{name}.ending").touch()
            time.sleep(1)
            (folder / f"{name}.ended").touch()

        atexit.register(linger)
    while ending in {"error", "killed"} and not list(folder.glob("*.waits")):
        time.sleep(0.01)
    if ending == "error":
        raise GlitchError("the loss is not finite")
    if ending == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "waits":  # until SIGTERM, as a training run does
        signals: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: signals.append(number))
        (folder / f"{name}.waits").touch()
        while not signals:
            time.sleep(0.01)
            on_step(3)
        (folder / f"{name}.saved").touch()
    return ending in {"done", "lingers"}

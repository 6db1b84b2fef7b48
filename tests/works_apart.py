"""What tests have done in processes of their own, which would import pytest for a second each."""

import atexit
import os
import signal
import time
from pathlib import Path

from glitch.errors import GlitchError
from training.core.parallel import OnStep


def do(folder: Path, name: str, ending: str, on_step: OnStep) -> bool:
    """Three steps that leave a mark, then one of the ways to end."""
    for step in (1, 2, 3):
        on_step(step)
    (folder / name).write_text(str(os.getpid()))
    if ending == "lingers":  # as whatever a library does at a process's end

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
    if ending == "waits":  # until it is asked to end, as a training does
        asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
        (folder / f"{name}.waits").touch()
        while not asked:
            time.sleep(0.01)
            on_step(3)
        (folder / f"{name}.saved").touch()
    return ending in {"done", "lingers"}

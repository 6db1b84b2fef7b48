"""The log of a run for TensorBoard: one scalar for each metric, by dotted name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training.core.state import STATE_FILE, saved_step

EVENTS_FOLDER = "tensorboard"

Report = Callable[[int, dict[str, float]], None]


@contextmanager
def tensorboard_log(run: Path) -> Iterator[Report]:
    """Open a report hook of the training loop that writes events into the run's folder.

    ``tensorboard --logdir RUN`` displays them; ``validation.linear.accuracy`` becomes
    ``validation/linear.accuracy``, so that metrics of one group share a section. When a run
    continues, TensorBoard discards what an earlier process logged after the saved state.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = run / EVENTS_FOLDER
    step_saved = saved_step(run / STATE_FILE)
    purge = step_saved + 1 if step_saved else None
    with SummaryWriter(str(folder), purge_step=purge) as writer:

        def report(step: int, metrics: dict[str, float]) -> None:
            for name, value in metrics.items():
                if math.isfinite(value):
                    section, _, rest = name.partition(".")
                    tag = f"{section}/{rest}" if rest else f"training/{name}"
                    writer.add_scalar(tag, value, step)
            writer.flush()

        yield report

"""The supervisor's side of loading the demo catalogue: processes, and one progress bar."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.launch.child import Child
from app.launch.errors import ChildFailedError

_POLL_S = 0.1
_MOST_PROCESSES = 4
# One process for each so many glitches: below it, importing the libraries costs more than it saves.
_WORTH_A_PROCESS = 50


def load_demo(
    missing: int,
    processes: int | None,
    environment: Mapping[str, str],
    *,
    console: Console,
    keep_open: Sequence[int] = (),
    check_stop: Callable[[], None] = lambda: None,
) -> None:
    """Load what is missing of the catalogue in parallel processes, one thread each.

    Threads of the numeric libraries fight over the cores; processes do not.

    Args:
        missing: how many glitches the plan still lacks.
        processes: how many processes; None chooses.
        environment: for the children, with ``DATABASE_URL`` and the data directory.
        console: for the progress bar.
        keep_open: descriptors that the children hold too (the data directory's lock).
        check_stop: raises when a stop was asked for; what is loaded by then stays.

    Raises:
        ChildFailedError: if a process fails; it has told why.
    """
    count = processes or min(os.cpu_count() or 1, _MOST_PROCESSES)
    count = max(1, min(count, -(-missing // _WORTH_A_PROCESS)))
    if not console.is_terminal:
        console.print(f"Loading the demo catalogue: {missing:,} simulated glitches, once.")
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(_bar(console))
        task = progress.add_task("Loading the demo catalogue", total=missing)
        children = []
        for number in range(count):
            child = Child(
                "Loading the demo catalogue",
                "app.launch.demo.loader",
                [str(number), str(count)],
                environment={**environment, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                keep_open=keep_open,
                is_conversing=True,
            )
            stack.callback(child.stop)
            children.append(child)
            threading.Thread(
                target=_follow, args=(child, lambda n: progress.advance(task, n)), daemon=True
            ).start()
        while any(child.exit_code is None for child in children):
            check_stop()
            for child in children:
                if child.exit_code:
                    raise ChildFailedError(child.name, child.exit_code)
            time.sleep(_POLL_S)
        for child in children:
            if child.exit_code:
                raise ChildFailedError(child.name, child.exit_code)


def _follow(child: Child, advance: Callable[[int], None]) -> None:
    for line in child.lines():
        if line.isdigit():
            advance(int(line))


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

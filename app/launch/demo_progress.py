"""How far the demonstration is, in the terminal, while the service serves already."""

from __future__ import annotations

import threading

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glitch_discovery import Client, Job, JobFailedError, ServiceError, UnreachableError


def show_filling(url: str, token: str, job_id: str, console: Console) -> None:
    """Show a bar until the job has ended, from a thread that ends with the process.

    Args:
        url: where the service answers.
        token: to ask it with.
        job_id: of the job that fills the demonstration.
        console: where no terminal is behind it, two lines are printed instead.
    """
    threading.Thread(target=_follow, args=(url, token, job_id, console), daemon=True).start()


def _follow(url: str, token: str, job_id: str, console: Console) -> None:
    what = "Filling the demonstration"
    if not console.is_terminal:
        console.print(f"{what} with simulated glitches, once; the first page shows how far it is.")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Client(url, token=token) as service,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(what, total=None)

        def show(job: Job) -> None:
            ended = job.done + job.failed + job.skipped
            bar.update(task, total=job.total or None, completed=ended)

        try:
            job = service.wait(job_id, on_progress=show)
        except (JobFailedError, ServiceError, UnreachableError) as error:
            said = str(error)
        else:
            said = f"The demonstration has {job.done:,} glitches: see {url}/ui/clusters"
    console.print(said)

"""Worker and scheduler as children of `up`: `python -m app.launch.worker_process worker`."""

import sys

from app.launch.errors import reported_as_sentences
from app.launch.parent_watch import stop_with_supervisor

ROLES = ("worker", "scheduler")


def run(role: str, idle_s: float | None = None) -> int:
    """Run a worker or the scheduler until SIGTERM; return the exit code.

    With ``idle_s``, a worker ends after this many seconds without work.
    """
    from app.core.logs import configure_logging
    from app.launch.settings import read_settings

    settings = read_settings()
    configure_logging(settings)
    if role == "worker":
        from worker.main import run_until_idle, run_worker

        return run_worker(settings) if idle_s is None else run_until_idle(settings, idle_s)
    # must not import the worker's modules, which are large
    from worker.celery_process import run_scheduler

    run_scheduler(settings)
    return 0


if __name__ == "__main__":
    stop_with_supervisor()
    with reported_as_sentences():
        sys.exit(run(sys.argv[1]))

"""A real worker or scheduler process with the job type of the tests.

``python jobs_worker.py worker|scheduler [CLOCK_SKEW_S]``; settings come from the environment. The
role ``scheduler-set-back`` sets the scheduler's clock back by two hours after five seconds.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    if len(sys.argv) > 2:
        skew_s, true_time = float(sys.argv[2]), time.time
        time.time = lambda: true_time() + skew_s
    from app.core.settings import Settings

    if sys.argv[1] == "scheduler-set-back":
        from celery import Celery

        true_now, back_at = Celery.now, time.monotonic() + 5
        Celery.now = lambda self: (
            true_now(self) - timedelta(hours=2 if time.monotonic() > back_at else 0)
        )
    if sys.argv[1].startswith("scheduler"):
        from worker.celery_process import run_scheduler

        run_scheduler(Settings())
        sys.exit()
    from jobs_fixtures import KIND, ProbeHandler, register

    from worker import stalled
    from worker.main import run_worker

    stalled.PATIENCE_S = 6.0
    register(KIND, ProbeHandler())
    sys.exit(run_worker(Settings()))

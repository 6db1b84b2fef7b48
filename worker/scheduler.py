"""The scheduler as a process: `glitch-discovery scheduler`. It knows the broker and no job."""

from typing import Any

from app.core.settings import Settings
from app.jobs.broker import RECONCILE_QUEUE, RECONCILE_TASK, make_celery
from worker.celery_process import addresses, quieten


def run_scheduler(settings: Settings) -> None:
    """Have jobs reconciled every few seconds, until SIGTERM or SIGINT. One is enough.

    It keeps no file: what is due is in the database.

    Raises:
        NotReadyError: if REDIS_URL is not set.
    """
    _, redis_url = addresses(settings)
    application = make_celery(redis_url)
    quieten(settings)
    application.conf.update(
        beat_scheduler="celery.beat:Scheduler",
        beat_max_loop_interval=max(settings.reconcile_s / 2, 0.1),
        beat_schedule={
            "reconcile": {
                "task": RECONCILE_TASK,
                "schedule": settings.reconcile_s,
                # Without "expires": it would compare the clocks of two machines.
                "options": {"queue": RECONCILE_QUEUE, "retry": False},
            }
        },
    )
    beat: Any = application.Beat(loglevel=settings.log_level.upper(), quiet=True)
    beat.run()

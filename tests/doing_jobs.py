"""A worker for a live service, for tests that submit jobs through the API as scripts do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api_fixtures import Service
from sqlalchemy import text

from app.core.engine import make_session_factory
from worker.runner import JobRunner


@contextmanager
def doing_jobs(service: Service) -> Iterator[None]:
    """Process queued jobs in a thread until the block ends."""
    is_over = threading.Event()
    worker = threading.Thread(target=_work, args=(service, is_over))
    worker.start()
    try:
        yield
    finally:
        is_over.set()
        worker.join()


def _work(service: Service, is_over: threading.Event) -> None:
    runner = JobRunner(make_session_factory(service.engine), service.settings)
    open_jobs = text("SELECT id FROM job WHERE state IN ('queued', 'running')")
    while not is_over.wait(0.2):
        with service.engine.connect() as connection:
            found = list(connection.execute(open_jobs).scalars())
        for one in found:
            runner.work(one)

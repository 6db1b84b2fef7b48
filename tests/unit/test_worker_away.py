"""A worker whose database or Redis cannot be reached."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest

from app.core.settings import Settings
from worker.tasks import Process


def test_a_database_that_is_away_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    process = Process(Settings(), "postgresql://nobody@127.0.0.1:9/none", "redis://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, logger="worker"):
        process.reconcile()
        process.work(uuid4())
    process.close()
    assert [(one.levelname, one.exc_info) for one in caplog.records] == [("WARNING", None)] * 2
    assert all("the database is unavailable" in one.message for one in caplog.records)

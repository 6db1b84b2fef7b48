"""Jobs as users see them: created, listed, cancelled and retried."""

from __future__ import annotations

import pytest
from jobs_fixtures import register
from sqlalchemy.orm import Session

from app.core.errors import InvalidRequestError
from app.jobs.service import create_job, get_job, list_events


@pytest.fixture(autouse=True)
def _kind() -> None:
    register("probe", object())  # only its name is used here


def test_a_new_job_is_shown_as_waiting(session: Session) -> None:
    job = create_job(session, "probe", {"n": 3}, "ada")
    session.commit()
    assert get_job(session, job.id).state == "queued"
    assert [event.name for event in list_events(session, job.id)] == ["created"]


def test_an_open_job_of_the_same_key_is_returned(session: Session) -> None:
    first = create_job(session, "probe", {}, "ada", key="nightly")
    assert create_job(session, "probe", {}, "ada", key="nightly").id == first.id
    assert create_job(session, "probe", {}, "ada", key="weekly").id != first.id
    assert create_job(session, "probe", {}, "ada").id != create_job(session, "probe", {}, "a").id


def test_an_unknown_kind_is_refused(session: Session) -> None:
    with pytest.raises(InvalidRequestError, match=r"no job of kind 'nonsense'; known: .*probe"):
        create_job(session, "nonsense", {}, "ada")

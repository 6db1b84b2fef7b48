"""The page of the daily summary."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.clusters.service import runs_that_wait
from app.digest.service import MAX_DAYS, Digest, Sending, digest, last_sending
from app.frame.contexts import PageContext
from app.frame.deps import PageRoute, ReaderVisit
from app.jobs.pages.view import kind_text

router = APIRouter(route_class=PageRoute)


class DigestPage(PageContext, template="digest.html", section="digest"):
    """The page "What is new"."""

    digest: Digest
    days: int
    spans: tuple[int, ...]  # in days
    failed: tuple[tuple[str, str, str], ...]  # address, kind of job, reason
    is_any_waiting: bool  # do clusters of earlier runs wait for review?
    sent: Sending | None


@router.get("/digest")
def page(visit: ReaderVisit, days: Annotated[int, Query()] = 1) -> Response:
    """What is new since yesterday, or in the given number of days."""
    summary = digest(visit.session, days=days)
    context = DigestPage(
        digest=summary,
        days=days,
        spans=(1, 7, MAX_DAYS),
        failed=tuple(
            (f"/ui/jobs/{one.id}", kind_text(one.kind), one.detail or "no reason is known")
            for one in summary.failed_jobs
        ),
        is_any_waiting=bool(runs_that_wait(visit.session)),
        sent=last_sending(visit.session),
    )
    return visit.show(context)

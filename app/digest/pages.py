"""The page of what is new."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import APIRouter, Query, Request, Response

from app.clusters.service import runs_that_wait
from app.digest.service import MOST_DAYS, Digest, Sending, digest, last_sending
from app.frame.contexts import ClassCount, PageContext
from app.frame.deps import PageRoute, Reader
from app.frame.render import render
from app.frame.words import count, stamp
from app.jobs.pages.view import kind_text
from app.server.request_scope import SessionDep

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True)
class DigestPage(PageContext):
    """What is new."""

    template: ClassVar[str] = "digest.html"
    section: ClassVar[str] = "digest"

    digest: Digest
    since: str
    spans: tuple[ClassCount, ...]
    failed: tuple[tuple[str, str, str], ...]  # address, what it was, why
    is_any_waiting: bool  # of earlier clusterings, for review
    sent: Sending | None
    sent_at: str


@router.get("/digest")
def page(
    request: Request, session: SessionDep, _: Reader, days: Annotated[int, Query()] = 1
) -> Response:
    """What is new since yesterday, or in the days asked for."""
    made, last = digest(session, days=days), last_sending(session)
    context = DigestPage(
        digest=made,
        since=stamp(made.since),
        spans=tuple(
            ClassCount(count(one, "day"), f"/ui/digest?days={one}", one == days)
            for one in (1, 7, MOST_DAYS)
        ),
        failed=tuple(
            (f"/ui/jobs/{one.id}", kind_text(one.kind), one.detail or "no reason is known")
            for one in made.failed_jobs
        ),
        is_any_waiting=bool(runs_that_wait(session)),
        sent=last,
        sent_at=stamp(last.finished_at) if last else "",
    )
    return render(request, context)

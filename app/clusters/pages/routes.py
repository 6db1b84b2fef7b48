"""The pages of clusters: the list, one cluster, and the actions on both."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from app.classes.naming import resolve_class_name
from app.clusters.pages.display import cluster_href
from app.clusters.pages.lists import ClusteringForm, ClustersPage, clusters_page_of
from app.clusters.pages.model import seen_page_of
from app.clusters.pages.view import ReviewForm, cluster_page_of, undo_offer
from app.clusters.review.log import Action
from app.clusters.review.service import review, withdraw
from app.clusters.service import get_cluster, queue_of, start_clustering
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError
from app.core.events import request_of
from app.frame.deps import (
    ForReaders,
    PageNumber,
    PageRoute,
    ReaderVisit,
    ReviewerVisit,
    SubmitterVisit,
    Visit,
)
from app.frame.failures import see_other
from app.models.traversals import cluster_plane
from app.server.form_fields import takes_any
from app.server.request_scope import SessionDep
from glitch.errors import GlitchError
from glitch.views import VIEW_DURATIONS_S

router = APIRouter(route_class=PageRoute)


@router.get("/clusters")
@takes_any  # the page reports unknown filters
def clusters(visit: ReaderVisit, page: PageNumber = 1) -> Response:
    """The clusters of a run, the most significant first."""
    return _rendered(visit, clusters_page_of(visit.session, visit.request.query_params, page))


@router.post("/clusters/runs")
def start(visit: SubmitterVisit, typed: Annotated[ClusteringForm, Depends()]) -> Response:
    """Start a clustering and show the list, which follows its job."""
    try:
        start_clustering(visit.session, typed.parsed(), principal=visit.principal)
    except (InvalidRequestError, GlitchError) as error:
        page = clusters_page_of(
            visit.session, visit.request.query_params, typed=typed, start_error=str(error)
        )
        return _rendered(visit, page)
    return see_other("/ui/clusters", done="clustering")


def _rendered(visit: Visit, page: ClustersPage) -> Response:
    return visit.show(page, status=400 if page.errors or page.start_error else 200)


@router.get("/clusters/{cluster_id}")
def cluster_page(
    *,
    visit: ReaderVisit,
    cluster_id: UUID,
    order: str = "distance",
    window: str = "",
    page: PageNumber = 1,
    of: UUID | None = None,
    event: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:
    """The page of one cluster.

    ``of`` and ``event`` name the cluster and the review event of the action just done, which may
    concern another cluster than this one; the page offers to undo it.
    """
    cluster = get_cluster(visit.session, cluster_id)
    context = cluster_page_of(
        visit.session,
        cluster,
        order="time" if order == "time" else "distance",
        window_s=next((one for one in VIEW_DURATIONS_S if f"{one:g}" == window), None),
        page=page,
        undo=undo_offer(visit.session, of, event, visit.principal) if of else None,
    )
    return visit.show(context)


@router.get("/clusters/{cluster_id}/seen-before")
def seen(visit: ReaderVisit, cluster_id: UUID) -> Response:
    """Show when similar glitches occurred; a separate page, because it scans the catalogue."""
    return visit.show(seen_page_of(visit.session, get_cluster(visit.session, cluster_id)))


@router.get("/clusters/{cluster_id}/plane.json", dependencies=[ForReaders])
def plane(session: SessionDep, cluster_id: UUID) -> Response:
    """Coordinates of the members, for the scatter plot in which clusters are split."""
    scatter = cluster_plane(session, cluster_id)
    return JSONResponse(
        {
            "shares": scatter.shares,
            "size": scatter.size,
            "ids": [str(one.id) for one in scatter.points],
            "x": [round(one.x, 5) for one in scatter.points],
            "y": [round(one.y, 5) for one in scatter.points],
            "distance": [round(one.distance, 4) for one in scatter.points],
            "snr": [one.snr for one in scatter.points],
            "peak_frequency": [one.peak_frequency for one in scatter.points],
            "gps_time": [one.gps_time for one in scatter.points],
        },
        headers={"Cache-Control": "private, no-store"},
    )


@router.post("/clusters/{cluster_id}/review")
def decide(
    visit: ReaderVisit, cluster_id: UUID, typed: Annotated[ReviewForm, Depends()]
) -> Response:
    """Apply a review action; errors are shown on the page, with the latest state."""
    get_cluster(visit.session, cluster_id)
    act, chosen = typed.act, typed.chosen
    remark = "" if act in {"comment", "undo", "redo"} else typed.text
    common = {"last_event_id": typed.last_event_id, "remark": remark}
    if act not in _NOTICES:
        raise NotFoundError("There is no such action: go back to the cluster and choose another.")
    try:
        _refuse_none_chosen(act, chosen)
        name = typed.class_name.strip()
        if act in {"merge", "assign"}:
            name = resolve_class_name(visit.session, name)
        fields: dict[str, dict[str, Any]] = {
            "promote": {"class_name": typed.new_class.strip()},
            "merge": {"class_name": name},
            "dismiss-look": {"is_of_look": True},
            "split": {"member_ids": chosen},
            "assign": {"class_name": name, "member_ids": chosen},
            "accept": {"member_ids": chosen},
            "comment": {"text": typed.text},
            "undo": {"event_id": typed.event_id},
            "redo": {"event_id": typed.event_id},
        }
        action = request_of(Action, act.partition("-")[0], **fields.get(act, {}), **common)
        outcome = review(visit.session, cluster_id, action, author=visit.principal)
    except (InvalidRequestError, ConflictError) as error:
        cluster = get_cluster(visit.session, cluster_id)  # another reviewer may have changed it
        context = cluster_page_of(visit.session, cluster, error=str(error), typed=typed)
        return visit.refuse(context, error)
    done: dict[str, str] = {"done": _NOTICES[act]}
    target = outcome.cluster_id
    if act not in {"comment", "undo", "redo"}:
        done |= {"of": str(outcome.cluster_id), "event": str(outcome.event_id)}
    # Stay where suggestions wait, because they are accepted on this page.
    if act in _DECISIONS and not outcome.suggestions:
        done["done"] = _WITHOUT_SUGGESTIONS.get(act, done["done"])
        target = queue_of(visit.session, get_cluster(visit.session, target)).next_id or target
    return see_other(cluster_href(target), **done)


@router.post("/clusters/{cluster_id}/withdraw")
def undo_selection(visit: ReviewerVisit, cluster_id: UUID) -> Response:
    """Remove a cluster that was made of a selection."""
    withdraw(visit.session, cluster_id, author=visit.principal)
    return see_other("/ui/map", done="removed")


def _refuse_none_chosen(act: str, chosen: tuple[UUID, ...]) -> None:
    if act in {"accept", "assign", "split"} and not chosen:
        raise InvalidRequestError("Choose members first, with the box on each or the key x.")


# then show the next one
_DECISIONS = frozenset({"promote", "merge", "dismiss", "dismiss-look", "accept-all"})
_WITHOUT_SUGGESTIONS = {"promote": "named-only", "merge": "merged-only"}
_NOTICES = {
    "promote": "named",
    "merge": "merged",
    "dismiss": "dismissed",
    "dismiss-look": "dismissed",
    "split": "split",
    "assign": "assigned",
    "accept": "accepted",
    "accept-all": "accepted",
    "comment": "commented",
    "undo": "undone",
    "redo": "redone",
}

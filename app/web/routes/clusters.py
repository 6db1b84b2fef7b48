"""Flagged clusters: the list, one cluster, and what reviewers do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.services.cluster_changes import CHANGES, changes_since
from app.services.clusters.browsing import (
    ClusterFilters,
    count_by_state,
    is_of_simulated,
    ranked_clusters,
)
from app.services.clusters.records import ClusteringParameters, ClusterRecord, RunRecord
from app.services.clusters.service import KIND, get_cluster, list_runs, start_clustering
from app.services.errors import ConflictError, InvalidRequestError, NotFoundError
from app.services.jobs.records import OPEN_STATES
from app.services.jobs.service import list_jobs
from app.services.records import Principal, Role
from app.services.reviews.log import (
    Accept,
    Action,
    Assign,
    Comment,
    Dismiss,
    Merge,
    Promote,
    Redo,
    Split,
    Undo,
)
from app.services.reviews.service import review
from app.services.traversals import cluster_plane
from app.web.cluster_contexts import ClustersPage, RunForm
from app.web.cluster_pages import STATE_TEXTS, cluster_cards, cluster_page_of
from app.web.contexts import Choice, ClassCount
from app.web.deps import (
    CsrfChecked,
    ForReaders,
    PageRoute,
    Reader,
    SessionDep,
    Submitter,
    VisitorDep,
    see_other,
)
from app.web.gps import TimeError, is_date, parse_time
from app.web.pages import render
from app.web.query import USUAL_DETECTORS
from app.web.words import count, stamp
from glitch.errors import GlitchError

router = APIRouter(route_class=PageRoute)

PAGE_SIZE = 24
RUNS_OFFERED = 20
_EVERY = "all"
_DAY_S = 86_400
_FIELDS = ("run", "state", "ifo", "min_size", "start", "end", "change", "page")
_LONGEST = 60


@router.get("/clusters")
def clusters(
    request: Request, session: SessionDep, visitor: VisitorDep, principal: Reader
) -> Response:
    """The clusters of a run, the most significant first."""
    return _list_page(request, session, visitor, principal)


@router.post("/clusters/runs", dependencies=[CsrfChecked])
def start(
    *,
    request: Request,
    session: SessionDep,
    visitor: VisitorDep,
    principal: Submitter,
    fdr: Annotated[str, Form(max_length=40)] = "0.1",
    min_cluster_size: Annotated[str, Form(max_length=40)] = "5",
    ifo: Annotated[str, Form(max_length=10)] = "",
    simulated: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    """Have the workers cluster the catalogue."""
    form = _run_form(fdr, min_cluster_size, ifo, bool(simulated))
    try:
        parameters = ClusteringParameters(
            fdr=float(fdr),
            min_cluster_size=int(min_cluster_size),
            ifo=ifo or None,
            is_simulated=bool(simulated),
        )
        start_clustering(session, parameters, principal=principal)
    except (InvalidRequestError, GlitchError) as error:
        form = _run_form(fdr, min_cluster_size, ifo, bool(simulated), str(error))
    except ValueError:
        sentence = "Give the rate as a number such as 0.1, and the smallest size as one such as 5."
        form = _run_form(fdr, min_cluster_size, ifo, bool(simulated), sentence)
    else:
        return see_other("/ui/clusters?done=clustering")
    return _list_page(request, session, visitor, principal, form=form)


def _run_form(
    fdr: str = "0.1",
    min_cluster_size: str = "5",
    ifo: str = "",
    is_simulated: bool = False,
    error: str | None = None,
) -> RunForm:
    ifos = (Choice("", "all", not ifo), *(Choice(one, one, one == ifo) for one in USUAL_DETECTORS))
    return RunForm(fdr, min_cluster_size, ifos, is_simulated, error)


def _list_page(
    request: Request,
    session: Session,
    visitor: VisitorDep,
    principal: Principal,
    *,
    form: RunForm | None = None,
) -> Response:
    values = {name: request.query_params.get(name, "").strip() for name in _FIELDS}
    values = {name: value for name, value in values.items() if value}
    runs = list_runs(session, limit=RUNS_OFFERED).items
    filters, page, errors = _read(values)
    run = _chosen_run(runs, values.get("run"), errors)
    found: list[ClusterRecord] = []
    counts: dict[str, int] = {}
    if run is not None and not errors:
        offset = PAGE_SIZE * (page - 1)
        found = ranked_clusters(session, run.id, filters, limit=PAGE_SIZE + 1, offset=offset)
        counts = count_by_state(session, run.id, filters)
    shown = found[:PAGE_SIZE]
    job, is_job_bad = _job(session)
    changes, changes_text = _changes(session, run, values)
    chosen_state = values.get("state", "flagged")
    total = sum(counts.values()) if chosen_state == _EVERY else counts.get(chosen_state, 0)
    words = {"flagged": "cluster to review", _EVERY: "cluster"}
    one = words.get(chosen_state, f"cluster: {STATE_TEXTS.get(chosen_state, '')}")
    many = one.replace("cluster", "clusters", 1)
    context = ClustersPage(
        heading="Clusters" if run is None or errors else count(total, one, many),
        run=None if run is None else run.detail,
        changes=changes,
        changes_text=changes_text,
        run_made=None if run is None else f"{stamp(run.created_at)}, by {run.author}",
        cards=cluster_cards(session, shown, is_simulated=run is not None and run.is_simulated),
        states=tuple(
            ClassCount(
                text="all" if name == _EVERY else STATE_TEXTS[name],
                count=f"{sum(counts.values()) if name == _EVERY else counts.get(name, 0):,}",
                share=0.0,
                href=_href(values, state=None if name == "flagged" else name, page=None),
                is_chosen=name == chosen_state,
            )
            for name in ("flagged", "promoted", "merged", "dismissed", _EVERY)
        ),
        runs=tuple(
            Choice(str(one.id), _run_text(one), run is not None and one.id == run.id)
            for one in runs
        ),
        ifos=(
            Choice("", "any", "ifo" not in values),
            *(Choice(name, name, name == values.get("ifo")) for name in USUAL_DETECTORS),
        ),
        state=chosen_state,
        min_size=values.get("min_size", ""),
        start=values.get("start", ""),
        end=values.get("end", ""),
        is_narrowed=bool(set(values) - {"run", "state", "page"}),
        errors=tuple(errors),
        next_href=_href(values, page=str(page + 1)) if len(found) > PAGE_SIZE else None,
        first_href=_href(values, page=None) if page > 1 else None,
        job=job,
        is_job_bad=is_job_bad,
        can_start=principal.role >= Role.SUBMITTER,
        form=form or _run_form(),
    )
    is_bad = bool(errors) or context.form.error is not None
    return render(request, context, visitor, status=400 if is_bad else 200)


def _changes(
    session: Session, run: RunRecord | None, values: Mapping[str, str]
) -> tuple[tuple[ClassCount, ...], str | None]:
    """What is otherwise than in the run before, as links to the clusters that it means."""
    if run is None:
        return (), None
    told = changes_since(session, run)
    if told is None:
        return (), "This is the first run of its kind: everything in it is new."
    words = {
        "new": f"{told.new:,} new",
        "grown": f"{told.grown:,} grew",
        "shrunk": f"{told.shrunk:,} shrank",
        "same": f"{told.same:,} as before",
    }
    links = tuple(
        ClassCount(
            text=text,
            count="",
            share=0.0,
            href=_href(values, change=None if values.get("change") == name else name, page=None),
            is_chosen=values.get("change") == name,
        )
        for name, text in words.items()
        if getattr(told, name) or values.get("change") == name
    )
    gone = f"; {count(told.gone, 'cluster')} of that run not found again" if told.gone else ""
    return links, f"since the run of {stamp(told.previous_made)}{gone}"


def _href(values: Mapping[str, str], **changes: str | None) -> str:
    pairs = [(name, value) for name, value in {**values, **changes}.items() if value]
    return f"/ui/clusters?{urlencode(pairs)}" if pairs else "/ui/clusters"


def _run_text(run: RunRecord) -> str:
    kind = "simulated" if run.is_simulated else run.ifo or "all detectors"
    number = count(run.n_clusters, "cluster")
    return f"{stamp(run.created_at)} · {kind} · FDR {run.fdr:g} · {number}"


def _chosen_run(
    runs: tuple[RunRecord, ...], wanted: str | None, errors: list[str]
) -> RunRecord | None:
    if wanted is None:
        return next(iter(runs), None)
    found = next((run for run in runs if str(run.id) == wanted), None)
    if found is None:
        errors.append("There is no such run among the latest: choose one from the list.")
    return found


def _read(values: Mapping[str, str]) -> tuple[ClusterFilters, int, list[str]]:
    """The filters in an address, the page, and a sentence for each value that cannot be used."""
    errors = [f"{name} is too long." for name, value in values.items() if len(value) > _LONGEST]
    state = values.get("state", "flagged")
    if state not in {*STATE_TEXTS, _EVERY}:
        errors.append("There is no such state: choose one of those above the list.")
    ifo = values.get("ifo")
    if ifo is not None and ifo not in USUAL_DETECTORS:
        errors.append(f"“{ifo[:20]}” is no detector known here.")
    min_size = values.get("min_size")
    if min_size is not None and not (
        min_size.isascii() and min_size.isdigit() and len(min_size) < 9
    ):
        errors.append("The smallest size must be a whole number.")
    if values.get("change", "new") not in CHANGES:
        errors.append("There is no such change: choose one of those above the list.")
    page = values.get("page", "1")
    if not (page.isascii() and page.isdigit() and 0 < int(page[:9]) < 100_000):
        errors.append("There is no such page.")
    times = {}
    for name in ("start", "end"):
        if name in values:
            try:
                times[name] = parse_time(values[name])
            except TimeError as error:
                errors.append(str(error))
            else:
                if name == "end" and is_date(values[name]):
                    times[name] += _DAY_S  # the whole of that day
    if errors:
        return ClusterFilters(), 1, errors
    return (
        ClusterFilters(
            state=None if state == _EVERY else state,
            ifo=ifo,
            min_size=None if min_size is None else int(min_size),
            gps_start=times.get("start"),
            gps_end=times.get("end"),
            change=values.get("change"),
        ),
        int(page),
        [],
    )


def _job(session: Session) -> tuple[str | None, bool]:
    """What the latest clustering job does, where that is of interest."""
    latest = next(iter(list_jobs(session, kind=KIND, limit=1).items), None)
    if latest is None or latest.state in {"succeeded", "cancelled"}:
        return None, False
    asked = f"asked for by {latest.author}, {stamp(latest.created_at)}"
    if latest.state in OPEN_STATES:
        return f"A clustering is {latest.state} ({asked}). Reload this page to see it.", False
    return f"The last clustering failed ({asked}): {latest.detail or 'no reason is known.'}", True


@router.get("/clusters/{cluster_id}")
def cluster_page(
    *,
    request: Request,
    session: SessionDep,
    visitor: VisitorDep,
    principal: Reader,
    cluster_id: UUID,
    order: str = "distance",
    page: int = 1,
) -> Response:
    """One cluster: what it looks like, what it is like, what was done to it."""
    cluster = get_cluster(session, cluster_id)
    context = cluster_page_of(
        session,
        cluster,
        principal,
        is_simulated=is_of_simulated(session, cluster),
        order="time" if order == "time" else "distance",
        page=min(max(page, 1), 100_000),
    )
    return render(request, context, visitor)


@router.get("/clusters/{cluster_id}/plane.json", dependencies=[ForReaders])
def plane(session: SessionDep, cluster_id: UUID) -> Response:
    """Where the members lie, for the scatter that clusters are split in."""
    found = cluster_plane(session, cluster_id)
    return JSONResponse(
        {
            "shares": found.shares,
            "size": found.size,
            "ids": [str(one.glitch_id) for one in found.points],
            "x": [round(one.x, 5) for one in found.points],
            "y": [round(one.y, 5) for one in found.points],
            "distance": [round(one.distance, 4) for one in found.points],
            "snr": [one.snr for one in found.points],
            "peak_frequency": [one.peak_frequency for one in found.points],
            "gps_time": [one.gps_time for one in found.points],
        },
        headers={"Cache-Control": "private, no-store"},
    )


@router.post("/clusters/{cluster_id}/review", dependencies=[CsrfChecked])
def decide(
    *,
    request: Request,
    session: SessionDep,
    visitor: VisitorDep,
    principal: Reader,
    cluster_id: UUID,
    act: Annotated[str, Form(max_length=20)] = "",
    last_event_id: Annotated[int, Form(ge=0, le=2**62)] = 0,
    event_id: Annotated[int, Form(ge=0, le=2**62)] = 0,
    new_class: Annotated[str, Form(max_length=20_000)] = "",
    class_name: Annotated[str, Form(max_length=20_000)] = "",
    text: Annotated[str, Form(max_length=20_000)] = "",
    member: Annotated[list[UUID], Form(max_length=10_000)] = [],  # noqa: B006  (FastAPI copies)
    also: Annotated[str, Form(max_length=400_000)] = "",
) -> Response:
    """Do something to a cluster; what speaks against it is said in place, with the latest state."""
    cluster = get_cluster(session, cluster_id)
    chosen = tuple(dict.fromkeys((*member, *_ids_in(also))))
    actions: dict[str, Action] = {
        "promote": Promote(new_class.strip()),
        "merge": Merge(class_name.strip()),
        "dismiss": Dismiss(),
        "split": Split(chosen),
        "assign": Assign(class_name.strip(), chosen),
        "accept": Accept(chosen),
        "accept-all": Accept(),
        "comment": Comment(text),
        "undo": Undo(event_id),
        "redo": Redo(event_id),
    }
    if act not in actions:
        raise NotFoundError("There is no such act: go back to the cluster and choose another.")
    remark = "" if act in {"comment", "undo", "redo"} else text
    try:
        _refuse_none_chosen(act, chosen)
        outcome = review(
            session,
            cluster_id,
            actions[act],
            author=principal,
            last_event_id=last_event_id,
            remark=remark,
        )
    except (InvalidRequestError, ConflictError) as error:
        cluster = get_cluster(session, cluster_id)  # as whoever was quicker left it
        context = cluster_page_of(
            session,
            cluster,
            principal,
            is_simulated=is_of_simulated(session, cluster),
            error=str(error),
            typed_new=new_class,
            typed_known=class_name,
            typed_text=text[:4000],
            chosen=frozenset(map(str, chosen)),
        )
        status = 409 if isinstance(error, ConflictError) else 400
        return render(request, context, visitor, status=status)
    return see_other(f"/ui/clusters/{outcome.cluster_id}?done={_NOTICES[act]}")


def _ids_in(also: str) -> list[UUID]:
    """Members that were chosen by eye and are on no page of the gallery that was open."""
    try:
        return [UUID(part) for part in also.split()]
    except ValueError:
        raise InvalidRequestError(
            "The list of chosen members is damaged: choose them again."
        ) from None


def _refuse_none_chosen(act: str, chosen: tuple[UUID, ...]) -> None:
    if act in {"accept", "assign", "split"} and not chosen:
        raise InvalidRequestError("Choose members first, with the box on each or the key x.")


_NOTICES = {
    "promote": "named",
    "merge": "merged",
    "dismiss": "dismissed",
    "split": "split",
    "assign": "assigned",
    "accept": "accepted",
    "accept-all": "accepted",
    "comment": "commented",
    "undo": "undone",
    "redo": "redone",
}

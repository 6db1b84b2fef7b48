"""`/glitches`: the catalogue, one glitch, its neighbours, images and labels."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.core.access import Role, require_role
from app.core.errors import NotFoundError
from app.core.model import ListOf, Model
from app.glitches import schemas
from app.glitches.labels import append_label, list_labels, revoke_label
from app.glitches.neighbours import check_neighbours, find_neighbours
from app.glitches.records import GlitchFilters, Label
from app.glitches.selection import get_glitch
from app.glitches.service import find_embedding, get_embedding, get_view, list_glitches
from app.glitches.upload import parse_gps_time, parse_ifo
from app.server.request_scope import (
    BaseUrl,
    Reader,
    RuntimeDep,
    SessionDep,
    Submitter,
    principal_of,
)
from glitch.codec import unpack_view
from glitch.images import render_omega_scan, render_view

router = APIRouter(prefix="/glitches", tags=["glitches"])

_Text = Annotated[str, Field(pattern=r"^[^\x00]{1,100}$")]
_Number = Annotated[float, Field(allow_inf_nan=False)]


_NAMES = {  # of filters that have other names in services
    **{"ifo": "ifos", "label": "labels", "origin": "origins"},
    **{"subclasses": "with_subclasses", "cluster": "cluster_id", "batch": "batch_id"},
}


class Filters(Model):
    """Filters of glitches; an absent parameter passes every glitch."""

    ifo: list[_Text] = Field(default=[], description="Detector; may be repeated.")
    gps_start: _Text | None = Field(default=None, description="Earliest GPS time, in seconds.")
    gps_end: _Text | None = Field(default=None, description="Latest GPS time, in seconds.")
    snr_min: _Number | None = None
    snr_max: _Number | None = None
    peak_frequency_min: _Number | None = Field(default=None, description="Hz")
    peak_frequency_max: _Number | None = Field(default=None, description="Hz")
    label: list[_Text] = Field(default=[], description="Current class; may be repeated.")
    ml_confidence_min: _Number | None = Field(
        default=None, description="Minimum confidence of the current label, 0 to 1."
    )
    data_quality: list[_Text] = Field(
        default=[], description="A flag that was active; with several, all of them."
    )
    not_data_quality: list[_Text] = Field(
        default=[], description="A flag that was not active or not known; may be repeated."
    )
    subclasses: bool = Field(default=False, description="Include sub-classes of `label`.")
    cluster: UUID | None = Field(default=None, description="Members of this cluster.")
    batch: UUID | None = Field(
        default=None, description="Id of the job of a batch: glitches that it stored or recognised."
    )
    is_labelled: bool | None = None
    origin: list[_Text] = Field(default=[], description="May be repeated.")
    p_value_max: _Number | None = Field(
        default=None, description="Maximum p-value; lower is more novel."
    )
    is_judged: bool | None = Field(default=None, description="Whether novelty could be judged.")

    def parsed(self) -> GlitchFilters:
        """The filters in the form that services use."""
        values = {_NAMES.get(name, name): getattr(self, name) for name in Filters.model_fields}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        values["ifos"] = tuple(ifo for ifo in map(parse_ifo, self.ifo) if ifo)
        values |= {name: parse_gps_time(values[name]) for name in ("gps_start", "gps_end")}
        return GlitchFilters(**values)


class ListQuery(Filters):
    """A page of filtered glitches."""

    limit: int = Field(default=50, description="Glitches on a page, 1 to 1000.")
    cursor: Annotated[str, Field(pattern=r"^[^\x00]{1,500}$")] | None = Field(
        default=None, description="`next` of the preceding page."
    )


class NeighboursQuery(Filters):
    """Number of neighbours, and filters on them."""

    neighbours: int = Field(default=10, description="How many, 0 to 10,000.")


@router.get("", summary="List glitches, latest stored first")
def glitches(
    base: BaseUrl, session: SessionDep, _: Reader, query: Annotated[ListQuery, Query()]
) -> ListOf[schemas.Glitch]:
    """One page; pass `next` as `cursor` to get the page after it."""
    page = list_glitches(session, query.parsed(), limit=query.limit, cursor=query.cursor)
    return ListOf(items=[schemas.glitch_item(base, one) for one in page.items], next=page.next)


@router.get("/{glitch_id}", summary="One glitch with its embedding")
def glitch(base: BaseUrl, session: SessionDep, _: Reader, glitch_id: UUID) -> schemas.GlitchDetail:
    """Embedding and novelty are those under the active checkpoint; null if there are none."""
    record = get_glitch(session, glitch_id)
    embedding = find_embedding(session, glitch_id)
    return schemas.glitch_detail(base, record, embedding)


@router.get("/{glitch_id}/neighbours", summary="The nearest known glitches of a glitch")
def neighbours(
    base: BaseUrl,
    session: SessionDep,
    _: Reader,
    glitch_id: UUID,
    query: Annotated[NeighboursQuery, Query()],
) -> ListOf[schemas.Neighbour]:
    """Ascending Euclidean distance under the active checkpoint; the glitch itself is left out."""
    check_neighbours(query.neighbours)
    get_glitch(session, glitch_id)
    embedding = get_embedding(session, glitch_id)
    nearest = find_neighbours(
        session,
        vector=embedding.mean,
        checkpoint_id=embedding.checkpoint_id,
        k=query.neighbours,
        filters=query.parsed(),
        exclude_id=glitch_id,
    )
    return ListOf(items=[schemas.neighbour(base, neighbour) for neighbour in nearest])


@router.get(
    "/{glitch_id}/views/{duration}.png",
    summary="Image of one view",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
    openapi_extra={"security": [{"HTTPBearer": []}, {}]},  # a signed link needs no token
)
def view_picture(
    *,
    request: Request,
    runtime: RuntimeDep,
    session: SessionDep,
    glitch_id: UUID,
    duration: Annotated[float, Field(gt=0, le=60)],
    axes: Annotated[bool, Query(description="Gravity Spy's axes and colour bar.")] = False,
    expires: Annotated[int | None, Query(description="Of a signed link.")] = None,
    signature: Annotated[str | None, Query(description="Of a signed link.")] = None,
) -> Response:
    """PNG in Gravity Spy's colours. Needs the role reader, or a signed link from a search."""
    is_signed = (
        expires is not None
        and signature is not None
        and runtime.picture_links.is_good(str(glitch_id), duration, expires, signature)
    )
    if not is_signed:
        require_role(principal_of(request, session), Role.READER)
    stored = get_view(session, glitch_id, duration)
    view = unpack_view(stored.packed, stored.shape)
    picture = (
        render_omega_scan(view, stored.duration_s, observed=stored.observed)
        if axes
        else render_view(view, stored.observed)
    )
    return Response(
        picture, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"}
    )


@router.get("/{glitch_id}/labels", summary="All labels of a glitch")
def labels(session: SessionDep, _: Reader, glitch_id: UUID) -> ListOf[Label]:
    """Oldest first, revoked ones included."""
    get_glitch(session, glitch_id)
    return ListOf(items=list(list_labels(session, glitch_id)))


@router.post("/{glitch_id}/labels", summary="Label a glitch", status_code=201)
def new_label(
    session: SessionDep, principal: Submitter, glitch_id: UUID, body: schemas.NewLabel
) -> Label:
    """Adds a label, which becomes the current one. Labels are not changed, only revoked."""
    return append_label(session, glitch_id, body.label, author=principal)


@router.delete("/{glitch_id}/labels/{label_id}", summary="Revoke a label")
def revoked_label(
    session: SessionDep, principal: Submitter, glitch_id: UUID, label_id: UUID
) -> Label:
    """For its author or a reviewer. It stays in the history; the previous label counts again."""
    get_glitch(session, glitch_id)
    if all(one.id != label_id for one in list_labels(session, glitch_id)):
        raise NotFoundError(
            f"Glitch {glitch_id} has no label {label_id}: GET its labels to see which it has."
        )
    return revoke_label(session, label_id, principal=principal)

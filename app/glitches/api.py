"""`/glitches`, `/embed`, `/neighbours` and the similarity search of Gravity Spy's tools."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from pydantic import Field

from app.core.access import Role, require_role
from app.core.errors import NotFoundError
from app.core.model import ListOf, Model
from app.glitches import schemas
from app.glitches.embed import Embedded, UploadRequest, embed_upload
from app.glitches.labels import append_label, list_labels, revoke_label
from app.glitches.neighbours import check_neighbours, find_neighbours
from app.glitches.records import GlitchFilters, Label
from app.glitches.selection import get_glitch
from app.glitches.service import find_embedding, get_embedding, get_view, list_glitches
from app.glitches.similarity_search import parse_similarity_query, similarity_search
from app.glitches.upload import parse_gps_time, parse_ifo
from app.server.form_fields import EnergyMax, FrequencyRange
from app.server.request_scope import (
    MAY_BE_OPEN,
    BaseUrl,
    OpenOrReader,
    Reader,
    RuntimeDep,
    SessionDep,
    Submitter,
    Uploader,
    UploadRoute,
    base_url,
    principal_of,
)
from glitch.codec import unpack_view
from glitch.images import render_omega_scan, render_view

router = APIRouter(prefix="/glitches", tags=["glitches"])
upload_router = APIRouter(route_class=UploadRoute, tags=["uploads"])
similarity_router = APIRouter(tags=["gwpy"])

_Text = Annotated[str, Field(pattern=r"^[^\x00]{1,100}$")]
_Number = Annotated[float, Field(allow_inf_nan=False)]


_NAMES = {  # of filters that have other names in services
    **{"ifo": "ifos", "label": "labels", "origin": "origins"},
    "simulated_class": "simulated_classes",
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
    simulated_class: list[_Text] = Field(
        default=[], description="Predicted class among the simulated ones; may be repeated."
    )
    simulated_probability_min: _Number | None = Field(
        default=None, description="Minimum probability of the simulated class, 0 to 1."
    )

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


_FILE = (
    "Strain (HDF5, GWF, CSV, text, npy, npz), or one to four omega scans (PNG, JPG) of one "
    "glitch, or an array of views (npy, npz, HDF5)."
)


async def _sent(
    *,
    file: Annotated[list[UploadFile], File(description=_FILE)],
    gps_time: Annotated[
        str | None, Form(description="GPS seconds of the glitch, a decimal number.")
    ] = None,
    ifo: Annotated[str | None, Form(description="Detector, such as H1.")] = None,
    channel: Annotated[str | None, Form(description="Such as H1:GDS-CALIB_STRAIN.")] = None,
    sample_rate_hz: Annotated[
        float | None, Form(description="Sample rate in Hz, if the file does not state it.")
    ] = None,
    view_duration_s: Annotated[
        list[float] | None,
        Form(description="Window of each picture in seconds, in the order of the files."),
    ] = None,
    energy_max: EnergyMax = None,
    frequency_range: FrequencyRange = None,
    centre: Annotated[
        bool,
        Form(
            description="Strain: centre the views on the loudest tile within 0.25 s of the GPS "
            "time; false keeps that time in the middle."
        ),
    ] = True,
    neighbours: Annotated[int, Form(description="How many neighbours, 0 to 10,000.")] = 10,
) -> UploadRequest:
    return UploadRequest(
        files=[(one.filename, one.file) for one in file],
        gps_time=gps_time,
        ifo=ifo,
        channel=channel,
        sample_rate_hz=sample_rate_hz,
        view_durations_s=view_duration_s or [],
        energy_max=energy_max,
        frequency_range=frequency_range,
        is_centred=centre,
        neighbours=neighbours,
    )


_SentDep = Annotated[UploadRequest, Depends(_sent)]


@upload_router.post(
    "/embed",
    summary="Embed one glitch and find its neighbours",
    response_model=schemas.EmbedAnswer,
    status_code=201,
    responses={200: {"model": schemas.EmbedAnswer, "description": "Known already, or not stored"}},
)
def embed(
    *,
    request: Request,
    runtime: RuntimeDep,
    session: SessionDep,
    principal: Uploader,
    sent: _SentDep,
    store: Annotated[bool, Form(description="Whether to store the glitch.")] = True,
    label: Annotated[str | None, Form(description="Class to label the glitch with.")] = None,
) -> Response:
    """201 if the glitch is new; 200 if it was known already or is not stored.

    Storing needs the role submitter; `store=false` needs reader and returns null as `glitch.id`.
    """
    embedded = embed_upload(session, runtime, sent, principal=principal, store=store, label=label)
    return _embed_response(request, embedded, status=201 if embedded.is_new else 200)


@upload_router.post(
    "/neighbours",
    summary="Find the neighbours of an upload without storing it",
    response_model=schemas.EmbedAnswer,
)
def neighbours_of_upload(
    request: Request, runtime: RuntimeDep, session: SessionDep, principal: Uploader, sent: _SentDep
) -> Response:
    """The same response as `POST /embed`, with nothing stored. Needs the role reader."""
    embedded = embed_upload(session, runtime, sent, principal=principal, store=False)
    return _embed_response(request, embedded, status=200)


def _embed_response(request: Request, embedded: Embedded, *, status: int) -> Response:
    """Serialise the response in this thread; FastAPI would use another one."""
    answer = schemas.embed_answer(base_url(request), embedded)
    return Response(answer.model_dump_json(by_alias=True), status, media_type="application/json")


_ERA = "event_time BETWEEN 1126400000 AND 1584057618"
_NO_NUL = r"^[^\x00]{0,500}$"


@similarity_router.get(
    "/search/similarity_search_restful_API/",
    summary="Search as gwpy does",
    openapi_extra=MAY_BE_OPEN,
)
def search(
    *,
    base: BaseUrl,
    runtime: RuntimeDep,
    session: SessionDep,
    _: OpenOrReader,
    imageid: Annotated[
        str, Query(pattern=_NO_NUL, description="A Gravity Spy id, or an id of this service.")
    ],
    howmany: Annotated[str, Query(pattern=_NO_NUL, description="How many rows.")] = "10",
    era: Annotated[str, Query(pattern=_NO_NUL, description=f"Such as `{_ERA}`.")] = _ERA,
    ifo: Annotated[str, Query(pattern=_NO_NUL, description="Such as `'H1', 'L1'`.")] = "'H1', 'L1'",
    database: Annotated[
        str, Query(pattern=_NO_NUL, description="Accepted as gwpy sends it.")
    ] = "similarity_index_o3",
) -> dict[str, list[Any]]:
    """Lists of equal length by column name, nearest first. The picture addresses are signed, so
    that ``GravitySpyTable.download()`` works on the rows.

    Needs the role reader, unless GLITCH_PUBLIC_SEARCH opens it to this machine.
    """
    query = parse_similarity_query(
        howmany=howmany, imageid=imageid, era=era, ifo=ifo, database=database
    )
    for detector in query.filters.ifos:
        parse_ifo(detector)

    def view_url(glitch_id: str, duration_s: float) -> str:
        return base + runtime.picture_links.path(glitch_id, duration_s)

    return similarity_search(session, query, view_url=view_url)

"""`POST /embed` and `POST /neighbours`: an upload in, its vector and its kin out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile

from app.core.access import require_role
from app.core.errors import InvalidRequestError
from app.core.principals import Role
from app.glitches import render
from app.glitches import schemas as glitch_schemas
from app.glitches.embed import check_neighbours, embed_and_store, embed_only
from app.glitches.records import EncodingLike
from app.glitches.upload import ParsedUpload, parse_details, parse_upload, spooled
from app.models.inference import BatchingEncoder
from app.models.records import CheckpointRecord
from app.server import request_scope
from app.server.callers import RuntimeDep, SessionDep, Uploader, UploadRoute
from app.server.runtime import Runtime

router = APIRouter(route_class=UploadRoute, tags=["uploads"])

_FILE = (
    "Strain (HDF5, GWF, CSV, text, npy, npz), or one to four omega scans (PNG, JPG) of one "
    "glitch, or an array of views (npy, npz, HDF5)."
)


@dataclass(frozen=True)
class _Sent:
    """The multipart fields that both routes take."""

    files: list[UploadFile]
    gps_time: str | None
    ifo: str | None
    channel: str | None
    sample_rate_hz: float | None
    view_durations_s: list[float]
    neighbours: int


async def _sent(
    *,
    file: Annotated[list[UploadFile], File(description=_FILE)],
    gps_time: Annotated[
        str | None, Form(description="GPS seconds of the glitch, a decimal number.")
    ] = None,
    ifo: Annotated[str | None, Form(description="Detector, such as H1.")] = None,
    channel: Annotated[str | None, Form(description="Such as H1:GDS-CALIB_STRAIN.")] = None,
    sample_rate_hz: Annotated[
        float | None, Form(description="Samples a second, where the file does not say.")
    ] = None,
    view_duration_s: Annotated[
        list[float] | None,
        Form(description="Window of each picture in seconds, in the order of the files."),
    ] = None,
    neighbours: Annotated[int, Form(description="How many neighbours, 0 to 200.")] = 10,
) -> _Sent:
    return _Sent(
        files=file,
        gps_time=gps_time,
        ifo=ifo,
        channel=channel,
        sample_rate_hz=sample_rate_hz,
        view_durations_s=view_duration_s or [],
        neighbours=neighbours,
    )


_SentDep = Annotated[_Sent, Depends(_sent)]


@router.post(
    "/embed",
    summary="Embed one glitch and find its kin",
    status_code=201,
    responses={
        200: {"model": glitch_schemas.EmbedAnswer, "description": "Known already, or not stored"}
    },
)
def embed(
    *,
    request: Request,
    response: Response,
    runtime: RuntimeDep,
    session: SessionDep,
    principal: Uploader,
    sent: _SentDep,
    store: Annotated[bool, Form(description="Whether to keep the glitch.")] = True,
    label: Annotated[str | None, Form(description="A class to label it with.")] = None,
) -> glitch_schemas.EmbedAnswer:
    """201 where the glitch is new; 200 where it was known already, or nothing was stored.

    Storing needs the role submitter; `store=false` needs reader and answers null as `glitch.id`.
    """
    wanted = (label or "").strip() or None
    require_role(principal, Role.SUBMITTER if store else Role.READER)
    if wanted is not None:
        if not store:
            raise InvalidRequestError("A label needs store=true: leave out one of the two.")
        if "\x00" in wanted:
            raise InvalidRequestError("A label is the name of a class: GET /classes lists them.")
    upload, checkpoint, encoding = _encode(runtime, sent)
    if not store:
        embedded = embed_only(session, upload, encoding, checkpoint, k=sent.neighbours)
    else:
        embedded = embed_and_store(
            session,
            upload,
            encoding,
            checkpoint,
            principal=principal,
            k=sent.neighbours,
            label=wanted,
        )
    response.status_code = 201 if embedded.is_new else 200
    return render.embed_answer(request_scope.base_url(request), embedded)


@router.post("/neighbours", summary="Find the kin of an upload without storing it")
def neighbours_of_upload(
    request: Request,
    runtime: RuntimeDep,
    session: SessionDep,
    principal: Uploader,
    sent: _SentDep,
) -> glitch_schemas.EmbedAnswer:
    """The same answer as `POST /embed`, with nothing stored. Needs the role reader."""
    require_role(principal, Role.READER)
    upload, checkpoint, encoding = _encode(runtime, sent)
    embedded = embed_only(session, upload, encoding, checkpoint, k=sent.neighbours)
    return render.embed_answer(request_scope.base_url(request), embedded)


def _encode(runtime: Runtime, sent: _Sent) -> tuple[ParsedUpload, CheckpointRecord, EncodingLike]:
    """The slow part, before the request's own transaction takes a database connection."""
    check_neighbours(sent.neighbours)
    details = parse_details(
        gps_time=sent.gps_time,
        ifo=sent.ifo,
        channel=sent.channel,
        sample_rate_hz=sent.sample_rate_hz,
        view_durations_s=sent.view_durations_s,
    )
    checkpoint, encoder = runtime.active_encoder()
    with spooled([(file.filename, file.file) for file in sent.files]) as files:
        upload = parse_upload(
            files,
            details,
            preprocessing=encoder.preprocessing,
            strain_to_views=runtime.strain_to_views,
        )
    return upload, checkpoint, _encoded(encoder, upload)


def _encoded(encoder: BatchingEncoder, upload: ParsedUpload) -> EncodingLike:
    return encoder.encode(upload.views)

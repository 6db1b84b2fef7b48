"""`POST /embed` and `POST /neighbours`: the vector and the neighbours of an upload."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile

from app.glitches import schemas
from app.glitches.embed import Embedded, UploadRequest, embed_upload
from app.server.form_fields import EnergyMax, FrequencyRange
from app.server.request_scope import RuntimeDep, SessionDep, Uploader, UploadRoute, base_url

router = APIRouter(route_class=UploadRoute, tags=["uploads"])

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


@router.post(
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


@router.post(
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

"""Upload a glitch; the answer is its page, or the form again with what was wrong.

Without storing, which readers may do as well, the answer is a page that is kept nowhere.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, File, Request, Response, UploadFile
from sqlalchemy.orm import Session

from app.classes.naming import usable_class_names
from app.core.access import Principal, Role
from app.core.errors import (
    InvalidRequestError,
    PermissionDeniedError,
    ServiceError,
)
from app.frame.deps import CsrfChecked, LookPageRoute, Reader
from app.frame.failures import explain, see_other
from app.frame.render import render
from app.frame.typed import TimeError, check_typed, files_chosen, number_typed, parse_time
from app.frame.words import choices, choices_of, glitch_href
from app.glitches.assumed import START
from app.glitches.embed import UploadRequest, embed_upload
from app.glitches.pages.contexts import UploadPage, UploadTyped
from app.glitches.pages.look import NEIGHBOURS_SHOWN, look_page_of
from app.server.request_scope import RuntimeDep, SessionDep
from app.server.runtime import Runtime
from glitch.detectors import DETECTORS
from glitch.errors import GlitchError
from glitch.views import VIEW_DURATIONS_S

router = APIRouter(route_class=LookPageRoute)

# What the services call by the API's names of fields has these labels on the form.
LABELS = {
    "gps_time": "“GPS time”",
    "sample_rate_hz": "“Sample rate”",
    "view_duration_s": "“Window of a picture”",
    "energy_max": "“Top of the colour scale”",
    "frequency_range": "“Frequency axis”",
}
SUFFIXES = ".hdf5,.hdf,.h5,.gwf,.csv,.txt,.gz,.npy,.npz,.png,.jpg,.jpeg"


@router.get("/upload")
def upload_form(
    request: Request, session: SessionDep, runtime: RuntimeDep, principal: Reader
) -> Response:
    """The empty form."""
    typed = UploadTyped(store="yes" if principal.role >= Role.SUBMITTER else "")
    return render(request, _page(session, runtime, principal, typed))


@router.post("/upload", dependencies=[CsrfChecked])
def upload(
    *,
    request: Request,
    session: SessionDep,
    runtime: RuntimeDep,
    principal: Reader,
    file: Annotated[list[UploadFile | str], File()] = [],  # noqa: B006 - FastAPI copies it
    typed: Annotated[UploadTyped, Depends()],
) -> Response:
    """Embed what was sent, and store it if that is asked for."""
    try:
        embedded = embed_upload(
            session,
            runtime,
            _sent(file, typed),
            principal=principal,
            store=bool(typed.store),
            label=typed.label if typed.store else None,
        )
    except PermissionDeniedError:
        raise
    except (ServiceError, GlitchError, TimeError) as error:
        session.rollback()  # the form can still be drawn after the database refused something
        known = explain(error)
        field = None if known is None else known.field
        page = _page(session, runtime, principal, typed, error=_as_on_the_form(error, field))
        return render(request, page, status=known.status if known else 400)
    if embedded.glitch is None:
        look = look_page_of(embedded, can_store=principal.role >= Role.SUBMITTER)
        return render(request, look, has_own_pictures=True)
    stored = "stored"
    if assumed := embedded.upload.assumed:
        stored = "stored-centred" if START in assumed else "stored-assumed"
    done = stored if embedded.is_new else "known"
    return see_other(glitch_href(embedded.glitch.id), done=done)


def _as_on_the_form(error: Exception, field: str | None) -> str:
    """Its sentence with the form's own words for fields."""
    sentence = str(error)
    if field in LABELS:
        sentence = sentence.replace(field, LABELS[field])
    return sentence


def _sent(files: list[UploadFile | str], typed: UploadTyped) -> UploadRequest:
    check_typed(typed)
    chosen = files_chosen(files)
    if not chosen:
        raise InvalidRequestError("Choose a file first: strain, or up to four spectrograms.")
    window_s = number_typed(typed.view_duration_s, "The window")
    return UploadRequest(
        files=chosen,
        gps_time=format(parse_time(typed.gps_time), "f") if typed.gps_time.strip() else None,
        ifo=typed.ifo,
        channel=typed.channel,
        sample_rate_hz=number_typed(typed.sample_rate_hz, "The sample rate"),
        view_durations_s=() if window_s is None else (window_s,),
        centre=not typed.keep_time,
        neighbours=0 if typed.store else NEIGHBOURS_SHOWN,  # the glitch's page lists its own
        energy_max=number_typed(typed.energy_max, "The top of the colour scale"),
        frequency_range=typed.frequency_range,
    )


def _page(
    session: Session,
    runtime: Runtime,
    principal: Principal,
    typed: UploadTyped,
    *,
    error: str | None = None,
) -> UploadPage:
    return UploadPage(
        error=error,
        typed=typed,
        durations=choices(
            {"": "from the file name"}
            | {f"{length:g}": f"{length:g} s" for length in VIEW_DURATIONS_S},
            typed.view_duration_s,
        ),
        ifos=choices_of(DETECTORS, typed.ifo, "from the file"),
        class_names=usable_class_names(session),
        suffixes=SUFFIXES,
        limit=f"{runtime.settings.max_upload_mb:g} MB",
        limit_bytes=runtime.settings.max_upload_bytes,
        role=principal.role.label,
        can_upload=principal.role >= Role.SUBMITTER,
    )

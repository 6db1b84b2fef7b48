"""The upload page. The response is the page of the glitch, or the form with its errors.

Without storing, which readers may use too, the response is a page that is not kept.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, File, Response, UploadFile

from app.classes.naming import usable_class_names
from app.core.access import Role
from app.core.errors import InvalidRequestError, PermissionDeniedError, ServiceError
from app.frame.contexts import Card, Novelty, PageContext
from app.frame.deps import AnyText, ReaderUploadRoute, ReaderVisit, ShortText, Visit
from app.frame.display import glitch_href, neighbour_card, novelty
from app.frame.failures import explain, see_other
from app.frame.figures import LatentChart, ViewPanel, latent_chart, view_panels
from app.frame.form_values import check_form, chosen_files, parse_number, parse_time
from app.frame.render import render
from app.glitches.assumed import START, assumption
from app.glitches.embed import Embedded, UploadRequest, embed_upload
from app.glitches.facts import GlitchFacts
from glitch.errors import GlitchError
from glitch.images import render_view
from glitch.taxonomy import SimulatedClass
from glitch.views import Views

NEIGHBOURS_SHOWN = 20


class UploadResultPage(PageContext, template="look.html", section="upload"):
    """Views, novelty and neighbours of an upload that is not stored."""

    known: GlitchFacts
    panels: tuple[ViewPanel, ...]
    assumption: str | None  # about the scales of pictures or the start of strain
    novelty: Novelty
    simulated_class: SimulatedClass | None
    neighbours: tuple[Card, ...]
    latent: LatentChart
    checkpoint: str
    known_href: str | None  # of a stored glitch with the same views


def result_page_of(embedded: Embedded) -> UploadResultPage:
    """Make the page, with embedded pictures, because nothing is stored that it could link to."""
    upload = embedded.upload
    cards = tuple(neighbour_card(one) for one in embedded.neighbours)
    nearest = embedded.neighbours[0] if embedded.neighbours else None
    return UploadResultPage(
        known=upload,
        panels=view_panels(
            upload.views.preprocessing,
            dict(_pictures(upload.views)),
            name="Spectrogram of the upload",
        ),
        assumption=assumption(upload.assumed),
        novelty=novelty(embedded.novelty),
        simulated_class=embedded.encoding.simulated_class,
        neighbours=cards,
        latent=latent_chart(embedded.encoding.mean, embedded.encoding.log_variance),
        checkpoint=embedded.checkpoint,
        known_href=cards[0].href if nearest and nearest.distance == 0 else None,
    )


def _pictures(views: Views) -> Iterator[tuple[float, tuple[str, np.ndarray]]]:
    for duration_s in views.durations_s:
        observed = views.observed[views.preprocessing.view_index(duration_s)]
        png = render_view(views.view(duration_s), observed)
        yield duration_s, (f"data:image/png;base64,{base64.b64encode(png).decode()}", observed)


@dataclass(frozen=True)
class UploadForm:
    """The fields of the form of an upload, as typed."""

    gps_time: AnyText = ""
    ifo: AnyText = ""
    channel: AnyText = ""
    sample_rate_hz: AnyText = ""
    view_duration_s: AnyText = ""
    energy_max: AnyText = ""
    frequency_range: AnyText = ""
    label: AnyText = ""
    keep_time: ShortText = ""  # if set, centre the views on it
    store: ShortText = ""  # if set, store the glitch


class UploadPage(PageContext, template="upload.html", section="upload"):
    """The upload form with the input and its error."""

    error: str | None
    typed: UploadForm
    class_names: tuple[str, ...]
    limit: str
    limit_bytes: int


router = APIRouter(route_class=ReaderUploadRoute)

# Labels on the form for the API's field names in error messages.
LABELS = {
    "gps_time": "“GPS time”",
    "sample_rate_hz": "“Sample rate”",
    "view_duration_s": "“Window of a picture”",
    "energy_max": "“Top of the colour scale”",
    "frequency_range": "“Frequency axis”",
}


@router.get("/upload")
def upload_form(visit: ReaderVisit) -> Response:
    """The empty form."""
    typed = UploadForm(store="yes" if visit.principal.role >= Role.SUBMITTER else "")
    return visit.show(_page(visit, typed))


@router.post("/upload")
def upload(
    *,
    visit: ReaderVisit,
    file: Annotated[list[UploadFile | str], File()] = [],  # noqa: B006 - FastAPI copies it
    typed: Annotated[UploadForm, Depends()],
) -> Response:
    """Embed an upload, and store it if requested."""
    try:
        embedded = embed_upload(
            visit.session,
            visit.runtime,
            _sent(file, typed),
            principal=visit.principal,
            store=bool(typed.store),
            label=typed.label if typed.store else None,
        )
    except PermissionDeniedError:
        raise
    except (ServiceError, GlitchError) as error:
        visit.session.rollback()  # so that the form can be drawn after a database error
        explanation = explain(error)
        field, sentence = explanation.field if explanation else None, str(error)
        if field in LABELS:
            sentence = sentence.replace(field, LABELS[field])
        page = _page(visit, typed, error=sentence)
        return visit.show(page, status=explanation.status if explanation else 400)
    if embedded.glitch is None:
        return render(visit.request, result_page_of(embedded), has_own_pictures=True)
    stored = "stored"
    if assumed := embedded.upload.assumed:
        stored = "stored-centred" if START in assumed else "stored-assumed"
    outcome = stored if embedded.is_new else "known"
    return see_other(glitch_href(embedded.glitch.id), done=outcome)


def _sent(files: list[UploadFile | str], typed: UploadForm) -> UploadRequest:
    check_form(typed)
    chosen = chosen_files(files)
    if not chosen:
        raise InvalidRequestError("Choose a file first: strain, or up to four spectrograms.")
    window_s = parse_number(typed.view_duration_s, "The window")
    return UploadRequest(
        files=chosen,
        gps_time=format(parse_time(typed.gps_time), "f") if typed.gps_time.strip() else None,
        ifo=typed.ifo,
        channel=typed.channel,
        sample_rate_hz=parse_number(typed.sample_rate_hz, "The sample rate"),
        view_durations_s=() if window_s is None else (window_s,),
        is_centred=not typed.keep_time,
        neighbours=0 if typed.store else NEIGHBOURS_SHOWN,  # the glitch's page lists them
        energy_max=parse_number(typed.energy_max, "The top of the colour scale"),
        frequency_range=typed.frequency_range,
    )


def _page(visit: Visit, typed: UploadForm, *, error: str | None = None) -> UploadPage:
    settings = visit.runtime.settings
    return UploadPage(
        error=error,
        typed=typed,
        class_names=usable_class_names(visit.session),
        limit=f"{settings.max_upload_mb:g} MB",
        limit_bytes=settings.max_upload_bytes,
    )

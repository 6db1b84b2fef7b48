"""The upload page of a batch. The response is the page of its job, or the form with its errors."""

from dataclasses import dataclass, replace
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, File, Request, Response, UploadFile

from app.batches.options import MERGE_WINDOW_S, keep_batch, stated_options
from app.batches.quality import FILTER, MARK
from app.batches.storage import MAX_LOOSE_FILES, packed
from app.core.errors import PermissionDeniedError, ServiceError
from app.frame.contexts import PageContext
from app.frame.deps import AnyText, ForReaders, SubmitterVisit, UploadPageRoute, Visit
from app.frame.failures import see_other
from app.frame.form_values import check_form, chosen_files, parse_number
from app.frame.render import render
from app.jobs.pages.view import job_href
from app.jobs.records import JobRecord
from app.server.request_scope import RuntimeDep
from app.server.runtime import Runtime
from glitch.errors import GlitchError


@dataclass(frozen=True)
class BatchForm:
    """The fields of the form of a batch, as typed."""

    ifo: AnyText = ""
    channel: AnyText = ""
    sample_rate_hz: AnyText = ""
    merge_window_s: AnyText = f"{MERGE_WINDOW_S:g}"
    origin: AnyText = ""
    segments: AnyText = FILTER
    flags: AnyText = ""
    energy_max: AnyText = ""
    frequency_range: AnyText = ""
    folder_labels: AnyText = ""  # if set, folders' names are labels
    keep_time: AnyText = ""  # if set, centre the views on the triggers' times


class BatchPage(PageContext, template="batch.html", section="upload"):
    """The form of a batch with the input and its error."""

    error: str | None
    segments: dict[str, str]  # choices for triggers that flags exclude
    has_segment_server: bool  # whether flags can be named
    typed: BatchForm
    has_options: bool  # whether any option was changed, so they are shown
    max_files: int
    limit: str
    limit_bytes: int


router = APIRouter(route_class=UploadPageRoute)

_SEGMENTS = {FILTER: "passed over", MARK: "stored and marked"}


@router.get("/batch", dependencies=[ForReaders])
def batch_form(request: Request, runtime: RuntimeDep) -> Response:
    """The empty form."""
    return render(request, _page(runtime, BatchForm()))


@router.post("/batch")
def send_batch(
    *,
    visit: SubmitterVisit,
    file: Annotated[list[UploadFile | str], File()] = [],  # noqa: B006 - FastAPI copies it
    manifest: Annotated[UploadFile | str, File()] = "",
    typed: Annotated[BatchForm, Depends()],
) -> Response:
    """Store the files and start the job that ingests them."""
    try:
        with visit.session.begin_nested():
            job = _submit(visit, (file, manifest), typed)
    except PermissionDeniedError:
        raise
    except (ServiceError, GlitchError) as error:
        page = _page(visit.runtime, typed, error=str(error))
        return visit.refuse(page, error)
    return see_other(job_href(job), done="batch")


def _submit(
    visit: Visit, sent: tuple[list[UploadFile | str], UploadFile | str], typed: BatchForm
) -> JobRecord:
    check_form(typed)
    merge_window_s = parse_number(typed.merge_window_s, "The merging window")
    options = stated_options(
        "",
        ifo=typed.ifo,
        channel=typed.channel,
        origin=typed.origin,
        segments=typed.segments or FILTER,
        flags=typed.flags,
        segment_server=visit.runtime.settings.segment_server,
        merge_window_s=MERGE_WINDOW_S if merge_window_s is None else merge_window_s,
        sample_rate_hz=parse_number(typed.sample_rate_hz, "The sample rate"),
        energy_max=parse_number(typed.energy_max, "The top of the colour scale"),
        frequency_range=typed.frequency_range,
        labels_from_folders=bool(typed.folder_labels),
        centre=not typed.keep_time,
    )
    files, manifests = chosen_files(sent[0]), chosen_files([sent[1]])
    if not manifests:
        files, manifests = _without_manifest(files)
    rows = manifests[0][1] if manifests else None
    data_dir = visit.runtime.settings.data_dir
    with packed(files) as (name, stream):
        options = replace(options, name=name)
        author = visit.principal
        return keep_batch(visit.session, data_dir, options, stream, rows, author=author).job


_Files = list[tuple[str, BinaryIO]]


def _without_manifest(files: _Files) -> tuple[_Files, _Files]:
    """Separate the manifest if the files are one archive and one CSV."""
    tables = [one for one in files if one[0].lower().endswith(".csv")]
    others = [one for one in files if one not in tables]
    is_manifest = len(tables) == len(others) == 1 and others[0][0].lower().endswith(_ARCHIVES)
    return (others, tables) if is_manifest else (files, [])


_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


def _page(runtime: Runtime, typed: BatchForm, *, error: str | None = None) -> BatchPage:
    megabytes = runtime.settings.max_batch_mb
    return BatchPage(
        error=error,
        segments=_SEGMENTS,
        has_segment_server=runtime.settings.segment_server is not None,
        typed=typed,
        has_options=typed != BatchForm(),
        max_files=MAX_LOOSE_FILES,
        limit=f"{megabytes / 1000:g} GB" if megabytes >= 1000 else f"{megabytes:g} MB",
        limit_bytes=runtime.settings.max_batch_bytes,
    )

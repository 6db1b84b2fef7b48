"""`POST /batches`: thousands of glitches in one upload, processed by a job."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, UploadFile
from pydantic import Field

from app.batches.options import MERGE_WINDOW_S, keep_batch, stated_options
from app.batches.quality import FILTER
from app.core.model import Model
from app.glitches.upload import clean_name
from app.server.form_fields import EnergyMax, FrequencyRange
from app.server.request_scope import BaseUrl, BatchRoute, RuntimeDep, SessionDep, Uploader

router = APIRouter(route_class=BatchRoute, tags=["uploads"])


class BatchLinks(Model):
    """Addresses of the job."""

    job: str
    items: str = Field(description="Result for each glitch of the batch.")
    events: str = Field(description="Progress as server-sent events.")


class Batch(Model):
    """A batch that was accepted; its job does the work."""

    job: UUID
    state: str = Field(description="State of the job: queued, or running if it was sent before.")
    upload: str = Field(description="SHA-256 under which the file is kept.")
    n_bytes: int
    is_known_upload: bool = Field(description="Whether the same file was stored already.")
    links: BatchLinks


@dataclass(frozen=True)
class BatchFields:
    """Options of a batch."""

    merge_window_s: Annotated[
        float, Form(description="Triggers at most this far apart are one glitch, in seconds.")
    ] = MERGE_WINDOW_S
    ifo: Annotated[str | None, Form(description="Detector of files that do not state one.")] = None
    channel: Annotated[str | None, Form(description="Channel of the strain files.")] = None
    sample_rate_hz: Annotated[
        float | None, Form(description="Sample rate of strain files that do not state it, in Hz.")
    ] = None
    centre: Annotated[
        bool,
        Form(
            description="Triggers: centre the views on the loudest tile within 0.25 s of a "
            "trigger's time; false keeps that time in the middle."
        ),
    ] = True
    origin: Annotated[
        str | None, Form(description="upload, simulated, gravityspy or omicron; default: inferred.")
    ] = None
    segments: Annotated[
        str,
        Form(
            description="filter: skip triggers that data-quality flags exclude; mark: store them. "
            "In both cases glitches are stored with their active flags."
        ),
    ] = FILTER
    flags: Annotated[
        str | None,
        Form(
            description="Flags of the segment database, separated by commas, such as "
            "H1:DMT-ANALYSIS_READY:1."
        ),
    ] = None
    labels_from_folders: Annotated[
        bool,
        Form(
            description="Pictures and arrays of views: the name of the folder that holds a file "
            "in the archive is its label, as in Gravity Spy's training set."
        ),
    ] = False
    energy_max: EnergyMax = None
    frequency_range: FrequencyRange = None


@router.post("/batches", summary="Ingest many glitches", status_code=202)
def new_batch(
    *,
    base: BaseUrl,
    runtime: RuntimeDep,
    session: SessionDep,
    principal: Uploader,
    file: Annotated[
        UploadFile,
        File(
            description="A tar or zip of spectrograms, of arrays of views, or of trigger tables "
            "and strain; an HDF5 or npz of many glitches' views; or a trigger table alone."
        ),
    ],
    manifest: Annotated[
        UploadFile | None,
        File(description="CSV that describes the pictures: path or gravityspy_id, label, ifo, …"),
    ] = None,
    fields: Annotated[BatchFields, Depends()],
) -> Batch:
    """202 with the job that reads, encodes and stores the glitches. Needs the role submitter.

    Sending a batch again is cheap: the file is stored once, and known glitches are skipped.
    """
    server = runtime.settings.segment_server
    options = stated_options(clean_name(file.filename), segment_server=server, **vars(fields))
    rows = None if manifest is None else manifest.file
    sent = keep_batch(
        session, runtime.settings.data_dir, options, file.file, rows, author=principal
    )
    href = f"{base}/jobs/{sent.job.id}"
    return Batch(
        job=sent.job.id,
        state=sent.job.state,
        upload=sent.digest,
        n_bytes=sent.n_bytes,
        is_known_upload=sent.is_known,
        links=BatchLinks(job=href, items=f"{href}/items", events=f"{href}/events"),
    )

"""Downloads from the page of a glitch: pictures, its record, and HDF5."""

import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import h5py
import numpy as np
from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from app.core.database import as_uuid
from app.frame.deps import ForReaders, PageRoute
from app.frame.display import moment
from app.glitches import schemas
from app.glitches.labels import list_labels
from app.glitches.pages.glitch import find_or_refuse
from app.glitches.records import EmbeddingRecord, GlitchRecord, Label
from app.glitches.service import find_embedding, get_view, list_views
from app.server.request_scope import SessionDep
from glitch.codec import unpack_view
from glitch.images import render_omega_scan, render_view
from glitch.views import Preprocessing

router = APIRouter(route_class=PageRoute)

CARD_SIZE = (285, 233)
_PICTURE_CACHING = "private, max-age=86400"


@router.get("/glitches/{public_id}/views/{duration_s}.png", dependencies=[ForReaders])
def picture(session: SessionDep, public_id: str, duration_s: float) -> Response:
    """One view without axes; rows that were not observed are grey."""
    return _drawn(session, public_id, duration_s)


@router.get("/glitches/{public_id}/cards/{duration_s}.png", dependencies=[ForReaders])
def small_picture(session: SessionDep, public_id: str, duration_s: float) -> Response:
    """One view without axes, in the size of a card."""
    return _drawn(session, public_id, duration_s, size=CARD_SIZE)


@router.get("/glitches/{public_id}/scans/{duration_s}.png", dependencies=[ForReaders])
def scan(session: SessionDep, public_id: str, duration_s: float) -> Response:
    """One view as a download, with Gravity Spy's axes and colour bar."""
    glitch = find_or_refuse(session, public_id)
    stored = get_view(session, glitch.id, duration_s)
    view = unpack_view(stored.packed, stored.shape)
    name = f"{glitch.ifo or 'X0'}_{glitch.public_id}_spectrogram_{stored.duration_s:.1f}.png"
    return _png(render_omega_scan(view, stored.duration_s, observed=stored.observed), name)


@router.get("/glitches/{public_id}/record.json", dependencies=[ForReaders])
def record(session: SessionDep, public_id: str) -> Response:
    """All information on the page except pictures, as a JSON file."""
    glitch = find_or_refuse(session, public_id)
    embedding = find_embedding(session, glitch.id)
    labels = list_labels(session, glitch.id)
    content = json.dumps(_record(glitch, embedding, labels), indent=2, default=datetime.isoformat)
    headers = {"Content-Disposition": f'attachment; filename="glitch-{glitch.id}.json"'}
    return Response(content + "\n", media_type="application/json", headers=headers)


@router.get("/glitches/{public_id}/glitch.h5", dependencies=[ForReaders])
def hdf5(session: SessionDep, public_id: str) -> Response:
    """Views and properties of the glitch, as a file that the service can read again."""
    glitch = find_or_refuse(session, public_id)
    headers = {"Content-Disposition": f'attachment; filename="glitch-{glitch.id}.h5"'}
    content = glitch_hdf5(session, glitch)
    return Response(content, media_type="application/x-hdf5", headers=headers)


def _png(content: bytes, file_name: str | None = None) -> Response:
    headers = {"Cache-Control": _PICTURE_CACHING}
    if file_name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return Response(content, media_type="image/png", headers=headers)


def _drawn(session: Session, public_id: str, duration_s: float, **size: Any) -> Response:
    glitch_id = as_uuid(public_id) or find_or_refuse(session, public_id).id
    stored = get_view(session, glitch_id, duration_s)
    return _png(render_view(unpack_view(stored.packed, stored.shape), stored.observed, **size))


def _record(
    glitch: GlitchRecord, embedding: EmbeddingRecord | None, labels: Sequence[Label]
) -> dict[str, Any]:
    when = moment(glitch.gps_time)
    content: dict[str, Any] = {
        "id": str(glitch.id),
        **glitch.plain(),
        "centring": glitch.centring,
        "utc_time": when.iso if when else None,
        "origin": glitch.origin,
        "label": glitch.label,
        "labels": [
            {"class_name": one.label}
            | one.model_dump(exclude={"id", "glitch_id", "label", "confidence"})
            for one in labels
        ],
        "views": list(glitch.views),
        "embedding": None,
        "novelty": None,
    }
    if embedding is not None:
        public = schemas.embedding_of(embedding.checkpoint, embedding)
        content["embedding"] = public.model_dump()
        novelty = schemas.Novelty.model_validate(embedding.novelty)
        content["novelty"] = novelty.model_dump(exclude={"basis"})
    return content


def glitch_hdf5(session: Session, glitch: GlitchRecord) -> bytes:
    """Content of the HDF5 file of a glitch.

    ``views``, ``durations_s``, ``frequency_hz``, ``time_s`` and ``observed`` are described in
    docs/science/images.md. The attributes of the root are the properties of the glitch, and the
    group ``embedding`` is its embedding under the active checkpoint, if any.
    """
    views = list_views(session, glitch.id)
    recipe = Preprocessing()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["views"] = np.stack([unpack_view(one.packed, one.shape) for one in views])
        file["views"].attrs["unit"] = f"normalised energy / {recipe.energy_clip:g}"
        file["observed"] = np.stack([one.observed for one in views])
        file["durations_s"] = np.array([one.duration_s for one in views])
        file["frequency_hz"] = recipe.frequencies_hz()
        file["time_s"] = np.stack([recipe.times_s(one.duration_s) for one in views])
        identity = {"id": str(glitch.id), "origin": glitch.origin, "label": glitch.label}
        for name, value in (identity | glitch.plain()).items():
            if value is not None:
                file.attrs[name] = value
        embedding = find_embedding(session, glitch.id)
        if embedding is not None:
            group = file.create_group("embedding")
            group["mean"], group["log_variance"] = embedding.mean, embedding.log_variance
            group.attrs["checkpoint"] = embedding.checkpoint
            group.attrs["reconstruction_error"] = embedding.reconstruction_error
            if embedding.novelty.p_value is not None:
                group.attrs["p_value"] = embedding.novelty.p_value
    return buffer.getvalue()

"""What a glitch's page shows and gives as files: pictures and its record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from app.frame.deps import ForReaders, PageRoute
from app.frame.words import moment
from app.glitches.labels import list_labels
from app.glitches.pages.view import find_or_refuse
from app.glitches.records import EmbeddingRecord, GlitchRecord, Label, ViewRecord
from app.glitches.service import find_embedding, get_view
from app.server.request_scope import SessionDep
from glitch.codec import unpack_view
from glitch.images import render_omega_scan, render_view

router = APIRouter(route_class=PageRoute)

CARD_SIZE = (285, 233)
_PICTURE_CACHING = "private, max-age=86400"


@router.get("/glitches/{public_id}/views/{duration_s}.png", dependencies=[ForReaders])
def picture(session: SessionDep, public_id: str, duration_s: float) -> Response:
    """One view without axes; rows that were not measured are grey."""
    stored = _stored_view(session, public_id, duration_s)
    return _png(render_view(unpack_view(stored.packed, stored.shape), stored.observed))


@router.get("/glitches/{public_id}/cards/{duration_s}.png", dependencies=[ForReaders])
def small_picture(session: SessionDep, public_id: str, duration_s: float) -> Response:
    """One view without axes, in the size of a card."""
    stored = _stored_view(session, public_id, duration_s)
    view = unpack_view(stored.packed, stored.shape)
    return _png(render_view(view, stored.observed, size=CARD_SIZE))


@router.get("/glitches/{public_id}/scans/{duration_s}.png", dependencies=[ForReaders])
def scan(session: SessionDep, public_id: str, duration_s: float) -> Response:
    """One view as a file to keep, with Gravity Spy's axes and colour bar."""
    glitch = find_or_refuse(session, public_id)
    stored = get_view(session, glitch.id, duration_s)
    view = unpack_view(stored.packed, stored.shape)
    name = f"{glitch.ifo or 'X0'}_{glitch.public_id}_spectrogram_{stored.duration_s:.1f}.png"
    return _png(render_omega_scan(view, stored.duration_s, observed=stored.observed), name)


@router.get("/glitches/{public_id}/record.json", dependencies=[ForReaders])
def record(session: SessionDep, public_id: str) -> Response:
    """Everything on the page but the pictures, as a file."""
    glitch = find_or_refuse(session, public_id)
    embedding = find_embedding(session, glitch.id)
    content = json.dumps(_record(glitch, embedding, list_labels(session, glitch.id)), indent=2)
    headers = {"Content-Disposition": f'attachment; filename="glitch-{glitch.id}.json"'}
    return Response(content + "\n", media_type="application/json", headers=headers)


def _png(content: bytes, file_name: str | None = None) -> Response:
    headers = {"Cache-Control": _PICTURE_CACHING}
    if file_name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return Response(content, media_type="image/png", headers=headers)


def _stored_view(session: Session, public_id: str, duration_s: float) -> ViewRecord:
    try:
        glitch_id = UUID(public_id)
    except ValueError:
        glitch_id = find_or_refuse(session, public_id).id
    return get_view(session, glitch_id, duration_s)


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
            {
                "class_name": label.label,
                "author": label.author,
                "source": label.source,
                "created_at": label.created_at.isoformat(),
                "revoked_at": label.revoked_at.isoformat() if label.revoked_at else None,
                "revoked_by": label.revoked_by,
            }
            for label in labels
        ],
        "views": list(glitch.views),
        "embedding": None,
        "novelty": None,
    }
    if embedding is not None:
        judgement = embedding.novelty
        content["embedding"] = {
            "checkpoint": embedding.checkpoint,
            "mean": np.asarray(embedding.mean, dtype=np.float64).tolist(),
            "log_variance": np.asarray(embedding.log_variance, dtype=np.float64).tolist(),
            "reconstruction_error": embedding.reconstruction_error,
        }
        content["novelty"] = {
            "score": judgement.score,
            "p_value": judgement.p_value,
            "is_judged": judgement.is_judged,
            "reason": judgement.reason,
        }
    return content

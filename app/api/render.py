"""From records of the services to the JSON of the API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from fastapi import Request

from app.api import schemas
from app.api.deps import runtime_of
from app.services.embed import Embedded
from app.services.records import (
    CheckpointRecord,
    ClassRecord,
    EmbeddingRecord,
    EncodingLike,
    GlitchRecord,
    LabelRecord,
    Neighbour,
)
from app.services.upload import ParsedUpload
from glitch.novelty import Judgement


def base_url(request: Request) -> str:
    """The address that this client sees the service at, without a slash at the end."""
    return runtime_of(request).settings.public_url or str(request.base_url).rstrip("/")


def decimal_string(value: Decimal | None) -> str | None:
    """Plain digits, no exponent, no trailing zeros: ``1126259462.4``."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def links(base: str, glitch_id: UUID, durations_s: tuple[float, ...]) -> schemas.Links:
    """The addresses of a stored glitch."""
    own = f"{base}/glitches/{glitch_id}"
    return schemas.Links(
        self=own,
        page=f"{base}/ui/glitches/{glitch_id}",
        neighbours=f"{own}/neighbours",
        labels=f"{own}/labels",
        views={f"{length:.1f}": f"{own}/views/{length:.1f}.png" for length in durations_s},
    )


def _summary(base: str, glitch: GlitchRecord) -> dict[str, Any]:
    return {
        "id": glitch.id,
        "gravityspy_id": glitch.gravityspy_id,
        "ifo": glitch.ifo,
        "gps_time": decimal_string(glitch.gps_time),
        "snr": glitch.snr,
        "peak_frequency": glitch.peak_frequency,
        "duration": glitch.duration,
        "label": glitch.label,
        "views": list(glitch.views),
        "origin": glitch.origin,
        "links": links(base, glitch.id, glitch.views),
    }


def _unstored(upload: ParsedUpload) -> schemas.GlitchSummary:
    return schemas.GlitchSummary(
        id=None,
        gravityspy_id=upload.gravityspy_id,
        ifo=upload.ifo,
        gps_time=decimal_string(upload.gps_time),
        snr=upload.snr,
        peak_frequency=upload.peak_frequency,
        duration=upload.duration,
        label=None,
        views=list(upload.views.durations_s),
        origin="upload",
        links=schemas.Links(),
    )


def _more(glitch: GlitchRecord) -> dict[str, Any]:
    return {
        "channel": glitch.channel,
        "bandwidth": glitch.bandwidth,
        "q": glitch.q,
        "created_at": glitch.created_at,
    }


def glitch_item(base: str, glitch: GlitchRecord) -> schemas.Glitch:
    """A glitch in a list."""
    return schemas.Glitch(**_summary(base, glitch), **_more(glitch))


def glitch_detail(
    base: str, glitch: GlitchRecord, embedding: EmbeddingRecord | None
) -> schemas.GlitchDetail:
    """A glitch by itself."""
    return schemas.GlitchDetail(
        **_summary(base, glitch),
        **_more(glitch),
        embedding=embedding and _embedding(embedding.checkpoint, embedding),
        novelty=embedding and novelty(embedding.novelty),
    )


def _embedding(checkpoint: str, encoding: EncodingLike) -> schemas.Embedding:
    return schemas.Embedding(
        checkpoint=checkpoint,
        mean=np.asarray(encoding.mean, dtype=np.float64).tolist(),
        log_variance=np.asarray(encoding.log_variance, dtype=np.float64).tolist(),
        reconstruction_error=float(encoding.reconstruction_error),
    )


def novelty(judgement: Judgement) -> schemas.Novelty:
    """How novel a glitch is."""
    return schemas.Novelty(
        score=judgement.score,
        p_value=judgement.p_value,
        is_judged=judgement.is_judged,
        reason=judgement.reason,
        basis=judgement.basis,
    )


def neighbour(base: str, found: Neighbour) -> schemas.Neighbour:
    """One of the nearest glitches."""
    glitch = found.glitch
    return schemas.Neighbour(
        id=glitch.id,
        gravityspy_id=glitch.gravityspy_id,
        ifo=glitch.ifo,
        gps_time=decimal_string(glitch.gps_time),
        label=glitch.label,
        origin=glitch.origin,
        distance=found.distance,
        links=links(base, glitch.id, glitch.views),
    )


def embed_answer(base: str, embedded: Embedded) -> schemas.EmbedAnswer:
    """The whole answer to an upload."""
    return schemas.EmbedAnswer(
        glitch=(
            _unstored(embedded.upload)
            if embedded.glitch is None
            else schemas.GlitchSummary(**_summary(base, embedded.glitch))
        ),
        embedding=_embedding(embedded.checkpoint, embedded.encoding),
        novelty=novelty(embedded.novelty),
        neighbours=[neighbour(base, found) for found in embedded.neighbours],
    )


def label(record: LabelRecord) -> schemas.Label:
    """One label, revoked or not."""
    return schemas.Label(
        id=record.id,
        glitch_id=record.glitch_id,
        label=record.class_name,
        author=record.author,
        source=record.source,
        created_at=record.created_at,
        revoked_at=record.revoked_at,
        revoked_by=record.revoked_by,
    )


def glitch_class(record: ClassRecord) -> schemas.GlitchClass:
    """One class."""
    return schemas.GlitchClass(
        id=record.id,
        name=record.name,
        description=record.description,
        state=record.state,
        origin=record.origin,
        parent=record.parent,
        created_at=record.created_at,
    )


def checkpoint(record: CheckpointRecord) -> schemas.Checkpoint:
    """One published model."""
    return schemas.Checkpoint(
        name=record.name,
        digest=record.digest,
        preprocessing_digest=record.preprocessing_digest,
        latent_size=record.latent_size,
        is_active=record.is_active,
        created_at=record.created_at,
        manifest=dict(record.manifest),
    )

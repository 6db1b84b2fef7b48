"""From records of the services to the JSON of the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from app.core.schemas import decimal_string
from app.glitches import schemas as glitch_schemas
from app.glitches.embed import Embedded
from app.glitches.records import EmbeddingRecord, EncodingLike, GlitchRecord, LabelRecord, Neighbour
from app.glitches.upload import ParsedUpload
from glitch.novelty import Judgement


def links(base: str, glitch_id: UUID, durations_s: tuple[float, ...]) -> glitch_schemas.Links:
    """The addresses of a stored glitch."""
    own = f"{base}/glitches/{glitch_id}"
    return glitch_schemas.Links(
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


def _unstored(upload: ParsedUpload) -> glitch_schemas.GlitchSummary:
    return glitch_schemas.GlitchSummary(
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
        links=glitch_schemas.Links(),
    )


def _more(glitch: GlitchRecord) -> dict[str, Any]:
    return {
        "channel": glitch.channel,
        "bandwidth": glitch.bandwidth,
        "q": glitch.q,
        "created_at": glitch.created_at,
    }


def glitch_item(base: str, glitch: GlitchRecord) -> glitch_schemas.Glitch:
    """A glitch in a list."""
    return glitch_schemas.Glitch(**_summary(base, glitch), **_more(glitch))


def glitch_detail(
    base: str, glitch: GlitchRecord, embedding: EmbeddingRecord | None
) -> glitch_schemas.GlitchDetail:
    """A glitch by itself."""
    return glitch_schemas.GlitchDetail(
        **_summary(base, glitch),
        **_more(glitch),
        embedding=embedding and _embedding(embedding.checkpoint, embedding),
        novelty=embedding and novelty(embedding.novelty),
    )


def _embedding(checkpoint: str, encoding: EncodingLike) -> glitch_schemas.Embedding:
    return glitch_schemas.Embedding(
        checkpoint=checkpoint,
        mean=np.asarray(encoding.mean, dtype=np.float64).tolist(),
        log_variance=np.asarray(encoding.log_variance, dtype=np.float64).tolist(),
        reconstruction_error=float(encoding.reconstruction_error),
    )


def novelty(judgement: Judgement) -> glitch_schemas.Novelty:
    """How novel a glitch is."""
    return glitch_schemas.Novelty(
        score=judgement.score,
        p_value=judgement.p_value,
        is_judged=judgement.is_judged,
        reason=judgement.reason,
        basis=judgement.basis,
    )


def neighbour(base: str, found: Neighbour) -> glitch_schemas.Neighbour:
    """One of the nearest glitches."""
    glitch = found.glitch
    return glitch_schemas.Neighbour(
        id=glitch.id,
        gravityspy_id=glitch.gravityspy_id,
        ifo=glitch.ifo,
        gps_time=decimal_string(glitch.gps_time),
        label=glitch.label,
        origin=glitch.origin,
        distance=found.distance,
        links=links(base, glitch.id, glitch.views),
    )


def embed_answer(base: str, embedded: Embedded) -> glitch_schemas.EmbedAnswer:
    """The whole answer to an upload."""
    return glitch_schemas.EmbedAnswer(
        glitch=(
            _unstored(embedded.upload)
            if embedded.glitch is None
            else glitch_schemas.GlitchSummary(**_summary(base, embedded.glitch))
        ),
        embedding=_embedding(embedded.checkpoint, embedded.encoding),
        novelty=novelty(embedded.novelty),
        neighbours=[neighbour(base, found) for found in embedded.neighbours],
    )


def label(record: LabelRecord) -> glitch_schemas.Label:
    """One label, revoked or not."""
    return glitch_schemas.Label(
        id=record.id,
        glitch_id=record.glitch_id,
        label=record.class_name,
        author=record.author,
        source=record.source,
        created_at=record.created_at,
        revoked_at=record.revoked_at,
        revoked_by=record.revoked_by,
    )

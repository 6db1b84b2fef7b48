"""From records of the services to the JSON of the API."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

import numpy as np

from app.core.model import Model
from app.glitches import schemas as glitch_schemas
from app.glitches.embed import Embedded
from app.glitches.records import EmbeddingRecord, EncodingLike, GlitchRecord, Neighbour
from app.glitches.upload import ParsedUpload

SchemaT = TypeVar("SchemaT", bound=Model)


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


def _values(base: str, glitch: GlitchRecord) -> dict[str, Any]:
    return {
        **glitch.plain(),
        "centring": glitch.centring,
        "id": glitch.id,
        "label": glitch.label,
        "ml_confidence": glitch.ml_confidence,
        "views": list(glitch.views),
        "origin": glitch.origin,
        "data_quality": list(glitch.data_quality),
        "created_at": glitch.created_at,
        "links": links(base, glitch.id, glitch.views),
    }


def _unstored(upload: ParsedUpload) -> dict[str, Any]:
    return {
        **upload.plain(),
        "centring": upload.centring,
        "id": None,
        "label": None,
        "ml_confidence": None,
        "views": list(upload.views.durations_s),
        "origin": "upload",
        "links": glitch_schemas.Links(),
    }


def _filled(model: type[SchemaT], values: dict[str, Any]) -> SchemaT:
    return model(**{name: values[name] for name in model.model_fields if name in values})


def glitch_item(base: str, glitch: GlitchRecord) -> glitch_schemas.Glitch:
    """A glitch in a list."""
    return _filled(glitch_schemas.Glitch, _values(base, glitch))


def glitch_detail(
    base: str, glitch: GlitchRecord, embedding: EmbeddingRecord | None
) -> glitch_schemas.GlitchDetail:
    """A glitch by itself."""
    more = {
        "embedding": embedding and _embedding(embedding.checkpoint, embedding),
        "novelty": embedding and glitch_schemas.Novelty.model_validate(embedding.novelty),
    }
    return _filled(glitch_schemas.GlitchDetail, _values(base, glitch) | more)


def _embedding(checkpoint: str, encoding: EncodingLike) -> glitch_schemas.Embedding:
    return glitch_schemas.Embedding(
        checkpoint=checkpoint,
        mean=np.asarray(encoding.mean, dtype=np.float64).tolist(),
        log_variance=np.asarray(encoding.log_variance, dtype=np.float64).tolist(),
        reconstruction_error=float(encoding.reconstruction_error),
    )


def neighbour(base: str, found: Neighbour) -> glitch_schemas.Neighbour:
    """One of the nearest glitches."""
    values = _values(base, found.glitch) | {"distance": found.distance}
    return _filled(glitch_schemas.Neighbour, values)


def embed_answer(base: str, embedded: Embedded) -> glitch_schemas.EmbedAnswer:
    """The whole answer to an upload."""
    return glitch_schemas.EmbedAnswer(
        glitch=_filled(
            glitch_schemas.GlitchSummary,
            _unstored(embedded.upload)
            if embedded.glitch is None
            else _values(base, embedded.glitch),
        ),
        embedding=_embedding(embedded.checkpoint, embedded.encoding),
        novelty=glitch_schemas.Novelty.model_validate(embedded.novelty),
        neighbours=[neighbour(base, found) for found in embedded.neighbours],
        assumed=list(embedded.upload.assumed),
    )

"""JSON models of glitches, and their conversion from service records."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from pydantic import Field

from app.core.model import ClassName, Model
from app.glitches.embed import Embedded
from app.glitches.records import EmbeddingRecord, EncodingLike, GlitchRecord
from app.glitches.records import Neighbour as NeighbourRecord
from app.glitches.upload import ParsedUpload


class Links(Model):
    """Addresses of a glitch; empty if it was not stored."""

    self: str | None = Field(default=None, description="The glitch as JSON.")
    page: str | None = Field(default=None, description="The glitch as a web page.")
    neighbours: str | None = None
    labels: str | None = None
    views: dict[str, str] = Field(
        default_factory=dict, description="Pictures by window length in seconds."
    )


class GlitchSummary(Model):
    """A glitch in the response of `POST /embed`. Unknown values are null."""

    id: UUID | None = Field(description="Null if nothing was stored.")
    gravityspy_id: str | None
    ifo: str | None
    gps_time: str | None = Field(description="As given, in GPS seconds with all decimals.")
    peak_gps_time: str | None = Field(
        description="GPS time of the loudest tile within 0.25 s of gps_time; null for pictures."
    )
    centre_gps_time: str | None = Field(
        description="GPS time at the centre of the views; null for pictures."
    )
    centring: str | None = Field(
        description="Sentence on the centre of the views, if the loudest tile is more than 10 ms "
        "from gps_time."
    )
    snr: float | None
    peak_frequency: float | None = Field(description="Hz")
    duration: float | None = Field(description="s")
    label: str | None
    ml_confidence: float | None = Field(
        description="Confidence of the classifier that gave the label, 0 to 1; null for a "
        "person's label."
    )
    views: list[float] = Field(description="Lengths of the windows present, in seconds.")
    origin: str = Field(description="upload, gravityspy, omicron, or simulated.")
    links: Links


class Glitch(GlitchSummary):
    """A glitch with all its properties."""

    channel: str | None
    bandwidth: float | None = Field(description="Hz")
    q: float | None
    data_quality: list[str] = Field(
        description="Active data-quality flags, of the flags that batches provided."
    )
    created_at: datetime


class GlitchDetail(Glitch):
    """One glitch with its embedding under the active checkpoint, if there is one."""

    embedding: Embedding | None
    novelty: Novelty | None


class SimulatedClass(Model):
    """The most probable simulated class.

    The model learnt these classes from simulated glitches, without human labels. It gives one even
    for a glitch that is of none of them.
    """

    label: str
    probability: float = Field(description="0 to 1.")


class Embedding(Model):
    """The diagonal Gaussian posterior of one glitch under one checkpoint."""

    checkpoint: str = Field(description="The checkpoint's name.")
    mean: list[float]
    log_variance: list[float]
    reconstruction_error: float = Field(description="Lower is better.")
    simulated_class: SimulatedClass | None = Field(
        description="Null if the checkpoint knows no simulated classes, or the glitch was embedded "
        "before they were stored."
    )


class Novelty(Model):
    """Novelty of a glitch. Not judged is a separate result, and never means "not novel"."""

    score: float | None = Field(description="Distance to known glitches; higher is more novel.")
    p_value: float | None = Field(description="Conformal p-value; lower is more novel.")
    is_judged: bool
    reason: str | None = Field(description="Why it could not be judged.")
    basis: str | None = Field(
        description="What calibrated the p-value: its observing run, or all of them."
    )


class Neighbour(Model):
    """A neighbour in the latent space."""

    id: UUID
    gravityspy_id: str | None
    ifo: str | None
    gps_time: str | None
    label: str | None
    origin: str
    distance: float = Field(description="Euclidean, in the latent space; lower is more similar.")
    links: Links


class EmbedAnswer(Model):
    """The response of `POST /embed` and `POST /neighbours`."""

    glitch: GlitchSummary
    embedding: Embedding
    novelty: Novelty
    neighbours: list[Neighbour] = Field(description="By ascending distance.")
    assumed: list[str] = Field(
        description="Pictures: energy_max (25.5) and frequency_range (10 to 2048 Hz), if neither "
        "the request nor labels in the picture state them. Strain: gps_start (its middle is at "
        "the GPS time), if the file does not state its start."
    )


class NewLabel(Model):
    """A label to add."""

    label: ClassName = Field(description="The name of a class; GET /classes lists them.")


SchemaT = TypeVar("SchemaT", bound=Model)


def _values(base: str, glitch: GlitchRecord) -> dict[str, Any]:
    href = f"{base}/glitches/{glitch.id}"
    links = Links(
        self=href,
        page=f"{base}/ui/glitches/{glitch.id}",
        neighbours=f"{href}/neighbours",
        labels=f"{href}/labels",
        views={f"{length:.1f}": f"{href}/views/{length:.1f}.png" for length in glitch.views},
    )
    return vars(glitch) | glitch.plain() | {"centring": glitch.centring, "links": links}


def _unstored(upload: ParsedUpload) -> dict[str, Any]:
    unset = dict.fromkeys(("id", "label", "ml_confidence"))
    details = {"centring": upload.centring, "views": upload.views.durations_s, "origin": "upload"}
    return upload.plain() | unset | details | {"links": Links()}


def _filled(model: type[SchemaT], values: dict[str, Any]) -> SchemaT:
    return model(**{name: values[name] for name in model.model_fields if name in values})


def glitch_item(base: str, glitch: GlitchRecord) -> Glitch:
    """A glitch as a list item."""
    return _filled(Glitch, _values(base, glitch))


def glitch_detail(
    base: str, glitch: GlitchRecord, embedding: EmbeddingRecord | None
) -> GlitchDetail:
    """One glitch with all its properties."""
    more = {
        "embedding": embedding and embedding_of(embedding.checkpoint, embedding),
        "novelty": embedding and Novelty.model_validate(embedding.novelty),
    }
    return _filled(GlitchDetail, _values(base, glitch) | more)


def embedding_of(checkpoint: str, encoding: EncodingLike) -> Embedding:
    """The embedding of a glitch under the checkpoint with this name."""
    return Embedding(
        checkpoint=checkpoint,
        mean=np.asarray(encoding.mean, dtype=np.float64).tolist(),
        log_variance=np.asarray(encoding.log_variance, dtype=np.float64).tolist(),
        reconstruction_error=float(encoding.reconstruction_error),
        simulated_class=encoding.simulated_class
        and SimulatedClass.model_validate(encoding.simulated_class),
    )


def neighbour(base: str, found: NeighbourRecord) -> Neighbour:
    """Convert a neighbour to its JSON model."""
    values = _values(base, found.glitch) | {"distance": found.distance}
    return _filled(Neighbour, values)


def embed_answer(base: str, embedded: Embedded) -> EmbedAnswer:
    """The complete response to an upload."""
    return EmbedAnswer(
        glitch=_filled(
            GlitchSummary,
            _values(base, embedded.glitch) if embedded.glitch else _unstored(embedded.upload),
        ),
        embedding=embedding_of(embedded.checkpoint, embedded.encoding),
        novelty=Novelty.model_validate(embedded.novelty),
        neighbours=[neighbour(base, found) for found in embedded.neighbours],
        assumed=list(embedded.upload.assumed),
    )

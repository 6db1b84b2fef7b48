"""The JSON that goes out and comes in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Model(BaseModel):
    """Root of the schemas: what comes in may hold no field that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Links(Model):
    """Addresses of one glitch; all empty where it was not stored."""

    self: str | None = Field(default=None, description="The glitch as JSON.")
    page: str | None = Field(default=None, description="The glitch as a web page.")
    neighbours: str | None = None
    labels: str | None = None
    views: dict[str, str] = Field(
        default_factory=dict, description="Pictures by window length in seconds."
    )


class GlitchSummary(Model):
    """A glitch as `POST /embed` answers it. Unknown values are null."""

    id: UUID | None = Field(description="Null where nothing was stored.")
    gravityspy_id: str | None
    ifo: str | None
    gps_time: str | None = Field(description="Exact decimal seconds.")
    snr: float | None
    peak_frequency: float | None = Field(description="Hz")
    duration: float | None = Field(description="s")
    label: str | None
    views: list[float] = Field(description="Window lengths that are present, in seconds.")
    origin: str = Field(description="upload, gravityspy, omicron, or simulated.")
    links: Links


class Glitch(GlitchSummary):
    """A glitch with all that is known of it."""

    channel: str | None
    bandwidth: float | None = Field(description="Hz")
    q: float | None
    created_at: datetime


class GlitchDetail(Glitch):
    """One glitch with its embedding under the active checkpoint, where it has one."""

    embedding: Embedding | None
    novelty: Novelty | None


class Embedding(Model):
    """The diagonal Gaussian posterior of one glitch under one checkpoint."""

    checkpoint: str = Field(description="The checkpoint's name.")
    mean: list[float]
    log_variance: list[float]
    reconstruction_error: float = Field(description="Lower is better reconstructed.")


class Novelty(Model):
    """How novel a glitch is. Not judged is its own answer, never "not novel"."""

    score: float | None = Field(description="Distance to known glitches; higher is more novel.")
    p_value: float | None = Field(description="Conformal p-value; lower is more novel.")
    is_judged: bool
    reason: str | None = Field(description="Why it could not be judged.")
    basis: str | None = Field(description="What calibrated the p-value: its run, or all of them.")


class Neighbour(Model):
    """A known glitch near the one asked about."""

    id: UUID
    gravityspy_id: str | None
    ifo: str | None
    gps_time: str | None
    label: str | None
    origin: str
    distance: float = Field(description="Euclidean, in the latent space; lower is more alike.")
    links: Links


class EmbedAnswer(Model):
    """The answer of `POST /embed` and `POST /neighbours`."""

    glitch: GlitchSummary
    embedding: Embedding
    novelty: Novelty
    neighbours: list[Neighbour] = Field(description="Ascending distance.")


class ListOf(Model, Generic[Item]):
    """One page of a list; ``next`` is the cursor of the page after it."""

    items: list[Item]
    next: str | None = None


class Label(Model):
    """One statement that a glitch is of a class."""

    id: UUID
    glitch_id: UUID
    label: str = Field(description="The name of the class.")
    author: str
    source: str
    created_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None


class NewLabel(Model):
    """What a caller says a glitch is."""

    label: ClassName = Field(description="The name of a class; GET /classes lists them.")


class NewClass(Model):
    """A class of ours. What a name may be is checked by the service, which says what is wrong."""

    name: Annotated[str, Field(max_length=20_000)]
    description: Annotated[str, Field(min_length=1, max_length=20_000)]


class GlitchClass(Model):
    """A class of glitches."""

    id: int = Field(description="Stays where the class is renamed.")
    name: str
    description: str
    state: str = Field(description="active, dormant, candidate, or retired.")
    origin: str = Field(description="gravityspy or ours.")
    parent: str | None = Field(description="The class that this one is a sub-class of.")
    created_at: datetime


class Checkpoint(Model):
    """A published model."""

    name: str
    digest: str
    preprocessing_digest: str
    latent_size: int
    is_active: bool
    created_at: datetime
    manifest: dict[str, Any]


class Health(Model):
    """The process answers."""

    status: str
    version: str


class Readiness(Model):
    """Whether requests can be served, and what each part says."""

    status: str = Field(description="ready, or degraded: uploads are served, jobs wait")
    checks: dict[str, str]


class Problem(BaseModel):
    """RFC 9457. Every error of the API has this form."""

    type: str
    title: str
    status: int
    detail: str = Field(description="A sentence that says what to do next.")
    request_id: str | None = None

"""Records of the services of glitches, never ORM rows."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import numpy as np
from jaxtyping import Bool, Float32
from pydantic import Field

from app.core.model import Model
from app.glitches.facts import GlitchFacts
from glitch.novelty import Judgement

if TYPE_CHECKING:
    from glitch.encoder import Encoding


# What an encoder gave for one glitch, or what is stored of it; torch is not loaded for a name.
EncodingLike: TypeAlias = "Encoding | EmbeddingRecord"


@dataclass(frozen=True)
class GlitchMetadata(GlitchFacts):
    """What is known of a glitch that is to be stored."""

    origin: str  # one of app.glitches.tables.ORIGINS: upload, simulated, gravityspy, omicron


@dataclass(frozen=True)
class GlitchRecord(GlitchFacts):
    """A stored glitch."""

    id: UUID
    origin: str
    label: str | None  # class of the latest label that is not revoked
    ml_confidence: float | None  # of that label, 0 to 1; None for a person's
    views: tuple[float, ...]  # window lengths that are present, s, ascending
    created_at: datetime
    data_quality: tuple[str, ...]  # flags that were active then, of those that anybody gave

    @property
    def public_id(self) -> str:
        """The Gravity Spy id, or ours if there is none, as used by similarity search."""
        return self.gravityspy_id or str(self.id)

    @property
    def is_simulated(self) -> bool:
        """Whether the glitch was never in a detector."""
        return self.origin == "simulated"


@dataclass(frozen=True, eq=False)
class EmbeddingRecord:
    """The posterior of one glitch under one checkpoint, and how novel it was when stored."""

    glitch_id: UUID
    checkpoint_id: int
    checkpoint: str  # the checkpoint's name
    mean: Float32[np.ndarray, " latent"]
    log_variance: Float32[np.ndarray, " latent"]
    reconstruction_error: float
    kl: float  # nats
    novelty: Judgement


@dataclass(frozen=True, eq=False)
class ViewRecord:
    """One view as stored; ``glitch.codec.unpack_view(packed, shape)`` gives the energies."""

    duration_s: float
    packed: bytes
    shape: tuple[int, int]  # (freq, time)
    observed: Bool[np.ndarray, " freq"]


@dataclass(frozen=True)
class StoredGlitch:
    """The outcome of storing an upload."""

    glitch: GlitchRecord
    is_new: bool  # false: the same upload (or its Gravity Spy id) was known already
    novelty: Judgement


@dataclass(frozen=True)
class Neighbour:
    """A known glitch and its Euclidean distance to the query in the latent space."""

    glitch: GlitchRecord
    distance: float  # lower is more alike


class Label(Model):
    """A label of a glitch."""

    id: UUID
    glitch_id: UUID
    label: str = Field(description="The name of the class.")
    author: str
    source: str
    confidence: float | None = Field(description="Confidence given by the source, 0 to 1.")
    created_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None


@dataclass(frozen=True)
class GlitchFilters:
    """Which glitches to consider. An absent filter lets everything pass; ranges are inclusive.

    A glitch whose value is unknown fails a filter on that value.
    """

    ifos: tuple[str, ...] = ()
    gps_start: Decimal | None = None  # s
    gps_end: Decimal | None = None  # s
    snr_min: float | None = None
    snr_max: float | None = None
    peak_frequency_min: float | None = None  # Hz
    peak_frequency_max: float | None = None  # Hz
    labels: tuple[str, ...] = ()  # class names; the current label must be one of them
    ml_confidence_min: float | None = None  # of the current label, 0 to 1
    data_quality: tuple[str, ...] = ()  # flags; all of them were active
    not_data_quality: tuple[str, ...] = ()  # none of them was
    with_subclasses: bool = False  # let labels of their sub-classes pass too
    cluster_id: UUID | None = None  # members of this cluster
    batch_id: UUID | None = None  # stored, or recognised, by this batch
    ids: tuple[UUID, ...] | None = None  # one of these
    is_labelled: bool | None = None
    origins: tuple[str, ...] = ()
    p_value_max: float | None = None  # under the active checkpoint; lower is more novel
    is_judged: bool | None = None  # under the active checkpoint

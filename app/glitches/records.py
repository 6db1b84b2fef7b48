"""Records that the services of glitches return; never ORM rows."""

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
from glitch.taxonomy import SimulatedClass

if TYPE_CHECKING:
    from glitch.encoder import Encoding


# New or stored encoding of one glitch. A string, because importing Encoding loads torch.
EncodingLike: TypeAlias = "Encoding | EmbeddingRecord"


@dataclass(frozen=True)
class GlitchMetadata(GlitchFacts):
    """Properties of a glitch to be stored."""

    origin: str  # one of app.glitches.tables.ORIGINS: upload, simulated, gravityspy, omicron


@dataclass(frozen=True)
class GlitchRecord(GlitchFacts):
    """A stored glitch."""

    id: UUID
    origin: str
    label: str | None  # class of the latest label that is not revoked
    ml_confidence: float | None  # of that label, 0 to 1; None for a label given by a person
    views: tuple[float, ...]  # lengths of the available windows, s, ascending
    created_at: datetime
    data_quality: tuple[str, ...]  # active flags, of the flags that batches provided

    @property
    def public_id(self) -> str:
        """The Gravity Spy id, or our id if there is none, as used by similarity search."""
        return self.gravityspy_id or str(self.id)

    @property
    def is_simulated(self) -> bool:
        """Whether the glitch was simulated, not recorded by a detector."""
        return self.origin == "simulated"


@dataclass(frozen=True, eq=False)
class EmbeddingRecord:
    """The posterior of one glitch under one checkpoint, and its latest novelty."""

    glitch_id: UUID
    checkpoint_id: int
    checkpoint: str  # the checkpoint's name
    mean: Float32[np.ndarray, " latent"]
    log_variance: Float32[np.ndarray, " latent"]
    reconstruction_error: float
    kl: float  # nats
    simulated_class: SimulatedClass | None
    novelty: Judgement


@dataclass(frozen=True, eq=False)
class ViewRecord:
    """One stored view; ``glitch.codec.unpack_view(packed, shape)`` gives the energies."""

    duration_s: float
    packed: bytes
    shape: tuple[int, int]  # (freq, time)
    observed: Bool[np.ndarray, " freq"]


@dataclass(frozen=True)
class StoredGlitch:
    """The result of storing an upload."""

    glitch: GlitchRecord
    is_new: bool  # false if the upload (or its Gravity Spy id) was known already
    novelty: Judgement


@dataclass(frozen=True)
class Neighbour:
    """A known glitch and its Euclidean distance to the query in the latent space."""

    glitch: GlitchRecord
    distance: float  # lower is more similar


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
    """Filters of glitches. An absent filter passes every glitch; ranges are inclusive.

    A glitch whose value is unknown does not pass a filter on that value.
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
    data_quality: tuple[str, ...] = ()  # flags that all must have been active
    not_data_quality: tuple[str, ...] = ()  # flags of which none may have been active
    with_subclasses: bool = False  # accept labels of sub-classes too
    cluster_id: UUID | None = None  # members of this cluster
    batch_id: UUID | None = None  # stored or recognised by this batch
    ids: tuple[UUID, ...] | None = None  # ids to choose from
    is_labelled: bool | None = None
    origins: tuple[str, ...] = ()
    p_value_max: float | None = None  # under the active checkpoint; lower is more novel
    is_judged: bool | None = None  # under the active checkpoint
    simulated_classes: tuple[str, ...] = ()  # under the active checkpoint
    simulated_probability_min: float | None = None  # of that class, 0 to 1

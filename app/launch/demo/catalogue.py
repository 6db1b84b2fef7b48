"""The demo catalogue: simulated glitches, labelled so, that a first upload finds its kin among.

Each glitch has a place in the plan (class and number) that fixes its detector, its GPS time and
its random stream. What is stored can therefore be told without simulating anything, an
interrupted load goes on where it stopped, and a larger plan contains the smaller one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.principals import Principal, Role
from app.glitches.labels import append_label
from app.glitches.records import EncodingLike, GlitchMetadata
from app.glitches.service import insert_glitch
from app.glitches.tables import Embedding, Glitch
from app.models.records import CheckpointRecord
from glitch.simulate import SIMULATED_CLASSES
from glitch.views import Views

DEMO_IFOS = ("H1", "L1", "V1")
# Between the second and the third observing run, so that no real glitch of a run lies among
# them, yet within the range that gwpy's similarity search means by "ALL".
DEMO_GPS_START = 1_190_000_000
DEMO_SPACING_S = 40_000  # between successive glitches of one class
DEMO_MAX_PER_CLASS = 1000  # the last lies before the third observing run began
_SEED = 20_190_401
_LABEL_SOURCE = "simulation"
_AUTHOR = Principal(token_id=UUID(int=0), name="demo catalogue", role=Role.SUBMITTER)


@dataclass(frozen=True)
class DemoGlitch:
    """One place in the plan."""

    label: str
    number: int
    ifo: str
    gps_time: Decimal  # s

    @property
    def random(self) -> np.random.Generator:
        """Its own random stream: the same glitch whatever is simulated before it."""
        return np.random.default_rng([_SEED, zlib.crc32(self.label.encode()), self.number])


@dataclass(frozen=True, eq=False)
class MadeGlitch:
    """A simulated glitch, ready to be stored."""

    place: DemoGlitch
    views: Views
    encoding: EncodingLike
    metadata: GlitchMetadata


def demo_plan(labels: Sequence[str], per_class: int) -> tuple[DemoGlitch, ...]:
    """The places of the first ``per_class`` glitches of each class, number by number.

    A class keeps its times when others join, because its offset is a hash of its name.
    """
    return tuple(
        DemoGlitch(
            label=label,
            number=number,
            ifo=DEMO_IFOS[number % len(DEMO_IFOS)],
            gps_time=Decimal(
                DEMO_GPS_START
                + number * DEMO_SPACING_S
                + zlib.crc32(label.encode()) % DEMO_SPACING_S
            ),
        )
        for number in range(min(per_class, DEMO_MAX_PER_CLASS))
        for label in labels
    )


def missing_from(
    session: Session, plan: Sequence[DemoGlitch], checkpoint: CheckpointRecord
) -> list[DemoGlitch]:
    """Those places of the plan that have no embedding under the checkpoint yet, in order."""
    end = DEMO_GPS_START + (DEMO_MAX_PER_CLASS + 1) * DEMO_SPACING_S
    rows = session.execute(
        select(Glitch.ifo, Glitch.gps_time)
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(
            Embedding.checkpoint_id == checkpoint.id,
            Glitch.origin == "simulated",
            Glitch.gps_time.between(Decimal(DEMO_GPS_START), Decimal(end)),
        )
    )
    # Whole seconds: each place has its own, and the stored time is the peak's own fraction.
    stored = {(ifo, round(gps_time)) for ifo, gps_time in rows if gps_time is not None}
    return [place for place in plan if (place.ifo, round(place.gps_time)) not in stored]


def count_missing(session: Session, per_class: int, checkpoint: CheckpointRecord) -> int:
    """How many glitches the catalogue lacks under the checkpoint."""
    return len(missing_from(session, demo_plan(SIMULATED_CLASSES, per_class), checkpoint))


def store_made(session: Session, made: Sequence[MadeGlitch], checkpoint: CheckpointRecord) -> int:
    """Store glitches with their labels; returns how many were new."""
    new = 0
    for item in made:
        stored = insert_glitch(
            session,
            views=item.views,
            encoding=item.encoding,
            checkpoint=checkpoint,
            metadata=item.metadata,
        )
        if stored.is_new:
            append_label(
                session,
                stored.glitch.id,
                item.place.label,
                author=_AUTHOR,
                source=_LABEL_SOURCE,
            )
            new += 1
    return new

"""The JSON of traversals and of a cluster's plane."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from app.core.model import Model
from app.models.traversals import Traversals as TraversalsRecord
from app.models.traversals import UnitStory as UnitRecord
from app.models.traversals import steps_between


class Unit(Model):
    """One latent."""

    unit: int
    value: float = Field(description="Of the glitch, or of the medoid.")
    steps: list[float] = Field(description="The value of each view in the strip.")
    others: tuple[float, float] = Field(description="Middle nine tenths of the other glitches.")
    group: tuple[float, float] | None = Field(description="Middle nine tenths of the members.")
    difference: float | None = Field(
        description="Standardised difference of the means; above 0: higher in the cluster."
    )
    nats: float | None = Field(description="How much it says about the glitch.")
    picture: str


class Traversals(Model):
    """What to move, and what cannot be moved."""

    glitch_id: UUID = Field(description="Whose vector the strips start from.")
    checkpoint: str
    units: list[Unit] = Field(description="The most telling first.")
    n_active: int
    dead: list[int] = Field(description="Latents that hardly move between any two glitches.")
    n_others: int = Field(description="Glitches compared with; a sample where there are many.")
    reason: str | None = Field(description="Why there are none.")


def traversals(base: str, found: TraversalsRecord) -> Traversals:
    """As the API answers it."""
    return Traversals(
        glitch_id=found.glitch_id,
        checkpoint=found.checkpoint,
        units=[_unit(base, found, story) for story in found.stories],
        n_active=found.n_active,
        dead=list(found.dead),
        n_others=found.n_others,
        reason=found.reason,
    )


def _unit(base: str, found: TraversalsRecord, story: UnitRecord) -> Unit:
    query = f"low={story.low:.4g}&high={story.high:.4g}&checkpoint={found.checkpoint_id}"
    return Unit(
        unit=story.unit,
        value=story.value,
        steps=list(steps_between(story.low, story.high)),
        others=story.others,
        group=story.group,
        difference=story.difference,
        nats=story.nats,
        picture=f"{base}/glitches/{found.glitch_id}/traversals/{story.unit}.png?{query}",
    )

"""Storing many glitches at once gives the same as storing each of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from store_helpers import LATENT, Store, encoding, make_views

from app.core.errors import ConflictError, InvalidRequestError
from app.glitches.ingest import NewGlitch, insert_glitches
from app.glitches.records import GlitchMetadata, StoredGlitch
from app.glitches.tables import Embedding, Glitch, View
from app.models.records import CheckpointRecord
from app.novelty.single import judge_novelty
from glitch.novelty.conditions import condition_of
from glitch.views import Views


@pytest.fixture
def make(rng: np.random.Generator) -> Any:
    """Return a function that makes a glitch to store, random unless specified."""

    def make_one(
        number: int, *, views: Views | None = None, mean: Any = None, **changes: Any
    ) -> NewGlitch:
        facts = {"origin": "upload", "ifo": "H1", "gps_time": Decimal(1_187_000_000 + number)}
        return NewGlitch(
            views or make_views(rng),
            encoding(*(rng.normal(size=LATENT) if mean is None else mean)),
            GlitchMetadata(**{**facts, **changes}),  # type: ignore[arg-type]
        )

    return make_one


def rows(session: Session) -> tuple[int, ...]:
    counts = (
        session.scalar(select(func.count()).select_from(one)) for one in (Glitch, View, Embedding)
    )
    return tuple(count or 0 for count in counts)


def test_new_known_doubled_and_bad_ones_together(
    session: Session, checkpoint: CheckpointRecord, store: Store, make: Any
) -> None:
    known = make(1)
    before = store(views=known.views, gps_time=known.metadata.gps_time)
    twin = make(2)
    broken = make(3, mean=[np.nan] * LATENT)
    glitches = [
        make(4, gravityspy_id="first"),
        known,
        twin,
        broken,
        twin,
        make(4, gravityspy_id="first"),  # its id is known by now
        make(9, gravityspy_id="first", ifo="L1"),
        make(5, origin="simulated"),
    ]
    results = insert_glitches(session, glitches, checkpoint=checkpoint)
    states = [one.is_new if isinstance(one, StoredGlitch) else type(one) for one in results]
    assert states == [True, False, True, InvalidRequestError, False, False, ConflictError, True]
    stored = [one.glitch for one in results if isinstance(one, StoredGlitch)]
    assert stored[1].id == before.glitch.id
    assert stored[3].id == stored[2].id
    assert stored[4].id == stored[0].id
    assert stored[0].gravityspy_id == "first"
    assert stored[5].is_simulated
    assert stored[0].views == (0.5, 4.0)
    assert rows(session) == (4, 8, 4)


def test_each_is_judged_as_it_would_be_alone(
    session: Session, checkpoint: CheckpointRecord, make: Any
) -> None:
    one = make(1)
    [stored] = insert_glitches(session, [one], checkpoint=checkpoint)
    assert isinstance(stored, StoredGlitch)
    assert stored.novelty == judge_novelty(
        session,
        vector=one.encoding.mean,
        checkpoint_id=checkpoint.id,
        ifo="H1",
        origin="upload",
        gps_time=one.metadata.gps_time,
        condition=condition_of(one.views),
        exclude_id=stored.glitch.id,
    )
    assert insert_glitches(session, [], checkpoint=checkpoint) == []

"""Fixtures for the tests of store and services: a checkpoint, and a function to store glitches.

The PostgreSQL server and its databases come from ``tests/postgres_fixtures.py``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session
from store_helpers import LATENT, SMALL, Store, encoding, make_views

from app.classes.naming import seed_classes
from app.glitches.ingest import insert_glitch
from app.glitches.records import GlitchMetadata, StoredGlitch
from app.models.checkpoints import publish_checkpoint
from app.models.records import CheckpointRecord
from glitch.views import Views


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20150914)


@pytest.fixture
def checkpoint(session: Session) -> CheckpointRecord:
    """The active checkpoint, with four latent dimensions; the Gravity Spy classes exist too."""
    seed_classes(session)
    return publish_checkpoint(
        session,
        name="small",
        digest="a" * 64,
        preprocessing_digest=SMALL.digest(),
        latent_size=LATENT,
        manifest={"name": "small"},
    )


@pytest.fixture
def store(session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator) -> Store:
    """Return a function that stores a glitch; views and mean are random unless given."""

    def store_one(
        mean: tuple[float, ...] | None = None,
        *,
        views: Views | None = None,
        under: CheckpointRecord | None = None,
        **metadata: Any,
    ) -> StoredGlitch:
        values = {"origin": "upload", "ifo": "H1", "gps_time": Decimal("1126259462.4"), **metadata}
        return insert_glitch(
            session,
            views=views or make_views(rng),
            encoding=encoding(*(rng.normal(size=LATENT) if mean is None else mean)),
            checkpoint=under or checkpoint,
            metadata=GlitchMetadata(**values),
        )

    return store_one

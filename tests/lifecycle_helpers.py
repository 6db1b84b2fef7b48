"""Bulk storage of labelled glitches, and jobs run in this process, for the tests of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.core.database import uuid7
from app.glitches.tables import Embedding, Glitch, Label
from app.jobs.records import Chunk, ChunkPlan, JobRecord, PendingItem, Phase
from app.jobs.registry import handler_of
from app.jobs.service import get_job
from app.jobs.tables import Job
from app.models.checkpoints import active_checkpoint


def fill(
    session: Session,
    rng: np.random.Generator,
    n: int,
    centre: tuple[float, ...],
    label: str | None = None,
    *,
    spread: float = 0.1,
    **columns: Any,
) -> list[UUID]:
    """Store n glitches around a latent vector as a bulk load does, with labels if given."""
    class_id = session.scalar(select(GlitchClass.id).where(GlitchClass.name == label))
    assert label is None or class_id is not None
    keys = [uuid7() for _ in range(n)]
    common = {"ifo": "H1", "origin": "upload", "snr": 10.0, **columns}
    session.execute(
        insert(Glitch),
        [
            {
                "id": key,
                "gps_time": Decimal(1126259462 + 3600 * index),
                "content_digest": rng.bytes(32),
                "class_id": class_id,
                **common,
            }
            for index, key in enumerate(keys)
        ],
    )
    means = np.array(centre) + rng.normal(scale=spread, size=(n, len(centre)))
    session.execute(
        insert(Embedding),
        [
            {
                "glitch_id": key,
                "checkpoint_id": active_checkpoint(session).id,
                "ifo": common["ifo"],
                "is_simulated": common["origin"] == "simulated",
                "is_reference": label is not None,
                "mean": mean,
                "log_variance": [0.0] * len(centre),
                "reconstruction_error": 1.0,
                "kl": 1.0,
                "is_judged": False,
            }
            for key, mean in zip(keys, means, strict=True)
        ],
    )
    if label is not None:
        session.execute(
            insert(Label),
            [
                {"glitch_id": key, "class_id": class_id, "author": "loader", "source": "load"}
                for key in keys
            ],
        )
    return keys


def do_job(
    session: Session,
    job_id: UUID,
    data_dir: Path = Path("/nonexistent"),
    *,
    settings: Any = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> Mapping[str, Any]:
    """Plan, run and finish a job in this transaction, and return its result."""
    job = get_job(session, job_id)
    handler = handler_of(job.kind)
    work: Any = SimpleNamespace(
        session=session,
        job=job,
        heartbeat=heartbeat,
        data_dir=data_dir,
        settings=settings,
        encoder=None,
    )
    for ordinal, plan in enumerate(list(handler.plan(work))):
        handler.run_chunk(work, _chunk(job, ordinal, plan))
    result = handler.finish(work)
    session.execute(
        update(Job).where(Job.id == job.id).values(state="succeeded", result=dict(result))
    )
    return result


def _chunk(job: JobRecord, ordinal: int, plan: ChunkPlan) -> Chunk:
    items = tuple(PendingItem(index, name) for index, name in enumerate(plan.items))
    units = len(plan.items) or plan.units
    return Chunk(job.id, Phase.RUN, ordinal, plan.payload, 0, units, 1, "a worker", 1, items)

"""A catalogue with two well-separated groups, for the tests of the map."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import numpy as np
from api_fixtures import Service, energy

from app.core.engine import make_session_factory
from app.glitches.ingest import insert_glitch
from app.glitches.records import GlitchMetadata
from app.jobs.records import JobRecord
from app.jobs.service import get_job
from app.models.checkpoints import active_checkpoint
from glitch.encoder import Encoding
from glitch.views import views_from_images
from worker.runner import JobRunner

GPS_START = 1_200_000_000


def store_kinds(service: Service, count: int, *, start: int = 0) -> list[UUID]:
    """Store unlabelled glitches, alternately in two distant groups in latent space; return ids."""
    rng = np.random.default_rng(start + 11)
    made = []
    with make_session_factory(service.engine).begin() as session:
        checkpoint = active_checkpoint(session)
        for index in range(start, start + count):
            direction = np.zeros(checkpoint.latent_size)
            direction[index % 2] = 5
            mean = direction + 0.3 * rng.standard_normal(checkpoint.latent_size)
            stored = insert_glitch(
                session,
                views=views_from_images({0.5: energy(index + 1)}),
                encoding=Encoding(
                    mean=mean.astype(np.float32),
                    log_variance=np.full(checkpoint.latent_size, -2, dtype=np.float32),
                    reconstruction_error=10.0,
                    kl=5.0,
                ),
                checkpoint=checkpoint,
                metadata=GlitchMetadata(
                    origin="simulated" if index % 5 == 0 else "upload",
                    ifo=("H1", "L1")[index % 2],
                    gps_time=Decimal(GPS_START + 1000 * index) + Decimal("0.25"),
                    snr=8.0 + index,
                    peak_frequency=20.0 + index,
                    gravityspy_id=f"mapped{index:05d}",
                ),
            )
            made.append(stored.glitch.id)
    return made


def work(service: Service, job_id: UUID) -> JobRecord:
    """Run a job to its end and return it."""
    sessions = make_session_factory(service.engine)
    JobRunner(sessions, service.settings).work(job_id)
    with sessions() as session:
        return get_job(session, job_id)


def order_of(ids: bytes, selected: Sequence[UUID]) -> list[int]:
    """Return the index of each glitch in ``ids``, the 16-byte ids of the points in their order."""
    found = [UUID(bytes=ids[start : start + 16]) for start in range(0, len(ids), 16)]
    return [found.index(one) for one in selected]

"""Batches packed, sent through the API and processed at once by a worker."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from api_fixtures import Service

from app.core.engine import make_session_factory
from app.jobs.records import JobItem, JobRecord
from app.jobs.service import get_job, list_items
from worker.runner import JobRunner


def tar(members: Mapping[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    """Return a tar of the files by name, followed by ``extra`` members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return buffer.getvalue()


def ingest(
    service: Service,
    content: bytes,
    name: str = "batch.tar",
    *,
    manifest: bytes | None = None,
    **fields: str,
) -> tuple[JobRecord, list[JobItem]]:
    """Send a batch, run its job, and return the job and its items."""
    files = {"file": (name, content)}
    if manifest is not None:
        files["manifest"] = ("manifest.csv", manifest)
    with service.client() as client:
        answer = client.post("/batches", files=files, data=fields)
    assert answer.status_code == 202, answer.text
    sessions = make_session_factory(service.engine)
    JobRunner(sessions, service.settings).work(answer.json()["job"])
    with sessions() as session:
        job = get_job(session, answer.json()["job"])
        return job, list(list_items(session, job.id, limit=500).items)

"""`/healthz`, `/readyz` and `/metrics`: for supervisors and operators."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.pool import QueuePool

from app.decoding.pool import shared_pool
from app.server import problems
from app.server import schemas as server_schemas
from app.server.callers import MAY_BE_OPEN, OpenOrReader, RuntimeDep
from app.server.metrics import Metrics
from app.server.readiness import OK, disk_free_bytes
from app.server.runtime import Runtime
from glitch_discovery.version import VERSION

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> server_schemas.Health:
    """Touches nothing: on the event loop, so that a full thread pool does not hide it."""
    return server_schemas.Health(status="ok", version=VERSION)


@router.get(
    "/readyz",
    summary="Whether uploads can be served",
    responses={200: {"model": server_schemas.Readiness}},
)
async def readyz(request: Request, runtime: RuntimeDep) -> Response:
    """200 once the database answers, its migrations are current, the model is loaded and there is
    room on the disk.

    Where only background work waits the status is `degraded`, and the answer 200 all the same.
    """
    found = await runtime.readiness.look()
    if found.is_ready:
        body = server_schemas.Readiness(
            status="ready" if found.background == OK else "degraded",
            checks={**found.checks, "background": found.background},
        )
        return Response(body.model_dump_json(), media_type="application/json")
    wrong = " ".join(state for state in found.checks.values() if state != OK)
    return problems.problem_response(
        503,
        f"Not ready yet. {wrong}",
        name="not-ready",
        title="The service is not ready",
        request_id=request.state.request_id,
        headers={"Retry-After": "2"},
        extra={"checks": found.checks},
    )


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    openapi_extra=MAY_BE_OPEN,
)
def metrics(request: Request, runtime: RuntimeDep, _: OpenOrReader) -> Response:
    """Prometheus text. Open on a loopback address, else for the role reader."""
    known: Metrics = request.app.state.metrics
    if (audit := runtime.index_audit()) is not None:
        known.index_recall.labels(audit.checkpoint).set(audit.recall)
        known.index_audited.labels(audit.checkpoint).set(audit.made_at.timestamp())
    _note_load(known, runtime)
    return Response(generate_latest(known.registry), media_type=CONTENT_TYPE_LATEST)


def _note_load(known: Metrics, runtime: Runtime) -> None:
    """How much of what is bounded is in use at this moment."""
    for kind, admission in (
        ("read", runtime.admissions.reads),
        ("upload", runtime.admissions.uploads),
    ):
        known.places.labels(kind, "at_work").set(admission.at_work)
        known.places.labels(kind, "waiting").set(admission.waiting)
        known.places.labels(kind, "refused").set(admission.refused)
    known.decoding.set(shared_pool().at_work)
    pool = runtime.engine.pool
    if isinstance(pool, QueuePool):
        known.connections.set(pool.checkedout())
    if (free := disk_free_bytes(runtime.settings.data_dir)) is not None:
        known.disk_free.set(free)

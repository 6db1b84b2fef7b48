"""`/healthz`, `/readyz`, `/status.json` and `/metrics`: for supervisors and operators."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from app.core.model import Model
from app.server import problems
from app.server.form_fields import takes_any
from app.server.metrics import Metrics, OwnLoad
from app.server.readiness import OK
from app.server.request_scope import MAY_BE_OPEN, OpenOrReader, RuntimeDep
from glitch.gps import utc_to_gps
from glitch_discovery.version import VERSION


class Health(Model):
    """The process is running."""

    status: str
    version: str


class Readiness(Model):
    """Whether requests can be served, and the state of each part."""

    status: str = Field(description="ready, or degraded: uploads are served, jobs wait")
    checks: dict[str, str]


class StatusInterval(Model):
    """State from ``start_sec`` after ``created_gps`` on."""

    start_sec: int
    end_sec: int | None = None
    num_status: int = Field(ge=0, le=3, description="0 OK, 1 warning, 2 critical, 3 unknown")
    txt_status: str


class MonitorStatus(Model):
    """The format that igwn-monitor's `check_json` reads."""

    author: dict[str, str] = Field(description="name and email")
    created_gps: int
    status_intervals: list[StatusInterval]


router = APIRouter(tags=["operations"])
_STATUS_S = 300  # how long a status is valid


@router.get("/healthz", summary="Whether the process answers")
@takes_any
async def healthz() -> Health:
    """Uses no database and no thread pool, so it answers even if those are busy."""
    return Health(status="ok", version=VERSION)


@router.get(
    "/readyz", summary="Whether uploads can be served", responses={200: {"model": Readiness}}
)
@takes_any
async def readyz(request: Request, runtime: RuntimeDep) -> Response:
    """200 if the database answers, its migrations are current, the model is loaded and the disk
    has free space.

    If only background work has to wait, the status is `degraded` and the response is still 200.
    """
    readiness = await runtime.readiness.look()
    if readiness.is_ready:
        body = Readiness(
            status="ready" if readiness.background == OK else "degraded",
            checks={**readiness.checks, "background": readiness.background},
        )
        return Response(body.model_dump_json(), media_type="application/json")
    wrong = " ".join(state for state in readiness.checks.values() if state != OK)
    return problems.problem_response(
        503,
        f"Not ready yet. {wrong}",
        name="not-ready",
        title="The service is not ready",
        request_id=request.state.request_id,
        headers={"Retry-After": "2"},
        extra={"checks": readiness.checks},
    )


@router.get("/status.json", summary="The state, for igwn-monitor's check_json")
@takes_any
async def status(runtime: RuntimeDep) -> MonitorStatus:
    """The state found by `/readyz`, always with 200: 0 OK, 1 degraded, 2 not ready; 3 unknown
    for clients whose response is older than five minutes.
    """
    readiness = await runtime.readiness.look()
    if not readiness.is_ready:
        number, words = 2, " ".join(state for state in readiness.checks.values() if state != OK)
    elif readiness.background != OK:
        number, words = 1, readiness.background
    else:
        number, words = 0, "Uploads are served, and workers are running."
    now = StatusInterval(start_sec=0, end_sec=_STATUS_S, num_status=number, txt_status=words)
    later = StatusInterval(
        start_sec=_STATUS_S, num_status=3, txt_status="The status has not been requested since."
    )
    return MonitorStatus(
        author={"name": f"Glitch Discovery {VERSION}", "email": runtime.settings.contact},
        created_gps=int(utc_to_gps(datetime.now(UTC))),
        status_intervals=[now, later],
    )


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    openapi_extra=MAY_BE_OPEN,
)
@takes_any
def metrics(request: Request, _: OpenOrReader) -> Response:
    """Prometheus text format. Open on a loopback address, otherwise for the role reader."""
    service_metrics: Metrics = request.app.state.metrics
    own_load: OwnLoad = request.app.state.own_load
    own_load.note()
    return Response(generate_latest(service_metrics.registry), media_type=CONTENT_TYPE_LATEST)

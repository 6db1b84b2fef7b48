"""All routes of the API, with the errors that each of them may return."""

from typing import Any

from fastapi import APIRouter, Depends

from app.batches import api as batches
from app.classes import api as classes
from app.classes.audit import api as label_audit
from app.clusters import api as clusters
from app.core.model import Problem
from app.demo import api as demo
from app.digest import api as digest
from app.glitches import api as glitches
from app.glitches.exports import api as exports
from app.jobs import api as jobs
from app.map import api as map_routes
from app.models import api as models
from app.server import api as health
from app.server.form_fields import CheckQuery
from app.server.problems import MEDIA_TYPE

_PROBLEM = {"content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}


def _problems(**described: str) -> dict[int | str, dict[str, Any]]:
    return {
        int(status.removeprefix("s")): {"description": text, **_PROBLEM}
        for status, text in described.items()
    }


_READING = _problems(
    s400="A value is invalid",
    s401="No valid token",
    s403="The token's role is not sufficient",
    s404="Not found",
    s422="The payload has the wrong shape",
    s503="Busy, or not ready",
)
_UPLOADING = _READING | _problems(
    s408="The body arrived too slowly",
    s409="The request contradicts the catalogue",
    s413="Too large, as sent or once decoded",
    s415="The file type is not supported",
)
_WRITING = _READING | _problems(s409="The request contradicts the catalogue")

router = APIRouter(dependencies=[Depends(CheckQuery())])
router.include_router(glitches.upload_router, responses=_UPLOADING)
router.include_router(batches.router, responses=_UPLOADING)
router.include_router(glitches.router, responses=_WRITING)
router.include_router(models.picture_router, responses=_READING)
router.include_router(models.cluster_router, responses=_READING)
router.include_router(models.router, responses=_WRITING)
router.include_router(classes.router, responses=_WRITING)
router.include_router(exports.router, responses=_WRITING)
router.include_router(clusters.router, responses=_WRITING)
router.include_router(label_audit.router, responses=_WRITING)
router.include_router(jobs.router, responses=_WRITING)
router.include_router(map_routes.router, responses=_WRITING)
router.include_router(demo.router, responses=_WRITING)
router.include_router(digest.router, responses=_READING)
router.include_router(glitches.similarity_router, responses=_READING)
router.include_router(health.router, responses=_problems(s401="No valid token", s503="Not ready"))

"""The JSON of health and readiness."""

from __future__ import annotations

from pydantic import Field

from app.core.schemas import Model


class Health(Model):
    """The process answers."""

    status: str
    version: str


class Readiness(Model):
    """Whether requests can be served, and what each part says."""

    status: str = Field(description="ready, or degraded: uploads are served, jobs wait")
    checks: dict[str, str]

"""The JSON of health and readiness."""

from __future__ import annotations

from pydantic import Field

from app.core.model import Model


class Health(Model):
    """The process answers."""

    status: str
    version: str


class Readiness(Model):
    """Whether requests can be served, and what each part says."""

    status: str = Field(description="ready, or degraded: uploads are served, jobs wait")
    checks: dict[str, str]


class StatusInterval(Model):
    """What is so from ``start_sec`` after ``created_gps`` on."""

    start_sec: int
    end_sec: int | None = None
    num_status: int = Field(ge=0, le=3, description="0 OK, 1 warning, 2 critical, 3 unknown")
    txt_status: str


class MonitorStatus(Model):
    """The form that igwn-monitor's `check_json` reads."""

    author: dict[str, str] = Field(description="name and email")
    created_gps: int
    status_intervals: list[StatusInterval]

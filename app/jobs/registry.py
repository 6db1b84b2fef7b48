"""The kinds of jobs, each with its handler (``app.jobs.records.JobHandler``).

The module of a kind is named in ``BUILT_IN`` and imported when a job of that kind first occurs, so
that the API need not import modules that only workers use.
"""

import importlib
from typing import cast

from app.core.errors import InvalidRequestError
from app.jobs.records import JobHandler

BUILT_IN: dict[str, str] = {
    "cluster": "app.clusters.job:HANDLER",
    "demo": "app.demo.job:HANDLER",
    "digest": "app.digest.job:HANDLER",
    "index": "app.models.index:HANDLER",
    "export": "app.glitches.exports.job:HANDLER",
    "ingest": "app.batches.job:HANDLER",
    "judge": "app.novelty.job:HANDLER",
    "label_audit": "app.classes.audit.job:HANDLER",
    "project": "app.map.job:HANDLER",
    "references": "app.references.job:HANDLER",
    "reembed": "app.models.reembed:HANDLER",
    # kind: "module:NAME of a JobHandler"
}
_loaded: dict[str, JobHandler] = {}


def known_kinds() -> tuple[str, ...]:
    """Every kind of job, by name."""
    return tuple(sorted(BUILT_IN))


def check_kind(kind: str) -> None:
    """Refuse an unknown kind."""
    if kind not in BUILT_IN:
        known = ", ".join(known_kinds())
        raise InvalidRequestError(f"There is no job of kind {kind[:40]!r}; known: {known}.")


def handler_of(kind: str) -> JobHandler:
    """The handler of a kind."""
    check_kind(kind)
    if kind not in _loaded:
        module, _, name = BUILT_IN[kind].partition(":")
        _loaded[kind] = cast("JobHandler", getattr(importlib.import_module(module), name))
    return _loaded[kind]

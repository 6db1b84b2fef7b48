"""The kinds of jobs, each with its handler (``app.jobs.records.JobHandler``).

``BUILT_IN`` names the module of each kind. It is imported when a job of that kind first occurs, so
that the API need not import modules that only workers use.
"""

import importlib
from typing import cast

from app.core.errors import InvalidRequestError
from app.jobs.records import JobHandler

BUILT_IN: dict[str, str] = {
    "cluster": "app.clusters.job:ClusterHandler",
    "demo": "app.demo.job:DemoHandler",
    "digest": "app.digest.job:DigestHandler",
    "index": "app.models.index:IndexHandler",
    "export": "app.glitches.exports.job:ExportHandler",
    "ingest": "app.batches.job:IngestHandler",
    "judge": "app.novelty.job:JudgeHandler",
    "label_audit": "app.classes.audit.job:LabelAuditHandler",
    "project": "app.map.job:ProjectHandler",
    "references": "app.references.job:ReferencesHandler",
    "reembed": "app.models.reembed:ReembedHandler",
    # kind: "module:class of a JobHandler"
}
_loaded: dict[str, JobHandler] = {}


def known_kinds() -> tuple[str, ...]:
    """Names of all kinds of jobs, sorted."""
    return tuple(sorted(BUILT_IN))


def check_kind(kind: str) -> None:
    """Raise ``InvalidRequestError`` for an unknown kind of job."""
    if kind not in BUILT_IN:
        kinds = ", ".join(known_kinds())
        raise InvalidRequestError(f"There is no job of kind {kind[:40]!r}; known: {kinds}.")


def handler_of(kind: str) -> JobHandler:
    """Handler of a kind, imported if necessary; InvalidRequestError if the kind is unknown."""
    check_kind(kind)
    if kind not in _loaded:
        module, _, name = BUILT_IN[kind].partition(":")
        _loaded[kind] = cast("JobHandler", getattr(importlib.import_module(module), name)())
    return _loaded[kind]

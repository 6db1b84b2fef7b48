"""The kinds of jobs, each with its handler (``app.jobs.records.JobHandler``).

The module of a handler is imported when a job of its kind first occurs, so that the API need not
import modules that only workers use.
"""

import importlib
from typing import NamedTuple, cast

from app.core.errors import InvalidRequestError
from app.jobs.records import JobHandler


class JobKind(NamedTuple):
    """A kind of job: its name on pages, and ``module:class`` of its handler."""

    title: str
    handler: str


KINDS = {
    "cluster": JobKind("Clustering", "app.clusters.job:ClusterHandler"),
    "demo": JobKind("Demonstration", "app.demo.job:DemoHandler"),
    "digest": JobKind("Daily digest", "app.digest.job:DigestHandler"),
    "export": JobKind("Export", "app.glitches.exports.job:ExportHandler"),
    "index": JobKind("Vector index", "app.models.index:IndexHandler"),
    "ingest": JobKind("Batch", "app.batches.job:IngestHandler"),
    "judge": JobKind("Judging novelty", "app.novelty.job:JudgeHandler"),
    "label_audit": JobKind("Label audit", "app.classes.audit.job:LabelAuditHandler"),
    "project": JobKind("Map", "app.map.job:ProjectHandler"),
    "reembed": JobKind("Re-embedding", "app.models.reembed:ReembedHandler"),
    "references": JobKind("References", "app.references.job:ReferencesHandler"),
}
_loaded: dict[str, JobHandler] = {}


def check_kind(kind: str) -> None:
    """Raise ``InvalidRequestError`` for an unknown kind of job."""
    if kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise InvalidRequestError(f"There is no job of kind {kind[:40]!r}; known: {known}.")


def handler_of(kind: str) -> JobHandler:
    """Handler of a kind, imported if necessary; InvalidRequestError if the kind is unknown."""
    check_kind(kind)
    if kind not in _loaded:
        module, _, name = KINDS[kind].handler.partition(":")
        _loaded[kind] = cast("JobHandler", getattr(importlib.import_module(module), name)())
    return _loaded[kind]

"""What the template of label audits is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.classes.audit.records import AuditedGlitch, ImpureCluster
from app.frame.contexts import Choice, ClassCount, PageContext


@dataclass(frozen=True)
class AuditPage(PageContext):
    """What the latest audit doubts."""

    template: ClassVar[str] = "label_audit.html"
    section: ClassVar[str] = "label-audit"

    summary: str | None  # of the latest audit; None where there was none
    note: str | None  # why it may be out of date
    job: tuple[str, str] | None  # address and sentence of an audit at work, or that failed
    is_job_bad: bool
    total: str
    doubts: tuple[AuditedGlitch, ...]
    clusters: tuple[ImpureCluster, ...]
    classes: tuple[ClassCount, ...]  # in doubt, the most doubted first
    class_names: tuple[str, ...]
    undo: str | None  # the label that was just given
    ifos: tuple[Choice, ...]
    labels: tuple[Choice, ...]
    suggestions: tuple[Choice, ...]
    origins: tuple[Choice, ...]
    is_narrowed: bool
    errors: tuple[str, ...]
    back: str  # this page with its filters, to come back to after a label
    n_voters: str
    start_error: str | None
    can_label: bool
    first_href: str | None
    next_href: str | None

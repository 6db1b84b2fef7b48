"""What the template of label audits is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Card, Choice, ClassCount, PageContext


@dataclass(frozen=True)
class Doubt:
    """A glitch whose neighbours contradict its label."""

    id: str
    card: Card
    suggestion: str
    suggestion_href: str
    vote: str  # "8 of 10 neighbours are Blip, 1 is Whistle"


@dataclass(frozen=True)
class ImpureRow:
    """A cluster whose labelled members disagree."""

    href: str
    title: str
    label: str
    vote: str  # "31 of 40 labelled members"
    others: str
    share: float  # of the labelled members with the commonest label, in percent


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
    doubts: tuple[Doubt, ...]
    clusters: tuple[ImpureRow, ...]
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

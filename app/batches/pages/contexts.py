"""What the template of the batch form is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Choice, PageContext


@dataclass(frozen=True)
class BatchPage(PageContext):
    """The form of a batch, with what was typed and what was wrong with it."""

    template: ClassVar[str] = "batch.html"
    section: ClassVar[str] = "upload"

    error: str | None
    ifos: tuple[Choice, ...]
    origins: tuple[Choice, ...]
    channel: str
    sample_rate_hz: str
    merge_window_s: str
    keeps_time: bool  # whether triggers' own times are to be the middle of the views
    has_options: bool  # whether any of them was typed: they are shown then
    most_files: int
    limit: str
    limit_bytes: int
    role: str
    can_upload: bool

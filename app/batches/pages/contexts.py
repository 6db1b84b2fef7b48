"""What the template of the batch form is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Form

from app.batches.options import MERGE_WINDOW_S
from app.frame.contexts import Choice, PageContext


@dataclass(frozen=True)
class BatchTyped:
    """The fields of the form of a batch, as typed."""

    ifo: Annotated[str, Form()] = ""
    channel: Annotated[str, Form()] = ""
    sample_rate_hz: Annotated[str, Form()] = ""
    merge_window_s: Annotated[str, Form()] = f"{MERGE_WINDOW_S:g}"
    origin: Annotated[str, Form()] = ""
    keep_time: Annotated[str, Form()] = ""  # of triggers in the middle of the views, if anything


@dataclass(frozen=True)
class BatchPage(PageContext):
    """The form of a batch, with what was typed and what was wrong with it."""

    template: ClassVar[str] = "batch.html"
    section: ClassVar[str] = "upload"

    error: str | None
    ifos: tuple[Choice, ...]
    origins: tuple[Choice, ...]
    typed: BatchTyped
    has_options: bool  # whether anything was typed: it is shown then
    most_files: int
    limit: str
    limit_bytes: int
    role: str
    can_upload: bool

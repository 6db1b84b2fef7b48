"""What somebody says about a batch, and the job that is made of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.batches.quality.database import flags_named
from app.batches.quality.flags import FILTER, MARK
from app.batches.wanted import Wanted
from app.core.access import Principal, Role, require_role
from app.core.errors import InvalidRequestError
from app.glitches.tables import ORIGINS
from app.glitches.upload import parse_details
from app.jobs.records import JobRecord
from app.jobs.service import create_job

KIND = "ingest"
MERGE_WINDOW_S = 0.1
LONGEST_MERGE_WINDOW_S = 10.0


@dataclass(frozen=True)
class BatchOptions:
    """A kept upload and what is said about it. ``None``: not said."""

    upload: str  # digest of the kept file
    name: str  # what it was called
    manifest: str | None = None  # digest of a kept CSV that tells of the pictures
    merge_window_s: float = MERGE_WINDOW_S  # s; triggers no further apart are one glitch
    ifo: str | None = None  # detector of what does not name its own
    channel: str | None = None  # of the strain files
    sample_rate_hz: float | None = None  # of strain files that do not say
    origin: str | None = None  # of the glitches; else told from the files
    energy_max: float | None = None  # of the pictures; see ``parse_scales``
    frequency_range: str | None = None
    centre: bool = True  # views of strain on the loudest tile, else on the trigger
    wanted: Mapping[str, Any] | None = None  # of a published archive, as JSON of ``Wanted``
    # FILTER: triggers that flags exclude are passed over; MARK: they are kept.
    segments: str = FILTER
    flags: str | None = None  # that are asked of the segment database

    @property
    def references(self) -> Wanted | None:
        """What is loaded of a published archive; None of any other batch."""
        return None if self.wanted is None else Wanted.from_json(self.wanted)


def options_said(name: str, *, segment_server: str | None = None, **said: Any) -> BatchOptions:
    """The options of what is not kept yet, refused where they mean nothing.

    ``said`` goes by the names of the fields; empty texts say nothing.

    Raises:
        InvalidRequestError: naming the field.
    """
    texts = {key: one.strip() or None for key, one in said.items() if isinstance(one, str)}
    options = BatchOptions(upload="", name=name, **said | texts)
    parse_details(
        ifo=options.ifo,
        channel=options.channel,
        sample_rate_hz=options.sample_rate_hz,
        energy_max=options.energy_max,
        frequency_range=options.frequency_range,
    )
    merge_window_s, origin = options.merge_window_s, options.origin
    if not (math.isfinite(merge_window_s) and 0 <= merge_window_s <= LONGEST_MERGE_WINDOW_S):
        raise InvalidRequestError(
            f"merge_window_s must lie between 0 and {LONGEST_MERGE_WINDOW_S:g} seconds.",
            field="merge_window_s",
        )
    if options.segments not in (FILTER, MARK):
        raise InvalidRequestError(f"segments must be {FILTER} or {MARK}.", field="segments")
    if flags_named(options.flags) and segment_server is None:
        raise InvalidRequestError(
            "There is no segment database here: send the segments as a file beside the table, or "
            "ask the operator to set GLITCH_SEGMENT_SERVER.",
            field="flags",
        )
    if origin is not None and origin not in ORIGINS:
        raise InvalidRequestError(f"There is no such origin: give one of {', '.join(ORIGINS)}.")
    return options


def submit_batch(session: Session, options: BatchOptions, author: Principal) -> JobRecord:
    """Store the job that ingests a kept upload; while one like it is open, that one.

    Raises:
        PermissionDeniedError: if the author may not store.
    """
    require_role(author, Role.SUBMITTER)
    return create_batch(session, options, author.name)


def create_batch(session: Session, options: BatchOptions, author: str) -> JobRecord:
    """The same of a job that starts it on its own account."""
    parameters = asdict(options)
    said = json.dumps({**parameters, "name": "", "author": author}, sort_keys=True)
    key = hashlib.sha256(said.encode()).hexdigest()
    return create_job(session, KIND, parameters, author, key=key)

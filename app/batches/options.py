"""The options of a batch, and the job made from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy.orm import Session

from app.batches.quality import FILTER, MARK, flags_named
from app.batches.storage import check_kept, hold_uploads, keep_upload
from app.core.access import Principal, Role, require_role
from app.core.errors import InvalidRequestError
from app.glitches.tables import ORIGINS
from app.glitches.upload import UploadFields
from app.jobs.records import JobRecord
from app.jobs.service import create_job
from glitch.observing_runs import observing_run
from glitch.tables import Facts

AUTHOR = "published archive"  # author of jobs and labels; not a person's name
PICTURES, STRAIN = "pictures", "strain"  # sources of the views for a table's rows


@dataclass(frozen=True)
class ArchiveSelection:
    """Selection of glitches to load from a published archive."""

    source: str  # source of its labels; labels by persons have other sources
    ifos: tuple[str, ...] = ()  # all if empty
    runs: tuple[str, ...] = ()  # observing runs; all if empty
    per_class: int | None = None  # limit for each class and detector; None: no limit
    least_confidence: float = 0.0  # minimum confidence of labels that state one, 0 to 1
    rows_from: str = PICTURES  # views from PICTURES named in the table, or from STRAIN
    picture_host: str = ""  # scheme and host from which pictures are fetched

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ArchiveSelection:
        """Read the selection from the parameters of a job."""
        lists = {name: tuple(values[name]) for name in ("ifos", "runs")}
        return cls(**{**values, **lists})


def key_at_random(facts: Facts) -> str:
    """A reproducible random sort key: the first glitches of a class are then a fair sample."""
    identity = f"{facts.gravityspy_id} {facts.ifo} {facts.gps_time}"
    return hashlib.sha256(identity.encode()).hexdigest()


class Choice:
    """Selects glitches of an archive one by one, and counts them."""

    def __init__(self, selection: ArchiveSelection) -> None:
        self.selection = selection
        self._taken: Counter[tuple[str, str | None]] = Counter()
        self._passed_over: Counter[str] = Counter()

    def takes(self, facts: Facts) -> bool:
        """Whether this glitch is selected; updates the counts."""
        why_not = self._why_not(facts)
        if why_not is not None:
            self._passed_over[why_not] += 1
            return False
        self._taken[str(facts.label), facts.ifo] += 1
        return True

    @property
    def n_taken(self) -> int:
        """Number of glitches selected."""
        return self._taken.total()

    @property
    def skipped_note(self) -> str | None:
        """Sentence on how many glitches were not selected, and why; None if all were."""
        if not self._passed_over:
            return None
        parts = [f"{n:,} {why}" for why, n in self._passed_over.most_common()]
        return "Not selected: " + ", ".join(parts) + "."

    def _why_not(self, facts: Facts) -> str | None:
        selection = self.selection
        time = None if facts.gps_time is None else float(facts.gps_time)
        confidence = 1.0 if facts.confidence is None else facts.confidence
        if selection.ifos and facts.ifo not in selection.ifos:
            return "of other detectors"
        if selection.runs and observing_run(time) not in selection.runs:
            return "of other observing runs, or without a time"
        if facts.label is None:
            return "without a label"
        if confidence < selection.least_confidence:
            return f"with a label of confidence below {selection.least_confidence:g}"
        if selection.per_class is not None and (
            self._taken[facts.label, facts.ifo] >= selection.per_class
        ):
            return f"beyond the limit of {selection.per_class:,} for their class and detector"
        return None


KIND = "ingest"
MERGE_WINDOW_S = 0.1
LONGEST_MERGE_WINDOW_S = 10.0


@dataclass(frozen=True)
class BatchOptions:
    """A stored upload and its options; ``None`` if not given."""

    upload: str  # digest of the kept file
    name: str  # original file name
    manifest: str | None = None  # digest of a kept CSV that describes the pictures
    merge_window_s: float = MERGE_WINDOW_S  # s; triggers at most this far apart are one glitch
    ifo: str | None = None  # detector of files and rows that do not name one
    channel: str | None = None  # of the strain files
    sample_rate_hz: float | None = None  # of strain files that do not state it
    origin: str | None = None  # of the glitches; None: inferred from the files
    energy_max: float | None = None  # of the pictures; see ``parse_scales``
    frequency_range: str | None = None
    labels_from_folders: bool = False  # of pictures and views in an archive
    centre: bool = True  # strain: centre on the loudest tile, otherwise on the trigger
    wanted: Mapping[str, Any] | None = None  # of a published archive, as JSON
    # FILTER: skip triggers that data-quality flags exclude; MARK: keep them.
    segments: str = FILTER
    flags: str | None = None  # names of flags to query from the segment database

    @property
    def references(self) -> ArchiveSelection | None:
        """Selection from a published archive; None for other batches."""
        return None if self.wanted is None else ArchiveSelection.from_json(self.wanted)


def stated_options(name: str, *, segment_server: str | None = None, **stated: Any) -> BatchOptions:
    """Check the options of an upload that is not stored yet; InvalidRequestError if one is invalid.

    ``stated`` uses the names of the fields; empty texts count as not given.
    """
    texts = {key: one.strip() or None for key, one in stated.items() if isinstance(one, str)}
    options = BatchOptions(upload="", name=name, **stated | texts)
    checked = ("ifo", "channel", "sample_rate_hz", "energy_max", "frequency_range")
    UploadFields(**{field: getattr(options, field) for field in checked}).parsed()
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


@dataclass(frozen=True)
class SentBatch:
    """A batch whose file and job are stored."""

    job: JobRecord
    digest: str  # of the file
    n_bytes: int
    is_known: bool  # whether the same file was stored already


def keep_batch(
    session: Session,
    data_dir: Path,
    options: BatchOptions,
    file: BinaryIO,
    manifest: BinaryIO | None,
    *,
    author: Principal,
) -> SentBatch:
    """Store the files of a batch, protected from the cleanup, and the job that ingests them.

    Raises:
        PermissionDeniedError: if the author may not store.
        FormatError: if a file is empty.
        BusyError: if a file was removed by the cleanup meanwhile.
    """
    require_role(author, Role.SUBMITTER)
    digest, n_bytes, is_known = keep_upload(data_dir, file)
    rows = None if manifest is None else keep_upload(data_dir, manifest)[0]
    hold_uploads(session)
    check_kept(data_dir, digest, rows)
    job = create_batch(session, replace(options, upload=digest, manifest=rows), author.name)
    return SentBatch(job, digest, n_bytes, is_known)


def create_batch(session: Session, options: BatchOptions, author: str) -> JobRecord:
    """Store the job that ingests a kept upload, or return the open job with the same options."""
    parameters = asdict(options)
    content = json.dumps({**parameters, "name": "", "author": author}, sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()
    return create_job(session, KIND, parameters, author, key=key)

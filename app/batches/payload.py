"""The planned content of chunks, stored as JSON until each chunk is read."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.batches.strain_index import Place
from glitch.files.archives import Member, Refused
from glitch.tables import Facts

NO_KIND = (
    "This kind of file is not read in a batch: send pictures (PNG, JPG), views, strain, or tables "
    "of triggers whose first line names the columns (gps_time,ifo,snr)."
)
STACK_WITHIN = "It holds the views of many glitches: send it alone, not within a folder or archive."
NO_TRIGGER = (
    "The batch contains strain but no triggers: add a table of triggers. To send a single glitch, "
    "use POST /embed."
)
# Names of documentation without data, such as README or notes.md.
DOCUMENT = re.compile(
    r"(\A|[/\\])(README|LICEN[CS]E|COPYING|NOTICE|CITATION|CHANGE(S|LOG)|AUTHORS|Makefile)"
    r"(\.\w{1,5})?\Z"
    r"|\.(md|rst|pdf|html?|docx?|pptx?|tex|bib|cff|py|ipynb|sh|m|log|ya?ml|toml|ini|sha256|md5)\Z",
    re.IGNORECASE,
)
# Strain that is fetched from a frame server or GWOSC when the chunk is read.
OPEN_DATA: Literal["open data"] = "open data"


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Pictured(NamedTuple):
    """A picture: the position of its bytes in the archive, and its window in s if given."""

    name: str
    offset: int
    stored: int
    size: int
    method: str
    crc: int | None
    window_s: float | None

    @property
    def member(self) -> Member:
        """Position of the picture in the archive."""
        return Member(*self[:-1])


class OfPictures(_Stored):
    """A glitch given as pictures of the archive."""

    members: tuple[Pictured, ...]
    facts: Facts


class OfViews(_Stored):
    """A glitch whose views are in a separate file, unpacked into the job's folder."""

    file: str
    name: str
    facts: Facts


class OfTable(_Stored):
    """A row of a published table, which may name pictures."""

    facts: Facts


class OfTrigger(_Stored):
    """A trigger, with the strain files around it."""

    facts: Facts
    n_merged: int = 1  # number of triggers merged, of which this is the loudest
    strain: tuple[Place, ...] | Literal["open data"]
    gap: str | None = None  # sentence on where the strain ends, if within the 64 s
    others: tuple[Place, ...] = ()  # further files of the same time, for comparison


class StoredAlready(_Stored):
    """A row of our own exports, which refers to a stored glitch."""

    name: str
    glitch: UUID
    label: str | None = None
    confidence: float | None = None  # of the label, 0 to 1
    ifo: str | None = None
    gps_time: str | None = None
    data_quality: str | None = None  # active flags, separated by blanks

    @classmethod
    def of_row(cls, name: str, glitch: UUID, facts: Facts) -> StoredAlready:
        """Make the entry from a row's name, the stored glitch and the row's values."""
        values = {one: getattr(facts, one) for one in cls.model_fields.keys() - {"name", "glitch"}}
        return cls(name=name, glitch=glitch, **values)


class _ChunkOf(_Stored):
    is_unpacked: bool  # whether the whole upload was unpacked into the job's folder


class StackChunk(_ChunkOf):
    """Consecutive glitches of a file with many glitches, beginning at ``start``."""

    kind: Literal["stack"] = "stack"
    start: int
    stack: str | None = None  # file in the job's folder; None: the upload itself


class PicturesChunk(_ChunkOf):
    """Glitches of an archive, given as pictures or as one file of views each."""

    kind: Literal["pictures"] = "pictures"
    glitches: tuple[OfPictures | OfViews, ...]


class TableChunk(_ChunkOf):
    """Rows whose pictures are fetched."""

    kind: Literal["fetched"] = "fetched"
    glitches: tuple[OfTable, ...]


class TriggersChunk(_ChunkOf):
    """Triggers whose views are computed from strain."""

    kind: Literal["triggers"] = "triggers"
    glitches: tuple[OfTrigger, ...]


class StoredChunk(_ChunkOf):
    """Rows that refer to stored glitches."""

    kind: Literal["known"] = "known"
    glitches: tuple[StoredAlready, ...]


class NotReadChunk(_ChunkOf):
    """Inputs that are not read, with reasons."""

    kind: Literal["refused"] = "refused"
    glitches: tuple[Refused, ...]


ReadChunk = StackChunk | PicturesChunk | TableChunk | TriggersChunk
BatchChunk = ReadChunk | StoredChunk | NotReadChunk
BATCH_CHUNK: TypeAdapter[BatchChunk] = TypeAdapter(
    Annotated[BatchChunk, Field(discriminator="kind")]
)

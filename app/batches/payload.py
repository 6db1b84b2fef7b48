"""The result of planning a batch, stored as JSON until each chunk is read."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.batches.strain_index import Place
from glitch.files.archives import Member, Refused
from glitch.tables import Facts

NO_KIND = (
    "It is of no kind that is read in a batch: pictures (PNG, JPG), views, strain, and tables of "
    "triggers whose first line names the columns (gps_time,ifo,snr) are."
)
STACK_WITHIN = "It holds the views of many glitches: send it alone, not within a folder or archive."
NO_TRIGGER = (
    "The batch holds strain, and no trigger says where in it to look: put a table of triggers "
    "beside it. One glitch alone is uploaded (POST /embed)."
)
_DOCUMENT = re.compile(
    r"(\A|[/\\])(README|LICEN[CS]E|COPYING|NOTICE|CITATION|CHANGE(S|LOG)|AUTHORS|Makefile)"
    r"(\.\w{1,5})?\Z"
    r"|\.(md|rst|pdf|html?|docx?|pptx?|tex|bib|cff|py|ipynb|sh|m|log|ya?ml|toml|ini|sha256|md5)\Z",
    re.IGNORECASE,
)
OPEN_DATA: Literal["open data"] = "open data"  # where a trigger's strain comes from


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Pictured(NamedTuple):
    """An image: the position of its bytes in the archive, and its window in s if given."""

    name: str
    offset: int
    stored: int
    size: int
    method: str
    crc: int | None
    window_s: float | None

    @property
    def member(self) -> Member:
        """The member's position in the archive."""
        return Member(*self[:-1])


class OfPictures(_Stored):
    """A glitch that pictures of the archive show."""

    members: tuple[Pictured, ...]
    facts: Facts


class OfViews(_Stored):
    """A glitch whose views are a separate file, unpacked into the job's folder."""

    file: str
    name: str
    facts: Facts


class OfTable(_Stored):
    """A row of a published table, which may name pictures."""

    facts: Facts


class OfTrigger(_Stored):
    """A trigger, and the strain around it."""

    facts: Facts
    n_merged: int = 1  # triggers that it is the loudest of
    strain: tuple[Place, ...] | Literal["open data"]
    gap: str | None = None  # where the strain ends, if that is too soon
    others: tuple[Place, ...] = ()  # further files of the same time, to be compared


class StoredAlready(_Stored):
    """A row of our own exports, which refers to a stored glitch."""

    name: str
    glitch: UUID
    label: str | None = None
    confidence: float | None = None  # of the label, 0 to 1
    ifo: str | None = None
    gps_time: str | None = None
    data_quality: str | None = None  # flags that were active, with blanks between them

    @classmethod
    def of_row(cls, name: str, glitch: UUID, facts: Facts) -> StoredAlready:
        """The properties in a row of this name."""
        said = {one: getattr(facts, one) for one in cls.model_fields.keys() - {"name", "glitch"}}
        return cls(name=name, glitch=glitch, **said)


class _ChunkOf(_Stored):
    is_unpacked: bool  # whether the upload was unpacked whole into the job's folder


class StackChunk(_ChunkOf):
    """Glitches of one HDF5 file of many, from this one on."""

    kind: Literal["stack"] = "stack"
    start: int
    stack: str | None = None  # the file in the job's folder, where it is not the upload itself


class PicturesChunk(_ChunkOf):
    """Glitches of an archive: pictures, or views a file each."""

    kind: Literal["pictures"] = "pictures"
    glitches: tuple[OfPictures | OfViews, ...]


class TableChunk(_ChunkOf):
    """Rows whose images are fetched."""

    kind: Literal["fetched"] = "fetched"
    glitches: tuple[OfTable, ...]


class TriggersChunk(_ChunkOf):
    """Triggers whose views are computed from strain."""

    kind: Literal["triggers"] = "triggers"
    glitches: tuple[OfTrigger, ...]


class StoredChunk(_ChunkOf):
    """Rows that name stored glitches."""

    kind: Literal["known"] = "known"
    glitches: tuple[StoredAlready, ...]


class NotReadChunk(_ChunkOf):
    """What is not read."""

    kind: Literal["refused"] = "refused"
    glitches: tuple[Refused, ...]


ReadChunk = StackChunk | PicturesChunk | TableChunk | TriggersChunk
BatchChunk = ReadChunk | StoredChunk | NotReadChunk
BATCH_CHUNK: TypeAdapter[BatchChunk] = TypeAdapter(
    Annotated[BatchChunk, Field(discriminator="kind")]
)


def is_document(name: str) -> bool:
    """Whether a file accompanies data and holds none, by its name: README, LICENSE, notes.md."""
    return _DOCUMENT.search(name) is not None

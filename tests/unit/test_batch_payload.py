"""The JSON that the planner of a batch writes and its reader reads."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from pydantic import ValidationError

from app.batches.payload import (
    BATCH_CHUNK,
    BatchChunk,
    NotReadChunk,
    OfPictures,
    OfTable,
    OfTrigger,
    OfViews,
    Pictured,
    PicturesChunk,
    StackChunk,
    StoredAlready,
    StoredChunk,
    TableChunk,
    TriggersChunk,
)
from app.batches.strain_index import Place
from glitch.files.archives import Member, Refused
from glitch.tables import Facts

FACTS = Facts(ifo="L1", gps_time="1187008882.4", snr=12.5)
PICTURE = Pictured("a.png", 512, 100, 120, "deflated", 7, None)
PLACES = (Place("uploaded", "file-1", "a.gwf"), Place("known", "o3/b.h5", "b.h5"))
CHUNKS: list[BatchChunk] = [
    StackChunk(is_unpacked=False, start=32),
    StackChunk(is_unpacked=True, start=0, stack="stack.h5"),
    PicturesChunk(
        is_unpacked=True,
        glitches=(
            OfPictures(members=(PICTURE, PICTURE._replace(window_s=0.5)), facts=FACTS),
            OfViews(file="file-2", name="b.npy", facts=Facts()),
        ),
    ),
    TableChunk(is_unpacked=False, glitches=(OfTable(facts=FACTS),)),
    TriggersChunk(
        is_unpacked=False,
        glitches=(
            OfTrigger(facts=FACTS, n_merged=3, strain=PLACES, gap="It ends."),
            OfTrigger(facts=FACTS, strain="open data"),
        ),
    ),
    StoredChunk(is_unpacked=False, glitches=(StoredAlready(name="a", glitch=UUID(int=5)),)),
    NotReadChunk(is_unpacked=False, glitches=(Refused("x", "It is empty."),)),
]


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: chunk.kind)
def test_a_chunk_is_the_same_after_storing(chunk: BatchChunk) -> None:
    stored = json.loads(json.dumps(chunk.model_dump(mode="json", exclude_none=True)))
    assert BATCH_CHUNK.validate_python(stored) == chunk


def test_a_picture_knows_its_member_and_is_a_short_row_in_json() -> None:
    assert PICTURE.member == Member("a.png", 512, 100, 120, "deflated", 7)
    chunk = CHUNKS[2].model_dump(mode="json", exclude_none=True)
    assert chunk["glitches"][0]["members"][0] == ["a.png", 512, 100, 120, "deflated", 7, None]
    assert chunk["glitches"][1]["facts"] == {}


def test_unknown_payloads_of_a_chunk_are_refused() -> None:
    for wrong in ({"kind": "poem", "is_unpacked": False}, {"kind": "stack", "is_unpacked": False}):
        with pytest.raises(ValidationError):
            BATCH_CHUNK.validate_python(wrong)

"""Loose files of a batch become one tar, the same bytes whatever their order."""

from __future__ import annotations

import io
import tarfile

import pytest

from app.batches.packing import MOST_LOOSE_FILES, packed
from app.core.errors import InvalidRequestError


def streams(*names: str) -> list[tuple[str | None, io.BytesIO]]:
    return [(name, io.BytesIO(f"content of {name}".encode())) for name in names]


def test_one_file_stays_what_it_is() -> None:
    with packed([("folder/month.zip", io.BytesIO(b"zip"))]) as (name, stream):
        assert (name, stream.read()) == ("month.zip", b"zip")


def test_several_are_packed_the_same_in_any_order() -> None:
    contents = []
    for names in (("b.gwf", "a.csv"), ("a.csv", "b.gwf")):
        with packed(streams(*names)) as (name, stream):
            assert name == "2 files"
            contents.append(stream.read())
    assert contents[0] == contents[1]
    with tarfile.open(fileobj=io.BytesIO(contents[0])) as tar:
        assert tar.getnames() == ["a.csv", "b.gwf"]
        member = tar.extractfile("b.gwf")
        assert member is not None
        assert member.read() == b"content of b.gwf"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "Choose a file first"),
        (("a.csv", "x/a.csv"), "Two files are called a.csv"),
        (tuple(f"{index}.gwf" for index in range(MOST_LOOSE_FILES + 1)), "into a tar or zip"),
    ],
)
def test_what_cannot_be_packed_is_said(names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence), packed(streams(*names)):
        pass

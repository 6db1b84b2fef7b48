"""The separate files of a batch become one tar, with the same bytes in any order."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from app.batches.storage import MAX_LOOSE_FILES, packed
from app.core.errors import InvalidRequestError
from glitch_discovery.packing import as_archive, files_in
from glitch_discovery.transport import opened


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
        (tuple(f"{index}.gwf" for index in range(MAX_LOOSE_FILES + 1)), "into a tar or zip"),
    ],
)
def test_files_that_cannot_be_packed_are_refused(names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence), packed(streams(*names)):
        pass


def test_links_in_a_folder_stand_for_their_files(tmp_path: Path) -> None:
    """A link to a file counts as the file; links to folders, which may form a loop, are ignored."""
    archive, folder = tmp_path / "archive", tmp_path / "mine"
    archive.mkdir()
    folder.mkdir()
    (archive / "H1.gwf").write_bytes(b"frames")
    (folder / "H1.gwf").symlink_to(archive / "H1.gwf")
    (folder / "gone.gwf").symlink_to(archive / "gone.gwf")
    (folder / "round").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    os.mkfifo(folder / "pipe.gwf")
    assert [path.name for path in files_in(folder)] == ["H1.gwf"]
    with as_archive(folder) as made, tarfile.open(made) as tar:
        [member] = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        assert (member.name, content.read()) == ("H1.gwf", b"frames")


def test_a_pipe_is_refused_where_it_would_be_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(OSError, match="write it to a file first"), opened([("file", path)]):
            pass
